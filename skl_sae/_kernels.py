"""Every compiled function of the package, and the tables that name their variants.

One file on purpose: the disk cache notices a change only in the file of the function that it keeps, so a compiled
function may only call compiled functions that live beside it.

Conventions. X (n, d) rows; W (m, d) encoder weights; V (m, d) = transposed decoder weights, so that a tied model has
V = W; b (m,), c (d,) biases; H (n, m) codes. All parameters live in one flat vector ``theta`` = [W, V, b, c] (tied:
[W, b, c]), weights first, so that weight decay acts on a prefix. Weights ``w`` of the rows sum to one over the rows of
a call. Losses and mean activations are summed in float64 whatever the dtype of the data. Scratch memory comes from the
caller.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload, register_jitable
from scipy.special import logit

from ._cache import KernelCache, warn_without_cache


def _compiler(*fastmath, **options):
    """A decorator that compiles on the first call and keeps the result on disk.

    error_model="numpy" drops a zero check per division that blocks vectorisation.
    """
    jit = njit(nogil=True, error_model="numpy", fastmath=set(fastmath), **options)

    def decorate(function):
        dispatcher = jit(function)
        if dispatcher is not function:  # as it is where compilation is switched off
            try:
                dispatcher._cache = KernelCache(function)
            except RuntimeError as error:
                warn_without_cache(error)
        return dispatcher

    return decorate


# "contract" lets multiply-add fuse, "reassoc" lets sums run in vector lanes. Flags that assume away NaN or inf are left
# out: a diverging fit has to be seen.
_jit = _compiler("contract")
_jit_sum = _compiler("contract", "reassoc")
# Every function that calls compiled code is optimised together with all that it calls: chains are inlined instead,
# which halves the time of a first compilation.
_jit_inline = _compiler("contract", inline="always")

IDENTITY, SIGMOID, RELU = range(3)
BERNOULLI, POISSON = range(2)


class Activation(NamedTuple):
    """A function for the units: its number in ``activate``, its range, and what it needs to be the code's."""

    kind: int
    low: float
    high: float
    inverse: Callable  # an input that gives, or comes near, the value; finite for all of the closed range
    code: "Code | None" = None  # None: values can be negative, a wanted mean activation has no meaning


class Code(NamedTuple):
    """What a function needs to be the activation of hidden units."""

    divergence: int  # the KL divergence that fits the range
    silent: float  # at or below this value a unit counts as not active


def _logit(y):
    return logit(np.clip(y, 1e-3, 1 - 1e-3))


OUTPUTS = {
    "identity": Activation(IDENTITY, -np.inf, np.inf, np.asarray),
    "sigmoid": Activation(SIGMOID, 0.0, 1.0, _logit, Code(BERNOULLI, silent=0.01)),
    "relu": Activation(RELU, 0.0, np.inf, np.asarray, Code(POISSON, silent=0.0)),
}
ACTIVATIONS = {name: entry for name, entry in OUTPUTS.items() if entry.code is not None}

# Models with so many weights or fewer in a layer are computed by loops of our own: a call of BLAS costs more than it
# does there, and its threads wait by spinning.
SMALL_MODEL = 2**13

# Rows that are worked on together: for BLAS enough to run at full speed and few enough to stay in cache, for our loops
# so many that a block of inputs and codes has about this many numbers.
BLOCK_ROWS = 1024
BLOCK_NUMBERS = 2**14

# A block of many features has fewer rows, of about this many numbers: what sparse rows take as dense ones.
LARGEST_BLOCK = 2**22

# For inference, multiply-adds up to which OpenBLAS computes a product in the calling thread.
SERIAL_PRODUCT = 2**18

# Below this part of its target (and likewise of 1 - rho at the upper end) the divergence goes on as its tangent: value
# and slope stay finite and keep pointing towards rho.
GUARD = 1e-6


class Architecture(NamedTuple):
    """What fixes the layout of the parameters and the shape of the functions."""

    n_features: int
    n_components: int
    tied: bool
    activation: int
    output: int


class Regularization(NamedTuple):
    """The terms of the objective beside the reconstruction error."""

    divergence: int
    rho: float
    beta: float
    alpha: float


class Parameters(NamedTuple):
    """All weights and biases, or the gradient by them: one flat vector, and its parts as views."""

    flat: np.ndarray
    W: np.ndarray  # (m, d)
    V: np.ndarray  # (m, d), tied: W itself
    b: np.ndarray  # (m,)
    c: np.ndarray  # (d,)


