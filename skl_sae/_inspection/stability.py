"""Whether other fits find the same units again."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csc_array, csr_array, issparse
from scipy.stats import false_discovery_control
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from .._crew import Crew
from .._types import Float64Array, MatrixLike
from ..exceptions import DataRangeWarning, HiddenUnitWarning
from .matching import correlations, cosines, matched
from .models import Inspected, IntArray, check_count
from .tables import as_html, as_text

if TYPE_CHECKING:
    import pandas as pd

N_RANDOM = 5  # random dictionaries for a chance level
ROWS_TO_MIX = 2000  # rows that random atoms are mixtures of
FALSE_RATE = 0.05
UNITS_OF_TEXT, UNITS_OF_HTML = 10, 50


class FeatureStability:
    """How well refits find the units of an autoencoder again: the result of `feature_stability`.

    Attributes
    ----------
    cosine_ : ndarray of shape (n_components,)
        Mean over the refits of the cosine between the unit's atom and the atom matched with it.
    correlation_ : ndarray of shape (n_components,)
        Mean over the refits of the correlation between the unit's activations and those of the unit matched with it by
        correlation.
    cosines_, correlations_ : ndarrays of shape (n_refits, n_components)
        The same for each refit.
    matches_ : ndarray of shape (n_refits, n_components)
        Units of the refits, matched by cosine.
    frequency_ : ndarray of shape (n_components,)
        Share of the rows on which the unit is active.
    p_value_ : ndarray of shape (n_components,)
        How likely cosines this high are by chance in the majority of the refits.
    stable_ : ndarray of shape (n_components,), of booleans
        Units that come back, at a false discovery rate of 5 %.
    chance_cosines_, chance_correlations_ : dict of ndarrays
        What matching finds by chance: "random" for the units and five sets of random atoms with the covariance of X
        (cosines only), "shuffled" for the units and each of two fits to the same column-shuffled X, "shuffled pair"
        for these two fits with one another.
    chance_ : dict of floats
        Means of ``chance_cosines_``.
    estimators_ : list of n_refits estimators
        The refits.
    """

    frequency_: Float64Array
    cosines_: Float64Array
    correlations_: Float64Array
    matches_: IntArray
    chance_cosines_: dict[str, Float64Array]
    chance_correlations_: dict[str, Float64Array]
    p_value_: Float64Array
    estimators_: list[Any]

    @property
    def cosine_(self) -> Float64Array:
        return self.cosines_.mean(axis=0)

    @property
    def correlation_(self) -> Float64Array:
        return self.correlations_.mean(axis=0)

    @property
    def stable_(self) -> Any:
        return false_discovery_control(self.p_value_) <= FALSE_RATE

    @property
    def chance_(self) -> dict[str, float]:
        return {name: float(values.mean()) for name, values in self.chance_cosines_.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each unit, the most stable first."""
        import pandas as pd

        return pd.DataFrame(self._table(self._order())).set_index("unit")

    def _order(self) -> IntArray:
        return np.argsort(-self.cosine_, kind="stable")

    def _table(self, units: IntArray) -> dict[str, list[Any]]:
        return {
            "unit": units.tolist(),
            "frequency": self.frequency_[units].tolist(),
            "cosine": self.cosine_[units].tolist(),
            "correlation": self.correlation_[units].tolist(),
            "p": self.p_value_[units].tolist(),
            "stable": self.stable_[units].tolist(),
        }

    def _title(self) -> str:
        chance = ", ".join(f"{name} {value:.2f}" for name, value in self.chance_.items())
        return (
            f"{type(self).__name__}: {np.count_nonzero(self.stable_)} of {len(self.p_value_)} units come back in "
            f"{len(self.cosines_)} refits; mean cosine {self.cosine_.mean():.2f}, by chance: {chance}"
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self._table(self._order()[:UNITS_OF_TEXT]), len(self.p_value_) - UNITS_OF_TEXT)

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._table(self._order()[:UNITS_OF_HTML]), len(self.p_value_) - UNITS_OF_HTML)


