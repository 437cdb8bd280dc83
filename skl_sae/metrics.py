"""Metrics and scorers for the sparsity of codes, the variance explained by reconstructions, and anomaly detection.

scikit-learn's detectors give inliers high values and the label +1, so its built-in scorers, such as
``scoring="roc_auc"``, are right for labels +1 (normal) and -1 (anomaly). Most anomaly detection data sets label
anomalies 1 and normal rows 0; with these, the built-in scorers would measure how well anomalies are *missed*.
`anomaly_roc_auc_scorer` and `anomaly_average_precision_scorer` take labels of both kinds, and any detector with a
``decision_function``. Labels that are all 1 would mean all anomalies or none, so they are refused, unless they are
booleans.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.metrics import average_precision_score, make_scorer, roc_auc_score
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions

from ._rows import as_rows
from ._types import Float64Array, MatrixLike, validate_params

__all__ = [
    "SparsestWithin",
    "anomaly_average_precision_scorer",
    "anomaly_roc_auc_scorer",
    "dead_fraction",
    "explained_variance",
    "explained_variance_scorer",
    "lifetime_sparsity",
    "lifetime_sparsity_scorer",
    "population_sparsity",
    "population_sparsity_scorer",
    "saturated_fraction",
]

Measure: TypeAlias = Literal["hoyer", "treves_rolls"]

# -- sparsity --------------------------------------------------------------------------------------


def _hoyer(n: int, total: Float64Array, squares: Float64Array) -> Float64Array:
    return (np.sqrt(n) - total / np.sqrt(squares)) / (np.sqrt(n) - 1)


def _treves_rolls(n: int, total: Float64Array, squares: Float64Array) -> Float64Array:
    return (1 - (total / n) ** 2 / (squares / n)) / (1 - 1 / n)


# Of the number of entries of each vector, their sum and that of their squares.
MEASURES = {"hoyer": _hoyer, "treves_rolls": _treves_rolls}

CODES = ["array-like", "sparse matrix"]


def _sums(H: Any, axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sums along ``axis`` of absolute values and squares, relative to the largest, so that squares stay in range."""
    if not issparse(H):
        sizes: Float64Array = np.abs(H)
        largest = sizes.max(axis=axis, keepdims=True)
        np.divide(sizes, largest, out=sizes, where=largest > 0)
        return sizes.sum(axis), np.square(sizes).sum(axis)
    entries = H.tocoo(copy=False)
    if not H.has_canonical_format:
        entries.sum_duplicates()  # in new arrays: H may be the user's
    values, vector, n_vectors = np.abs(entries.data), entries.row if axis else entries.col, H.shape[1 - axis]
    most = np.zeros(n_vectors)
    np.maximum.at(most, vector, values)
    np.divide(values, most[vector], out=values, where=values > 0)
    return np.bincount(vector, values, n_vectors), np.bincount(vector, np.square(values), n_vectors)


def _sparsity(H: Any, measure: Measure, axis: int) -> Float64Array:
    """Sparsity of every vector along ``axis``; NaN for vectors that are all 0."""
    H = check_array(H, accept_sparse="csr", dtype=np.float64, input_name="H")
    if H.shape[axis] < 2:
        raise ValueError(f"Sparsity needs at least 2 {'units' if axis else 'rows'}, got codes of shape {H.shape}.")
    with np.errstate(invalid="ignore"):
        return np.clip(MEASURES[measure](H.shape[axis], *_sums(H, axis)), 0, 1)  # NaN (0 / 0) where nothing is active


