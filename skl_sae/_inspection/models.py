"""Fitted autoencoders as inspection sees them: atoms, codes, the names of features."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, issparse
from sklearn import config_context
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from .._base import BaseAutoencoder
from .._kernels.activations import ACTIVATIONS
from .._types import Float64Array, MatrixLike

IntArray: TypeAlias = NDArray[np.intp]


class Inspected:
    """A fitted autoencoder, and the steps before it if it ends a Pipeline.

    Parameters
    ----------
    estimator : TopKAutoencoderTransformer, SparseAutoencoderTransformer or Pipeline
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        in_pipeline = isinstance(estimator, Pipeline)
        *before, self.model = steps_of(estimator) or [None]
        if not isinstance(self.model, BaseAutoencoder) or not hasattr(self.model, "transform"):
            raise TypeError(
                "Inspection needs a TopKAutoencoderTransformer, a SparseAutoencoderTransformer, or a Pipeline that "
                f"ends in one; got {type(estimator).__name__}{f' that ends in {self.model!r}' if in_pipeline else ''}."
            )
        check_is_fitted(self.model)
        # A sampler of imbalanced-learn has no transform: it changes the rows of a fit alone.
        self._before = [step for step in before if hasattr(step, "transform")]

    @property
    def atoms(self) -> Float64Array:
        """Atoms (n_components, n_features): what each unit adds to the reconstruction of the autoencoder's input."""
        return np.asarray(self.model.decoder_coef_.T, dtype=np.float64)

    def inputs(self, X: MatrixLike) -> Any:
        """Return the rows as the autoencoder sees them."""
        for step in self._before:
            X = step.transform(X)
        return X

    def rows(self, inputs: Any) -> Any:
        """Return the inputs as a validated array or CSR matrix, without names."""
        rows = self.model._check_data(inputs, reset=False)
        if not isinstance(rows, np.ndarray) and not issparse(rows):
            raise TypeError(f"X must be in memory, got {type(rows).__name__}: pass X.compute(), or a sample.")
        return rows

    def codes(self, inputs: Any) -> csc_array:
        """Return the activations of the units, without those that count as silent."""
        model = copy.copy(self.model)
        vars(model).pop("_sklearn_output_config", None)  # data frames of codes are for users; sparse ones there are not
        with config_context(transform_output="default"):
            return as_codes(model.transform(inputs), self.silent)

    @property
    def silent(self) -> float:
        """The activation at or below which a unit counts as inactive, as in ``dead_fraction_``."""
        return ACTIVATIONS[self.model._functions[0]].silent if hasattr(self.model, "_functions") else 0.0

    def feature_names(self, names: Sequence[str] | None) -> list[str]:
        """Return ``names`` if given, else those that the autoencoder saw or that the steps before it give.

        Names that occur several times are told apart by the position of the feature.
        """
        n_features = self.model.n_features_in_
        if names is None:
            names = self.names_seen() or default_names(n_features)
        if len(names) != n_features:
            raise ValueError(
                f"There are {len(names)} feature names, but the autoencoder has {n_features} input features."
            )
        names = [str(name) for name in names]
        counts = Counter(names)
        return [name if counts[name] == 1 else f"{name} (x{i})" for i, name in enumerate(names)]

    def names_seen(self) -> list[str] | None:
        """Return the names of what the autoencoder sees; None if they are unknown, or only x0, x1, ..."""
        return names_seen(self.model, self._before)

    def replaced(self, model: Any) -> Any:
        """Return the estimator with another autoencoder at its end."""
        return _replace(self.estimator, self.model, model)


def _replace(estimator: Any, old: Any, new: Any) -> Any:
    """Return a copy of a Pipeline with another step in the place of one, which a fit of it leaves alone."""
    if not isinstance(estimator, Pipeline):
        return new if estimator is old else copy.deepcopy(estimator)
    result = copy.copy(estimator)
    result.steps = [(name, _replace(step, old, new)) for name, step in estimator.steps]
    return result


