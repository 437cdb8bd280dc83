"""Products of matrices and vectors: BLAS for large models, our own loops for small ones."""

import numpy as np
from numba.extending import register_jitable

from .activations import activate
from .jit import jit, jit_inline, jit_sum

# -- vectors -----------------------------------------------------------------------------------------


@jit_sum
def dot(left, right):
    """Inner product of two vectors, summed in float64."""
    total = 0.0
    for i in range(left.size):
        total += np.float64(left[i]) * np.float64(right[i])
    return total


@jit
def add_multiple(out, factor, vector):
    """out += factor * vector, with a factor in float64."""
    for i in range(out.size):
        out[i] += factor * vector[i]


# -- weight decay --------------------------------------------------------------------------------------


@register_jitable
def weights_of(theta):
    """All weights, without the biases, as one vector."""
    return theta.flat[: theta.flat.size - theta.b.size - theta.c.size]


@register_jitable
def weight_decay(theta, arch, alpha):
    """alpha (||W||² + ||V||²)."""
    weights = weights_of(theta)
    return alpha * dot(weights, weights) * (2 if arch.tied else 1)


@register_jitable
def decay_factor(arch, alpha):
    """By what the gradient of the weight decay multiplies a weight; a tied weight enters the decay twice."""
    return alpha * (4 if arch.tied else 2)


@jit
def add_decay(weights, factor, gradient):
    """Add the gradient of the weight decay."""
    factor = weights.dtype.type(factor)
    for i in range(weights.size):
        gradient[i] += factor * weights[i]


# -- BLAS, rows of a block along the first axis --------------------------------------------------------


@jit
def _add_bias(z, bias):
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] += bias[j]


@jit_inline
def affine(inputs, weights, bias, kind, out):
    """out = f(inputs · weights + bias)."""
    np.dot(inputs, weights, out)
    _add_bias(out, bias)
    activate(kind, out)


@jit
def add_bias_activate(Z, b, kind, H):
    """H = f(Z + b)."""
    for i in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            H[i, j] = Z[i, j] + b[j]
    activate(kind, H)


@jit_inline
def accumulate_dot(left, right, out, product, overwrite):
    """out = left · right if ``overwrite``, else out += left · right."""
    if overwrite:
        np.dot(left, right, out)
    else:
        np.dot(left, right, product)
        out += product


@jit
def accumulate_rows(rows, out, overwrite):
    """out = the sum of the rows if ``overwrite``, else added to out."""
    if overwrite:
        out[:] = 0
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            out[j] += rows[i, j]


# -- our own loops, rows of a block along the second axis ----------------------------------------------


@jit_inline
def strides(A):
    """How many numbers apart neighbours in a column, and in a row, of A are."""
    return A.strides[0] // A.itemsize, A.strides[1] // A.itemsize


@jit
def product(A, steps, bias, B, out, scratch):
    """out (p, n) = A (p, q) · B (q, n) + bias, two rows of out and four of B at a time.

    A is flat and comes with its strides, ``steps``, so that one compilation serves V and its transpose. ``scratch`` has
    shape (n,).
    """
    stride, step = steps
    p, q = out.shape[0], B.shape[0]
    for r in range(0, p, 2):
        second = min(r + 1, p - 1)
        y, z = out[r], (out[r + 1] if r + 1 < p else scratch)
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


@jit_sum
def inner(A, B, out, overwrite):
    """out (p, q) = A (p, n) · B' (n, q) if ``overwrite``, else added, in tiles of 2 x 4 that overlap at the edges."""
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
            if not overwrite:  # all are read before any is written, so that overlaps are added once
                s00, s01, s02, s03 = s00 + out[r0, k0], s01 + out[r0, k1], s02 + out[r0, k2], s03 + out[r0, k3]
                s10, s11, s12, s13 = s10 + out[r1, k0], s11 + out[r1, k1], s12 + out[r1, k2], s13 + out[r1, k3]
            out[r0, k0], out[r0, k1], out[r0, k2], out[r0, k3] = s00, s01, s02, s03
            out[r1, k0], out[r1, k1], out[r1, k2], out[r1, k3] = s10, s11, s12, s13
