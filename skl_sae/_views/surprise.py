"""How rare a score is among those of the training rows."""

import numpy as np

from .._scoring import rungs
from .graph import count

# Raw scores with a smaller relative difference count as equal: far above rounding, far below what ranks resolve.
TIE = 1e-6

# The highest tenth of the scores decides how fast the tail falls beyond them; Hill's estimate is at least this.
TAIL, LEAST_SLOPE = 0.1, 0.2


class Surprise:
    r"""Turns raw scores into surprises: minus the log of the share of training rows that score as high.

    .. math:: t(s) = -\log \frac{\#\{i : s_i \ge s\} + 1/2}{n + 1} ,

    to which :math:`\log(s / M) / g` is added beyond the highest training score M, with g Hill's estimate [1]_ over the
    highest tenth: a tail that falls by a power law.

    References
    ----------
    .. [1] B. M. Hill, "A simple general approach to inference about the tail of a distribution", Annals of Statistics
       3, 1975.
    """

    def __init__(self, **state):
        vars(self).update(state)

    @classmethod
    def fit(cls, scores, weights, floor):
        """Return the surprise for raw scores (r,) of training rows with weights; scores below ``floor`` are equal."""
        scores, inverse = np.unique(np.maximum(scores, floor), return_inverse=True)
        weights = np.bincount(inverse, weights)
        reached = np.cumsum(weights)
        total = reached[-1]
        top = np.searchsorted(reached, total - max(5, TAIL * total), "right")
        excess = np.log(scores[top:] / scores[top])
        slope = max(np.average(excess, weights=weights[top:]), LEAST_SLOPE)
        kept = rungs(reached)
        below = np.append(0, reached)[kept]
        return cls(scores=scores[kept], below=np.append(below, total), slope=float(slope), floor=float(floor))

    def onnx(self, node, raw):
        """Return surprises (n, 1) of raw scores (n, 1) in a graph."""
        raw, total = node("Max", raw, np.array([self.floor])), self.below[-1]
        lower = node("Mul", raw, np.array([1 - TIE]))
        place = count(node, "Greater", self.scores[:, None], lower)
        inside = node("Gather", np.log((total + 1) / (total - self.below + 0.5)), place, axis=0)
        beyond = node("Log", node("Max", node("Div", raw, np.array([self.scores[-1]])), np.ones(1)))
        return node("Add", inside, node("Div", beyond, np.array([self.slope])))

    def check(self, check_numbers):
        """Refuse attributes that no fit leaves."""
        k = len(self.scores)
        check_numbers("scores of training rows", self.scores, (k,))
        check_numbers("weights of training rows", self.below, (k + 1,))
        for name in ("slope", "floor"):
            value = getattr(self, name)
            check_numbers(f"positive {name}", np.where(np.asarray(value) > 0, value, np.nan), ())

    def __call__(self, raw):
        """Return surprises (n,) of raw scores."""
        raw, total = np.maximum(raw, self.floor), self.below[-1]
        lower = self.below[np.searchsorted(self.scores, raw * (1 - TIE))]
        return np.log((total + 1) / (total - lower + 0.5)) + np.log(np.maximum(raw / self.scores[-1], 1)) / self.slope
