"""Small searches, and whether two have the same results."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer
from skl_sae.model_selection import PathSearchCV

GRID = {"rho": [0.05, 0.1, 0.3], "beta": [0.3, 3.0]}


def code(**parameters):
    return SparseAutoencoderTransformer(**{"n_components": 6, "max_iter": 40, "random_state": 0} | parameters)


def classifier(**parameters):
    steps = [("scale", MinMaxScaler()), ("code", code(**parameters)), ("standardise", StandardScaler())]
    return Pipeline([*steps, ("classify", LogisticRegression(max_iter=200))])


def within(grid, prefix="code__"):
    return {prefix + name: values for name, values in grid.items()}


def search(estimator=None, grid=None, **options):
    estimator = classifier() if estimator is None else estimator
    return PathSearchCV(
        estimator, within(GRID) if grid is None else grid, **{"cv": 2, "error_score": "raise"} | options
    )


def without_times(results):
    return {name: values for name, values in results.items() if "time" not in name}


def assert_same_results(one, other):
    assert list(one) == list(other)
    for name, values in without_times(one).items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
