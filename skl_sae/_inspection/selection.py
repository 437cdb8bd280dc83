"""Units that are related to y, at a false discovery rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control
from sklearn.utils import check_random_state, column_or_1d

from .._types import Float64Array, MatrixLike
from .association import Association, Task, as_target, associate, permutation_p_values, problem_classes
from .models import IntArray, as_codes, check_count, check_rows
from .tables import as_html, as_text

if TYPE_CHECKING:
    import pandas as pd

UNITS_OF_TEXT, UNITS_OF_HTML = 10, 50


class SelectedFeatures:
    """Units that are related to y: the result of `select_features`.

    Attributes
    ----------
    selected_ : ndarray of ints
        The units found, sorted by p-value and, where these are equal, by effect, the largest first. May be empty.
    ranking_ : ndarray of shape (n_components,)
        All units in that order.
    p_values_, adjusted_p_values_ : ndarrays of shape (n_components,)
        One-sided p-values on the held-out rows, as they are and adjusted by Benjamini and Hochberg's procedure: a unit
        is found if its adjusted p-value is at most ``fdr``.
    effect_ : ndarray of shape (n_components,)
        On the held-out rows: for classes the AUROC of the activation for ``class_`` against the rest, for numbers
        Spearman's rank correlation with y. 0.5 and 0 mean no association.
    mean_active_, mean_inactive_ : ndarrays of shape (n_components,)
        The share of ``class_`` (numbers: the mean of y) among the held-out rows on which the unit is active, and among
        the others. NaN where there are no such rows.
    class_ : ndarray of shape (n_components,) or None
        For classes, the one that the training rows chose for each unit. With two classes it is the second.
    direction_ : ndarray of shape (n_components,)
        1 if higher activations went with higher y (for classes, with ``class_``) on the training rows, -1 if with lower
        y (the other classes). The p-values test this direction.
    test_rows_ : ndarray of ints
        The held-out rows.
    fdr : float
        As passed to `select_features`.
    """

    def __init__(
        self,
        found: Association,
        p_values: Float64Array,
        means: tuple[Float64Array, Float64Array],
        classes: NDArray[Any] | None,
        fdr: float,
    ) -> None:
        self.fdr, self.p_values_, self.adjusted_p_values_ = fdr, p_values, false_discovery_control(p_values)
        self.effect_ = found.effects + (0.0 if classes is None else 0.5)
        self.class_ = None if classes is None else classes[found.columns]
        self.direction_ = found.signs.astype(np.intp)
        self.mean_active_, self.mean_inactive_ = means
        self.test_rows_ = found.rows
        self.ranking_: IntArray = np.lexsort((-found.signs * found.effects, p_values))
        self.selected_: IntArray = self.ranking_[self.adjusted_p_values_[self.ranking_] <= fdr]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each unit, in the order of ``ranking_``."""
        import pandas as pd

        return pd.DataFrame(self._table(self.ranking_)).set_index("unit")

    def _table(self, units: IntArray) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {"unit": units.tolist()}
        if self.class_ is not None:
            columns["class"] = self.class_[units].tolist()
        return columns | {
            "effect": self.effect_[units].tolist(),
            "p": self.p_values_[units].tolist(),
            "adjusted p": self.adjusted_p_values_[units].tolist(),
            "where active": self.mean_active_[units].tolist(),
            "elsewhere": self.mean_inactive_[units].tolist(),
        }

    def _title(self) -> str:
        return (
            f"{type(self).__name__}: {len(self.selected_)} of {len(self.p_values_)} units at fdr={self.fdr:g}, "
            f"{len(self.test_rows_)} held-out rows"
        )

    def __repr__(self) -> str:
        shown = self.selected_[:UNITS_OF_TEXT]
        return as_text(self._title(), self._table(shown), len(self.selected_) - UNITS_OF_TEXT)

    def _repr_html_(self) -> str:
        shown = self.selected_[:UNITS_OF_HTML]
        return as_html(self._title(), self._table(shown), len(self.selected_) - UNITS_OF_HTML)


