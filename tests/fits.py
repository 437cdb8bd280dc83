"""Short fits, what they learned, and whether two are the same."""

import numpy as np
import pytest

from skl_sae import SparseAutoencoderTransformer
from skl_sae._solvers import SOLVERS

__all__ = ["SOLVERS", "assert_same_fit", "memories", "quiet", "short", "weights_of"]

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning")


def short(**parameters):
    """An estimator that is trained for a moment only."""
    return SparseAutoencoderTransformer(**{"n_components": 8, "max_iter": 15, "random_state": 0} | parameters)


def weights_of(estimator):
    names = ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_"]
    return [getattr(estimator, name) for name in names]


def memories(sae):
    """What the solvers remember of a fit."""
    return sae._training["memories"]


def assert_same_fit(one, other):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in one.history_:
        np.testing.assert_array_equal(one.history_[name], other.history_[name])
