"""Codes and reconstructions of given rows by a top-k autoencoder.

Threads share out blocks of rows: ``blocks`` is the `Span` of those that a call works on.
"""

import numpy as np

from .blocks import copy, load_block
from .gemm import gemm
from .jit import jit, jit_inline, jit_sum
from .largest import has_nan, new_search, select, select_above
from .picked import add_picked
from .sizes import inference_rows
from .team import share


@jit_inline
def _encode_row(z, network, search, units, values):
    """Write the code of a row; return how many units are active. If z is not finite, the first of them is NaN."""
    if np.isnan(network.threshold):
        n = select(z, network.b, network.k, search, units, values)
    else:
        n = select_above(z, network.b, z.dtype.type(network.threshold), units, values)
    if has_nan(z):
        units[0], values[0], n = 0, np.nan, max(n, 1)
    return n


@jit
def encode(rows, network, units, values, counts, blocks, team):
    """Compute the codes of `AllRows` or `PickedRows`; return the next block.

    ``counts`` (n,) receives the number of active units of each row. ``units`` and ``values`` (n, room) have room for k
    of them, or for all if there is a threshold.
    """
    m, d = network.W.shape
    size = inference_rows(d, m)
    buffer, search = np.empty(size * d, network.W.dtype), new_search(network.b, network.k)
    products = np.empty((size, m), network.W.dtype)
    first, last = share(team, blocks.stop - blocks.start)
    for block in range(blocks.start + first, blocks.start + last):
        start, stop = block * size, min((block + 1) * size, counts.size)
        Z = products[: stop - start]
        gemm(False, load_block(rows, start, stop, buffer[: (stop - start) * d], False), True, network.W, False, Z)
        for i in range(start, stop):
            counts[i] = _encode_row(Z[i - start], network, search, units[i], values[i])
    return blocks.stop


@jit
def decode(code, V, c, out, blocks, team):
    """Compute the reconstructions of codes, a `SparseBlock`, into ``out`` (n, d); return the next block."""
    size = inference_rows(V.shape[1], V.shape[0])
    first, last = share(team, blocks.stop - blocks.start)
    for i in range((blocks.start + first) * size, min((blocks.start + last) * size, out.shape[0])):
        copy(c, out[i])
        add_picked(out[i], V, code.indices, code.data, code.indptr[i], code.indptr[i + 1])
    return blocks.stop


@jit_sum
def _distance(x, y):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += (y[k] - x[k]) * (y[k] - x[k])
    return total


@jit
def square_errors(rows, network, code, out, blocks, team):
    """Compute ||x - x̂||² of rows with known codes, a `SparseBlock`, into ``out`` (n,); return the next block."""
    m, d = network.V.shape
    size = inference_rows(d, m)
    buffer, error = np.empty(size * d, network.V.dtype), np.empty(d, network.V.dtype)
    first, last = share(team, blocks.stop - blocks.start)
    for block in range(blocks.start + first, blocks.start + last):
        start, stop = block * size, min((block + 1) * size, out.size)
        X = load_block(rows, start, stop, buffer[: (stop - start) * d], False)
        for i in range(start, stop):
            copy(network.c, error)
            add_picked(error, network.V, code.indices, code.data, code.indptr[i], code.indptr[i + 1])
            out[i] = _distance(X[i - start], error)
    return blocks.stop
