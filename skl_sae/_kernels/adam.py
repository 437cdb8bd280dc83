"""Epochs of Adam over mini-batches."""

import numpy as np

from .blocks import draw_noise
from .groups import add_up, add_up_biases, cut, encode_group, learn_group, place
from .jit import jit, jit_inline
from .products import decay_factor
from .structs import PickedRows
from .team import meet, share
from .units import compare_rows, encode_units, learn_units, pick_rows

# Few enough for their gradient to stay in the first-level cache.
WEIGHTS_AT_A_TIME = 2048


@jit
def adam_range(theta, gradient, exp_avg, exp_avg_sq, state, decay, step, scale):
    """Take a step of Adam on some parameters, in place; ``decay`` times theta is added to the gradient."""
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
def adam_update(theta, gradient, state, rates, start, stop, decay):
    """Take a step of Adam on parameters start … stop, in place; ``decay`` times theta is added to the gradient."""
    exp_avg, exp_avg_sq = state.exp_avg[start:stop], state.exp_avg_sq[start:stop]
    adam_range(theta[start:stop], gradient[start:stop], exp_avg, exp_avg_sq, state, decay, rates[0], rates[1])


@jit_inline
def adam_rates(state, t):
    """Return the factors of exp_avg and sqrt(exp_avg_sq) in step t = 1, 2, … (Kingma and Ba, 2015, algorithm 1)."""
    return state.learning_rate / (1 - state.beta_1**t), 1 / np.sqrt(1 - state.beta_2**t)


@jit
def scale_weights(w, order, n_batches, out, shares):
    """Write weights in the order of an epoch to ``out``, scaled so that those of a batch sum to one.

    The sums before scaling go into ``shares``. A batch without weight gets zeros.
    """
    n = order.size
    for k in range(n_batches):
        first, last, total = k * n // n_batches, (k + 1) * n // n_batches, 0.0
        for i in range(first, last):
            total += w[order[i]]
        shares[k] = total
        for i in range(first, last):
            out[i] = w[order[i]] / total if total > 0 else 0.0


@jit_inline
def _update(theta, arch, reg, state, rates, low, high, work):
    """Add up the gradient of weights low … high, and take a step of Adam on them, a few at a time."""
    decay, gradient = decay_factor(arch, reg.alpha), work.gradient.flat
    for start in range(low, high, WEIGHTS_AT_A_TIME):
        stop = min(start + WEIGHTS_AT_A_TIME, high)
        add_up(work.gradients, start, stop, gradient)
        adam_update(theta.flat, gradient, state, rates, start, stop, decay)


@jit
def _record(share_of_batch, work):
    """Add a batch to the totals of the epoch."""
    for g in range(work.errors.size):
        work.totals[0] += share_of_batch * work.errors[g]
    for g in range(work.unit_sums.shape[0]):
        for j in range(work.epoch_mean.size):
            work.epoch_mean[j] += share_of_batch * work.unit_sums[g, j]


@jit
def is_finite(errors):
    """Whether the error of a batch, the sum of those of its parts, is finite."""
    total = 0.0
    for g in range(errors.size):
        total += errors[g]
    return np.isfinite(total)


