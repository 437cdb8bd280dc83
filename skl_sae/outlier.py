"""SparseAutoencoderOutlierDetector: outlier detection with a sparse autoencoder."""

from __future__ import annotations

import itertools
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin, clone
from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseSparseAutoencoder, lazy_on_dask
from ._conformal import LEAST_ROWS, ConformalMixin, threshold, tukey_fence
from ._diagnostics import diagnose_range, diagnose_weights
from ._model import Network, span_basis
from ._rows import DenseRows
from ._scoring import ScorerFit
from ._support import SupportScorer
from ._training import Training
from ._types import (
    Float64Array,
    HiddenActivation,
    MatrixLike,
    OutputActivation,
    PenaltyName,
    Problems,
    SolverName,
    _fit_context,
)  # fmt: skip
from ._views.scorer import ViewScorer

# More units than this cost time without improving any scores.
MOST_COMPONENTS = 50

# Default weight decay: an autoencoder that reconstructs everything also reconstructs anomalies. In a wide table its
# error is a view of its own, for which it has to learn more.
ALPHA, WIDE_ALPHA = 0.1, 3e-3

# Default rate of false alarms.
FALSE_ALARMS = 0.05

# With fewer training rows per feature than the first number, or fewer in all than the second, the scores of training
# rows say too little about those of new rows. The threshold is then computed from held-out rows: as many as the second
# number, or all rows if there are fewer.
ENOUGH_ROWS, HELD_OUT = 20, 200

Rows: TypeAlias = Any  # of any kind, see `_rows`
Mask: TypeAlias = NDArray[np.bool_]


