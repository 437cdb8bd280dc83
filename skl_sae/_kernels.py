"""Every compiled function of the package, and the tables that name their variants.

One file on purpose: numba's disk cache notices a change only in the file of the function that it cached, so a compiled
function may only call compiled functions that live beside it.

Conventions. X (n, d) rows; W (m, d) encoder weights; V (m, d) = transposed decoder weights, so that a tied model has
V = W; b (m,), c (d,) biases; H (n, m) codes. All parameters live in one flat vector ``theta`` = [W, V, b, c] (tied:
[W, b, c]), weights first, so that weight decay acts on a prefix. Weights ``w`` of the rows sum to one over the rows of
a call. Losses and mean activations are summed in float64 whatever the dtype of the data. Scratch memory comes from the
caller.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload, register_jitable
from scipy.special import logit

# Adding "contract" lets multiply-add fuse, "reassoc" lets sums run in vector lanes. Flags that assume away NaN or inf
# are left out: a diverging fit has to be seen. error_model="numpy" drops a zero check per division that blocks
# vectorisation.
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}
try:
    njit(**_OPTIONS)(lambda: None)
except RuntimeError as error:  # numba found no folder that it may write to
    warnings.warn(f"Compiled code cannot be kept on disk, so every process compiles anew: {error}", stacklevel=2)
    _OPTIONS["cache"] = False
_jit = njit(**_OPTIONS, fastmath={"contract"})
_jit_sum = njit(**_OPTIONS, fastmath={"contract", "reassoc"})

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

# The most rows that are worked on together: enough for GEMM to run at full speed, few enough to stay in cache.
BLOCK_ROWS = 1024

# Multiply-adds up to which OpenBLAS computes a product in the calling thread. Small models are taken in blocks of rows
# below it: the threads of a BLAS wait by spinning, which on a busy machine costs more than small products themselves.
SERIAL_PRODUCT = 2**18
FEWEST_ROWS = 32  # with fewer rows a product is no longer efficient

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


class Workspace(NamedTuple):
    """Scratch memory of one evaluation; ``block`` stands for the number of rows worked on at a time."""

    code: np.ndarray  # (n, m) where there is a gradient, else (block, m)
    residual: np.ndarray  # (block, d)
    delta: np.ndarray  # (block, m)
    product: np.ndarray  # (m, d)
    mean: np.ndarray  # (m,) float64
    slope: np.ndarray  # (m,)
    gradient: np.ndarray  # (n_parameters,)


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
    return np.exp(np.clip(x, low, high))


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


@register_jitable
def _derivative(kind, y, one, zero):
    """f'(z) in terms of y = f(z)."""
    if kind == SIGMOID:
        return y * (one - y)
    if kind == RELU:
        return one if y > zero else zero
    return one


@_jit
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


@_jit
def _affine(inputs, weights, bias, kind, out):
    """out = f(inputs · weights + bias)."""
    np.dot(inputs, weights, out)
    _add_bias(out, bias)
    activate(kind, out)


@register_jitable
def block_rows(n, d, m):
    """How many of n rows to multiply at a time with a matrix of d x m."""
    serial = SERIAL_PRODUCT // (d * m)
    return max(1, min(n, BLOCK_ROWS, serial if serial >= FEWEST_ROWS else BLOCK_ROWS))


@_jit
def encode(X, W, b, kind, out):
    """Codes of all rows of X into ``out`` (n, m), block by block."""
    block = block_rows(X.shape[0], W.shape[0], W.shape[1])
    for start in range(0, X.shape[0], block):
        stop = min(start + block, X.shape[0])
        _affine(X[start:stop], W.T, b, kind, out[start:stop])


@_jit
def decode(H, V, c, kind, out):
    """Reconstructions of all rows of H into ``out`` (n, d), block by block."""
    block = block_rows(H.shape[0], V.shape[0], V.shape[1])
    for start in range(0, H.shape[0], block):
        stop = min(start + block, H.shape[0])
        _affine(H[start:stop], V, c, kind, out[start:stop])


# -- objective -------------------------------------------------------------------------------------


@register_jitable
def count_weights(arch):
    """Length of the prefix of ``theta`` that holds W and, untied, V."""
    return arch.n_components * arch.n_features * (1 if arch.tied else 2)


@register_jitable
def unpack(theta, arch):
    """W (m, d), V (m, d), b (m,), c (d,) as views of the flat vector; a tied V is W itself."""
    size = arch.n_components * arch.n_features
    shape = (arch.n_components, arch.n_features)
    end = count_weights(arch)
    W = theta[:size].reshape(shape)
    V = theta[end - size : end].reshape(shape)
    return W, V, theta[end : end + arch.n_components], theta[end + arch.n_components :]


