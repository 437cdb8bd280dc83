"""What every estimator of the package shares: parameters, checks of the input, fitting, encoding, decoding."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _kernels as kernels
from ._objective import FullBatchObjective, MiniBatchObjective, Objective, centre, frozen, initial_parameters
from ._solvers import Monitor, adam, lbfgs
from .exceptions import DataRangeWarning, HiddenUnitWarning

DTYPES = [np.float64, np.float32]

# A unit whose activations over the training rows span at most this part of the highest one counts as constant.
CONSTANT_SPAN = 0.01

# Where half of the units have a standard deviation below this part of their mean, no unit is ever clearly on or off.
VARIATION = 0.25

# A fit that explains less than this part of what noise would allow has not learned anything.
LEARNED = 0.05


class BaseSparseAutoencoder(BaseEstimator):
    """Fitting, encoding and decoding; subclasses say what the result is used for."""

    _parameter_constraints: dict = {
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
        n_components=100,
        *,
        rho=0.1,
        beta=3.0,
        alpha=1e-3,
        activation="sigmoid",
        output_activation="identity",
        tied_weights=False,
        solver="lbfgs",
        batch_size=100,
        learning_rate_init=1e-3,
        shuffle=True,
        adam_start=0,
        max_iter=1000,
        tol=5e-3,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        noise=0.0,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
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

    def _fit(self, X):
        """Fit to X; on any exception every fitted attribute is what it was before."""
        before = dict(vars(self))
        try:
            self._check_parameters()
            warm = self.warm_start and hasattr(self, "encoder_coef_")
            X = validate_data(self, X, dtype=DTYPES, order="C", ensure_min_samples=2, reset=not warm)
            for message, category in self._learn(X, warm, check_random_state(self.random_state)):
                warnings.warn(message, category, stacklevel=4)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        return self

    def _learn(self, X, warm, rng):
        """Set the fitted attributes; return what to warn of, pairs of a message and a category."""
        return self._check_range(X) + self._train(X, warm, rng)

    def _check_parameters(self):
        """Combinations that `_parameter_constraints` cannot express."""
        highest = kernels.ACTIVATIONS[self.activation].high
        if not 0 < self.rho < highest:
            raise ValueError(
                f"The 'rho' parameter of {type(self).__name__} must be a float in the range (0.0, {highest}) with "
                f"activation={self.activation!r}: it is a mean activation. Got {self.rho!r} instead."
            )
        if self.noise and self.solver != "adam":
            raise ValueError(
                f"noise={self.noise} needs solver='adam': solver={self.solver!r} compares losses between evaluations, "
                "which fresh noise would make meaningless. Set noise=0 or solver='adam'."
            )

    def _check_range(self, X):
        entry = kernels.OUTPUTS[self.output_activation]
        low, high = X.min(), X.max()
        slack = 1e-6 * max(abs(low), abs(high))  # what a scaler leaves in the last digits
        if entry.low - slack <= low and high <= entry.high + slack:
            return []
        problem = (
            f"X lies in [{low:.4g}, {high:.4g}], but output_activation={self.output_activation!r} can only give "
            f"values in [{entry.low:g}, {entry.high:g}]: what is outside cannot be reconstructed. Scale X "
            "(MinMaxScaler) or use output_activation='identity'."
        )
        return [(problem, DataRangeWarning)]

    def _train(self, X, warm, rng):
        problem, objective, variance = self._minimise(X, warm, rng)
        return self._judge_training(problem, objective, variance) + self._judge_units(objective)

    def _minimise(self, X, warm, rng):
        arch, reg = self._architecture(X.shape[1]), self._regularization()
        validation = None
        if self.early_stopping:
            X, held_out = self._split(X, rng)
            validation = Objective(held_out, np.ones(len(held_out)), arch, reg)
        mean, variance = centre(X, np.ones(len(X)))
        if warm:
            theta = self._fitted_parameters(arch, X.dtype)
        else:
            functions = kernels.ACTIVATIONS[self.activation], kernels.OUTPUTS[self.output_activation]
            theta = initial_parameters(arch, mean, X.dtype, *functions, self.rho, rng)
        monitor = Monitor(
            tol=self.tol, n_iter_no_change=self.n_iter_no_change, verbose=self.verbose, validation=validation
        )
        monitor.start(theta)
        objective, result = self._solve(X, arch, reg, theta, monitor, rng)
        theta = result.theta if monitor.best_theta is None else monitor.best_theta
        self._finish(theta, objective, monitor)
        return monitor.rise() or result.problem, objective, variance

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

    def _split(self, X, rng):
        n_held_out = int(np.ceil(self.validation_fraction * len(X)))
        if len(X) - n_held_out < 2:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} leaves "
                f"{len(X) - n_held_out} of {len(X)} samples for training; at least 2 are required."
            )
        return train_test_split(X, test_size=n_held_out, random_state=rng)

    def _solve(self, X, arch, reg, theta, monitor, rng):
        if self.solver == "adam":
            return self._adam(X, arch, reg, theta, monitor, rng, self.max_iter)
        if self.adam_start:
            theta = self._adam(X, arch, reg, theta, monitor, rng, self.adam_start)[1].theta
            monitor.restart()
        objective = FullBatchObjective(X, np.ones(len(X)), arch, reg)
        return objective, lbfgs(objective, theta, monitor, max_iter=self.max_iter)

    def _adam(self, X, arch, reg, theta, monitor, rng, epochs):
        noise_rng = np.random.default_rng(rng.randint(np.iinfo(np.int32).max, size=4))
        objective = MiniBatchObjective(
            X, np.ones(len(X)), arch, reg, batch_size=int(self.batch_size), noise=self.noise, rng=noise_rng
        )
        settings = dict(max_iter=epochs, learning_rate=self.learning_rate_init, shuffle=self.shuffle, rng=rng)
        return objective, adam(objective, theta, monitor, **settings)

    def _fitted_parameters(self, arch, dtype):
        """The fitted weights as one flat vector, to go on from."""
        if self.encoder_coef_.shape[0] != arch.n_components:
            raise ValueError(
                f"warm_start=True goes on from {self.encoder_coef_.shape[0]} fitted components, but "
                f"n_components={arch.n_components}. Set warm_start=False to start anew."
            )
        if self._functions != (self.activation, self.output_activation):
            raise ValueError(
                f"warm_start=True goes on from activation={self._functions[0]!r}, "
                f"output_activation={self._functions[1]!r}, but they are now {self.activation!r} and "
                f"{self.output_activation!r}. Set warm_start=False to start anew."
            )
        parts = [self.encoder_coef_, self.decoder_coef_.T, self.encoder_intercept_, self.decoder_intercept_]
        if arch.tied:
            if not np.array_equal(parts[0], parts[1]):
                raise ValueError(
                    "warm_start=True with tied_weights=True needs an earlier fit with tied weights. Set "
                    "warm_start=False to start anew."
                )
            del parts[1]
        return np.concatenate([part.ravel() for part in parts]).astype(dtype)

    def _finish(self, theta, objective, monitor):
        """Set the fitted attributes."""
        monitor.finish(theta, objective.evaluate(theta))
        _, W, V, b, c = (part.copy() for part in kernels.unpack(theta, objective.arch))
        self.encoder_coef_, self.encoder_intercept_ = W, b
        self.decoder_coef_, self.decoder_intercept_ = V.T, c
        self._functions = self.activation, self.output_activation  # the code needs those of the fit, not later ones
        self.mean_activation_ = objective.mean.astype(theta.dtype)
        self.history_ = {name: np.array([row[name] for row in monitor.rows]) for name in monitor.rows[-1]}
        self.loss_ = float(self.history_["loss"][-1])
        self.n_iter_ = len(monitor.rows)

    def _judge_training(self, problem, objective, variance):
        """What to say of training that did not converge, or that converged to nothing."""
        problems = [] if problem is None else [problem + "."]
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
        else:
            return []
        advice = "Standardise X, lower beta or alpha, change rho, train longer, or use fewer components."
        return [(f"{problem} {advice}", HiddenUnitWarning)]

    # -- using the fit -----------------------------------------------------------------------------

    def _check_rows(self, X):
        check_is_fitted(self)
        return frozen(validate_data(self, X, dtype=DTYPES, order="C", reset=False))

    def _encode(self, X, out=None):
        W, b = (frozen(part.astype(X.dtype, copy=False)) for part in (self.encoder_coef_, self.encoder_intercept_))
        H = np.empty((len(X), len(W)), X.dtype) if out is None else out
        kernels.encode(X, W, b, kernels.ACTIVATIONS[self._functions[0]].kind, H)
        return H

    def _decode(self, H, out=None):
        V, c = (frozen(part.astype(H.dtype, copy=False)) for part in (self.decoder_coef_.T, self.decoder_intercept_))
        X = np.empty((len(H), V.shape[1]), H.dtype) if out is None else out
        kernels.decode(frozen(H), V, c, kernels.OUTPUTS[self._functions[1]].kind, X)
        return X

    def _squared_error(self, X, per_feature):
        errors = np.empty(X.shape if per_feature else len(X), X.dtype)
        rows = min(len(X), kernels.BLOCK_ROWS)
        codes, differences = np.empty((rows, len(self.encoder_coef_)), X.dtype), np.empty((rows, X.shape[1]), X.dtype)
        for block in gen_batches(len(X), kernels.BLOCK_ROWS):
            n = len(X[block])
            difference = self._decode(self._encode(X[block], codes[:n]), differences[:n])
            difference -= X[block]
            if per_feature:
                np.square(difference, out=errors[block])
            else:
                np.einsum("ij,ij->i", difference, difference, out=errors[block])
        return errors

    def _check_codes(self, H):
        check_is_fitted(self)
        H = check_array(H, dtype=DTYPES, order="C", input_name="X")
        if H.shape[1] != len(self.encoder_coef_):
            raise ValueError(
                f"X has {H.shape[1]} features, but {type(self).__name__}.inverse_transform is expecting codes of "
                f"{len(self.encoder_coef_)} features (n_components)."
            )
        return H
