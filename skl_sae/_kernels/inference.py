"""Codes, reconstructions and statistics of given rows.

Threads share out blocks of rows: ``blocks`` is the `Span` of those that a call works on.
"""

import numpy as np

from .jit import jit, jit_sum
from .products import affine
from .sizes import inference_rows
from .team import share


@jit
def encode(X, W, b, kind, out, finite, blocks, team):
    """Compute the codes of the rows of X into ``out`` (n, m); return the next block.

    ``finite`` (blocks,) says for each block whether X and W x + b are finite.
    """
    size = inference_rows(W.shape[1], W.shape[0])
    first, last = share(team, blocks.stop - blocks.start)
    for block in range(blocks.start + first, blocks.start + last):
        rows = slice(block * size, min((block + 1) * size, X.shape[0]))
        finite[block] = affine(X[rows], W.T, b, kind, out[rows])
    return blocks.stop


@jit
def decode(H, V, c, kind, out, finite, blocks, team):
    """Compute the reconstructions of the rows of H into ``out`` (n, d); return the next block.

    ``finite`` (blocks,) says for each block whether H and V' h + c are finite.
    """
    size = inference_rows(V.shape[1], V.shape[0])
    first, last = share(team, blocks.stop - blocks.start)
    for block in range(blocks.start + first, blocks.start + last):
        rows = slice(block * size, min((block + 1) * size, H.shape[0]))
        finite[block] = affine(H[rows], V, c, kind, out[rows])
    return blocks.stop


@jit_sum
def _distances(X, Y, out):
    for i in range(X.shape[0]):
        total = X.dtype.type(0)
        for k in range(X.shape[1]):
            difference = Y[i, k] - X[i, k]
            total += difference * difference
        out[i] = total


@jit
def square_errors(X, model, out, blocks, team):
    """Compute ||x - x̂||² of the rows of X into ``out`` (n,) for a model (W, b, V, c, activation, output).

    Returns the next block.
    """
    W, b, V, c, activation, output = model
    size = min(inference_rows(W.shape[1], W.shape[0]), X.shape[0])
    H, Y = np.empty((size, W.shape[0]), X.dtype), np.empty((size, W.shape[1]), X.dtype)
    first, last = share(team, blocks.stop - blocks.start)
    for block in range(blocks.start + first, blocks.start + last):
        rows = slice(block * size, min((block + 1) * size, X.shape[0]))
        n = rows.stop - rows.start
        affine(X[rows], W.T, b, activation, H[:n])
        affine(H[:n], V, c, output, Y[:n])
        _distances(X[rows], Y[:n], out[rows])
    return blocks.stop


@jit
def add_statistics(H, w, mean, square, lowest, highest):
    """Add weighted sums of the activations and of their squares over the rows of H; update their range; all (m,)."""
    for i in range(H.shape[0]):
        for j in range(H.shape[1]):
            h = np.float64(H[i, j])
            mean[j] += w[i] * h
            square[j] += w[i] * h * h
            lowest[j] = min(lowest[j], H[i, j])
            highest[j] = max(highest[j], H[i, j])


@jit
def moments(X, w, mean, variance):
    """Compute the weighted mean and variance of every feature into ``mean`` and ``variance``, both (d,)."""
    mean[:], variance[:] = 0, 0
    heaviest = X[np.argmax(w)]  # a row that hardly counts may be anything
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            mean[k] += w[i] * (np.float64(X[i, k]) - np.float64(heaviest[k]))  # exactly zero for a constant
    for k in range(mean.size):
        mean[k] += heaviest[k]
    rest = np.zeros(mean.size)  # the rounding error of the mean
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            deviation = np.float64(X[i, k]) - mean[k]
            rest[k] += w[i] * deviation
            variance[k] += w[i] * deviation * deviation
    for k in range(mean.size):
        mean[k] += rest[k]
        variance[k] = max(variance[k] - rest[k] * rest[k], 0.0)