@validate_params({"H": CODES, "measure": [StrOptions(set(MEASURES))]}, prefer_skip_nested_validation=True)
def population_sparsity(H: MatrixLike, measure: Measure = "hoyer") -> float:
    r"""Mean sparsity of the rows: how unevenly the activity of each is spread over the units.

    For a row with the n activations h, the sparsity is

    - "hoyer" [1]_: :math:`(\sqrt n - \lVert h \rVert_1 / \lVert h \rVert_2) / (\sqrt n - 1)`;
    - "treves_rolls" [2]_, as normalised in [3]_: :math:`(1 - \bar{|h|}^2 / \overline{h^2}) / (1 - 1/n)`.

    Parameters
    ----------
    H : {array-like, sparse matrix} of shape (n_samples, n_components)
        Codes.
    measure : {"hoyer", "treves_rolls"}, default="hoyer"

    Returns
    -------
    sparsity : float
        Between 0 (all units equally active) and 1 (one unit active). Rows without any activity are ignored; NaN if
        there are no others.

    References
    ----------
    .. [1] P. O. Hoyer, "Non-negative matrix factorization with sparseness constraints", JMLR 5, 2004.
    .. [2] A. Treves and E. T. Rolls, "What determines the capacity of autoassociative memories in the brain?", Network
       2, 1991.
    .. [3] W. E. Vinje and J. L. Gallant, "Sparse coding and decorrelation in primary visual cortex during natural
       vision", Science 287, 2000.

    Examples
    --------
    >>> from skl_sae.metrics import population_sparsity
    >>> population_sparsity([[0, 0, 1, 0], [0, 2, 0, 0]])
    1.0
    >>> population_sparsity([[1, 1, 1, 1]])
    0.0
    """
    values = _sparsity(H, measure, axis=1)
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


@validate_params({"H": CODES, "measure": [StrOptions(set(MEASURES))]}, prefer_skip_nested_validation=True)
def lifetime_sparsity(H: MatrixLike, measure: Measure = "treves_rolls") -> Float64Array:
    """Sparsity of each unit: how unevenly its activity is spread over the rows.

    The measures are those of `population_sparsity`, taken over rows.

    Parameters
    ----------
    H : {array-like, sparse matrix} of shape (n_samples, n_components)
        Codes.
    measure : {"hoyer", "treves_rolls"}, default="treves_rolls"

    Returns
    -------
    sparsity : ndarray of shape (n_components,)
        Between 0 (always equally active) and 1 (active for one row only); NaN for units that are never active.

    Examples
    --------
    >>> from skl_sae.metrics import lifetime_sparsity
    >>> lifetime_sparsity([[0, 1], [0, 1], [3, 1]]).tolist()
    [1.0, 0.0]
    """
    return _sparsity(H, measure, axis=0)


def _extremes(H: Any, which: Literal["min", "max"]) -> Float64Array:
    """Smallest or largest activation of each unit."""
    codes = check_array(H, accept_sparse="csr", dtype=np.float64, input_name="H")
    values = getattr(codes, which)(axis=0)
    return values.toarray().ravel() if issparse(values) else values


_THRESHOLD = {"H": CODES, "threshold": [Interval(Real, 0, None, closed="left")]}


@validate_params(_THRESHOLD, prefer_skip_nested_validation=True)
def dead_fraction(H: MatrixLike, threshold: float = 0.01) -> float:
    """Fraction of the units whose activation never exceeds ``threshold``.

    Parameters
    ----------
    H : {array-like, sparse matrix} of shape (n_samples, n_components)
        Codes.
    threshold : float, default=0.01
        The default is the transformer's limit for a silent sigmoid unit; use 0 for ReLU codes.

    Returns
    -------
    fraction : float

    Examples
    --------
    >>> from skl_sae.metrics import dead_fraction
    >>> dead_fraction([[0, 0.2], [0, 0.9]])
    0.5
    """
    return float(np.mean(_extremes(H, "max") <= threshold))


