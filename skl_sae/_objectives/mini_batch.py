"""L as an average over mini-batches, and epochs over them."""

import math
from itertools import accumulate
from typing import ClassVar

import numpy as np

from .._crew import Pace
from .._kernels import sizes
from .._kernels.adam import adam_steps, adam_unit_steps, scale_weights
from .._kernels.penalties import sparsity_term
from .._kernels.products import weight_decay
from .._kernels.structs import Epoch, Noise
from .._log import logger
from .._model import unpack
from .base import Evaluation, Objective


class MiniBatchObjective(Objective):
    """L as an average over mini-batches, with mean_j taken over each batch.

    Parameters
    ----------
    batch_size : int
        If it exceeds the number of rows, all rows are one batch.
    noise : float
        Standard deviation of the Gaussian noise added to the input, but not to the target of the reconstruction.
    rng : numpy.random.Generator
        For the noise.
    """

    #: What an epoch needs to know of earlier ones, apart from the parameters: nothing.
    memory: ClassVar[dict[str, np.ndarray]] = {}

    def __init__(self, rows, weights, arch, reg, *, batch_size, noise, rng, crew=None):
        super().__init__(rows, weights, arch, reg, crew)
        n = self.n_rows = len(rows)
        self.n_batches = sizes.count_batches(n, batch_size)
        self._noise = Noise(float(noise), rng) if noise else None
        largest = sizes.count_batches(n, self.n_batches)
        by_units = sizes.shares_units(largest, rows.shape[1], arch.n_components)
        make, self._kernel = (self._unit_workspace, adam_unit_steps) if by_units else (self._workspace, adam_steps)
        self._work = make(largest, noisy=bool(noise))
        self._picked, self._w, self._shares = rows.picked(), np.empty(n, rows.dtype), np.empty(self.n_batches)
        self._even = bool((self.weights == self.weights[0]).all())
        if self._even:  # then the weights of a batch do not depend on its rows
            scale_weights(self.weights, np.arange(n), self.n_batches, self._w, self._shares)
        costs = [0, 2, 0, 3] if by_units else [1, 4, 0]  # products in each phase
        costs = [0, *costs] if noise else costs
        self._costs, self._cycle = list(accumulate(costs * self.n_batches, initial=0)), len(costs)
        self._pace = Pace()
        logger.debug(
            "mini-batches: %d of at most %d rows, by %s", self.n_batches, largest, "units" if by_units else "rows"
        )

    def settle(self, n_epochs):
        """Return whether anything but the order of the rows has disturbed the loss: nothing does."""
        return False

    def adam_epoch(self, theta, state, order):
        """Take one Adam step for every batch of rows in the given order, in place.

        Returns L with terms from along the way: the reconstruction error averaged over the batches, the sparsity term
        of the mean activation over the epoch, the weight decay at its end.
        """
        work, parameters = self._work, unpack(theta, self.arch)
        if not self._even:
            scale_weights(self.weights, order, self.n_batches, self._w, self._shares)
        epoch = Epoch(self._picked, order, self._w, self._shares)
        work.totals[:], work.epoch_mean[:] = 0, 0

        def kernel(phases, team):
            return self._kernel(parameters, self.arch, self.reg, epoch, self._noise, state, phases, work, team)

        def goes_on():
            return math.isfinite(work.totals[0] + work.epoch_mean.sum())

        with self.crew:
            self.crew.run(kernel, self._costs, 0, len(self._costs) - 1, self._pace, goes_on, cycle=self._cycle)
        sparsity = sparsity_term(self.reg, work.epoch_mean, np.empty_like(parameters.b))
        terms = float(work.totals[0]), sparsity, weight_decay(parameters, self.arch, self.reg.alpha)
        return Evaluation.of(terms, work.epoch_mean, state.exp_avg_sq)
