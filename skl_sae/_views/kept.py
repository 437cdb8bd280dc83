"""The training rows that are kept: neighbours are looked for among them, and rows equal to one are recognised."""

from typing import Any, NamedTuple

import numpy as np

from .._kernels.jit import as_readonly
from .._kernels.neighbours import nearest, two_nearest
from . import graph

# Scaled features are clipped here so that squares stay finite.
LIMIT = 1e100

# A bound for the rounding errors of approximate squared distances, relative to the squares that they are made of.
ROUNDING = 1e-12

# Rows are the same if no scaled feature differs by more than this: another program may have rounded.
SAME = 1e-6


class Place(NamedTuple):
    """Where n rows are among the k kept ones.

    A row that is one of the kept rows is scored as if one copy of it had been left out of the training rows. Otherwise
    training rows would seem more normal than new ones.
    """

    Z: Any = None  # (n, d), scaled for distances
    products: Any = None  # (n, k), -2 Z points'
    slack: Any = None  # (n,), twice a bound for the rounding errors of squared distances by these products
    distance: Any = None  # (n,), the squared distance to the nearest row that counts
    neighbour: Any = None  # (n,), which one that is, or -1
    own: Any = None  # (n,), which of the kept rows it is, or -1
    excluded: Any = None  # (n,), `own` if there is only one copy, which is then no neighbour, else -1
    own_weight: Any = None  # (n,), the weight that leaving one copy out takes away, or 0
    own_share: Any = None  # (n,), the share of that copy in the plausible weight of all training rows, or 0


class KeptRows:
    """Distinct training rows.

    Parameters
    ----------
    centre, length : ndarrays of shape (d,)
        What scales the features for distances.
    points : ndarray of shape (k, d)
        The rows, scaled.
    weights, shares : ndarrays of shape (k,)
        The weight of each row, and the share of one copy of it in the plausible weight of all training rows.
    """

    def __init__(self, centre, length, points, weights, shares):
        self.centre, self.length, self.points, self.weights, self.shares = centre, length, points, weights, shares

    @classmethod
    def of(cls, reference):
        """Return the kept rows of a `Reference`; their shares are not known yet."""
        X, weights = reference.X[reference.kept].astype(np.float64), reference.weights[reference.kept]
        centre = np.median(X, axis=0)  # products of numbers far from zero would be inexact
        kept = cls(centre, reference.length, X, weights, np.zeros_like(weights))
        kept.points = kept.scaled(X)
        return kept

    def with_shares(self, shares):
        """Return the rows with the shares of one copy of each."""
        return KeptRows(self.centre, self.length, self.points, self.weights, shares)

    def scaled(self, X):
        """Return features (n, d) as distances take them."""
        with np.errstate(over="ignore"):  # clipped at once
            return np.clip((X - self.centre) / self.length, -LIMIT, LIMIT)

    def place(self, X):
        """Return the `Place` of rows X (n, d)."""
        Z = self.scaled(X)
        products = (-2 * Z) @ self.points.T
        slack = ROUNDING * (_squares(Z) + _squares(self.points).max())
        distance, which = np.empty((len(Z), 2)), np.empty((len(Z), 2), np.int64)
        two_nearest(*self._arrays(Z, products, slack), distance, which)
        first = which[:, 0]
        same = (np.abs(Z - self.points[first]) <= SAME).all(axis=1)
        only = same & (self.weights[first] <= 1)
        own, counts = np.where(same, first, -1), (np.arange(len(Z)), only.astype(int))
        return Place(
            Z=Z,
            products=products,
            slack=slack,
            distance=distance[counts],
            neighbour=which[counts],
            own=own,
            excluded=np.where(only, first, -1),
            own_weight=np.where(same, np.minimum(self.weights[first], 1), 0),
            own_share=self.share_of(own),
        )

    def share_of(self, own):
        """Return the share (n,) of one copy of each of these kept rows, 0 for -1."""
        return np.where(own >= 0, self.shares[own], 0)

    def nearest(self, place, members, starts):
        """Return squared distances and indices (n, n_samples) of the nearest row in each sample of the kept ones."""
        shape = len(place.Z), len(starts) - 1
        if shape[1] == 1 and len(members) == len(self.points):  # all kept rows
            return place.distance[:, None], place.neighbour[:, None]
        distance, which = np.empty(shape), np.empty(shape, np.int64)
        samples = map(as_readonly, (members, starts, place.excluded))
        nearest(*self._arrays(place.Z, place.products, place.slack), *samples, distance, which)
        return distance, which

    def _arrays(self, Z, products, slack):
        return map(as_readonly, (Z, self.points, _squares(self.points), products, slack))

    def onnx(self, node, X):
        """Return the `Place` of rows in a graph, whose entries have the shape (n, 1) where others have (n,)."""
        Z = node("Clip", node("Div", node("Sub", X, self.centre), self.length), np.array(-LIMIT), np.array(LIMIT))
        products = node("MatMul", Z, np.ascontiguousarray(-2 * self.points.T))
        which = graph.nearest(node, products, self.points, np.arange(len(self.points)), None)
        differences = node("Abs", node("Sub", Z, node("Gather", self.points, which, axis=0)))
        differs = node("Cast", node("Greater", differences, np.array(SAME)), to=graph.FLOAT)
        same = node("Equal", graph.row_sum(node, differs), np.zeros(1, np.float32))

        def where_same(table, otherwise):
            return node("Where", same, node("Gather", table[:, None], which, axis=0), otherwise)

        only = np.where(self.weights <= 1, np.arange(len(self.weights)), -1)
        return Place(
            Z=Z,
            products=products,
            excluded=where_same(only, np.array([-1])),
            own_weight=where_same(np.minimum(self.weights, 1), np.zeros(1)),
            own_share=where_same(self.shares, np.zeros(1)),
        )

    def check(self, check_numbers, d):
        """Refuse attributes that no fit leaves, for d features."""
        k = len(self.points)
        check_numbers("kept rows", self.points, (k, d))
        check_numbers("centre of the kept rows", self.centre, (d,))
        check_numbers("positive lengths", np.where(self.length > 0, self.length, np.nan), (d,))
        for name in ("weights", "shares"):
            check_numbers(f"{name} of the kept rows", getattr(self, name), (k,))


def _squares(A):
    return np.einsum("ij,ij->i", A, A)