@_jit
def _add_weighted_mean(H, w, mean):
    for i in range(H.shape[0]):
        for j in range(H.shape[1]):
            mean[j] += w[i] * H[i, j]


@_jit
def sparsity_term(reg, mean, slope):
    """beta * sum_j KL(rho || mean_j); its derivative by each mean goes into ``slope``."""
    total = 0.0
    for j in range(mean.size):
        value, derivative = divergence(reg.divergence, reg.rho, mean[j])
        total += value
        slope[j] = reg.beta * derivative
    return reg.beta * total


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
def _code_delta(kind, H, w, slope, out):
    """From dL/dh of the reconstruction in ``out`` to dL/d(Wx + b) of both terms."""
    one, zero = out.dtype.type(1), out.dtype.type(0)
    for i in range(out.shape[0]):
        weight = out.dtype.type(w[i])
        for j in range(out.shape[1]):
            out[i, j] = (out[i, j] + weight * slope[j]) * _derivative(kind, H[i, j], one, zero)


@_jit
def _accumulate_dot(left, right, out, product, fresh):
    """out = left · right if ``fresh``, else out += left · right."""
    if fresh:
        np.dot(left, right, out)
    else:
        np.dot(left, right, product)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] += product[i, j]


@_jit
def _accumulate_rows(rows, out, fresh):
    if fresh:
        out[:] = 0
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            out[j] += rows[i, j]


@_jit
def code_pass(theta, arch, X, w, H, mean):
    """First pass over a block of rows: its codes, and its share of the mean activation."""
    W, _, b, _ = unpack(theta, arch)
    _affine(X, W.T, b, arch.activation, H)
    _add_weighted_mean(H, w, mean)


@_jit
def loss_pass(theta, arch, target, w, H, work):
    """Second pass over a block of rows without a gradient: its share of the reconstruction error."""
    _, V, _, c = unpack(theta, arch)
    residual = work.residual[: H.shape[0]]
    _affine(H, V, c, arch.output, residual)
    return _residual(arch.output, target, w, residual)


@_jit
def gradient_pass(theta, arch, X, target, w, H, work, fresh):
    """Second pass over a block of rows: its share of the reconstruction error and of the gradient of L.

    ``work.slope`` holds the derivative of the sparsity term by the mean activations of *all* rows. The first block of
    an evaluation is ``fresh``: it overwrites the gradient, the others add to it.
    """
    reconstruction = loss_pass(theta, arch, target, w, H, work)
    _, V, _, _ = unpack(theta, arch)
    dW, dV, db, dc = unpack(work.gradient, arch)
    residual, delta = work.residual[: H.shape[0]], work.delta[: H.shape[0]]
    np.dot(residual, V.T, delta)
    _code_delta(arch.activation, H, w, work.slope, delta)
    _accumulate_dot(H.T, residual, dV, work.product, fresh)
    _accumulate_dot(delta.T, X, dW, work.product, fresh and not arch.tied)
    _accumulate_rows(delta, db, fresh)
    _accumulate_rows(residual, dc, fresh)
    return reconstruction


@_jit_sum
def _weight_norm(theta, arch):
    """||W||² + ||V||²."""
    total = 0.0
    for i in range(count_weights(arch)):
        total += np.float64(theta[i]) * np.float64(theta[i])
    return total * (2 if arch.tied else 1)


@register_jitable
def _decay_slope(arch, alpha):
    """What a weight is multiplied by in the gradient of alpha (||W||² + ||V||²); a tied weight stands there twice."""
    return alpha * (4 if arch.tied else 2)


@_jit
def _add_decay(theta, arch, alpha, gradient):
    slope = theta.dtype.type(_decay_slope(arch, alpha))
    for i in range(count_weights(arch)):
        gradient[i] += slope * theta[i]


@_jit
def _both_passes(theta, arch, reg, X, target, w, work):
    """Reconstruction error and sparsity term; their gradient goes into ``work.gradient``.

    Two passes over blocks, because the slope of the sparsity term needs the codes of all rows: ``work.code`` keeps
    them.
    """
    n, block = X.shape[0], work.residual.shape[0]
    work.mean[:] = 0
    for start in range(0, n, block):
        stop = min(start + block, n)
        code_pass(theta, arch, X[start:stop], w[start:stop], work.code[start:stop], work.mean)
    sparsity = sparsity_term(reg, work.mean, work.slope)
    reconstruction = 0.0
    for start in range(0, n, block):
        stop = min(start + block, n)
        rows, H = slice(start, stop), work.code[start:stop]
        reconstruction += gradient_pass(theta, arch, X[rows], target[rows], w[rows], H, work, start == 0)
    return reconstruction, sparsity


