"""How long does a search over rho and beta take, and does a walk find the same as a grid of cold starts?

    python benchmarks/grid.py --parts digits cancer tables accuracy
    python benchmarks/grid.py --parts mnist --data mnist.npz --rounds 1 --no-warm-up
    python benchmarks/grid.py --parts detector --adbench FOLDER
    python benchmarks/grid.py --parts listing

PathSearchCV, which walks from setting to setting with warm starts, is compared with GridSearchCV, both with the same
number of processes and with the final fit on all rows:

- digits, cancer: 64 -> 50 and 30 -> 15 units, features in [0, 1], 5 values of rho and 5 of beta, 5 folds, by the
  accuracy of logistic regression on the standardised code; and without the classifier, by the explained variance.
- mnist: 20000 images, 784 -> 100 units, float32, 4 x 4 values, 3 folds, by explained variance. ``--rows`` takes fewer.
- tables: mean absolute difference between the cross-validated scores of a walk and of a cold search, and the same for
  two cold searches with different seeds, for digits and cancer and several seeds.
- accuracy: test accuracy of the chosen model, refitted on 70 % of digits, for 10 splits.
- detector: outlier detector on five sets of ADBench, 3 values of rho and 4 of alpha, 3 folds, by the AUROC.

Iterations are those of the fits that were kept, over all folds; unlike times they do not depend on the machine.

- listing: the grid of digits and cancer with 100 iterations for each fit, compared with the same in NumPy and SciPy
  (_peers.py, in float64). The last table of a set shows whether two workers are really faster than one. Worker
  processes start in the warm-up round; the memory column is that of the parent process only.
"""

import os
import statistics
import warnings

import numpy as np
from _harness import Report, measured, parser
from _peers import ListingEstimator
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler, minmax_scale

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer
from skl_sae.metrics import anomaly_roc_auc_scorer, explained_variance_scorer
from skl_sae.model_selection import PathSearchCV

GRID = {"rho": [0.02, 0.05, 0.1, 0.2, 0.3], "beta": [0.1, 0.3, 1.0, 3.0, 10.0]}
SMALL_GRID = {"rho": [0.02, 0.05, 0.1, 0.2], "beta": [0.3, 1.0, 3.0, 10.0]}
DETECTOR_GRID = {"rho": [0.03, 0.1, 0.3], "alpha": [0.01, 0.03, 0.1, 0.3]}
SETS = {"digits": (load_digits, 50), "cancer": (load_breast_cancer, 15)}
TABLES = ["2_annthyroid", "12_fault", "37_Stamps", "38_thyroid", "40_vowels"]
CONTENDERS = {"PathSearchCV": PathSearchCV, "GridSearchCV": GridSearchCV}


def iterations(estimator, X, y=None):
    """Scorer: the number of iterations of the autoencoder."""
    return (estimator["code"] if isinstance(estimator, Pipeline) else estimator).n_iter_


def search(kind, estimator, grid, X, y, cv, jobs, scorer="accuracy"):
    """Search by a scorer, and count iterations."""
    scoring = {"score": scorer, "iterations": iterations}
    return kind(estimator, grid, scoring=scoring, refit="score", cv=cv, n_jobs=jobs, error_score="raise").fit(X, y)


def classifier(m, seed):
    """Logistic regression on the code."""
    code = SparseAutoencoderTransformer(m, random_state=seed)
    steps = [("scale", MinMaxScaler()), ("code", code), ("standardise", StandardScaler())]
    return Pipeline([*steps, ("classify", LogisticRegression(max_iter=1000))])


def within(grid):
    return {f"code__{name}": values for name, values in grid.items()}


def n_iterations(found):
    return float(found.cv_results_["mean_test_iterations"].sum() * found.n_splits_)


