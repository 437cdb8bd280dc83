"""Robust location and scatter of the vectors by which rows are scored, and the scores that follow from them.

The vectors (residuals, codes) of many rows are never all in memory: ``vectors(rows)`` computes them for one block of
rows at a time, where the rows are stored.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

MAX_STEPS = 5  # concentration steps; the first few do nearly all of the work
MIN_SHRINKAGE = 1e-3  # bounds the condition number of a precision matrix
TIE = 1e-9  # scores with a smaller relative difference are tied
TIED_ROUNDED = 1e-6  # the same for scores that were `rounded`
FEW = 2  # with at least this many entries for each row, the precision is computed from products of the rows
LEAST_UNIT = 1e-100  # its square, and the inverse of its square, are finite


class Scatter(NamedTuple):
    """Location and precision P; a vector u scores (u - location)' P (u - location). A diagonal P is a vector."""

    location: np.ndarray
    precision: np.ndarray

    def contributions(self, U):
        """Contribution of each entry of U to the score of its row, in float64 and the shape of U; it may overflow."""
        centred = U - self.location
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = centred * self.precision if self.precision.ndim == 1 else centred @ self.precision
            weighted *= centred
        return weighted

    def scores(self, U):
        # A score is never negative, except through rounding.
        with np.errstate(over="ignore", invalid="ignore"):
            return np.maximum(self.contributions(U).sum(axis=1), 0)


def plain(size):
    """Scatter for which a score is the sum of squares."""
    return Scatter(np.zeros(size), np.ones(size))


def concentrate(rows, vectors, floor, weights, support_fraction, diagonal=False):
    """Location and scatter of the fraction of the rows that lie closest together.

    Concentration steps [1]_: starting from all rows, take the mean and covariance of the kept rows, then keep the rows
    with the lowest scores, until they no longer change or `MAX_STEPS` steps are done. The covariance is shrunk towards
    a multiple of the identity, in units of each entry's standard deviation over the kept rows, so that an extreme value
    has no influence once its row is left out.

    Parameters
    ----------
    rows : Rows
    vectors : callable
        Turns a block of rows into an array of shape (rows, p).
    floor : ndarray of shape (p,)
        Lower limits for the standard deviations, which serve as the units of constant entries.
    weights : ndarray of shape (n,)
        How many rows each row stands for.
    support_fraction : float
        Fraction of the rows to keep.
    diagonal : bool
        Whether to ignore covariances between entries.

    Returns
    -------
    Scatter

    References
    ----------
    .. [1] P. J. Rousseeuw and K. Van Driessen, "A fast algorithm for the minimum covariance determinant estimator",
       Technometrics 41, 1999.
    """
    kept = np.ones(len(weights), dtype=bool)
    floor = np.maximum(floor, LEAST_UNIT)
    for _ in range(MAX_STEPS):
        if not diagonal and FEW * np.count_nonzero(weights * kept) <= len(floor):
            scatter = _scatter_of_few(rows, vectors, weights * kept, floor)
        else:
            location, covariance = moments(rows, vectors, weights * kept, diagonal)
            scatter = Scatter(location, _precision(covariance, floor, weights[kept].sum()))
        closest = lowest(scores_of(rows, vectors, scatter), support_fraction, weights)
        if (closest == kept).all():
            break
        kept = closest
    return scatter


def lowest(scores, support_fraction, weights):
    """True for the rows with the lowest scores that make up ``support_fraction`` of the weight, at least two.

    Rows with the same score, such as copies of a row (up to rounding), are kept or left out together.
    """
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order])
    last = np.searchsorted(reached, support_fraction * reached[-1] * (1 - TIE))
    return scores <= scores[order[min(max(1, last), len(order) - 1)]] * (1 + TIE)


def scores_of(rows, vectors, scatter):
    """Scores (n,) of all rows."""
    return np.concatenate(list(rows.map(functools.partial(_scores, vectors, scatter))))


def _scores(vectors, scatter, rows):
    return scatter.scores(vectors(rows))


def moments(rows, vectors, weights, diagonal=False):
    """Weighted mean and covariance (only its diagonal if ``diagonal``) of the vectors of rows."""
    total = weights.sum()
    mean = rows.sum(functools.partial(_weighted_sum, vectors), weights) / total
    return mean, rows.sum(functools.partial(_products, vectors, mean, diagonal), weights) / total


def _weighted_sum(vectors, rows, w):
    return (vectors(rows) * w[:, None]).sum(axis=0)


def _products(vectors, mean, diagonal, rows, w):
    counted = w > 0
    V, w = vectors(rows)[counted] - mean, w[counted, None]
    return (w * np.square(V)).sum(axis=0) if diagonal else (w * V).T @ V


