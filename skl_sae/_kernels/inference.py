"""Codes, reconstructions and statistics of given rows."""

import numpy as np

from .jit import jit
from .products import affine
from .sizes import inference_rows


@jit
def encode(X, W, b, kind, out):
    """Compute the codes of all rows of X into ``out`` (n, m), block by block."""
    block = inference_rows(X.shape[0], W.shape[0], W.shape[1])
    for start in range(0, X.shape[0], block):
        stop = min(start + block, X.shape[0])
        affine(X[start:stop], W.T, b, kind, out[start:stop])


@jit
def decode(H, V, c, kind, out):
    """Compute the reconstructions of all rows of H into ``out`` (n, d), block by block."""
    block = inference_rows(H.shape[0], V.shape[0], V.shape[1])
    for start in range(0, H.shape[0], block):
        stop = min(start + block, H.shape[0])
        affine(H[start:stop], V, c, kind, out[start:stop])


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