def compare(report, options, title, run):
    """Measure a search of both kinds, in turn; add a table of times, iterations, best scores and chosen values."""
    rounds = {name: [] for name in CONTENDERS}
    for turn in range(-int(options.warm_up), options.rounds):
        for name, kind in CONTENDERS.items():
            seconds, _, found = measured(lambda kind=kind: run(kind))
            if turn >= 0:
                rounds[name].append((seconds, found))
    ours = rounds["PathSearchCV"]
    rows = []
    for name, timed in rounds.items():
        ratios = [seconds / base for (seconds, _), (base, _) in zip(timed, ours, strict=True)]
        found = timed[0][1]
        row = {"seconds": statistics.median(seconds for seconds, _ in timed), "ratio": statistics.median(ratios)}
        row |= {"lowest": min(ratios), "highest": max(ratios), "iterations": n_iterations(found)}
        row |= {"ratio of iterations": row["iterations"] / n_iterations(ours[0][1]), "best score": found.best_score_}
        if name == "PathSearchCV":
            row["collapsed"] = float(np.nansum(found.path_results_["collapsed"]))
        chosen = ", ".join(f"{key.split('__')[-1]} {value}" for key, value in found.best_params_.items())
        rows.append({"name": f"{name}: {chosen}", **row})
    report.add(title, rows)


def time_small_set(report, name, options):
    load, m = SETS[name]
    X, y = load(return_X_y=True)
    cv, grid = StratifiedKFold(5, shuffle=True, random_state=0), within(GRID)
    for title, estimator, scorer in [
        (f"{name}, with a classifier", classifier(m, 0), "accuracy"),
        (f"{name}, autoencoder alone", classifier(m, 0)[:2], explained_variance_scorer),
    ]:

        def run(kind, estimator=estimator, scorer=scorer):
            return search(kind, estimator, grid, X, y, cv, options.n_jobs, scorer)

        compare(report, options, title, run)


def time_mnist(report, options):
    with np.load(options.data) as file:
        X = (file["X_train"][: options.rows].reshape(-1, 784) / 255).astype(np.float32)
    estimator = SparseAutoencoderTransformer(100, output_activation="sigmoid", random_state=0)
    scorer = explained_variance_scorer

    def run(kind):
        return search(kind, estimator, SMALL_GRID, X, None, 3, options.n_jobs, scorer)

    compare(report, options, f"mnist, {len(X)} images", run)


def compare_tables(report, options):
    """Differences of score tables: of a walk from a cold search, and of cold searches with other seeds."""
    for name, (load, m) in SETS.items():
        X, y = load(return_X_y=True)
        cv = StratifiedKFold(5, shuffle=True, random_state=0)
        found = {
            (kind, seed): search(CONTENDERS[kind], classifier(m, seed), within(GRID), X, y, cv, options.n_jobs)
            for kind in CONTENDERS
            for seed in range(options.seeds)
        }
        table = {key: one.cv_results_["mean_test_score"] for key, one in found.items()}
        rows = []
        for seed in range(options.seeds):
            cold, other = table["GridSearchCV", seed], table["GridSearchCV", (seed + 1) % options.seeds]
            walk, noise = (np.abs(one - cold).mean() for one in (table["PathSearchCV", seed], other))
            best = {f"best, {kind}": table[kind, seed].max() for kind in CONTENDERS}
            count = {f"iterations, {kind}": n_iterations(found[kind, seed]) for kind in CONTENDERS}
            rows.append({"name": f"seed {seed}", "walk": walk, "other seed": noise, **best, **count})
        means = {key: statistics.fmean(row[key] for row in rows) for key in rows[0] if key != "name"}
        ratio = means["iterations, GridSearchCV"] / means["iterations, PathSearchCV"]
        ratios = {"walk / other seed": means["walk"] / means["other seed"], "ratio of iterations": ratio}
        rows.append({"name": "mean", **means, **ratios})
        report.add(f"{name}: mean difference of the score tables", rows)


