"""The error of a top-k autoencoder over rows of data, and epochs over mini-batches.

    L(theta) = sum_i w_i ||x_i - x̂_i||²

The gradient treats the selection of units as fixed: units that are not active have none.
"""

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from .._crew import Crew, Pace
from .._kernels import sizes
from .._kernels.adam import scale_weights
from .._kernels.jit import aligned, as_readonly
from .._kernels.largest import count_peaks
from .._kernels.structs import Epoch, TopKModel, TopKWorkspace
from .._kernels.topk import topk_steps
from .._kernels.topk_batch import batch_topk_steps
from .._log import logger
from .._model import unpack
from .._topk_model import calibrate, decode, encode, errors_of_codes, network
from ..exceptions import DivergenceError
from .base import APART

# A unit is dead if it has not been active for an epoch and for this many batches: a new one has to take a step first.
# If the rows are one chunk of many, those that a unit responds to may be in other chunks, so it takes more batches.
PATIENCE, PATIENCE_WITH_CHUNKS = 2, 30

# Most rows whose errors are considered when dead units start anew.
ROWS_TO_REVIVE = 4096

# Rows at a time whose codes are in memory.
ROWS_AT_A_TIME = 4096


def divergence(dtype, loss):
    """Return the error of a fit whose loss, or something else, is not finite."""
    return DivergenceError(
        f"The fit diverged in {dtype}: reconstruction error {loss}, or weights or a gradient beyond the range of the "
        "dtype. Scale the data if they are very large; if not, lower learning_rate_init."
    )


class TopKEvaluation(NamedTuple):
    """The error, in the units of X; its share of the variance; active units per row; the share of dead units."""

    loss: float
    fvu: float
    active_units: float
    dead_fraction: float

    @classmethod
    def of(cls, terms, variance, *arrays):
        """Raise DivergenceError if anything is not finite."""
        loss, active, dead = terms
        if not (math.isfinite(loss) and all(np.isfinite(array).all() for array in arrays)):
            raise divergence(arrays[0].dtype, loss)
        return cls(float(loss), float(loss / variance) if variance > 0 else 0.0, float(active), float(dead))


class TopKLoss:
    """L over rows.

    Parameters
    ----------
    rows : LocalRows of shape (n, d)
    weights : ndarray of shape (n,)
        Weight of each row; only ratios matter.
    arch : Architecture
    code : Code
        How units are selected.
    frame : Frame
        Centre and scale with which training sees the rows.
    variance : float
        Variance of the rows, with which the error is compared.
    training_rows : LocalRows, optional
        Rows from which a threshold is computed. Default: ``rows``.

    Attributes
    ----------
    frequency : ndarray of shape (m,)
        Share of the rows on which each unit was active at the last call of `evaluate`.
    """

    def __init__(self, rows, weights, arch, code, frame, variance, training_rows=None):
        self.rows, self.arch, self.code, self.frame, self.variance = rows, arch, code, frame, variance
        self.weights = as_readonly(np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64))
        self.training_rows = rows if training_rows is None else training_rows
        self.frequency = np.zeros(arch.n_components)

    def network(self, theta):
        """Return the `TopKNetwork` for rows as they are."""
        with np.errstate(over="ignore", invalid="ignore"):
            parts = self.frame.outside(theta, self.arch)
        return network(*parts, self.code.k, calibrate(parts, self.code, self.training_rows))

    def evaluate(self, theta):
        """Return the `TopKEvaluation` at theta; set the frequency of every unit."""
        if not np.isfinite(theta).all():
            return TopKEvaluation.of((np.nan, 0, 0), self.variance, theta)
        net, loss, active = self.network(theta), 0.0, 0.0
        self.frequency[:] = 0
        for start in range(0, len(self.rows), ROWS_AT_A_TIME):
            rows, weights = self.rows[start : start + ROWS_AT_A_TIME], self.weights[start : start + ROWS_AT_A_TIME]
            codes = encode(net, rows)
            counts = np.diff(codes.indptr)
            loss += float(weights @ errors_of_codes(net, rows, codes))
            active += float(weights @ counts)
            self.frequency += np.bincount(codes.indices, np.repeat(weights, counts), self.arch.n_components)
        return TopKEvaluation.of((loss, active, np.mean(self.frequency == 0)), self.variance, theta)


