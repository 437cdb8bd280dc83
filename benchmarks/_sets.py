"""Thirteen data sets that come with scikit-learn or are drawn by it, and thirteen of ADBench."""

from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

READ = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
}
DRAWN = {
    "classification": (datasets.make_classification, dict(n_features=20, n_informative=8, n_classes=3)),
    "blobs": (datasets.make_blobs, dict(n_features=10, centers=8, cluster_std=5)),
    "moons": (datasets.make_moons, dict(noise=0.2)),
    "circles": (datasets.make_circles, dict(noise=0.1, factor=0.5)),
    "quantiles": (datasets.make_gaussian_quantiles, dict(n_features=5)),
    "hastie": (datasets.make_hastie_10_2, {}),
    "swiss roll": (datasets.make_swiss_roll, dict(noise=0.5)),
    "friedman": (datasets.make_friedman1, dict(n_features=10, noise=1.0)),
}
ADBENCH = [
    *("14_glass", "15_Hepatitis", "18_Ionosphere", "20_letter", "22_magic.gamma", "28_pendigits", "29_Pima"),
    *("30_satellite", "37_Stamps", "40_vowels", "41_Waveform", "42_WBC", "6_cardio"),
]
NUMBERS = {"diabetes", "swiss roll", "friedman"}  # targets that are not classes


def standard_sets():
    """Return the thirteen sets, name: (X, y); those that are drawn have 1000 rows."""
    sets = {name: load(return_X_y=True) for name, load in READ.items()}
    for name, (draw, settings) in DRAWN.items():
        sets[name] = draw(n_samples=1000, random_state=0, **settings)
    return sets


def adbench_sets(folder):
    """Return thirteen sets of ADBench, at most 1000 rows of each; y is 1 for anomalies."""
    sets = {}
    for name in ADBENCH:
        with np.load(Path(folder) / f"{name}.npz") as data:
            X, y = data["X"].astype(float), data["y"].ravel().astype(int)
        chosen = np.random.default_rng(0).permutation(len(X))[:1000]
        X, y = X[chosen], y[chosen]
        sets[name.split("_")[1]] = X[:, X.std(axis=0) > 0], y
    return sets


def probe(name, features, y):
    """Return the score of a linear model on standardised features in 5-fold cross-validation, in percent.

    Balanced accuracy for classes, R² for numbers.
    """
    if name in NUMBERS:
        model, folds, scoring = RidgeCV(np.logspace(-3, 3, 7)), KFold, "r2"
    else:
        model, folds = LogisticRegression(max_iter=500, class_weight="balanced"), StratifiedKFold
        scoring = "balanced_accuracy"
    model, folds = make_pipeline(StandardScaler(), model), folds(5, shuffle=True, random_state=0)
    return 100 * cross_val_score(model, features, y, cv=folds, scoring=scoring).mean()
