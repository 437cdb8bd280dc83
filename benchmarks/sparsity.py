"""Does sparsity help, and which rho and beta should one choose? A sweep on MNIST.

    python benchmarks/sparsity.py --data mnist.npz --plot sweep.png       # about ten minutes

784 -> 200 units on 10000 training images in [0, 1], alpha = 3e-3, sigmoid output as in UFLDL, 100 iterations of L-BFGS,
float32. For every rho and beta the table gives the accuracy on the 10000 test images of a logistic regression (C = 10)
trained on the unscaled codes of the training images, the explained variance and sparsity (Hoyer's, over the units) on
the test images, the mean activation reached, and the share of dead units.
"""

import itertools
import warnings

import numpy as np
from _harness import Report, parser
from sklearn.linear_model import LogisticRegression
from ufldl import load_mnist

from skl_sae import SparseAutoencoderTransformer
from skl_sae.metrics import explained_variance_scorer, population_sparsity

RHO, BETA = [0.02, 0.05, 0.1, 0.2, 0.4], [0.0, 0.3, 1.0, 3.0, 6.0, 20.0]
FIGURES = ["accuracy", "explained", "sparsity"]


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
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report, (X, y, *test) = Report(options), load_mnist(options.data)
    data = X[:10000], y[:10000], *test
    rows = [measure(data, rho, beta) for rho, beta in itertools.product(RHO, BETA)]
    report.add("MNIST, 200 units on 10000 images", rows)
    report.close(lambda path: draw(rows, path))


if __name__ == "__main__":
    main()
