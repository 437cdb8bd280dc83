"""How units relate to y: rank statistics of codes, chosen on some rows and measured on others."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.stats import rankdata
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.multiclass import type_of_target

from .._types import Float64Array
from .models import IntArray

Task: TypeAlias = Literal["auto", "classes", "numbers"]

MOST_CLASSES = 50  # with more different whole numbers, y may be classes or numbers: the caller has to say which
DENSE_SHARE = 0.2  # ranks with a larger share of non-zeros are multiplied as dense arrays
LARGEST_BLOCK = 2**23  # numbers in a block of permuted targets


class Target(NamedTuple):
    """y as columns of whole numbers, for rank statistics."""

    columns: NDArray[np.int64]  # (n, n_problems) indicators of the classes, or (n, 1) doubled ranks of numbers
    classes: NDArray[Any] | None  # None for numbers

    def of(self, rows: IntArray) -> Target:
        """Return the target of some rows; numbers are ranked anew among them."""
        columns = self.columns[rows]
        if self.classes is None:
            columns = _doubled_ranks(columns[:, 0])[:, None]
        return Target(columns, self.classes)


def _doubled_ranks(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return twice the ranks: whole numbers even where values are equal, so that sums are exact."""
    return np.rint(2 * rankdata(values)).astype(np.int64)


def as_target(y: Any, task: Task = "auto") -> Target:
    """Return y as a `Target`; two classes are one problem, the second against the first."""
    y = column_or_1d(y)
    kind = type_of_target(y, input_name="y")
    if kind == "unknown" and any(value is None or is_scalar_nan(value) or is_pandas_na(value) for value in y):
        raise ValueError("y has missing values: leave out their rows, or make them a class of their own.")
    if task not in ("auto", "classes", "numbers"):
        raise ValueError(f"task must be 'auto', 'classes' or 'numbers', got {task!r}.")
    hint = " If y holds numbers, pass task='numbers'." if task == "auto" else ""
    if task == "auto":
        if kind not in ("binary", "multiclass", "continuous"):
            raise ValueError(f"y must hold classes or numbers, one for each row; it looks like {kind}.")
        if kind == "multiclass" and y.dtype.kind in "iuf" and len(np.unique(y)) > MOST_CLASSES:
            raise ValueError(
                f"y has {len(np.unique(y))} different whole numbers: pass task='numbers' or task='classes'."
            )
        task = "numbers" if kind == "continuous" else "classes"
    values, codes = np.unique(y, return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"y has only one value, {values.tolist()[0]!r}: no unit can be related to it.")
    if task == "numbers":
        if y.dtype.kind not in "biuf":
            raise ValueError(f"task='numbers' needs a y of numbers, got dtype {y.dtype}.")
        return Target(_doubled_ranks(y)[:, None], None)
    counts = np.bincount(codes)
    if counts.min() < 2:
        raise ValueError(
            f"Class {values.tolist()[counts.argmin()]!r} of y has a single row; every class needs at least two, one "
            f"to choose by and one to measure on.{hint}"
        )
    columns = (codes[:, None] == np.arange(len(values))).astype(np.int64)
    return Target(columns[:, 1:] if len(values) == 2 else columns, values)


def as_classes(y: Any) -> Target:
    """Return y as a `Target` of classes, for a function that takes nothing else."""
    kind = type_of_target(column_or_1d(y), input_name="y")
    if kind == "continuous":
        raise ValueError("y holds numbers with a fraction, not classes: divide them into classes first.")
    return as_target(y, "classes")


def problem_classes(target: Target) -> NDArray[Any] | None:
    """Return the class that each column of the target marks."""
    if target.classes is None:
        return None
    return target.classes[1:] if len(target.classes) == 2 else target.classes


def halves(target: Target, test_size: float, rng: np.random.RandomState) -> tuple[IntArray, IntArray]:
    """Return the rows to choose by and those to measure on, with the same shares of the classes."""
    n = len(target.columns)
    if n < 4:
        raise ValueError(f"y has {n} rows; at least 4 are needed, to choose by some and measure on the others.")
    strata = None
    if target.classes is None and min(round(test_size * n), n - round(test_size * n)) < 2:
        raise ValueError(f"test_size={test_size} leaves fewer than two of {n} rows to choose by or to measure on.")
    if target.classes is not None:
        strata = target.columns @ np.arange(1, target.columns.shape[1] + 1)
        if min(round(test_size * n), n - round(test_size * n)) < len(target.classes):
            raise ValueError(f"test_size={test_size} leaves fewer rows than y has classes, {len(target.classes)}.")
    chosen, held_out = train_test_split(np.arange(n), test_size=test_size, random_state=rng, stratify=strata)
    if strata is not None:
        held_out, chosen = _with_every_class(held_out, chosen, strata, rng)
        chosen, held_out = _with_every_class(chosen, held_out, strata, rng)
    return np.sort(chosen), np.sort(held_out)


def _with_every_class(
    part: IntArray, other: IntArray, strata: IntArray, rng: np.random.RandomState
) -> tuple[IntArray, IntArray]:
    """Move a row of every class that a part lacks to it; the other has at least two."""
    for value in np.setdiff1d(strata, strata[part]):
        moved = rng.choice(other[strata[other] == value])
        part, other = np.append(part, moved), other[other != moved]
    return part, other


