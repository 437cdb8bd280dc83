"""How sparse is a code, what does sparsity cost, and which rho and beta should one choose?

    python benchmarks/sparsity.py                                         # thirteen small sets: about two minutes
    python benchmarks/sparsity.py --adbench FOLDER --seeds 1 2 3          # others, on which no choice was made
    python benchmarks/sparsity.py --minmax                                # in [0, 1] instead of standardised
    python benchmarks/sparsity.py --data mnist.npz --plot sweep.png       # about ten minutes

Thirteen sets, standardised, 100 units. For every setting a line gives, averaged over the seeds, the share of
activations below 0.05 and of exact zeros, the share below rho / 2 (a unit that always stays near a rho below 0.05 would
be in the first share), sparsity (Hoyer's, over the units), the median over the units of the activation's standard
deviation / mean, explained variance, and the score of a linear model on the code: balanced accuracy, or R² for numbers,
in 5-fold cross-validation, and what it gains over the features themselves, whose scores are in the first table. The
autoencoder is trained without labels on all rows. A last table has the change of explained variance and score from the
defaults.

MNIST: 784 -> 200 units on 10000 training images in [0, 1], alpha = 3e-3, sigmoid output as in UFLDL, 100 iterations of
L-BFGS, float32. For every rho and beta the table gives the accuracy on the 10000 test images of a logistic regression
(C = 10) trained on the unscaled codes of the training images, the explained variance and sparsity (Hoyer's, over the
units) on the test images, the mean activation reached, and the share of dead units.
"""

import itertools
import warnings

import numpy as np
from _harness import Report, parser
from _sets import adbench_sets, probe, standard_sets
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from ufldl import load_mnist

from skl_sae import SparseAutoencoderTransformer
from skl_sae.metrics import explained_variance_scorer, population_sparsity

RHO, BETA = [0.02, 0.05, 0.1, 0.2, 0.4], [0.0, 0.3, 1.0, 3.0, 6.0, 20.0]
FIGURES = ["accuracy", "explained", "sparsity"]

SETTINGS = {
    "defaults": {},
    "rho=0.045, alpha=3e-4": dict(rho=0.045, alpha=3e-4),
    "rho=0.02": dict(rho=0.02),
    "ReLU": dict(activation="relu"),
    "ReLU, rho=0.05": dict(activation="relu", rho=0.05),
}


def describe(name, X, y, settings, seed):
    """Return the figures of a code of one of the small sets."""
    sae = SparseAutoencoderTransformer(random_state=seed, **settings).fit(X)
    H = sae.transform(X)
    return {"< .05": 100 * np.mean(H < 0.05), "zero": 100 * np.mean(H == 0),
            "< rho/2": 100 * np.mean(H / sae.rho < 0.5), "sparsity": population_sparsity(H),
            "std / mean": np.median(H.std(axis=0) / np.maximum(H.mean(axis=0), 1e-12)),
            "explained": 100 * explained_variance_scorer(sae, X), "score": probe(name, H, y)}  # fmt: skip


def compare_settings(report, sets, seeds):
    figures, raw = {}, {name: probe(name, X, y) for name, (X, y) in sets.items()}
    report.add("features", [{"name": name, "score": score} for name, score in raw.items()])
    for setting, parameters in SETTINGS.items():
        rows = []
        for name, (X, y) in sets.items():
            found = [describe(name, X, y, parameters, seed) for seed in seeds]
            means = {key: np.mean([one[key] for one in found]) for key in found[0]}
            rows.append({"name": name, **means, "gain": means["score"] - raw[name]})
        figures[setting] = rows
        report.add(setting, rows)
    lines = []
    for setting, rows in figures.items():
        line = {"name": setting}
        for key in ("< .05", "zero", "sparsity"):
            line[f"least {key}"] = min(row[key] for row in rows)
        for key in ("explained", "score"):
            changes = [row[key] - base[key] for row, base in zip(rows, figures["defaults"], strict=True)]
            line |= {f"worst {key}": min(changes), f"mean {key}": np.mean(changes)}
        lines.append(line)
    report.add("all sets, and changes from the defaults in points", lines)


def measure(data, rho, beta):
    X, y, X_test, y_test = data
    sae = SparseAutoencoderTransformer(
        200, rho=rho, beta=beta, alpha=3e-3, output_activation="sigmoid", max_iter=100, tol=0, random_state=0
    ).fit(X)
    H = sae.transform(X_test)
    model = LogisticRegression(C=10, max_iter=200, tol=1e-3).fit(sae.transform(X), y)
    return {"name": f"rho = {rho}, beta = {beta}", "accuracy": 100 * model.score(H, y_test),
            "explained": 100 * explained_variance_scorer(sae, X_test), "sparsity": population_sparsity(H),
            "mean activation": sae.mean_activation_.mean(), "dead": sae.dead_fraction_}  # fmt: skip


def draw(rows, path):
    from matplotlib.figure import Figure

    titles = ["accuracy in percent", "explained variance in percent", "sparsity (Hoyer) of the code"]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axis, key, title in zip(figure.subplots(1, 3), FIGURES, titles, strict=True):
        values = np.reshape([row[key] for row in rows], (len(RHO), len(BETA)))
        axis.imshow(values, cmap="cividis", aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            dark = value < (values.min() + values.max()) / 2
            axis.text(j, i, f"{value:.3g}", ha="center", va="center", color="white" if dark else "black", fontsize=8)
        axis.set(title=title, xlabel="beta", ylabel="rho")
        axis.set_xticks(range(len(BETA)), BETA)
        axis.set_yticks(range(len(RHO)), RHO)
    figure.savefig(path, dpi=100)


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--data", help="mnist.npz with X_train (n, 28, 28), y_train, X_test, y_test")
    options.add_argument("--adbench", help="folder with sets of ADBench, to use instead of the thirteen sets")
    options.add_argument("--minmax", action="store_true", help="scale the small sets to [0, 1]")
    options.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds on the small sets")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report = Report(options)
    if options.data:
        X, y, *test = load_mnist(options.data)
        data = X[:10000], y[:10000], *test
        rows = [measure(data, rho, beta) for rho, beta in itertools.product(RHO, BETA)]
        report.add("MNIST, 200 units on 10000 images", rows)
        report.close(lambda path: draw(rows, path))
    else:
        sets = adbench_sets(options.adbench) if options.adbench else standard_sets()
        scaler = MinMaxScaler() if options.minmax else StandardScaler()
        compare_settings(report, {name: (scaler.fit_transform(X), y) for name, (X, y) in sets.items()}, options.seeds)
        report.close()


if __name__ == "__main__":
    main()
