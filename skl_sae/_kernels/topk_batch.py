"""Like `topk`, but the largest activations of a batch are active instead of those of each row.

    activate   blocks   inputs, activations, and the maxima of their groups
    collect    blocks   the few activations that can be among the largest
    limit      one      the lowest activation that is
    compare    blocks   errors and their derivatives
    learn      units    the code by units, the gradient, and a step of Adam

A batch is treated as `largest` treats a row.
"""

import numpy as np

from .adam import is_finite
from .blocks import copy
from .groups import cut
from .jit import jit, jit_inline
from .largest import (
    add_and_find_peaks,
    as_bits,
    as_number,
    collect,
    count_equal,
    find_threshold,
    new_search,
    write_in_order,
)
from .structs import PickedRows
from .team import meet, share
from .topk import learn
from .topk_rows import activate_block, compare_row, count_units


@jit_inline
def _activate(theta, model, rows, n, q, work):
    """Compute the activations of block q of a batch of n rows, and the maxima of their groups."""
    start, stop = cut(q, n, work.errors.size), cut(q + 1, n, work.errors.size)
    _, Z = activate_block(theta, model, rows, start, stop, work)
    for i in range(start, stop):
        add_and_find_peaks(Z[i - start], theta.b, work.peaks[i])


@jit_inline
def _find_limit(k, n, work):
    """Return the bits of a limit that k n activations of n rows reach, and few more; or of the lowest above zero."""
    peaks = work.peaks[:n].reshape(-1)
    one = peaks.dtype.type(1)
    bits, _ = find_threshold(as_bits(peaks), k * n, k * n // 8, work.guess[0], one)
    return bits


@jit_inline
def _collect(bits, m, n, q, search, work):
    """Write the activations of block q that reach a limit as if they were active."""
    limit = as_number(bits, search.cell)
    for i in range(cut(q, n, work.errors.size), cut(q + 1, n, work.errors.size)):
        z = work.activations[i * m : (i + 1) * m]
        n_found = collect(z, work.peaks[i], limit, search)
        work.counts[i] = write_in_order(z, limit, m, n_found, search, work.units[i], work.values[i])


@jit_inline
def _set_limit(k, n, work):
    """Find the lowest of the k n largest numbers that were collected, and how many equal ones each block may have."""
    n_found = 0
    for i in range(n):
        stop = n_found + work.counts[i]
        copy(work.values[i, : work.counts[i]], work.unit_values[n_found:stop])
        n_found = stop
    found, n_ties, bits = as_bits(work.unit_values[:n_found]), n_found, np.int64(1)
    if n_found > k * n:
        bits, n_reached = find_threshold(found, k * n, 0, work.guess[0], work.limit.dtype.type(1))
        work.guess[0] = bits
        n_ties = k * n - n_reached + count_equal(found, bits)
    limit = as_number(bits, work.limit)
    for q in range(work.ties.size):
        work.ties[q] = n_ties
        for i in range(cut(q, n, work.errors.size), cut(q + 1, n, work.errors.size)):
            for entry in range(work.counts[i]):
                n_ties -= 1 if work.values[i, entry] == limit else 0


@jit
def _keep(limit, n_ties, n, units, values):
    """Keep the activations above the limit and up to ``n_ties`` equal to it; return how many, and the ties left."""
    kept = 0
    for q in range(n):
        value = values[q]
        if value > limit or (value == limit and n_ties > 0):
            n_ties -= 1 if value == limit else 0
            units[kept], values[kept] = units[q], value
            kept += 1
    return kept, n_ties


@jit_inline
def _compare(theta, model, w, q, work):
    """Compute the errors of block q of a batch and their derivatives."""
    d, n_ties = model.n_features, max(work.ties[q], 0)
    sums, unit_counts = work.feature_parts[q, :d], work.unit_counts[q, : theta.b.size]
    work.errors[q], sums[:], unit_counts[:] = 0, 0, 0
    for i in range(cut(q, w.size, work.errors.size), cut(q + 1, w.size, work.errors.size)):
        units = work.units[i]
        work.counts[i], n_ties = _keep(work.limit[0], n_ties, work.counts[i], units, work.values[i])
        work.errors[q] += compare_row(theta, work.inputs[i * d : (i + 1) * d], w[i], i, sums, work)
        count_units(units, work.counts[i], unit_counts)


@jit
def batch_topk_steps(theta, model, epoch, state, phases, work, team):
    """As `topk_steps`, but a batch takes five phases."""
    n, n_batches, m = epoch.order.size, epoch.shares.size, model.n_components
    first_block, last_block = share(team, work.errors.size)
    starts, ends = np.empty(m + 1, np.int64), np.empty(m, np.int64)
    gradient, search = np.empty(model.n_features, theta.c.dtype), new_search(theta.b, model.k)
    for phase in range(phases.start, phases.stop):
        b, part = phase // 5, phase % 5
        begin, end = b * n // n_batches, (b + 1) * n // n_batches
        w, rows = epoch.w[begin:end], PickedRows(epoch.X, epoch.order[begin:end])
        if part == 0:
            for q in range(first_block, last_block):
                _activate(theta, model, rows, w.size, q, work)
        elif part == 1:
            bits = _find_limit(model.k, w.size, work)
            for q in range(first_block, last_block):
                _collect(bits, m, w.size, q, search, work)
        elif part == 2:
            if team.me == 0:
                _set_limit(model.k, w.size, work)
        elif part == 3:
            for q in range(first_block, last_block):
                _compare(theta, model, w, q, work)
        else:
            if not is_finite(work.errors):
                if team.me == 0:
                    work.totals[0] = np.nan
                return phases.stop
            learn(theta, state, state.n_steps + b + 1, w.size, epoch.shares[b], starts, ends, gradient, work, team)
        if team.size > 1 and not meet(team, phase + 1):
            return phase + 1
    return phases.stop
