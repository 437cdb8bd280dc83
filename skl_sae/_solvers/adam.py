"""Adam over mini-batches."""

import numpy as np

from .._kernels.jit import aligned_copy
from .._kernels.structs import AdamState
from .base import Result, Solver

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam(Solver):
    """Adam [1]_ over mini-batches; an iteration is an epoch.

    ``objective.adam_epoch(theta, state, order)`` updates theta, the averages in the state, and the arrays in the
    dictionary ``objective.memory`` in place; the latter become part of the solver's memory. Once the loss has settled,
    ``objective.settle(n_epochs)`` ends what disturbs it, and returns whether it did in the last epochs; then the loss
    has to settle again.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    name = "adam"
    objective = "mini_batch"
    needs_local_rows = True
    takes_noise = True
    outlives_other_solvers = True

    def minimise(self, objective, theta, memories, monitor, max_iter):
        """Take at most ``max_iter`` epochs.

        If resumable, an interrupt leaves theta and the memory as they were after the last whole epoch.
        """
        theta, state, order = aligned_copy(theta), self._start(theta, memories), np.arange(objective.n_rows)
        _recall(objective, memories.get(self.name))
        for _ in range(max_iter):
            restore, n_done = self._checkpoint(theta, state, objective), monitor.n_iter
            try:
                if self._settings.shuffle:
                    order = self._rngs.rng.permutation(objective.n_rows)
                evaluation = objective.adam_epoch(theta, state, order)
                state = state._replace(n_steps=state.n_steps + objective.n_batches)
                stop = monitor(theta, evaluation, memories | {self.name: _memory(state, objective)})
            except KeyboardInterrupt:
                if monitor.n_iter == n_done:  # in the middle of an epoch
                    restore()
                raise
            if stop:
                if monitor.stopped or not objective.settle(self._settings.n_iter_no_change):
                    return Result(theta, None)
                monitor.restart()
        problem = f"Adam reached max_iter={max_iter} epochs before the loss settled.", "Increase max_iter."
        return Result(theta, problem)

    def _start(self, theta, memories):
        """Return the state to start from: zero if the memory belongs to other parameters."""
        memory = memories.get(self.name)
        if memory is None or any(memory[name].shape != theta.shape for name in ("exp_avg", "exp_avg_sq")):
            memory = {"exp_avg": np.zeros_like(theta), "exp_avg_sq": np.zeros_like(theta), "n_steps": 0}
        return AdamState(
            exp_avg=aligned_copy(memory["exp_avg"].astype(theta.dtype, copy=False)),
            exp_avg_sq=aligned_copy(memory["exp_avg_sq"].astype(theta.dtype, copy=False)),
            n_steps=memory["n_steps"],
            learning_rate=float(self._settings.learning_rate_init),
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
        )

    def _checkpoint(self, theta, state, objective):
        """Return a function that restores the arrays and random states as they are now."""
        if not self._resumable:
            return lambda: None
        changing = theta, state.exp_avg, state.exp_avg_sq, *objective.memory.values()
        arrays = [(array, array.copy()) for array in changing]
        random, noise = self._rngs.rng.get_state(), self._rngs.noise_rng
        noise_state = None if noise is None else noise.bit_generator.state

        def restore():
            for array, values in arrays:
                array[:] = values
            self._rngs.rng.set_state(random)
            if noise is not None:
                noise.bit_generator.state = noise_state

        return restore


def _memory(state, objective):
    own = {"exp_avg": state.exp_avg, "exp_avg_sq": state.exp_avg_sq, "n_steps": state.n_steps}
    return own | objective.memory


def _recall(objective, memory):
    """Restore what the objective knew after the last epoch."""
    for name, array in objective.memory.items():
        if memory is not None and name in memory and memory[name].shape == array.shape:
            array[:] = memory[name]
