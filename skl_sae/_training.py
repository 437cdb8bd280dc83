"""A training run: from rows of data, through an objective and a solver, to fitted attributes."""

import copy
import dataclasses
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from ._crew import Crew
from ._diagnostics import INTERRUPTED, Fit, Unsettled, diagnose_fit, diagnose_training, negligible_rise, shares_of_units
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
    frame: dict[str, Any] | None = None  # in which a top-k autoencoder sees rows, and its biases there

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
    """Return the solvers of a run in their order, as pairs of a name and the maximum number of iterations."""
    last = settings.solver, settings.max_iter
    starts = settings.adam_start and not warm and settings.solver != "adam"
    return [("adam", settings.adam_start), last] if starts else [last]


class Run:
    """One training run, from rows to an `Outcome`.

    It does not keep the monitor, which calls back into it: the two would wait for the garbage collector.
    """

    def __init__(self, training, rows, weights, n_components, earlier):
        self.training, self.settings, self.earlier = training, training.settings, earlier
        self.rows, self.weights, self.kind = rows, weights, rows.kind
        self.distinct = training.one_view  # whether equal rows were merged
        self._set_up(n_components)
        fresh = earlier is None or earlier.state is None
        self.state = SolverState(training.rng) if fresh else earlier.state.copy()

    def train(self):
        """Train; return an `Outcome`."""
        # BLAS is held throughout: otherwise its idle threads spin for a tenth of a second, on processors that
        # training needs.
        with Crew() as self.crew:
            return self._train()

    def _train(self):
        held_out = self._hold_out() if self.settings.early_stopping else None
        self._merge_duplicates()
        mean, variance = self.rows.moments(self.weights)
        theta = self._start(mean, variance)
        monitor = self._monitor(None if held_out is None else self._loss(*held_out))
        monitor.start(theta)
        if self.training.tasks is not None:
            self.training.tasks.begin_iteration()
        try:
            objective, result = self._solve(theta, monitor)
            theta = result.theta if monitor.best_theta is None else monitor.best_theta
            monitor.finish(theta, objective.evaluate(theta))
        except KeyboardInterrupt:
            if not self.training.keeps_interrupted or not monitor.n_iter:
                raise
            theta = monitor.theta if monitor.best_theta is None else monitor.best_theta
            return Outcome(self._attributes(theta, monitor), [INTERRUPTED])
        final = monitor.rows[-1]
        attributes = self._attributes(theta, monitor) | self._findings(objective)
        rise = monitor.describe_rise(negligible_rise(variance))
        problem = rise or result.problem
        unsettled = None if problem is None else Unsettled(*problem, rose=rise is not None)
        found = [] if self.training.one_view else self._diagnose(objective, final, mean, variance, unsettled)
        return Outcome(attributes, diagnose_training(unsettled, found))

    def _hold_out(self):
        """Keep the rows to train on; return the others and their weights, the same ones when a fit is continued."""
        n, fraction = len(self.rows), self.settings.validation_fraction
        n_held_out = int(np.ceil(fraction * n))
        if n - n_held_out < 2:
            samples = "distinct samples" if self.distinct else "samples"
            raise ValueError(
                f"early_stopping=True with validation_fraction={fraction} leaves {n - n_held_out} of {n} {samples} "
                "for training; at least 2 are required. Set early_stopping=False."
            )
        if self.state.split_seed is None:
            self.state.split_seed = self.state.rng.randint(np.iinfo(np.int32).max)
        kept, held_out = train_test_split(np.arange(n), test_size=n_held_out, random_state=self.state.split_seed)
        others = self.rows.take(held_out), self.weights[held_out]
        self.rows, self.weights = self.rows.take(kept), self.weights[kept]
        return others

    def _monitor(self, validation):
        settings, earlier = self.settings, self.earlier
        return Monitor(
            tol=float(settings.tol),
            n_iter_no_change=settings.n_iter_no_change,
            verbose=settings.verbose,
            title=self.training.title,
            validation=validation,
            n_earlier=0 if earlier is None else len(earlier.history["loss"]),
            on_iteration=None if self.training.tasks is None else self._on_iteration,
        )

    def _on_iteration(self, monitor):
        """Tell callbacks of an iteration; return whether one of them asks to stop."""

        def attributes():
            found = self._attributes(monitor.theta, monitor, self.state.copy())
            return copy.deepcopy(found)  # the solver changes its memory in the next iteration

        tasks = self.training.tasks
        stop = tasks.end_iteration(attributes if self.training.usable else None)
        if not stop:
            tasks.begin_iteration()
        return stop

    def _solve(self, theta, monitor):
        """Run the solvers in turn; return the objective and the result of the last one."""
        for turn, (name, max_iter) in enumerate(phases(self.settings, warm=self.earlier is not None)):
            if turn > 0:
                monitor.restart()
            started, n_done, kind = time.perf_counter(), monitor.n_iter, type(self.rows).__name__
            size = len(self.rows), kind, *self.arch[:2], self.rows.dtype
            logger.debug("solver %s: %d %s, %d features, %d units, %s", name, *size)
            solver = SOLVERS[name](self.settings, self.state, self.training.keeps_interrupted)
            objective = self._objective(solver)
            memories = self._memories(monitor)
            kept = {key: memories[key] for key in memories if key == name or SOLVERS[key].outlives_other_solvers}
            result = solver.minimise(objective, theta, kept, monitor, max_iter)
            theta, seconds = result.theta, time.perf_counter() - started
            logger.debug("solver %s: %d iterations in %.3g s", name, monitor.n_iter - n_done, seconds)
            if monitor.stopped:
                break
        return objective, result

    def _memories(self, monitor):
        """Return what the solvers remember after the last iteration, of this run or of the one that it continues."""
        return self.state.memories if monitor.memories is None else monitor.memories

    def _attributes(self, theta, monitor, state=None):
        """Return the fitted attributes that `transform` and a later fit need, as of the last iteration."""
        settings, state = self.settings, self.state if state is None else state
        W, b, V, c = self._parts(theta)
        history = {name: np.array([row[name] for row in monitor.rows]) for name in monitor.rows[-1]}
        if self.earlier is not None:  # without a validation loss if one of the fits had none
            before = self.earlier.history
            history = {name: np.concatenate([before[name], history[name]]) for name in history if name in before}
        attributes = {
            "encoder_coef_": W,
            "encoder_intercept_": b,
            "decoder_coef_": V.T,
            "decoder_intercept_": c,
            "history_": history,
            "loss_": float(history["loss"][-1]),
            "n_iter_": len(history["loss"]),
        }
        attributes |= self._choices()
        if settings.warm_start:  # only then: it is many times as large as the weights
            state.own_rng(settings.random_state)
            memories = {} if theta is monitor.best_theta else self._memories(monitor)
            attributes["_training"] = dict(vars(dataclasses.replace(state, memories=memories)))
        return attributes

    # What depends on the kind of autoencoder.

    def _set_up(self, n_components):
        self.arch = architecture(self.settings, self.rows.shape[1], n_components)
        self.reg = regularization(self.settings)

    def _merge_duplicates(self):
        """Merge equal rows, unless they are dealt out to mini-batches."""
        if not self.settings.adam_start and SOLVERS[self.settings.solver].objective == "full_batch":
            self.rows, self.weights = self.rows.merge_duplicates(self.weights)

    def _start(self, mean, variance):
        """Return the parameters to start from, given the moments of the rows."""
        if self.earlier is not None:
            return self.earlier.theta
        settings = self.settings
        functions = ACTIVATIONS[settings.activation], ACTIVATIONS[settings.output_activation]
        return initial_parameters(self.arch, mean, self.rows.dtype, *functions, settings.rho, self.state.rng)

    def _loss(self, rows, weights):
        """Return the objective over rows that are held out."""
        return Objective(rows, weights, self.arch, self.reg)

    def _objective(self, solver):
        """Return the objective of the kind that the solver minimises."""
        problem = self.rows, self.weights, self.arch, self.reg
        if solver.objective == "full_batch":
            return objective_for(*problem, self.crew)
        if self.state.noise_rng is None:
            self.state.noise_rng = np.random.default_rng(self.state.rng.randint(np.iinfo(np.int32).max, size=4))
        batch_size, noise = int(self.settings.batch_size), self.settings.noise
        return MiniBatchObjective(
            *problem, batch_size=batch_size, noise=noise, rng=self.state.noise_rng, crew=self.crew
        )

    def _parts(self, theta):
        """Return copies of W, b, V, c as users see them."""
        _, W, V, b, c = (part.copy() for part in unpack(theta, self.arch))
        return W, b, V, c

    def _choices(self):
        """Return attributes that say with which parameters the model was fitted: users may change these later."""
        return {"_functions": (self.settings.activation, self.settings.output_activation)}

    def _findings(self, objective):
        """Return attributes that describe the fit over all rows, over which the objective was evaluated."""
        mean = objective.mean.astype(self.rows.dtype)
        return shares_of_units(objective, self.settings) | {"mean_activation_": mean}

    def _diagnose(self, objective, final, mean, variance, unsettled):
        """Return the worst problem of the code; ``final`` is the last row of the history."""
        fit = Fit(
            objective=objective,
            settings=self.settings,
            final=final,
            mean=mean,
            variance=variance,
            n_components=self.arch.n_components,
            kind=self.kind,
            unsettled=unsettled,
            bounds=self.rows.bounds,
        )
        return diagnose_fit(fit)


