"""Epochs of Adam over mini-batches."""

import numpy as np

from .evaluate import both_passes
from .jit import jit, jit_inline
from .penalties import sparsity_term
from .products import decay_factor, weight_decay
from .sizes import count_batches
from .structs import PickedRows, Span


@jit
def _adam_range(theta, gradient, exp_avg, exp_avg_sq, state, decay, step, scale):
    dtype = theta.dtype.type
    b1, b2, eps = dtype(state.beta_1), dtype(state.beta_2), dtype(state.epsilon)
    c1, c2 = dtype(1 - state.beta_1), dtype(1 - state.beta_2)
    step, scale, decay = dtype(step), dtype(scale), dtype(decay)
    for i in range(theta.size):
        g = gradient[i] + decay * theta[i]
        exp_avg[i] = b1 * exp_avg[i] + c1 * g
        exp_avg_sq[i] = b2 * exp_avg_sq[i] + c2 * g * g
        theta[i] -= step * exp_avg[i] / (scale * np.sqrt(exp_avg_sq[i]) + eps)


@jit_inline
def adam_update(theta, gradient, n_weights, state, t, decay):
    """Take step t = 1, 2, … of Adam (Kingma and Ba, 2015, algorithm 1), in place, on flat vectors.

    ``decay`` times theta is added to the gradient of the first ``n_weights`` parameters.
    """
    step = state.learning_rate / (1 - state.beta_1**t)
    scale = 1 / np.sqrt(1 - state.beta_2**t)
    exp_avg, exp_avg_sq, n = state.exp_avg, state.exp_avg_sq, n_weights
    _adam_range(theta[:n], gradient[:n], exp_avg[:n], exp_avg_sq[:n], state, decay, step, scale)
    _adam_range(theta[n:], gradient[n:], exp_avg[n:], exp_avg_sq[n:], state, 0.0, step, scale)


@jit
def _batch_weights(w, order, out):
    """Write the weights of a batch to ``out``, scaled to sum to one; return their sum before scaling."""
    total = 0.0
    for i in range(order.size):
        out[i] = w[order[i]]
        total += out[i]
    if total > 0:
        out /= total
    return total


@jit
def adam_epoch(theta, arch, reg, epoch, noise, state, batches, work, by_rows, by_features):
    """Take one Adam step for each of the given ``batches`` (a `Span`) of an `Epoch`.

    The rows are dealt out evenly, so that no batch is much smaller than the others. Returns the share of these batches
    in the reconstruction error, as it was met; the sparsity term of the mean activation over the epoch so far, which
    adds up in ``work.epoch_mean``; and the weight decay at the end. A batch that is not finite ends the epoch.
    """
    decay = decay_factor(arch, reg.alpha)
    n_weights = theta.flat.size - theta.b.size - theta.c.size
    n_rows = epoch.order.size
    n_batches = count_batches(n_rows, work.batch_weights.size)
    if batches.start == 0:
        work.epoch_mean[:] = 0
    reconstruction = 0.0
    for k in range(batches.start, batches.stop):
        picked = epoch.order[k * n_rows // n_batches : (k + 1) * n_rows // n_batches]
        weights = work.batch_weights[: picked.size]
        share = _batch_weights(epoch.w, picked, weights)
        steps = Span(0, 2 * count_batches(picked.size, work.block_size))
        rows = PickedRows(epoch.X, picked)
        error, sparsity = both_passes(theta, arch, reg, rows, weights, noise, work, steps, by_rows, by_features)
        reconstruction += share * error
        for j in range(work.epoch_mean.size):
            work.epoch_mean[j] += share * work.mean[j]
        if not np.isfinite(error + sparsity):
            break
        adam_update(theta.flat, work.gradient.flat, n_weights, state, state.n_steps + k + 1, decay)
    sparsity = sparsity_term(reg, work.epoch_mean, work.sparsity_grad)
    return reconstruction, sparsity, weight_decay(theta, arch, reg.alpha)