def feature_stability(
    estimator: Any,
    X: MatrixLike,
    *,
    n_refits: int = 5,
    subsample: float | int | None = None,
    n_jobs: int | None = None,
    callback: Callable[[int, int], object] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> FeatureStability:
    r"""Refit an autoencoder with other seeds, and measure how well each unit comes back.

    Many units of a sparse autoencoder do not come back with another seed [1]_ [2]_ [3]_. A unit that does not is an
    arbitrary choice among several that serve equally well, and no conclusion should rest on it. Units are matched one
    to one so that the sum of the cosines between atoms is largest, and once more by the correlations of their
    activations.

    Parameters
    ----------
    estimator : TopKAutoencoderTransformer, SparseAutoencoderTransformer or Pipeline
        Fitted; its units are judged, and the refits have its parameters. In a Pipeline only the autoencoder is fitted
        anew, so that atoms stay comparable.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows for the refits, usually those of the fit. They have equal weights, even if the fit had a
        ``sample_weight``.
    n_refits : int, default=5
        Number of refits.
    subsample : float or int, default=None
        Share or number of the rows for each refit, drawn anew without replacement. None takes all: then only the seed
        differs, and a unit may come back because it follows single rows that all fits have seen.
    n_jobs : int, default=None
        Number of fits at the same time, in threads; None means 1, -1 as many as there are processors. A fit alone
        already uses several threads; fits at the same time share the processors, and each holds the codes of X.
    callback : callable, default=None
        Called as ``callback(done, total)`` after each of the ``n_refits + 2`` fits; two are for chance levels.
    random_state : int, RandomState instance or None, default=None
        Seed of the refits, the subsamples and the chance levels.

    Returns
    -------
    stability : FeatureStability

    Raises
    ------
    ValueError
        If X has other features than the fit, if ``n_refits`` or ``subsample`` is out of range, if a refit would have
        fewer rows than there are units, if there are fewer than two units, or if no unit is ever active.
    TypeError
        If the estimator is of another kind, or X is not in memory.

    See Also
    --------
    dictionary_similarity : Compare two dictionaries, also of different sizes.
    skl_sae.plotting.StabilityDisplay : A picture of the result.

    Notes
    -----
    Cosines that matching finds by chance depend on the number of units and features, and on how the data are spread. So
    there are three chance levels: random atoms with the covariance of X; two fits to column-shuffled X, in which every
    feature keeps its distribution but is unrelated to the others; and the cosines between these two fits, which also
    share their rows, as refits without ``subsample`` do. The two fits take at most as many iterations as the estimator.

    A matched cosine is nearly the highest among many. Its p-value therefore comes from an extreme value distribution
    (Gumbel's), fitted by moments to the inverse hyperbolic tangents of the cosines of each chance level; the largest of
    the three p-values counts. A unit then has a p-value for each of R refits. Its result is the r-th smallest, with r
    the smallest majority, times R / r, which is valid however the p-values depend on one another [4]_. Benjamini and
    Hochberg's procedure follows.

    A unit that comes back is determined by the data and this kind of autoencoder. That makes it neither true nor
    meaningful; a common direction such as the mean of X comes back as well.

    References
    ----------
    .. [1] P. Leask et al., "Sparse autoencoders do not find canonical units of analysis", ICLR 2025.
    .. [2] T. Fel et al., "Archetypal SAE: adaptive and stable dictionary learning for concept extraction in large
       vision models", ICML 2025.
    .. [3] G. Paulo and N. Belrose, "Sparse autoencoders trained on the same data learn different features", 2025.
    .. [4] B. Rüger, "Das maximale Signifikanzniveau des Tests: Lehne H0 ab, wenn k unter n gegebenen Tests zur
       Ablehnung führen", Metrika 25, 1978.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skl_sae import TopKAutoencoderTransformer
    >>> from skl_sae.inspection import feature_stability
    >>> X = load_digits().data
    >>> sae = TopKAutoencoderTransformer(32, k=4, tol=0.05, random_state=0).fit(X)
    >>> stability = feature_stability(sae, X, n_refits=3, random_state=1)
    >>> stability.cosine_.shape
    (32,)
    >>> bool(stability.cosine_.mean() > stability.chance_["shuffled"])
    True
    """
    inspected = Inspected(estimator)
    inputs = inspected.inputs(X)
    rows = inspected.rows(inputs)
    codes = inspected.codes(inputs)
    n_rows = _check(inspected, codes, n_refits, subsample)
    seeds = check_random_state(random_state)
    fits = _Refits(inspected, rows, codes, n_rows, n_refits, seeds)
    done = fits.run(n_jobs, callback)
    rng = np.random.default_rng(seeds.randint(2**31))
    return _judge(inspected, rows, codes, done[:n_refits], done[n_refits:], fits.shuffled, rng)


def _check(inspected: Inspected, codes: csc_array, n_refits: int, subsample: float | int | None) -> int:
    """Check the arguments and return the number of rows of a refit."""
    n, m = codes.shape
    check_count("n_refits", n_refits)
    if subsample is None:
        n_rows = n
    elif isinstance(subsample, Integral) and 1 <= subsample <= n:
        n_rows = int(subsample)
    elif isinstance(subsample, Real) and not isinstance(subsample, Integral) and 0 < subsample <= 1:
        n_rows = round(subsample * n)
    else:
        raise ValueError(f"subsample must be a share of the rows in (0, 1] or a number from 1 to {n}, got {subsample}.")
    if inspected.model.n_components != m:
        raise ValueError(
            f"Refits with n_components={inspected.model.n_components} have no unit for each of the {m} fitted ones. "
            f"Fit the estimator again, or set n_components={m}."
        )
    if m < 2:
        raise ValueError("Stability is judged by comparison with other units, but the autoencoder has only one.")
    if n_rows < m:
        raise ValueError(
            f"A refit to {n_rows} rows cannot determine {m} units: pass at least as many rows as units, a larger "
            "subsample, or an autoencoder with fewer units."
        )
    if codes.nnz == 0:
        raise ValueError("The code is constant: no unit is active on any row of X. Are these the rows of the fit?")
    return n_rows


class _Refit(NamedTuple):
    """A refit, and how similar each unit is to the one matched with it, by cosine and by correlation."""

    model: Any
    cosines: Float64Array
    matches: IntArray
    correlations: Float64Array


class _Refits:
    """The fits that stability needs; all random choices are made beforehand, so any ``n_jobs`` gives the same."""

    def __init__(
        self,
        inspected: Inspected,
        rows: Any,
        codes: csc_array,
        n_rows: int,
        n_refits: int,
        random_state: np.random.RandomState,
    ) -> None:
        model, self._atoms, self._rows, self._codes = inspected.model, inspected.atoms, rows, codes
        self._n_rows, self._n_refits = n_rows, n_refits
        picked = np.sort(random_state.choice(rows.shape[0], n_rows, replace=False))
        self.shuffled = shuffle_columns(rows[picked], random_state)
        quick = {"max_iter": max(1, min(model.max_iter, model.n_iter_))}
        self._models = [clone(model) for _ in range(n_refits)] + [clone(model).set_params(**quick) for _ in range(2)]
        for one in self._models:
            one.set_params(random_state=random_state.randint(2**31), verbose=0)
        self._seeds = random_state.randint(2**31, size=n_refits)
        self._lock, self._done = threading.Lock(), 0
        self._error: BaseException | None = None

    def run(self, n_jobs: int | None, callback: Callable[[int, int], object] | None) -> list[_Refit]:
        """Return the refits, then the two fits to column-shuffled rows."""
        with warnings.catch_warnings():  # the first fit has warned of the same
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", HiddenUnitWarning)
            warnings.simplefilter("ignore", DataRangeWarning)
            refits = list(
                Parallel(n_jobs=n_jobs, require="sharedmem")(
                    delayed(self._try)(i, callback) for i in range(len(self._models))
                )
            )
        if self._error is not None:
            raise self._error
        return refits

    def _try(self, i: int, callback: Callable[[int, int], object] | None) -> _Refit | None:
        """Fit unless another fit has failed; an error waits for other threads, which change warning filters."""
        if self._error is not None:
            return None
        try:
            return self._fit(i, callback)
        except BaseException as error:
            self._error = error
            return None

    def _fit(self, i: int, callback: Callable[[int, int], object] | None) -> _Refit:
        rows = self.shuffled if i >= self._n_refits else self._rows
        if i < self._n_refits and self._n_rows < rows.shape[0]:
            picked = np.random.RandomState(self._seeds[i]).choice(rows.shape[0], self._n_rows, replace=False)
            rows = rows[np.sort(picked)]
        refit = self._compare(self._models[i].fit(rows))
        with self._lock:
            self._done += 1
            if callback is not None:
                callback(self._done, len(self._models))
        return refit

    def _compare(self, model: Any) -> _Refit:
        other = Inspected(model)
        with Crew():  # which holds BLAS at one thread: the last bits of products depend on their number
            values, matches = _pair(cosines(self._atoms, other.atoms))
        return _Refit(model, values, matches, _pair(correlations(self._codes, other.codes(self._rows)))[0])


def shuffle_columns(rows: Any, random_state: np.random.RandomState) -> Any:
    """Return a copy in which the values of every feature are shuffled among the rows."""
    rng = np.random.default_rng(random_state.randint(2**31))
    if not issparse(rows):
        return rng.permuted(rows, axis=0)
    by_column = csc_array(rows)
    counts = np.diff(by_column.indptr)
    indices = [rng.choice(rows.shape[0], count, replace=False) for count in counts]
    shuffled = csc_array((by_column.data, np.concatenate(indices), by_column.indptr), shape=rows.shape)
    return csr_array(shuffled)


def random_mixtures(rows: Any, n: int, rng: np.random.Generator) -> Float64Array:
    """Return n random directions (n, n_features) with the covariance of the rows, or of a sample of them."""
    some = rows[rng.choice(rows.shape[0], min(rows.shape[0], ROWS_TO_MIX), replace=False)]
    weights = rng.standard_normal((n, some.shape[0]))
    return np.asarray(some.T @ (weights - weights.mean(axis=1, keepdims=True)).T, dtype=np.float64).T


def _judge(
    inspected: Inspected,
    rows: Any,
    codes: csc_array,
    refits: list[_Refit],
    shuffled: list[_Refit],
    shuffled_rows: Any,
    rng: np.random.Generator,
) -> FeatureStability:
    atoms, (first, second) = inspected.atoms, [Inspected(one.model) for one in shuffled]
    result = FeatureStability()
    result.estimators_ = [one.model for one in refits]
    result.frequency_ = np.diff(codes.indptr) / codes.shape[0]
    result.cosines_ = np.array([one.cosines for one in refits])
    result.matches_ = np.array([one.matches for one in refits])
    result.correlations_ = np.array([one.correlations for one in refits])
    mixtures = (random_mixtures(rows, len(atoms), rng) for _ in range(N_RANDOM))
    result.chance_cosines_ = {
        "random": np.concatenate([_pair(cosines(atoms, one))[0] for one in mixtures]),
        "shuffled": np.concatenate([one.cosines for one in shuffled]),
        "shuffled pair": _pair(cosines(first.atoms, second.atoms))[0],
    }
    result.chance_correlations_ = {
        "shuffled": np.concatenate([one.correlations for one in shuffled]),
        "shuffled pair": _pair(correlations(first.codes(shuffled_rows), second.codes(shuffled_rows)))[0],
    }
    result.p_value_ = _majority(_p_values(result.cosines_, list(result.chance_cosines_.values())))
    if hasattr(inspected.model, "feature_names_in_"):  # refits saw the same features, as an array
        for model in result.estimators_:
            model.feature_names_in_ = inspected.model.feature_names_in_
    return result


def _pair(similarities: Float64Array) -> tuple[Float64Array, IntArray]:
    """Return, for the unit of each row, its similarity to the unit matched with it and the index of that unit."""
    rows, columns = matched(similarities)
    return similarities[rows, columns], columns


def _p_values(values: Float64Array, by_chance: list[Float64Array]) -> Float64Array:
    """Return the largest of the p-values of cosines under several chance levels."""
    bounded = [np.arctanh(np.clip(one, -1 + 1e-7, 1 - 1e-7)) for one in [values, *by_chance]]
    p_values = np.zeros_like(values)
    for chance in bounded[1:]:
        scale = np.sqrt(6) / np.pi * max(float(chance.std(ddof=1)), 1e-3)
        place = chance.mean() - np.euler_gamma * scale
        p_values = np.maximum(p_values, -np.expm1(-np.exp(-(bounded[0] - place) / scale)))
    return p_values


def _majority(p_values: Float64Array) -> Float64Array:
    """Return one p-value for each column, low if those of most rows are low."""
    n = len(p_values)
    least = n // 2 + 1
    return np.minimum(np.sort(p_values, axis=0)[least - 1] * n / least, 1)