class Training:
    """What every run of a fit has in common; the detector trains twice in one fit.

    Parameters
    ----------
    settings : object with the parameters of an estimator as attributes
    rng : RandomState
        Source of all random numbers, unless a run continues an earlier one.
    tasks : FitTasks, optional
        Told of every iteration.
    usable : bool
        Whether the weights alone make a usable estimator, so that an interrupted run can be kept or passed to a
        callback.
    chunked : bool
        Whether the rows are one chunk of many.
    one_view : bool
        Whether the autoencoder is one view among others, of distinct rows. They make up for a poor code, so there is no
        warning of one.

    Attributes
    ----------
    title : str or None
        What to print above the lines of a run.
    """

    run_class = Run

    def __init__(self, settings, rng, tasks=None, usable=False, *, chunked=False, one_view=False):
        self.settings, self.rng, self.tasks, self.usable = settings, rng, tasks, usable
        self.chunked, self.one_view, self.title = chunked, one_view, None

    @property
    def keeps_interrupted(self):
        """Whether an interrupt ends a run with its last iteration, because a later fit can continue from there."""
        return self.settings.warm_start and self.usable

    def run(self, rows, weights, n_components, earlier=None):
        """Train on rows, from new random weights or from those of an `Earlier` fit; return an `Outcome`."""
        return self.run_class(self, rows, weights, n_components, earlier).train()
