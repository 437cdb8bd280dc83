"""SparseAutoencoderOutlierDetector: outlier detection with a sparse autoencoder."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseSparseAutoencoder, lazy_on_dask
from ._diagnostics import diagnose_range
from ._model import check_overflow
from ._rows import DenseRows
from ._scatter import LEAST_UNIT, TIE, Scatter, concentrate, lowest, plain, scores_of
from ._training import Training
from ._types import (
    Float64Array,
    FloatArray,
    HiddenActivation,
    MatrixLike,
    OutputActivation,
    PenaltyName,
    SolverName,
    _fit_context,
)  # fmt: skip

# More units than this cost time without improving any scores.
MOST_COMPONENTS = 50

# Limit in numbers (32 MiB) for keeping the scored vectors of all rows; beyond it, every pass recomputes them.
KEPT_NUMBERS = 2**22

# Activations and residuals with a smaller standard deviation (residuals: relative to their feature's) are constant.
CONSTANT = 0.01

# Scaled values are clipped here so that squares and their sums stay finite; rows beyond the limit are tied.
LIMITS: dict[np.dtype[Any], Any] = {np.dtype(np.float64): 1e100, np.dtype(np.float32): np.float32(1e30)}

Rows: TypeAlias = Any  # of any kind, see `_rows`
Mask: TypeAlias = NDArray[np.bool_]
Problems: TypeAlias = list[tuple[str, type[BaseException]]]


def _standard_scaler(rows: Rows, weights: Float64Array) -> StandardScaler:
    """Return a scaler for weighted rows, from moments computed here: the scaler's `fit` would copy X."""
    mean, variance = rows.moments(weights)
    finite_variance = np.isfinite(variance)
    if not finite_variance.all():
        raise ValueError(
            f"The variance of feature {int(np.argmin(finite_variance))} of X overflows float64. Scale X first."
        )
    n, eps = len(rows), np.finfo(np.float64).eps
    with np.errstate(over="ignore"):
        constant = variance <= n * eps * variance + np.square(n * mean * eps)  # scikit-learn's limit for rounding
    scaler = StandardScaler()
    scaler.mean_, scaler.var_, scaler.n_features_in_, scaler.n_samples_seen_ = mean, variance, len(mean), n
    # A smaller scale may be 0 in the dtype of X.
    scaler.scale_ = np.maximum(np.where(constant, 1, np.sqrt(variance)), np.finfo(rows.dtype).tiny)
    return scaler


