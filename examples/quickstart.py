"""Sparse autoencoder features and anomaly scores on scikit-learn's handwritten digits (1797 images of 8×8 pixels)."""

import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer

N_COMPONENTS = 64


def classifier(features):
    """Logistic regression on features of pixels that are scaled to [0, 1]."""
    steps = [("scale", MinMaxScaler()), ("features", features), ("standardise", StandardScaler())]
    return Pipeline([*steps, ("classify", LogisticRegression(max_iter=1000))])


def search_rho_and_beta(X_train, y_train):
    """Grid search, in two processes, by the accuracy of the classifier behind the autoencoder."""
    sae = SparseAutoencoderTransformer(N_COMPONENTS, random_state=0)
    grid = {"features__rho": [0.02, 0.05, 0.1, 0.2], "features__beta": [0.3, 3.0, 10.0]}
    return GridSearchCV(classifier(sae), grid, cv=5, n_jobs=2).fit(X_train, y_train)


def print_search(search):
    results = search.cv_results_
    betas = search.param_grid["features__beta"]
    print("cross-validated accuracy" + "".join(f"   beta = {beta:<4}" for beta in betas))
    for rho in search.param_grid["features__rho"]:
        cells = (
            f"   {mean:.4f}     "
            for mean, params in zip(results["mean_test_score"], results["params"], strict=True)
            if params["features__rho"] == rho
        )
        print(f"  rho = {rho:<4}             " + "".join(cells))


def compare_classifiers(X, y):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
    search = search_rho_and_beta(X_train, y_train)
    print_search(search)
    print("test accuracy")
    print(f"  sparse autoencoder, {N_COMPONENTS} units  {search.score(X_test, y_test):.4f}")
    for name, features in [("raw pixels", "passthrough"), (f"PCA, {N_COMPONENTS} components", PCA(N_COMPONENTS))]:
        print(f"  {name:<28} {classifier(features).fit(X_train, y_train).score(X_test, y_test):.4f}")
    return search.best_estimator_["features"]


def score_anomalies(X, y):
    """Train on nine digits; images of the tenth are the anomalies in the test set. Each digit in turn."""
    print("anomaly detection, AUROC      autoencoder   IsolationForest")
    scores = []
    for odd in range(10):
        train, test = train_test_split(np.flatnonzero(y != odd), test_size=0.3, random_state=0)
        test = np.concatenate([test, np.flatnonzero(y == odd)])
        sae = SparseAutoencoderTransformer(random_state=0).fit(X[train])
        forest = IsolationForest(random_state=0).fit(X[train])
        scores.append([roc_auc_score(y[test] == odd, -model.score_samples(X[test])) for model in (sae, forest)])
        print(f"  digit {odd} unseen             {scores[-1][0]:.3f}         {scores[-1][1]:.3f}")
    print("  mean                       {:.3f}         {:.3f}".format(*np.mean(scores, axis=0)))


def print_sparsity(sae):
    mean = sae.mean_activation_
    print(f"sparsity: mean activation asked for {sae.rho}, reached {mean.mean():.4f} (units from {mean.min():.4f} to "
          f"{mean.max():.4f}) in {sae.n_iter_} iterations; dead units {sae.dead_fraction_:.0%}")  # fmt: skip


def main():
    start = time.perf_counter()
    X, y = load_digits(return_X_y=True)
    best = compare_classifiers(X, y)
    score_anomalies(X / 16, y)
    print_sparsity(best)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