class Ranks:
    """Ranks of the rows by each unit's activation, doubled, and shifted so that those of inactive rows are 0.

    Rank statistics are sums of centred ranks, which a shift does not change; so their cost depends only on the number
    of non-zero activations. All sums are of whole numbers and therefore exact.
    """

    def __init__(self, codes: csc_array) -> None:
        n, m = codes.shape
        data = np.empty(codes.nnz)
        for j in range(m):
            part = slice(codes.indptr[j], codes.indptr[j + 1])
            values = codes.data[part]
            n_zero, n_negative = n - len(values), int(np.count_nonzero(values < 0))
            ranks = rankdata(values) + n_zero * (values > 0)
            data[part] = np.rint(2 * ranks - (2 * n_negative + n_zero + 1))
        self._scores = csc_array((data, codes.indices, codes.indptr), shape=(n, m))
        self.n = n
        self.mean = np.asarray(self._scores.sum(axis=0)).ravel() / n
        squares = csc_array((data**2, codes.indices, codes.indptr), shape=(n, m)).sum(axis=0)
        self.spread = np.sqrt(np.maximum(np.asarray(squares).ravel() - n * self.mean**2, 0))

    def sums(self, targets: NDArray[Any], units: IntArray | slice = slice(None)) -> Float64Array:
        """Return the sums over rows of rank times target (n_units, n_columns)."""
        part = self._scores[:, units].T
        if part.nnz > DENSE_SHARE * part.shape[0] * part.shape[1]:
            part = part.toarray()
        return np.asarray(part @ targets.astype(np.float64))

    def effects(self, target: Target) -> Float64Array:
        """Return how strongly each unit is associated with each column of a target (n_components, n_columns).

        For classes this is the AUROC of the activation minus a half, for numbers Spearman's rank correlation.
        """
        columns = target.columns.astype(np.float64)
        sums = self.sums(columns) - np.outer(self.mean, columns.sum(axis=0))
        if target.classes is not None:
            of_class = columns.sum(axis=0)
            return sums / np.maximum(2 * of_class * (self.n - of_class), 1)
        spread = np.outer(self.spread, np.sqrt(np.square(columns - columns.mean(axis=0)).sum(axis=0)))
        return np.divide(sums, spread, out=np.zeros_like(sums), where=spread > 0)


class Association(NamedTuple):
    """How each unit is associated with y on held-out rows."""

    effects: Float64Array  # (m,) the chosen column of `Ranks.effects`
    columns: IntArray  # (m,) the column of the target that was chosen
    signs: Float64Array  # (m,) +1 or -1, the direction that was chosen
    ranks: Ranks  # of the held-out rows
    target: Target  # of the held-out rows
    rows: IntArray  # the held-out rows


def associate(codes: csc_array, target: Target, test_size: float, rng: np.random.RandomState) -> Association:
    """Choose a class and a direction for each unit on some rows; measure the association on the others."""
    chosen, held_out = halves(target, test_size, rng)
    by_row = codes.tocsr()
    effects = Ranks(by_row[chosen].tocsc()).effects(target.of(chosen))
    columns = np.abs(effects).argmax(axis=1)
    units = np.arange(len(columns))
    signs = np.where(effects[units, columns] < 0, -1.0, 1.0)
    ranks, on = Ranks(by_row[held_out].tocsc()), target.of(held_out)
    return Association(ranks.effects(on)[units, columns], columns, signs, ranks, on, held_out)


def permutation_p_values(
    found: Association, n_permutations: int, rng: np.random.Generator, n_exceeding: int = 20
) -> Float64Array:
    """Return one-sided p-values from permutations of the target's rows, in the directions chosen beforehand.

    A unit is done as soon as ``n_exceeding`` of its first L permutations were at least as extreme as the data: its
    p-value is then ``n_exceeding / L`` (Besag and Clifford 1991). Otherwise it is (g + 1) / (n_permutations + 1), with
    g the number of such permutations. Both are valid for any number of rows, with ties, and for rare classes.
    """
    targets, n = found.target.columns, found.ranks.n
    units = np.arange(len(found.columns))
    all_sums = found.ranks.sums(targets)
    observed = found.signs * all_sums[units, found.columns]
    p_values = np.ones(len(units))
    exceeded = np.zeros(len(units), dtype=np.int64)
    left = np.flatnonzero(found.ranks.spread > 0)
    done, block = 0, 4 * n_exceeding
    while len(left) and done < n_permutations:
        block = max(1, min(block, n_permutations - done, LARGEST_BLOCK // max(n, len(left))))
        order = rng.permuted(np.broadcast_to(np.arange(n), (block, n)), axis=1).T
        finished = np.zeros(len(left), dtype=bool)
        for column in np.unique(found.columns[left]):
            these = np.flatnonzero(found.columns[left] == column)
            members = left[these]
            sums = found.signs[members, None] * found.ranks.sums(targets[:, column][order], members)
            counts = exceeded[members, None] + np.cumsum(sums >= observed[members, None], axis=1)
            exceeded[members] = counts[:, -1]
            reached = counts[:, -1] >= n_exceeding
            at = done + 1 + np.argmax(counts[reached] >= n_exceeding, axis=1)
            p_values[members[reached]] = n_exceeding / at
            finished[these[reached]] = True
        left, done, block = left[~finished], done + block, 2 * block
    p_values[left] = (exceeded[left] + 1) / (done + 1)
    return p_values
