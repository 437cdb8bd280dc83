"""Robust location and scatter of the vectors by which rows are scored, and what a score is in terms of them.

The vectors (residuals, codes) of many rows are never all in memory: ``vectors(rows)`` makes them for a block of rows at
a time, where the rows are.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ._rows import map_blocks, sum_blocks

MAX_STEPS = 5  # of concentration; the first few do nearly all of the work
MIN_SHRINKAGE = 1e-3  # bounds the condition number of a precision matrix
TIE = 1e-9  # scores that differ by less than this part of them are the same
LEAST_UNIT = 1e-100  # of which the square, and the inverse of the square, are finite


class Scatter(NamedTuple):
    """The score of a vector u is (u - location)' P (u - location); a diagonal P is kept as a vector."""

    location: np.ndarray
    precision: np.ndarray

    def contributions(self, U):
        """What each entry of every row of U adds to the row's score, float64 of the shape of U; it may overflow."""
        centred = U - self.location
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = centred * self.precision if self.precision.ndim == 1 else centred @ self.precision
            weighted *= centred
        return weighted

    def scores(self, U):
        # A quadratic form is not negative, but rounding could make it so.
        with np.errstate(over="ignore", invalid="ignore"):
            return np.maximum(self.contributions(U).sum(axis=1), 0)


def plain(size):
    """The scatter under which a score is the sum of squares."""
    return Scatter(np.zeros(size), np.ones(size))


def concentrate(X, vectors, floor, weights, support_fraction, diagonal=False):
    """Location and scatter of the part of the rows that lie closest together.

    Concentration steps [1]_: mean and covariance of the rows kept, starting from all rows, then keep the rows with the
    lowest scores, until they are the same or `MAX_STEPS` are done. The covariance is shrunk towards a multiple of the
    identity, in units of each entry's standard deviation over the rows kept, so that a wild value counts for nothing
    once its row is left out.

    Parameters
    ----------
    X : rows
    vectors : callable
        Makes of a block of rows an array of shape (rows, p).
    floor : ndarray of shape (p,)
        Standard deviations below these count as these: the unit of an entry that is constant.
    weights : ndarray of shape (n,)
        For how many rows each row stands.
    support_fraction : float
        Part of the rows to keep.
    diagonal : bool
        Whether to leave out how the entries vary together.

    Returns
    -------
    Scatter

    References
    ----------
    .. [1] P. J. Rousseeuw and K. Van Driessen, "A fast algorithm for the minimum covariance determinant estimator",
       Technometrics 41, 1999.
    """
    kept = np.ones(len(weights), dtype=bool)
    for _ in range(MAX_STEPS):
        location, covariance = _moments(X, vectors, weights * kept, diagonal)
        scatter = Scatter(location, _precision(covariance, np.maximum(floor, LEAST_UNIT), weights[kept].sum()))
        closest = lowest(scores_of(X, vectors, scatter), support_fraction, weights)
        if (closest == kept).all():
            break
        kept = closest
    return scatter


def lowest(scores, support_fraction, weights):
    """True for the rows with the lowest scores that make up ``support_fraction`` of the weight, two at least.

    Rows with the same score, as copies of a row have but for rounding, are taken or left together.
    """
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order])
    last = np.searchsorted(reached, support_fraction * reached[-1] * (1 - TIE))
    return scores <= scores[order[min(max(1, last), len(order) - 1)]] * (1 + TIE)


def scores_of(X, vectors, scatter):
    """Scores (n,) of all rows."""
    return np.concatenate(list(map_blocks(X, functools.partial(_scores, vectors, scatter))))


def _scores(vectors, scatter, rows):
    return scatter.scores(vectors(rows))


def _moments(X, vectors, weights, diagonal):
    """Weighted mean and covariance (its diagonal)."""
    total = weights.sum()
    mean = sum_blocks(X, functools.partial(_weighted_sum, vectors), weights) / total
    return mean, sum_blocks(X, functools.partial(_products, vectors, mean, diagonal), weights) / total


def _weighted_sum(vectors, rows, w):
    return (vectors(rows) * w[:, None]).sum(axis=0)


def _products(vectors, mean, diagonal, rows, w):
    counted = w > 0
    V, w = vectors(rows)[counted] - mean, w[counted, None]
    return (w * np.square(V)).sum(axis=0) if diagonal else (w * V).T @ V


def _precision(covariance, floor, n):
    """Inverse of the covariance, shrunk in units of the standard deviations, which are ``floor`` at least."""
    variance = covariance if covariance.ndim == 1 else np.diag(covariance)
    unit = np.maximum(np.sqrt(variance), floor)
    if covariance.ndim == 1:
        return 1 / np.square(unit)
    covariance = covariance / unit / unit[:, None]
    mean_variance = max(np.trace(covariance) / len(unit), MIN_SHRINKAGE)
    shrinkage = max(_oas_shrinkage(covariance, n), MIN_SHRINKAGE)
    covariance *= 1 - shrinkage
    covariance.flat[:: len(unit) + 1] += shrinkage * mean_variance
    inverse = cho_solve(cho_factor(covariance, lower=True), np.eye(len(unit)))
    return inverse / unit / unit[:, None]


def _oas_shrinkage(covariance, n):
    """Oracle approximating shrinkage [1]_, equation 23, as scikit-learn's `OAS` has it, for a given covariance.

    References
    ----------
    .. [1] Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
       Transactions on Signal Processing 58, 2010.
    """
    p = len(covariance)
    mean_square, square_mean = np.mean(np.square(covariance)), (np.trace(covariance) / p) ** 2
    denominator = (n + 1) * (mean_square - square_mean / p)
    return 1.0 if denominator <= 0 else min((mean_square + square_mean) / denominator, 1.0)