@_jit
def evaluate_gradient(theta, arch, reg, X, w, work):
    """The three terms of L over all rows of X; the gradient goes into ``work.gradient``."""
    reconstruction, sparsity = _both_passes(theta, arch, reg, X, X, w, work)
    _add_decay(theta, arch, reg.alpha, work.gradient)
    return reconstruction, sparsity, reg.alpha * _weight_norm(theta, arch)


@_jit
def evaluate(theta, arch, reg, X, w, work, lowest, highest, square):
    """The three terms of L over all rows of X in one pass; range and mean square (m,) of each unit's activation."""
    n, block = X.shape[0], work.residual.shape[0]
    work.mean[:] = 0
    lowest[:] = np.inf
    highest[:] = -np.inf
    square[:] = 0
    reconstruction = 0.0
    for start in range(0, n, block):
        stop = min(start + block, n)
        H = work.code[: stop - start]
        code_pass(theta, arch, X[start:stop], w[start:stop], H, work.mean)
        _widen_range(H, w[start:stop], lowest, highest, square)
        reconstruction += loss_pass(theta, arch, X[start:stop], w[start:stop], H, work)
    sparsity = sparsity_term(reg, work.mean, work.slope)
    return reconstruction, sparsity, reg.alpha * _weight_norm(theta, arch)


@_jit
def _widen_range(H, w, lowest, highest, square):
    for i in range(H.shape[0]):
        for j in range(H.shape[1]):
            square[j] += w[i] * np.float64(H[i, j]) * np.float64(H[i, j])
            lowest[j] = min(lowest[j], H[i, j])
            highest[j] = max(highest[j], H[i, j])


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


@_jit
def adam_update(theta, arch, gradient, state, t, decay):
    """Step t = 1, 2, … of Adam (Kingma and Ba, 2015, algorithm 1), in place.

    ``decay`` times theta joins the gradient of the weights.
    """
    step = state.learning_rate / (1 - state.beta_1**t)
    scale = 1 / np.sqrt(1 - state.beta_2**t)
    n = count_weights(arch)
    first, second = state.first, state.second
    _adam_range(theta[:n], gradient[:n], first[:n], second[:n], state, decay, step, scale)
    _adam_range(theta[n:], gradient[n:], first[n:], second[n:], state, 0.0, step, scale)


@_jit
def _gather(X, w, rows, out, weights):
    """Rows of X and their weights, scaled to sum to one; returns the sum before scaling."""
    total = 0.0
    for i in range(rows.size):
        weights[i] = w[rows[i]]
        total += weights[i]
        for k in range(X.shape[1]):
            out[i, k] = X[rows[i], k]
    for i in range(rows.size):
        weights[i] = weights[i] / total
    return total


@_jit
def _corrupt(target, noise, rng, out):
    for i in range(target.shape[0]):
        for k in range(target.shape[1]):
            out[i, k] = target[i, k] + noise * rng.standard_normal()


@register_jitable
def count_batches(n, batch_size):
    return -(-n // batch_size)


@_jit
def adam_epoch(theta, arch, reg, X, w, order, state, t, noise, rng, batch, work, epoch_mean):
    """One pass over the rows in the given order, one Adam step a batch.

    ``batch`` is (rows (B, d), corrupted rows (B or 0, d), weights (B,)). The rows are dealt out evenly, so that no
    batch is much smaller than B. Returns the reconstruction error averaged over the batches as they were met, the
    sparsity term of the mean activation over the epoch, which goes into ``epoch_mean``, and the weight decay at the
    end. A batch that is not finite ends the epoch.
    """
    rows, corrupted, weights = batch
    decay = _decay_slope(arch, reg.alpha)
    n_batches = count_batches(order.size, rows.shape[0])
    epoch_mean[:] = 0
    reconstruction = 0.0
    for k in range(n_batches):
        start, stop = k * order.size // n_batches, (k + 1) * order.size // n_batches
        target, batch_w = rows[: stop - start], weights[: stop - start]
        share = _gather(X, w, order[start:stop], target, batch_w)
        inputs = target
        if noise > 0:
            inputs = corrupted[: stop - start]
            _corrupt(target, noise, rng, inputs)
        error, sparsity = _both_passes(theta, arch, reg, inputs, target, batch_w, work)
        reconstruction += share * error
        for j in range(epoch_mean.size):
            epoch_mean[j] += share * work.mean[j]
        if not np.isfinite(error + sparsity):
            break
        t += 1
        adam_update(theta, arch, work.gradient, state, t, decay)
    return reconstruction, sparsity_term(reg, epoch_mean, work.slope), reg.alpha * _weight_norm(theta, arch)