class TopKObjective(TopKLoss):
    """L as an average over mini-batches.

    Parameters
    ----------
    batch_size : int
        If it exceeds the number of rows, all rows are one batch.
    revives : bool
        Whether units that are not active for an epoch start anew.
    rng : numpy.random.RandomState
        For the rows from which they start.
    patience : int
        Smallest number of batches without activity after which they start anew.
    crew : Crew, optional
        The threads to work with; by default the calling thread works alone.

    Attributes
    ----------
    memory : dict of ndarrays
        What an epoch needs to know of earlier ones, apart from the parameters.
    """

    def __init__(self, *problem, batch_size, revives, rng, patience=PATIENCE, crew=None):
        super().__init__(*problem)
        n = self.n_rows = len(self.rows)
        d, m, dtype = self.arch.n_features, self.arch.n_components, self.rows.dtype
        self.n_batches = sizes.count_batches(n, batch_size)
        self._patience = max(self.n_batches, patience)
        self.crew, self._revives, self._rng = Crew(1) if crew is None else crew, revives, rng
        largest = sizes.count_batches(n, self.n_batches)
        self._work = _workspace(largest, d, m, self.code, dtype)
        self._calm = np.zeros(1, np.int64)  # epochs since a unit started anew
        self._settled = np.zeros(1, np.int64)  # whether none will do so any more
        self.memory = {"silent": self._work.silent, "calm": self._calm, "settled": self._settled}
        centre = as_readonly(self.frame.centre.astype(dtype))
        self._model = TopKModel(d, m, self.code.k, self.code.by_batch, centre, 1 / self.frame.scale)
        self._picked, self._w, self._shares = self.rows.picked(), np.empty(n, dtype), np.empty(self.n_batches)
        costs = [3, 0, 0, 1, 2] if self.code.by_batch else [3, 2]  # of which the encoder's product takes two
        self._kernel = batch_topk_steps if self.code.by_batch else topk_steps
        self._costs, self._cycle = list(accumulate(costs * self.n_batches, initial=0)), len(costs)
        self._pace = Pace()
        logger.debug("top-k: %d batches of at most %d rows, %d blocks", self.n_batches, largest, self._work.errors.size)

    def adam_epoch(self, theta, state, order):
        """Take one Adam step for every batch of rows in the given order, in place.

        Returns L averaged along the way.
        """
        work = self._work
        self._calm += 1
        if self._revives and not self._settled[0]:
            self._revive(theta, state)
        scale_weights(self.weights, order, self.n_batches, self._w, self._shares)
        epoch, parameters = Epoch(self._picked, order, self._w, self._shares), unpack(theta, self.arch)
        work.totals[:], work.fired[:] = 0, 0

        def kernel(phases, team):
            return self._kernel(parameters, self._model, epoch, state, phases, work, team)

        with self.crew:
            steps, go_on = len(self._costs) - 1, lambda: math.isfinite(work.totals[0])
            self.crew.run(kernel, self._costs, 0, steps, self._pace, go_on, cycle=self._cycle)
        terms = work.totals[0] * self.frame.scale**2, work.totals[1], np.mean(work.fired == 0)
        return TopKEvaluation.of(terms, self.variance, theta, state.exp_avg_sq)

    def settle(self, n_epochs):
        """Let no unit start anew from now on; return whether one has in the last ``n_epochs``.

        Where there is nothing left to find, units that start anew die again, and raise the loss every time.
        """
        self._settled[0] = 1
        return bool(self._calm[0] < n_epochs)

    def _revive(self, theta, state):
        """Let dead units start anew from rows with large errors, which their atoms then reduce.

        The error of a row is computed without the weaker half of its active units: with them, the rest would only make
        a new unit less active than they are, so that it would never be among the k largest. A new unit's activation on
        its row is the mean of the row's other activations, or the norm of the error if that is less. Rows for which the
        encoder weights would have to be longer than those of other units on average are left out: the unit might take
        over rows of another kind. Adam's average of squares starts at the mean of the other units, since from zero the
        unit's steps would be several times as long as theirs.
        """
        dead = np.flatnonzero(self._work.silent >= self._patience)
        if not dead.size:
            return
        alive = np.delete(np.arange(self.arch.n_components), dead)
        picked = self._rng.choice(self.n_rows, min(self.n_rows, ROWS_TO_REVIVE), replace=False)
        X, missing, level = self._errors(theta, picked)
        tiny, lengths = np.finfo(theta.dtype).tiny, np.linalg.norm(missing, axis=1)
        atoms = missing / np.maximum(lengths, tiny)[:, None]
        with np.errstate(over="ignore"):
            gain = np.minimum(level, lengths) / np.maximum(np.einsum("ij,ij->i", atoms, X), tiny)
        _, W, V, b, _ = unpack(theta, self.arch)
        most = np.linalg.norm(W[alive], axis=1).mean() if alive.size else 1.0
        chances = np.where(gain <= most, self.weights[picked] * np.square(lengths, dtype=np.float64), 0)
        n = min(dead.size, np.count_nonzero(chances))
        if not n or not np.isfinite(chances).all():
            return
        chosen, dead = self._rng.choice(len(picked), n, replace=False, p=chances / chances.sum()), dead[:n]
        W[dead], V[dead], b[dead] = atoms[chosen] * gain[chosen, None], atoms[chosen], 0
        averages = (unpack(average, self.arch)[1:4] for average in (state.exp_avg, state.exp_avg_sq))
        for first, second in zip(*averages, strict=True):
            first[dead], second[dead] = 0, second[alive].mean(axis=0) if alive.size else 0
        self._work.silent[dead] = self._calm[0] = 0

    def _errors(self, theta, picked):
        """Return rows as training sees them, their errors without their weaker units, and their mean activations.

        All but the k // 2 strongest units of a row count as weaker; the mean is that of all active units.
        """
        rows = self.rows.take(picked)
        net = self.network(theta)
        codes, X = encode(net, rows), rows.toarray()
        counts = np.diff(codes.indptr)
        level = codes.sum(axis=1) / np.maximum(counts, 1) / self.frame.scale
        descending = np.lexsort((-codes.data, np.repeat(np.arange(len(counts)), counts)))
        rank = np.arange(codes.nnz) - np.repeat(codes.indptr[:-1], counts)
        codes.data[descending[rank >= self.code.k // 2]] = 0
        missing = (X - decode(net, codes)) / self.frame.scale
        return self.frame.normalized(X), missing.astype(theta.dtype), level.astype(theta.dtype)


def _workspace(n, d, m, code, dtype):
    """Return scratch memory for batches of at most n rows."""
    n_blocks, room = sizes.count_row_blocks(n, d, m), m if code.by_batch else code.k
    return TopKWorkspace(
        inputs=aligned(n * d, dtype),
        activations=aligned(n * m, dtype),
        delta=aligned(n * d, dtype),
        units=np.empty((n, room), np.int32),
        values=np.empty((n, room), dtype),
        slopes=np.empty((n, room), dtype),
        counts=np.empty(n, np.int64),
        unit_counts=np.empty((n_blocks, m + APART), np.int64),
        errors=np.zeros(n_blocks),
        feature_parts=np.empty((n_blocks, d + APART), dtype),
        peaks=np.empty((n if code.by_batch else 0, count_peaks(m, code.k)), dtype),
        limit=np.empty(1, dtype),
        ties=np.zeros(n_blocks, np.int64),
        guess=np.zeros(1, np.int64),
        rows=np.empty(n * room, np.int32),
        unit_values=np.empty(n * room, dtype),
        unit_slopes=np.empty(n * room, dtype),
        totals=np.zeros(2),
        fired=np.zeros(m, np.int64),
        silent=np.zeros(m, np.int64),
    )
