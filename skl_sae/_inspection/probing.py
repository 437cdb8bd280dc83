"""What a few units tell about classes, and an autoencoder with random weights to compare with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.utils import check_array, check_consistent_length, check_random_state

from .._diagnostics import shares_of_units
from .._types import Float64Array, MatrixLike
from .association import as_classes, halves, problem_classes
from .models import Inspected, IntArray, check_count, column_means, unit_length
from .tables import as_html, as_text

if TYPE_CHECKING:
    import pandas as pd

ROWS_FOR_BIASES = 10_000  # of an autoencoder with random weights
LEAST_VARIANCE = 1e-6  # share of a feature's variance that those chosen before must leave unexplained


class SparseProbe:
    """Classifiers on a few features each: the result of `sparse_probe`.

    There is one problem for each class against the rest or, with two classes, a single one, for the second class.

    Attributes
    ----------
    score_ : float
        Mean of ``scores_``.
    scores_ : ndarray of shape (n_problems,)
        Scores on the held-out rows.
    classes_ : ndarray of shape (n_problems,)
        The class of each problem.
    features_ : list of n_problems ndarrays of ints
        Indices of the chosen features, in the order of choice; fewer than asked for if the others add nothing.
    classifiers_ : list of n_problems LogisticRegression
        Fitted to the chosen features, standardised.
    baselines_ : dict of SparseProbe
        The results for the baselines, by name.
    test_rows_ : ndarray of ints
        The held-out rows.
    """

    score_: float
    scores_: Float64Array
    classes_: NDArray[Any]
    features_: list[IntArray]
    classifiers_: list[LogisticRegression]
    baselines_: dict[str, SparseProbe]
    test_rows_: IntArray

    def to_frame(self) -> pd.DataFrame:
        """Return the scores as a pandas DataFrame: a row for each class, a column for the codes and each baseline."""
        import pandas as pd

        table = self._table()
        return pd.DataFrame(table).set_index("class")

    def _table(self) -> dict[str, list[Any]]:
        scores = {"codes": self.scores_} | {name: probe.scores_ for name, probe in self.baselines_.items()}
        return {"class": self.classes_.tolist(), **{name: values.tolist() for name, values in scores.items()}}

    def _shown(self) -> tuple[str, dict[str, list[Any]]]:
        table = self._table()
        if len(self.classes_) > 1:
            means = {name: float(np.mean(values)) for name, values in table.items() if name != "class"}
            table = {name: [*values, ({"class": "mean"} | means)[name]] for name, values in table.items()}
        return f"{type(self).__name__}: scores on {len(self.test_rows_)} held-out rows", table

    def __repr__(self) -> str:
        return as_text(*self._shown())

    def _repr_html_(self) -> str:
        return as_html(*self._shown())


def sparse_probe(
    codes: MatrixLike,
    y: ArrayLike,
    n_features: int = 16,
    *,
    baselines: Mapping[str, MatrixLike] | None = None,
    scoring: str | Callable[..., float] = "roc_auc",
    test_size: float = 0.25,
    random_state: int | np.random.RandomState | None = None,
) -> SparseProbe:
    """Classify by a few units alone, and by as many features of other kinds for comparison.

    If units stand for something, a few of them should identify a class [1]_. How many also depends on the
    data, so compare with raw features, principal components, and the units of an autoencoder with random weights
    (`frozen_random`), which do surprisingly well by many measures [2]_.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Activations, as returned by ``transform``.
    y : array-like of shape (n_samples,)
        Labels of two or more classes.
    n_features : int, default=16
        Number of features to choose for each class.
    baselines : dict of {array-like, sparse matrix} of shape (n_samples, n_any), default=None
        Other features of the same rows, by name, which are chosen and tested in the same way on the same rows.
    scoring : str or callable, default="roc_auc"
        Score of the binary classifiers: a name known to scikit-learn, or ``scorer(estimator, X, y)``.
    test_size : float, default=0.25
        Share of the rows that are held out, with the same shares of the classes. The others choose the features and
        train the classifiers.
    random_state : int, RandomState instance or None, default=None
        Seed of the split.

    Returns
    -------
    probe : SparseProbe

    Raises
    ------
    ValueError
        If codes, baselines and y differ in their numbers of rows, there are fewer features than asked for, all features
        are constant, y holds numbers with a fraction or only one class, a class has a single row, ``test_size`` leaves
        fewer rows than there are classes, or a baseline is called "codes".

    See Also
    --------
    select_features : Single units that are related to y, with p-values.

    Notes
    -----
    Features are chosen one at a time: each is the one that most lowers the squared error of a linear fit to the class
    (forward selection). A logistic regression is then fitted to the chosen ones, standardised. Finding the best set is
    intractable; the same search serves all contenders.

    References
    ----------
    .. [1] W. Gurnee et al., "Finding neurons in a haystack: case studies with sparse probing", TMLR 2023.
    .. [2] A. Korznikov et al., "Sanity checks for sparse autoencoders: do SAEs beat random baselines?", 2026.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skl_sae import TopKAutoencoderTransformer
    >>> from skl_sae.inspection import frozen_random, sparse_probe
    >>> X, y = load_digits(return_X_y=True)
    >>> sae = TopKAutoencoderTransformer(128, k=8, random_state=0).fit(X)
    >>> random = frozen_random(sae, X, random_state=1)
    >>> baselines = {"pixels": X, "random": random.transform(X)}
    >>> probe = sparse_probe(sae.transform(X), y, 4, baselines=baselines, random_state=0)
    >>> probe.score_ > probe.baselines_["random"].score_
    True
    """
    target = as_classes(y)
    contenders = {"codes": codes, **(baselines or {})}
    if "codes" in (baselines or {}):
        raise ValueError("A baseline cannot be called 'codes'.")
    if not 0 < test_size < 1:
        raise ValueError(f"test_size must lie between 0 and 1, got {test_size}.")
    matrices = {name: _check_matrix(matrix, name, n_features, y) for name, matrix in contenders.items()}
    train, test = halves(target, test_size, check_random_state(random_state))
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise TypeError(f"scoring must be one score, a str or a callable; got {scoring!r}.")
    scorer = check_scoring(LogisticRegression(), scoring)
    probes = {name: _probe(name, matrix, target, n_features, scorer, train, test) for name, matrix in matrices.items()}
    result = probes.pop("codes")
    result.baselines_ = probes
    return result


def _check_matrix(matrix: Any, name: str, n_features: int, y: Any) -> Any:
    matrix = check_array(matrix, accept_sparse="csr", dtype=(np.float64, np.float32), input_name=name)
    check_consistent_length(matrix, y)
    check_count("n_features", n_features)
    if n_features > matrix.shape[1]:
        raise ValueError(
            f"n_features must lie between 1 and {matrix.shape[1]}, the number of columns of {name}; got {n_features}."
        )
    return matrix


def _probe(
    name: str, matrix: Any, target: Any, n_features: int, scorer: Any, train: IntArray, test: IntArray
) -> SparseProbe:
    trained, tested = matrix[train], matrix[test]
    covariance = Covariance(trained)
    mean, scale = covariance.mean, np.sqrt(covariance.diagonal())
    if not scale.any():
        subject = "the codes" if name == "codes" else f"the baseline {name!r}"
        raise ValueError(
            f"All features of {subject} are constant on the training rows: there is nothing to choose from."
        )
    probe = SparseProbe()
    probe.test_rows_, probe.classes_ = test, np.asarray(problem_classes(target))
    probe.features_, probe.classifiers_, scores = [], [], []
    for column in target.columns.T:
        t = column[train] - column[train].mean()
        with_target = np.asarray(trained.T @ t, dtype=np.float64).ravel() / len(train) - mean * t.mean()
        chosen = choose_forward(covariance, with_target, n_features)
        parts = [(_dense(rows[:, chosen]) - mean[chosen]) / scale[chosen] for rows in (trained, tested)]
        classifier = LogisticRegression(max_iter=1000).fit(parts[0], column[train])
        probe.features_.append(chosen)
        probe.classifiers_.append(classifier)
        scores.append(scorer(classifier, parts[1], column[test]))
    probe.scores_ = np.array(scores)
    probe.score_ = float(probe.scores_.mean())
    return probe


def _dense(rows: Any) -> Float64Array:
    return np.asarray(rows.toarray() if issparse(rows) else rows, dtype=np.float64)


class Covariance:
    """The covariance of columns, by rows as they are needed where all of it would be larger than the data.

    Constant columns have variance 0.
    """

    def __init__(self, rows: Any) -> None:
        (n, m), self._whole = rows.shape, None
        self.mean = column_means(rows)
        if issparse(rows):
            self._rows = csr_array(rows, dtype=np.float64, copy=True)
            self._rows.sum_duplicates()
            places, values = self._rows.indices, self._rows.data
            squares = np.bincount(places, np.square(values - self.mean[places]), m)
            squares += (n - np.bincount(places, minlength=m)) * self.mean**2
        else:
            self._rows = rows - self.mean
            squares = np.einsum("ij,ij->j", self._rows, self._rows)
            if m <= n:
                self._whole = self._rows.T @ self._rows / n
        varies = _dense(rows.max(axis=0)).ravel() > _dense(rows.min(axis=0)).ravel()
        self._variance = np.where(varies, squares / n, 0)

    def diagonal(self) -> Float64Array:
        return self._variance

    def __getitem__(self, j: int) -> Float64Array:
        if self._whole is not None:
            return self._whole[j]
        column = _dense(self._rows[:, [j]])
        return np.asarray(self._rows.T @ (column - column.mean())).ravel() / len(column)


def choose_forward(covariance: Covariance | Float64Array, with_target: Float64Array, n_features: int) -> IntArray:
    """Return features by forward selection: each time the one that most lowers the squared error of a linear fit.

    It is a pivoted Cholesky decomposition, which keeps only the diagonal of the covariance that the chosen ones leave.
    """
    variance, left, with_target = covariance.diagonal(), covariance.diagonal(), with_target.copy()
    factors = np.empty((n_features, len(left)))
    chosen: list[int] = []
    while len(chosen) < n_features:
        free = left > LEAST_VARIANCE * variance
        free[chosen] = False
        if not free.any():
            break
        gain = np.divide(with_target**2, left, out=np.full_like(left, -1.0), where=free)
        j = int(gain.argmax())
        done = factors[: len(chosen)]
        factor = (covariance[j] - done.T @ done[:, j]) / np.sqrt(left[j])
        with_target = with_target - factor * (with_target[j] / np.sqrt(left[j]))
        left = left - factor**2
        factors[len(chosen)] = factor
        chosen.append(j)
    return np.array(chosen, dtype=np.intp)


def frozen_random(estimator: Any, X: MatrixLike, *, random_state: int | np.random.RandomState | None = None) -> Any:
    r"""Return a copy of a fitted autoencoder with random weights, in which only the biases fit the data.

    Whatever the copy does as well as the trained autoencoder is no achievement of the training [1]_.

    Parameters
    ----------
    estimator : TopKAutoencoderTransformer, SparseAutoencoderTransformer or Pipeline
        Fitted; it is not changed. In a Pipeline, the steps before the autoencoder are kept.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to set the biases by, usually those of the fit. If there are more than 10000, a random sample is taken.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights and of the sample.

    Returns
    -------
    random : estimator of the same kind
        It has as many units, which are as active on X. In a top-k autoencoder, ``k`` units are active for each row (on
        average with ``selection="batchtopk"``); in one with a penalty, each unit keeps its mean activation. ``loss_``,
        ``history_`` and ``n_iter_`` are still those of the fit.

    Raises
    ------
    ValueError
        If X has other features than the fit.
    TypeError
        If the estimator is of another kind, or X is not in memory.

    Notes
    -----
    Every row of the encoder is replaced by a random direction, uniform on the sphere, and the unit's atom by the same
    direction. In an autoencoder with a penalty, both keep their lengths. In a top-k autoencoder, atoms have length 1,
    the active units are those with the largest products with the centred row, and all rows of the encoder have the one
    length with which reconstructions are best.

    References
    ----------
    .. [1] A. Korznikov et al., "Sanity checks for sparse autoencoders: do SAEs beat random baselines?", 2026.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skl_sae import TopKAutoencoderTransformer
    >>> from skl_sae.inspection import frozen_random
    >>> X = load_digits().data
    >>> sae = TopKAutoencoderTransformer(64, k=8, random_state=0).fit(X)
    >>> bool(frozen_random(sae, X, random_state=1).score(X) < sae.score(X))
    True
    """
    inspected = Inspected(estimator)
    rows = inspected.rows(inspected.inputs(X))
    rng = check_random_state(random_state)
    if rows.shape[0] > ROWS_FOR_BIASES:
        rows = rows[np.sort(rng.choice(rows.shape[0], ROWS_FOR_BIASES, replace=False))]
    model = copy.deepcopy(inspected.model)
    directions = unit_length(rng.standard_normal(model.encoder_coef_.shape))
    mean = column_means(rows)
    freeze = _freeze_penalised if hasattr(model, "_functions") else _freeze_topk
    freeze(model, rows, mean, directions)
    vars(model).pop("_training", None)  # what a warm start would continue with
    return inspected.replaced(model)


def _freeze_topk(model: Any, rows: Any, mean: Float64Array, directions: Float64Array) -> None:
    """Give a top-k autoencoder random weights."""
    products = np.asarray(rows @ directions.T, dtype=np.float64) - directions @ mean
    Z = np.maximum(products, 0)
    k, by_batch = model._code
    if by_batch:
        positive = np.count_nonzero(Z)
        wanted = max(1, min(k * len(Z), positive))
        model.threshold_ = float(np.partition(Z, Z.size - wanted, axis=None)[Z.size - wanted])
        Z[model.threshold_ > Z] = 0
    else:
        Z[np.partition(Z, Z.shape[1] - k, axis=1)[:, [Z.shape[1] - k]] > Z] = 0
    centred = Z - Z.mean(axis=0)
    # Sums over the reconstructions centred @ directions, without them: of sparse rows they would be too large.
    square = float(np.einsum("jl,jl->", centred.T @ centred, directions @ directions.T))
    with_rows = float(np.einsum("ij,ij->", centred, products))
    length = with_rows / square if square > 0 and with_rows > 0 else 1.0
    dtype = model.encoder_coef_.dtype
    model.encoder_coef_ = (length * directions).astype(dtype)
    model.encoder_intercept_ = (-length * (directions @ mean)).astype(dtype)
    model.decoder_coef_ = np.asfortranarray(directions.T.astype(dtype))
    model.decoder_intercept_ = (mean - length * (Z.mean(axis=0) @ directions)).astype(dtype)
    if by_batch:
        model.threshold_ *= length
    model.activation_frequency_ = np.count_nonzero(Z, axis=0) / len(Z)
    model.dead_fraction_ = float(np.mean(model.activation_frequency_ == 0))


def _freeze_penalised(model: Any, rows: Any, mean: Float64Array, directions: Float64Array) -> None:
    """Give an autoencoder with a penalty random weights, and biases that keep the mean activation of each unit."""
    dtype, (activation, output_activation) = model.encoder_coef_.dtype, model._functions
    f = expit if activation == "sigmoid" else lambda z: np.maximum(z, 0)
    before = np.asarray(rows @ model.encoder_coef_.T, dtype=np.float64) + model.encoder_intercept_
    wanted = f(before).mean(axis=0)
    encoder = directions * np.linalg.norm(model.encoder_coef_, axis=1, keepdims=True)
    atoms = directions * np.linalg.norm(model.decoder_coef_, axis=0)[:, None]
    Z = np.asarray(rows @ encoder.T, dtype=np.float64)
    spread = 40 + np.abs(Z).max(axis=0) + wanted
    low, high = -spread, spread.copy()
    for _ in range(50):
        middle = (low + high) / 2
        above = f(Z + middle).mean(axis=0) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    biases = np.where(wanted > 0, high, -spread)  # a ReLU unit that is dead stays so
    H = f(Z + biases)
    model.encoder_coef_, model.encoder_intercept_ = encoder.astype(dtype), biases.astype(dtype)
    model.decoder_coef_ = encoder.T.astype(dtype) if model.tied_weights else atoms.T.astype(dtype)
    if output_activation == "identity":
        model.decoder_intercept_ = (mean - H.mean(axis=0) @ model.decoder_coef_.T).astype(dtype)
    model.mean_activation_ = H.mean(axis=0).astype(dtype)
    span = SimpleNamespace(lowest=H.min(axis=0), highest=H.max(axis=0))
    vars(model).update(shares_of_units(span, SimpleNamespace(activation=activation)))
