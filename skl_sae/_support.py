"""Scores by one distance or error, from the part of the training rows that lies closest together."""

import functools
import operator
from typing import Any

import numpy as np

from ._model import check_overflow
from ._rows import DenseRows
from ._scatter import Scatter, concentrate, lowest, plain, scores_of, share_codes
from ._scoring import ScorerFit, take_reference

# Limit in numbers (32 MiB) for keeping the scored vectors of all rows; beyond it, every pass recomputes them.
KEPT_NUMBERS = 2**22

# Most features for a covariance: a larger one takes more than 2 GB, several times over.
MOST_FEATURES = 2**14

# Activations and residuals with a smaller standard deviation (residuals: relative to their feature's) are constant.
CONSTANT = 0.01

# Scaled values are clipped here so that squares and their sums stay finite; rows beyond the limit are tied.
LIMITS: dict[np.dtype[Any], Any] = {np.dtype(np.float64): 1e100, np.dtype(np.float32): np.float32(1e30)}


class SupportScorer:
    """Scores rows by "mahalanobis", "standardized_error" or "squared_error", see `SparseAutoencoderOutlierDetector`.

    Parameters
    ----------
    scoring : str
    mean, scale : ndarrays of shape (d,)
        Mean and unit of the features; 0 and 1 without scaling.
    centre : ndarray of shape (d,)
        The mean of the scaled features, from which `share_codes` measures deviations.
    network : Network
        In float64.
    scatter : Scatter
        Of the vectors that are scored.
    """

    def __init__(self, scoring, mean, scale, centre, network, scatter):
        self.scoring, self.mean, self.scale, self.centre = scoring, mean, scale, centre
        self.network, self.scatter = network, scatter

    # -- fitting -----------------------------------------------------------------------------------

    @classmethod
    def fit(cls, rows, weights, rng, settings, learn):
        """Fit to rows of any kind; return a `ScorerFit`.

        ``learn(rows, weights)`` trains the autoencoder on scaled rows and returns a `Network` in float64.
        """
        if settings.scoring == "mahalanobis" and rows.shape[1] > MOST_FEATURES:
            raise ValueError(
                f'scoring="mahalanobis" takes at most {MOST_FEATURES} features, got {rows.shape[1]}: it needs a matrix '
                'of their number squared. Use scoring="auto" or "standardized_error".'
            )
        support = np.ones(len(rows), dtype=bool)
        scorer, scores = cls._fit_support(rows, weights, support, settings, learn)
        if settings.support_fraction < 1:
            support = lowest(scores, settings.support_fraction, weights)
            scorer, scores = cls._fit_support(rows, weights, support, settings, learn)
        reference, *_ = take_reference(rows, weights, rng)
        return ScorerFit(scorer, scores, reference, support, *scorer._rounding(rows))

    @classmethod
    def _fit_support(cls, rows, weights, support, settings, learn):
        """Train on the rows of the support; return the scorer and the scores of all rows."""
        chosen, chosen_weights = (rows, weights) if support.all() else (rows.take(support), weights[support])
        mean, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
        if settings.scaling:
            mean, scale = _mean_and_scale(chosen, chosen_weights, rows, weights)
        scaled = chosen.map_rows(functools.partial(_scale, mean, scale))
        network = learn(scaled, chosen_weights)
        centre, variance = scaled.moments(chosen_weights)
        low, high = scaled.bounds()
        scorer = cls(settings.scoring, mean, scale, centre, network, None)
        deviation = np.where(low == high, 0, np.sqrt(variance))
        scorer.scatter = scorer._learn_scatter(rows, weights, deviation, settings.support_fraction)
        return scorer, scorer.scores(rows)

    def _learn_scatter(self, rows, weights, deviation, support_fraction):
        if self.scoring == "squared_error":
            return plain(rows.shape[1])
        floor = CONSTANT * np.where(deviation > 0, deviation, 1)
        full = self.scoring == "mahalanobis"
        if full:
            floor = np.concatenate([floor, np.full(len(self.network.W), CONSTANT)])
        vectors = self.vectors
        if rows.is_local and len(rows) * len(floor) <= KEPT_NUMBERS:
            rows, vectors = DenseRows(np.concatenate(list(rows.map(vectors)))), DenseRows.toarray
        return concentrate(rows, vectors, floor, weights, support_fraction, diagonal=not full)

    # -- using the fit -----------------------------------------------------------------------------

    def scores(self, rows, once=operator.call):
        """Return the scores (n,) of rows of any kind; ``once`` is for `ViewScorer` alone."""
        return check_overflow(scores_of(rows, self.vectors, self.scatter), "the scores")

    def vectors(self, rows):
        """Return the vectors that are scored, residuals first, in float64."""
        return self._explain(rows)[1]

    def residuals(self, rows):
        """Return the residuals (n, d) of a block of rows, in scaled units."""
        return self.vectors(rows)[:, : rows.shape[1]]

    def reconstruct(self, rows):
        """Return the reconstructions (n, d) of a block of rows, in the units of X."""
        return rows.toarray() - self.scale * self.residuals(rows)

    def _explain(self, rows):
        """Return the scaled rows of a block, and the vectors that are scored."""
        scaled, network = _scale(self.mean, self.scale, DenseRows(rows.toarray())), self.network.astype(rows.dtype)
        H = network.encode(scaled)
        residual = scaled.toarray().astype(np.float64) - network.decode(H)
        return scaled.toarray(), np.hstack([residual, H]) if self.scoring == "mahalanobis" else residual

    def location_and_precision(self):
        """Return the moments by which vectors are scored."""
        return tuple(self.scatter)

    def contributions(self, rows):
        """Return contributions (n, d) to the scores of a block of rows."""
        scaled, vectors = self._explain(rows)
        terms = check_overflow(self.scatter.contributions(vectors), "the contributions")
        if terms.shape[1] == scaled.shape[1]:
            return terms
        return share_codes(terms, np.abs(scaled - self.centre), np.abs(self.network.W))

    def _rounding(self, rows):
        """Return relative and absolute differences of scores that are rounding errors."""
        eps = np.finfo(rows.dtype).eps
        size = np.concatenate([np.ones_like(self.centre) + np.square(self.centre), np.ones(len(self.network.W))])
        precision = self.scatter.precision
        precision = np.diag(precision) if precision.ndim == 2 else precision
        return 1e3 * eps, np.square(100 * eps) * (precision * size[: len(precision)]).sum()

    # -- saving ------------------------------------------------------------------------------------

    def state(self):
        """Return arrays from which `from_state` makes this scorer."""
        names = "scoring", "mean", "scale", "centre"
        return {**{name: getattr(self, name) for name in names}, **self.scatter._asdict()}

    @classmethod
    def from_state(cls, state, network):
        """Return the scorer of a `state`, with its autoencoder."""
        state = dict(state)
        scatter = Scatter(*(state.pop(name) for name in Scatter._fields))
        return cls(network=network, scatter=scatter, **state)

    def check(self, check_numbers, d, m):
        """Refuse attributes that no fit leaves, for d features and m units."""
        full = self.scoring == "mahalanobis"
        p = d + m if full else d
        check_numbers("location", self.scatter.location, (p,))
        check_numbers("precision", self.scatter.precision, (p, p) if full else (p,))
        check_numbers("mean row", self.centre, (d,))
        check_numbers("means of the features", self.mean, (d,))
        check_numbers("positive scale of the features", np.where(self.scale > 0, self.scale, np.nan), (d,))


def _scale(mean, scale, rows):
    return rows.standardized(mean, scale, LIMITS[rows.dtype])


def _mean_and_scale(chosen, chosen_weights, rows, weights):
    """Return mean and scale of the support; a feature that is constant there takes its scale from all rows."""
    mean, scale = _standardization(chosen, chosen_weights)
    low, high = chosen.bounds()
    constant = low == high
    if constant.any() and len(chosen) < len(rows):
        scale[constant] = _standardization(rows, weights)[1][constant]
    return mean, scale


def _standardization(rows, weights):
    """Return mean and standard deviation of every feature, 1 for a constant."""
    mean, variance = rows.moments(weights)
    finite_variance = np.isfinite(variance)
    if not finite_variance.all():
        raise ValueError(
            f"The variance of feature {int(np.argmin(finite_variance))} of X overflows float64. Scale X first."
        )
    n, eps = len(rows), np.finfo(np.float64).eps
    with np.errstate(over="ignore"):
        constant = variance <= n * eps * variance + np.square(n * mean * eps)  # scikit-learn's limit for rounding
    # A smaller scale may be 0 in the dtype of X.
    return mean, np.maximum(np.where(constant, 1, np.sqrt(variance)), np.finfo(rows.dtype).tiny)
