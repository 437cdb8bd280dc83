"""How good and how fast are the detector's scores by a single distance or error, compared with common detectors?

    pip install ".[bench]"
    python benchmarks/anomaly.py --data FOLDER --threads 1             # with anomalies in the training data
    python benchmarks/anomaly.py --data FOLDER --threads 1 --clean     # without: novelty detection

FOLDER holds sets of ADBench [1]_, NAME.npz with X and y (1 = anomaly), and optionally a table of published AUROCs,
paper_table*.csv. Without --data, sets of scikit-learn are used: one class of each, thinned out to 5 % of the rows, is
the anomaly. The protocol is ADBench's: sets of fewer than 1000 rows are resampled to 1000 with replacement (so copies
of a row may be on both sides of the split), larger ones are cut to 10000; a stratified split with 70 % for training;
MinMaxScaler fitted on the training rows; default parameters, except that skl_sae has the scorings from before "auto";
seeds 1, 2 and 3. detector.py has the default scoring.

The tables show AUROC and average precision on the test rows, in percent, averaged over the seeds; the seconds to fit
and to score the test rows; and the mean rank of every detector by AUROC over the sets. Ranks that differ by less than
the critical difference (Nemenyi's test at 5 %) [2]_ may do so by chance.

.. [1] S. Han, X. Hu, H. Huang, M. Jiang and Y. Zhao, "ADBench: anomaly detection benchmark", NeurIPS 2022.
.. [2] J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006.
"""

import csv
import time
import warnings
from pathlib import Path

import numpy as np
from _harness import Report, parser
from scipy.stats import rankdata, studentized_range
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import OneClassSVM

SMALL_SETS = {"breast cancer": (load_breast_cancer, 0), "digits": (load_digits, 8), "wine": (load_wine, 2)}


class PCAReconstruction(PCA):
    """Squared error of the reconstruction from the components that explain 90 % of the variance."""

    def __init__(self):
        super().__init__(0.9)

    def score_samples(self, X):
        return -np.square(X - self.inverse_transform(self.transform(X))).sum(axis=1)


class Pyod:
    """A PyOD detector with scikit-learn's sign."""

    def __init__(self, detector):
        self.detector = detector

    def fit(self, X):
        self.detector.fit(X)
        return self

    def score_samples(self, X):
        return -self.detector.decision_function(X)


def ours(**parameters):
    def make(seed):
        from skl_sae import SparseAutoencoderOutlierDetector

        return SparseAutoencoderOutlierDetector(random_state=seed, **parameters)

    return make


def pyod(module, name, **parameters):
    def make(seed):
        from importlib import import_module

        seeded = {"random_state": seed} if name == "AutoEncoder" else {}
        return Pyod(getattr(import_module(f"pyod.models.{module}"), name)(**seeded, **parameters))

    return make


DETECTORS = {
    "skl_sae, Mahalanobis": ours(scoring="mahalanobis"),
    "skl_sae, squared error": ours(scoring="squared_error"),
    "skl_sae, Mahalanobis, all rows": ours(scoring="mahalanobis", support_fraction=1.0),
    "IsolationForest": lambda seed: IsolationForest(random_state=seed),
    "LocalOutlierFactor": lambda seed: LocalOutlierFactor(novelty=True),
    "OneClassSVM": lambda seed: OneClassSVM(),
    "PCA reconstruction": lambda seed: PCAReconstruction(),
    "PyOD AutoEncoder": pyod("auto_encoder", "AutoEncoder", verbose=0),
    "PyOD KNN": pyod("knn", "KNN"),
    "PyOD ECOD": pyod("ecod", "ECOD"),
}


def small_sets():
    """Return sets of scikit-learn in which one class, thinned out to 5 % of the rows, is the anomaly."""
    sets = {}
    for name, (loader, anomaly) in SMALL_SETS.items():
        X, y = loader(return_X_y=True)
        y = (y == anomaly).astype(int)
        normal, anomalies = np.flatnonzero(y == 0), np.flatnonzero(y)
        chosen = np.random.default_rng(0).permutation(anomalies)[: round(len(normal) * 0.05 / 0.95)]
        rows = np.concatenate([normal, chosen])
        sets[name] = X[rows], y[rows]
    return sets


def load_sets(folder, names=None):
    if folder is None:
        return small_sets()
    sets = {}
    for path in sorted(folder.glob("*.npz"), key=lambda path: (len(path.name.split("_")[0]), path.name)):
        if names is None or path.stem in names or path.stem.split("_", 1)[-1] in names:
            with np.load(path) as data:
                sets[path.stem] = data["X"].astype(np.float64), data["y"]
    if not sets:
        raise SystemExit(f"no sets (*.npz with X and y) in {folder}")
    return sets


def published(folder):
    """Return the published AUROCs in percent, by set and algorithm."""
    table = {}
    for path in folder.glob("paper_table*.csv") if folder else []:
        with open(path) as file:
            for row in csv.DictReader(file):
                name = row.pop("dataset")
                table[name] = {algorithm: float(value) for algorithm, value in row.items() if value}
    return table


