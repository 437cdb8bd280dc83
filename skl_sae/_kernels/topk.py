"""Epochs of Adam over mini-batches for top-k autoencoders.

    rows     blocks   inputs, activations, selection, errors and their derivatives
    learn    units    the code by units, the gradient, and a step of Adam

Each unit's sums run over the rows in their order, and blocks of rows are fixed by the shapes, so the bits do not depend
on how many threads there are.
"""

import numpy as np

from .adam import is_finite
from .jit import jit, jit_inline
from .largest import new_search
from .structs import PickedRows
from .team import meet, share
from .topk_rows import encode_and_compare
from .topk_units import (
    falling_rates,
    first_entries,
    first_unit,
    learn_atoms,
    learn_centre,
    learn_encoders,
    sort_by_units,
)


@jit_inline
def learn(theta, state, t, n, share_of_batch, starts, ends, gradient, work, team):
    """Take a step on this thread's units."""
    first_entries(work.unit_counts, starts)
    low, high = first_unit(starts, team.me, team.size), first_unit(starts, team.me + 1, team.size)
    rates = falling_rates(state, t)
    sort_by_units(n, starts, low, high, ends, work)
    learn_atoms(theta, state, rates, starts, low, high, gradient, work)
    learn_encoders(theta, state, rates, starts, low, high, gradient, work)
    if team.me == 0:
        learn_centre(theta, state, rates, gradient, work)
        work.totals[0] += share_of_batch * work.errors.sum()
        work.totals[1] += share_of_batch * starts[starts.size - 1] / n


@jit
def topk_steps(theta, model, epoch, state, phases, work, team):
    """Take the given ``phases`` (a `Span`) of an epoch, in each of which a thread does its share; return the next.

    A batch takes two phases. The errors of the batches, each before its step, and the active units per row add up in
    ``work.totals``, weighted by the share of the batch. A batch whose error is not finite ends the epoch, and the total
    error becomes NaN.
    """
    n, n_batches, n_blocks = epoch.order.size, epoch.shares.size, work.errors.size
    first_block, last_block = share(team, n_blocks)
    starts, ends = np.empty(model.n_components + 1, np.int64), np.empty(model.n_components, np.int64)
    gradient, search = np.empty(model.n_features, theta.c.dtype), new_search(theta.b, model.k)
    for phase in range(phases.start, phases.stop):
        k, part = phase // 2, phase % 2
        begin, end = k * n // n_batches, (k + 1) * n // n_batches
        w, rows = epoch.w[begin:end], PickedRows(epoch.X, epoch.order[begin:end])
        if part == 0:
            for q in range(first_block, last_block):
                encode_and_compare(theta, model, rows, w, q, search, work)
        else:
            if not is_finite(work.errors):
                if team.me == 0:
                    work.totals[0] = np.nan
                return phases.stop
            t = state.n_steps + k + 1
            learn(theta, state, t, end - begin, epoch.shares[k], starts, ends, gradient, work, team)
        if team.size > 1 and not meet(team, phase + 1):
            return phase + 1
    return phases.stop
