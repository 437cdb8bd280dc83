"""A view of every feature alone: how far out a value is in the distribution of its feature."""

import numpy as np

from .base import View
from .graph import count, row_sum
from .kept import SAME


class Tails(View):
    r"""Squared surprises of the values, summed over the features.

    .. math:: s(x) = \sum_j \log^2 \min\Big(1, 2 \, \frac{\min(L_j, U_j) + 1/2}{n + 1}\Big)

    with :math:`L_j` and :math:`U_j` the weight of the training rows at or below, and at or above, the value of feature
    j: the tail probabilities of ECOD [1]_, which do not depend on the units of the features. The logs are squared so
    that one wild value counts more than many that are a little unusual.

    References
    ----------
    .. [1] Z. Li et al., "ECOD: Unsupervised outlier detection using empirical cumulative distribution functions", IEEE
       Transactions on Knowledge and Data Engineering 35, 2023.
    """

    @classmethod
    def fit(cls, fitting):
        """Keep what describes the distribution of every feature to 2 %."""
        reference = fitting.reference
        values, lower, upper = (_padded(parts) for parts in zip(*reference.columns, strict=True))
        values[np.isnan(values)] = np.inf
        lower, upper, tolerance = np.nan_to_num(lower), np.nan_to_num(upper), SAME * reference.span
        return cls(values=values, lower=lower, upper=upper, tolerance=tolerance, total=float(reference.total))

    def onnx(self, node, tensors):
        """Return sums of squared surprises (n, 1) in a graph."""
        own, X = tensors.place.own_weight, tensors.X
        not_above = count(node, "GreaterOrEqual", self.values, node("Add", X, self.tolerance))
        below = count(node, "Greater", self.values, node("Sub", X, self.tolerance))
        lower = node("GatherElements", self.lower, not_above, axis=0)
        upper = node("GatherElements", self.upper, below, axis=0)
        tail = node("Max", node("Sub", node("Min", lower, upper), own), np.zeros(1))
        share = node("Div", node("Add", tail, np.array([0.5])), node("Sub", np.array([self.total + 1]), own))
        surprise = node("Log", node("Min", node("Mul", share, np.array([2.0])), np.ones(1)))
        return row_sum(node, node("Mul", surprise, surprise))

    def check(self, check_numbers, d, m, k):
        """Refuse distributions that no fit leaves."""
        n = len(self.values)
        check_numbers("values of the features", np.where(np.isposinf(self.values), 0, self.values), (n, d))
        for name in ("lower", "upper"):
            check_numbers(f"{name} weights of the features", getattr(self, name), (n + 1, d))
        check_numbers("tolerance of the features", self.tolerance, (d,))
        check_numbers("weight of all rows", self.total, ())

    def terms(self, inputs):
        """Return squared surprises (n, d)."""
        own, T = inputs.place.own_weight, np.empty(inputs.X.shape)
        for j, x in enumerate(inputs.X.T):
            lower = self.lower[np.searchsorted(self.values[:, j], x + self.tolerance[j], "right"), j]
            upper = self.upper[np.searchsorted(self.values[:, j], x - self.tolerance[j], "left"), j]
            tail = np.maximum(np.minimum(lower, upper) - own, 0)
            T[:, j] = np.log(np.minimum(2 * (tail + 0.5) / (self.total - own + 1), 1))
        return np.square(T)


def _padded(columns):
    """Return columns of different lengths as one array, padded with NaN."""
    array = np.full((max(map(len, columns)), len(columns)), np.nan)
    for j, column in enumerate(columns):
        array[: len(column), j] = column
    return array