class Workspace(NamedTuple):
    """Scratch memory of an evaluation: flat buffers that a block of rows shapes as it needs."""

    block: int  # rows worked on at a time
    code: np.ndarray  # (kept * m,) codes that the second pass finds again; those of later rows are computed anew
    spare: np.ndarray  # (block * m,) codes that are not kept
    gathered: np.ndarray  # (block * d,) rows that were picked from X, or transposed
    corrupted: np.ndarray  # (batch * d,) inputs with noise, or nothing
    residual: np.ndarray  # (block * d,)
    delta: np.ndarray  # (block * m,)
    product: np.ndarray  # (m, d)
    row: np.ndarray  # (block,)
    mean: np.ndarray  # (m,) float64
    unused_mean: np.ndarray  # (m,) float64
    slope: np.ndarray  # (m,)
    zeros: np.ndarray  # (m,)
    gradient: Parameters


class SparseBlock(NamedTuple):
    """Rows of a sparse matrix (CSR), to each of which one row is added."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    offset: np.ndarray  # (d,)


class AdamState(NamedTuple):
    """Running moments of the gradient and the settings of the update rule."""

    first: np.ndarray
    second: np.ndarray
    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float


# -- elementwise -----------------------------------------------------------------------------------


def _exp(x):
    """e^x without the overflow: x is limited to the range where the result is a normal number."""
    # This body runs only where compilation is switched off.
    low, high = (-87.0, 88.0) if isinstance(x, np.float32) else (-708.0, 709.0)
    return np.exp(type(x)(min(max(x, low), high)))  # this way round NaN stays NaN


@register_jitable
def _exp_float32(x):
    # 2^k e^r with k = round(x / ln 2): adding 1.5 * 2^23 leaves k in the low mantissa bits, a shift makes it an
    # exponent. Written so that NaN passes both comparisons. Measured error below 2e-7 relative.
    x = np.float32(88.0) if x > np.float32(88.0) else x
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    shifted = np.float32(x * np.float32(1.4426950408889634) + np.float32(12582912.0))
    k = shifted - np.float32(12582912.0)
    r = (x - k * np.float32(0.693145751953125)) - k * np.float32(1.428606765330187e-06)
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    bits = (shifted.view(np.int32) << np.int32(23)) + np.int32(0x3F800000)
    return p * np.int32(bits).view(np.float32)


@register_jitable
def _exp_float64(x):
    # As in float32, with a Taylor polynomial of degree 13. Measured error below 4e-16 relative.
    x = 709.0 if x > 709.0 else x
    x = -708.0 if x < -708.0 else x
    shifted = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    k = shifted - 6755399441055744.0
    r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    p = 1 / 6227020800
    p = p * r + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = (shifted.view(np.int64) << np.int64(52)) + np.int64(0x3FF0000000000000)
    return p * np.int64(bits).view(np.float64)


@overload(_exp)
def _exp_by_dtype(x):
    return (lambda x: _exp_float32(x)) if x == types.float32 else (lambda x: _exp_float64(x))


@_jit
def activate(kind, z):
    """Replace z, any contiguous array, by f(z)."""
    flat = z.reshape(-1)
    one = z.dtype.type(1)
    zero = z.dtype.type(0)
    if kind == SIGMOID:
        for i in range(flat.size):
            flat[i] = one / (one + _exp(-flat[i]))
    elif kind == RELU:
        for i in range(flat.size):
            flat[i] = zero if flat[i] < zero else flat[i]  # this way round NaN stays NaN


@_jit_inline
def _derivative(kind, y, one, zero):
    """f'(z) in terms of y = f(z)."""
    if kind == SIGMOID:
        return y * (one - y)
    if kind == RELU:
        return one if y > zero else zero
    return one


@_jit_inline
def divergence(kind, rho, mean):
    """KL(rho || mean) and its derivative by ``mean``, both finite for every finite ``mean``."""
    low = max(GUARD * rho, 1e-300)
    p = low if mean < low else mean
    if kind == BERNOULLI:
        q, low = 1 - p, max(GUARD * (1 - rho), 1e-300)  # q = 1 - p: its last digits count where p is near 1
        if q < low:
            p, q = 1 - low, low
        value = rho * np.log(rho / p) + (1 - rho) * np.log((1 - rho) / q)
        slope = (1 - rho) / q - rho / p
        beyond = (1 - q) - mean if q == low else p - mean
    else:
        value = rho * np.log(rho / p) - rho + p
        slope = 1 - rho / p
        beyond = p - mean
    value -= slope * beyond
    return (0.0 if value < 0 else value), slope  # rounding may leave it a little below zero


# -- forward ---------------------------------------------------------------------------------------


@_jit
def _add_bias(z, bias):
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] += bias[j]


@_jit_inline
def _affine(inputs, weights, bias, kind, out):
    """out = f(inputs · weights + bias)."""
    np.dot(inputs, weights, out)
    _add_bias(out, bias)
    activate(kind, out)


