"""What every unit of a fitted autoencoder does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_array
from sklearn.utils import check_random_state

from .._types import Float64Array, MatrixLike
from .association import Task, as_target, associate, problem_classes
from .models import Inspected, IntArray, check_count, check_names, check_rows, unit_length
from .tables import as_html, as_text

if TYPE_CHECKING:
    import pandas as pd

UNITS_OF_TEXT, UNITS_OF_HTML = 10, 50  # units in the tables of a report
ATOMS_AT_A_TIME = 1024


class UnitSummary(NamedTuple):
    """One unit of a `FeatureReport`, as passed to the function of `FeatureReport.label`.

    Attributes
    ----------
    unit : int
        Index of the unit.
    frequency : float
        Share of the rows on which it is active.
    mean_activation : float
        Mean activation over these rows.
    share : float
        Its share of the variance of the reconstructions.
    top : list
        Names, or indices, of the rows with the highest activations.
    middle : list
        The same for rows around the median of its activations.
    features : dict of str to float
        The largest weights of its atom, by feature.
    """

    unit: int
    frequency: float
    mean_activation: float
    share: float
    top: list[Any]
    middle: list[Any]
    features: dict[str, float]


class FeatureReport:
    """What every unit of an autoencoder does, as arrays and tables: the result of `feature_report`.

    ``report[j]`` is the `UnitSummary` of unit j; ``len(report)`` is the number of units.

    Attributes
    ----------
    frequency_ : ndarray of shape (n_components,)
        Share of the rows on which a unit is active.
    mean_activation_, max_activation_ : ndarrays of shape (n_components,)
        Mean activation over the rows on which the unit is active, and highest activation; 0 if it never is.
    reconstruction_share_ : ndarray of shape (n_components,)
        Share of the variance of the reconstructions; the shares add up to 1, or are 0 if all reconstructions are equal.
    top_rows_, middle_rows_ : ndarrays of shape (n_components, n_top) and (n_components, n_middle)
        Indices of the rows with the highest activations, highest first, and of rows around the median of the unit's
        activations; -1 where the unit is active on fewer rows.
    top_activations_, middle_activations_ : ndarrays of the same shapes
        Activations on these rows; 0 where there are none.
    top_features_ : ndarray of shape (n_components, n_top) or, with fewer features, (n_components, n_features)
        Indices of the input features with the largest weights of the unit's atom, by absolute value.
    top_weights_ : ndarray of the same shape
        These weights.
    nearest_unit_ : ndarray of shape (n_components,)
        The other unit whose atom has the highest cosine with the unit's; -1 if there is no other.
    nearest_cosine_ : ndarray of shape (n_components,)
        That cosine; 0 if there is no other.
    effect_ : ndarray of shape (n_components,) or None
        If y is given, how well the unit alone predicts it on held-out rows: for classes the AUROC of its activation for
        ``effect_class_`` against the rest, for numbers Spearman's rank correlation. 0.5 and 0 mean not at all.
    effect_class_ : ndarray of shape (n_components,) or None
        For classes, the one that is most strongly associated with the unit on the other rows.
    labels_ : list of str, or None before `label`
    names : list of str or None
        Names of the rows.
    feature_names : list of str
        Names of the features that the autoencoder sees.
    n_rows : int
        Number of rows.
    """

    frequency_: Float64Array
    mean_activation_: Float64Array
    max_activation_: Float64Array
    reconstruction_share_: Float64Array
    top_rows_: IntArray
    top_activations_: Float64Array
    middle_rows_: IntArray
    middle_activations_: Float64Array
    top_features_: IntArray
    top_weights_: Float64Array
    nearest_unit_: IntArray
    nearest_cosine_: Float64Array
    effect_: Float64Array | None = None
    effect_class_: NDArray[Any] | None = None
    labels_: list[str] | None = None
    names: list[str] | None
    feature_names: list[str]
    n_rows: int

    def __len__(self) -> int:
        return len(self.frequency_)

    def __getitem__(self, unit: int) -> UnitSummary:
        unit = range(len(self))[unit]
        features = zip(self.top_features_[unit], self.top_weights_[unit], strict=True)
        return UnitSummary(
            unit=unit,
            frequency=float(self.frequency_[unit]),
            mean_activation=float(self.mean_activation_[unit]),
            share=float(self.reconstruction_share_[unit]),
            top=self._rows(self.top_rows_[unit]),
            middle=self._rows(self.middle_rows_[unit]),
            features={self.feature_names[k]: float(weight) for k, weight in features},
        )

    def _rows(self, rows: IntArray) -> list[Any]:
        kept = rows[rows >= 0].tolist()
        return kept if self.names is None else [self.names[i] for i in kept]

    def label(self, function: Callable[[UnitSummary], str]) -> Self:
        """Name every unit by a function of its summary.

        Parameters
        ----------
        function : callable
            Takes a `UnitSummary` with ``unit``, ``frequency``, ``mean_activation``, ``share``, ``top`` and ``middle``
            (names of rows, or indices), and ``features`` (weights by name); returns the label, a str. It may ask a
            person, apply a rule, or call a language model. Give it the middle rows as well: a label that fits only the
            top rows claims too much.

        Returns
        -------
        report : FeatureReport
            This report, with ``labels_``.

        Raises
        ------
        TypeError
            If the function returns anything but a str.
        """
        labels = []
        for unit in range(len(self)):
            label = function(self[unit])
            if not isinstance(label, str):
                raise TypeError(f"The label of unit {unit} must be a str, got {label!r}.")
            labels.append(label)
        self.labels_ = labels
        return self

    def to_frame(self, units: Iterable[int] | None = None) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each unit, or for each of ``units`` (indices or a mask)."""
        import pandas as pd

        chosen = np.arange(len(self))[slice(None) if units is None else list(units)].tolist()
        return pd.DataFrame(self._table(chosen, self.top_rows_.shape[1])).set_index("unit")

    def _table(self, units: Sequence[int], n_shown: int) -> dict[str, list[Any]]:
        index = np.asarray(units, dtype=np.intp)
        columns: dict[str, list[Any]] = {"unit": index.tolist()}
        if self.labels_ is not None:
            columns["label"] = [self.labels_[j] for j in index]
        columns |= {
            "frequency": self.frequency_[index].tolist(),
            "activation": self.mean_activation_[index].tolist(),
            "highest": self.max_activation_[index].tolist(),
            "share": self.reconstruction_share_[index].tolist(),
        }
        if self.effect_ is not None:
            columns["effect"] = self.effect_[index].tolist()
        if self.effect_class_ is not None:
            columns["class"] = self.effect_class_[index].tolist()
        columns |= {"nearest": self.nearest_unit_[index].tolist(), "cosine": self.nearest_cosine_[index].tolist()}
        summaries = [self[j] for j in index]
        columns["top rows"] = [", ".join(map(str, one.top[:n_shown])) for one in summaries]
        columns["middle rows"] = [", ".join(map(str, one.middle[:n_shown])) for one in summaries]
        columns["features"] = [
            ", ".join(f"{name} {weight:+.2g}" for name, weight in list(one.features.items())[:n_shown])
            for one in summaries
        ]
        return columns

    def _title(self) -> str:
        return (
            f"{type(self).__name__}: {len(self)} units on {self.n_rows} rows, "
            f"{np.count_nonzero(self.frequency_ == 0)} never active"
        )

    def _largest(self, n: int) -> list[int]:
        return np.argsort(-self.reconstruction_share_, kind="stable")[:n].tolist()

    def __repr__(self) -> str:
        table = self._table(self._largest(UNITS_OF_TEXT), 5)
        kept = [
            name for name in ("unit", "label", "frequency", "share", "effect", "class", "top rows") if name in table
        ]
        return as_text(self._title(), {name: table[name] for name in kept}, len(self) - UNITS_OF_TEXT)

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._table(self._largest(UNITS_OF_HTML), 10), len(self) - UNITS_OF_HTML)