def _precision(covariance, floor, n):
    """Inverse of the covariance, shrunk in units of the standard deviations, which are at least ``floor``."""
    variance = covariance if covariance.ndim == 1 else np.diag(covariance)
    unit = np.maximum(np.sqrt(variance), floor)
    if covariance.ndim == 1:
        return 1 / np.square(unit)
    return shrunk_precision(covariance, n, unit)[0]


def _scatter_of_few(rows, vectors, weights, floor):
    r"""Location and scatter by way of a matrix (n, n) for n rows, if these are fewer than the entries.

    With A the weighted rows in units of the standard deviations, the covariance after shrinkage is
    :math:`(1 - s) A^\top A + t I`, and its inverse, by Woodbury's formula,

    .. math:: \frac{1}{t} \big(I - (1 - s) A^\top (t I + (1 - s) A A^\top)^{-1} A \big) .
    """
    counted, total = weights > 0, weights.sum()
    V = np.concatenate(list(rows.map(functools.partial(_counted_vectors, vectors), counted)))
    w = weights[counted, None] / total
    location = (w * V).sum(axis=0)
    A = np.sqrt(w) * (V - location)
    unit = np.maximum(np.sqrt(np.square(A).sum(axis=0)), floor)
    A /= unit
    products, p = A @ A.T, len(unit)
    shrinkage, target = _shrinkage(np.square(products).sum() / p**2, np.trace(products) / p, p, total)
    products *= 1 - shrinkage
    products.flat[:: len(products) + 1] += target
    A = np.sqrt(1 - shrinkage) * solve_triangular(cholesky(products, lower=True), A, lower=True)
    precision = A.T @ A
    np.negative(precision, out=precision)
    precision.flat[:: p + 1] += 1
    precision /= target * unit
    precision /= unit[:, None]
    return Scatter(location, precision)


def _counted_vectors(vectors, rows, counted):
    return vectors(rows)[counted]


def shrunk_precision(covariance, n, unit=None):
    """Inverse of a covariance after shrinkage towards a multiple of the identity, and the shrinkage.

    The shrinkage is computed and applied in units of ``unit``, by default the standard deviations. ``n`` is the number
    of rows behind the covariance.
    """
    unit = np.maximum(np.sqrt(np.diag(covariance)), LEAST_UNIT) if unit is None else unit
    covariance = covariance / unit / unit[:, None]
    p = len(unit)
    shrinkage, target = _shrinkage(np.mean(np.square(covariance)), np.trace(covariance) / p, p, n)
    covariance *= 1 - shrinkage
    covariance.flat[:: p + 1] += target
    inverse = cho_solve(cho_factor(covariance, lower=True), np.eye(p))
    return inverse / unit / unit[:, None], float(shrinkage)


def _shrinkage(mean_square, mean_variance, p, n):
    """The shrinkage of a covariance (p, p) of n rows, and what is then added to its diagonal.

    Oracle approximating shrinkage, equation 23 of [1]_ without its terms in 2 / p, as in scikit-learn's `OAS`, from the
    mean square of all entries and the mean of the diagonal; but at least `MIN_SHRINKAGE`.

    References
    ----------
    .. [1] Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
       Transactions on Signal Processing 58, 2010.
    """
    square_mean = mean_variance**2
    denominator = (n + 1) * (mean_square - square_mean / p)
    shrinkage = 1.0 if denominator <= 0 else min((mean_square + square_mean) / denominator, 1.0)
    shrinkage = max(shrinkage, MIN_SHRINKAGE)
    return shrinkage, shrinkage * max(mean_variance, MIN_SHRINKAGE)


def share_codes(terms, deviation, encoder):
    """Share the terms of hidden units among features.

    Parameters
    ----------
    terms : ndarray of shape (n, d + m)
        Terms of features, then of hidden units.
    deviation : ndarray of shape (n, d)
        Absolute distance of each feature from its reference value.
    encoder : ndarray of shape (m, d)
        Absolute encoder weights; a feature's part in a unit is proportional to weight times deviation.

    Returns
    -------
    ndarray of shape (n, d)
    """
    d = deviation.shape[1]
    total = deviation @ encoder.T
    shareable = total > LEAST_UNIT
    terms_per_part = np.divide(terms[:, d:], total, out=np.zeros_like(total), where=shareable)
    shared = deviation * (terms_per_part @ encoder)
    # Where a row equals the reference, the remainder is shared equally among all features.
    left = np.where(shareable, 0, terms[:, d:]).sum(axis=1, keepdims=True)
    return terms[:, :d] + shared + left / d


def rounded(scores):
    """Scores rounded to the precision of float32, since rounding errors depend on the other rows of a block."""
    mantissa, exponent = np.frexp(scores)
    return np.ldexp(np.round(mantissa * 2**23) / 2**23, exponent)