@register_jitable
def inference_rows(n, d, m):
    """How many of n rows to multiply at a time with a matrix of d x m."""
    return max(1, min(n, SERIAL_PRODUCT // (d * m) if d * m <= SMALL_MODEL else BLOCK_ROWS))


@_jit
def encode(X, W, b, kind, out):
    """Codes of all rows of X into ``out`` (n, m), block by block."""
    block = inference_rows(X.shape[0], W.shape[0], W.shape[1])
    for start in range(0, X.shape[0], block):
        stop = min(start + block, X.shape[0])
        _affine(X[start:stop], W.T, b, kind, out[start:stop])


@_jit
def decode(H, V, c, kind, out):
    """Reconstructions of all rows of H into ``out`` (n, d), block by block."""
    block = inference_rows(H.shape[0], V.shape[0], V.shape[1])
    for start in range(0, H.shape[0], block):
        stop = min(start + block, H.shape[0])
        _affine(H[start:stop], V, c, kind, out[start:stop])


# -- parameters ------------------------------------------------------------------------------------


def block_rows(n_features):
    """How many rows to work on at a time where all of their features are in memory."""
    return max(1, min(BLOCK_ROWS, LARGEST_BLOCK // n_features))


def count_weights(arch):
    """Length of the prefix of the flat vector that holds W and, untied, V."""
    return arch.n_components * arch.n_features * (1 if arch.tied else 2)


def unpack(theta, arch):
    """The parts of a flat vector."""
    size = arch.n_components * arch.n_features
    shape = (arch.n_components, arch.n_features)
    end = count_weights(arch)
    W = theta[:size].reshape(shape)
    V = theta[end - size : end].reshape(shape)
    return Parameters(theta, W, V, theta[end : end + arch.n_components], theta[end + arch.n_components :])


# -- a block of rows, by rows ----------------------------------------------------------------------


@_jit
def _add_weighted_mean(H, w, mean):
    for i in range(H.shape[0]):
        for j in range(H.shape[1]):
            mean[j] += w[i] * H[i, j]


@_jit_sum
def _residual(kind, target, w, out):
    """Weighted squared error of the reconstructions in ``out``, which become dL/d(V'h + c)."""
    one, zero = out.dtype.type(1), out.dtype.type(0)
    total = 0.0
    for i in range(out.shape[0]):
        row = 0.0
        scale = out.dtype.type(2 * w[i])
        for k in range(out.shape[1]):
            y = out[i, k]
            error = y - target[i, k]
            row += np.float64(error) * np.float64(error)
            out[i, k] = scale * error * _derivative(kind, y, one, zero)
        total += w[i] * row
    return total


@_jit
def code_delta(kind, H, w, slope, out):
    """From dL/dh of the reconstruction in ``out`` to dL/d(Wx + b) of both terms."""
    one, zero = out.dtype.type(1), out.dtype.type(0)
    for i in range(out.shape[0]):
        weight = out.dtype.type(w[i])
        for j in range(out.shape[1]):
            out[i, j] = (out[i, j] + weight * slope[j]) * _derivative(kind, H[i, j], one, zero)


@_jit_inline
def _accumulate_dot(left, right, out, product, fresh):
    """out = left · right if ``fresh``, else out += left · right."""
    if fresh:
        np.dot(left, right, out)
    else:
        np.dot(left, right, product)
        out += product


@_jit
def _accumulate_rows(rows, out, fresh):
    if fresh:
        out[:] = 0
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            out[j] += rows[i, j]


# -- a block of rows, by features ------------------------------------------------------------------


@_jit
def _product(A, strides, bias, B, out, spare):
    """out (p, n) = A (p, q) · B (q, n) + bias, two rows of it and four of B at a time.

    A is flat and its strides are told apart: so one compilation serves V and its transpose. ``spare`` (n,) is scratch.
    """
    stride, step = strides
    p, q = out.shape[0], B.shape[0]
    for r in range(0, p, 2):
        second = min(r + 1, p - 1)
        y, z = out[r], (out[r + 1] if r + 1 < p else spare)
        y[:] = bias[r]
        z[:] = bias[second]
        for k in range(0, q - 3, 4):
            i0, j0 = r * stride + k * step, second * stride + k * step
            a0, a1, a2, a3 = A[i0], A[i0 + step], A[i0 + 2 * step], A[i0 + 3 * step]
            b0, b1, b2, b3 = A[j0], A[j0 + step], A[j0 + 2 * step], A[j0 + 3 * step]
            for i in range(y.size):
                x0, x1, x2, x3 = B[k, i], B[k + 1, i], B[k + 2, i], B[k + 3, i]
                y[i] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                z[i] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        for k in range(q // 4 * 4, q):
            a0, b0 = A[r * stride + k * step], A[second * stride + k * step]
            for i in range(y.size):
                y[i] += a0 * B[k, i]
                z[i] += b0 * B[k, i]


@_jit_inline
def _strides(A):
    """Numbers from row to row and from column to column."""
    return A.strides[0] // A.itemsize, A.strides[1] // A.itemsize


@_jit_sum
def _inner(A, B, out, fresh):
    """out (p, q) = A (p, n) · B' (n, q) if ``fresh``, else added, in tiles of 2 x 4; at the edges tiles overlap."""
    p, q, n = A.shape[0], B.shape[0], A.shape[1]
    zero = out.dtype.type(0)
    for r0 in range(0, p, 2):
        r1 = min(r0 + 1, p - 1)
        for k0 in range(0, q, 4):
            k1, k2, k3 = min(k0 + 1, q - 1), min(k0 + 2, q - 1), min(k0 + 3, q - 1)
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
            for i in range(n):
                a0, a1 = A[r0, i], A[r1, i]
                b0, b1, b2, b3 = B[k0, i], B[k1, i], B[k2, i], B[k3, i]
                s00 += a0 * b0
                s01 += a0 * b1
                s02 += a0 * b2
                s03 += a0 * b3
                s10 += a1 * b0
                s11 += a1 * b1
                s12 += a1 * b2
                s13 += a1 * b3
            if not fresh:  # all are read before one is written: places of overlap get their sum once
                s00, s01, s02, s03 = s00 + out[r0, k0], s01 + out[r0, k1], s02 + out[r0, k2], s03 + out[r0, k3]
                s10, s11, s12, s13 = s10 + out[r1, k0], s11 + out[r1, k1], s12 + out[r1, k2], s13 + out[r1, k3]
            out[r0, k0], out[r0, k1], out[r0, k2], out[r0, k3] = s00, s01, s02, s03
            out[r1, k0], out[r1, k1], out[r1, k2], out[r1, k3] = s10, s11, s12, s13


@_jit_sum
def _mean_of_features(H, w, mean):
    for j in range(H.shape[0]):
        total = 0.0
        for i in range(H.shape[1]):
            total += w[i] * np.float64(H[j, i])
        mean[j] += total


@_jit_sum
def _residual_by_features(kind, target, w, out, bias_gradient, fresh):
    """As `_residual`; its sum over the rows goes into ``bias_gradient``."""
    dtype = out.dtype.type
    one, zero, two = dtype(1), dtype(0), dtype(2)
    total = 0.0
    for k in range(out.shape[0]):
        feature, gradient = 0.0, 0.0
        for i in range(out.shape[1]):
            y = out[k, i]
            error = y - target[k, i]
            feature += w[i] * np.float64(error) * np.float64(error)
            out[k, i] = two * dtype(w[i]) * error * _derivative(kind, y, one, zero)
            gradient += np.float64(out[k, i])
        total += feature
        bias_gradient[k] = gradient + (0.0 if fresh else bias_gradient[k])
    return total


@_jit_sum
def _code_delta_by_features(kind, H, w, slope, out, bias_gradient, fresh):
    """As `code_delta`; its sum over the rows goes into ``bias_gradient``."""
    dtype = out.dtype.type
    one, zero = dtype(1), dtype(0)
    for j in range(out.shape[0]):
        gradient = 0.0
        for i in range(out.shape[1]):
            out[j, i] = (out[j, i] + dtype(w[i]) * slope[j]) * _derivative(kind, H[j, i], one, zero)
            gradient += np.float64(out[j, i])
        bias_gradient[j] = gradient + (0.0 if fresh else bias_gradient[j])


@_jit
def _transpose(X, out):
    for k in range(X.shape[1]):
        for i in range(X.shape[0]):
            out[k, i] = X[i, k]


# -- a block of rows, whichever way it lies ----------------------------------------------------------
#
# One of ``by_rows`` and ``by_features`` is None. The compiler drops what stands behind "if argument is not None" where
# the argument is None, so only what is used is compiled. The same goes for ``whole`` (all rows of X in their order),
# ``order`` (the rows of X to pick) and ``rng``.


@_jit
def _gather_dense(X, order, out):
    for i in range(order.size):
        for k in range(X.shape[1]):
            out[i, k] = X[order[i], k]


@_jit
def _gather_sparse(X, order, out):
    for i in range(order.size):
        out[i] = X.offset
        for entry in range(X.indptr[order[i]], X.indptr[order[i] + 1]):
            out[i, X.indices[entry]] += X.data[entry]


def _gather(X, order, out):
    """The rows of X that ``order`` picks, into ``out`` (rows, d)."""
    # This body runs only where compilation is switched off.
    (_gather_sparse if isinstance(X, SparseBlock) else _gather_dense)(X, order, out)


@overload(_gather)
def _gather_by_type(X, order, out):
    if isinstance(X, types.Array):
        return lambda X, order, out: _gather_dense(X, order, out)
    return lambda X, order, out: _gather_sparse(X, order, out)


@_jit
def _gather_dense_features(X, order, out):
    for k in range(X.shape[1]):
        for i in range(order.size):
            out[k, i] = X[order[i], k]


@_jit
def _gather_sparse_features(X, order, out):
    for k in range(X.offset.size):
        out[k] = X.offset[k]
    for i in range(order.size):
        for entry in range(X.indptr[order[i]], X.indptr[order[i] + 1]):
            out[X.indices[entry], i] += X.data[entry]


def _gather_features(X, order, out):
    """As `_gather`, into ``out`` (d, rows)."""
    (_gather_sparse_features if isinstance(X, SparseBlock) else _gather_dense_features)(X, order, out)


@overload(_gather_features)
def _gather_features_by_type(X, order, out):
    if isinstance(X, types.Array):
        return lambda X, order, out: _gather_dense_features(X, order, out)
    return lambda X, order, out: _gather_sparse_features(X, order, out)


@_jit
def _shape(flat, n, width, by_rows, by_features):
    """The first n rows of a flat buffer as a block."""
    if by_rows is not None:
        block = flat[: n * width].reshape(n, width)
    if by_features is not None:
        block = flat[: n * width].reshape(width, n)
    return block


@_jit_inline
def _load(whole, X, order, start, stop, again, work, by_rows, by_features):
    """Rows start … stop of X, or of those that ``order`` picks; ``again`` says that the buffer still holds them."""
    if whole is not None:
        if by_rows is not None:
            block = whole[start:stop]
        if by_features is not None:
            block = _shape(work.gathered, stop - start, whole.shape[1], by_rows, by_features)
            if not again:
                _transpose(whole[start:stop], block)
    if order is not None:
        block = _shape(work.gathered, stop - start, work.gradient.c.size, by_rows, by_features)
        if not again:
            if by_rows is not None:
                _gather(X, order[start:stop], block)
            if by_features is not None:
                _gather_features(X, order[start:stop], block)
    return block


@_jit
def _add_noise(clean, noise, rng, out):
    for i in range(out.size):
        out[i] = clean[i] + noise * rng.standard_normal()


@_jit_inline
def _corrupt(target, offset, noise, rng, again, work):
    """``target`` with noise, the same in the second pass as in the first; without a generator target itself."""
    inputs = target
    if rng is not None:
        corrupted = work.corrupted[offset : offset + target.size]
        if not again:
            _add_noise(target.reshape(-1), noise, rng, corrupted)
        inputs = corrupted.reshape(target.shape)
    return inputs


@_jit_inline
def _encode_block(theta, kind, X, w, H, mean, work, by_rows, by_features):
    """Codes of a block into H, and their share of the mean activations."""
    if by_rows is not None:
        _affine(X, theta.W.T, theta.b, kind, H)
        _add_weighted_mean(H, w, mean)
    if by_features is not None:
        _product(theta.W.reshape(-1), _strides(theta.W), theta.b, X, H, work.row[: w.size])
        activate(kind, H)
        _mean_of_features(H, w, mean)


@_jit_inline
def _decode_block(theta, kind, H, target, w, residual, fresh, work, by_rows, by_features):
    """The share of a block in the reconstruction error; its derivative by the output's input into ``residual``."""
    if by_rows is not None:
        _affine(H, theta.V, theta.c, kind, residual)
        error = _residual(kind, target, w, residual)
        _accumulate_rows(residual, work.gradient.c, fresh)
    if by_features is not None:
        _product(theta.V.reshape(-1), _strides(theta.V.T), theta.c, H, residual, work.row[: w.size])
        activate(kind, residual)
        error = _residual_by_features(kind, target, w, residual, work.gradient.c, fresh)
    return error


@_jit_inline
def _backward_block(theta, kind, tied, X, H, w, residual, delta, fresh, work, by_rows, by_features):
    """The share of a block in the gradient. A tied gradient gets both parts into the same memory."""
    gradient = work.gradient
    if by_rows is not None:
        np.dot(residual, theta.V.T, delta)
        code_delta(kind, H, w, work.slope, delta)
        _accumulate_rows(delta, gradient.b, fresh)
        _accumulate_dot(H.T, residual, gradient.V, work.product, fresh)
        _accumulate_dot(delta.T, X, gradient.W, work.product, fresh and not tied)
    if by_features is not None:
        _product(theta.V.reshape(-1), _strides(theta.V), work.zeros, residual, delta, work.row[: w.size])
        _code_delta_by_features(kind, H, w, work.slope, delta, gradient.b, fresh)
        _inner(H, residual, gradient.V, fresh)
        _inner(delta, X, gradient.W, fresh and not tied)


# -- parameters as vectors -------------------------------------------------------------------------


@_jit_sum
def dot(left, right):
    """Inner product of two vectors, summed in float64."""
    total = 0.0
    for i in range(left.size):
        total += np.float64(left[i]) * np.float64(right[i])
    return total


@_jit
def add_multiple(out, factor, vector):
    """out += factor * vector, with a factor in float64."""
    for i in range(out.size):
        out[i] += factor * vector[i]


# -- objective -------------------------------------------------------------------------------------


@_jit
def sparsity_term(reg, mean, slope):
    """beta * sum_j KL(rho || mean_j); its derivative by each mean goes into ``slope``."""
    total = 0.0
    for j in range(mean.size):
        value, derivative = divergence(reg.divergence, reg.rho, mean[j])
        total += value
        slope[j] = reg.beta * derivative
    return reg.beta * total


@register_jitable
def _weights(theta):
    """All weights, without the biases, as one vector."""
    return theta.flat[: theta.flat.size - theta.b.size - theta.c.size]


@register_jitable
def weight_decay(theta, arch, alpha):
    """alpha (||W||² + ||V||²)."""
    weights = _weights(theta)
    return alpha * dot(weights, weights) * (2 if arch.tied else 1)


@register_jitable
def decay_slope(arch, alpha):
    """What a weight is multiplied by in the gradient of the weight decay; a tied weight stands there twice."""
    return alpha * (4 if arch.tied else 2)


@_jit
def add_decay(weights, slope, gradient):
    factor = weights.dtype.type(slope)
    for i in range(weights.size):
        gradient[i] += factor * weights[i]


@_jit_inline
def _both_passes(theta, arch, reg, whole, X, order, w, noise, rng, work, from_visit, visits, by_rows, by_features):
    """Reconstruction error and sparsity term of rows of X; their gradient goes into ``work.gradient``.

    ``whole`` is X, or ``order`` picks rows of it and ``whole`` is None. Every block is visited twice, because the slope
    of the sparsity term needs the codes of all rows. A call makes at most so many ``visits``, after the ones before
    ``from_visit``; the terms are those of these visits.
    """
    n, m, block = w.size, arch.n_components, work.block
    n_blocks = count_batches(n, block)
    if from_visit == 0:
        work.mean[:] = 0
    reconstruction, sparsity = 0.0, 0.0
    for visit in range(from_visit, min(from_visit + visits, 2 * n_blocks)):
        first, start = visit < n_blocks, visit % n_blocks * block
        stop = min(start + block, n)
        kept, weights = stop * m <= work.code.size, w[start:stop]
        H = _shape(work.code[start * m : stop * m] if kept else work.spare, stop - start, m, by_rows, by_features)
        again = n_blocks == 1 and visit > from_visit
        target = _load(whole, X, order, start, stop, again, work, by_rows, by_features)
        inputs = _corrupt(target, start * arch.n_features, noise, rng, not first, work)
        if visit == n_blocks:
            sparsity = sparsity_term(reg, work.mean, work.slope)
        if first or not kept:
            mean = work.mean if first else work.unused_mean
            _encode_block(theta, arch.activation, inputs, weights, H, mean, work, by_rows, by_features)
        if not first:
            fresh = start == 0
            residual = _shape(work.residual, stop - start, arch.n_features, by_rows, by_features)
            delta = _shape(work.delta, stop - start, m, by_rows, by_features)
            reconstruction += _decode_block(
                theta, arch.output, H, target, weights, residual, fresh, work, by_rows, by_features
            )
            _backward_block(
                theta, arch.activation, arch.tied, inputs, H, weights, residual, delta, fresh, work, by_rows,
                by_features,
            )  # fmt: skip
    return reconstruction, sparsity


@_jit
def evaluate_gradient(theta, arch, reg, whole, X, order, w, work, from_visit, visits, by_rows, by_features):
    """The three terms of L over all rows of X; the gradient goes into ``work.gradient``.

    ``whole`` is X and ``order`` None, or, for sparse rows, ``whole`` is None and ``order`` counts the rows. A call does
    the part of the work from one visit on (see `_both_passes`); its terms add up to those of L.
    """
    reconstruction, sparsity = _both_passes(
        theta, arch, reg, whole, X, order, w, 0.0, None, work, from_visit, visits, by_rows, by_features
    )
    decay = 0.0
    if from_visit + visits >= 2 * count_batches(w.size, work.block):
        add_decay(_weights(theta), decay_slope(arch, reg.alpha), work.gradient.flat)
        decay = weight_decay(theta, arch, reg.alpha)
    return reconstruction, sparsity, decay


@_jit
def biased(Z, b, kind, H):
    """H = f(Z + b)."""
    for i in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            H[i, j] = Z[i, j] + b[j]
    activate(kind, H)


@_jit_sum
def _gram_rows(kind, H, Z, product, w, slope, shift, bias_gradient):
    """One block of `evaluate_gradient_gram`: its share of the error but for the term without h.

    ``product`` comes as H · G and becomes what multiplies X in the gradient of the weights; Z becomes w h.
    """
    dtype = H.dtype.type
    one, zero, two = dtype(1), dtype(0), dtype(2)
    total = 0.0
    for i in range(H.shape[0]):
        row, weight = 0.0, dtype(w[i])
        for j in range(H.shape[1]):
            h, part = H[i, j], shift[j] - Z[i, j]
            row += np.float64(h) * (np.float64(product[i, j]) + 2 * np.float64(part))
            delta = weight * (two * (product[i, j] + part) + slope[j]) * _derivative(kind, h, one, zero)
            bias_gradient[j] += delta
            Z[i, j] = weight * h
            product[i, j] = delta - two * Z[i, j]
        total += w[i] * row
    return total


@_jit
def evaluate_gradient_gram(theta, arch, reg, X, w, centre, variance, work):
    """As `evaluate_gradient` for tied weights and identity output, with two products of size n d m in place of five.

    With V = W, G = W W' and e = x̂ - x = W'h + c - x: W e = G h + W c - W x, where W x is the code's own product, and

        ||e||² = ||x - c||² + h · (G h + 2 (W c - W x)),    sum w h e' = (sum w h h') W + mean c' - sum w h x'.

    ``centre`` (d,) and ``variance`` are the mean row of X and the mean squared distance from it. The terms cancel: what
    rounding leaves is larger than in `evaluate_gradient` by about 1 / (1 - share of the variance explained).
    """
    W, b, c, dW, db, dc = theta.W, theta.b, theta.c, work.gradient.W, work.gradient.b, work.gradient.c
    n, m, block = X.shape[0], arch.n_components, work.block
    gram, second, part = np.dot(W, W.T), np.zeros((m, m), W.dtype), np.empty((m, m), W.dtype)
    shift = np.dot(W, c)
    work.mean[:] = 0
    for start in range(0, n, block):
        stop = min(start + block, n)
        kept = stop * m <= work.code.size
        Z = _shape(work.code[start * m : stop * m] if kept else work.spare, stop - start, m, True, None)
        H = _shape(work.residual, stop - start, m, True, None)
        np.dot(X[start:stop], W.T, Z)
        biased(Z, b, arch.activation, H)
        _add_weighted_mean(H, w[start:stop], work.mean)
    sparsity = sparsity_term(reg, work.mean, work.slope)
    reconstruction = variance
    for k in range(c.size):
        reconstruction += (centre[k] - c[k]) ** 2
    db[:] = 0
    for start in range(0, n, block):
        stop = min(start + block, n)
        kept, rows = stop * m <= work.code.size, slice(start, stop)
        Z = _shape(work.code[start * m : stop * m] if kept else work.spare, stop - start, m, True, None)
        H = _shape(work.residual, stop - start, m, True, None)
        product = _shape(work.delta, stop - start, m, True, None)
        if not kept:
            np.dot(X[rows], W.T, Z)
        biased(Z, b, arch.activation, H)
        np.dot(H, gram, product)
        reconstruction += _gram_rows(arch.activation, H, Z, product, w[rows], work.slope, shift, db)
        _accumulate_dot(H.T, Z, second, part, False)
        _accumulate_dot(product.T, X[rows], dW, work.product, start == 0)
    np.dot(second, W, work.product)
    two = W.dtype.type(2)
    for k in range(c.size):
        dc[k] = 2 * (c[k] - centre[k])
    for j in range(m):
        mean = W.dtype.type(work.mean[j])
        for k in range(c.size):
            dW[j, k] += two * (work.product[j, k] + mean * c[k])
            dc[k] += two * mean * W[j, k]
    add_decay(_weights(theta), decay_slope(arch, reg.alpha), work.gradient.flat)
    return reconstruction, sparsity, weight_decay(theta, arch, reg.alpha)


@_jit
def add_statistics(H, w, mean, square, lowest, highest):
    """Weighted sums of the activations and of their squares over the rows of H, and their range, all (m,)."""
    for i in range(H.shape[0]):
        for j in range(H.shape[1]):
            h = np.float64(H[i, j])
            mean[j] += w[i] * h
            square[j] += w[i] * h * h
            lowest[j] = min(lowest[j], H[i, j])
            highest[j] = max(highest[j], H[i, j])


@_jit
def moments(X, w, mean, variance):
    """Weighted mean of every feature into ``mean``, its weighted variance into ``variance``, both (d,)."""
    mean[:], variance[:] = 0, 0
    heaviest = X[np.argmax(w)]  # a row that hardly counts may lie anywhere
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            mean[k] += w[i] * (np.float64(X[i, k]) - np.float64(heaviest[k]))  # of a constant exactly zero
    for k in range(mean.size):
        mean[k] += heaviest[k]
    rest = np.zeros(mean.size)  # what rounding left out of the mean
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            deviation = np.float64(X[i, k]) - mean[k]
            rest[k] += w[i] * deviation
            variance[k] += w[i] * deviation * deviation
    for k in range(mean.size):
        mean[k] += rest[k]
        variance[k] = max(variance[k] - rest[k] * rest[k], 0.0)


# -- mini-batches ------------------------------------------------------------------------------------


@_jit
def _adam_range(theta, gradient, first, second, state, decay, step, scale):
    dtype = theta.dtype.type
    b1, b2, eps = dtype(state.beta_1), dtype(state.beta_2), dtype(state.epsilon)
    c1, c2 = dtype(1 - state.beta_1), dtype(1 - state.beta_2)
    step, scale, decay = dtype(step), dtype(scale), dtype(decay)
    for i in range(theta.size):
        g = gradient[i] + decay * theta[i]
        first[i] = b1 * first[i] + c1 * g
        second[i] = b2 * second[i] + c2 * g * g
        theta[i] -= step * first[i] / (scale * np.sqrt(second[i]) + eps)


@_jit_inline
def adam_update(theta, gradient, n_weights, state, t, decay):
    """Step t = 1, 2, … of Adam (Kingma and Ba, 2015, algorithm 1), in place, on flat vectors.

    ``decay`` times theta joins the gradient of the first ``n_weights`` parameters.
    """
    step = state.learning_rate / (1 - state.beta_1**t)
    scale = 1 / np.sqrt(1 - state.beta_2**t)
    first, second, n = state.first, state.second, n_weights
    _adam_range(theta[:n], gradient[:n], first[:n], second[:n], state, decay, step, scale)
    _adam_range(theta[n:], gradient[n:], first[n:], second[n:], state, 0.0, step, scale)


@_jit
def _batch_weights(w, order, out):
    """Weights of the rows in a batch, scaled to sum to one; returns the sum before scaling."""
    total = 0.0
    for i in range(order.size):
        out[i] = w[order[i]]
        total += out[i]
    if total > 0:
        out /= total
    return total


@register_jitable
def count_batches(n, batch_size):
    return -(-n // batch_size)


@_jit
def adam_epoch(
    theta,
    arch,
    reg,
    X,
    w,
    order,
    state,
    t,
    noise,
    rng,
    batch_weights,
    work,
    epoch_mean,
    first,
    last,
    by_rows,
    by_features,
):
    """The batches ``first`` to ``last`` of a pass over the rows in the given order, one Adam step a batch.

    ``batch_weights`` is scratch memory (B,) for batches of at most B rows. The rows are dealt out evenly, so that no
    batch is much smaller than that. With a generator ``rng`` the inputs get Gaussian noise of standard deviation
    ``noise``. Returns the share of these batches in the reconstruction error as it was met, the sparsity term of the
    mean activation over the epoch so far, which adds up in ``epoch_mean``, and the weight decay at the end. A batch
    that is not finite ends the epoch.
    """
    decay = decay_slope(arch, reg.alpha)
    n_weights = theta.flat.size - theta.b.size - theta.c.size
    n_batches = count_batches(order.size, batch_weights.size)
    if first == 0:
        epoch_mean[:] = 0
    reconstruction = 0.0
    for k in range(first, last):
        rows = order[k * order.size // n_batches : (k + 1) * order.size // n_batches]
        weights = batch_weights[: rows.size]
        share = _batch_weights(w, rows, weights)
        visits = 2 * count_batches(rows.size, work.block)
        error, sparsity = _both_passes(
            theta, arch, reg, None, X, rows, weights, noise, rng, work, 0, visits, by_rows, by_features
        )
        reconstruction += share * error
        for j in range(epoch_mean.size):
            epoch_mean[j] += share * work.mean[j]
        if not np.isfinite(error + sparsity):
            break
        adam_update(theta.flat, work.gradient.flat, n_weights, state, t + k + 1, decay)
    return reconstruction, sparsity_term(reg, epoch_mean, work.slope), weight_decay(theta, arch, reg.alpha)
