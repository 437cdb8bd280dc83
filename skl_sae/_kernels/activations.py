"""Activation functions: their table, their compiled forms, their derivatives.

CONTRIBUTING.md says how to add one.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numba import types
from numba.extending import overload, register_jitable
from scipy.special import logit

from .jit import jit, jit_inline

IDENTITY, SIGMOID, RELU = range(3)

# For the annotations of public functions; a test compares them with the table.
HiddenActivation: TypeAlias = Literal["sigmoid", "relu"]
OutputActivation: TypeAlias = Literal["identity", "sigmoid", "relu"]


class Activation(NamedTuple):
    """A function of hidden units or outputs."""

    kind: int  # its number in compiled code
    low: float  # its range
    high: float
    inverse: Callable  # an input that gives, or comes near, a value; finite wherever the value is
    onnx: Callable  # its operators in ONNX: node(name, *inputs) makes one, and runtimes know it in both dtypes
    silent: float = 0.0  # at or below this value a hidden unit counts as inactive

    @property
    def fits_hidden_units(self):
        """Whether values are never negative: penalties on the mean activation have no meaning otherwise."""
        return self.low >= 0


def _logit(y):
    return logit(np.clip(y, 1e-3, 1 - 1e-3))


ACTIVATIONS = {
    "identity": Activation(IDENTITY, -np.inf, np.inf, np.asarray, lambda node, z: node("Identity", z)),
    "sigmoid": Activation(SIGMOID, 0.0, 1.0, _logit, lambda node, z: node("Sigmoid", z), silent=0.01),
    "relu": Activation(RELU, 0.0, np.inf, np.asarray, lambda node, z: node("Relu", z)),
}
HIDDEN_ACTIVATIONS = [name for name, entry in ACTIVATIONS.items() if entry.fits_hidden_units]


def _exp(x):
    """e^x without overflow: x is clipped to the range in which the result is a normal number."""
    # This body runs only with compilation switched off.
    low, high = (-87.0, 88.0) if isinstance(x, np.float32) else (-708.0, 709.0)
    return np.exp(type(x)(min(max(x, low), high)))  # this way round NaN stays NaN


@register_jitable
def _exp_float32(x):
    # 2^k e^r with k = round(x / ln 2): adding 1.5 * 2^23 leaves k in the low mantissa bits, and a shift turns it into
    # an exponent. Both comparisons leave NaN as it is. Measured relative error below 2e-7.
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
    # As in float32, with a Taylor polynomial of degree 13. Measured relative error below 4e-16.
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


@jit
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


@jit_inline
def derivative(kind, y, one, zero):
    """f'(z) in terms of y = f(z)."""
    if kind == SIGMOID:
        return y * (one - y)
    if kind == RELU:
        return one if y > zero else zero
    return one
