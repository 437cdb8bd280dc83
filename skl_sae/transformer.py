"""SparseAutoencoderTransformer: learned sparse features as a scikit-learn transformer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from ._base import BaseSparseAutoencoder, ReconstructionScoresMixin, lazy_on_dask
from ._model import Network
from ._types import FloatArray, MatrixLike, _fit_context

if TYPE_CHECKING:
    from sklearn.utils import Tags


class SparseAutoencoderTransformer(
    ReconstructionScoresMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseSparseAutoencoder
):
    r"""Sparse autoencoder: a code from which X can be reconstructed, with a penalty on how active its units are.

    The encoder :math:`h = f(W x + b)` and the decoder :math:`\hat x = g(W' h + b')` are trained together to minimise

    .. math::

        L = \frac{1}{N} \sum_i \lVert x_i - \hat x_i \rVert^2
            + \beta \sum_j \mathrm{KL}(\rho \,\Vert\, \hat\rho_j)
            + \alpha \left( \lVert W \rVert_F^2 + \lVert W' \rVert_F^2 \right)

    where :math:`\hat\rho_j = \frac{1}{N} \sum_i h_{ij}` is the mean activation of hidden unit j [1]_. The error is
    summed over features and averaged over rows; biases do not decay; every figure the estimator reports (``loss_``,
    ``history_``, printed lines) is in these units. For a sigmoid code, KL is the divergence between Bernoulli
    variables, :math:`\rho \log(\rho/\hat\rho) + (1-\rho) \log((1-\rho)/(1-\hat\rho))`. For a ReLU code, whose mean
    activation may exceed 1, it is the divergence between Poisson variables,
    :math:`\rho \log(\rho/\hat\rho) - \rho + \hat\rho`. Where :math:`\hat\rho` is within a millionth of the end of its
    range (:math:`10^{-6} \rho`, :math:`1 - 10^{-6} (1-\rho)`), KL is replaced by its tangent, so that value and
    gradient stay finite.

    Parameters
    ----------
    n_components : int, default=100
        Number of hidden units m. May exceed the number of features.
    rho : float, default=0.1
        Target mean activation of every hidden unit: strictly between 0 and 1 for ``activation="sigmoid"``, any positive
        number for ``"relu"``.
    beta : float, default=3.0
        Weight of the sparsity term, at least 0. Raise it if ``mean_activation_`` stays far from ``rho``, as it does
        when the reconstruction error is large (hundreds of standardised features).
    alpha : float, default=1e-3
        Weight decay, at least 0. Without it, a unit can carry any signal in tiny changes of its activation around
        ``rho``; decay of the decoder weights makes activations large and thus the code sparse.
    penalty : {"kl", "l1"}, default="kl"
        Sparsity penalty on the mean activation of every hidden unit.

        - "kl": :math:`\mathrm{KL}(\rho \,\Vert\, \hat\rho_j)`, which pulls it towards ``rho``.
        - "l1": :math:`\hat\rho_j` itself, so that the term is ``beta`` times the L1 norm of the codes averaged over the
          rows, as in sparse coding [6]_. It pulls activations towards 0, many of them to exactly 0 with
          ``activation="relu"``. ``rho`` only sets where training starts. Use a ``beta`` of 0.1 to 1 for standardised
          data: larger values switch units off.
    activation : {"sigmoid", "relu"}, default="sigmoid"
        Activation f of the hidden units.
    output_activation : {"identity", "sigmoid", "relu"}, default="identity"
        Activation g of the output. "sigmoid" is for data in [0, 1], "relu" for non-negative data; data outside the
        range trigger a `DataRangeWarning`.
    tied_weights : bool, default=False
        Whether the decoder weights are the transpose of the encoder weights. They still count twice in the weight
        decay.
    solver : {"lbfgs", "adam"}, default="lbfgs"
        - "lbfgs": L-BFGS [2]_ over all rows at once, with the exact gradient and without a learning rate. Use it for up
          to about ten thousand rows, and beyond that with ``adam_start``.
        - "adam": Adam [3]_ over mini-batches, with the mean activation taken over each batch. Use it for more rows. On
          small data, with few batches per epoch, it makes little progress per epoch: raise ``learning_rate_init``,
          lower ``tol``, or use "lbfgs".
    batch_size : int, default=100
        Maximum number of rows in a mini-batch (Adam). Rows are distributed evenly: 1701 rows with ``batch_size=100``
        make 18 batches of 94 or 95. The sparsity term needs enough rows for a mean activation; use at least a few tens.
    learning_rate_init : float, default=1e-3
        Step size of Adam.
    shuffle : bool, default=True
        Whether Adam visits the rows in a new order in every epoch.
    adam_start : int, default=0
        With ``solver="lbfgs"``, the number of epochs of Adam to run first (with ``batch_size``, ``learning_rate_init``
        and ``shuffle``). Above about ten thousand rows, 10 to 20 epochs cost about as much as the same number of L-BFGS
        iterations and save many more. They count in ``history_`` and ``n_iter_``, but not towards ``max_iter``.
    max_iter : int, default=1000
        Maximum number of iterations (L-BFGS) or epochs (Adam as the solver). Reaching it triggers a
        `ConvergenceWarning`.
    tol : float, default=5e-3
        Training stops when the loss has not fallen by ``tol`` times its value within ``n_iter_no_change`` iterations.
        This tolerance is relative, unlike in scikit-learn's MLP, because L grows with the number and the scale of the
        features. 0 trains until nothing improves or ``max_iter`` is reached.
    n_iter_no_change : int, default=10
        See ``tol``.
    early_stopping : bool, default=False
        Whether to hold out rows, monitor L on these rows instead of the training rows, and keep the weights for which
        it was lowest; these may be the initial weights. Works with both solvers.
    validation_fraction : float, default=0.1
        Fraction of the rows held out by ``early_stopping``.
    noise : float, default=0.0
        Standard deviation of Gaussian noise that Adam adds to the input, while the reconstruction is still compared
        with the clean rows (a denoising autoencoder [4]_). 0 adds none. Needs ``solver="adam"``.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of an earlier `fit` of the same architecture instead of starting from
        new random ones. ``n_iter_`` and ``history_`` continue as well, and the solvers resume as if they had not
        stopped: two fits of 5 epochs or iterations give the same weights as one of 10, bit for bit. After
        ``early_stopping``, which keeps the best weights, the solvers restart from these. The state of the solvers is
        kept and saved with the estimator: Adam's moments are twice as large as the weights, the curvature for L-BFGS up
        to 20 times as large. A later fit does not repeat ``adam_start``.
    random_state : int, RandomState instance or None, default=None
        Seed for the initial weights, the held-out rows, the order of the rows and the noise. The same number gives the
        same weights, bit for bit, on the same machine, for any number of threads.
    verbose : int, default=0
        1 prints a line with the iteration, the elapsed seconds, the loss, its terms and the mean activation for the
        first ten iterations, every tenth up to 100, every hundredth after that, and the final weights; 2 prints every
        iteration. Lines are plain text in aligned columns, for terminals, notebooks and log files.

    Attributes
    ----------
    encoder_coef_ : ndarray of shape (n_components, n_features)
        Encoder weights W. Like all weights, they have the dtype of the training data.
    encoder_intercept_ : ndarray of shape (n_components,)
        Encoder biases b.
    decoder_coef_ : ndarray of shape (n_features, n_components)
        Decoder weights W'.
    decoder_intercept_ : ndarray of shape (n_features,)
        Decoder biases b'.
    components_ : ndarray of shape (n_components, n_features)
        ``encoder_coef_`` under the name used by `sklearn.neural_network.BernoulliRBM`.
    mean_activation_ : ndarray of shape (n_components,)
        Mean activation of every hidden unit over the training rows, excluding held-out rows.
    loss_ : float
        L at the fitted weights over the training rows.
    n_iter_ : int
        Number of iterations (L-BFGS) or epochs (Adam), including those of ``adam_start``.
    history_ : dict of ndarrays of shape (n_iter_,)
        "loss" and its terms as they enter the sum, "reconstruction", "sparsity" and "weight_decay"; "mean_activation",
        averaged over the hidden units; with early stopping, "validation_loss". Adam records these while the weights
        change during an epoch: the error is averaged over the batches, and the sparsity term is that of the epoch's
        mean activation. The last entry describes the fitted weights over all training rows, without noise, unless the
        fit was interrupted.
    dead_fraction_ : float
        Fraction of the hidden units that are never active on the training rows: no activation above 0.01 (sigmoid) or 0
        (ReLU).
    saturated_fraction_ : float
        Fraction of the units that are always fully active: no activation below 0.99 (sigmoid); 0 for ReLU, which has no
        upper limit.
    constant_fraction_ : float
        Fraction of the units whose activations on the training rows span at most a hundredth of their highest one.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if all are strings.

    Warns
    -----
    HiddenUnitWarning
        If at least a twentieth of the units are dead, saturated or constant, if most units hardly vary or have a
        mean activation far above ``rho``, or if the penalties outweigh small values. The message names the worst
        problem, its cause and a remedy.
    DataRangeWarning
        If X has values outside the range of ``output_activation``.
    ConvergenceWarning
        If ``max_iter`` is reached, or L-BFGS finds no further step, before the loss has settled; if the loss has risen
        with Adam; if the fit explains hardly any of the variance of X.

    See Also
    --------
    sklearn.decomposition.MiniBatchDictionaryLearning : Sparse codes from an L1 penalty on each row.
    sklearn.neural_network.BernoulliRBM : Hidden units of a generative model.

    Notes
    -----
    Initial weights are uniform in :math:`\pm\sqrt{6 / (d + m)}` [5]_ for d features. Initial biases centre both layers:
    the mean row of X gives every unit the activation ``rho``, and the code with every unit at ``rho`` decodes to the
    mean row.

    The defaults of ``beta``, ``alpha``, ``tol`` and ``max_iter`` were chosen on digits, breast cancer, wine and 4000
    images of MNIST, each once standardised and once scaled to [0, 1], with 100 components;
    ``python benchmarks/defaults.py`` prints the figures. Fits with these defaults explain at least 98 % of the variance
    of the small sets when standardised and 87 % in [0, 1], and 73 % and 86 % of the variance of MNIST. The mean
    activation is within 0.013 of ``rho`` on average (standardised MNIST: 0.08, or 0.03 with ``beta=10``). The accuracy
    of a linear classifier on the code differs from that on the raw features by -0.007 to +0.012 (standardised) and
    -0.014 to +0.024 (in [0, 1]), and is higher on digits and MNIST. With few features in [0, 1], whose variance is
    small compared with the penalties, units reach the target mean but vary little around it: standardise such data.

    How sparse the code is (``benchmarks/sparsity.py``: thirteen small sets, standardised, 100 units): the share of
    activations below 0.05 and of exact zeros on the least sparse set, and the change from the defaults on the worst
    set / on average, in points of explained variance and of accuracy or R² of a linear model on the code.

    ===========================  ======  =====  ==================  ============
    setting                      < 0.05  zeros  explained variance  linear model
    ===========================  ======  =====  ==================  ============
    defaults                          8      0
    rho=0.045, alpha=3e-4            63      0  -1.0 / -0.3         -1.4 / -0.0
    rho=0.02                         84      0  -5.0 / -2.9         -7.9 / -0.7
    activation="relu"                48     35  +0.0 / +0.2         -8.4 / -0.9
    activation="relu", rho=0.05      62     50  -0.7 / -0.1         -4.0 / +0.0
    ===========================  ======  =====  ==================  ============

    So the code is not very sparse with the defaults: 8 to 43 % of the activations are below 0.05. ``rho=0.045`` only
    moves the mean below that mark. ``activation="relu", rho=0.05`` gives a code in which about half of the activations
    or more are exactly zero, and explains about as much. It is not the default because a linear model lost more than a
    point on four of the thirteen sets; on MNIST a ReLU code cost it two points (``benchmarks/mnist_probe.py``). On
    thirteen sets of ADBench with two other seeds, which had no part in these choices, the figures are 69, 55,
    -0.7 / -0.1, -4.0 / +0.5 for the last setting and 85, 0, -4.1 / -2.6, -6.3 / -0.3 for ``rho=0.02``.

    ``benchmarks/sparsity.py --data mnist.npz`` shows the effect of ``rho`` and ``beta`` on MNIST (200 units, 10000
    images): without the sparsity term, a linear classifier on the code reaches 91.2 to 91.6 %; with ``rho`` from 0.05
    to 0.1 and ``beta`` from 0.3 to 6, it stays within a point of the best, 95.4 %. With Adam, batches of 100,
    ``rho=0.1``, ``beta=3`` and 256 units, it reaches 96.9 % on a code trained with ``output_activation="sigmoid"`` and
    94.8 % with "identity", which does not require data in [0, 1] and is therefore the default
    (``benchmarks/mnist_probe.py``). A running mean of the activations instead of the batch mean lets units stray
    further from ``rho`` and was rejected. ``adam_start`` pays off on natural images: 50 epochs and 200 iterations give
    88 % edge filters (``benchmarks/natural_images.py``), 400 iterations alone take longer and give fewer.

    float32 and float64 data keep their dtype throughout; other data are converted to float64. Losses and mean
    activations are summed in float64 in both cases. Rows so large that a code, a reconstruction or a squared error
    overflows raise a ValueError.

    References
    ----------
    .. [1] A. Ng, "Sparse autoencoder", CS294A lecture notes, Stanford University, 2011.
    .. [2] D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical
       Programming 45, 1989.
    .. [3] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    .. [4] P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, "Extracting and composing robust features with
       denoising autoencoders", ICML 2008.
    .. [5] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
       2010.
    .. [6] B. A. Olshausen and D. J. Field, "Emergence of simple-cell receptive field properties by learning a sparse
       code for natural images", Nature 381, 1996.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skl_sae import SparseAutoencoderTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> sae = SparseAutoencoderTransformer(n_components=25, random_state=0).fit(X / 16)
    >>> sae.transform(X / 16).shape
    (1797, 25)
    >>> bool(abs(sae.mean_activation_ - sae.rho).max() < 0.02)
    True
    >>> sae.reconstruction_error(X / 16).shape
    (1797,)
    """

    n_components: int

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on X.

        An exception leaves the estimator unchanged. So does an interrupt (Ctrl-C), unless ``warm_start`` is set: then
        weights and history after the last complete iteration are kept (with ``early_stopping``, the best weights), but
        ``mean_activation_`` and the fractions of dead, saturated and constant units are not, and the next `fit`
        continues from there.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
            At least two rows, all finite. Sparse matrices are converted to CSR; they are made dense only in blocks of
            rows, and not at all with ``solver="lbfgs"`` and identity output where that is faster. The blocks of a dask
            array stay on its workers, which return sums; this requires ``solver="lbfgs"`` without ``adam_start`` or
            ``early_stopping``.
        y : Ignored
            Present for API consistency.
        sample_weight : {array-like, dask array} of shape (n_samples,), default=None
            Non-negative weights of the rows; only their ratios matter. In L and in the mean activations, a row of
            weight 2 counts as two identical rows, and one of weight 0 not at all. Adam normalises the weights in each
            mini-batch. Default: equal weights.

        Returns
        -------
        self : SparseAutoencoderTransformer

        Raises
        ------
        ValueError
            If the data or the parameters are invalid; raised before any work is done.
        DivergenceError
            If the loss becomes infinite or NaN; a subclass of ValueError. The message says what to change.
        """
        return self._fit(X, y, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on a chunk of rows for one epoch of Adam, whatever ``solver`` is, continuing from the last call.

        Weights, Adam's moments and step count, and the random state carry over, including through pickling and from a
        `fit` with ``warm_start=True``. As in `fit` with Adam, the sparsity term uses the mean activation of each
        mini-batch. Earlier chunks do not enter it, so chunks should be random samples of the data with at least
        ``batch_size`` rows. ``mean_activation_``, ``loss_``, the last entry of ``history_`` and the fractions of dead,
        saturated and constant units describe the latest chunk; ``history_`` gains one entry per call.
        ``early_stopping``, ``verbose`` and callbacks have no effect, and the only warning is `DataRangeWarning`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`: only their ratios within the chunk matter.

        Returns
        -------
        self : SparseAutoencoderTransformer

        Raises
        ------
        ValueError
            If the data or the parameters are invalid; raised before any work is done.
        DivergenceError
            If the loss becomes infinite or NaN; a subclass of ValueError. The estimator is left unchanged.
        """
        return self._partial_fit(X, sample_weight)

    @lazy_on_dask("units")
    def transform(self, X: MatrixLike) -> FloatArray:
        """Encode every row x as h = f(W x + b).

        Given a dask array, this and all other row-wise methods return a lazy dask array.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            Activations of the hidden units, in the dtype of X.
        """
        return self._apply(Network.encode, X)

    @lazy_on_dask("features")
    def inverse_transform(self, X: ArrayLike) -> FloatArray:
        """Decode every code h as g(W' h + b').

        Parameters
        ----------
        X : {array-like, dask array} of shape (n_samples, n_components)
            Codes, as returned by `transform`.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Reconstructions, in the dtype of the codes.
        """
        codes = self._check_codes(X)
        return self._network(codes.dtype).decode(codes)

    @lazy_on_dask()
    def reconstruction_error(self, X: MatrixLike, per_feature: bool = False) -> FloatArray:
        r"""Squared reconstruction error of every row, :math:`\lVert x - \hat x \rVert^2`.

        Its mean over the training rows is the first term of L.

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
        return self._apply(functools.partial(Network.squared_errors, per_feature=per_feature), X)

    def _apply_lazily(
        self, method: str, X: MatrixLike, columns: str | None, dtype: Any, settings: dict[str, Any]
    ) -> Any:
        if method == "transform" and _get_output_config("transform", self)["dense"] != "default":
            raise ValueError(  # as scikit-learn refuses to turn sparse results into a data frame
                "transform of a dask array returns a dask array, not a frame. Use set_output(transform='default')."
            )
        return super()._apply_lazily(method, X, columns, dtype, settings)

    @property
    def components_(self) -> FloatArray:
        """Encoder weights, ndarray of shape (n_components, n_features)."""
        check_is_fitted(self)
        return self.encoder_coef_

    @property
    def _n_features_out(self) -> int:
        return len(self.encoder_coef_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
