"""What is computed for one block of rows, in either layout.

A block lies in memory by rows, (rows, features), where products are calls of BLAS, or by features, (features, rows),
where they are our own loops. Functions have an argument for each layout, ``by_rows`` and ``by_features``, one of which
is None: the compiler drops what stands behind "if argument is not None" when the argument is None, so it compiles only
what is used. The same goes for ``noise``.
"""

import numpy as np
from numba import types
from numba.extending import overload

from .activations import activate, derivative
from .jit import jit, jit_inline, jit_sum
from .products import accumulate_dot, accumulate_rows, affine, inner, product, strides
from .structs import AllRows, SparseBlock

# -- by rows -----------------------------------------------------------------------------------------


@jit
def add_weighted_mean(H, w, mean):
    """Add the weighted sum of the rows of H."""
    for i in range(H.shape[0]):
        for j in range(H.shape[1]):
            mean[j] += w[i] * H[i, j]


@jit_sum
def _output_delta(kind, target, w, out):
    """Return the weighted squared error of the reconstructions in ``out``, which become dL/d(V'h + c)."""
    one, zero = out.dtype.type(1), out.dtype.type(0)
    total = 0.0
    for i in range(out.shape[0]):
        row = 0.0
        scale = out.dtype.type(2 * w[i])
        for k in range(out.shape[1]):
            y = out[i, k]
            error = y - target[i, k]
            row += np.float64(error) * np.float64(error)
            out[i, k] = scale * error * derivative(kind, y, one, zero)
        total += w[i] * row
    return total


@jit
def code_delta(kind, H, w, sparsity_grad, out):
    """Turn dL/dh of the reconstruction in ``out`` into dL/d(Wx + b) of both terms."""
    one, zero = out.dtype.type(1), out.dtype.type(0)
    for i in range(out.shape[0]):
        weight = out.dtype.type(w[i])
        for j in range(out.shape[1]):
            out[i, j] = (out[i, j] + weight * sparsity_grad[j]) * derivative(kind, H[i, j], one, zero)


# -- by features -------------------------------------------------------------------------------------


@jit_sum
def _mean_of_features(H, w, mean):
    for j in range(H.shape[0]):
        total = 0.0
        for i in range(H.shape[1]):
            total += w[i] * np.float64(H[j, i])
        mean[j] += total


@jit_sum
def _output_delta_by_features(kind, target, w, out, bias_gradient, overwrite):
    """As `_output_delta`; the sum over the rows goes into ``bias_gradient``."""
    dtype = out.dtype.type
    one, zero, two = dtype(1), dtype(0), dtype(2)
    total = 0.0
    for k in range(out.shape[0]):
        feature, gradient = 0.0, 0.0
        for i in range(out.shape[1]):
            y = out[k, i]
            error = y - target[k, i]
            feature += w[i] * np.float64(error) * np.float64(error)
            out[k, i] = two * dtype(w[i]) * error * derivative(kind, y, one, zero)
            gradient += np.float64(out[k, i])
        total += feature
        bias_gradient[k] = gradient + (0.0 if overwrite else bias_gradient[k])
    return total


@jit_sum
def _code_delta_by_features(kind, H, w, sparsity_grad, out, bias_gradient, overwrite):
    """As `code_delta`; the sum over the rows goes into ``bias_gradient``."""
    dtype = out.dtype.type
    one, zero = dtype(1), dtype(0)
    for j in range(out.shape[0]):
        gradient = 0.0
        for i in range(out.shape[1]):
            out[j, i] = (out[j, i] + dtype(w[i]) * sparsity_grad[j]) * derivative(kind, H[j, i], one, zero)
            gradient += np.float64(out[j, i])
        bias_gradient[j] = gradient + (0.0 if overwrite else bias_gradient[j])


@jit
def _transpose(X, out):
    for k in range(X.shape[1]):
        for i in range(X.shape[0]):
            out[k, i] = X[i, k]


# -- rows of X ---------------------------------------------------------------------------------------


@jit
def _pick_dense(X, order, out):
    for i in range(order.size):
        for k in range(X.shape[1]):
            out[i, k] = X[order[i], k]


@jit
def _pick_sparse(X, order, out):
    for i in range(order.size):
        out[i] = X.offset
        for entry in range(X.indptr[order[i]], X.indptr[order[i] + 1]):
            out[i, X.indices[entry]] += X.data[entry]


def _pick(X, order, out):
    """Copy the rows of X that ``order`` picks into ``out`` (rows, d)."""
    # This body runs only with compilation switched off, as do those of the next functions with an overload.
    (_pick_sparse if isinstance(X, SparseBlock) else _pick_dense)(X, order, out)


@overload(_pick)
def _pick_by_type(X, order, out):
    if isinstance(X, types.Array):
        return lambda X, order, out: _pick_dense(X, order, out)
    return lambda X, order, out: _pick_sparse(X, order, out)


@jit
def _pick_dense_features(X, order, out):
    for k in range(X.shape[1]):
        for i in range(order.size):
            out[k, i] = X[order[i], k]


