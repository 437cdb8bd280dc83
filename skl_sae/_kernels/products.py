"""Products of matrices and vectors, and the weight decay."""

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
    """The factor of a weight in the gradient of the weight decay; a tied weight enters the decay twice."""
    return alpha * (4 if arch.tied else 2)


@jit
def add_decay(weights, factor, gradient):
    """Add the gradient of the weight decay."""
    factor = weights.dtype.type(factor)
    for i in range(weights.size):
        gradient[i] += factor * weights[i]


# -- products of matrices ------------------------------------------------------------------------------


@jit
def _add_bias(z, bias):
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] += bias[j]


@jit_sum
def _all_finite(z):
    flat, zero = z.reshape(-1), z.dtype.type(0)
    total = zero
    for i in range(flat.size):
        total += zero * flat[i]
    return total == zero


@jit_inline
def affine(inputs, weights, bias, kind, out):
    """out = f(inputs · weights + bias); return whether all inputs of f are finite."""
    np.dot(inputs, weights, out)
    _add_bias(out, bias)
    finite = _all_finite(out)  # here, while they are in the cache, and because f may hide an infinity
    activate(kind, out)
    return finite


@jit
def add_bias_activate(Z, b, kind, H):
    """H = f(Z + b); return whether Z + b is finite."""
    for i in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            H[i, j] = Z[i, j] + b[j]
    finite = _all_finite(H)
    activate(kind, H)
    return finite
