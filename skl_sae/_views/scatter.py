"""Views of how features vary together: the Mahalanobis distance of the features, and of residual and code."""

import functools

import numpy as np

from .._scatter import moments, share_codes, shrunk_precision
from .base import View
from .graph import quadratic

# The least standard deviation of an entry, relative to the spread of its feature; for codes, absolute.
CONSTANT = 0.01


class WeightedScatter(View):
    r"""Squared Mahalanobis distance from the mean, of vectors that subclasses make of a row.

    Mean and covariance weight each training row by its plausibility. The covariance is shrunk (see `shrunk_precision`).
    A training row with the share a in the weight is scored by mean and covariance without it,

    .. math:: s_{(-i)} = \frac{s}{(1 - a) \big(1 - \kappa \frac{a}{1 - a} s \big)} ,

    which follows from the formula of Sherman and Morrison, with :math:`\kappa` the weight of the rows' own covariance
    in the shrunk one.
    """

    @classmethod
    def fit(cls, fitting):
        """Return the view by the moments of the plausible rows."""
        vectors = functools.partial(_vectors, cls.vectors, fitting.explain)
        mean, covariance = moments(fitting.rows, vectors, fitting.weights)
        floor = cls.least_deviation(fitting, len(mean))
        covariance.flat[:: len(mean) + 1] += np.square(floor)
        precision, shrinkage = shrunk_precision(covariance, fitting.n_effective)
        return cls(mean=mean, precision=precision, kappa=1 - shrinkage, **cls.attribution(fitting))

    def onnx(self, node, tensors):
        """Return squared distances (n, 1) in a graph."""
        distance = node(
            "Max", quadratic(node, self.onnx_vectors(node, tensors), self.mean, self.precision), np.zeros(1)
        )
        others = node("Max", node("Sub", np.ones(1), tensors.place.own_share), np.array([1e-3]))
        part = node("Mul", node("Div", tensors.place.own_share, others), node("Mul", distance, np.array([self.kappa])))
        rest = node("Max", node("Sub", np.ones(1), part), np.array([1e-3]))
        return node("Div", distance, node("Mul", others, rest))

    def check(self, check_numbers, d, m, k):
        """Refuse moments that no fit leaves."""
        p = self.size(d, m)
        check_numbers("mean of a view", self.mean, (p,))
        check_numbers("precision of a view", self.precision, (p, p))
        check_numbers("shrinkage of a view", self.kappa, ())

    def raw(self, inputs):
        """Return squared distances (n,); for a kept training row, by mean and covariance without the row itself."""
        U = self.vectors(inputs) - self.mean
        distance, a = np.maximum(((U @ self.precision) * U).sum(axis=1), 0), inputs.place.own_share
        rest = 1 - self.kappa * a / np.maximum(1 - a, 1e-3) * distance
        return distance / np.maximum(1 - a, 1e-3) / np.maximum(rest, 1e-3)

    def entry_terms(self, inputs):
        """Return the part of each entry of the vectors in the squared distances."""
        U = self.vectors(inputs) - self.mean
        return U * (U @ self.precision)

    @staticmethod
    def attribution(fitting):
        """Return what `terms` needs besides the moments."""
        return {}

    @staticmethod
    def least_deviation(fitting, size):
        """Return the least standard deviation (size,) of each entry."""
        features = np.maximum(fitting.reference.deviation, CONSTANT * fitting.spread) / fitting.explain.unit
        return np.concatenate([features, np.full(size - len(features), CONSTANT)])


class FeatureScatter(WeightedScatter):
    """The distance of the features: broken linear relations, and values far out."""

    @staticmethod
    def size(d, m):
        """Return the number of entries of a vector."""
        return d

    @staticmethod
    def vectors(inputs):
        """Return the scaled features."""
        return inputs.scaled

    @staticmethod
    def onnx_vectors(node, tensors):
        """Return the scaled features in a graph."""
        return tensors.scaled

    def terms(self, inputs):
        """Return the part (n, d) of each feature."""
        return self.entry_terms(inputs)


class CodeScatter(WeightedScatter):
    """The distance of residual and code together: rows that the autoencoder reconstructs badly or codes unusually."""

    @staticmethod
    def size(d, m):
        """Return the number of entries of a vector."""
        return d + m

    @staticmethod
    def vectors(inputs):
        """Return residual and code side by side."""
        return np.hstack([inputs.residual, inputs.code])

    @staticmethod
    def onnx_vectors(node, tensors):
        """Return residual and code side by side, in a graph."""
        return node("Concat", tensors.residual, tensors.code, axis=1)

    @staticmethod
    def attribution(fitting):
        """Return encoder weights and mean features, by whose differences features answer for the codes."""
        explain = fitting.explain
        return {"encoder": np.abs(explain.network.W), "features": (fitting.centre - explain.centre) / explain.unit}

    def check(self, check_numbers, d, m, k):
        """Refuse moments and weights that no fit leaves."""
        super().check(check_numbers, d, m, k)
        check_numbers("encoder weights of a view", self.encoder, (m, d))
        check_numbers("mean features of a view", self.features, (d,))

    def terms(self, inputs):
        """Return the part (n, d) of each feature, which answers for its residual and its share in the codes."""
        return share_codes(self.entry_terms(inputs), np.abs(inputs.scaled - self.features), self.encoder)


def _vectors(vectors, explain, rows):
    return vectors(explain.without_place(rows))
