"""L as an average over mini-batches, and epochs over them."""

import math

from .._kernels import sizes
from .._kernels.adam import adam_epoch
from .._kernels.structs import Epoch, Noise, Span
from .._log import logger
from .._model import unpack
from . import base
from .base import Evaluation, Objective


class MiniBatchObjective(Objective):
    """L as an average over mini-batches, in each of which mean_j is taken over the batch.

    Parameters
    ----------
    batch_size : int
        With more than there are rows, all rows are one batch.
    noise : float
        Standard deviation of the Gaussian noise added to the input, not to what it is compared with.
    rng : numpy.random.Generator
        For the noise.
    """

    def __init__(self, rows, weights, arch, reg, *, batch_size, noise, rng):
        super().__init__(rows, weights, arch, reg)
        self.n_rows = len(rows)
        self.n_batches = sizes.count_batches(self.n_rows, batch_size)
        self._noise = Noise(float(noise), rng) if noise else None
        largest = sizes.count_batches(self.n_rows, self.n_batches)
        self._work = self._workspace(batch=largest, kept=largest, corrupted=largest if noise else 0)
        self._picked = rows.picked()
        self._batches_per_call = max(1, base.WORK_PER_CALL // (5 * largest * arch.n_features * arch.n_components))
        logger.debug("mini-batches: %d of at most %d rows, %s", self.n_batches, largest, self._describe_layout())

    def adam_epoch(self, theta, state, order):
        """Take one Adam step for every batch of rows in the given order, in place.

        Returns L with the terms as they were met on the way: the reconstruction error averaged over the batches, the
        sparsity term of the mean activation over the epoch, the weight decay at its end.
        """
        reconstruction, epoch = 0.0, Epoch(self._picked, self.weights, order)
        arguments = unpack(theta, self.arch), self.arch, self.reg, epoch, self._noise, state
        for start in range(0, self.n_batches, self._batches_per_call):
            batches = Span(start, min(start + self._batches_per_call, self.n_batches))
            error, sparsity, decay = adam_epoch(*arguments, batches, self._work, *self._layout)
            reconstruction += error
            if not math.isfinite(reconstruction + sparsity):
                break
        return Evaluation.of((reconstruction, sparsity, decay), self._work.epoch_mean, state.exp_avg_sq)
