"""Codes with few active units, and their errors: what top-k autoencoders compute row by row.

x̂ = sum over the active units j of h_j V_j + c
"""

import numpy as np

from .blocks import load_block
from .gemm import gemm
from .groups import cut
from .jit import jit, jit_inline, jit_sum
from .largest import select
from .picked import add_picked, dot_picked


@jit
def normalize(X, centre, factor):
    """X = (X - centre) * factor, in place."""
    factor = X.dtype.type(factor)
    for i in range(X.shape[0]):
        row = X[i]
        for k in range(row.size):
            row[k] = (row[k] - centre[k]) * factor


@jit
def _start_error(c, x, out):
    for k in range(out.size):
        out[k] = c[k] - x[k]


@jit_sum
def square_sum(x):
    """Return ||x||² in the dtype of x."""
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * x[k]
    return total


@jit
def scale_and_add(factor, x, sums):
    """x *= factor; sums += x."""
    for k in range(x.size):
        x[k] *= factor
        sums[k] += x[k]


@jit_inline
def reconstruct_error(V, c, x, units, values, n, out):
    """out = x̂ - x; return its squared norm."""
    _start_error(c, x, out)
    add_picked(out, V, units, values, 0, n)
    return np.float64(square_sum(out))


@jit_inline
def load_inputs(model, rows, start, stop, buffer):
    """Return rows start … stop as the model sees them, a copy in ``buffer``."""
    d = model.n_features
    X = load_block(rows, start, stop, buffer[start * d : stop * d], False)
    normalize(X, model.centre, model.factor)
    return X


@jit_inline
def activate_block(theta, model, rows, start, stop, work):
    """Compute W x of rows start … stop of a batch."""
    X = load_inputs(model, rows, start, stop, work.inputs)
    Z = work.activations[start * model.n_components : stop * model.n_components].reshape(stop - start, theta.b.size)
    gemm(False, X, True, theta.W, False, Z)
    return X, Z


@jit_inline
def compare_row(theta, x, weight, i, sums, work):
    """Compute the error of row i of a batch, whose code is known, and its derivatives; return it."""
    d, n = x.size, work.counts[i]
    delta = work.delta[i * d : (i + 1) * d]
    error = weight * reconstruct_error(theta.V, theta.c, x, work.units[i], work.values[i], n, delta)
    scale_and_add(x.dtype.type(2 * weight), delta, sums)
    dot_picked(delta, theta.V, work.units[i], n, work.slopes[i])
    return error


@jit
def count_units(units, n, counts):
    """Add one for every active unit of a row."""
    for q in range(n):
        counts[units[q]] += 1


@jit_inline
def encode_and_compare(theta, model, rows, w, q, search, work):
    """Compute codes, errors and derivatives of block q of a batch."""
    start, stop = cut(q, w.size, work.errors.size), cut(q + 1, w.size, work.errors.size)
    sums, unit_counts = work.feature_parts[q, : theta.c.size], work.unit_counts[q, : theta.b.size]
    X, Z = activate_block(theta, model, rows, start, stop, work)
    work.errors[q], sums[:], unit_counts[:] = 0, 0, 0
    for i in range(start, stop):
        units = work.units[i]
        work.counts[i] = select(Z[i - start], theta.b, model.k, search, units, work.values[i])
        work.errors[q] += compare_row(theta, X[i - start], w[i], i, sums, work)
        count_units(units, work.counts[i], unit_counts)