@jit
def adam_steps(theta, arch, reg, epoch, noise, state, phases, work, team):
    """Take the given ``phases`` (a `Span`) of an epoch, in each of which a thread does its share; return the next.

    A batch takes three phases, or four with noise. The rows are dealt out evenly, so that no batch is much smaller than
    the others. The reconstruction errors of the batches, each before its step, add up in ``work.totals``, the mean
    activations in ``work.epoch_mean``, both weighted by the share of the batch. A batch whose error is not finite ends
    the epoch.
    """
    n, n_batches, n_groups, of_batch = epoch.order.size, epoch.shares.size, work.errors.size, 3
    if noise is not None:
        of_batch = 4
    n_weights = work.gradients.shape[1]
    first_group, last_group = share(team, n_groups)
    low, high = cut(team.me, n_weights, team.size), cut(team.me + 1, n_weights, team.size)
    for phase in range(phases.start, phases.stop):
        k, part = phase // of_batch, phase % of_batch - (of_batch - 3)
        begin, end = k * n // n_batches, (k + 1) * n // n_batches
        w, rows = epoch.w[begin:end], PickedRows(epoch.X, epoch.order[begin:end])
        if part == 0:
            for g in range(first_group, last_group):
                encode_group(theta, arch, rows, w, noise, place(g, w.size, n_groups, 0, 1), work)
        elif part == 1:
            for g in range(first_group, last_group):
                learn_group(theta, arch, reg, rows, w, noise, place(g, w.size, n_groups, 0, 1), work)
        elif part == 2:
            if not is_finite(work.errors):
                return phases.stop
            rates = adam_rates(state, state.n_steps + k + 1)
            _update(theta, arch, reg, state, rates, low, high, work)
            if team.me == 0:
                add_up_biases(work.unit_biases, work.gradient.b)
                add_up_biases(work.feature_biases, work.gradient.c)
                adam_update(theta.flat, work.gradient.flat, state, rates, n_weights, theta.flat.size, 0.0)
                _record(epoch.shares[k], work)
        elif noise is not None and team.me == 0:
            draw_noise(noise, work.corrupted[: w.size * arch.n_features])
        if team.size > 1 and not meet(team, phase + 1):
            return phase + 1
    return phases.stop


@jit_inline
def _inputs(n, d, noise, work):
    """Return the rows of a batch that the codes are computed from."""
    X = work.inputs
    if noise is not None:
        X = work.corrupted
    return X[: n * d].reshape(n, d)


@jit_inline
def _update_units(theta, arch, reg, state, rates, low, high, work):
    """Take a step of Adam on the weights and biases of units low … high."""
    d, m, decay = arch.n_features, arch.n_components, decay_factor(arch, reg.alpha)
    n_weights = theta.flat.size - m - d
    for start in range(0, n_weights, m * d):
        adam_update(theta.flat, work.gradient.flat, state, rates, start + low * d, start + high * d, decay)
    adam_update(theta.flat, work.gradient.flat, state, rates, n_weights + low, n_weights + high, 0.0)


@jit
def adam_unit_steps(theta, arch, reg, epoch, noise, state, phases, work, team):
    """As `adam_steps`, for large models: threads share out units, and a batch takes four phases, or five with noise."""
    n, n_batches, d, m, of_batch = epoch.order.size, epoch.shares.size, arch.n_features, arch.n_components, 4
    if noise is not None:
        of_batch = 5
    n_pieces = work.shares.shape[0]
    first_block, last_block = share(team, work.errors.size)
    first_piece, last_piece = share(team, n_pieces)
    for phase in range(phases.start, phases.stop):
        k, part = phase // of_batch, phase % of_batch - (of_batch - 4)
        begin, end = k * n // n_batches, (k + 1) * n // n_batches
        w, X = epoch.w[begin:end], _inputs(end - begin, d, noise, work)
        if part == 0:
            for q in range(first_block, last_block):
                pick_rows(PickedRows(epoch.X, epoch.order[begin:end]), noise, q, w.size, d, work)
        elif part == 1:
            for p in range(first_piece, last_piece):
                encode_units(theta, arch, reg, X, w, cut(p, m, n_pieces), cut(p + 1, m, n_pieces), p, work)
        elif part == 2:
            for q in range(first_block, last_block):
                compare_rows(theta, arch, w, q, work)
        elif part == 3:
            if not is_finite(work.errors):
                return phases.stop
            rates = adam_rates(state, state.n_steps + k + 1)
            for p in range(first_piece, last_piece):
                low, high = cut(p, m, n_pieces), cut(p + 1, m, n_pieces)
                learn_units(theta, arch, X, w, low, high, work)
                _update_units(theta, arch, reg, state, rates, low, high, work)
            if team.me == 0:
                add_up_biases(work.feature_biases, work.gradient.c)
                adam_update(theta.flat, work.gradient.flat, state, rates, theta.flat.size - d, theta.flat.size, 0.0)
                _record(epoch.shares[k], work)
        elif noise is not None and team.me == 0:
            draw_noise(noise, work.corrupted[: w.size * d])
        if team.size > 1 and not meet(team, phase + 1):
            return phase + 1
    return phases.stop
