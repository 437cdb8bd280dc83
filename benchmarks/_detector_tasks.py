"""The tasks of detector.py: training rows, test rows, and which of the test rows are anomalies.

Data sets come in two halves, by the SHA-256 of their names: "explore", which may guide a design, and "confirm", which
may only be looked at when the design is finished.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler

PARTS = ["explore", "confirm"]


class Task(NamedTuple):
    """A training set and a test set; the figures of a group are means over its data sets."""

    group: str
    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray  # 1 for anomalies


def seed_of(name):
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2**31


def part_of(name):
    return PARTS[seed_of(name) % 2]


def data_folder(path):
    """Return the folder with the data from the option ``--data`` or the environment, or None."""
    path = path or os.environ.get("SKL_SAE_DATA")
    return Path(path) if path else None


def set_names(folder, kind):
    """Return the names of all data sets of a kind; stop with a message if there are none."""
    if kind in ("digits", "mnist"):
        names = [f"{kind}_{digit}" for digit in range(10)]
    elif kind == "synthetic":
        names = [*BUILT_IN, *_stems(folder, "adbench")]
    else:
        names = _stems(folder, kind)
    if not names or (kind == "mnist" and not (folder and (folder / "mnist.npz").exists())):
        files = "mnist.npz" if kind == "mnist" else f"{kind}/*.npz"
        raise SystemExit(
            f"No data for {kind!r}: found no {files}. Pass --data FOLDER or set SKL_SAE_DATA, or run "
            "--kinds digits synthetic, which need no files."
        )
    return names


def _stems(folder, kind):
    files = sorted((folder / kind).glob("*.npz")) if folder else []
    return [path.stem for path in files if path.stem != "words"]  # word vectors have no labels


def load_tasks(folder, kind, name):
    """Yield the tasks that belong to a data set."""
    return TASKS[kind](folder, name)


def _tables(folder, name):
    """Normal rows for training; in the contaminated task, half of the test rows join them."""
    with np.load(folder / "tables" / f"{name}.npz") as data:
        train, test, labels = data["X_train"].astype(float), data["X_test"].astype(float), data["y_test"].astype(int)
    yield Task("tables, clean", train, test, labels)
    try:
        joining, kept = train_test_split(np.arange(len(labels)), test_size=0.5, stratify=labels, random_state=0)
    except ValueError:  # a single anomaly cannot be split
        return
    if labels[kept].any():
        yield Task("tables, contaminated", np.vstack([train, test[joining]]), test[kept], labels[kept])


def _adbench(folder, name):
    """ADBench's protocol: 1000 to 10000 rows, 70 % for training, scaled to [0, 1], three seeds."""
    with np.load(folder / "adbench" / f"{name}.npz") as data:
        X, y = data["X"].astype(float), data["y"].astype(int)
    for seed in (1, 2, 3):
        rng = np.random.RandomState(seed)
        rows = np.arange(len(y))
        if len(y) < 1000:
            rows = rng.choice(len(y), 1000)
        elif len(y) > 10000:
            rows = rng.choice(len(y), 10000, replace=False)
        parts = train_test_split(X[rows], y[rows], test_size=0.3, stratify=y[rows], random_state=seed)
        train, test, train_labels, labels = parts
        scaler = MinMaxScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
        yield Task("ADBench, contaminated", train, test, labels)
        yield Task("ADBench, clean", train[train_labels == 0], test, labels)