class SparseAutoencoderOutlierDetector(ConformalMixin, OutlierMixin, BaseSparseAutoencoder):
    r"""Outlier detector that looks at rows in several ways, one of them a sparse autoencoder.

    By default a row has one score from several views of one fit:

    - *scatter*: its squared Mahalanobis distance from the training rows;
    - *code*: the distance of residual :math:`x - \hat x` and code h of a sparse autoencoder together (see
      `SparseAutoencoderTransformer` for the model and its objective);
    - *tails*: how far out each value is in the distribution of its feature;
    - *far* and *near*: the distance to the nearest of a few, and of many, training rows.

    Each view turns the row into a surprise t, minus the log of the share of training rows that look as strange, and the
    score is :math:`\log \frac{1}{V} \sum_v e^{t_v}`, minus the log of the harmonic mean [1]_ of these shares. So a
    score says how rare a row is among normal ones, in the same unit for all data: about 1 for a normal row, 3 if one of
    five views finds it as rare as one row in 100, 7 if all find it as rare as one in 1000.

    Where rows are too few for a covariance (more than 100 features and fewer than 4 rows for each, or more than 2048
    features), the views are *near* and *error*, the squared reconstruction error.

    Anomalies among the training rows count little: each training row has a weight, the share of training rows that are
    at least as unusual by *tails* or by *far*, whichever is smaller. The autoencoder is trained, and means and
    covariances are estimated, with these weights.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of hidden units m. "auto" takes the number of features, at most 50.
    contamination : "auto" or float, default="auto"
        Sets the threshold of `predict`; scores and ranking do not depend on it.

        - "auto": 0.05 with ``scoring="auto"``. With the other scorings, scores above Tukey's upper fence [2]_,
          :math:`Q_3 + 1.5 (Q_3 - Q_1)` of the training rows' scores, are outliers.
        - float in (0, 0.5]: this fraction of rows like the training rows is classified as outliers. If the training
          rows are clean, it is the rate of false alarms. With ``scoring="auto"`` it is the rate among new rows:
          training rows are scored as if they had been left out or, with fewer than 200 rows or fewer than 20 for each
          feature, by fits to the other rows. With the other scorings it is the rate among the training rows; new rows
          exceed it, the more so the fewer training rows there are, so use `p_values` there.
    scoring : {"auto", "mahalanobis", "standardized_error", "squared_error"}, default="auto"
        How rows are scored.

        - "auto": by several views, as above.
        - "mahalanobis": squared Mahalanobis distance of residual and code, :math:`u = (e, h)`, from the training rows
          that lie closest together, :math:`(u - \mu)^\top \Sigma^{-1} (u - \mu)`. Mean and covariance are those of
          the ``support_fraction`` found by concentration steps [3]_, with shrinkage [4]_. Needs time and memory for a
          matrix of size (n_features + n_components) squared, and takes at most 16,384 features.
        - "standardized_error": :math:`\sum_k (e_k - \mu_k)^2 / \sigma_k^2`, the error relative to its spread in each
          feature, with :math:`\mu` and :math:`\sigma` from the same rows.
        - "squared_error": :math:`\lVert x - \hat x \rVert^2`, the reconstruction error as used in the literature.
    scaling : "standard" or None, default="standard"
        Whether to scale the features for the autoencoder: by their standard deviations or, with ``scoring="auto"`` and
        too few rows for a covariance, by their ranges. None uses X as it is, except that it is clipped (see the notes).
        The views *tails*, *far* and *near* do not depend on it.
    support_fraction : float, default=0.75
        Fraction of the training rows, 0.5 to 1, that is taken to be normal: those with the lowest scores, on which the
        autoencoder is trained a second time. 1 trusts all rows. Not used by ``scoring="auto"``, which gives each row a
        weight.
    rho : float, default=0.1
        Target mean activation. See `SparseAutoencoderTransformer` for this and the following parameters.
    beta : float, default=3.0
        Weight of the sparsity term.
    alpha : float or "auto", default="auto"
        Weight decay. "auto" is 0.1, more than the transformer's default: an autoencoder that reconstructs everything
        also reconstructs anomalies. Where the views are *near* and *error*, it is 0.003.
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
        Verbosity of training, as for the transformer. Where a fit trains twice, each training has a title.

    Attributes
    ----------
    offset_ : float
        `decision_function` is `score_samples` minus this.
    support_ : ndarray of shape (n_samples,)
        True for the training rows that the autoencoder was trained on: with ``scoring="auto"``, all of positive weight,
        otherwise those taken to be normal.
    location_, precision_ : ndarrays
        :math:`\mu` and :math:`\Sigma^{-1}` of residual and code, in scaled units, of shape (p,) and (p, p), with
        p = n_features + n_components: those of "mahalanobis", or of the view *code*. For the errors both have shape
        (n_features,): the precisions are then the weights of the squared errors.
    n_components_ : int
        Number of hidden units.
    encoder_coef_, encoder_intercept_, decoder_coef_, decoder_intercept_ : ndarrays
        Weights and biases, for scaled features. See `SparseAutoencoderTransformer`, also for the attributes below.
    mean_activation_, loss_, n_iter_, history_, dead_fraction_, saturated_fraction_, constant_fraction_
        Describe the last training run; with ``warm_start``, the history covers all runs. `TrainingDisplay` shows both
        runs where there are two.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if all are strings.

    Warns
    -----
    DataRangeWarning
        If the scaled features have values outside the range of ``output_activation``, or if the weights of the rows
        are below 0.1 on average.
    ConvergenceWarning
        If training does not settle; with scorings other than "auto", also if the fit explains hardly any of the
        variance.
    HiddenUnitWarning
        With scorings other than "auto", for the same reasons as the transformer.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Needs no scaling; often as good where training data contain many anomalies.
    sklearn.neighbors.LocalOutlierFactor : Nearest neighbours alone.

    Notes
    -----
    With ``scoring="auto"``, a row that equals one of the training rows among which the detector looks for neighbours
    (all, or a sample of at most 2048) is scored as if one copy of it had been left out of the training rows. If it were
    not, training rows would seem more normal than new ones.

    The detector keeps up to 10,000 distinct training rows (fewer with more than 1677 features), for calibration and
    `p_values`; of more rows it keeps a sample, drawn by weight. Up to that number a row of weight 2 is exactly the same
    as two rows.

    If one value has more than 0.9 of the weight of a feature, other values are rare levels: the standard deviation is
    then taken to be at least a quarter of the range, and the unit of distances is three ranges. So a level that one row
    in a thousand has counts as one in a thousand, not as rarer.

    With ``scoring="auto"``, scores are computed in float64 and rounded to the precision of float32, so that the score
    of a row does not depend on the other rows of X. Other scores are computed from the reconstructions in the dtype of
    X. Scaled values are clipped, so that every finite row has a finite score: with "auto" at 100, for the autoencoder
    and the covariances only, and with ``scaling=None`` at what that is in the units of the feature with the largest
    values; otherwise at 1e100 (float32: 1e30).

    ``benchmarks/detector.py`` compares the detector with others on data that had no part in its design.

    References
    ----------
    .. [1] D. J. Wilson, "The harmonic mean p-value for combining dependent tests", PNAS 116, 2019.
    .. [2] J. W. Tukey, "Exploratory data analysis", Addison-Wesley, 1977.
    .. [3] P. J. Rousseeuw and K. Van Driessen, "A fast algorithm for the minimum covariance determinant estimator",
       Technometrics 41, 1999.
    .. [4] Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
       Transactions on Signal Processing 58, 2010.

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
    _only_for: ClassVar[dict[str, str]] = {"_folds": "_p_values", "_reference": "p_values"}

    # Set by `fit`, in addition to what the base class sets.
    offset_: float
    support_: Mask
    n_components_: int
    _first_history: dict[str, Float64Array]  # of the first of two trainings

    _parameter_constraints: dict[str, list[Any]] = {
        **BaseSparseAutoencoder._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "scoring": [StrOptions({"auto", "mahalanobis", "standardized_error", "squared_error"})],
        "scaling": [StrOptions({"standard"}), None],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "support_fraction": [Interval(Real, 0.5, 1, closed="both")],
    }

    def __init__(
        self,
        n_components: int | Literal["auto"] = "auto",
        *,
        contamination: float | Literal["auto"] = "auto",
        scoring: Literal["auto", "mahalanobis", "standardized_error", "squared_error"] = "auto",
        scaling: Literal["standard"] | None = "standard",
        support_fraction: float = 0.75,
        rho: float = 0.1,
        beta: float = 3.0,
        alpha: float | Literal["auto"] = "auto",
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
            dense only in blocks of rows. The blocks of a dask array stay on its workers, as for the transformer; only
            arrays with one number per row (weights, scores, ``support_``) and the training rows that the detector keeps
            are in local memory.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            How many rows each row stands for, in all steps. A row of weight 0 counts for nothing. Weights that sum to
            one describe a single row, from which hardly anything can be learned; a warning says so. Default: 1 for
            every row.

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
        return super()._count_iterations(warm) * self._count_trainings()

    def _count_trainings(self) -> int:
        return 2 if self.scoring != "auto" and self.support_fraction < 1 else 1

    def _is_one_view(self) -> bool:
        return self.scoring == "auto"

    def _learn(self, rows: Rows, weights: Float64Array, training: Training, warm: bool) -> Problems:
        weights = np.asarray(weights)
        self.support_ = weights > 0
        rows, weights = rows.drop_zero_weight(weights)
        self.__dict__.pop("_first_history", None)
        fit, problems = self._learn_scorer(rows, weights, training, warm)
        reference, share = fit.reference, self.contamination
        if fit.support is not None:
            self.support_[self.support_] = fit.support
        self.__dict__.pop("_folds", None)
        self._scorer_state = {"scoring": self.scoring, **fit.scorer.state()}
        seed = training.rng.randint(np.iinfo(np.int32).max)
        self._reference = {"X": reference.X, "weights": reference.weights, "seed": seed}
        if self.scoring == "auto":
            scores, counts, share = fit.scores, reference.weights, FALSE_ALARMS if share == "auto" else share
            few = LEAST_ROWS <= reference.total < max(ENOUGH_ROWS * rows.shape[1], HELD_OUT)
            if few:  # a fit to few rows memorises them
                scores, counts = self._cross_conformal(HELD_OUT).held_out()
            self.offset_ = -threshold(scores, counts, share, fit.tie, fit.floor, of_new_rows=few)
        elif share == "auto":
            self.offset_ = -tukey_fence(fit.scores, weights, fit.tie, fit.floor)
        else:
            self.offset_ = -threshold(fit.scores, weights, share, fit.tie, fit.floor)
        return diagnose_weights(weights) + problems

    def _learn_scorer(
        self, rows: Rows, weights: Float64Array, training: Training, warm: bool
    ) -> tuple[ScorerFit, Problems]:
        """Return a fitted scorer and what to warn of."""
        problems: Problems = []
        turns, n_turns = itertools.count(1), self._count_trainings()

        def learn(scaled: Rows, weights: Float64Array, wide: bool = False) -> Network:
            turn = next(turns)
            training.title = f"training {turn} of {n_turns}" if n_turns > 1 else None
            if turn > 1 and not warm:  # a warm start keeps all in one history
                self._first_history = self.history_
            training.settings.alpha = (WIDE_ALPHA if wide else ALPHA) if self.alpha == "auto" else self.alpha
            problems[:] = diagnose_range(scaled, training.settings)
            basis = span_basis(scaled) if self._trains_in_span(scaled) else None
            inner = scaled if basis is None else DenseRows(scaled.toarray() @ basis)
            problems.extend(self._train(inner, weights, training, warm))
            if basis is not None:
                self.encoder_coef_ = self.encoder_coef_ @ basis.T
                self.decoder_coef_ = basis @ self.decoder_coef_
                self.decoder_intercept_ = basis @ self.decoder_intercept_
            self.n_components_ = len(self.encoder_coef_)
            return self._network(np.float64)

        scorer = ViewScorer if self.scoring == "auto" else SupportScorer
        return scorer.fit(rows, weights, training.rng, self, learn), problems

    def _trains_in_span(self, rows: Rows) -> bool:
        """Whether to train in the space that the rows span, where the loss is the same function with fewer weights."""
        same = self.scoring == "auto" and self.output_activation == "identity" and not (self.noise or self.warm_start)
        return same and rows.kind == "dense" and 2 * len(rows) < rows.shape[1]

    def _count_components(self, n_features: int) -> int:
        if self.n_components == "auto":
            return min(self.n_features_in_, MOST_COMPONENTS)
        return int(self.n_components)

    # -- saving ------------------------------------------------------------------------------------

    def _check_state(self) -> None:
        super()._check_state()
        d = self.n_features_in_
        self._check_numbers("offset_", self.offset_, ())
        try:
            self._scorer().check(self._check_numbers, d, len(self.encoder_coef_))
            if hasattr(self, "_reference"):
                n = len(self._reference["X"])
                self._check_numbers("training rows", self._reference["X"], (n, d))
                self._check_numbers("weights of training rows", self._reference["weights"], (n,))
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"The fitted state of this {type(self).__name__} must be that of a fit: {error}."
            ) from error

    # -- using the fit -----------------------------------------------------------------------------

    def _scorer(self) -> ViewScorer | SupportScorer:
        scorer = ViewScorer if self._scorer_state["scoring"] == "auto" else SupportScorer
        return scorer.from_state(self._scorer_state, self._network(np.float64))

    def _score(self, rows: Rows) -> Float64Array:
        """Anomaly scores, the higher the stranger, without checks."""
        return self._scorer().scores(rows, self._once)

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
            In squared scaled units (see ``scaling``), in float64.
        """
        scorer = self._scorer()

        def errors(rows: Rows) -> Float64Array:
            squares = np.square(scorer.residuals(rows))
            return squares if per_feature else squares.sum(axis=1)

        return np.concatenate(list(self._check_rows(X).map(errors)))

    @lazy_on_dask("features", np.float64)
    def score_contributions(self, X: MatrixLike) -> Float64Array:
        r"""Contribution of each feature to the anomaly score of every row.

        With ``scoring="auto"``, every view has the part :math:`e^{t_v} / \sum_w e^{t_w}` of the score and shares it
        among the features in proportion to their terms in the view: for a quadratic form
        :math:`(u - \mu)_k [\Sigma^{-1} (u - \mu)]_k`, for a distance or an error the squared difference, for the tails
        the squared surprise. With the other scorings the contribution is the term itself.

        The term of a hidden unit j is shared among the features in proportion to
        :math:`\lvert W_{jk} (x_k - \bar x_k) \rvert`, their share in the deviation of the unit's input from its value
        for the mean row (as in layer-wise relevance propagation [1]_). A contribution can be negative where a feature
        makes a row more normal, given the others.

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
        return np.concatenate(list(self._check_rows(X).map(self._scorer().contributions)))

    def _reconstruct(self, X: MatrixLike) -> Float64Array:
        """Return the reconstructions (n, d) of rows of X, in its units."""
        return np.concatenate(list(self._check_rows(X).map(self._scorer().reconstruct)))

    def _fit_fold(self, rows: Rows, weights: Float64Array) -> Any:
        """Fit to these rows; return a function that scores blocks of other rows."""
        fold = clone(self)
        fold.n_features_in_ = rows.shape[1]
        settings, rng = self._settings(verbose=0, warm_start=False), np.random.RandomState(self._reference["seed"])
        training = Training(settings, rng, one_view=self._is_one_view())
        return fold._learn_scorer(rows, weights, training, warm=False)[0].scorer.scores

    # -- attributes --------------------------------------------------------------------------------

    @property
    def location_(self) -> Float64Array:
        """Location of residual and code, or of the residual alone."""
        return self._moments("location_")[0]

    @property
    def precision_(self) -> Float64Array:
        """Inverse scatter of residual and code, or weights of the squared errors."""
        return self._moments("precision_")[1]

    def _moments(self, name: str) -> Any:
        if not hasattr(self, "_scorer_state"):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet, so it has no {name}.")
        return self._scorer().location_and_precision()