def select_features(
    codes: MatrixLike,
    y: ArrayLike,
    *,
    fdr: float = 0.1,
    test_size: float = 0.5,
    n_permutations: int | None = None,
    task: Task = "auto",
    random_state: int | np.random.RandomState | None = None,
) -> SelectedFeatures:
    r"""Find the units that are related to y, at a false discovery rate.

    For each unit, training rows choose the class that is most strongly associated with it, and the direction. Held-out
    rows then test this by a permutation test of the rank sum (classes [1]_) or of Spearman's rank correlation
    (numbers). No large-sample formula is involved, so units that are active on few rows, ties and rare classes need no
    special care. Benjamini and Hochberg's procedure [2]_ keeps the expected share of false units among those found at
    ``fdr`` or below; if no unit is related to y, that share is the probability of finding any.

    Parameters
    ----------
    codes : {array-like, sparse matrix} of shape (n_samples, n_components)
        Activations, as returned by ``transform``. The fit must not have used y; it may have used the same rows.
    y : array-like of shape (n_samples,)
        Classes (labels of any type) or numbers.
    fdr : float, default=0.1
        False discovery rate, between 0 and 1.
    test_size : float, default=0.5
        Share of the rows that are held out, with the same shares of the classes.
    n_permutations : int, default=None
        Largest number of permutations of the held-out rows: the test of a unit stops as soon as 20 of them are at least
        as extreme as the data [3]_. None means ``n_components / fdr``, enough to find a single unit.
    task : {"auto", "classes", "numbers"}, default="auto"
        What y holds. "auto" takes numbers with a fraction for numbers, anything else for classes, and refuses more than
        50 different whole numbers, which could be either.
    random_state : int, RandomState instance or None, default=None
        Seed of the split and of the permutations.

    Returns
    -------
    selected : SelectedFeatures

    Raises
    ------
    ValueError
        If codes and y differ in their numbers of rows, a parameter is out of range, all units are constant on the
        held-out rows, y has only one value, or a class has a single row.

    See Also
    --------
    sparse_probe : What a few units tell together.
    sklearn.feature_selection.SelectFdr : The same procedure with p-values of F tests.

    Notes
    -----
    The test assumes that rows are exchangeable: with several rows of one patient, author or document, p-values are too
    small; average such rows first. A unit that is found is associated with y, but need not be about y, since y is
    associated with much else.

    References
    ----------
    .. [1] H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than
       the other", Annals of Mathematical Statistics 18, 1947.
    .. [2] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate: a practical and powerful approach to
       multiple testing", Journal of the Royal Statistical Society B 57, 1995.
    .. [3] J. Besag and P. Clifford, "Sequential Monte Carlo p-values", Biometrika 78, 1991.

    Examples
    --------
    >>> import numpy as np
    >>> from skl_sae.inspection import select_features
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=400)
    >>> codes = rng.exponential(size=(400, 30)) * (rng.random((400, 30)) < 0.2)
    >>> codes[:, 7] *= y
    >>> select_features(codes, y, random_state=0).selected_.tolist()
    [7]
    """
    H = as_codes(codes)
    check_rows(H, y)
    if not 0 < fdr < 1 or not 0 < test_size < 1:
        raise ValueError(f"fdr and test_size must lie between 0 and 1, got {fdr} and {test_size}.")
    if n_permutations is not None:
        check_count("n_permutations", n_permutations)
    seeds = check_random_state(random_state)
    target = as_target(y, task)
    found = associate(H, target, test_size, seeds)
    if not found.ranks.spread.any():
        raise ValueError(
            f"The code is constant on the {found.ranks.n} held-out rows: no unit varies, so none can be related to y."
        )
    n_permutations = int(np.ceil(H.shape[1] / fdr)) if n_permutations is None else n_permutations
    rng = np.random.default_rng(seeds.randint(2**31))
    p_values = permutation_p_values(found, n_permutations, rng)
    values = found.target.columns if target.classes is not None else column_or_1d(y)[found.rows, None]
    active = H.tocsr()[found.rows] != 0
    return SelectedFeatures(found, p_values, _means(active, values, found.columns), problem_classes(target), fdr)


def _means(active: Any, values: NDArray[Any], columns: IntArray) -> tuple[Float64Array, Float64Array]:
    """Return the mean of each unit's column of ``values`` over the rows on which it is active, and over the others.

    It is NaN if there are none.
    """
    units = np.arange(len(columns))
    values = values.astype(np.float64)
    sums = np.asarray(active.T.astype(np.float64) @ values)[units, columns]
    counts = np.asarray(active.sum(axis=0), dtype=np.float64).ravel()
    rest = len(values) - counts
    blank = np.full(len(units), np.nan)
    elsewhere = values.sum(axis=0)[columns] - sums  # not quite 0 where every row is active
    return (
        np.divide(sums, counts, out=blank.copy(), where=counts > 0),
        np.divide(elsewhere, rest, out=blank, where=rest > 0),
    )
