"""How many units should a top-k autoencoder have, and how many of them active?

    python benchmarks/topk_units.py                       # a minute
    python benchmarks/topk_units.py --data mnist.npz      # some minutes more

For every number of units and of active units: the share of the variance of held-out rows that is not explained (FVU),
the accuracy on them of a logistic regression on the codes, and the share of dead units. The data are scikit-learn's
digits; docstrings of installed packages, as `examples/topics_of_docstrings.py` embeds them, with the subpackage as the
class; and, with --data, 10000 images of MNIST. The first two are split into two thirds and one third, and figures are
means over the splits. The classifier sees standardised features (C=0.1). Estimators have their defaults.
"""

import runpy
import warnings
from pathlib import Path

import numpy as np
from _harness import Report, parser
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer, TopKAutoencoderTransformer

UNITS, ACTIVE = [64, 256, 1024], [4, 8, 16, 32]
LEAST_TEXTS = 40


def splits_of(X, y, number):
    """Training rows, test rows and their classes, for every split."""
    return [train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=100 + seed) for seed in range(number)]


def docstrings():
    """Embeddings of the docstrings of subpackages with LEAST_TEXTS or more, and the number of each one's subpackage."""
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "topics_of_docstrings.py"))
    names, texts = example["load"]()
    packages = [name.rpartition(".")[0] for name in names]
    _, y, counts = np.unique(packages, return_inverse=True, return_counts=True)
    X, _ = example["embed"](texts)
    rows = counts[y] >= LEAST_TEXTS
    print(f"{rows.sum()} docstrings of {np.sum(counts >= LEAST_TEXTS)} subpackages")
    return X[rows], y[rows]


def mnist(path):
    data = np.load(path)
    X, X_test = (data[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("X_train", "X_test"))
    return [(X[:10000], X_test[:5000], data["y_train"][:10000], data["y_test"][:5000])]


def accuracy(encoder, X, X_test, y, y_test):
    """Accuracy of a classifier on the codes of a fitted encoder."""
    classifier = make_pipeline(StandardScaler(with_mean=False), LogisticRegression(C=0.1, max_iter=300, tol=1e-3))
    return 100 * classifier.fit(encoder.transform(X), y).score(encoder.transform(X_test), y_test)


def measure(m, k, splits):
    """Means over the splits."""
    found = []
    for seed, (X, X_test, y, y_test) in enumerate(splits):
        sae = TopKAutoencoderTransformer(m, k, random_state=seed).fit(X)
        fvu = -sae.score(X_test) / np.square(X_test - X.mean(axis=0)).sum(axis=1).mean()
        found.append([100 * fvu, accuracy(sae, X, X_test, y, y_test), 100 * sae.dead_fraction_, sae.n_iter_])
    return dict(zip(["FVU %", "accuracy %", "dead %", "epochs"], np.mean(found, axis=0), strict=True))


def compare(name, splits, report, units=UNITS, active=ACTIVE):
    rows = [{"name": f"{m} units, {k} active", **measure(m, k, splits)} for m in units for k in active]
    others = {"raw features": FunctionTransformer()}
    scaler = StandardScaler() if name == "docstrings" else MinMaxScaler()
    others[f"KL, {units[0]} units"] = make_pipeline(scaler, SparseAutoencoderTransformer(units[0], random_state=0))
    for other, encoder in others.items():
        reached = [accuracy(encoder.fit(split[0]), *split) for split in splits]
        rows.append({"name": other, "accuracy %": np.mean(reached)})
    report.add(name, rows)


def main():
    options = parser(__doc__, rounds=None, threads=True, plot=False)
    options.add_argument("--data", help="mnist.npz with X_train (n, 28, 28), y_train, X_test, y_test")
    options.add_argument("--splits", type=int, default=3, help="splits of digits and docstrings")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report = Report(options)
    compare("digits", splits_of(*load_digits(return_X_y=True), options.splits), report)
    compare("docstrings", splits_of(*docstrings(), options.splits), report)
    if options.data:
        compare("MNIST, 10000 images", mnist(options.data), report, units=[256, 1024], active=[8, 32])
    report.close()


if __name__ == "__main__":
    main()
