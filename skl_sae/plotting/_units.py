"""Pictures of units, and of how stable they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing

from .._inspection.models import Inspected, check_count, check_names
from .._inspection.report import top_and_middle
from .._inspection.stability import FeatureStability, feature_stability
from ._common import BLUE, GREY, ORANGE, find_image_shape, ink, log_ticks, make_axes, mark_log, mosaic, shorten, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import Float64Array, FloatArray, MatrixLike
    from ._common import AxesLike

MOST_SIDE_BY_SIDE = 10  # images


class UnitDisplay:
    """One unit: its top rows and rows around the median of its activations, the histogram of these, and its weights.

    Parameters
    ----------
    unit : int
    activations : ndarray of shape (n_samples,)
        Activation of the unit on each row, 0 where it is inactive.
    top, middle : ndarrays of ints
        Indices of the rows to show.
    weights : ndarray of shape (n_features,)
        Its atom: what it adds to the reconstruction.
    names : list of str
        Names of the rows ``top`` and ``middle``, in this order.
    feature_names : list of str
    images : ndarray of shape (n_top + n_middle, n_pixels) or None
        The rows ``top`` and ``middle`` as images; None shows their names.
    image_shape : tuple of two ints or None
        Height and width of an image.
    label : str or None
        Name of the unit, for the title.

    Attributes
    ----------
    ax_ : array of three Axes
    figure_ : Figure
    """

    _weighs_pixels = True  # rather than what a step of a Pipeline makes of them, such as principal components

    def __init__(
        self,
        unit: int,
        activations: FloatArray,
        top: NDArray[Any],
        middle: NDArray[Any],
        weights: FloatArray,
        *,
        names: Sequence[str],
        feature_names: Sequence[str],
        images: FloatArray | None = None,
        image_shape: tuple[int, int] | None = None,
        label: str | None = None,
    ) -> None:
        self.unit, self.activations, self.top, self.middle, self.weights = unit, activations, top, middle, weights
        self.names, self.feature_names, self.images, self.image_shape = names, feature_names, images, image_shape
        self.label = label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: MatrixLike,
        unit: int,
        *,
        names: ArrayLike | None = None,
        images: bool | None = None,
        image_shape: tuple[int, int] | None = None,
        feature_names: Sequence[str] | None = None,
        n_top: int = 10,
        n_middle: int = 10,
        label: str | None = None,
        **plot: Any,
    ) -> Self:
        """Show a unit of a fitted estimator on the rows of X.

        Parameters
        ----------
        estimator : TopKAutoencoderTransformer, SparseAutoencoderTransformer or Pipeline
            Fitted; a Pipeline ends in one of the two.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        unit : int
            Index of the unit.
        names : array-like of shape (n_samples,), default=None
            Names of the rows; None takes the index of a DataFrame, or positions.
        images : bool, default=None
            Whether rows are images. None means that they are if ``image_shape`` is given, or if neither rows nor
            features have names and the number of features is a square of at least 16.
        image_shape : tuple of two ints, default=None
            Height and width of an image; None means a square.
        feature_names : list of str, default=None
            Names of the features that the autoencoder sees; None takes those of the fit.
        n_top, n_middle : int, default=10
            Number of rows to show with the highest activations, and around the median of the activations.
        label : str, default=None
            Name of the unit, for the title.
        **plot
            Arguments passed to `plot`.

        Returns
        -------
        display : UnitDisplay

        Raises
        ------
        ValueError
            If the arguments do not fit together, or the unit is not active on any row.
        IndexError
            If there is no such unit.
        TypeError
            If the estimator is of another kind.
        """
        inspected = Inspected(estimator)
        check_count("n_top", n_top, least=0 if n_middle else 1)
        check_count("n_middle", n_middle, least=0)
        codes = inspected.codes(inspected.inputs(X))
        if not 0 <= unit < codes.shape[1]:
            raise IndexError(f"There is no unit {unit}: units have numbers from 0 to {codes.shape[1] - 1}.")
        part = slice(codes.indptr[unit], codes.indptr[unit + 1])
        values, rows = codes.data[part], codes.indices[part]
        if not len(rows):
            raise ValueError(f"Unit {unit} is not active on any row of X.")
        top, middle = (rows[places] for places in top_and_middle(values, n_top, n_middle))
        activations = np.zeros(codes.shape[0])
        activations[rows] = values
        shown, pixels = np.concatenate([top, middle]), _count_pixels(X)
        if images is None:
            named = names is not None or feature_names is not None or hasattr(X, "columns")
            square = pixels >= 16 and round(np.sqrt(pixels)) ** 2 == pixels
            images = image_shape is not None or (square and not named)
        image_shape = find_image_shape(pixels, image_shape) if images else None
        row_names = check_names(names, X, codes.shape[0])
        display = cls(
            unit,
            activations,
            top,
            middle,
            inspected.atoms[unit],
            names=[f"row {i}" if row_names is None else row_names[i] for i in shown],
            feature_names=inspected.feature_names(feature_names),
            images=_pick(X, shown) if images else None,
            image_shape=image_shape,
            label=label,
        )
        own_names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
        display._weighs_pixels = inspected.names_seen() in (None, own_names)
        return display.plot(**plot)

    def plot(self, ax: AxesLike | None = None, *, n_features: int = 10, bins: int = 30, cmap: str = "gray") -> Self:
        """Draw the unit.

        Parameters
        ----------
        ax : array of three Axes, default=None
            For the rows, the histogram and the weights; None creates a figure.
        n_features : int, default=10
            Number of weights to show, the largest by absolute value.
        bins : int, default=30
            Bins of the histogram.
        cmap : str, default="gray"
            Colormap of images.

        Returns
        -------
        display : UnitDisplay
        """
        n_rows = len(self.top) + len(self.middle)
        height = 3.6 if self.images is not None else max(3.6, 0.19 * n_rows + 0.9)
        options = {} if ax is not None else {"width_ratios": [1.5, 1, 1]}
        self.figure_, self.ax_ = make_axes(ax, 1, 3, (11, height), **options)
        rows, histogram, weights = self.ax_
        if self.images is not None and self.image_shape is not None:
            self._plot_images(rows, self.images, self.image_shape, cmap)
        else:
            self._plot_names(rows)
        self._plot_histogram(histogram, bins)
        if self.image_shape is not None and self._weighs_pixels and len(self.weights) == np.prod(self.image_shape):
            largest = float(np.abs(self.weights).max()) or 1.0
            show(weights, self.weights.reshape(self.image_shape), cmap="PuOr_r", vmin=-largest, vmax=largest)
            weights.set_title(f"weights (±{largest:.2g})", fontsize="small", loc="left")
        else:
            self._plot_weights(weights, n_features)
        return self

    def _plot_images(self, axis: Axes, images: FloatArray, shape: tuple[int, int], cmap: str) -> None:
        groups = [images[: len(self.top)], images[len(self.top) :]]
        n_columns = min(MOST_SIDE_BY_SIDE, max(map(len, groups)))
        n_columns = -(-n_columns // 2) if n_columns > 5 and len(images) > 2 else n_columns
        tiles = [mosaic(group, shape, n_columns) for group in groups if len(group)]
        gap = np.full((max(2, shape[0] // 3), tiles[0].shape[1]), np.nan)
        show(axis, np.concatenate([tiles[0], *(part for tile in tiles[1:] for part in (gap, tile))]), cmap=cmap)
        axis.set_title(
            "top rows" + (", and rows from the middle" if len(tiles) > 1 else ""), fontsize="small", loc="left"
        )

    def _plot_names(self, axis: Axes) -> None:
        shown = np.concatenate([self.top, self.middle])
        places = np.arange(len(shown)) + (np.arange(len(shown)) >= len(self.top))  # a gap between the two
        colors = [BLUE] * len(self.top) + [GREY] * len(self.middle)
        axis.barh(places, self.activations[shown], color=colors)
        names = [" ".join(name.split()) for name in self.names]  # a name that is a text may have several lines
        axis.set_yticks(places, shorten(names, len(names)), fontsize="x-small", parse_math=False)
        axis.invert_yaxis()
        axis.set_xlabel("activation")
        axis.set_title(
            "top rows, and rows from the middle" if len(self.middle) else "top rows", fontsize="small", loc="left"
        )

    def _plot_histogram(self, axis: Axes, bins: int) -> None:
        active = self.activations[self.activations > 0]
        counts, *_ = axis.hist(active, bins=bins, color=BLUE, log=True)
        mark_log(axis.yaxis, log_ticks(1.0, max(float(np.max(counts)), 10.0)))
        axis.set(xlabel="activation", ylabel="number of rows", ylim=(0.5, 2 * np.max(counts)))
        title = f"unit {self.unit}" if self.label is None else f"unit {self.unit}: {shorten([self.label], 1)[0]}"
        share = f"active on {len(active) / len(self.activations):.2%} of the rows"
        axis.set_title(f"{title}\n{share}", fontsize="small", loc="left", parse_math=False)

    def _plot_weights(self, axis: Axes, n_features: int) -> None:
        order = np.argsort(-np.abs(self.weights), kind="stable")[:n_features]
        values = self.weights[order]
        axis.barh(range(len(order)), values, color=np.where(values < 0, ORANGE, BLUE))
        names = shorten([self.feature_names[k] for k in order], len(order))
        axis.set_yticks(range(len(order)), names, fontsize="x-small", parse_math=False)
        axis.axvline(0, color=ink(axis), linewidth=0.8)
        axis.invert_yaxis()
        axis.set_xlabel("weight")
        axis.set_title("largest weights", fontsize="small", loc="left")


def _count_pixels(X: Any) -> int:
    """Return the number of columns; 0 if X has none, such as texts for the first step of a Pipeline."""
    try:
        shape = np.shape(X)
    except ValueError:  # lists of different lengths
        return 0
    return int(shape[1]) if len(shape) == 2 else 0


def _pick(X: Any, rows: NDArray[Any]) -> Float64Array:
    if issparse(X):
        return X.tocsr()[rows].toarray().astype(np.float64)
    return np.asarray(_safe_indexing(X, rows), dtype=np.float64)


class StabilityDisplay:
    """How stable units are against how often they are active, with a band of the cosines that matching finds by chance.

    Parameters
    ----------
    stability : FeatureStability
        As `skl_sae.inspection.feature_stability` returns it.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    """

    def __init__(self, stability: FeatureStability) -> None:
        self.stability = stability

    @classmethod
    def from_estimator(cls, estimator: Any, X: MatrixLike, *, ax: AxesLike | None = None, **options: Any) -> Self:
        """Refit a fitted estimator to X and show how stable its units are.

        Parameters
        ----------
        estimator : TopKAutoencoderTransformer, SparseAutoencoderTransformer or Pipeline
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        ax : Axes, default=None
        **options
            Arguments passed to `skl_sae.inspection.feature_stability`.

        Returns
        -------
        display : StabilityDisplay
        """
        return cls(feature_stability(estimator, X, **options)).plot(ax)

    def plot(self, ax: AxesLike | None = None) -> Self:
        """Draw a point for each unit; without ``ax`` in a new figure."""
        self.figure_, (self.ax_,) = make_axes(ax)
        frequency, cosine, stable = self.stability.frequency_, self.stability.cosine_, self.stability.stable_
        positive = frequency[frequency > 0]
        place = np.where(frequency > 0, frequency, positive.min() / 2)
        size = 24 if len(frequency) <= 100 else 8
        highest = [np.quantile(values, 0.95) for values in self.stability.chance_cosines_.values()]
        lowest = [np.quantile(values, 0.05) for values in self.stability.chance_cosines_.values()]
        self.ax_.axhspan(min(lowest), max(highest), color=GREY, alpha=0.3, linewidth=0, label="by chance (5 to 95 %)")
        groups = [
            ("comes back", stable, BLUE, "o"),
            ("does not come back", ~stable & (frequency > 0), ORANGE, "o"),
            ("never active", ~stable & (frequency == 0), ink(self.ax_), "x"),
        ]
        for label, members, color, marker in groups:
            if members.any():
                options = {"linewidths": 0} if marker == "o" else {}
                self.ax_.scatter(
                    place[members], cosine[members], s=size, color=color, marker=marker, alpha=0.7, **options,
                    label=f"{label} ({np.count_nonzero(members)})",
                )  # fmt: skip
        self.ax_.set(
            xscale="log",
            ylim=(min(0, cosine.min()) - 0.03, 1.03),
            xlabel="share of the rows on which the unit is active",
            ylabel=f"mean cosine over {len(self.stability.cosines_)} refits",
        )
        _label_shares(self.ax_)
        if ax is None:
            self.figure_.legend(loc="outside upper left", ncols=2, frameon=False, fontsize="small")
        else:
            self.ax_.legend(frameon=False, fontsize="small")
        return self


def _label_shares(axis: Axes) -> None:
    """Label a logarithmic axis of shares at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.3g}"))
    axis.xaxis.set_minor_locator(NullLocator())
