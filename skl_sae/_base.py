"""What all estimators of the package share: parameters, checks of the input, a fit as a whole, row-wise methods."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ._callbacks import DURING_FIT, CallbackSupportMixin, FitTasks
from ._diagnostics import INTERRUPTED, diagnose_range
from ._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from ._kernels.jit import as_readonly
from ._kernels.penalties import PENALTIES
from ._model import Network, NotFiniteError
from ._rows import as_rows, is_dask
from ._solvers import SOLVERS
from ._state import SavedStateMixin
from ._training import Earlier, SolverState, Training, phases
from ._types import Float64Array, FloatArray, HiddenActivation, MatrixLike, OutputActivation, PenaltyName, SolverName

if TYPE_CHECKING:
    from sklearn.utils import Tags

DTYPES = [np.float64, np.float32]

Function = TypeVar("Function", bound=Callable[..., Any])


def _call_method(cls, attributes, name, X, **settings):
    """Call a method of an estimator that may be in the middle of a fit, so there is nothing to check yet."""
    estimator = cls.__new__(cls)
    vars(estimator).update(attributes)
    return getattr(estimator, name)(X, **settings)


def lazy_on_dask(width: str | None = None, dtype: Any = None) -> Callable[[Function], Function]:
    """Return a decorator that makes a row-wise method return a lazy dask array for a dask array.

    ``width`` names the columns of the result, "units" or "features"; None stands for one number per row, or with
    ``per_feature=True`` for features. ``dtype`` is that of the result, None for that of X.
    """

    def decorate(method: Function) -> Function:
        @functools.wraps(method)
        def apply(self: Any, X: Any, *args: Any, **settings: Any) -> Any:
            if not is_dask(X):
                return method(self, X, *args, **settings)
            settings |= dict(zip(["per_feature"], args, strict=False))
            columns = "features" if settings.get("per_feature") else width
            return self._apply_lazily(method.__name__, X, columns, dtype, settings)

        return apply  # type: ignore[return-value]

    return decorate


@contextlib.contextmanager
def releasing(rows):
    """Release rows at the end, so that a cluster drops what it keeps for them."""
    try:
        yield rows
    finally:
        rows.release()


class BaseAutoencoder(CallbackSupportMixin, SavedStateMixin):
    """What any autoencoder needs to check its input, to be fitted and to be used; subclasses have the parameters."""

    _doc_link_module = "skl_sae"  # for the link in the HTML representation
    _doc_link_template = "https://skl-sae.readthedocs.io/en/stable/api/generated/skl_sae.{estimator_name}.html"
    _only_for: ClassVar[dict[str, str]] = {}  # attributes that a single row-wise method needs, and that method
    _weights_suffice = True  # to use the estimator, so that an interrupted fit can be kept or passed to a callback
    _from_all_rows: ClassVar[tuple[str, ...]] = ()  # attributes that an interrupted fit does not have
    _training_class: ClassVar[type[Training]] = Training
    # Parameters that a path of warm starts can follow, beginning with those whose change takes the fewest iterations.
    _followed: ClassVar[tuple[str, ...]] = ("tol",)

    # Set by a fit.
    encoder_coef_: FloatArray
    encoder_intercept_: FloatArray
    decoder_coef_: FloatArray
    decoder_intercept_: FloatArray
    loss_: float
    n_iter_: int
    history_: dict[str, Float64Array]
    dead_fraction_: float
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    n_components: int | Literal["auto"]  # "auto" is for the detector

    _parameter_constraints: dict[str, list[Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "shuffle": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

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
                vars(self).pop("encoder_coef_", None)  # so that a copy for a callback does not mix two fits
            tasks.begin(X, y, sample_weight)
            rng = check_random_state(self.random_state)
            usable, one_view = self._weights_suffice, self._is_one_view()
            training = self._training_class(self._settings(), rng, tasks, usable, one_view=one_view)
            with releasing(as_rows(X)) as rows:
                problems = self._learn(rows, rows.check_weights(sample_weight, 2), training, warm)
            try:
                tasks.end()
            except KeyboardInterrupt:
                if not training.keeps_interrupted:
                    raise
                problems = [INTERRUPTED]
            self._warn(problems)
        if INTERRUPTED in problems:
            raise KeyboardInterrupt(INTERRUPTED[0])
        return self

    def _partial_fit(self, X, sample_weight):
        """Train for an epoch of Adam on a chunk of rows, from where the last one ended; no rows are held out."""
        warm = hasattr(self, "encoder_coef_")
        with self._all_or_nothing():
            self._check_parameters(takes_noise=True)
            if is_dask(X):
                raise ValueError(
                    "partial_fit takes rows in memory. For the chunks of a dask array, one after the other, use "
                    "dask_ml.wrappers.Incremental; for all of them at once, fit if it takes dask arrays."
                )
            rows = as_rows(self._check_data(X, reset=not warm))
            rows, weights = rows.drop_zero_weight(rows.check_weights(sample_weight, 1))
            problems = self._diagnose_rows(rows)
            one_epoch = dict(solver="adam", max_iter=1, tol=0, n_iter_no_change=1)
            settings = self._settings(**one_epoch, early_stopping=False, verbose=0, warm_start=True)
            training = self._training_class(settings, check_random_state(self.random_state), chunked=True)
            self._train(rows, weights, training, warm)
            self._warn(problems)
        return self

    def _settings(self, **changed):
        """Return the parameters as they are now, for what must not see the fitted attributes."""
        parameters = {name: getattr(self, name) for name in self._parameter_constraints}
        return SimpleNamespace(**parameters | changed)

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

    def _warn(self, problems):
        for message, category in problems:
            if issubclass(category, Warning):
                warnings.warn(message, category, stacklevel=5)  # the caller of fit; an error if filters say so

    def _count_iterations(self, warm):
        return sum(max_iter for _, max_iter in phases(self._settings(), warm))

    def _count_components(self, n_features):
        return int(self.n_components)

    def _is_one_view(self):
        """Whether the autoencoder is one view of the rows among others."""
        return False

    def _learn(self, rows, weights, training, warm):
        """Set the fitted attributes; return what to warn of, pairs of a message and a category, or `INTERRUPTED`."""
        rows, weights = rows.drop_zero_weight(weights)
        return self._diagnose_rows(rows) + self._train(rows, weights, training, warm)

    def _train(self, rows, weights, training, warm):
        """Set the fitted attributes of a training run; return its problems."""
        n_components = self._count_components(rows.shape[1])
        earlier = self._earlier(n_components, rows.dtype) if warm else None
        attributes, problems = training.run(rows, weights, n_components, earlier)
        if INTERRUPTED in problems:  # they would have to be computed from all rows
            for name in self._from_all_rows:
                vars(self).pop(name, None)
        vars(self).pop("_training", None)
        vars(self).update(attributes)
        return problems

    def _earlier(self, n_components, dtype):
        """Return the fit so far, for one that continues it."""
        parts = W, b, V, c = self._parameters(dtype)
        problem = self._differs(parts)
        if len(W) != n_components:
            problem = f"from {len(W)} fitted components with n_components={n_components}"
        if problem is not None:
            raise ValueError(f"Training cannot continue {problem}. To start anew, call fit with warm_start=False.")
        tied = getattr(self, "tied_weights", False)
        theta = np.concatenate([part.ravel() for part in ((W, b, c) if tied else (W, V, b, c))])
        state = SolverState(**self._training) if hasattr(self, "_training") else None
        return Earlier(theta, state, self.history_)

    @staticmethod
    def _once(function, rows, *args):
        """Return ``function(rows, *args)``; a `PathSearchCV` replaces this method by a `Memo`."""
        return function(rows, *args)

    # For subclasses to override.

    def _differs(self, parts):
        """Return how the parameters differ from those of the earlier fit, if it cannot be continued, else None."""

    def _diagnose_rows(self, rows):
        """Return problems of the rows, pairs of a message and a category."""
        return []

    def _check_parameters(self, takes_noise=False):
        """Check combinations that `_parameter_constraints` cannot express."""

    def _check_parameters_for_dask(self):
        """Refuse parameters that need single rows, or an order of rows of their own."""

    # -- checks ------------------------------------------------------------------------------------

    def _check_data(self, X, **settings):
        if is_dask(X):  # its chunks are validated on the workers
            from ._rows.dask import check_dask

            check_dask(X)
            return validate_data(self, X, skip_check_array=True, reset=settings["reset"])
        with np.errstate(invalid="ignore"):  # scikit-learn adds up X, which may give inf - inf
            X = validate_data(self, native(X), accept_sparse="csr", dtype=DTYPES, order="C", **settings)
        # Data frames and sparse matrices keep their byte order in validation.
        return X if X.dtype.isnative else X.astype(X.dtype.newbyteorder("="))

    def _check_rows(self, X, **settings):
        check_is_fitted(self)
        return as_rows(self._check_data(X, reset=False, **settings))

    def _apply(self, compute, X):
        """Return ``compute(network, rows)``, which raises `NotFiniteError` if a result is not finite.

        A dense X is not searched for NaN and infinity beforehand: either makes a result that is not finite.
        """
        rows = self._check_rows(X, ensure_all_finite=issparse(X))
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return compute(self._network(rows.dtype), rows)
        except NotFiniteError:
            self._check_rows(X)
            raise

    def _check_codes(self, H):
        check_is_fitted(self)
        if is_dask(H):
            from ._rows.dask import check_dask

            check_dask(H)
        else:
            with np.errstate(invalid="ignore"):
                H = check_array(native(H), dtype=DTYPES, order="C", input_name="X")
        self._check_width(H)
        return H

    def _check_width(self, H):
        if H.shape[1] != len(self.encoder_coef_):
            raise ValueError(
                f"X has {H.shape[1]} features, but {type(self).__name__}.inverse_transform is expecting codes of "
                f"{len(self.encoder_coef_)} features (n_components)."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # -- using the fit -----------------------------------------------------------------------------

    def _apply_lazily(self, method, X, columns, dtype, settings):
        """Return the result of a row-wise method for a dask array: another one, of which nothing is computed yet."""
        from ._rows.dask import float_dtype, map_lazily

        check_is_fitted(self)
        if method == "inverse_transform":
            self._check_codes(X)
        else:
            self._check_data(X, reset=False)
        width = {None: None, "units": len(self.encoder_coef_), "features": self.n_features_in_}[columns]
        dtype = float_dtype(X) if dtype is None else dtype
        return map_lazily(functools.partial(self._method(method), **settings), X, width, dtype)

    def _method(self, name):
        """Return a row-wise method of the estimator as it is now, for other processes."""
        left_out = {"_training", "_skl_callbacks", "_sklearn_output_config", "feature_names_in_"}
        left_out |= {"history_", "_first_history", *DURING_FIT}
        left_out.update((key for key, method in self._only_for.items() if method != name))
        attributes = {key: value for key, value in vars(self).items() if key not in left_out}
        return functools.partial(_call_method, type(self), attributes, name)

    def _parameters(self, dtype):
        """Return W, b, V, c for the kernels, which trust the shapes that are checked here."""
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
                f"The fitted weights of this {type(self).__name__} do not match in shape: encoder_coef_ {shapes[0]}, "
                f"encoder_intercept_ {shapes[1]}, decoder_coef_ {self.decoder_coef_.shape}, decoder_intercept_ "
                f"{shapes[3]}, n_features_in_ {self.n_features_in_}."
            )
        return [as_readonly(part.astype(dtype, copy=False)) for part in parts]


class BaseSparseAutoencoder(BaseAutoencoder):
    """An autoencoder with a penalty on mean activations; subclasses say what it is used for."""

    _from_all_rows = "mean_activation_", "dead_fraction_", "saturated_fraction_", "constant_fraction_"
    _followed: ClassVar[tuple[str, ...]] = ("tol", "beta", "alpha", "rho")

    # Set by a fit.
    mean_activation_: FloatArray
    saturated_fraction_: float
    constant_fraction_: float

    alpha: float | Literal["auto"]  # "auto" is for the detector

    _parameter_constraints: dict[str, list[Any]] = BaseAutoencoder._parameter_constraints | {
        "rho": [Interval(Real, None, None, closed="neither")],  # its range depends on the activation
        "beta": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "penalty": [StrOptions(set(PENALTIES))],
        "activation": [StrOptions(set(HIDDEN_ACTIVATIONS))],
        "output_activation": [StrOptions(set(ACTIVATIONS))],
        "tied_weights": ["boolean"],
        "solver": [StrOptions(set(SOLVERS))],
        "adam_start": [Interval(Integral, 0, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 100,
        *,
        rho: float = 0.1,
        beta: float = 3.0,
        alpha: float | Literal["auto"] = 1e-3,
        penalty: PenaltyName = "kl",
        activation: HiddenActivation = "sigmoid",
        output_activation: OutputActivation = "identity",
        tied_weights: bool = False,
        solver: SolverName = "lbfgs",
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
        self.penalty = penalty
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

    def _differs(self, parts):
        W, _, V, _ = parts
        if self._functions != (self.activation, self.output_activation):
            return (
                f"from activation={self._functions[0]!r}, output_activation={self._functions[1]!r} with "
                f"{self.activation!r} and {self.output_activation!r}"
            )
        return "with tied_weights=True from a fit without" if self.tied_weights and not np.array_equal(W, V) else None

    def _diagnose_rows(self, rows):
        return diagnose_range(rows, self._settings())

    def _check_parameters(self, takes_noise=False):
        """Check combinations that `_parameter_constraints` cannot express."""
        highest = ACTIVATIONS[self.activation].high
        if not 0 < self.rho < highest:
            raise ValueError(
                f"The 'rho' parameter of {type(self).__name__} must be a float in the range (0.0, {highest}) with "
                f"activation={self.activation!r}: it is a mean activation. Got {self.rho!r} instead."
            )
        if self.noise and not (takes_noise or SOLVERS[self.solver].takes_noise):
            raise ValueError(
                f"noise={self.noise} needs solver='adam': solver={self.solver!r} compares losses between evaluations, "
                "which fresh noise would make meaningless. Set noise=0 or solver='adam'."
            )

    def _check_parameters_for_dask(self):
        """Refuse parameters that need single rows, or an order of rows of their own."""
        refused = {
            f"solver={self.solver!r}": SOLVERS[self.solver].needs_local_rows,
            "adam_start": self.adam_start,
            "early_stopping": self.early_stopping,
        }
        for name, wanted in refused.items():
            if wanted:
                raise ValueError(
                    f"{name} cannot be used with a dask array: solver='lbfgs' fits all of its rows, none is held out. "
                    "For Adam over the chunks of a dask array, use dask_ml.wrappers.Incremental."
                )

    def _network(self, dtype):
        """Return the fitted model for rows of a dtype."""
        return Network(*self._parameters(dtype), *(ACTIVATIONS[name].kind for name in self._functions))


def native(X):
    """Return an array in the byte order of the machine, so that float32 stays float32; anything else unchanged."""
    swapped = isinstance(X, np.ndarray) and X.dtype.kind == "f" and not X.dtype.isnative
    return X.astype(X.dtype.newbyteorder("=")) if swapped else X


class ReconstructionScoresMixin:
    """Scores of rows by how well they are reconstructed."""

    reconstruction_error: Callable[..., FloatArray]

    def score_samples(self, X: MatrixLike) -> FloatArray:
        """Negative reconstruction error of every row: the higher, the more normal.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            At most 0, in the dtype of X.
        """
        return -self.reconstruction_error(X)

    def score(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean of `score_samples`, so that a search without a scorer selects the best reconstruction.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        score : float
        """
        with releasing(as_rows(self.score_samples(X).astype(np.float64)[:, None])) as scores:
            scores, weights = scores.drop_zero_weight(scores.check_weights(sample_weight, 1))
            mean, _ = scores.moments(weights)
        return float(mean[0])