def feature_report(
    estimator: Any,
    X: MatrixLike,
    *,
    names: ArrayLike | None = None,
    y: ArrayLike | None = None,
    n_top: int = 10,
    n_middle: int = 5,
    feature_names: Sequence[str] | None = None,
    task: Task = "auto",
    random_state: int | np.random.RandomState | None = None,
) -> FeatureReport:
    r"""Describe what every unit of a fitted autoencoder does on the rows of X.

    Top rows alone mislead: what the rows with the highest activations have in common need not hold where a unit is
    usually active [1]_. So the report adds rows around the median of its activations.

    Parameters
    ----------
    estimator : TopKAutoencoderTransformer, SparseAutoencoderTransformer or Pipeline
        Fitted; a Pipeline must end in one of the two, and features are then what the steps before it return.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows to describe the units by. Rows that the fit has not seen are the better test.
    names : array-like of shape (n_samples,), default=None
        Names of the rows, such as words, titles or file names; None takes the index of a DataFrame.
    y : array-like of shape (n_samples,), default=None
        Classes or numbers. For each unit, half of the rows choose the class and the other half measure ``effect_``.
    n_top : int, default=10
        Number of top rows and of features with the largest weights.
    n_middle : int, default=5
        Number of rows around the median of the activations, none of them a top row.
    feature_names : list of str, default=None
        Names of the features that the autoencoder sees; None takes those of the fit, or of the step before.
    task : {"auto", "classes", "numbers"}, default="auto"
        What y holds. "auto" takes numbers with a fraction for numbers, anything else for classes, and refuses more than
        50 different whole numbers, which could be either.
    random_state : int, RandomState instance or None, default=None
        Seed of the split into halves.

    Returns
    -------
    report : FeatureReport

    Raises
    ------
    ValueError
        If X, names, feature_names or y do not fit together, if no unit is ever active, or if y has only one value or a
        class with a single row.
    TypeError
        If the estimator is of another kind.

    See Also
    --------
    feature_stability : Which units another fit finds again.
    select_features : Units that are related to y, with p-values.

    Notes
    -----
    A unit is active where its activation is above 0 or, with a sigmoid code, above 0.01, as in ``dead_fraction_``.

    Its share in the variance of the reconstructions is the covariance of its contribution :math:`h_j v_j` (activation
    times atom) with the reconstruction :math:`\sum_l h_l v_l`, summed over features and divided by the variance of the
    reconstruction. Shares add up to 1, like Pratt's measure of importance in a regression [2]_; a share is negative if
    the unit mostly corrects others. The output activation is ignored.

    References
    ----------
    .. [1] T. Bolukbasi et al., "An interpretability illusion for BERT", 2021.
    .. [2] J. W. Pratt, "Dividing the indivisible: using simple symmetry to partition variance explained", Second
       International Conference in Statistics, Tampere, 1987.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skl_sae import TopKAutoencoderTransformer
    >>> from skl_sae.inspection import feature_report
    >>> X, y = load_digits(return_X_y=True)
    >>> sae = TopKAutoencoderTransformer(64, k=8, random_state=0).fit(X[:1000])
    >>> report = feature_report(sae, X[1000:], y=y[1000:], random_state=0)
    >>> report.top_rows_.shape
    (64, 10)
    >>> bool(report.effect_.max() > 0.8)
    True
    >>> report = report.label(lambda unit: f"fires on {unit.frequency:.0%}")
    >>> len(report.labels_)
    64
    """
    inspected = Inspected(estimator)
    check_count("n_top", n_top)
    check_count("n_middle", n_middle, least=0)
    codes = inspected.codes(inspected.inputs(X))
    if codes.nnz == 0:
        raise ValueError("The code is constant: no unit is active on any row of X. Are these the rows of the fit?")
    report = FeatureReport()
    report.n_rows = codes.shape[0]
    report.names = check_names(names, X, report.n_rows)
    report.feature_names = inspected.feature_names(feature_names)
    _describe_activity(report, codes, n_top, n_middle)
    _describe_atoms(report, inspected.atoms, codes, n_top)
    if y is not None:
        check_rows(codes, y)
        target = as_target(y, task)
        found = associate(codes, target, 0.5, check_random_state(random_state))
        report.effect_ = found.effects + (0.0 if target.classes is None else 0.5)
        classes = problem_classes(target)
        report.effect_class_ = None if classes is None else classes[found.columns]
    return report


