"""TopKAutoencoderTransformer: codes with a fixed number of active units."""

from __future__ import annotations

from numbers import Integral
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse import csr_array, csr_matrix, issparse
from sklearn import get_config
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from ._base import DTYPES, BaseAutoencoder, ReconstructionScoresMixin, lazy_on_dask, native
from ._rows import SparseRows, is_dask
from ._topk_model import Code, decode, encode, network, squared_errors
from ._topk_training import TopKTraining
from ._training import Training
from ._types import Float64Array, FloatArray, MatrixLike, _fit_context

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from ._kernels.structs import TopKNetwork


class TopKAutoencoderTransformer(
    ReconstructionScoresMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseAutoencoder
):
    r"""Sparse autoencoder whose code has k active units.

    The encoder :math:`z = W x + b` and the decoder :math:`\hat x = V h + c`, where h holds the k largest elements of z
    [1]_ [2]_, are trained together to minimise the mean of :math:`\lVert x - \hat x \rVert^2`. Elements of z that are
    not positive are never active, so a row has at most k active units, nearly always k. Of equal elements the first is
    taken. The columns of V, the atoms, have norm 1.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units m, usually many times k.
    k : int or None, default=None
        Number of active units of a row, at most ``n_components``; with ``selection="batchtopk"``, the average over
        rows. None stands for 8, or for ``n_components`` if that is less. If k is ``n_components``, every unit may be
        active, as in an autoencoder with ReLU.
    selection : {"topk", "batchtopk"}, default="topk"
        - "topk": the k largest elements of every row.
        - "batchtopk": in training, the k B largest elements of a batch of B rows [3]_, so that some rows have more
          active units than others; afterwards, every element that reaches ``threshold_``.
    init : {"whitened", "random"}, default="whitened"
        Where training starts.

        - "whitened": atoms are rows of X after whitening.
        - "random": atoms have random directions.

        In both cases the rows of W are the atoms, multiplied by the number with which the first reconstructions are
        best.
    resample_dead : bool, default=True
        Whether units that have not been active for an epoch, and for at least two batches (30 in `partial_fit`), start
        anew before the next epoch: from rows with large errors, towards which their atoms then point. Once the loss has
        settled, no unit does so any more, and training goes on until it has settled without. If ``max_iter`` is reached
        before that, units may start anew in the last epoch.
    batch_size : int, default=512
        Maximum number of rows in a mini-batch.
    learning_rate_init : float, default=4e-3
        Initial step size of Adam [4]_. That of step t is ``learning_rate_init / sqrt(1 + t / 600)``.
    shuffle : bool, default=True
        Whether to visit the rows in a new order in every epoch. If so, equal rows of small data are merged into one row
        of their total weight.
    max_iter : int, default=300
        Maximum number of epochs.
    tol : float, default=5e-3
        Training stops when the loss has not fallen by ``tol`` times its value within ``n_iter_no_change`` epochs.
    n_iter_no_change : int, default=10
        See ``tol``.
    early_stopping : bool, default=False
        Whether to hold out rows, monitor their loss instead of that of the training rows, and keep the weights for
        which it was lowest; these may be the initial weights.
    validation_fraction : float, default=0.1
        Fraction of the rows held out by ``early_stopping``.
    sparse_output : bool, default=True
        Whether `transform` returns a sparse matrix (CSR; a sparse array if scikit-learn's option ``sparse_interface``
        asks for one). Data frames (``set_output``) need False.
    warm_start : bool, default=False
        Whether `fit` continues from the last fit, including the state of Adam, bit for bit as if that fit had not
        ended.
    random_state : int, RandomState instance or None, default=None
        Seed for the initial weights, the held-out rows, the order of the rows and the units that start anew. The same
        number gives the same weights, bit for bit, on the same machine, for any number of threads.
    verbose : int, default=0
        1 prints a line for some of the epochs, 2 for all of them.

    Attributes
    ----------
    encoder_coef_ : ndarray of shape (n_components, n_features)
        Encoder weights W. Like all weights, they have the dtype of the training data.
    encoder_intercept_ : ndarray of shape (n_components,)
        Encoder biases b.
    decoder_coef_ : ndarray of shape (n_features, n_components)
        Decoder weights V.
    decoder_intercept_ : ndarray of shape (n_features,)
        Decoder biases c.
    components_ : ndarray of shape (n_components, n_features)
        The atoms, each of norm 1, as in `sklearn.decomposition.DictionaryLearning`.
    threshold_ : float or None
        With ``selection="batchtopk"``, what an element of z has to reach to be active: the number that k elements of a
        training row reach on average. None with "topk".
    activation_frequency_ : ndarray of shape (n_components,)
        Share of the training rows, by weight, on which each unit is active.
    dead_fraction_ : float
        Share of the units that are active on no training row.
    loss_ : float
        Mean squared error of the training rows, summed over features.
    n_iter_ : int
        Number of epochs.
    history_ : dict of ndarrays of shape (n_iter_,)
        "loss"; "fvu", the fraction of the variance of X that is not explained; "active_units" of a row on average;
        "dead_fraction", the share of units that were not active in the epoch; with early stopping, "validation_loss".
        They are recorded while the weights change during an epoch. The last entry describes the fitted weights over
        all training rows, unless the fit was interrupted.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if all are strings.

    Warns
    -----
    HiddenUnitWarning
        If at least a twentieth of the units are dead.
    ConvergenceWarning
        If ``max_iter`` is reached before the loss has settled; if it has risen; if the fit explains hardly any of the
        variance of X.

    See Also
    --------
    SparseAutoencoderTransformer : Sparse codes by a penalty, with any number of active units.
    sklearn.decomposition.MiniBatchDictionaryLearning : Sparse codes that are computed by optimisation for every row.

    Notes
    -----
    Training sees rows as (x - mean) / scale, with a scale for which their mean squared norm is 1. So a fit depends
    neither on the units of X nor on its mean; the parameters are converted to those for X itself afterwards. The
    published form :math:`z = W (x - c) + b` describes the same models, but ties c to the encoder; here c has a gradient
    of its own, which needs no sum over units.

    Unlike in the usual Adam, a step changes only the units that are active in its batch, and their averages of the
    gradient. If the averages of the other units decayed meanwhile, a unit's first step after a pause would be many
    times as long as the others, and units would die of it.

    The defaults were chosen on digits, standardised tables, MNIST, GloVe vectors of words, embeddings of texts and
    images, and planted dictionaries. On 20000 images of MNIST (1024 units, k=32, 10 epochs) they leave 10.6 % of the
    variance unexplained, of planted rows (1536 units, k=20) 24 % (``benchmarks/topk_quality.py``); a constant step
    size leaves more. Steps that shrink faster are a little better on MNIST, but recover fewer atoms from noisy rows.
    The step size does not depend on ``max_iter``, so that a fit can be continued.

    References
    ----------
    .. [1] A. Makhzani and B. Frey, "k-sparse autoencoders", 2013.
    .. [2] L. Gao et al., "Scaling and evaluating sparse autoencoders", 2024.
    .. [3] B. Bussmann, P. Leask and N. Nanda, "BatchTopK sparse autoencoders", 2024.
    .. [4] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skl_sae import TopKAutoencoderTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> sae = TopKAutoencoderTransformer(n_components=64, k=8, random_state=0).fit(X)
    >>> H = sae.transform(X)
    >>> H.shape
    (1797, 64)
    >>> int(H.getnnz(axis=1).max())
    8
    """

    _from_all_rows = "activation_frequency_", "dead_fraction_"
    _training_class: ClassVar[type[Training]] = TopKTraining

    activation_frequency_: Float64Array
    threshold_: float | None
    _code: tuple[int, bool]
    n_components: int

    _parameter_constraints: dict[str, list[Any]] = BaseAutoencoder._parameter_constraints | {
        "k": [Interval(Integral, 1, None, closed="left"), None],
        "selection": [StrOptions({"topk", "batchtopk"})],
        "init": [StrOptions({"whitened", "random"})],
        "resample_dead": ["boolean"],
        "sparse_output": ["boolean"],
    }

    def __init__(
        self,
        n_components: int = 256,
        k: int | None = None,
        *,
        selection: Literal["topk", "batchtopk"] = "topk",
        init: Literal["whitened", "random"] = "whitened",
        resample_dead: bool = True,
        batch_size: int = 512,
        learning_rate_init: float = 4e-3,
        shuffle: bool = True,
        max_iter: int = 300,
        tol: float = 5e-3,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        sparse_output: bool = True,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.k = k
        self.selection = selection
        self.init = init
        self.resample_dead = resample_dead
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.shuffle = shuffle
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.sparse_output = sparse_output
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on X.

        An exception leaves the estimator unchanged. So does an interrupt (Ctrl-C), unless ``warm_start`` is set: then
        weights and history after the last complete epoch are kept (with ``early_stopping``, the best weights), but
        ``activation_frequency_`` and ``dead_fraction_`` are not, and the next `fit` continues from there.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            At least two rows, all finite. Sparse matrices are converted to CSR and made dense in blocks of rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows; only their ratios matter. A row of weight 0 does not count at all.
            Default: equal weights.

        Returns
        -------
        self : TopKAutoencoderTransformer

        Raises
        ------
        ValueError
            If the data or the parameters are invalid; raised before any work is done.
        DivergenceError
            If the loss becomes infinite or NaN; a subclass of ValueError.
        """
        return self._fit(X, y, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on a chunk of rows for one epoch, continuing from the last call.

        Chunks should be random samples of the data. The first one decides where training starts and how rows are
        scaled. Weights, the state of Adam and the random state carry over, including through pickling.
        ``threshold_``, ``activation_frequency_``, ``dead_fraction_``, ``loss_`` and the last entry of ``history_``
        describe the latest chunk. ``early_stopping``, ``verbose`` and callbacks have no effect, and there are no
        warnings.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`: only their ratios within the chunk matter.

        Returns
        -------
        self : TopKAutoencoderTransformer

        Raises
        ------
        ValueError
            If the data or the parameters are invalid; raised before any work is done.
        DivergenceError
            If the loss becomes infinite or NaN; a subclass of ValueError. The estimator is left unchanged.
        """
        return self._partial_fit(X, sample_weight)

    @lazy_on_dask("units")
    def transform(self, X: MatrixLike) -> csr_matrix | csr_array | FloatArray:
        """Encode every row x as h, the active elements of W x + b.

        Given a dask array, this and all other row-wise methods return a lazy dask array; `transform` needs
        ``sparse_output=False`` for that.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        H : {csr_matrix, csr_array, ndarray} of shape (n_samples, n_components)
            Activations of the hidden units, in the dtype of X; see ``sparse_output``.
        """
        rows = self._check_rows(X)
        self._check_output()
        codes = encode(self._network(rows.dtype), rows)
        if not self.sparse_output:
            return codes.toarray()
        return csr_matrix(codes) if get_config().get("sparse_interface", "spmatrix") == "spmatrix" else codes

    @lazy_on_dask("features")
    def inverse_transform(self, X: MatrixLike) -> FloatArray:
        """Decode every code h as V h + c.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_components)
            Codes, as returned by `transform`.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Reconstructions, in the dtype of the codes.
        """
        codes = self._check_codes(X)
        return decode(self._network(codes.dtype), codes)

    @lazy_on_dask()
    def reconstruction_error(self, X: MatrixLike, per_feature: bool = False) -> FloatArray:
        r"""Squared reconstruction error of every row, :math:`\lVert x - \hat x \rVert^2`.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
        per_feature : bool, default=False
            Whether to return the error of each feature separately, which shows what made a row anomalous.

        Returns
        -------
        error : ndarray of shape (n_samples,), or (n_samples, n_features) if ``per_feature``
            In squared units of X, in the dtype of X.
        """
        rows = self._check_rows(X)
        return squared_errors(self._network(rows.dtype), rows, per_feature)

    @property
    def components_(self) -> FloatArray:
        """The atoms, ndarray of shape (n_components, n_features)."""
        check_is_fitted(self)
        return self.decoder_coef_.T

    @property
    def _n_features_out(self) -> int:
        return len(self.encoder_coef_)

    def _check_parameters(self, takes_noise: bool = False) -> None:
        if self.k is not None and self.k > self.n_components:
            raise ValueError(
                f"The 'k' parameter of {type(self).__name__} must be at most n_components={self.n_components}: it "
                f"counts active units. Got {self.k} instead."
            )

    def _settings(self, **changed: Any) -> SimpleNamespace:
        return super()._settings(**{"solver": "adam", "adam_start": 0} | changed)

    def _check_parameters_for_dask(self) -> None:
        raise ValueError(
            f"{type(self).__name__} is fitted to rows in memory, or mapped from a file. For the chunks of a dask array "
            "use dask_ml.wrappers.Incremental."
        )

    def _wants_frame(self) -> bool:
        return _get_output_config("transform", self)["dense"] != "default"

    def _check_output(self) -> None:
        if self.sparse_output and self._wants_frame():
            raise ValueError(
                "Data frames hold no sparse codes: Pandas output does not support sparse data. Set sparse_output=False "
                "to output dense codes or use set_output(transform='default')."
            )

    def _apply_lazily(
        self, method: str, X: Any, columns: str | None, dtype: DTypeLike | None, settings: dict[str, Any]
    ) -> Any:
        if method == "transform" and (self.sparse_output or self._wants_frame()):
            raise ValueError(
                "transform of a dask array returns a dask array of dense blocks. Set sparse_output=False, and use "
                "set_output(transform='default')."
            )
        return super()._apply_lazily(method, X, columns, dtype, settings)

    def _check_codes(self, H: Any) -> Any:
        if is_dask(H):
            return super()._check_codes(H)
        check_is_fitted(self)
        with np.errstate(invalid="ignore"):
            H = check_array(native(H), accept_sparse="csr", dtype=DTYPES, order="C", input_name="X")
        self._check_width(H)
        return SparseRows.from_matrix(H if issparse(H) else csr_array(H)).S

    def _check_state(self) -> None:
        super()._check_state()
        k, threshold, m = self._code[0], self.threshold_, len(self.encoder_coef_)
        if not 1 <= k <= m or not (threshold is None or threshold > 0) or self._code[1] != (threshold is not None):
            raise ValueError(
                f"The fitted code of this {type(self).__name__} must have from 1 to {m} active units, and a positive "
                f"threshold or none; got {self._code} and {threshold}."
            )

    def _differs(self, parts: Any) -> str | None:
        code = tuple(Code.of(self))
        return None if self._code == code else f"from k={self._code[0]} with k={code[0]}, selection={self.selection!r}"

    def _network(self, dtype: DTypeLike) -> TopKNetwork:
        W, b, V, c = self._parameters(dtype)
        k, by_batch = self._code
        return network(W, b, V, c, k, self.threshold_ if by_batch else None)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
