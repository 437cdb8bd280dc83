"""Views of the nearest training rows: the distance to the nearest of a few, and of many."""

import itertools

import numpy as np

from .._scoring import draw
from . import graph
from .base import View


class Neighbours(View):
    r"""Mean, over samples of the training rows, of the squared distance to the nearest row of the sample.

    .. math:: s(x) = \frac{1}{S} \sum_{i=1}^S \min_{c \in C_i} \sum_j (x_j - c_j)^2 / r_j^2

    with :math:`r_j` the range of feature j without wild values (see `Reference.length`). Distances to the nearest row
    of small samples [1]_ reveal global anomalies, whose neighbours may be other anomalies; the distance to the nearest
    of many rows reveals local ones.

    References
    ----------
    .. [1] G. Pang, K. M. Ting and D. Albrecht, "LeSiNN: Detecting anomalies by identifying least similar nearest
       neighbours", ICDM Workshops 2015.
    """

    n_samples: int
    sample_size: int | None  # None for all rows that are kept

    @classmethod
    def fit(cls, fitting):
        """Draw the samples from the rows that are kept."""
        weights = fitting.kept.weights
        if cls.sample_size is None or weights.sum() <= cls.sample_size:
            samples = [np.arange(len(weights))] * cls.n_samples
        else:
            samples = [np.flatnonzero(draw(weights, cls.sample_size, fitting.rng)) for _ in range(cls.n_samples)]
        return cls(members=np.concatenate(samples), starts=np.cumsum([0, *map(len, samples)]))

    def raw(self, inputs):
        """Return mean squared distances (n,)."""
        return inputs.kept.nearest(inputs.place, self.members, self.starts)[0].mean(axis=1)

    def terms(self, inputs):
        """Return the part (n, d) of each feature in the mean squared distances."""
        _, which = inputs.kept.nearest(inputs.place, self.members, self.starts)
        Z, points = inputs.place.Z, inputs.kept.points
        parts = (np.where(row[:, None] >= 0, np.square(Z - points[row]), 0) for row in which.T)
        return sum(parts, np.zeros(Z.shape)) / which.shape[1]

    def onnx(self, node, tensors):
        """Return mean squared distances (n, 1) in a graph."""
        place, points, total = tensors.place, tensors.kept.points, None
        for start, stop in itertools.pairwise(self.starts):
            members = self.members[start:stop]
            products = (
                place.products if len(members) == len(points) else node("Gather", place.products, members, axis=1)
            )
            which = graph.nearest(node, products, points[members], members, place.excluded)
            difference = node("Sub", place.Z, node("Gather", points[members], which, axis=0))
            distance = graph.row_sum(node, node("Mul", difference, difference))
            total = distance if total is None else node("Add", total, distance)
        return node("Div", total, np.array([len(self.starts) - 1.0]))

    def check(self, check_numbers, d, m, k):
        """Refuse samples that no fit leaves; compiled code trusts their places."""
        members, starts = np.asarray(self.members), np.asarray(self.starts)
        integers = members.dtype == starts.dtype == np.int64 and members.ndim == 1
        if (
            not integers
            or starts.shape != (self.n_samples + 1,)
            or starts[0] != 0
            or starts[-1] != len(members)
            or (np.diff(starts) < 0).any()
            or (members < 0).any()
            or (members >= k).any()
        ):
            raise ValueError("The fitted samples of training rows must be those of a fit.")


class Far(Neighbours):
    """The nearest of a few rows: anomalies that lie together do not vouch for each other."""

    n_samples, sample_size = 8, 64


class Near(Neighbours):
    """The nearest of all rows that are kept."""

    n_samples, sample_size = 1, None