class SparseAutoencoderOutlierDetector(OutlierMixin, BaseSparseAutoencoder):
    r"""Outlier detector that scores rows by what a sparse autoencoder cannot explain.

    A row x of standardised features has the code h and the residual :math:`e = x - \hat x` (see
    `SparseAutoencoderTransformer` for the model and its objective). By default its score is the squared Mahalanobis
    distance of residual and code together, :math:`u = (e, h)`, from the bulk of the training rows,

    .. math:: s(x) = (u - \mu)^\top \Sigma^{-1} (u - \mu) .

    So an error counts relative to the spread of errors in that feature and direction, and a row with an unusual code
    stands out even if it is reconstructed well. Anomalies among the training rows neither train the model nor widen the
    spread: :math:`\mu` and :math:`\Sigma` are those of the ``support_fraction`` of the rows that lie closest together
    (concentration steps, as in the minimum covariance determinant [1]_, with shrinkage [2]_), and the model is trained
    a second time on these rows alone.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of hidden units m. "auto" takes the number of features, at most 50.
    contamination : "auto" or float, default="auto"
        Sets the threshold of `predict`; scores and ranking do not depend on it.

        - "auto": anomaly scores above Tukey's upper fence [3]_, :math:`Q_3 + 1.5 (Q_3 - Q_1)` of the training rows'
          scores, are outliers; this includes about a tenth of the normal rows (1 to 20 %, depending on the data set).
        - float in (0, 0.5]: this fraction of the training rows is classified as outliers. If the training rows are
          known to be clean (novelty detection), it is the rate of false alarms to accept among them; on new rows the
          rate is higher, the more so the fewer training rows there are per feature and component.
    scoring : {"mahalanobis", "standardized_error", "squared_error"}, default="mahalanobis"
        How rows are scored.

        - "mahalanobis": as above. Needs memory and time for a matrix of size (n_features + n_components) squared.
        - "standardized_error": :math:`\sum_k (e_k - \mu_k)^2 / \sigma_k^2`, the error relative to its spread in each
          feature, with :math:`\mu` and :math:`\sigma` from the bulk of the rows.
        - "squared_error": :math:`\lVert x - \hat x \rVert^2`, the reconstruction error as used in the literature.
    scaling : "standard" or None, default="standard"
        Whether to standardise the features first; the final mean and standard deviation are those of the support. None
        uses X unchanged.
    support_fraction : float, default=0.75
        Fraction of the training rows, 0.5 to 1, that is taken to be normal. 1 trusts all rows (and trains only once);
        use it for training data that are known to be clean.
    rho : float, default=0.1
        Target mean activation. See `SparseAutoencoderTransformer` for this and the following parameters.
    beta : float, default=3.0
        Weight of the sparsity term.
    alpha : float, default=0.1
        Weight decay. The default is higher than the transformer's: an autoencoder that reconstructs everything also
        reconstructs anomalies.
    penalty : {"kl", "l1"}, default="kl"
        Sparsity penalty.
    activation : {"sigmoid", "relu"}, default="sigmoid"
        Activation of the hidden units.
    output_activation : {"identity", "sigmoid", "relu"}, default="identity"
        Activation of the output. Use values other than "identity" with ``scaling=None``.
    tied_weights : bool, default=False
        Whether the decoder weights are the transpose of the encoder weights.
    solver : {"lbfgs", "adam"}, default="lbfgs"
        Training algorithm.
    batch_size : int, default=100
        Maximum number of rows in a mini-batch (Adam).
    learning_rate_init : float, default=1e-3
        Step size of Adam.
    shuffle : bool, default=True
        Whether Adam visits the rows in a new order in every epoch.
    adam_start : int, default=0
        With ``solver="lbfgs"``, the number of epochs of Adam to run first.
    max_iter : int, default=1000
        Maximum number of iterations or epochs.
    tol : float, default=5e-3
        Training stops when the loss has not fallen by this fraction within ``n_iter_no_change`` iterations.
    n_iter_no_change : int, default=10
        See ``tol``.
    early_stopping : bool, default=False
        Whether to monitor the loss on held-out rows.
    validation_fraction : float, default=0.1
        Fraction of the rows held out.
    noise : float, default=0.0
        Standard deviation of the noise that Adam adds to the (scaled) input.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of an earlier `fit`.
    random_state : int, RandomState instance or None, default=None
        Seed for everything random.
    verbose : int, default=0
        Verbosity of training, as for the transformer.

    Attributes
    ----------
    offset_ : float
        `decision_function` is `score_samples` minus this.
    support_ : ndarray of shape (n_samples,)
        True for the training rows taken to be normal, on which the model was trained.
    location_ : ndarray of shape (n_features + n_components,)
        :math:`\mu` of residual and code, in scaled units. For the two error scores, it has shape (n_features,); for
        "squared_error", it is 0.
    precision_ : ndarray of shape (n_features + n_components, n_features + n_components)
        :math:`\Sigma^{-1}`. For the two error scores, it has shape (n_features,): the weight of each feature's squared
        error.
    n_components_ : int
        Number of hidden units.
    encoder_coef_, encoder_intercept_, decoder_coef_, decoder_intercept_ : ndarrays
        Weights and biases, for scaled features. See `SparseAutoencoderTransformer`, also for the attributes below.
    mean_activation_, loss_, n_iter_, history_, dead_fraction_, saturated_fraction_, constant_fraction_
        Describe the last training run; with ``warm_start``, the history covers all runs.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if all are strings.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Needs no scaling and hardly any training.
    sklearn.covariance.EllipticEnvelope : Robust Mahalanobis distance of the features themselves.

    Notes
    -----
    Anomalies that lie close together and make up more than a tenth of the rows can pass for normal: they are not far
    enough from the mean of all rows. Starting the concentration steps from medians instead finds such clusters, but
    made scores worse on most data sets.

    Scores are computed in float64 from the reconstructions in the dtype of X. Scaled values beyond 1e100 (float32:
    1e30) are clipped there, so that every finite row has a finite score.

    ``benchmarks/anomaly.py`` and ``benchmarks/anomaly_defaults.py`` show how the defaults were chosen and give figures
    on data that had no part in the choice.

    References
    ----------
    .. [1] P. J. Rousseeuw and K. Van Driessen, "A fast algorithm for the minimum covariance determinant estimator",
       Technometrics 41, 1999.
    .. [2] Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
       Transactions on Signal Processing 58, 2010.
    .. [3] J. W. Tukey, "Exploratory data analysis", Addison-Wesley, 1977.

    Examples
    --------
    >>> import numpy as np
    >>> from skl_sae import SparseAutoencoderOutlierDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 3))
    >>> X[:, 2] = X[:, 0] + 0.1 * X[:, 2]
    >>> detector = SparseAutoencoderOutlierDetector(random_state=0).fit(X)
    >>> strange = [[1.0, 0.0, -1.0]]  # each value is ordinary, but not the first and third together
    >>> detector.predict(strange)
    array([-1])
    >>> detector.score_contributions(strange).round(1).shape
    (1, 3)
    """

    _weights_suffice = False  # weights are useless without the scatter that belongs to them

    # Set by `fit`, in addition to what the base class sets.
    offset_: float
    support_: Mask
    n_components_: int

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseSparseAutoencoder._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "scoring": [StrOptions({"mahalanobis", "standardized_error", "squared_error"})],
        "scaling": [StrOptions({"standard"}), None],
        "support_fraction": [Interval(Real, 0.5, 1, closed="both")],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = "auto",
        *,
        contamination: float | Literal["auto"] = "auto",
        scoring: Literal["mahalanobis", "standardized_error", "squared_error"] = "mahalanobis",
        scaling: Literal["standard"] | None = "standard",
        support_fraction: float = 0.75,
        rho: float = 0.1,
        beta: float = 3.0,
        alpha: float = 0.1,
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
        super().__init__(
            rho=rho,
            beta=beta,
            alpha=alpha,
            penalty=penalty,
            activation=activation,
            output_activation=output_activation,
            tied_weights=tied_weights,
            solver=solver,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            shuffle=shuffle,
            adam_start=adam_start,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            noise=noise,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_components = n_components
        self.contamination = contamination
        self.scoring = scoring
        self.scaling = scaling
        self.support_fraction = support_fraction

    # -- fitting -----------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn what is normal from X.

        An exception or an interrupt (Ctrl-C) leaves the estimator unchanged.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
            At least two rows, all finite; they may include anomalies. Sparse matrices are converted to CSR and made
            dense only in blocks of rows; with many features, use a ``scoring`` other than "mahalanobis". The blocks of
            a dask array stay on its workers, as for the transformer; whatever has one number per row (weights, scores,
            ``support_``) is an array in local memory.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            How many rows each row stands for, in all steps: scaling, training, support, scatter and threshold. A row of
            weight 0 counts for nothing. Weights that sum to one therefore describe a single row, from which no
            covariance can be learned. Default: 1 for every row.

        Returns
        -------
        self : SparseAutoencoderOutlierDetector

        Raises
        ------
        ValueError
            If the data or the parameters are invalid; raised before any work is done.
        DivergenceError
            If the loss becomes infinite or NaN; a subclass of ValueError. The message says what to change.
        """
        return self._fit(X, y, sample_weight)

    def _count_iterations(self, warm: bool) -> int:
        return super()._count_iterations(warm) * (2 if self.support_fraction < 1 else 1)

    def _learn(self, rows: Rows, weights: Float64Array, training: Training, warm: bool) -> Problems:
        self._scoring = self.scoring
        weights = np.asarray(weights)
        counted = weights > 0
        rows, weights = rows.drop_zero_weight(weights)
        support = np.ones(len(rows), dtype=bool)
        problems, scores = self._learn_support(rows, weights, support, training, warm)
        if self.support_fraction < 1:
            support = lowest(scores, self.support_fraction, weights)
            problems, scores = self._learn_support(rows, weights, support, training, warm)
        self.offset_ = self._threshold(scores, weights)
        self.support_ = counted
        self.support_[counted] = support
        return problems

    def _learn_support(
        self, rows: Rows, weights: Float64Array, support: Mask, training: Training, warm: bool
    ) -> tuple[Problems, Float64Array]:
        """Train on the rows of the support; return the warnings to issue and the scores of all rows."""
        chosen, chosen_weights = (rows, weights) if support.all() else (rows.take(support), weights[support])
        self._scaler = self._fit_scaler(chosen, chosen_weights, rows, weights) if self.scaling else None
        scaled = chosen.map_rows(self._method("_scale"))
        problems = diagnose_range(scaled, self.output_activation)
        problems += self._train(scaled, chosen_weights, training, warm)
        self.n_components_ = len(self.encoder_coef_)
        self._centre, variance = scaled.moments(chosen_weights)
        low, high = scaled.bounds()
        self._scatter = self._learn_scatter(rows, weights, np.where(low == high, 0, np.sqrt(variance)))
        return problems, self._score(rows)

    def _fit_scaler(
        self, chosen: Rows, chosen_weights: Float64Array, rows: Rows, weights: Float64Array
    ) -> StandardScaler:
        """Fit a scaler to the rows of the support; a feature that is constant there takes its scale from all rows."""
        scaler = _standard_scaler(chosen, chosen_weights)
        low, high = chosen.bounds()
        constant = low == high
        if constant.any() and len(chosen) < len(rows):
            scaler.scale_[constant] = _standard_scaler(rows, weights).scale_[constant]
        return scaler

    def _learn_scatter(self, rows: Rows, weights: Float64Array, deviation: Float64Array) -> Scatter:
        if self.scoring == "squared_error":
            return plain(rows.shape[1])
        floor = CONSTANT * np.where(deviation > 0, deviation, 1)
        full = self.scoring == "mahalanobis"
        if full:
            floor = np.concatenate([floor, np.full(self.n_components_, CONSTANT)])

        vectors = self._method("_vectors")
        if rows.is_local and len(rows) * len(floor) <= KEPT_NUMBERS:
            rows, vectors = DenseRows(np.concatenate(list(rows.map(vectors)))), DenseRows.toarray
        return concentrate(rows, vectors, floor, weights, self.support_fraction, diagonal=not full)

    def _count_components(self, n_features: int) -> int:
        if self.n_components == "auto":
            return min(n_features, MOST_COMPONENTS)
        return int(self.n_components)

    def _threshold(self, scores: Float64Array, weights: Float64Array) -> float:
        def quantiles(parts: float | list[float]) -> Any:
            return np.quantile(scores, parts, weights=weights, method="inverted_cdf")

        if self.contamination == "auto":
            lower, upper = quantiles([0.25, 0.75])
            return float(-(upper + 1.5 * (upper - lower)))
        # Half-way to the next score, so that rounding cannot move a training row across the threshold.
        highest_inlier = quantiles(1 - self.contamination)
        outliers = scores[scores > highest_inlier * (1 + TIE)]
        return float(-(highest_inlier + outliers.min()) / 2 if outliers.size else -highest_inlier)

    # -- saving ------------------------------------------------------------------------------------

    def _check_state(self) -> None:
        super()._check_state()
        d, full = self.n_features_in_, self._scoring == "mahalanobis"
        p = d + len(self.encoder_coef_) if full else d
        self._check_numbers("location", self._scatter.location, (p,))
        self._check_numbers("precision", self._scatter.precision, (p, p) if full else (p,))
        self._check_numbers("mean row", self._centre, (d,))
        self._check_numbers("offset_", self.offset_, ())
        if self._scaler is not None:
            if type(self._scaler) is not StandardScaler:
                raise ValueError(f"The scaler must be a StandardScaler, got {type(self._scaler).__name__}.")
            self._check_numbers("means of the scaler", self._scaler.mean_, (d,))
            scale = self._scaler.scale_
            self._check_numbers("positive scale of the scaler", np.where(scale > 0, scale, np.nan), (d,))

    # -- using the fit -----------------------------------------------------------------------------

    def _scale(self, rows: Rows) -> Rows:
        if self._scaler is None:
            mean, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
        else:
            mean, scale = self._scaler.mean_, self._scaler.scale_
        return rows.standardized(mean, scale, LIMITS[rows.dtype])

    def _explain(self, rows: Rows) -> tuple[FloatArray, Float64Array]:
        """Return the scaled rows of a block, and the vectors that are scored, residuals first, in float64."""
        scaled, network = self._scale(DenseRows(rows.toarray())), self._network(rows.dtype)
        H = network.encode(scaled)
        residual = scaled.toarray().astype(np.float64) - network.decode(H)
        return scaled.toarray(), np.hstack([residual, H]) if self._scoring == "mahalanobis" else residual

    def _vectors(self, rows: Rows) -> Float64Array:
        return self._explain(rows)[1]

    def _score(self, rows: Rows) -> Float64Array:
        """Anomaly scores, the higher the stranger, without checks."""
        return check_overflow(scores_of(rows, self._method("_vectors"), self._scatter), "the scores")

    @lazy_on_dask(dtype=np.float64)
    def score_samples(self, X: MatrixLike) -> Float64Array:
        """Negative anomaly score of every row: the higher, the more normal.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            At most 0, in float64.
        """
        return -self._score(self._check_rows(X))

    def decision_function(self, X: MatrixLike) -> Float64Array:
        """`score_samples` minus ``offset_``: negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: MatrixLike) -> NDArray[np.int_]:
        """Predict whether each row is an inlier.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        is_inlier : ndarray of shape (n_samples,)
            +1 for inliers, -1 for outliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    @lazy_on_dask(dtype=np.float64)
    def reconstruction_error(self, X: MatrixLike, per_feature: bool = False) -> Float64Array:
        r"""Squared reconstruction error of every row, :math:`\lVert x - \hat x \rVert^2`, whatever ``scoring`` is.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
        per_feature : bool, default=False
            Whether to return the error of each feature separately.

        Returns
        -------
        error : ndarray of shape (n_samples,), or (n_samples, n_features) if ``per_feature``
            In squared scaled units (standard deviations with ``scaling="standard"``), in float64.
        """

        def errors(rows: Rows) -> Float64Array:
            squares = np.square(self._vectors(rows)[:, : self.n_features_in_])
            return squares if per_feature else squares.sum(axis=1)

        return np.concatenate(list(self._check_rows(X).map(errors)))

    @lazy_on_dask("features", np.float64)
    def score_contributions(self, X: MatrixLike) -> Float64Array:
        r"""Contribution of each feature to the anomaly score of every row.

        A feature's residual contributes its term of the score: :math:`(u - \mu)_k [\Sigma^{-1} (u - \mu)]_k` for
        "mahalanobis", its squared (standardised) error otherwise. With "mahalanobis", the corresponding term of a
        hidden unit j is shared among the features in proportion to :math:`\lvert W_{jk} (x_k - \bar x_k) \rvert`, their
        share in the deviation of the unit's input from its value for the mean row (as in layer-wise relevance
        propagation [1]_). A contribution can be negative where a feature makes a row more normal, given the others.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_features)
            In float64. Each row sums to the negative of its `score_samples`.

        References
        ----------
        .. [1] S. Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
           propagation", PLOS ONE 10, 2015.
        """
        return np.concatenate(list(self._check_rows(X).map(self._contributions)))

    def _contributions(self, block: Rows) -> Float64Array:
        """Contributions for a block of rows."""
        rows, vectors = self._explain(block)
        terms, d = check_overflow(self._scatter.contributions(vectors), "the contributions"), rows.shape[1]
        if terms.shape[1] == d:
            return terms
        weights, deviation = np.abs(self.encoder_coef_).astype(np.float64), np.abs(rows - self._centre)
        total = deviation @ weights.T
        shareable = total > LEAST_UNIT
        terms_per_part = np.divide(terms[:, d:], total, out=np.zeros_like(total), where=shareable)
        shared = deviation * (terms_per_part @ weights)
        # Where a row equals the mean row, the remainder is shared equally among all features.
        left = np.where(shareable, 0, terms[:, d:]).sum(axis=1, keepdims=True)
        return terms[:, :d] + shared + left / d

    @property
    def location_(self) -> Float64Array:
        """Location of residual and code."""
        return self._fitted_scatter("location")

    @property
    def precision_(self) -> Float64Array:
        """Inverse scatter of residual and code."""
        return self._fitted_scatter("precision")

    def _fitted_scatter(self, name: str) -> Float64Array:
        if not hasattr(self, "_scatter"):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet, so it has no {name}.")
        return getattr(self._scatter, name)
