"""The training rows that a detector keeps, and what they say about each feature alone."""

from typing import Any, NamedTuple

import numpy as np

from ._rows import DenseRows
from ._rows.dense import merge_equal

# Most rows and numbers by which views are calibrated, and which are kept for p-values: 128 MiB in float64.
MOST_ROWS, MOST_NUMBERS = 10_000, 2**24

# Most rows and numbers that the nearest neighbours are looked for in.
MOST_KEPT, MOST_KEPT_NUMBERS = 2048, 2**23

# Of a distribution of more values, only as many are kept as give every tail probability to this part.
MOST_VALUES, STEP = 256, 0.02

# Where one value has more than this share of a feature's weight, the others are rare levels.
COMMON = 0.9

# Values further beyond the outer quantiles than this many times their distance are wild: the size of one of them must
# not hide a feature.
QUANTILE, WILD = 0.05, 10

# The deviation, and the length, of a feature with rare levels, in ranges: a rare level is no larger surprise than that
# of an outlying value.
RARE_DEVIATION, RARE_LENGTH = 0.25, 3


def draw(weights, size, rng):
    """Return how often each row is drawn into a sample of this size, in proportion to its weight.

    The draws are spread evenly over the weights, so a row of weight 2 is drawn as two rows would be.
    """
    places = (np.arange(size) + rng.uniform(size=size)) / size
    reached = np.cumsum(weights)
    return np.bincount(np.searchsorted(reached, places * reached[-1], "right"), minlength=len(weights))


class Distribution(NamedTuple):
    """The distribution of a feature, to `STEP` of its tails."""

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
    """What the fit of a scorer, `ViewScorer` or `SupportScorer`, gives.

    A scorer gives `scores` of rows of any kind, `contributions` and `residuals` of a block of rows; `state` and
    `from_state` save and load it, and `check` looks at what was loaded.
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

    Up to `MOST_ROWS` rows are all kept, equal ones as one row of their total weight; this is also what is trained on,
    so that a row of weight 2 is exactly two rows. Of more rows a sample by weight is kept.
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
    if reach == 0:  # nearly all rows have the same value: no telling what is wild
        return values[0], values[-1]
    return max(values[0], low - reach), min(values[-1], high + reach)


def rungs(reached):
    """Return which entries of an increasing cumulative weight tell it to `STEP` of the weight below and above."""
    if len(reached) <= MOST_VALUES:
        return np.arange(len(reached))
    above = np.append(reached[-1], reached[-1] - reached[:-1])
    up, down = (np.floor(np.log(np.maximum(part, 1e-300)) / np.log1p(STEP)) for part in (reached, above))
    return np.flatnonzero((np.diff(up, prepend=-np.inf) != 0) | (np.diff(down, append=-np.inf) != 0))