def _embeddings(folder, name):
    """300 or 2000 training rows, without anomalies or with 5 % of them."""
    with np.load(folder / "embeddings" / f"{name}.npz") as data:
        X, y = data["X"].astype(float), data["y"].astype(int)
    rng = np.random.RandomState(seed_of(name))
    for n in (300, 2000):
        if n > len(y) // 2:
            continue
        normal, odd = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
        few = min(n // 20, len(odd) // 2)
        test = np.r_[normal[n : n + 2000], odd[few:]]
        for kind, train in (("clean", normal[:n]), ("contaminated", np.r_[normal[few:n], odd[:few]])):
            yield Task(f"embeddings, {n} rows, {kind}", X[train], X[test], y[test])


def _mnist(folder, name, n=2000):
    """MNIST's images; one digit is not among the training rows."""
    digit = int(name[-1])
    with np.load(folder / "mnist.npz") as data:
        A, a, B, b = data["X_train"], data["y_train"], data["X_test"], data["y_test"]
    rng = np.random.RandomState(digit)
    train = rng.choice(np.flatnonzero(a != digit), n, replace=False)
    test = rng.choice(len(b), 2000, replace=False)
    A, B = A[train].reshape(n, -1) / 255.0, B[test].reshape(2000, -1) / 255.0
    yield Task("MNIST, clean", A, B, (b[test] == digit).astype(int))


def _digits(folder, name):
    """scikit-learn's digits; one digit is not among the training rows, which are two thirds of the other images."""
    X, y = load_digits(return_X_y=True)
    digit = int(name[-1])
    normal = np.random.RandomState(digit).permutation(np.flatnonzero(y != digit))
    n = len(normal) * 2 // 3
    test = np.r_[normal[n:], np.flatnonzero(y == digit)]
    yield Task("digits, clean", X[normal[:n]], X[test], (y[test] == digit).astype(int))


# Synthetic anomalies of four types, after ADBench: S. Han, X. Hu, H. Huang, M. Jiang and Y. Zhao, "ADBench: anomaly
# detection benchmark", NeurIPS 2022.

BUILT_IN = {
    "breast_cancer": lambda: load_breast_cancer().data[load_breast_cancer().target == 1],
    "diabetes": lambda: load_diabetes().data,
    "digits": lambda: load_digits().data,
    "iris": lambda: load_iris().data,
    "wine": lambda: load_wine().data,
}


def _synthetic(folder, name):
    """Anomalies around the normal rows of a real set: local, cluster, global, dependency.

    For the first three a Gaussian mixture fitted to the set supplies the normal rows. Local anomalies come from the
    mixture with five times the covariances, clusters from that with five times the means, global ones from a uniform
    distribution over the range of each feature, a tenth wider at both ends. For the last, normal rows are the set's
    own, and each value of an anomaly comes from a row of its own. Half of the normal rows are for training; in the
    contaminated tasks, 5 % of the training rows are anomalies.
    """
    rng = np.random.RandomState(seed_of(name))
    normal = MinMaxScaler().fit_transform(_normal_rows(folder, name, rng))
    mixture = _fit_mixture(normal, rng)
    n = len(normal) // 2
    few, many = max(n // 20, 1), max(n // 10, 5)
    for kind in ("local", "cluster", "global", "dependency"):
        rows = rng.permutation(normal) if kind == "dependency" else rng.permutation(_draw(mixture, 2 * n, rng))
        odd = _anomalies(kind, few + many, rows, mixture, rng)
        test, labels = np.vstack([rows[n:], odd[few:]]), np.r_[np.zeros(len(rows) - n, int), np.ones(many, int)]
        yield Task(f"synthetic {kind}, clean", rows[:n], test, labels)
        yield Task(f"synthetic {kind}, contaminated", np.vstack([rows[few:n], odd[:few]]), test, labels)


def _normal_rows(folder, name, rng, most=2000):
    if name in BUILT_IN:
        rows = BUILT_IN[name]()
    else:
        with np.load(folder / "adbench" / f"{name}.npz") as data:
            rows = data["X"][data["y"] == 0].astype(float)
    return rows[rng.permutation(len(rows))[:most]]


def _fit_mixture(rows, rng):
    """Return the Gaussian mixture that is best by BIC, among those of up to five components."""
    mixtures = [GaussianMixture(k, random_state=rng).fit(rows) for k in range(1, 6)]
    return min(mixtures, key=lambda mixture: mixture.bic(rows))


def _draw(mixture, n, rng, means=1.0, covariances=1.0):
    """Return rows from a mixture whose means and covariances are multiplied by these numbers."""
    counts = rng.multinomial(n, mixture.weights_)
    components = zip(mixture.means_, mixture.covariances_, counts, strict=True)
    return np.vstack([rng.multivariate_normal(means * m, covariances * c, count) for m, c, count in components])


def _anomalies(kind, n, rows, mixture, rng):
    if kind == "local":
        return rng.permutation(_draw(mixture, n, rng, covariances=5))
    if kind == "cluster":
        return rng.permutation(_draw(mixture, n, rng, means=5))
    if kind == "global":
        low, high = rows.min(axis=0), rows.max(axis=0)
        return rng.uniform(low - 0.1 * (high - low), high + 0.1 * (high - low), size=(n, rows.shape[1]))
    return np.column_stack([rng.choice(column, n) for column in rows.T])


TASKS = {
    "tables": _tables,
    "adbench": _adbench,
    "digits": _digits,
    "mnist": _mnist,
    "embeddings": _embeddings,
    "synthetic": _synthetic,
}
