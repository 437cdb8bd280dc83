"""Display of anomalies."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing, check_consistent_length

from .._inspection.models import row_labels
from ..metrics import is_anomaly
from ._common import (
    BLUE,
    GREY,
    LARGEST,
    ORANGE,
    Parts,
    check_names,
    count_in_whole_numbers,
    ink,
    label_features,
    legend_above,
    log_ticks,
    make_axes,
    mark_log,
    position_of,
    room_for,
    shorten,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import Float64Array
    from ._common import AxesLike

# Inches for a bar with its label and for the rest of the figure; points for a line of small letters.
LINE, REST, SMALL = 0.22, 1.2, 8.0


class Scale(NamedTuple):
    """A logarithmic axis for most scores, from low to high, with a bin at either end for those beyond."""

    low: float
    high: float
    bins: int

    @classmethod
    def of(cls, scores: Float64Array, threshold: float, bins: int) -> Scale:
        """Return a scale that covers all scores except those so far out that the others would share a bin or two.

        In logarithms, a score lies far out when it is more than six interquartile ranges above the upper quartile or
        the threshold, or four below the lower quartile.
        """
        positive = scores[(scores > 0) & (scores < np.inf)]
        if not len(positive):
            return cls(0.5, 2.0, bins)
        logs = np.log(positive)
        lower, upper = np.quantile(logs, [0.25, 0.75])
        spread = max(upper - lower, 0.15)
        limit = np.log(threshold) if 0 < threshold < np.inf else -np.inf
        low = max(logs.min(), lower - 4 * spread)
        high = min(max(logs.max(), limit), max(upper, min(limit, upper + 6 * spread)) + 6 * spread)
        low, high = np.clip([low, high], -500, 500)  # leave numbers for the bins beyond
        missing = np.log(1.2) - (high - low)
        if missing > 0:
            low, high = low - missing / 2, high + missing / 2
        low, high = low - 1e-9, high + 1e-9  # so that rounding puts no score beyond
        return cls(float(np.exp(low)), float(np.exp(high)), bins)

    @property
    def step(self) -> float:
        return float(np.exp((np.log(self.high) - np.log(self.low)) / self.bins))

    @property
    def ends(self) -> tuple[float, float]:
        """Centres of the bins for scores beyond."""
        return self.low / self.step**2, self.high * self.step**2

    def edges(self) -> list[float]:
        below, above = self.ends
        half = self.step**0.5
        inner = np.geomspace(self.low, self.high, self.bins + 1)
        return [below / half, below * half, *inner.tolist(), above / half, above * half]

    def place(self, scores: Any) -> Any:
        """Return where scores are drawn."""
        below, above = self.ends
        return np.where(scores < self.low, below, np.where(scores > self.high, above, scores))

    def mark(self, axis: Axes, scores: Float64Array) -> None:
        """Set limits and ticks for an axis with lines or bars at scores."""
        below, above = self.ends
        ticks = {tick: f"{tick:g}" for tick in log_ticks(self.low, self.high)}
        beyond = {}
        if scores.min() < self.low:
            beyond[below] = f"< {_rounded(self.low):g}"
        if scores.max() > self.high:
            beyond[above] = f"> {_rounded(self.high):g}"
        width = np.log(self.high) - np.log(self.low)
        for end in beyond:
            ticks = {tick: label for tick, label in ticks.items() if abs(np.log(tick) - np.log(end)) > 0.12 * width}
        ticks |= beyond
        mark_log(axis.xaxis, list(ticks), list(ticks.values()))
        left = below / self.step if below in beyond else self.low / self.step
        right = above * self.step if above in beyond else self.high * self.step
        axis.set_xlim(left, right)


def _rounded(number: float) -> float:
    """Round to two digits, so that the format "g" needs no exponent for ordinary numbers."""
    return float(f"{number:.2g}")


class AnomalyDisplay:
    """Anomaly scores with the threshold, and the contributions of the features to the score of one row.

    Scores that lie so far out that the others could not be told apart share a bin at the end of the axis.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Anomaly scores: the higher, the more anomalous.
    threshold : float
        Rows with higher scores are flagged.
    contributions : ndarray of shape (n_features,)
        Contributions to the score of ``row``.
    row : int
        Position of the row that is explained.
    feature_names : list of str
    y : array-like of shape (n_samples,) or None
        Labels of the rows. Known anomalies are True among booleans, 1 among 0 and 1, or -1 among -1 and +1, as
        `predict` returns them. Labels that are all 1 raise a ValueError, since they can mean all anomalies or none;
        pass booleans then.
    row_name : str, default=None
        Name of ``row`` in the picture; None takes its position.

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
        row_name: str | None = None,
    ) -> None:
        self.scores, self.contributions = (np.asarray(one, dtype=np.float64) for one in (scores, contributions))
        self.threshold = threshold
        if np.isnan(self.scores).any():
            raise ValueError("scores contain NaN.")
        self.row, self.feature_names, self.row_name = row, feature_names, row_name
        check_consistent_length(scores, y)
        self.y = None if y is None else is_anomaly(y)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        row: int | Hashable | None = None,
        feature_names: Iterable[str] | None = None,
        ax: AxesLike | None = None,
        n_features: int = 10,
    ) -> Self:
        """Show the scores of X and explain one of its rows.

        Parameters
        ----------
        estimator : SparseAutoencoderOutlierDetector, or Pipeline with one
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Labels of the rows. Known anomalies are True among booleans, 1 among 0 and 1, or -1 among -1 and +1, as
            `predict` returns them. Labels that are all 1 raise a ValueError, since they can mean all anomalies or none;
            pass booleans then, for example ``estimator.predict(X) == -1``.
        row : int, or label of another type, default=None
            Row to explain; None takes the one with the highest anomaly score. An int is a position, as `argmax` returns
            it, whatever the index of X is; ``X.index.get_loc`` returns the position of an integer label. A str or
            another label is looked up in the index of X, a DataFrame. The picture names the row by its label.
        feature_names : list of str, default=None
            None uses the names seen during `fit`. In a Pipeline these are the names of the first step's input, passed
            through ``get_feature_names_out`` of the steps before the detector.
        ax : array of two Axes, default=None
        n_features : int, default=10
            Number of contributions to show, the largest by absolute value, as far as there is room for names; the
            others are summed.

        Returns
        -------
        display : AnomalyDisplay

        Raises
        ------
        ValueError
            If the estimator is not an outlier detector, the arguments do not fit together, or several rows have the
            label.
        IndexError
            If there is no row at this position.
        KeyError
            If no row has this label.
        TypeError
            If ``row`` is a label, but X has no index.
        """
        parts = Parts.of(estimator)
        detector = parts.autoencoder
        if not hasattr(detector, "score_contributions"):
            raise ValueError(f"{type(detector).__name__} is not an outlier detector: it has no anomaly scores.")
        position = None if row is None else position_of(row, X)
        rows = parts.prepare(X)
        scores = -detector.score_samples(rows)
        row = int(np.argmax(scores)) if position is None else position
        labels = row_labels(X)
        contributions = detector.score_contributions(_safe_indexing(rows, [row]))[0]
        names = check_names(parts.feature_names() if feature_names is None else feature_names, len(contributions))
        name = None if labels is None else str(labels[row])
        return cls(scores, -detector.offset_, contributions, row, names, y, name).plot(ax, n_features=n_features)

    def plot(self, ax: AxesLike | None = None, *, n_features: int = 10, bins: int = 40) -> Self:
        """Draw scores and contributions; ``ax``, if given, holds two axes.

        A new figure grows with ``n_features``, up to 20 inches.
        """
        names = shorten(self.feature_names, len(self.contributions))
        most = int((LARGEST - REST) / LINE) if ax is None else None
        n_bars = min(n_features + 1, len(names), most or len(names))
        size = 10 + width_of(names, 10.0) / 2, max(4.0, LINE * n_bars + REST)
        self.figure_, self.ax_ = make_axes(ax, 1, 2, size)
        self._plot_scores(self.ax_[0], bins)
        self._plot_contributions(self.ax_[1], names, n_features, most)
        return self

    def _plot_scores(self, axis: Axes, bins: int) -> None:
        scale = Scale.of(self.scores, self.threshold, bins)
        placed, edges = scale.place(self.scores), scale.edges()
        if self.y is None:
            axis.hist(placed, bins=edges, color=BLUE)
        else:
            groups = [placed[~self.y], placed[self.y]]
            axis.hist(groups, bins=edges, stacked=True, color=[BLUE, ORANGE], label=["normal", "anomaly"])
        score = self.scores[self.row]
        axis.axvline(scale.place(self.threshold), color=ink(axis), linestyle="--", linewidth=1, label="threshold")
        label = f"{self._name()}, score {score:.3g}".replace("$", r"\$")  # text between two of them would be a formula
        axis.axvline(scale.place(score), color=GREY, linewidth=1.5, label=label)
        axis.set(xscale="log", xlabel="anomaly score", ylabel="number of rows")
        scale.mark(axis, np.append(self.scores, self.threshold))
        count_in_whole_numbers(axis.yaxis)
        legend_above(axis, 2)

    def _plot_contributions(self, axis: Axes, names: list[str], n_features: int, most: int | None) -> None:
        order = np.argsort(-np.abs(self.contributions))
        if most is None:
            most = room_for(axis, SMALL)
            if min(n_features, len(order)) > room_for(axis, 14.0):
                axis.tick_params(axis="y", labelsize=0.8 * SMALL)
        n_shown = n_features if n_features >= len(order) and len(order) <= most else min(n_features, most - 1)
        shown, rest = order[:n_shown], order[n_shown:]
        labels, values = [names[k] for k in shown], list(self.contributions[shown])
        if len(rest):
            labels.append(f"{len(rest)} others")
            values.append(self.contributions[rest].sum())
        axis.barh(range(len(values)), values, color=np.where(np.array(values) < 0, ORANGE, BLUE))
        axis.axvline(0, color=ink(axis), linewidth=0.8)
        label_features(axis, labels)
        axis.set_xlabel(f"contribution to the score of {self._name()}", parse_math=False)

    def _name(self) -> str:
        return f"row {self.row if self.row_name is None else shorten([self.row_name], 1)[0]}"
