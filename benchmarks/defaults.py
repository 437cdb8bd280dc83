"""Which beta and alpha give a sparse, useful code without tuning? The figures behind the transformer's defaults.

    python benchmarks/defaults.py                     # digits, breast cancer, wine: about two minutes
    python benchmarks/defaults.py --data mnist.npz    # also the first 4000 images of MNIST: about half an hour more
    python benchmarks/defaults.py --data mnist.npz --beta 3 10 --alpha 1e-3

Every set is used twice, standardised and scaled to [0, 1]. For each beta and alpha, with 100 units and default
parameters otherwise, a row gives the iterations until training stopped, the explained variance, the mean distance of
the units' mean activations from rho, the median over the units of the activation's standard deviation / mean, the share
of activations below 0.05 (large for a sparse code), the share of dead units, and the accuracy in 5-fold
cross-validation of a logistic regression on the standardised code. The autoencoder is trained without labels on all
rows; "gain" compares it with the accuracy on the features themselves.
"""

import itertools
import warnings

import numpy as np
from _harness import Report, parser
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer

LOADERS = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine}


def load_sets(mnist):
    sets = {name: load(return_X_y=True) for name, load in LOADERS.items()}
    if mnist:
        with np.load(mnist) as data:
            sets["MNIST, 4000 images"] = data["X_train"][:4000].reshape(4000, -1).astype(float), data["y_train"][:4000]
    return sets


def accuracy(features, y):
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return cross_val_score(classifier, features, y, cv=5).mean()


def row(name, X, y, raw, **parameters):
    sae = SparseAutoencoderTransformer(random_state=0, **parameters).fit(X)
    codes = sae.transform(X)
    reached = accuracy(codes, y)
    return {
        "name": name,
        "iterations": sae.n_iter_,
        "explained": 1 + sae.score(X) / X.var(axis=0).sum(),
        "|mean - rho|": np.abs(sae.mean_activation_ - sae.rho).mean(),
        "std / mean": np.median(codes.std(axis=0) / np.maximum(codes.mean(axis=0), 1e-12)),
        "h < 0.05": np.mean(codes < 0.05),
        "dead": sae.dead_fraction_,
        "accuracy": reached,
        "gain": reached - raw,
    }


def main():
    options = parser(__doc__, rounds=None, threads=True, plot=False)
    options.add_argument("--data", help="mnist.npz with X_train (n, 28, 28) and y_train")
    options.add_argument("--activation", default="sigmoid", choices=["sigmoid", "relu"])
    options.add_argument("--solver", default="lbfgs", choices=["lbfgs", "adam"])
    options.add_argument("--beta", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    options.add_argument("--alpha", type=float, nargs="+", default=[1e-5, 1e-4, 3e-4, 1e-3, 3e-3])
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report, sets = Report(options), load_sets(options.data)
    for scaling, scaler in {"standardised": StandardScaler(), "in [0, 1]": MinMaxScaler()}.items():
        scaled = {name: (scaler.fit_transform(X).astype(np.float32), y) for name, (X, y) in sets.items()}
        raw = {name: accuracy(X, y) for name, (X, y) in scaled.items()}
        for beta, alpha in itertools.product(options.beta, options.alpha):
            settings = dict(beta=beta, alpha=alpha, activation=options.activation, solver=options.solver)
            rows = [row(name, X, y, raw[name], **settings) for name, (X, y) in scaled.items()]
            report.add(f"{scaling}, beta={beta:g}, alpha={alpha:g}", rows)
    report.close()


if __name__ == "__main__":
    main()