@validate_params(_THRESHOLD, prefer_skip_nested_validation=True)
def saturated_fraction(H: MatrixLike, threshold: float = 0.99) -> float:
    """Fraction of the units of a sigmoid code whose activation never falls below ``threshold``.

    Parameters
    ----------
    H : {array-like, sparse matrix} of shape (n_samples, n_components)
        Codes.
    threshold : float, default=0.99
        The default is the transformer's limit for a saturated unit.

    Returns
    -------
    fraction : float

    Examples
    --------
    >>> from skl_sae.metrics import saturated_fraction
    >>> saturated_fraction([[1, 0.2], [1, 0.9]])
    0.5
    """
    return float(np.mean(_extremes(H, "min") >= threshold))


# -- reconstruction --------------------------------------------------------------------------------


def explained_variance(X: ArrayLike, X_reconstructed: ArrayLike) -> float:
    r"""Fraction of the variance that a reconstruction explains, over all features together.

    :math:`1 - \sum_i \lVert x_i - \hat x_i \rVert^2 / \sum_i \lVert x_i - \bar x \rVert^2`, the coefficient of
    determination [1]_ of all entries of X pooled around their feature's mean: 1 for a perfect reconstruction, 0 for the
    mean row, and negative for anything worse. `sklearn.metrics.r2_score` gives the same value with
    ``multioutput="variance_weighted"``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    X_reconstructed : array-like of shape (n_samples, n_features)

    Returns
    -------
    explained : float
        NaN if the rows of X are all the same.

    References
    ----------
    .. [1] S. Wright, "Correlation and causation", Journal of Agricultural Research 20, 1921.

    Examples
    --------
    >>> from skl_sae.metrics import explained_variance
    >>> explained_variance([[0, 1], [2, 3]], [[1, 2], [1, 2]])
    0.0
    """
    rows = check_array(X, dtype=np.float64, input_name="X")
    reconstruction = check_array(X_reconstructed, dtype=np.float64, input_name="X_reconstructed")
    check_consistent_length(rows, reconstruction)
    if rows.shape != reconstruction.shape:
        raise ValueError(f"X has shape {rows.shape}, but its reconstruction has shape {reconstruction.shape}.")
    if not np.ptp(rows, axis=0).any():
        return float("nan")
    return float(1 - np.square(rows - reconstruction).sum() / np.square(rows - rows.mean(axis=0)).sum())


# -- scorers ---------------------------------------------------------------------------------------


def explained_variance_scorer(estimator: Any, X: MatrixLike, y: object = None) -> float:
    """Scorer: `explained_variance` by an estimator or Pipeline with ``transform`` and ``inverse_transform``."""
    if not issparse(X):
        return explained_variance(X, estimator.inverse_transform(estimator.transform(X)))
    rows = as_rows(check_array(X, accept_sparse="csr", dtype=np.float64))
    total, error = len(rows) * rows.moments(np.ones(len(rows)))[1].sum(), 0.0
    for block in rows.blocks():
        reconstruction = estimator.inverse_transform(estimator.transform(rows.S[block]))
        error += np.square(rows[block].toarray() - reconstruction).sum()
    return float(1 - error / total) if total > 0 else float("nan")


def population_sparsity_scorer(estimator: Any, X: MatrixLike, y: object = None) -> float:
    """Scorer: `population_sparsity` of the output of an estimator or Pipeline for X."""
    return population_sparsity(estimator.transform(X))


def lifetime_sparsity_scorer(estimator: Any, X: MatrixLike, y: object = None) -> float:
    """Scorer: mean of `lifetime_sparsity` over the units; those that are never active are useless and count as 0."""
    return float(np.nan_to_num(lifetime_sparsity(estimator.transform(X))).mean())


