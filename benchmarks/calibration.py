"""Do the detector's p-values, thresholds and false discovery rate keep what they promise?

    pip install .
    python benchmarks/calibration.py --jobs 2

All rows are drawn: those for training, and new ones from the same distribution. The first tables give, in percent, the
share of new clean rows with p <= 0.05 and the share that ``predict`` flags, which is to be 5 % by default
(``contamination="auto"``). p-values are multiples of 1/(n + 1), so with few rows not even exact ones reach 5 %:
"attainable" is the share that exact ones have. The number after ± is the standard error over the repetitions, which
share no rows.

The last table is about ``detect(X, fdr=0.1)`` on 200 rows of which some are anomalies: the realised false discovery
rate, that is, the mean share of normal rows among those detected, and the share of the anomalies that is detected.
IsolationForest has the same calibration: cross-conformal p-values with ten folds, and Benjamini and Hochberg's rule.
"""

import time
import warnings

import numpy as np
from _harness import MarkdownReport, parser
from joblib import Parallel, delayed, parallel_config
from scipy.stats import false_discovery_control
from sklearn.ensemble import IsolationForest
from threadpoolctl import threadpool_limits

from skl_sae import SparseAutoencoderOutlierDetector

SEED = 20261128  # of this file alone: no design was tuned on these draws
NEW_ROWS = 1000
SHAPES = [(n, d) for n in (30, 100, 300, 1000, 5000) for d in (5, 20, 100, 300) if n * d <= 500_000]


def gaussian(rng, n, d):
    return rng.normal(size=(n, d))


def heavy(rng, n, d):
    return rng.standard_t(3, size=(n, d))


def counts(rng, n, d):
    return rng.poisson(0.5, size=(n, d)).astype(float)


def factors(rng, n, d):
    loadings = np.random.default_rng(SEED + d).normal(size=(5, d))  # the same for training and new rows
    return rng.normal(size=(n, 5)) @ loadings + 0.3 * rng.normal(size=(n, d))


def correlated(rng, n, d):
    """Return rows in which any two features have a correlation of 0.7."""
    return np.sqrt(0.7) * rng.normal(size=(n, 1)) + np.sqrt(0.3) * rng.normal(size=(n, d))


DISTRIBUTIONS = {
    "Gaussian": gaussian,
    "t with 3 degrees of freedom": heavy,
    "counts (Poisson)": counts,
    "five factors": factors,
    "correlated": correlated,
}


def generator(*key):
    return np.random.default_rng([SEED, *key])


def false_alarms(index, n, d, repetition):
    """Return shares of new clean rows, those with p <= 0.05 and those flagged, and the CPU seconds of the p-values."""
    warnings.simplefilter("ignore")
    rng = generator(index, n, d, repetition)
    draw = list(DISTRIBUTIONS.values())[index]
    train, new = draw(rng, n, d), draw(rng, NEW_ROWS, d)
    with threadpool_limits(1):
        detector = SparseAutoencoderOutlierDetector(random_state=repetition).fit(train)
        start = time.process_time()
        low = (detector.p_values(new) <= 0.05).mean()
        seconds = time.process_time() - start
        return low, (detector.predict(new) == -1).mean(), seconds


def forest_p_values(train, new, seed, folds=10):
    """Return cross-conformal p-values of IsolationForest."""
    fold = np.random.default_rng(seed).permutation(len(train)) % folds
    at_least = np.zeros(len(new))
    for k in range(folds):
        forest = IsolationForest(random_state=seed).fit(train[fold != k])
        held_out, scores = np.sort(-forest.score_samples(train[fold == k])), -forest.score_samples(new)
        at_least += len(held_out) - np.searchsorted(held_out, scores)
    return (1 + at_least) / (len(train) + 1)


def discoveries(index, n_anomalies, repetition, n=500, d=8, n_new=200, fdr=0.1):
    """Return the false discovery proportion and the power of both detectors on one draw."""
    warnings.simplefilter("ignore")
    rng = generator(index, n_anomalies, repetition)
    draw = list(DISTRIBUTIONS.values())[index]
    train, new = draw(rng, n, d), draw(rng, n_new, d)
    shifts = rng.choice([-4, 4], (n_anomalies, d)) * (rng.random((n_anomalies, d)) < 0.4)
    new[:n_anomalies] += shifts
    with threadpool_limits(1):
        ours = SparseAutoencoderOutlierDetector(random_state=repetition).fit(train).detect(new, fdr=fdr)
        forest = false_discovery_control(forest_p_values(train, new, repetition)) <= fdr
    figures = []
    for found in (ours, forest):
        power = found[:n_anomalies].mean() if n_anomalies else np.nan
        figures += [found[n_anomalies:].sum() / max(found.sum(), 1), power]
    return figures


