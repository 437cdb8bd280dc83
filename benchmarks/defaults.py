"""Which beta and alpha give a sparse, useful code without tuning? The figures behind the transformer's defaults.

    python benchmarks/defaults.py                     # digits, breast cancer, wine: about two minutes
    python benchmarks/defaults.py --data mnist.npz    # also the first 4000 images of MNIST: about half an hour more

Every set is used twice, standardised and scaled to [0, 1]. For each beta and alpha, with 100 units and default
parameters otherwise, a line gives the iterations until training stopped, the explained variance, the mean distance of
the units' mean activations from rho, the median over the units of the activation's standard deviation / mean, the share
of activations below 0.05 (large for a sparse code), the share of dead units, and the accuracy in 5-fold
cross-validation of a logistic regression on the standardised code. The autoencoder is trained without labels on all
rows. The first line of a set gives the accuracy on the features themselves.
"""

import argparse
import itertools
import warnings

import numpy as np
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


def row(X, y, **parameters):
    sae = SparseAutoencoderTransformer(random_state=0, **parameters).fit(X)
    codes = sae.transform(X)
    return {
        "iterations": sae.n_iter_,
        "explained": 1 + sae.score(X) / X.var(axis=0).sum(),
        "|mean - rho|": np.abs(sae.mean_activation_ - sae.rho).mean(),
        "std / mean": np.median(codes.std(axis=0) / np.maximum(codes.mean(axis=0), 1e-12)),
        "h < 0.05": np.mean(codes < 0.05),
        "dead": sae.dead_fraction_,
        "accuracy": accuracy(codes, y),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="mnist.npz with X_train (n, 28, 28) and y_train")
    parser.add_argument("--activation", default="sigmoid", choices=["sigmoid", "relu"])
    parser.add_argument("--solver", default="lbfgs", choices=["lbfgs", "adam"])
    parser.add_argument("--beta", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    parser.add_argument("--alpha", type=float, nargs="+", default=[1e-5, 1e-4, 3e-4, 1e-3, 3e-3])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for (name, (X, y)), scaler in itertools.product(load_sets(options.data).items(), [StandardScaler, MinMaxScaler]):
        scaled = scaler().fit_transform(X).astype(np.float32)
        print(f"\n{name}, {scaler.__name__}, {X.shape[0]} x {X.shape[1]}; accuracy raw {accuracy(scaled, y):.3f}")
        for beta, alpha in itertools.product(options.beta, options.alpha):
            settings = dict(beta=beta, alpha=alpha, activation=options.activation, solver=options.solver)
            cells = (f"{key} {value:.4g}" for key, value in row(scaled, y, **settings).items())
            print(f"beta {beta:<5g} alpha {alpha:<7g}" + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
