"""What is computed for one block of rows: layers, and their derivatives.

Inputs and reconstructions lie in memory by rows, (rows, d), and codes by units, (m, rows): that makes products fast and
loops long. The argument ``noise`` may be None; the compiler then drops the code under "if noise is not None".
"""

import numpy as np
from numba import types
from numba.extending import overload

from .activations import activate, derivative
from .gemm import gemm
from .jit import jit, jit_inline, jit_sum
from .structs import AllRows, SparseBlock

# -- elementwise -------------------------------------------------------------------------------------


@jit
def _add_to_rows(Z, bias):
    for j in range(Z.shape[0]):
        b = bias[j]
        for i in range(Z.shape[1]):
            Z[j, i] += b


@jit
def _add_to_columns(Z, bias):
    for i in range(Z.shape[0]):
        for k in range(Z.shape[1]):
            Z[i, k] += bias[k]


@jit_sum
def _weighted_sums(H, w, sums):
    for j in range(H.shape[0]):
        total = H.dtype.type(0)
        for i in range(H.shape[1]):
            total += w[i] * H[j, i]
        sums[j] = total


@jit_sum
def _output_delta(kind, target, w, out, sums):
    """Return the weighted squared error of the reconstructions in ``out`` (rows, d), which become dL/d(V'h + c).

    The sums of these over the rows go into ``sums`` (d,).
    """
    one, zero, two = out.dtype.type(1), out.dtype.type(0), out.dtype.type(2)
    sums[:] = zero
    total = 0.0
    for i in range(out.shape[0]):
        scale, row = two * w[i], zero
        for k in range(out.shape[1]):
            y = out[i, k]
            error = y - target[i, k]
            delta = scale * error * derivative(kind, y, one, zero)
            out[i, k] = delta
            sums[k] += delta
            row += error * error
        total += np.float64(w[i]) * np.float64(row)
    return total


@jit_sum
def code_delta(kind, H, w, sparsity_grad, out, sums):
    """Turn dL/dh of the reconstruction error, in ``out`` (units, rows), into dL/d(Wx + b) with the sparsity term.

    The sums of these over the rows are added to ``sums`` (units,).
    """
    one, zero = out.dtype.type(1), out.dtype.type(0)
    for j in range(out.shape[0]):
        slope, total = sparsity_grad[j], zero
        for i in range(out.shape[1]):
            delta = (out[j, i] + w[i] * slope) * derivative(kind, H[j, i], one, zero)
            out[j, i] = delta
            total += delta
        sums[j] += total


@jit_inline
def copy(vector, out):
    """Copy a vector. ``out[:] = vector`` takes two seconds more to compile: numba adds an error message to it."""
    for i in range(out.size):
        out[i] = vector[i]


# -- rows of X ---------------------------------------------------------------------------------------


@jit
def _pick_dense(X, order, out):
    for i in range(order.size):
        row = order[i]
        for k in range(X.shape[1]):
            out[i, k] = X[row, k]


@jit
def _pick_sparse(X, order, out):
    for i in range(order.size):
        copy(X.offset, out[i])
        for entry in range(X.indptr[order[i]], X.indptr[order[i] + 1]):
            out[i, X.indices[entry]] += X.data[entry]


def _pick(X, order, out):
    """Copy the rows of X that ``order`` picks into ``out`` (rows, d)."""
    # This body runs only with compilation switched off, as does that of `load_block`.
    (_pick_sparse if isinstance(X, SparseBlock) else _pick_dense)(X, order, out)


@overload(_pick)
def _pick_by_type(X, order, out):
    if isinstance(X, types.Array):
        return lambda X, order, out: _pick_dense(X, order, out)
    return lambda X, order, out: _pick_sparse(X, order, out)


def _load_all(rows, start, stop, buffer, loaded):
    return rows.X[start:stop]


def _load_picked(rows, start, stop, buffer, loaded):
    block = buffer.reshape(stop - start, buffer.size // (stop - start))
    if not loaded:
        _pick(rows.X, rows.order[start:stop], block)
    return block


def load_block(rows, start, stop, buffer, loaded):
    """Return rows start … stop of `AllRows` or `PickedRows`; the latter are copied to ``buffer``, unless ``loaded``."""
    load = _load_all if isinstance(rows, AllRows) else _load_picked
    return load(rows, start, stop, buffer, loaded)


@overload(load_block)
def _load_by_type(rows, start, stop, buffer, loaded):
    return _load_all if rows.instance_class is AllRows else _load_picked


@jit
def draw_noise(noise, out):
    """Fill a flat buffer with noise."""
    for i in range(out.size):
        out[i] = noise.scale * noise.rng.standard_normal()


@jit
def _add(vector, out):
    for i in range(out.size):
        out[i] += vector[i]


@jit_inline
def corrupt_block(target, corrupted, noise):
    """Return ``target`` plus the noise in ``corrupted``, a flat buffer; without noise, target itself."""
    inputs = target
    if noise is not None:
        _add(target.reshape(-1), corrupted)
        inputs = corrupted.reshape(target.shape)
    return inputs


# -- layers ------------------------------------------------------------------------------------------


@jit_inline
def activate_units(kind, b, w, H, sums):
    """Turn W x, in ``H`` (units, rows), into codes; their weighted sums go into ``sums`` (units,)."""
    _add_to_rows(H, b)
    activate(kind, H)
    _weighted_sums(H, w, sums)


@jit_inline
def encode_block(theta, kind, X, w, H, sums):
    """Compute the codes H (m, rows) of a block, and their weighted sums (m,)."""
    gemm(False, theta.W, True, X, False, H)
    activate_units(kind, theta.b, w, H, sums)


@jit_inline
def output_delta(kind, target, w, residual, sums):
    """Apply the output activation to ``residual`` (rows, d) and return the error of these reconstructions.

    ``residual`` becomes the derivatives of the error with respect to what it held before; the sums of these over the
    rows go into ``sums`` (d,).
    """
    activate(kind, residual)
    return _output_delta(kind, target, w, residual, sums)


@jit_inline
def decode_block(theta, kind, H, target, w, residual, sums):
    """Return the reconstruction error of a block with codes H; ``residual`` and ``sums`` are as in `output_delta`."""
    gemm(True, H, False, theta.V, False, residual)
    _add_to_columns(residual, theta.c)
    return output_delta(kind, target, w, residual, sums)
