"""A training run: from rows of data, through an objective and a solver, to fitted attributes."""

import copy
import dataclasses
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from ._diagnostics import INTERRUPTED, diagnose_training, diagnose_units, shares_of_units
from ._kernels.activations import ACTIVATIONS
from ._log import logger
from ._model import architecture, initial_parameters, regularization, unpack
from ._objectives import MiniBatchObjective, Objective, objective_for
from ._solvers import SOLVERS, Monitor


@dataclass
class SolverState:
    """What a fit needs, beside the weights, to continue as if it had not stopped."""

    rng: np.random.RandomState
    noise_rng: np.random.Generator | None = None
    split_seed: int | None = None  # of the rows held out
    memories: dict[str, Any] = dataclasses.field(default_factory=dict)  # of each solver, by its name

    def copy(self):
        """Return a copy with random numbers of its own, for a fit that may fail; solvers do not change a memory."""
        return dataclasses.replace(self, rng=copy.deepcopy(self.rng), noise_rng=copy.deepcopy(self.noise_rng))

    def own_rng(self, random_state):
        """From now on draw random numbers that nobody else draws; ``random_state`` is the parameter."""
        if self.rng is np.random.mtrand._rand:
            self.rng = np.random.RandomState(self.rng.randint(2**31))
        elif self.rng is random_state:
            self.rng = copy.deepcopy(random_state)


class Earlier(NamedTuple):
    """The fit that a warm start continues."""

    theta: np.ndarray
    state: SolverState | None
    history: dict[str, np.ndarray]


class Outcome(NamedTuple):
    """What a training run leaves: fitted attributes, and problems as pairs of a message and a category."""

    attributes: dict[str, Any]
    problems: list[tuple[str, type[BaseException]]]


def phases(settings, warm):
    """Return the solvers of a run in their order, as pairs of a name and the most iterations."""
    last = settings.solver, settings.max_iter
    starts = settings.adam_start and not warm and settings.solver != "adam"
    return [("adam", settings.adam_start), last] if starts else [last]