def split(X, y, seed, clean=False):
    """Return training rows, test rows and their labels by ADBench's protocol; ``clean``: no anomalies in training."""
    rng = np.random.RandomState(seed)
    if len(y) < 1000:
        rows = rng.choice(len(y), 1000, replace=True)
        X, y = X[rows], y[rows]
    elif len(y) > 10000:
        rows = rng.choice(len(y), 10000, replace=False)
        X, y = X[rows], y[rows]
    train, test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=rng)
    if clean:
        train = train[y_train == 0]
    scaler = MinMaxScaler().fit(train)
    return scaler.transform(train), scaler.transform(test), y_test


def measure(make, X, y, seed, clean):
    """Return AUROC and average precision in percent, the seconds to fit and the seconds to score."""
    train, test, labels = split(X, y, seed, clean)
    start = time.perf_counter()
    detector = make(seed).fit(train)
    fitted = time.perf_counter()
    scores = -detector.score_samples(test)
    scored = time.perf_counter()
    auroc, precision = roc_auc_score(labels, scores), average_precision_score(labels, scores)
    return 100 * auroc, 100 * precision, fitted - start, scored - fitted


def critical_difference(n_detectors, n_sets):
    """Return Nemenyi's critical difference at 5 %: equation 4 of [2] in the module's docstring."""
    quantile = studentized_range.ppf(0.95, n_detectors, np.inf) / np.sqrt(2)
    return quantile * np.sqrt(n_detectors * (n_detectors + 1) / (6 * n_sets))


def add_tables(report, figures, sets, detectors, paper):
    """Add tables of the figures, an array (sets, detectors, 4): AUROC, precision, seconds to fit, seconds to score."""
    for index, title in enumerate(["AUROC in percent", "Average precision in percent"]):
        means = dict(zip(detectors, figures[:, :, index].mean(axis=0), strict=True))
        rows = [{"name": "mean", **means}]
        for name, values in zip(sets, figures[:, :, index], strict=True):
            rows.append({"name": name, **dict(zip(detectors, values, strict=True))})
        if index == 0 and paper:
            for row in rows[1:]:
                row["published IForest"] = paper.get(row["name"], {}).get("IForest")
            known = [row["published IForest"] for row in rows[1:] if row["published IForest"] is not None]
            rows[0]["published IForest"] = np.mean(known)
        report.add(title, rows)
    ranks = np.mean([rankdata(-values) for values in figures[:, :, 0]], axis=0)
    difference = critical_difference(len(detectors), len(sets))
    columns = zip(detectors, ranks, *figures.mean(axis=0).T, strict=True)
    rows = [
        {"name": name, "rank": rank, "AUROC": auroc, "precision": precision, "fit seconds": fit, "score seconds": score}
        for name, rank, auroc, precision, fit, score in sorted(columns, key=lambda row: row[1])
    ]
    report.add(f"Mean ranks by AUROC over {len(sets)} sets; critical difference {difference:.2f}", rows)
    return ranks, difference


def draw(names, ranks, difference, path):
    """Draw the mean ranks, with bars as wide as the critical difference."""
    from matplotlib.figure import Figure

    order = np.argsort(ranks)
    figure = Figure(figsize=(7, 0.4 * len(names) + 1), layout="constrained")
    axis = figure.subplots()
    axis.plot(ranks[order], range(len(names)), "o", color="black")
    for row, rank in enumerate(ranks[order]):
        axis.plot([rank - difference / 2, rank + difference / 2], [row, row], color="0.7", linewidth=4, zorder=0)
    axis.set_yticks(range(len(names)), [names[i] for i in order])
    axis.invert_yaxis()
    axis.set_xlabel("mean rank by AUROC; bars that do not overlap differ at 5 % (Nemenyi)")
    figure.savefig(path, dpi=150)


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--data", type=Path, help="folder with ADBench's sets")
    options.add_argument("--sets", nargs="+", help="use only these sets")
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    options.add_argument("--clean", action="store_true", help="train without anomalies")
    options.add_argument("--detectors", nargs="+", default=list(DETECTORS), choices=list(DETECTORS))
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report = Report(options)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    sets, detectors = load_sets(options.data, options.sets), options.detectors
    for name in detectors:  # compile and import before anything is timed
        X, y = next(iter(sets.values()))
        measure(DETECTORS[name], X, y, 0, options.clean)
    figures = np.array([
        [np.mean([measure(DETECTORS[name], X, y, seed, options.clean) for seed in options.seeds], axis=0)
         for name in detectors]
        for X, y in sets.values()
    ])  # fmt: skip
    ranks, difference = add_tables(report, figures, sets, detectors, published(options.data))
    report.close(lambda path: draw(detectors, ranks, difference, path))


if __name__ == "__main__":
    main()
