"""Conformal p-values from folds of the training rows, and decisions from p-values."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ._base import lazy_on_dask
from ._rows import DenseRows
from ._scatter import TIED_ROUNDED
from ._types import Float64Array, MatrixLike

# Number of folds of the training rows, and the least number of rows that are divided into folds.
FOLDS, LEAST_ROWS = 10, 3


def deal(weights, n_folds, rng):
    """Deal rows out to folds at random; return the weight (n_folds, n) of each row in each fold.

    A row of weight 2 is dealt as two rows would be.
    """
    everywhere, rest = np.divmod(weights, n_folds)
    held = np.tile(everywhere, (n_folds, 1))
    copies = np.ceil(rest).astype(int)
    pieces = np.repeat(np.arange(len(weights)), copies)
    earlier = np.arange(len(pieces)) - np.repeat(np.cumsum(copies) - copies, copies)  # pieces of the same row
    np.add.at(held, (rng.permutation(len(pieces)) % n_folds, pieces), np.minimum(rest[pieces] - earlier, 1))
    return held


class ConformalMixin:
    """p-values of new rows, and decisions by them.

    A detector provides `_fit_fold(rows, weights)`, which returns a function that scores blocks of rows, `_check_rows`,
    and `_reference`, the training rows that it has kept.
    """

    _reference: dict[str, Any]
    _folds: CrossConformal
    _fit_fold: Any
    _check_rows: Any

    def p_values(self, X: MatrixLike) -> Float64Array:
        r"""Conformal p-value of every row: how likely a normal row is to be at least as strange.

        The training rows are dealt into ten folds. Each fold is scored by a fit to the others, and the score of a new
        row by the same fit is compared with these scores (cross-conformal prediction [1]_):

        .. math:: p(x) = \frac{1 + \sum_k \#\{i \in F_k : s_{-k}(x_i) \ge s_{-k}(x)\}}{n + 1} .

        Here :math:`s_{-k}` is the anomaly score by the fit without fold :math:`F_k`, and n the number of training rows,
        or their total weight. The first call fits ten times to the training rows that the detector has kept; later
        calls only score.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
            New rows. The p-values of training rows mean nothing.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            From 1 / (n + 1) to 1, in float64.

        Raises
        ------
        ValueError
            If the training rows have a total weight below 3, or the detector was fitted by a version of the package
            that kept none.

        Notes
        -----
        If new rows and training rows are exchangeable, that is, drawn in the same way and all normal, the share of new
        rows with a p-value of at most :math:`\alpha` is in theory at most :math:`2 \alpha` plus a term that vanishes
        with many rows [2]_, and in practice about :math:`\alpha` (``benchmarks/calibration.py`` measures it). This
        holds on average over training sets, not for each of them. With anomalies among the training rows, p-values are
        too large: fewer rows are flagged, anomalies as well as normal ones. If normal rows change over time, none of
        this holds.

        References
        ----------
        .. [1] V. Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence 74, 2015.
        .. [2] R. F. Barber, E. J. Candès, A. Ramdas and R. J. Tibshirani, "Predictive inference with the jackknife+",
           Annals of Statistics 49, 2021.

        Examples
        --------
        >>> import numpy as np
        >>> from skl_sae import SparseAutoencoderOutlierDetector
        >>> rng = np.random.default_rng(0)
        >>> detector = SparseAutoencoderOutlierDetector(random_state=0).fit(rng.normal(size=(199, 3)))
        >>> detector.p_values([[9, 9, 9]])
        array([0.005])
        >>> bool(np.mean(detector.p_values(rng.normal(size=(1000, 3))) <= 0.1) < 0.15)
        True
        """
        check_is_fitted(self)
        if not hasattr(self, "_folds"):
            self._folds = self._cross_conformal()
        return self._p_values(X)

    @lazy_on_dask(dtype=np.float64)
    def _p_values(self, X: MatrixLike) -> Float64Array:
        return np.concatenate(list(self._check_rows(X).map(self._folds.p_values)))

    def detect(self, X: MatrixLike, fdr: float = 0.1) -> NDArray[np.bool_]:
        """Flag outliers among rows so that few of the flags are false.

        The procedure of Benjamini and Hochberg [1]_ on `p_values`: of the rows that are flagged, the share that is
        normal is at most ``fdr`` on average. Unlike `predict`, which decides on each row by itself, it flags nothing if
        no row stands out from all others.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask array} of shape (n_samples, n_features)
            The new rows to decide on together.
        fdr : float, default=0.1
            False discovery rate to accept, in (0, 1).

        Returns
        -------
        is_outlier : ndarray of shape (n_samples,)
            True for outliers. An array in local memory even if X is a dask array.

        Raises
        ------
        ValueError
            If ``fdr`` is not in (0, 1), or for the reasons that `p_values` lists.

        Notes
        -----
        The rate holds for p-values that compare new rows with the same clean training rows [2]_; it depends on the same
        conditions as `p_values`. A p-value is at least 1 / (n + 1), so k outliers among m rows can be found only if
        ``fdr * k / m`` is at least that: a few among many need many training rows.

        References
        ----------
        .. [1] Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate: a practical and powerful approach to
           multiple testing", Journal of the Royal Statistical Society B 57, 1995.
        .. [2] S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia, "Testing for outliers with conformal p-values",
           Annals of Statistics 51, 2023.

        Examples
        --------
        >>> import numpy as np
        >>> from skl_sae import SparseAutoencoderOutlierDetector
        >>> rng = np.random.default_rng(0)
        >>> detector = SparseAutoencoderOutlierDetector(random_state=0).fit(rng.normal(size=(500, 3)))
        >>> X = rng.normal(size=(100, 3))
        >>> X[:10] += 6
        >>> np.flatnonzero(detector.detect(X))
        array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
        """
        if not (isinstance(fdr, Real) and 0 < fdr < 1):
            raise ValueError(f"fdr must be a float in the range (0, 1), got {fdr!r}.")
        return benjamini_hochberg(np.asarray(self.p_values(X)), fdr)

    def _cross_conformal(self, enough: float = np.inf) -> CrossConformal:
        """Return fits to the training rows but a fold, for every fold or until ``enough`` rows were held out."""
        if not hasattr(self, "_reference"):
            raise ValueError(
                f"This {type(self).__name__} was fitted by a version of skl_sae that kept no training rows, which "
                "p-values need. Fit it again."
            )
        X, weights, seed = (self._reference[name] for name in ("X", "weights", "seed"))
        return CrossConformal.fit(self._fit_fold, X, weights, np.random.RandomState(seed), enough)


class CrossConformal:
    """Fits to all folds but one, and the scores of the fold that each has not seen.

    Parameters
    ----------
    parts : list of (scorer, scores, weights)
        Scores of the rows of a fold in increasing order, and their weights.
    """

    def __init__(self, parts):
        self.parts = parts

    @classmethod
    def fit(cls, fit, X, weights, rng, enough=np.inf):
        """Fit to all of the distinct rows X (n, d) but a fold, for every fold or until ``enough`` rows were held out.

        ``fit(rows, weights)`` returns a function that scores blocks of rows.
        """
        total = weights.sum()
        if total < LEAST_ROWS:
            raise ValueError(
                f"p-values need training rows of a total weight of at least {LEAST_ROWS}, got {total:.3g}."
            )
        parts, n_held = [], 0.0
        for held in deal(weights, int(min(FOLDS, total)), rng):
            left = weights - held
            if not held.any() or n_held >= enough:
                continue
            n_held += held.sum()
            with warnings.catch_warnings():  # the fit to all rows has issued them
                warnings.simplefilter("ignore")
                scorer = fit(DenseRows(X[left > 0]), left[left > 0])
            scores = scorer(DenseRows(X[held > 0]))
            order = np.argsort(scores, kind="stable")
            if enough < np.inf:
                scorer = None  # only the scores are wanted, and every scorer keeps rows of its own
            parts.append((scorer, scores[order], held[held > 0][order]))
        return cls(parts)

    def p_values(self, rows):
        """Return the p-values (n,) of a block of rows."""
        reach, total = np.zeros(len(rows)), 1.0
        for scorer, scores, weights in self.parts:
            below = np.append(0, np.cumsum(weights))
            reach += below[-1] - below[np.searchsorted(scores, scorer(rows) * (1 - TIED_ROUNDED))]
            total += below[-1]
        return (1 + reach) / total

    def held_out(self):
        """Return the scores of all rows, each by the fit that has not seen it, and their weights."""
        return tuple(np.concatenate([part[i] for part in self.parts]) for i in (1, 2))


def benjamini_hochberg(p_values, fdr):
    """Return which p-values (n,) are rejected so that the expected share of false rejections is at most ``fdr``."""
    n = len(p_values)
    passed = np.flatnonzero(np.sort(p_values) <= fdr * np.arange(1, n + 1) / n)
    return p_values <= (np.sort(p_values)[passed[-1]] if len(passed) else -1)


def threshold(scores, weights, share, tie, floor, of_new_rows=False):
    """Return a threshold that this share of the weight exceeds, half-way between two scores.

    Scores count as equal if they differ by less than ``tie``, relatively, or than ``floor``: rounding must not move a
    row across the threshold.
    With ``of_new_rows`` the share is that of new rows, by the quantile of conformal prediction.
    """
    order = np.argsort(scores, kind="stable")
    reached, sorted_scores = np.cumsum(weights[order]), scores[order]
    total = reached[-1]
    rank = (1 - share) * (total + 1 if of_new_rows else total)
    inlier = sorted_scores[min(np.searchsorted(reached, rank * (1 - 1e-12)), len(scores) - 1)]
    return _beyond(inlier, scores, tie, floor)


def tukey_fence(scores, weights, tie, floor):
    """Return Tukey's upper fence of weighted scores, or a little more where a score equals it."""
    lower, upper = np.quantile(scores, [0.25, 0.75], weights=weights, method="inverted_cdf")
    fence = upper + 1.5 * (upper - lower)
    return max(fence, _beyond(scores[scores <= fence].max(), scores, tie, floor)) if fence - upper < floor else fence


def _beyond(inlier, scores, tie, floor):
    """Return a threshold above a score and all that equal it: half-way to the next."""
    limit = inlier + max(abs(inlier) * tie, floor)
    higher = scores[scores > limit]
    return float((inlier + higher.min()) / 2 if higher.size else limit)