class SparsestWithin:
    """``refit`` for a search with several scorers: the sparsest candidate whose score is nearly the best.

    Parameters
    ----------
    tolerance : float, default=0.01
        How far below the best mean test score a candidate may score, at least 0.
    score, sparsity : str, default="score", "sparsity"
        Names of the scorers, keys of ``scoring``. If one of them is missing, a ValueError lists those there are. If no
        candidate has a score, that is a ValueError as well.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skl_sae import SparseAutoencoderTransformer
    >>> from skl_sae.metrics import SparsestWithin, explained_variance_scorer, population_sparsity_scorer
    >>> search = GridSearchCV(
    ...     SparseAutoencoderTransformer(20, random_state=0),
    ...     {"rho": [0.02, 0.1, 0.3]},
    ...     scoring={"score": explained_variance_scorer, "sparsity": population_sparsity_scorer},
    ...     refit=SparsestWithin(0.05),
    ...     cv=3,
    ... ).fit(load_digits().data / 16)
    >>> sorted(search.best_params_)
    ['rho']
    """

    def __init__(self, tolerance: float = 0.01, *, score: str = "score", sparsity: str = "sparsity") -> None:
        if not isinstance(tolerance, int | float | np.number) or not tolerance >= 0:
            raise ValueError(f"tolerance must be a number that is not negative, got {tolerance!r}.")
        self.tolerance, self.score, self.sparsity = tolerance, score, sparsity

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tolerance}, score={self.score!r}, sparsity={self.sparsity!r})"

    def __call__(self, cv_results: Mapping[str, Any]) -> int:
        """Return the index of the candidate to refit."""
        names = [key.removeprefix("mean_test_") for key in cv_results if key.startswith("mean_test_")]
        missing = [name for name in (self.score, self.sparsity) if name not in names]
        if missing:
            raise ValueError(
                f"{self!r} needs scorers of these names, but the search has only {', '.join(map(repr, names))}. Pass "
                "scoring as a dictionary with both, or their names to SparsestWithin: score=..., sparsity=..."
            )
        scores, sparsity = (np.asarray(cv_results[f"mean_test_{name}"]) for name in (self.score, self.sparsity))
        if np.isnan(scores).all():
            raise ValueError(f"{self!r} finds no candidate with a score: mean_test_{self.score} is NaN for all.")
        near = scores >= np.nanmax(scores) - self.tolerance
        return int(np.argmax(np.where(near, np.nan_to_num(sparsity, nan=-1.0), -np.inf)))  # NaN: no unit active


# -- anomalies -------------------------------------------------------------------------------------


def is_anomaly(y_true: ArrayLike) -> NDArray[np.bool_]:
    """Return where labels mark an anomaly: True among booleans, 1 among 0 and 1, or -1 among -1 and +1."""
    marks = column_or_1d(y_true)
    labels = np.unique(marks).tolist()
    if labels == [1] and not isinstance(labels[0], bool):
        raise ValueError(
            "All labels are 1, which would be an anomaly beside labels 0 but a normal row beside labels -1. Pass "
            "booleans, True for anomalies."
        )
    if not (set(labels) <= {0, 1} or set(labels) <= {-1, 1}):
        raise ValueError(
            f"Labels must be 1 (anomaly) and 0 (normal), -1 (anomaly) and +1 (normal), or booleans, got {labels[:5]}."
        )
    return marks == (-1 if -1 in labels else 1)


def _roc_auc(y_true: ArrayLike, decision: Float64Array, sample_weight: ArrayLike | None = None) -> float:
    return roc_auc_score(is_anomaly(y_true), -decision, sample_weight=sample_weight)


def _average_precision(y_true: ArrayLike, decision: Float64Array, sample_weight: ArrayLike | None = None) -> float:
    return average_precision_score(is_anomaly(y_true), -decision, sample_weight=sample_weight)


#: Area under the ROC curve, for labels 1 (anomaly) and 0 (normal), -1 (anomaly) and +1 (normal), or booleans.
anomaly_roc_auc_scorer = make_scorer(_roc_auc, response_method="decision_function")

#: Average precision, for labels 1 (anomaly) and 0 (normal), -1 (anomaly) and +1 (normal), or booleans.
anomaly_average_precision_scorer = make_scorer(_average_precision, response_method="decision_function")
