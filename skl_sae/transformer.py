"""SparseAutoencoderTransformer: learned sparse features as a scikit-learn transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from ._base import BaseSparseAutoencoder
from ._rows import as_rows, check_weights, in_use, is_dask, moments, without_weightless
from ._types import FloatArray, MatrixLike, _fit_context

if TYPE_CHECKING:
    from sklearn.utils import Tags


class SparseAutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseSparseAutoencoder):
    r"""Sparse autoencoder: a code of mostly inactive hidden units from which the input is reconstructed.

    The encoder :math:`h = f(W x + b)` and the decoder :math:`\hat x = g(W' h + b')` are trained together to minimise

    .. math::

        L = \frac{1}{N} \sum_i \lVert x_i - \hat x_i \rVert^2
            + \beta \sum_j \mathrm{KL}(\rho \,\Vert\, \hat\rho_j)
            + \alpha \left( \lVert W \rVert_F^2 + \lVert W' \rVert_F^2 \right)

    where :math:`\hat\rho_j = \frac{1}{N} \sum_i h_{ij}` is the mean activation of hidden unit j [1]_. The error is
    summed over features and averaged over rows; biases do not decay; every figure that the estimator gives
    (``loss_``, ``history_``, printed lines) is in these units. KL is that of Bernoulli variables for a sigmoid code,
    :math:`\rho \log(\rho/\hat\rho) + (1-\rho) \log((1-\rho)/(1-\hat\rho))`, and that of Poisson variables,
    :math:`\rho \log(\rho/\hat\rho) - \rho + \hat\rho`, for a ReLU code, whose mean activation may pass 1. Where
    :math:`\hat\rho` is within a millionth of the end of its range (:math:`10^{-6} \rho`, :math:`1 - 10^{-6}
    (1-\rho)`), KL goes on as its tangent, so that value and gradient stay finite.

    Parameters
    ----------
    n_components : int, default=100
        Number of hidden units m. More than there are features is allowed.
    rho : float, default=0.1
        Wanted mean activation of every hidden unit: between 0 and 1, both excluded, for ``activation="sigmoid"``, any
        positive number for ``"relu"``.
    beta : float, default=3.0
        Weight of the sparsity term, at least 0. Raise it where ``mean_activation_`` stays away from ``rho``, as it
        does when the reconstruction error is large (hundreds of standardised features).
    alpha : float, default=1e-3
        Weight decay, at least 0. Without it a unit can carry any signal in tiny changes of its activation around
        ``rho``: decay of the decoder makes activations large, and so the code sparse.
    activation : {"sigmoid", "relu"}, default="sigmoid"
        Activation f of the hidden units.
    output_activation : {"identity", "sigmoid", "relu"}, default="identity"
        Activation g of the output. "sigmoid" is for data in [0, 1], "relu" for data that are not negative; data outside
        the range give a `DataRangeWarning`.
    tied_weights : bool, default=False
        Whether the decoder's weights are the transposed weights of the encoder. They still count twice in the weight
        decay.
    solver : {"lbfgs", "adam"}, default="lbfgs"
        - "lbfgs": L-BFGS [2]_ over all rows at once, with the exact gradient and without a learning rate. The choice
          up to some ten thousand rows, and beyond with ``adam_start``.
        - "adam": Adam [3]_ over mini-batches, with the mean activation taken over each batch. The choice for more
          rows. On small data, with few batches an epoch, it moves little from epoch to epoch: raise
          ``learning_rate_init`` or lower ``tol`` there, or take "lbfgs".
    batch_size : int, default=100
        Most rows of a mini-batch (Adam). The rows are dealt out evenly: 1701 rows with ``batch_size=100`` make 18
        batches of 94 or 95. The sparsity term needs enough rows for a mean activation; take some tens at least.
    learning_rate_init : float, default=1e-3
        Step size of Adam.
    shuffle : bool, default=True
        Whether Adam meets the rows in a new order in every epoch.
    adam_start : int, default=0
        With ``solver="lbfgs"``, so many epochs of Adam come first (with ``batch_size``, ``learning_rate_init`` and
        ``shuffle``). From some ten thousand rows on, 10 to 20 epochs cost as much as about as many iterations of
        L-BFGS and save many more of them. They stand in ``history_`` and ``n_iter_``; ``max_iter`` does not count them.
    max_iter : int, default=1000
        Most iterations (L-BFGS) or epochs (Adam as the solver). Reaching it gives a `ConvergenceWarning`.
    tol : float, default=5e-3
        Training stops when the loss has not fallen by ``tol`` times its size within ``n_iter_no_change`` iterations.
        This tolerance is relative, unlike that of scikit-learn's MLP, since L grows with the number and the scale of
        the features. 0 trains until nothing improves or ``max_iter`` is reached.
    n_iter_no_change : int, default=10
        See ``tol``.
    early_stopping : bool, default=False
        Whether to hold out rows, to judge by L on these rows instead, and to keep the weights for which it was
        lowest, those at the start included. Both solvers.
    validation_fraction : float, default=0.1
        Part of the rows held out by ``early_stopping``.
    noise : float, default=0.0
        Standard deviation of Gaussian noise that Adam adds to the input, while the reconstruction is still compared
        with the clean rows (a denoising autoencoder [4]_). 0 adds none. Needs ``solver="adam"``.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of an earlier `fit` of the same architecture instead of new random ones.
        ``n_iter_`` and ``history_`` go on, and so do the solvers, as if they had not stopped: two fits of 5 epochs or
        iterations give the weights of one of 10, bit by bit. After ``early_stopping``, which keeps the best weights,
        they start anew from these. What they remember is kept and saved with the estimator: Adam the moments, twice
        as large as the weights, L-BFGS the curvature, up to 20 times. Another fit does not repeat ``adam_start``.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the held-out rows, the order of the rows and the noise. The same number gives the
        same weights, bit by bit, on the same machine with the same number of BLAS threads, which
        matters for large models only (n_features * n_components > 8192).
    verbose : int, default=0
        1 prints iteration, loss, its terms and mean activation for the first ten iterations, then for every tenth,
        from 100 on for every hundredth, and for the last; 2 prints every iteration.

    Attributes
    ----------
    encoder_coef_ : ndarray of shape (n_components, n_features)
        Encoder weights W, in the dtype of the training data, as all weights.
    encoder_intercept_ : ndarray of shape (n_components,)
        Encoder biases b.
    decoder_coef_ : ndarray of shape (n_features, n_components)
        Decoder weights W'.
    decoder_intercept_ : ndarray of shape (n_features,)
        Decoder biases b'.
    components_ : ndarray of shape (n_components, n_features)
        ``encoder_coef_`` under the name that `sklearn.neural_network.BernoulliRBM` gives it.
    mean_activation_ : ndarray of shape (n_components,)
        Mean activation of every hidden unit over the training rows (without those held out).
    loss_ : float
        L at the fitted weights over the training rows.
    n_iter_ : int
        Number of iterations (L-BFGS) or epochs (Adam), those of ``adam_start`` included.
    history_ : dict of ndarrays of shape (n_iter_,)
        "loss" and its terms as they enter the sum, "reconstruction", "sparsity" and "weight_decay"; "mean_activation",
        averaged over the hidden units; with early stopping "validation_loss". Adam notes what it met on its way through
        an epoch: the error averaged over the batches, the sparsity term of the mean activation of the epoch. The last
        entry always describes the fitted weights over all training rows, without noise.
    dead_fraction_ : float
        Share of the hidden units that are never active on the training rows: no activation above 0.01 (sigmoid), 0
        (ReLU).
    saturated_fraction_ : float
        Share of the units that are always fully active: no activation below 0.99 (sigmoid); 0 for ReLU, which has no
        upper end.
    constant_fraction_ : float
        Share of the units whose activations on the training rows span no more than a hundredth of the highest.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if all are strings.

    Warns
    -----
    HiddenUnitWarning
        After a fit that leaves dead, saturated or constant units, or a code in which most units hardly vary or have a
        mean activation far above ``rho``.
    DataRangeWarning
        When X leaves the range of ``output_activation``.
    ConvergenceWarning
        When ``max_iter`` is reached, or L-BFGS finds no further step, before the loss has settled; when the loss of
        Adam has risen; when the fit explains next to nothing of the variance of X.

    See Also
    --------
    sklearn.decomposition.MiniBatchDictionaryLearning : Sparse codes by an L1 penalty on each row.
    sklearn.neural_network.BernoulliRBM : Hidden units of a generative model.

    Notes
    -----
    Initial weights are uniform in :math:`\pm\sqrt{6 / (d + m)}` [5]_ for d features. Initial biases centre both
    layers: the mean row of X gives every unit the activation ``rho``, and the code with every unit at ``rho`` gives
    the mean row.

    The defaults of ``beta``, ``alpha``, ``tol`` and ``max_iter`` were chosen on digits, breast cancer, wine and 4000
    images of MNIST, each standardised and scaled to [0, 1], with 100 components: ``python benchmarks/defaults.py``
    prints the figures. They explain at least 98 % of the variance of the small sets standardised and 87 % in [0, 1],
    73 % and 86 % of MNIST; keep the mean activation within 0.013 of ``rho`` on average (standardised MNIST: 0.08;
    there ``beta=10`` gives 0.03); and a linear classifier on the code is as good as on the raw features to within
    0.011, better on digits and MNIST. The code is sparse on standardised data and on images: about 40 % of the
    activations are below 0.05 (18 % on digits in [0, 1], 17 % on standardised MNIST), and it gets sparser with a
    smaller ``rho``. On few features in [0, 1], whose variance is small against the penalties, units keep the wanted
    mean but vary little around it, and a `HiddenUnitWarning` says so: standardise such data.

    What ``rho`` and ``beta`` do on MNIST (200 units, 10000 images) shows ``benchmarks/sparsity.py``: without the
    sparsity term a linear classifier on the code gets 91.2 to 91.6 %; with ``rho`` from 0.05 to 0.1 and ``beta`` from
    0.3 to 6 it stays within a point of the best, 95.4 %. With Adam, batches of 100, ``rho=0.1``, ``beta=3`` and 256
    units it gets 96.8 % behind a code trained with ``output_activation="sigmoid"`` and 94.8 % with "identity", which
    does not ask for data in [0, 1] and so is the default (``benchmarks/mnist_probe.py``). A running mean of the
    activations in place of that of the batch lets units stray further from ``rho`` and was left out. ``adam_start``
    earned its place on natural images: 50 epochs and 200 iterations take a seventh of the time of 400 iterations and
    give 82 instead of 64 % edge filters (``benchmarks/natural_images.py``).

    float32 and float64 are kept throughout; other data become float64. Losses and mean activations are summed in
    float64 in both cases. Rows so large that a code, a reconstruction or a squared error overflows are refused with a
    ValueError.

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

        An exception leaves the estimator as it was before. An interrupt (Ctrl-C) does, too, unless ``warm_start`` is
        set: then weights and history after the last whole iteration are kept (with ``early_stopping`` the best
        weights), but no ``mean_activation_`` and shares of units, and another `fit` goes on from there.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
            At least two rows, finite. Sparse matrices are converted to CSR; dense they become in blocks of rows only,
            and with ``solver="lbfgs"`` and identity output, where it is faster, not at all. The blocks of a dask array
            stay on its workers, which return sums; this takes ``solver="lbfgs"`` without ``adam_start`` and
            ``early_stopping``.
        y : Ignored
            Present for scikit-learn's conventions.
        sample_weight : {array-like, dask array} of shape (n_samples,), default=None
            Weights of the rows, not negative, of which only ratios matter: in L and in the mean activations a row of
            weight 2 counts as two equal rows, one of weight 0 not at all. Adam normalises the weights in each
            mini-batch. Default: equal weights.

        Returns
        -------
        self : SparseAutoencoderTransformer

        Raises
        ------
        ValueError
            For bad data or parameters, before any work.
        DivergenceError
            A ValueError: the loss became infinite or NaN. The message says what to change.
        """
        return self._fit(X, y, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on a chunk of rows: one epoch of Adam over it, whatever ``solver`` is, from where the last call ended.

        Weights, moments, step count and the state of the random numbers go on, also through pickling and after `fit`
        with ``warm_start=True``. The mean activation of the sparsity term is that of each mini-batch, as in `fit` with
        Adam: nothing of earlier chunks enters it, so chunks should be random samples of the data, of ``batch_size``
        rows or more. ``mean_activation_``, ``loss_``, the last entry of ``history_`` and the shares of dead and other
        units describe the latest chunk; ``history_`` gets an entry a call. ``early_stopping``, ``verbose`` and
        callbacks have no effect, and nothing is said of convergence.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored
            Present for scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`; a chunk as a whole has no weight.

        Returns
        -------
        self : SparseAutoencoderTransformer

        Raises
        ------
        ValueError
            For bad data or parameters, before any work.
        DivergenceError
            A ValueError: the loss became infinite or NaN. The estimator is as it was before.
        """
        return self._partial_fit(X, sample_weight)

    def transform(self, X: MatrixLike) -> FloatArray:
        """Encode: h = f(W x + b) for every row.

        This, like all methods that give something for every row, makes of a dask array another one, lazily.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        H : ndarray of shape (n_samples, n_components)
            Activations of the hidden units, in the dtype of X.
        """
        if is_dask(X):
            self._check_container()
            return self._lazily("transform", X, "units")
        return self._encode(self._check_rows(X))

    def _check_container(self) -> None:
        """Refuse to make a frame of a lazy array, as scikit-learn refuses it for sparse results."""
        if _get_output_config("transform", self)["dense"] != "default":
            raise ValueError(
                "transform of a dask array gives a dask array, not a frame. Use set_output(transform='default')."
            )

    def inverse_transform(self, X: ArrayLike) -> FloatArray:
        """Decode: g(W' h + b') for every code.

        Parameters
        ----------
        X : {array-like, dask array} of shape (n_samples, n_components)
            Codes, as `transform` gives them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Reconstructions, in the dtype of the codes.
        """
        codes = self._check_codes(X)
        if is_dask(codes):
            return self._lazily("inverse_transform", codes, "features")
        return self._decode(codes)

    def reconstruction_error(self, X: MatrixLike, per_feature: bool = False) -> FloatArray:
        r"""Squared error of the reconstruction, :math:`\lVert x - \hat x \rVert^2`, for every row.

        Its mean over the training rows is the first term of L.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
        per_feature : bool, default=False
            Whether to keep the features apart; they show what made a row anomalous.

        Returns
        -------
        error : ndarray of shape (n_samples,) or, ``per_feature``, (n_samples, n_features)
            In squared units of X, in the dtype of X.
        """
        if is_dask(X):
            columns = "features" if per_feature else None
            return self._lazily("reconstruction_error", X, columns, per_feature=per_feature)
        return self._squared_error(self._check_rows(X), per_feature)

    def score_samples(self, X: MatrixLike) -> FloatArray:
        """Negative reconstruction error of every row: the higher, the more normal.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
        """
        return -self.reconstruction_error(X)

    def score(self, X: MatrixLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean of `score_samples`, so that a search without a scorer looks for the best reconstruction.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
        y : Ignored
            Present for scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.

        Returns
        -------
        score : float
        """
        with in_use(as_rows(self.score_samples(X).astype(np.float64)[:, None])) as scores:
            mean, _ = moments(*without_weightless(scores, check_weights(sample_weight, scores, 1)))
        return float(mean[0])

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
