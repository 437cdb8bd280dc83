"""
Features and anomaly scores of digits
=====================================

The script compares sparse autoencoder features with PCA and with raw pixels, and anomaly scores
with those of IsolationForest, on scikit-learn's handwritten digits (1797 images of 8 × 8 pixels).
It takes about a minute.
"""

import time

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer
from skl_sae.model_selection import PathSearchCV

N_COMPONENTS = 50
SPLITS = 3


def classifier(features):
    """Logistic regression on features of pixels scaled to [0, 1]."""
    steps = [("scale", MinMaxScaler()), ("features", features), ("standardise", StandardScaler())]
    return Pipeline([*steps, ("classify", LogisticRegression(max_iter=1000))])


def search_rho_and_beta(X, y):
    """Search in two processes, by the accuracy of a classifier on the code."""
    sae = SparseAutoencoderTransformer(N_COMPONENTS, random_state=0)
    grid = {"features__rho": [0.02, 0.05, 0.1], "features__beta": [0.3, 3.0, 10.0]}
    return PathSearchCV(classifier(sae), grid, cv=5, n_jobs=2).fit(X, y)


def print_search(search):
    results = search.cv_results_
    for rho in search.param_grid["features__rho"]:
        cells = [
            f"beta {params['features__beta']:<4}  {mean:.4f}"
            for mean, params in zip(results["mean_test_score"], results["params"], strict=True)
            if params["features__rho"] == rho
        ]
        print(f"  rho {rho:<6}" + "      ".join(cells))


def compare_classifiers(X, y):
    """Search on the training part of several splits and print the accuracy on their test parts."""
    print(
        f"search with {N_COMPONENTS} units, accuracy in 5-fold cross-validation "
        f"(first of {SPLITS} splits)",
        flush=True,
    )
    scores = {}
    for seed in range(SPLITS):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.3, stratify=y, random_state=seed
        )
        search = search_rho_and_beta(X_train, y_train)
        if seed == 0:
            print_search(search)
        best = search.best_estimator_["features"]
        contenders = {
            f"sparse autoencoder, {N_COMPONENTS} units": search.best_estimator_,
            "sparse autoencoder, 100 units": classifier(
                clone(best).set_params(n_components=100)
            ).fit(X_train, y_train),
            f"PCA, {N_COMPONENTS} components": classifier(PCA(N_COMPONENTS)).fit(X_train, y_train),
            "64 raw pixels": classifier("passthrough").fit(X_train, y_train),
        }
        for name, model in contenders.items():
            scores.setdefault(name, []).append(model.score(X_test, y_test))
    print(f"test accuracy, mean of {SPLITS} splits")
    for name, values in scores.items():
        print(
            f"  {name:<30}{np.mean(values):.4f}   ("
            + ", ".join(f"{value:.4f}" for value in values)
            + ")"
        )
    return best


def score_anomalies(X, y):
    """For each digit, train on the other nine; its images are the anomalies in the test set."""
    print("anomaly detection, AUROC      autoencoder   IsolationForest")
    scores = []
    for odd in range(10):
        train, test = train_test_split(np.flatnonzero(y != odd), test_size=0.3, random_state=0)
        test = np.concatenate([test, np.flatnonzero(y == odd)])
        sae = SparseAutoencoderTransformer(random_state=0).fit(X[train])
        forest = IsolationForest(random_state=0).fit(X[train])
        scores.append(
            [
                roc_auc_score(y[test] == odd, -model.score_samples(X[test]))
                for model in (sae, forest)
            ]
        )
        print(
            f"  digit {odd} unseen             {scores[-1][0]:.3f}         {scores[-1][1]:.3f}",
            flush=True,
        )
    print("  mean                       {:.3f}         {:.3f}".format(*np.mean(scores, axis=0)))


def print_sparsity(sae, X):
    mean, codes = sae.mean_activation_, sae.transform(X)
    print(f"sparsity: target mean activation {sae.rho}, with beta = {sae.beta}")
    print(
        f"  reached {mean.mean():.4f}, units from {mean.min():.4f} to {mean.max():.4f}, "
        f"{sae.dead_fraction_:.0%} dead"
    )
    low, high = np.mean(codes < 0.05), np.mean(codes > 0.5)
    print(f"  {low:.0%} of the activations are below 0.05, {high:.1%} above 0.5")


def main():
    start = time.perf_counter()
    X, y = load_digits(return_X_y=True)
    best = compare_classifiers(X, y)
    score_anomalies(X / 16, y)
    print_sparsity(best, X / 16)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
