"""The training rows that a detector keeps, and what they say about each feature alone."""

from typing import Any, NamedTuple

import numpy as np

from ._rows import DenseRows
from ._rows.dense import merge_equal

# Most rows, and most numbers in them, that calibrate views and are kept for p-values: 128 MiB in float64.
MOST_ROWS, MOST_NUMBERS = 10_000, 2**24

# Most rows, and most numbers in them, among which nearest neighbours are looked for.
MOST_KEPT, MOST_KEPT_NUMBERS = 2048, 2**23

# A distribution of more values is thinned; tail probabilities then have at most this relative error.
MOST_VALUES, STEP = 256, 0.02

# Where one value has more than this share of a feature's weight, the others are rare levels.
COMMON = 0.9

# Values further beyond the outer quantiles than this many times the distance between these are wild: a single one, of
# any size, must not hide how the feature varies otherwise.
QUANTILE, WILD = 0.05, 10

# The least standard deviation of a feature with rare levels, and its unit of distances, in ranges: a rare level must
# not be more surprising than an outlying value.
RARE_DEVIATION, RARE_LENGTH = 0.25, 3


def draw(weights, size, rng):
    """Return how often each row is drawn into a sample of this size, in proportion to its weight.

    The draws are spread evenly over the weights, so a row of weight 2 is drawn as two rows would be.
    """
    places = (np.arange(size) + rng.uniform(size=size)) / size
    reached = np.cumsum(weights)
    return np.bincount(np.searchsorted(reached, places * reached[-1], "right"), minlength=len(weights))


class Distribution(NamedTuple):
    """The distribution of a feature; its tails have a relative error of at most `STEP`."""

    values: Any  # (k,), increasing
    lower: Any  # (k + 1,), 0 and the weight at or below each value
    upper: Any  # (k + 1,), the weight at or above each value and 0


class Reference(NamedTuple):
    """Distinct training rows with their weights: all of them, or a sample."""

    X: Any  # (r, d), in the dtype of the training rows
    weights: Any  # (r,)
    kept: Any  # indices of the rows among which neighbours are looked for, increasing
    complete: bool  # whether these are all training rows
    columns: Any  # Distribution of each feature
    fences: Any  # two of (d,), between which values are not wild
    rare: Any  # (d,), whether a feature has rare levels

    @property
    def total(self):
        """The number of rows that these stand for."""
        return self.weights.sum()

    @property
    def rows(self):
        """The distinct rows, as rows."""
        return DenseRows(self.X)

    @property
    def clipped(self):
        """The rows without wild values (r, d)."""
        return np.clip(self.X, *self.fences.astype(self.X.dtype))

    @property
    def span(self):
        """The range of each feature without wild values (d,), or 1."""
        span = self.fences[1] - self.fences[0]
        return np.where(span > 0, span, 1)

    @property
    def length(self):
        """The unit of distances (d,)."""
        return np.where(self.rare, RARE_LENGTH, 1) * self.span

    @property
    def deviation(self):
        """The least standard deviation of each feature (d,)."""
        return np.where(self.rare, RARE_DEVIATION, 0) * self.span


class ScorerFit(NamedTuple):
    """What the fit of a scorer, `ViewScorer` or `SupportScorer`, returns.

    The methods of a scorer are `scores` for rows of any kind, `contributions` and `residuals` for a block of rows;
    `state` and `from_state` save and load it, and `check` validates what was loaded.
    """

    scorer: Any
    scores: Any  # of the training rows, or those of the reference
    reference: Any  # Reference
    support: Any  # (n,), which training rows the autoencoder learned from; None for all
    tie: float  # scores with a smaller relative difference are equal
    floor: float  # and those with a smaller difference


def distinct(X, weights):
    """Return indices of the distinct rows of an array, sorted by their values, and total weights."""
    indices, weights = merge_equal(X + X.dtype.type(0), weights)  # -0 is 0
    # The order of the bytes depends on the units of the features; that of the values does not.
    n_columns, columns = 1, X[indices].T
    while True:
        order = np.lexsort(columns[:n_columns][::-1])
        equal = (columns[:n_columns, order[1:]] == columns[:n_columns, order[:-1]]).all(axis=0)
        if n_columns >= len(columns) or not equal.any():
            return indices[order], weights[order]
        n_columns *= 4


def take_reference(rows, weights, rng):
    """Return a `Reference` for rows of any kind, and the rows and weights to train on.

    Up to `MOST_ROWS` rows are all kept, equal ones as one row of their total weight; these are also the rows to train
    on, so that a row of weight 2 is exactly two rows. Of more rows a sample is kept, drawn by weight.
    """
    most = max(2, min(MOST_ROWS, MOST_NUMBERS // rows.shape[1]))
    complete = len(rows) <= most
    counts = weights if complete else draw(weights, most, rng)
    some = rows if complete else rows.take(counts > 0)
    X = np.concatenate(list(some.map(_toarray)))
    indices, merged = distinct(X, counts[counts > 0].astype(np.float64))
    reference = _describe(X[indices] + X.dtype.type(0), merged, complete, rng)
    if complete:
        rows = some.take(indices) if some.is_local else DenseRows(reference.X)
        weights = merged
    return reference, rows, weights


def _toarray(rows):
    return rows.toarray()


def _describe(X, weights, complete, rng):
    """Return a `Reference` of distinct rows."""
    most = max(2, min(MOST_KEPT, MOST_KEPT_NUMBERS // X.shape[1]))
    kept = np.arange(len(X)) if len(X) <= most else np.flatnonzero(draw(weights, most, rng))
    columns, fences, commonest = zip(*(_look_at(column, weights) for column in X.T), strict=True)
    low, high = np.array(fences).T
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.square(high - low))
    if not finite.all():
        raise ValueError(f"The variance of feature {int(np.argmin(finite))} of X overflows float64. Scale X first.")
    return Reference(
        X, weights, kept, complete, columns, np.array([low, high]), np.array(commonest) > COMMON * weights.sum()
    )


def _look_at(column, weights):
    """Return the distribution of a feature, the values beyond which it is wild, and the weight of the commonest."""
    values, inverse = np.unique(column, return_inverse=True)
    values, weights = values.astype(np.float64), np.bincount(inverse, weights)
    reached = np.cumsum(weights)
    kept = rungs(reached)
    above = np.append(reached[-1] - np.append(0, reached)[kept], 0)
    distribution = Distribution(values[kept], np.append(0, reached[kept]), above)
    return distribution, _fences(values, reached), weights.max()


def _fences(values, reached):
    """Return the values beyond which a feature is wild, or its extremes if nothing is."""
    low, high = values[np.searchsorted(reached, np.array([QUANTILE, 1 - QUANTILE]) * reached[-1])]
    with np.errstate(over="ignore"):
        reach = WILD * (high - low)
    if reach == 0:  # nearly all rows have the same value: nothing tells what is wild
        return values[0], values[-1]
    return max(values[0], low - reach), min(values[-1], high + reach)


def rungs(reached):
    """Return which entries of an increasing cumulative weight to keep, so that both tails are known to `STEP`."""
    if len(reached) <= MOST_VALUES:
        return np.arange(len(reached))
    above = np.append(reached[-1], reached[-1] - reached[:-1])
    up, down = (np.floor(np.log(np.maximum(part, 1e-300)) / np.log1p(STEP)) for part in (reached, above))
    return np.flatnonzero((np.diff(up, prepend=-np.inf) != 0) | (np.diff(down, append=-np.inf) != 0))