@jit
def _pick_sparse_features(X, order, out):
    for k in range(X.offset.size):
        out[k] = X.offset[k]
    for i in range(order.size):
        for entry in range(X.indptr[order[i]], X.indptr[order[i] + 1]):
            out[X.indices[entry], i] += X.data[entry]


def _pick_features(X, order, out):
    """As `_pick`, into ``out`` (d, rows)."""
    (_pick_sparse_features if isinstance(X, SparseBlock) else _pick_dense_features)(X, order, out)


@overload(_pick_features)
def _pick_features_by_type(X, order, out):
    if isinstance(X, types.Array):
        return lambda X, order, out: _pick_dense_features(X, order, out)
    return lambda X, order, out: _pick_sparse_features(X, order, out)


# -- a block in either layout ------------------------------------------------------------------------


@jit
def shape_block(flat, n, width, by_rows, by_features):
    """Shape the beginning of a flat buffer as a block of n rows."""
    if by_rows is not None:
        block = flat[: n * width].reshape(n, width)
    if by_features is not None:
        block = flat[: n * width].reshape(width, n)
    return block


def _load_all(rows, start, stop, already_loaded, work, by_rows, by_features):
    if by_rows is not None:
        block = rows.X[start:stop]
    if by_features is not None:
        block = shape_block(work.gathered, stop - start, rows.X.shape[1], by_rows, by_features)
        if not already_loaded:
            _transpose(rows.X[start:stop], block)
    return block


def _load_picked(rows, start, stop, already_loaded, work, by_rows, by_features):
    block = shape_block(work.gathered, stop - start, work.gradient.c.size, by_rows, by_features)
    if not already_loaded:
        if by_rows is not None:
            _pick(rows.X, rows.order[start:stop], block)
        if by_features is not None:
            _pick_features(rows.X, rows.order[start:stop], block)
    return block


def load_block(rows, start, stop, already_loaded, work, by_rows, by_features):
    """Return rows start … stop of `AllRows` or `PickedRows` as a block, which the buffer may hold already."""
    load = _load_all if isinstance(rows, AllRows) else _load_picked
    return load(rows, start, stop, already_loaded, work, by_rows, by_features)


@overload(load_block)
def _load_by_type(rows, start, stop, already_loaded, work, by_rows, by_features):
    return _load_all if rows.instance_class is AllRows else _load_picked


@jit
def _add_noise(clean, scale, rng, out):
    for i in range(out.size):
        out[i] = clean[i] + scale * rng.standard_normal()


@jit_inline
def corrupt_block(target, offset, noise, already_drawn, work):
    """Return ``target`` with noise, the same in both passes; without noise, target itself."""
    inputs = target
    if noise is not None:
        corrupted = work.corrupted[offset : offset + target.size]
        if not already_drawn:
            _add_noise(target.reshape(-1), noise.scale, noise.rng, corrupted)
        inputs = corrupted.reshape(target.shape)
    return inputs


@jit_inline
def encode_block(theta, kind, X, w, H, mean, work, by_rows, by_features):
    """Compute the codes H of a block and add their share to the mean activations."""
    if by_rows is not None:
        affine(X, theta.W.T, theta.b, kind, H)
        add_weighted_mean(H, w, mean)
    if by_features is not None:
        product(theta.W.reshape(-1), strides(theta.W), theta.b, X, H, work.row[: w.size])
        activate(kind, H)
        _mean_of_features(H, w, mean)


@jit_inline
def decode_block(theta, kind, H, target, w, residual, overwrite, work, by_rows, by_features):
    """Return the reconstruction error of a block; its derivative by the input of the output goes to ``residual``."""
    if by_rows is not None:
        affine(H, theta.V, theta.c, kind, residual)
        error = _output_delta(kind, target, w, residual)
        accumulate_rows(residual, work.gradient.c, overwrite)
    if by_features is not None:
        product(theta.V.reshape(-1), strides(theta.V.T), theta.c, H, residual, work.row[: w.size])
        activate(kind, residual)
        error = _output_delta_by_features(kind, target, w, residual, work.gradient.c, overwrite)
    return error


@jit_inline
def backward_block(theta, arch, X, H, w, residual, overwrite, work, by_rows, by_features):
    """Add the share of a block to the gradient. A tied gradient gets both parts in the same memory."""
    gradient, kind = work.gradient, arch.activation
    delta = shape_block(work.code_delta, w.size, arch.n_components, by_rows, by_features)
    if by_rows is not None:
        np.dot(residual, theta.V.T, delta)
        code_delta(kind, H, w, work.sparsity_grad, delta)
        accumulate_rows(delta, gradient.b, overwrite)
        accumulate_dot(H.T, residual, gradient.V, work.product, overwrite)
        accumulate_dot(delta.T, X, gradient.W, work.product, overwrite and not arch.tied)
    if by_features is not None:
        product(theta.V.reshape(-1), strides(theta.V), work.zeros, residual, delta, work.row[: w.size])
        _code_delta_by_features(kind, H, w, work.sparsity_grad, delta, gradient.b, overwrite)
        inner(H, residual, gradient.V, overwrite)
        inner(delta, X, gradient.W, overwrite and not arch.tied)
