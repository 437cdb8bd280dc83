"""Display of anomalies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing, check_consistent_length

from ..metrics import is_anomaly
from ._common import BLUE, GREY, ORANGE, find_names, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import Float64Array
    from ..outlier import SparseAutoencoderOutlierDetector
    from ._common import AxesLike


class AnomalyDisplay:
    """Anomaly scores with the threshold, and the contributions of the features to the score of one row.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Anomaly scores: the higher, the more anomalous.
    threshold : float
    contributions : ndarray of shape (n_features,)
        Contributions to the score of ``row``.
    row : int
    feature_names : list of str
    y : array-like of shape (n_samples,) or None
        Labels of known anomalies: True of booleans, 1 of 0 and 1, or -1 of -1 and +1, as `predict` gives them. Labels
        that are all 1 raise a ValueError, since they can mean all anomalies or none; pass booleans then.

    Attributes
    ----------
    ax_ : array of two Axes
    figure_ : Figure
    """

    def __init__(
        self,
        scores: Float64Array,
        threshold: float,
        contributions: Float64Array,
        row: int,
        feature_names: Sequence[str],
        y: ArrayLike | None = None,
    ) -> None:
        self.scores, self.threshold, self.contributions = scores, threshold, contributions
        self.row, self.feature_names = row, feature_names
        check_consistent_length(scores, y)
        self.y = None if y is None else is_anomaly(y)

    @classmethod
    def from_estimator(
        cls,
        estimator: SparseAutoencoderOutlierDetector,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        row: int | None = None,
        feature_names: Iterable[str] | None = None,
        ax: AxesLike | None = None,
        n_features: int = 10,
    ) -> Self:
        """Show the scores of X and explain one of its rows.

        Parameters
        ----------
        estimator : SparseAutoencoderOutlierDetector
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Labels of known anomalies: True of booleans, 1 of 0 and 1, or -1 of -1 and +1, as `predict` gives them.
            Labels that are all 1 raise a ValueError, since they can mean all anomalies or none; pass booleans then,
            for example ``estimator.predict(X) == -1``.
        row : int, default=None
            Row to explain; None takes the one with the highest anomaly score.
        feature_names : list of str, default=None
            None uses the names seen during `fit`.
        ax : array of two Axes, default=None
        n_features : int, default=10
            Number of contributions to show; the others are summed.

        Returns
        -------
        display : AnomalyDisplay
        """
        scores = -estimator.score_samples(X)
        row = int(np.argmax(scores)) if row is None else row
        contributions = estimator.score_contributions(_safe_indexing(X, [row]))[0]
        names = find_names(estimator, feature_names, len(contributions))
        return cls(scores, -estimator.offset_, contributions, row, names, y).plot(ax, n_features=n_features)

    def plot(self, ax: AxesLike | None = None, *, n_features: int = 10, bins: int = 40) -> Self:
        """Draw scores and contributions; ``ax``, if given, holds two axes."""
        self.figure_, self.ax_ = make_axes(ax, 1, 2, (10, 4))
        self._plot_scores(self.ax_[0], bins)
        self._plot_contributions(self.ax_[1], n_features)
        return self

    def _plot_scores(self, axis: Axes, bins: int) -> None:
        positive = self.scores[self.scores > 0]
        low, high = (positive.min(), positive.max()) if len(positive) else (0.5, 2.0)
        edges = np.geomspace(low, max(high, low * 1.001), bins).tolist()
        clipped = np.maximum(self.scores, low)
        if self.y is None:
            axis.hist(clipped, bins=edges, color=BLUE)
        else:
            groups = [clipped[~self.y], clipped[self.y]]
            axis.hist(groups, bins=edges, stacked=True, color=[BLUE, ORANGE], label=["normal", "anomaly"])
        axis.axvline(self.threshold, color="black", linestyle="--", linewidth=1, label="threshold")
        axis.axvline(max(self.scores[self.row], low), color=GREY, linewidth=1, label=f"row {self.row}")
        axis.set(xscale="log", xlabel="anomaly score", ylabel="number of rows")
        axis.legend(frameon=False, fontsize="small")

    def _plot_contributions(self, axis: Axes, n_features: int) -> None:
        order = np.argsort(-np.abs(self.contributions))
        shown, rest = order[:n_features], order[n_features:]
        labels, values = [self.feature_names[k] for k in shown], list(self.contributions[shown])
        if len(rest):
            labels.append(f"{len(rest)} others")
            values.append(self.contributions[rest].sum())
        axis.barh(range(len(values)), values, color=np.where(np.array(values) < 0, ORANGE, BLUE))
        axis.set_yticks(range(len(values)), labels)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.invert_yaxis()
        axis.set(xlabel=f"contribution to the score of row {self.row}")
