"""What every estimator of the package shares: parameters, checks of the input, fitting, encoding, decoding."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _kernels as kernels
from ._callbacks import DURING_FIT, CallbackSupportMixin, FitTasks
from ._objective import MiniBatchObjective, Objective, full_batch_objective, initial_parameters
from ._rows import (
    SparseRows,
    SquareErrors,
    as_rows,
    blocks_of,
    bounds,
    check_weights,
    chosen,
    encode,
    frozen,
    in_use,
    is_dask,
    merged,
    moments,
    without_weightless,
)
from ._solvers import Monitor, Result, Training, adam, lbfgs
from ._types import Activation, Float64Array, FloatArray, OutputActivation, Solver
from .exceptions import DataRangeWarning, HiddenUnitWarning

if TYPE_CHECKING:
    from sklearn.utils import Tags

DTYPES = [np.float64, np.float32]

# Layout of the attributes of a saved estimator. Whoever changes it counts it up and lets `__setstate__` translate.
STATE = 1

# A unit whose activations over the training rows span at most this part of the highest one counts as constant.
CONSTANT_SPAN = 0.01

# Where half of the units have a standard deviation below this part of their mean, no unit is ever clearly on or off.
VARIATION = 0.25

# Where half of the units have a mean activation above so many times rho, and the sparsity term is below this part of L,
# it counts for nothing.
STRAY, SLIGHT = 3, 0.05

# What a fit that was interrupted, and kept, leaves to say.
INTERRUPTED = "The fit was interrupted; the weights after its last iteration are kept.", KeyboardInterrupt

# A fit that explains less than this part of what noise would allow has not learned anything.
LEARNED = 0.05


def _call_method(cls, attributes, name, X, **settings):
    """A method of an estimator that may be in the middle of a fit: there is nothing to check yet."""
    estimator = cls.__new__(cls)
    vars(estimator).update(attributes)
    return getattr(estimator, name)(X, **settings)


def finite(values, what):
    """``values``, which are refused where they overflow: a result of infinity or NaN would go on unnoticed."""
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(values.sum()) and not np.isfinite(values).all():
            raise ValueError(
                f"X is so large that {what} overflow {values.dtype}. Scale it as the rows were that trained the model."
            )
    return values


class BaseSparseAutoencoder(CallbackSupportMixin, BaseEstimator):
    """Fitting, encoding and decoding; subclasses say what the result is used for."""

    _doc_link_module = "skl_sae"  # for the link in the HTML representation
    _doc_link_template = "https://skl-sae.readthedocs.io/en/stable/api/generated/skl_sae.{estimator_name}.html"
    _weights_suffice = True  # to use the estimator: an interrupted fit can be kept, a callback can be given one

    # What a fit sets.
    encoder_coef_: FloatArray
    encoder_intercept_: FloatArray
    decoder_coef_: FloatArray
    decoder_intercept_: FloatArray
    mean_activation_: FloatArray
    loss_: float
    n_iter_: int
    history_: dict[str, Float64Array]
    dead_fraction_: float
    saturated_fraction_: float
    constant_fraction_: float
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    n_components: int | Literal["auto"]  # "auto": the detector's

    _parameter_constraints: dict[str, list[Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "rho": [Interval(Real, None, None, closed="neither")],  # its range depends on the activation
        "beta": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "activation": [StrOptions(set(kernels.ACTIVATIONS))],
        "output_activation": [StrOptions(set(kernels.OUTPUTS))],
        "tied_weights": ["boolean"],
        "solver": [StrOptions({"lbfgs", "adam"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "shuffle": ["boolean"],
        "adam_start": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components: int = 100,
        *,
        rho: float = 0.1,
        beta: float = 3.0,
        alpha: float = 1e-3,
        activation: Activation = "sigmoid",
        output_activation: OutputActivation = "identity",
        tied_weights: bool = False,
        solver: Solver = "lbfgs",
        batch_size: int = 100,
        learning_rate_init: float = 1e-3,
        shuffle: bool = True,
        adam_start: int = 0,
        max_iter: int = 1000,
        tol: float = 5e-3,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        noise: float = 0.0,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.rho = rho
        self.beta = beta
        self.alpha = alpha
        self.activation = activation
        self.output_activation = output_activation
        self.tied_weights = tied_weights
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.shuffle = shuffle
        self.adam_start = adam_start
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.noise = noise
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    # -- fitting -----------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight):
        """Fit to X; on any exception every fitted attribute is what it was before."""
        warm = self.warm_start and hasattr(self, "encoder_coef_")
        tasks = FitTasks(self, self._count_iterations(warm))
        with self._all_or_nothing():
            self._check_parameters()
            if is_dask(X):
                self._check_parameters_for_dask()
            X = self._check_data(X, ensure_min_samples=2, reset=not warm)
            if not warm:
                vars(self).pop("encoder_coef_", None)  # a copy for a callback is not of two fits
            tasks.begin(X, y, sample_weight)
            with in_use(as_rows(X)) as rows:
                weights = check_weights(sample_weight, rows, 2)
                problems = self._learn(rows, weights, warm, check_random_state(self.random_state), tasks)
            try:
                tasks.end()
            except KeyboardInterrupt:
                if not self._can_keep_interrupted():
                    raise
                problems = [INTERRUPTED]
            for message, category in problems:
                if issubclass(category, Warning):  # which may have been made an error
                    warnings.warn(message, category, stacklevel=4)
        if INTERRUPTED in problems:
            raise KeyboardInterrupt(INTERRUPTED[0])
        return self

    @contextlib.contextmanager
    def _all_or_nothing(self):
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            vars(self).update(before)
            for name in vars(self).keys() - before.keys():
                delattr(self, name)
            raise

    def _count_iterations(self, warm):
        return self.max_iter + (self.adam_start if self.solver == "lbfgs" and not warm else 0)

    def _check_data(self, X, **settings):
        if is_dask(X):  # its blocks are validated where they are
            from ._dask import check_dask

            check_dask(X)
            return validate_data(self, X, skip_check_array=True, reset=settings["reset"])
        with np.errstate(invalid="ignore"):  # scikit-learn adds up X, which may give inf - inf
            X = validate_data(self, X, accept_sparse="csr", dtype=DTYPES, order="C", **settings)
        # Of data frames and sparse matrices the byte order is left as it is.
        return X if X.dtype.isnative else X.astype(X.dtype.newbyteorder("="))

    def _learn(self, X, weights, warm, rng, tasks):
        """Set the fitted attributes; return what to warn of, pairs of a message and a category, or `INTERRUPTED`."""
        X, weights = without_weightless(X, weights)
        return self._check_range(X) + self._train(X, weights, warm, rng, tasks)

    def _check_parameters(self, chunk=False):
        """Combinations that `_parameter_constraints` cannot express."""
        highest = kernels.ACTIVATIONS[self.activation].high
        if not 0 < self.rho < highest:
            raise ValueError(
                f"The 'rho' parameter of {type(self).__name__} must be a float in the range (0.0, {highest}) with "
                f"activation={self.activation!r}: it is a mean activation. Got {self.rho!r} instead."
            )
        if self.noise and self.solver != "adam" and not chunk:
            raise ValueError(
                f"noise={self.noise} needs solver='adam': solver={self.solver!r} compares losses between evaluations, "
                "which fresh noise would make meaningless. Set noise=0 or solver='adam'."
            )

    def _check_parameters_for_dask(self):
        """What needs the rows one by one, or in an order of its own, is refused."""
        refused = {
            "solver='adam'": self.solver == "adam",
            "adam_start": self.adam_start,
            "early_stopping": self.early_stopping,
        }
        for name, wanted in refused.items():
            if wanted:
                raise ValueError(
                    f"{name} does not go with a dask array, which is fitted by solver='lbfgs' over all rows, without "
                    "rows held out. For Adam over the chunks of a dask array use dask_ml.wrappers.Incremental."
                )

    def _check_range(self, X):
        entry = kernels.OUTPUTS[self.output_activation]
        if np.isinf([entry.low, entry.high]).all():
            return []
        lowest, highest = (X, X) if isinstance(X, np.ndarray) else bounds(X)
        low, high = lowest.min(), highest.max()
        slack = 1e-6 * max(abs(low), abs(high))  # what a scaler leaves in the last digits
        if entry.low - slack <= low and high <= entry.high + slack:
            return []
        problem = (
            f"X lies in [{low:.4g}, {high:.4g}], but output_activation={self.output_activation!r} can only give "
            f"values in [{entry.low:g}, {entry.high:g}]: what is outside cannot be reconstructed. Scale X "
            "(MinMaxScaler) or use output_activation='identity'."
        )
        return [(problem, DataRangeWarning)]

    def _train(self, X, weights, warm, rng, tasks):
        arch, reg = self._architecture(X.shape[1]), self._regularization()
        training = self._earlier_training(rng) if warm else Training(rng)
        validation = None
        if self.early_stopping:
            X, weights, *held_out = self._split(X, weights, training)
            validation = Objective(*held_out, arch, reg)
        if self.solver == "lbfgs" and not self.adam_start:
            X, weights = merged(X, weights)
        variance = self._begin_training(training, X, weights, arch, warm)
        monitor = self._monitor(arch, validation, training, warm, tasks)
        monitor.start(training.theta)
        tasks.begin_iteration()
        objective, result = self._solve(X, weights, arch, reg, training, warm, monitor)
        if monitor.best_theta is not None:
            result = result._replace(theta=monitor.best_theta)
            training.forget()
        self._keep_training(training)
        if result.interrupted:
            self._keep_interrupted(result.theta, arch, monitor, warm)
            return [INTERRUPTED]
        self._finish(result.theta, objective, monitor, warm)
        problem = monitor.rise() or result.problem
        return self._judge_training(problem, objective, variance) + self._judge_units(objective)

    def _earlier_training(self, rng):
        """What an earlier fit left to go on with."""
        return self._training.copy() if hasattr(self, "_training") else Training(rng)

    def _keep_training(self, training):
        """Only for those who go on: it is many times as large as the weights."""
        vars(self).pop("_training", None)
        if self.warm_start:
            self._training = training.kept()

    def _begin_training(self, training, X, weights, arch, warm):
        """Set the parameters to begin with; return the variance of the rows."""
        mean, variance = moments(X, weights)
        if warm:
            theta = self._fitted_parameters(arch, X.dtype)
        else:
            functions = kernels.ACTIVATIONS[self.activation], kernels.OUTPUTS[self.output_activation]
            theta = initial_parameters(arch, mean, X.dtype, *functions, self.rho, training.rng)
        training.begin(theta)
        return variance.sum()

    def _partial_fit(self, X, sample_weight):
        """An epoch of Adam on a chunk of rows, from where the last one ended; no rows are held out."""
        warm = hasattr(self, "encoder_coef_")
        with self._all_or_nothing():
            self._check_parameters(chunk=True)
            if is_dask(X):
                raise ValueError(
                    "partial_fit takes rows in memory. For the chunks of a dask array, one after the other, use "
                    "dask_ml.wrappers.Incremental; for all of them at once, fit."
                )
            rows = as_rows(self._check_data(X, reset=not warm))
            X, weights = without_weightless(rows, check_weights(sample_weight, rows, 1))
            problems = self._check_range(X)
            arch, rng = self._architecture(X.shape[1]), check_random_state(self.random_state)
            training = self._earlier_training(rng) if warm else Training(rng)
            self._begin_training(training, X, weights, arch, warm)
            monitor = Monitor(tol=0, n_iter_no_change=1)
            objective, result = self._adam(X, weights, arch, self._regularization(), training, monitor, 1)
            monitor.finish(result.theta, objective.evaluate(result.theta))
            self._training = training.kept()
            self._finish(result.theta, objective, monitor, warm)
            self._judge_units(objective)
            for message, category in problems:
                warnings.warn(message, category, stacklevel=4)
        return self

    def _monitor(self, arch, validation, training, warm, tasks):
        def on_iteration(theta):
            def attributes():
                """What a callback's copy needs to be used, and to be saved as a fit that can go on."""
                so_far = self._attributes(theta, arch) | self._history(rows, warm)
                if self.warm_start:
                    so_far["_training"] = dataclasses.replace(training, theta=None).copy()
                return so_far

            stop = tasks.end_iteration(attributes if self._weights_suffice else None)
            if not stop:
                tasks.begin_iteration()
            return stop

        monitor = Monitor(
            tol=float(self.tol),
            n_iter_no_change=self.n_iter_no_change,
            verbose=self.verbose,
            validation=validation,
            n_earlier=self.n_iter_ if warm else 0,
            on_iteration=on_iteration,
        )
        rows = monitor.rows  # with the monitor itself, the two would wait for the garbage collector
        return monitor

    def _architecture(self, n_features):
        return kernels.Architecture(
            n_features=int(n_features),
            n_components=self._count_components(n_features),
            tied=bool(self.tied_weights),
            activation=kernels.ACTIVATIONS[self.activation].kind,
            output=kernels.OUTPUTS[self.output_activation].kind,
        )

    def _count_components(self, n_features):
        return int(self.n_components)

    def _regularization(self):
        return kernels.Regularization(
            divergence=kernels.ACTIVATIONS[self.activation].code.divergence,
            rho=float(self.rho),
            beta=float(self.beta),
            alpha=float(self.alpha),
        )

    def _split(self, X, weights, training):
        """Rows and weights to train on, rows and weights held out; the same ones when an earlier fit goes on."""
        n_held_out = int(np.ceil(self.validation_fraction * len(X)))
        if len(X) - n_held_out < 2:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} leaves "
                f"{len(X) - n_held_out} of {len(X)} samples for training; at least 2 are required."
            )
        if training.split_seed is None:
            training.split_seed = training.rng.randint(np.iinfo(np.int32).max)
        rows = train_test_split(np.arange(len(X)), test_size=n_held_out, random_state=training.split_seed)
        return [part for picked in rows for part in (chosen(X, picked), weights[picked])]

    def _solve(self, X, weights, arch, reg, training, warm, monitor):
        """Train and evaluate; an interrupt ends it with the last iteration if a later fit can go on from there."""
        try:
            objective, result = self._minimise(X, weights, arch, reg, training, warm, monitor)
            theta = result.theta if monitor.best_theta is None else monitor.best_theta
            monitor.finish(theta, objective.evaluate(theta))
            return objective, result
        except KeyboardInterrupt:
            if not self._can_keep_interrupted() or not monitor.rows:
                raise
            return None, Result(monitor.theta, None, interrupted=True)

    def _can_keep_interrupted(self):
        return self.warm_start and self._weights_suffice

    def _minimise(self, X, weights, arch, reg, training, warm, monitor):
        if self.solver == "adam":
            return self._adam(X, weights, arch, reg, training, monitor, self.max_iter)
        if self.adam_start and not warm:
            objective, result = self._adam(X, weights, arch, reg, training, monitor, self.adam_start)
            if monitor.stopped:
                return objective, result
            monitor.restart()
        objective = full_batch_objective(X, weights, arch, reg)
        return objective, lbfgs(objective, training, monitor, max_iter=self.max_iter)

    def _adam(self, X, weights, arch, reg, training, monitor, epochs):
        if training.noise_rng is None:
            training.noise_rng = np.random.default_rng(training.rng.randint(np.iinfo(np.int32).max, size=4))
        objective = MiniBatchObjective(
            X, weights, arch, reg, batch_size=int(self.batch_size), noise=self.noise, rng=training.noise_rng
        )
        settings = dict(max_iter=epochs, learning_rate=self.learning_rate_init, shuffle=self.shuffle)
        return objective, adam(objective, training, monitor, resumable=self.warm_start, **settings)

    def _fitted_parameters(self, arch, dtype):
        """The fitted weights as one flat vector, to go on from."""
        if self.encoder_coef_.shape[0] != arch.n_components:
            raise ValueError(
                f"Training cannot go on from {self.encoder_coef_.shape[0]} fitted components with "
                f"n_components={arch.n_components}. To start anew call fit with warm_start=False."
            )
        if self._functions != (self.activation, self.output_activation):
            raise ValueError(
                f"Training cannot go on from activation={self._functions[0]!r}, "
                f"output_activation={self._functions[1]!r} with {self.activation!r} and {self.output_activation!r}. To "
                "start anew call fit with warm_start=False."
            )
        W, b, V, c = self._parameters(dtype)
        if arch.tied and not np.array_equal(W, V):
            raise ValueError(
                "Training with tied_weights=True cannot go on from a fit without. To start anew call fit with "
                "warm_start=False."
            )
        return np.concatenate([part.ravel() for part in ((W, b, c) if arch.tied else (W, V, b, c))])

    def _keep_interrupted(self, theta, arch, monitor, warm):
        """Weights and history; what has to be computed from all rows is left out."""
        vars(self).update(self._attributes(theta, arch) | self._history(monitor.rows, warm))
        for name in ("mean_activation_", "dead_fraction_", "saturated_fraction_", "constant_fraction_"):
            vars(self).pop(name, None)

    def _finish(self, theta, objective, monitor, warm):
        """Set the fitted attributes, but for the shares of units that carry no information."""
        vars(self).update(self._attributes(theta, objective.arch) | self._history(monitor.rows, warm))
        self.mean_activation_ = objective.mean.astype(theta.dtype)

    def _attributes(self, theta, arch):
        """The fitted attributes that `transform` and the like need, for given parameters."""
        _, W, V, b, c = (part.copy() for part in kernels.unpack(theta, arch))
        return {
            "encoder_coef_": W,
            "encoder_intercept_": b,
            "decoder_coef_": V.T,
            "decoder_intercept_": c,
            "_functions": (self.activation, self.output_activation),  # the code needs those of the fit, not later ones
        }

    def _history(self, rows, warm):
        """That of this fit behind that of earlier ones; without a validation loss where some fit had none."""
        history = {name: np.array([row[name] for row in rows]) for name in rows[-1]}
        if warm:
            names = [name for name in history if name in self.history_]
            history = {name: np.concatenate([self.history_[name], history[name]]) for name in names}
        return {"history_": history, "loss_": float(history["loss"][-1]), "n_iter_": len(history["loss"])}

    def _judge_training(self, problem, objective, variance):
        """What to say of training that did not converge, or that converged to nothing."""
        problems = [] if problem is None else [problem + "."]
        with np.errstate(over="ignore"):
            explained = 1 - self.history_["reconstruction"][-1] / variance if variance > 0 else 1.0
        # Of data without structure, m components can explain the part m / d.
        if explained < LEARNED * min(1, objective.arch.n_components / objective.arch.n_features):
            problems.append(
                f"The fit explains {max(explained, 0):.1%} of the variance of X, hardly more than the mean row does. "
                "Standardise X (very large, very small or very different features stall the training), lower alpha, "
                "beta, tol or learning_rate_init, or use more components."
            )
        return [(problem, ConvergenceWarning) for problem in problems]

    def _judge_units(self, objective):
        """Set the shares of units that carry no information; return what to say of them."""
        entry = kernels.ACTIVATIONS[self.activation]
        lowest, highest = objective.lowest, objective.highest
        dead = highest <= entry.code.silent
        saturated = lowest >= entry.high - entry.code.silent
        constant = highest - lowest <= CONSTANT_SPAN * highest
        self.dead_fraction_, self.saturated_fraction_, self.constant_fraction_ = (
            float(np.mean(units)) for units in (dead, saturated, constant)
        )
        variation = np.median(objective.deviation / np.maximum(objective.mean, np.finfo(float).tiny))
        activity = float(np.median(objective.mean))
        advice = "Standardise X, lower beta or alpha, change rho, train longer, or use fewer components."
        if constant.all():
            problem = "The codes have collapsed: every hidden unit has the same activation for all training rows."
        elif (dead | saturated | constant).any():
            problem = (
                f"Of {len(dead)} hidden units, {dead.sum()} are dead (never active on the training rows), "
                f"{saturated.sum()} saturated (always fully active), {(constant & ~dead & ~saturated).sum()} others "
                "constant."
            )
        elif variation < VARIATION:
            problem = (
                f"The code is not sparse: most units vary by less than {variation:.0%} around their mean activation, "
                "as they do when the variance of X is small against the penalties."
            )
        elif self.beta > 0 and activity > STRAY * self.rho and self.history_["sparsity"][-1] < SLIGHT * self.loss_:
            problem = (
                f"The code is not sparse: with rho={self.rho:.3g} half of the units exceed {activity:.3g} on average, "
                "as they do when the variance of X is large against the sparsity term."
            )
            advice = "Standardise X, raise beta, or train longer."
        else:
            return []
        return [(f"{problem} {advice}", HiddenUnitWarning)]

    # -- saving ------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "_skl_sae_state": STATE}
        return {name: value for name, value in state.items() if name not in DURING_FIT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        saved = state.pop("_skl_sae_state", 0)
        if saved > STATE:
            raise ValueError(
                f"This {type(self).__name__} was saved by a newer version of skl_sae (layout {saved}; this version "
                f"knows layouts up to {STATE}). Upgrade skl_sae to load it."
            )
        super().__setstate__(state)
        if hasattr(self, "encoder_coef_"):
            self._check_state()

    def _check_state(self):
        """Refuse fitted attributes that no fit leaves: what uses them trusts them, a file may be anybody's."""
        for part in self._parameters(self.encoder_coef_.dtype):
            self._check_numbers("weights", part, part.shape)

    def _check_numbers(self, name, numbers, shape):
        numbers = np.asarray(numbers)
        if numbers.dtype.kind != "f" or numbers.shape != shape or not np.isfinite(numbers).all():
            raise ValueError(
                f"The fitted {name} of this {type(self).__name__} must be finite floating-point numbers of shape "
                f"{shape}; got {numbers.dtype} of shape {numbers.shape}."
            )

    # -- using the fit -----------------------------------------------------------------------------

    def _check_rows(self, X):
        check_is_fitted(self)
        X = as_rows(self._check_data(X, reset=False))
        return X if isinstance(X, SparseRows) else frozen(X)

    def _lazily(self, method, X, columns=None, dtype=None, **settings):
        """What a method makes of a dask array: another one, of which nothing is computed yet.

        ``columns`` says of what it has columns, "units" or "features"; without it has none.
        """
        from ._dask import float_dtype, map_lazily

        check_is_fitted(self)
        if method != "inverse_transform":
            self._check_data(X, reset=False)
        width = {None: None, "units": len(self.encoder_coef_), "features": self.n_features_in_}[columns]
        dtype = float_dtype(X) if dtype is None else dtype
        return map_lazily(functools.partial(self._method(method), **settings), X, width, dtype)

    def _method(self, name):
        """A method as it is now, for other processes."""
        left_out = {"_training", "_skl_callbacks", "_sklearn_output_config", "feature_names_in_", "history_"}
        left_out.update(DURING_FIT)
        attributes = {key: value for key, value in vars(self).items() if key not in left_out}
        return functools.partial(_call_method, type(self), attributes, name)

    def _parameters(self, dtype):
        """W, b, V, c as the kernels take them, which trust their shapes."""
        parts = self.encoder_coef_, self.encoder_intercept_, self.decoder_coef_.T, self.decoder_intercept_
        shapes = [part.shape for part in parts]
        if any(part.dtype.kind != "f" for part in parts):
            raise ValueError(
                f"The fitted weights of this {type(self).__name__} must be floating-point numbers; got "
                f"{', '.join(str(part.dtype) for part in parts)}."
            )
        (*_, m), (*_, d) = shapes[1], shapes[3]
        if shapes != [(m, d), (m,), (m, d), (d,)] or d != self.n_features_in_ or m == 0:
            raise ValueError(
                f"The fitted weights of this {type(self).__name__} do not fit together: encoder_coef_ {shapes[0]}, "
                f"encoder_intercept_ {shapes[1]}, decoder_coef_ {self.decoder_coef_.shape}, decoder_intercept_ "
                f"{shapes[3]}, n_features_in_ {self.n_features_in_}."
            )
        return [frozen(part.astype(dtype, copy=False)) for part in parts]

    def _encode(self, X):
        W, b, *_ = self._parameters(X.dtype)
        H = np.empty((len(X), len(W)), X.dtype)
        encode(X, W, b, kernels.ACTIVATIONS[self._functions[0]].kind, H)
        return finite(H, "the codes")

    def _decode(self, H):
        *_, V, c = self._parameters(H.dtype)
        X = np.empty((len(H), V.shape[1]), H.dtype)
        kernels.decode(frozen(H), V, c, kernels.OUTPUTS[self._functions[1]].kind, X)
        return finite(X, "the reconstructions")

    def _squared_error(self, X, per_feature):
        W, b, V, c = self._parameters(X.dtype)
        activation, output = kernels.ACTIVATIONS[self._functions[0]].kind, kernels.OUTPUTS[self._functions[1]].kind
        row_errors = SquareErrors(X, V, c, output)
        errors = np.empty(X.shape if per_feature else len(X), X.dtype)
        for block in blocks_of(X) if per_feature else row_errors.blocks(X):
            rows = X[block]
            H = np.empty((len(rows), len(W)), X.dtype)
            encode(rows, W, b, activation, H)
            with np.errstate(over="ignore", invalid="ignore"):
                errors[block] = np.square(row_errors.differences(rows, H)) if per_feature else row_errors(rows, H)
        return finite(errors, "the squared errors")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_codes(self, H):
        check_is_fitted(self)
        if is_dask(H):
            from ._dask import check_dask

            check_dask(H)
        else:
            with np.errstate(invalid="ignore"):
                H = check_array(H, dtype=DTYPES, order="C", input_name="X")
        if H.shape[1] != len(self.encoder_coef_):
            raise ValueError(
                f"X has {H.shape[1]} features, but {type(self).__name__}.inverse_transform is expecting codes of "
                f"{len(self.encoder_coef_)} features (n_components)."
            )
        return H