def steps_of(estimator: Any) -> list[Any]:
    """Return the steps of a Pipeline, nested ones included, without "passthrough"; otherwise the estimator alone."""
    if estimator is None or isinstance(estimator, str):
        return []
    if not isinstance(estimator, Pipeline):
        return [estimator]
    return [inner for _, step in estimator.steps for inner in steps_of(step)]


def default_names(n_features: int) -> list[str]:
    """Return the names of features that have none."""
    return [f"x{i}" for i in range(n_features)]


def names_seen(autoencoder: Any, before: Iterable[Any]) -> list[str] | None:
    """Return the names of what a fitted autoencoder sees, or None if these are only x0, x1, ...

    They are those of its own fit or, failing that, the names of the first step's input, passed through
    ``get_feature_names_out`` of each step. After a step that cannot name its output, names are unknown until another
    step gives new ones.
    """
    names = getattr(autoencoder, "feature_names_in_", None)
    if names is None:
        for step in before:
            names = _names_out(step, names)
    if names is None or list(names) == default_names(len(names)):
        return None
    return [str(name) for name in names]


def _names_out(step: Any, names: Any) -> Any:
    """Return the names that a step gives to its output, None if it gives none."""
    try:
        return step.get_feature_names_out(names)
    except AttributeError:  # so says a ColumnTransformer of which a part has no such method
        return None


def as_codes(codes: Any, silent: float = 0.0) -> csc_array:
    """Return validated codes by columns in float64, without entries from 0 to ``silent``; always a copy."""
    codes = check_array(codes, accept_sparse=("csr", "csc"), dtype=(np.float64, np.float32), input_name="codes")
    if not issparse(codes) and silent > 0:
        codes = np.where((codes > 0) & (codes <= silent), codes.dtype.type(0), codes)
    codes = csc_array(codes, copy=True)
    codes.sum_duplicates()
    codes.eliminate_zeros()
    codes.sort_indices()
    return codes.astype(np.float64, copy=False)  # sums over many rows in float32 would lose digits


def row_labels(X: Any) -> list[Any] | None:
    """Return the index of a DataFrame, or None if X has none or if it only counts the rows."""
    if not hasattr(X, "iloc"):
        return None
    labels = list(X.index)
    return None if labels == list(range(len(labels))) else labels


def check_names(names: Any, X: Any, n: int) -> list[str] | None:
    """Return names of the ``n`` rows of X as a list of str, by default those of its index; None if it has none."""
    names = row_labels(X) if names is None else names
    if names is None:
        return None
    names = [str(name) for name in names]
    if len(names) != n:
        raise ValueError(f"There are {len(names)} names for {n} rows.")
    return names


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Check that an argument is a whole number, and large enough."""
    if not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")


def check_rows(codes: csc_array, y: Any) -> None:
    """Check that codes and y have the same number of rows."""
    check_consistent_length(codes, y)


def column_means(rows: Any) -> Float64Array:
    """Return the means of the columns, summed in float64: SciPy would add up sparse float32 columns in float32."""
    rows = rows.astype(np.float64, copy=False) if issparse(rows) else rows
    return np.asarray(rows.mean(axis=0, dtype=np.float64)).ravel()


def unit_length(atoms: Any) -> Float64Array:
    """Return atoms scaled to length 1; those that are 0 stay 0."""
    atoms = np.asarray(atoms, dtype=np.float64)
    # Squares must neither overflow nor vanish; a power of two leaves all digits as they are.
    atoms = np.ldexp(atoms, -np.frexp(np.abs(atoms).max(axis=1, keepdims=True))[1])
    lengths = np.linalg.norm(atoms, axis=1, keepdims=True)
    return np.divide(atoms, lengths, out=np.zeros_like(atoms), where=lengths > 0)


def random_atoms(atoms: Float64Array, n: int, rng: np.random.Generator) -> Float64Array:
    """Return n random directions (n, n_features), with the mean and covariance of the atoms scaled to length 1."""
    atoms = unit_length(atoms)
    mean = atoms.mean(axis=0)
    return unit_length(mean + rng.standard_normal((n, len(atoms))) @ (atoms - mean) / np.sqrt(len(atoms)))