def top_and_middle(values: NDArray[Any], n_top: int, n_middle: int) -> tuple[IntArray, IntArray]:
    """Return the indices of the highest values, highest first, and of others around the median."""
    order = np.argsort(-values, kind="stable")
    start = max(n_top, (len(order) - n_middle) // 2)
    return order[:n_top], order[start : start + n_middle]


def _describe_activity(report: FeatureReport, codes: csc_array, n_top: int, n_middle: int) -> None:
    n, m = codes.shape
    counts = np.diff(codes.indptr)
    report.frequency_ = counts / n
    report.mean_activation_ = np.asarray(codes.sum(axis=0), dtype=np.float64).ravel() / np.maximum(counts, 1)
    report.top_rows_, report.top_activations_ = np.full((m, n_top), -1, dtype=np.intp), np.zeros((m, n_top))
    report.middle_rows_, report.middle_activations_ = np.full((m, n_middle), -1, dtype=np.intp), np.zeros((m, n_middle))
    for j in range(m):
        part = slice(codes.indptr[j], codes.indptr[j + 1])
        values, rows = codes.data[part], codes.indices[part]
        top, middle = top_and_middle(values, n_top, n_middle)
        report.top_rows_[j, : len(top)], report.top_activations_[j, : len(top)] = rows[top], values[top]
        report.middle_rows_[j, : len(middle)] = rows[middle]
        report.middle_activations_[j, : len(middle)] = values[middle]
    report.max_activation_ = report.top_activations_[:, 0].copy()


def _describe_atoms(report: FeatureReport, atoms: Float64Array, codes: csc_array, n_top: int) -> None:
    m, n_features = atoms.shape
    n_top = min(n_top, n_features)
    report.top_features_ = np.argsort(-np.abs(atoms), axis=1, kind="stable")[:, :n_top]
    report.top_weights_ = np.take_along_axis(atoms, report.top_features_, axis=1)
    report.reconstruction_share_ = _shares(atoms, codes)
    directions = unit_length(atoms)
    report.nearest_unit_, report.nearest_cosine_ = np.full(m, -1, dtype=np.intp), np.zeros(m)
    for start in range(0, m if m > 1 else 0, ATOMS_AT_A_TIME):
        units = np.arange(start, min(start + ATOMS_AT_A_TIME, m))
        cosines = directions[units] @ directions.T
        cosines[np.arange(len(units)), units] = -np.inf
        report.nearest_unit_[units] = cosines.argmax(axis=1)
        report.nearest_cosine_[units] = cosines.max(axis=1)


def _shares(atoms: Float64Array, codes: csc_array) -> Float64Array:
    """Return the share of every unit in the variance of the reconstructions."""
    n, m = codes.shape
    mean = np.asarray(codes.mean(axis=0)).ravel()
    parts = np.zeros(m)
    for start in range(0, m, ATOMS_AT_A_TIME):
        units = slice(start, min(start + ATOMS_AT_A_TIME, m))
        covariance = (codes[:, units].T @ codes).toarray() / n - np.outer(mean[units], mean)
        parts[units] = np.einsum("jl,jl->j", atoms[units] @ atoms.T, covariance)
    total, squares = parts.sum(), np.asarray(codes.multiply(codes).mean(axis=0)).ravel()
    varies = total > 1e-14 * (squares @ np.square(atoms).sum(axis=1))  # beyond what rounding leaves of equal rows
    return parts / total if varies else np.zeros(m)