class Training:
    """Trains the model on rows; a fit may do so more than once.

    Parameters
    ----------
    settings : object with the parameters of an estimator as attributes
    rng : RandomState
        For everything random, unless a run continues an earlier one.
    tasks : FitTasks, optional
        To be told of iterations.
    usable : bool
        Whether the weights alone make a usable estimator: an interrupted run can be kept, a callback can be given one.
    """

    def __init__(self, settings, rng, tasks=None, usable=False):
        self._settings, self._rng, self._tasks, self._usable = settings, rng, tasks, usable

    @property
    def keeps_interrupted(self):
        """Whether an interrupt ends a run with its last iteration, because a later fit can continue from there."""
        return self._settings.warm_start and self._usable

    def run(self, rows, weights, n_components, earlier=None):
        """Train on rows, from new random weights or from those of an `Earlier` fit; return an `Outcome`."""
        settings = self._settings
        arch = architecture(settings, rows.shape[1], n_components)
        reg = regularization(settings)
        state = SolverState(self._rng) if earlier is None or earlier.state is None else earlier.state.copy()
        validation, uses_batches = None, settings.adam_start or SOLVERS[settings.solver].objective == "mini_batch"
        if settings.early_stopping:
            rows, weights, *held_out = self._hold_out(rows, weights, state)
            validation = Objective(*held_out, arch, reg)
        if not uses_batches:
            rows, weights = rows.merge_duplicates(weights)
        mean, variance = rows.moments(weights)
        theta = self._initial(arch, mean, rows.dtype, state) if earlier is None else earlier.theta
        monitor = self._monitor(validation, state, arch, earlier)
        monitor.start(theta)
        self._begin_iteration()
        try:
            objective, result = self._solve(rows, weights, arch, reg, theta, state, monitor, earlier)
            theta = result.theta if monitor.best_theta is None else monitor.best_theta
            monitor.finish(theta, objective.evaluate(theta))
        except KeyboardInterrupt:
            if not self.keeps_interrupted or not monitor.n_iter:
                raise
            theta = monitor.theta if monitor.best_theta is None else monitor.best_theta
            return Outcome(self._attributes(theta, monitor, state, arch, earlier), [INTERRUPTED])
        attributes = self._attributes(theta, monitor, state, arch, earlier)
        attributes |= {"mean_activation_": objective.mean.astype(theta.dtype)} | shares_of_units(objective, settings)
        problem = monitor.describe_rise() or result.problem
        problems = diagnose_training(problem, monitor.rows[-1], variance.sum(), arch)
        problems += diagnose_units(objective, settings, monitor.rows[-1])
        return Outcome(attributes, problems)

    def _hold_out(self, rows, weights, state):
        """Return rows and weights to train on, rows and weights held out; the same ones when a fit is continued."""
        n, fraction = len(rows), self._settings.validation_fraction
        n_held_out = int(np.ceil(fraction * n))
        if n - n_held_out < 2:
            raise ValueError(
                f"early_stopping=True with validation_fraction={fraction} leaves "
                f"{n - n_held_out} of {n} samples for training; at least 2 are required."
            )
        if state.split_seed is None:
            state.split_seed = state.rng.randint(np.iinfo(np.int32).max)
        parts = train_test_split(np.arange(n), test_size=n_held_out, random_state=state.split_seed)
        return [part for picked in parts for part in (rows.take(picked), weights[picked])]

    def _initial(self, arch, mean, dtype, state):
        functions = ACTIVATIONS[self._settings.activation], ACTIVATIONS[self._settings.output_activation]
        return initial_parameters(arch, mean, dtype, *functions, self._settings.rho, state.rng)

    def _monitor(self, validation, state, arch, earlier):
        settings = self._settings

        def on_iteration(monitor):
            def attributes():
                found = self._attributes(monitor.theta, monitor, state.copy(), arch, earlier)
                return copy.deepcopy(found)  # the solver changes its memory in the next iteration

            stop = self._tasks.end_iteration(attributes if self._usable else None)
            if not stop:
                self._tasks.begin_iteration()
            return stop

        return Monitor(
            tol=float(settings.tol),
            n_iter_no_change=settings.n_iter_no_change,
            verbose=settings.verbose,
            validation=validation,
            n_earlier=0 if earlier is None else len(earlier.history["loss"]),
            on_iteration=None if self._tasks is None else on_iteration,
        )

    def _begin_iteration(self):
        if self._tasks is not None:
            self._tasks.begin_iteration()

    def _solve(self, rows, weights, arch, reg, theta, state, monitor, earlier):
        """Run the solvers in turn; return the objective and the result of the last one."""
        settings = self._settings
        for turn, (name, max_iter) in enumerate(phases(settings, warm=earlier is not None)):
            if turn > 0:
                monitor.restart()
            solver, started, n_done = SOLVERS[name], time.perf_counter(), monitor.n_iter
            kind = type(rows).__name__
            logger.debug("solver %s: %d %s, %d features, %d units, %s", name, len(rows), kind, *arch[:2], rows.dtype)
            objective = self._objective(solver, rows, weights, arch, reg, state)
            memories = state.memories if monitor.memories is None else monitor.memories
            memories = {
                key: memory for key, memory in memories.items() if key == name or SOLVERS[key].outlives_other_solvers
            }
            result = solver(settings, state, self.keeps_interrupted).minimise(
                objective, theta, memories, monitor, max_iter
            )
            theta, seconds = result.theta, time.perf_counter() - started
            logger.debug("solver %s: %d iterations in %.3g s", name, monitor.n_iter - n_done, seconds)
            if monitor.stopped:
                break
        return objective, result

    def _objective(self, solver, rows, weights, arch, reg, state):
        """Return the objective of the kind that the solver minimises."""
        if solver.objective == "full_batch":
            return objective_for(rows, weights, arch, reg)
        if state.noise_rng is None:
            state.noise_rng = np.random.default_rng(state.rng.randint(np.iinfo(np.int32).max, size=4))
        batch_size, noise = int(self._settings.batch_size), self._settings.noise
        return MiniBatchObjective(rows, weights, arch, reg, batch_size=batch_size, noise=noise, rng=state.noise_rng)

    def _attributes(self, theta, monitor, state, arch, earlier):
        """Return the fitted attributes that `transform` and a later fit need, as of the last iteration."""
        settings = self._settings
        _, W, V, b, c = (part.copy() for part in unpack(theta, arch))
        history = {name: np.array([row[name] for row in monitor.rows]) for name in monitor.rows[-1]}
        if earlier is not None:  # without a validation loss if one of the fits had none
            before = earlier.history
            history = {name: np.concatenate([before[name], history[name]]) for name in history if name in before}
        attributes = {
            "encoder_coef_": W,
            "encoder_intercept_": b,
            "decoder_coef_": V.T,
            "decoder_intercept_": c,
            "_functions": (settings.activation, settings.output_activation),  # those of the fit, not later ones
            "history_": history,
            "loss_": float(history["loss"][-1]),
            "n_iter_": len(history["loss"]),
        }
        if settings.warm_start:  # only then: it is many times as large as the weights
            memories = state.memories if monitor.memories is None else monitor.memories
            state.own_rng(settings.random_state)
            kept = dataclasses.replace(state, memories={} if theta is monitor.best_theta else memories)
            attributes["_training"] = dict(vars(kept))
        return attributes
