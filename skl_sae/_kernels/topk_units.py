"""The gradient of a top-k autoencoder and a step of Adam, unit by unit.

Codes that lie by rows are sorted by units first. The gradient of a unit's weights, a sum over the rows in which it is
active, then never leaves the first-level cache; there is no gradient of all weights.

A unit that is not active in a batch stays as it is, and so do its averages of the gradient. If these decayed, its first
steps after a long silence would be many times as long as others (the square root of the second average decays more
slowly than the first average, but both approach zero): such steps kill units.
"""

import numpy as np

from .adam import adam_range, adam_rates
from .jit import jit, jit_inline
from .picked import add_picked
from .topk_rows import square_sum

# What a unit costs besides its entries, in entries: Adam reads and writes its weights in any case.
UNIT_COST = 8

# Steps until the squared step size has fallen to half of what it was.
STEPS_TO_HALVE = 600


@jit_inline
def falling_rates(state, t):
    """Return the factors of `adam_rates` with a step size that falls like 1 / sqrt(t) after a while.

    They do not depend on how many steps there will be, so a fit can be continued.
    """
    step, scale = adam_rates(state, t)
    return step / np.sqrt(1 + t / STEPS_TO_HALVE), scale


@jit
def first_entries(unit_counts, starts):
    """Compute where in the code by units each unit begins, and where the last one ends, into ``starts`` (m + 1,)."""
    starts[0] = 0
    for j in range(starts.size - 1):
        n = 0
        for q in range(unit_counts.shape[0]):
            n += unit_counts[q, j]
        starts[j + 1] = starts[j] + n


@jit
def first_unit(starts, part, n_parts):
    """Return where part ``part`` of the units begins, if all ``n_parts`` parts are to cost about the same."""
    m = starts.size - 1
    if part == n_parts:
        return m
    wanted, low, high = part * (starts[m] + UNIT_COST * m), 0, m
    while low < high:
        middle = (low + high) // 2
        if n_parts * (starts[middle] + UNIT_COST * middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def sort_by_units(n, starts, low, high, ends, work):
    """Write the code of units low … high of n rows by units, each unit's rows in their order."""
    for j in range(low, high):
        ends[j] = starts[j]
    for i in range(n):
        units, values, slopes = work.units[i], work.values[i], work.slopes[i]
        for q in range(work.counts[i]):
            j = units[q]
            if low <= j < high:
                at = ends[j]
                work.rows[at], work.unit_values[at], work.unit_slopes[at] = i, values[q], slopes[q]
                ends[j] = at + 1


@jit
def _sums(values, slopes, start, stop):
    along, total = 0.0, 0.0
    for q in range(start, stop):
        along += np.float64(values[q]) * np.float64(slopes[q])
        total += np.float64(slopes[q])
    return along, total


@jit
def _subtract(gradient, factor, v):
    for k in range(v.size):
        gradient[k] -= factor * v[k]


@jit
def _scale(v, factor):
    for k in range(v.size):
        v[k] *= factor


@jit_inline
def _step(theta, gradient, state, rates, first):
    last = first + gradient.size
    exp_avg, exp_avg_sq = state.exp_avg[first:last], state.exp_avg_sq[first:last]
    adam_range(theta.flat[first:last], gradient, exp_avg, exp_avg_sq, state, 0.0, rates[0], rates[1])


@jit_inline
def learn_atoms(theta, state, rates, starts, low, high, gradient, work):
    """Take a step on the atoms V_j and biases of units low … high; the gradient is that on the sphere."""
    m, d = theta.V.shape
    delta, one = work.delta.reshape(work.delta.size // d, d), theta.V.dtype.type(1)
    for j in range(low, high):
        start, stop, v = starts[j], starts[j + 1], theta.V[j]
        work.silent[j] = 0 if stop > start else work.silent[j] + 1
        work.fired[j] += stop - start
        if stop == start:
            continue
        gradient[:] = 0
        add_picked(gradient, delta, work.rows, work.unit_values, start, stop)
        along, total = _sums(work.unit_values, work.unit_slopes, start, stop)
        _subtract(gradient, theta.V.dtype.type(along), v)  # h · dL/dh is the gradient along the atom
        _step(theta, gradient, state, rates, (m + j) * d)
        _scale(v, one / np.sqrt(square_sum(v)))
        gradient[0] = total
        _step(theta, gradient[:1], state, rates, 2 * m * d + j)


@jit_inline
def learn_encoders(theta, state, rates, starts, low, high, gradient, work):
    """Take a step on the encoder weights W_j of units low … high."""
    d = theta.c.size
    inputs = work.inputs.reshape(work.inputs.size // d, d)
    for j in range(low, high):
        if starts[j] == starts[j + 1]:
            continue
        gradient[:] = 0
        add_picked(gradient, inputs, work.rows, work.unit_slopes, starts[j], starts[j + 1])
        _step(theta, gradient, state, rates, j * d)


@jit_inline
def learn_centre(theta, state, rates, gradient, work):
    """Take a step on the biases c of the output."""
    gradient[:] = 0
    for q in range(work.errors.size):
        for k in range(gradient.size):
            gradient[k] += work.feature_parts[q, k]
    _step(theta, gradient, state, rates, theta.flat.size - gradient.size)
