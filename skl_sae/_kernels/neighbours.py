"""The nearest of given points, to the last bit the same whatever stands beside a row."""

import numpy as np

from .jit import jit


@jit
def nearest(Z, points, products, slack, members, starts, excluded, distance, which):
    """Find the nearest point of every sample for every row of Z.

    A matrix product gives approximate distances, whose rounding depends on the shape of the block. So the points within
    ``slack`` of the nearest one are compared exactly.

    Parameters
    ----------
    Z : ndarray of shape (n, d)
    points : ndarray of shape (k, d)
    products : ndarray of shape (n, k)
        -2 Z points'.
    slack : ndarray of shape (n,)
        At least twice the rounding error of a squared distance by way of the products.
    members, starts : ndarrays of shape (n_members,) and (n_samples + 1,)
        Sample s has the points ``members[starts[s] : starts[s + 1]]``.
    excluded : ndarray of shape (n,)
        The point that does not count for a row, or -1.
    distance, which : ndarrays of shape (n, n_samples)
        Receive squared distances and points; 0 and -1 where a sample has no point that counts.
    """
    squares = np.sum(points * points, axis=1)
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
                    exact = 0.0
                    for j in range(Z.shape[1]):
                        difference = Z[i, j] - points[k, j]
                        exact += difference * difference
                    if exact < best:
                        best, point = exact, k
            distance[i, s] = best if point >= 0 else 0.0
            which[i, s] = point