def repeated(function, keys, repetitions, jobs):
    """Return, for every key, an array (repetitions, figures) of what a function returns."""
    calls = [(key, repetition) for key, count in zip(keys, repetitions, strict=True) for repetition in range(count)]
    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        results = Parallel()(delayed(function)(*key, repetition) for key, repetition in calls)
    return np.split(np.array(results), np.cumsum(repetitions)[:-1])


def percent(values):
    """Return the mean and its standard error in percent."""
    if np.isnan(values).all():
        return ""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{100 * values.mean():.2f} ± {100 * error:.2f}"


def count_repetitions(n, d, most):
    """Return fewer repetitions for larger data, whose shares vary less."""
    return max(min(most, 10), min(most, 2_000_000 // (n * max(d, 20))))


def add_false_alarms(report, kinds, options):
    deviations = {}
    for kind in kinds:
        index = list(DISTRIBUTIONS).index(kind)
        keys = [(index, n, d) for n, d in SHAPES if n <= options.max_rows]
        repetitions = [count_repetitions(n, d, options.rounds) for _, n, d in keys]
        rows = []
        for (_, n, d), figures in zip(keys, repeated(false_alarms, keys, repetitions, options.jobs), strict=True):
            low, flagged, seconds = figures.T
            row = {"name": f"{n} × {d}", "repetitions": str(len(low)), "p ≤ .05": percent(low)}
            row["attainable"] = f"{100 * np.floor(0.05 * (n + 1)) / (n + 1):.2f}"
            row |= {"predict": percent(flagged), "p-values, s": f"{seconds.mean():.2g}"}
            rows.append(row)
            deviations[f"{kind}, {n} × {d}"] = (low.mean() - 0.05) / max(low.std(ddof=1) / np.sqrt(len(low)), 1e-9)
        report.add(f"{kind}: false alarms in percent, by training rows × features", rows)
    most = max(deviations, key=deviations.get)
    above = sum(deviation > 2 for deviation in deviations.values())
    report.add("p ≤ .05 above 5 %, in standard errors", [
        {"name": "all", "cases": len(deviations), "by more than two": above, "at most": deviations[most], "at": most}
    ])  # fmt: skip


def add_discoveries(report, options):
    kinds = ["Gaussian", "t with 3 degrees of freedom", "five factors"]
    keys = [(list(DISTRIBUTIONS).index(kind), n_anomalies) for kind in kinds for n_anomalies in (40, 10, 0)]
    found = repeated(discoveries, keys, [options.rounds] * len(keys), options.jobs)
    rows = []
    for (index, n_anomalies), figures in zip(keys, found, strict=True):
        row = {"name": f"{list(DISTRIBUTIONS)[index]}, {n_anomalies} anomalies"}
        for name, (fdr, power) in zip(["skl_sae", "IsolationForest"], figures.T.reshape(2, 2, -1), strict=True):
            row |= {f"{name}: FDR": percent(fdr), f"{name}: power": percent(power)}
        rows.append(row)
    report.add(f"detect(X, fdr=0.1): 500 training rows × 8, 200 new rows, {options.rounds} repetitions, percent", rows)


def main():
    options = parser(__doc__, rounds=100, plot=False)
    options.add_argument("--jobs", type=int, default=1, help="processes")
    options.add_argument("--kinds", nargs="*", choices=list(DISTRIBUTIONS), default=list(DISTRIBUTIONS))
    options.add_argument("--max-rows", type=int, default=5000, help="leave out larger training sets")
    options = options.parse_args()
    if options.rounds < 2:
        raise SystemExit("--rounds must be at least 2: a standard error needs two repetitions")
    report = MarkdownReport(options)
    if options.kinds:
        add_false_alarms(report, options.kinds, options)
    add_discoveries(report, options)
    report.close()


if __name__ == "__main__":
    main()
