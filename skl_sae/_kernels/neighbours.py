"""The nearest of given points, the same to the last bit whatever other rows are in the block.

A matrix product gives approximate distances, whose rounding depends on the shape of the block. So the points within
``slack`` of the nearest one are compared exactly; of several at the same distance the first is the nearest.
"""

import numpy as np

from .jit import jit, jit_inline

# Points whose approximate distances are compared side by side.
LANES = 64


@jit_inline
def _squared_distance(Z, i, points, k):
    total = 0.0
    for j in range(Z.shape[1]):
        difference = Z[i, j] - points[k, j]
        total += difference * difference
    return total


@jit
def nearest(Z, points, squares, products, slack, members, starts, excluded, distance, which):
    """Find the nearest point of every sample for every row of Z.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
    points : ndarray of shape (k, d)
    squares : ndarray of shape (k,)
        Squared lengths of the points.
    products : ndarray of shape (n, k)
        -2 Z points'.
    slack : ndarray of shape (n,)
        At least twice the rounding error of a squared distance computed from the products.
    members, starts : ndarrays of shape (n_members,) and (n_samples + 1,)
        Sample s has the points ``members[starts[s] : starts[s + 1]]``.
    excluded : ndarray of shape (n,)
        The point that does not count for a row, or -1.
    distance, which : ndarrays of shape (n, n_samples)
        Receive squared distances and points; 0 and -1 where a sample has no point that counts.
    """
    for i in range(Z.shape[0]):
        for s in range(starts.size - 1):
            lowest = np.inf
            for place in range(starts[s], starts[s + 1]):
                k = members[place]
                approximate = squares[k] + products[i, k]
                if approximate < lowest and k != excluded[i]:
                    lowest = approximate
            best, point = np.inf, -1
            for place in range(starts[s], starts[s + 1]):
                k = members[place]
                if squares[k] + products[i, k] <= lowest + slack[i] and k != excluded[i]:
                    exact = _squared_distance(Z, i, points, k)
                    if exact < best:
                        best, point = exact, k
            distance[i, s] = best if point >= 0 else 0.0
            which[i, s] = point


@jit
def two_nearest(Z, points, squares, products, slack, distance, which):
    """Find the nearest of all points for every row of Z, and the nearest of the others.

    Parameters
    ----------
    Z, points, squares, products, slack
        As for `nearest`.
    distance, which : ndarrays of shape (n, 2)
        Receive squared distances and points; 0 and -1 in the second column if there is no other point.
    """
    lowest, n_points = np.empty(LANES), points.shape[0]
    for i in range(Z.shape[0]):
        for lane in range(LANES):
            lowest[lane] = np.inf
        for start in range(0, n_points, LANES):
            for lane in range(min(LANES, n_points - start)):
                approximate = squares[start + lane] + products[i, start + lane]
                lowest[lane] = approximate if approximate < lowest[lane] else lowest[lane]
        first, second = np.inf, np.inf  # two points, in different lanes, are no further than these
        for lane in range(LANES):
            second = min(second, max(first, lowest[lane]))
            first = min(first, lowest[lane])
        limit = second + slack[i]
        best, other, point, neighbour = np.inf, np.inf, -1, -1
        for lane in range(LANES):
            if lowest[lane] <= limit:
                for k in range(lane, n_points, LANES):
                    if squares[k] + products[i, k] <= limit:
                        exact = _squared_distance(Z, i, points, k)
                        if exact < best or (exact == best and k < point):
                            best, other, point, neighbour = exact, best, k, point
                        elif exact < other or (exact == other and k < neighbour):
                            other, neighbour = exact, k
        distance[i, 0], which[i, 0] = best, point
        distance[i, 1], which[i, 1] = other if neighbour >= 0 else 0.0, neighbour
