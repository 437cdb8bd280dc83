"""The training rows among which neighbours are looked for, and which are recognised."""

from typing import Any, NamedTuple

import numpy as np

from .._kernels.jit import as_readonly
from .._kernels.neighbours import nearest
from . import graph

# Scaled features are clipped here so that squares stay finite.
LIMIT = 1e100

# A bound for the rounding errors of approximate squared distances, relative to the squares that they are made of.
ROUNDING = 1e-12

# Rows whose features differ by no more than this part of their length are the same: another program may have rounded.
SAME = 1e-6


class Place(NamedTuple):
    """Where n rows are among the k kept ones.

    A row that is one of the kept rows is scored as if one copy of it had been left out of the training rows. Otherwise
    training rows would seem more normal than new ones.
    """

    Z: Any = None  # (n, d), scaled for distances
    products: Any = None  # (n, k), -2 Z points'
    own: Any = None  # (n,), which of the kept rows it is, or -1
    excluded: Any = None  # (n,), the same if there is only one copy, which is then no neighbour
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
        """Return those of a `Reference`; the shares are not known yet."""
        X, weights = reference.X[reference.kept].astype(np.float64), reference.weights[reference.kept]
        centre = np.median(X, axis=0)  # for numbers far from zero products would be inexact
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
        everywhere, nobody = np.arange(len(self.points)), np.full(len(Z), -1)
        place = Place(Z, products, excluded=nobody)
        _, which = self.nearest(place, everywhere, np.array([0, len(everywhere)]))
        which = which[:, 0]
        same = (np.abs(Z - self.points[which]) <= SAME).all(axis=1)
        own = np.where(same, which, -1)
        return place._replace(
            own=own,
            excluded=np.where(same & (self.weights[which] <= 1), which, -1),
            own_weight=np.where(same, np.minimum(self.weights[which], 1), 0),
            own_share=self.share_of(own),
        )

    def share_of(self, own):
        """Return the share (n,) of one copy of each of these kept rows, 0 for -1."""
        return np.where(own >= 0, self.shares[own], 0)

    def nearest(self, place, members, starts):
        """Return squared distances and indices (n, n_samples) of the nearest rows of samples of the kept ones."""
        shape = len(place.Z), len(starts) - 1
        distance, which = np.empty(shape), np.empty(shape, np.int64)
        squares, farthest = (np.einsum("ij,ij->i", A, A) for A in (place.Z, self.points))
        slack = ROUNDING * (squares + farthest.max())
        arrays = place.Z, self.points, place.products, slack, members, starts, place.excluded
        nearest(*map(as_readonly, arrays), distance, which)
        return distance, which

    def onnx(self, node, X):
        """Return the `Place` of rows in a graph, whose entries have the shape (n, 1) where others have (n,)."""
        Z = node("Clip", node("Div", node("Sub", X, self.centre), self.length), np.array(-LIMIT), np.array(LIMIT))
        products = node("MatMul", Z, np.ascontiguousarray(-2 * self.points.T))
        which = graph.nearest(node, products, self.points, np.arange(len(self.points)), None)
        differences = node("Abs", node("Sub", Z, node("Gather", self.points, which, axis=0)))
        differs = node("Cast", node("Greater", differences, np.array(SAME)), to=graph.FLOAT)
        same = node("Equal", graph.row_sum(node, differs), np.zeros(1, np.float32))
        index = node("Unsqueeze", which, np.array([1]))

        def where_same(table, otherwise):
            return node("Where", same, node("Gather", table[:, None], which, axis=0), otherwise)

        own = node("Where", same, index, np.array([-1]))
        only = np.where(self.weights <= 1, np.arange(len(self.weights)), -1)
        weights = np.minimum(self.weights, 1)
        zero = np.zeros(1)
        excluded = where_same(only, np.array([-1]))
        return Place(Z, products, own, excluded, where_same(weights, zero), where_same(self.shares, zero))

    def check(self, check_numbers, d):
        """Refuse attributes that no fit leaves, for d features."""
        k = len(self.points)
        check_numbers("kept rows", self.points, (k, d))
        check_numbers("centre of the kept rows", self.centre, (d,))
        check_numbers("positive lengths", np.where(self.length > 0, self.length, np.nan), (d,))
        for name in ("weights", "shares"):
            check_numbers(f"{name} of the kept rows", getattr(self, name), (k,))