def compare_accuracy(report, options):
    """Test accuracy of the chosen models, on splits of digits."""
    X, y = load_digits(return_X_y=True)
    scores = {name: [] for name in CONTENDERS}
    for seed in range(options.splits):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
        for name, kind in CONTENDERS.items():
            found = search(kind, classifier(50, 0), within(GRID), X_train, y_train, 5, options.n_jobs)
            scores[name].append(found.best_estimator_.score(X_test, y_test))
    difference = np.subtract(scores["PathSearchCV"], scores["GridSearchCV"])
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else float("nan")
    rows = [{"name": name, "test accuracy": statistics.fmean(values)} for name, values in scores.items()]
    rows.append({"name": "difference", "test accuracy": difference.mean(), "standard error": error})
    report.add(f"digits, {options.splits} splits", rows)


def time_detector(report, options):
    for name in TABLES:
        with np.load(f"{options.adbench}/{name}.npz") as file:
            X, y = file["X"].astype(np.float64), file["y"]
        if len(X) > 5000:
            X, _, y, _ = train_test_split(X, y, train_size=5000, stratify=y, random_state=0)
        cv, detector = (
            StratifiedKFold(3, shuffle=True, random_state=0),
            SparseAutoencoderOutlierDetector(random_state=0),
        )

        def run(kind, X=X, y=y, cv=cv, detector=detector):
            return search(kind, detector, DETECTOR_GRID, X, y, cv, options.n_jobs, anomaly_roc_auc_scorer)

        compare(report, options, f"detector, {name}, {X.shape[0]} x {X.shape[1]}", run)


def search_listing(estimator, X, jobs):
    """Return a function that searches, without a final fit on all rows, and returns the best score."""
    return lambda: GridSearchCV(estimator, GRID, cv=5, refit=False, n_jobs=jobs).fit(X).best_score_


def time_listing(report, options):
    common = dict(max_iter=options.iterations, random_state=0)
    for name, (load, m) in SETS.items():
        X = minmax_scale(load().data)
        sae = SparseAutoencoderTransformer(
            m, output_activation="sigmoid", tol=0, n_iter_no_change=options.iterations + 1, **common
        )
        jobs = options.n_jobs
        contenders = {
            "NumPy and SciPy": search_listing(ListingEstimator(m, **common), X, jobs),
            "skl_sae, float64": search_listing(sae, X, jobs),
            "skl_sae, float32": search_listing(sae, X.astype(np.float32), jobs),
        }
        report.compare(f"{name}, n_jobs={jobs}", contenders, value="best score")
        workers = {f"n_jobs={jobs}": search_listing(sae, X, jobs) for jobs in (options.n_jobs, 1)}
        report.compare(f"{name}, skl_sae, float64", workers)


PARTS = {
    "digits": lambda report, options: time_small_set(report, "digits", options),
    "cancer": lambda report, options: time_small_set(report, "cancer", options),
    "mnist": time_mnist,
    "tables": compare_tables,
    "accuracy": compare_accuracy,
    "detector": time_detector,
    "listing": time_listing,
}


def main():
    options = parser(__doc__, rounds=3)
    options.add_argument("--parts", nargs="+", choices=PARTS, default=["digits", "cancer", "tables", "accuracy"])
    options.add_argument("--n-jobs", type=int, default=2)
    options.add_argument("--no-warm-up", dest="warm_up", action="store_false", help="measure the first round as well")
    options.add_argument("--data", help="mnist.npz")
    options.add_argument("--rows", type=int, default=20000, help="images of MNIST")
    options.add_argument("--adbench", help="folder of ADBench's sets")
    options.add_argument("--seeds", type=int, default=4, help="seeds of the tables")
    options.add_argument("--splits", type=int, default=10, help="splits for the accuracy")
    options.add_argument("--iterations", type=int, default=100, help="iterations of a fit of the listing")
    options = options.parse_args()
    for part, needed in {"mnist": "data", "detector": "adbench"}.items():
        if part in options.parts and not getattr(options, needed):
            raise SystemExit(f"--parts {part} needs --{needed}")
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"  # in the workers
    report = Report(options)
    for part in options.parts:
        PARTS[part](report, options)
    report.close()


if __name__ == "__main__":
    main()
