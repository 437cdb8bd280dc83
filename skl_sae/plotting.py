"""Plots of models and their training, in the style of scikit-learn's displays. Needs matplotlib (extra ``plot``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing, check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from .metrics import is_anomaly

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from ._types import Float64Array, FloatArray, MatrixLike
    from .outlier import SparseAutoencoderOutlierDetector
    from .transformer import SparseAutoencoderTransformer

    Autoencoder: TypeAlias = SparseAutoencoderTransformer | SparseAutoencoderOutlierDetector
    AxesLike: TypeAlias = Axes | Sequence[Axes] | NDArray[Any]

__all__ = ["ActivationDisplay", "AnomalyDisplay", "FilterDisplay", "ReconstructionDisplay", "TrainingDisplay"]

# Okabe and Ito's colours, which colour-blind readers can tell apart (https://jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.6"


def _axes(
    ax: AxesLike | None, n_rows: int = 1, n_columns: int = 1, size: tuple[float, float] = (6.0, 4.0), **options: Any
) -> tuple[Figure, NDArray[np.object_]]:
    """Return a figure and an array of axes, new ones or those of ``ax``: one Axes, or as many as needed."""
    if ax is None:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False, **options)
        return figure, axes.ravel()
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != n_rows * n_columns:
        raise ValueError(f"ax must hold {n_rows * n_columns} axes, got {len(axes)}.")
    return axes[0].figure, axes


def _image_shape(n_features: int, image_shape: Sequence[int] | None) -> tuple[int, int]:
    """Height and width of an image of ``n_features`` pixels: ``image_shape`` if given, else a square."""
    if image_shape is not None:
        if len(image_shape) != 2 or np.prod(image_shape) != n_features:
            raise ValueError(f"image_shape={image_shape!r} does not make {n_features} features.")
        height, width = image_shape
        return int(height), int(width)
    side = round(np.sqrt(n_features))
    if side**2 != n_features:
        raise ValueError(f"{n_features} features are not the pixels of a square: pass image_shape=(height, width).")
    return side, side


def _mosaic(images: FloatArray, shape: tuple[int, int], n_columns: int) -> FloatArray:
    """Tile images (n, pixels) into one image, with one-pixel borders of NaN."""
    height, width = shape
    n_rows = -(-len(images) // n_columns)
    tiles = np.full((n_rows * (height + 1) + 1, n_columns * (width + 1) + 1), np.nan)
    for i, image in enumerate(images):
        top, left = i // n_columns * (height + 1) + 1, i % n_columns * (width + 1) + 1
        tiles[top : top + height, left : left + width] = image.reshape(shape)
    return tiles


def _show(axis: Axes, tiles: FloatArray, **options: Any) -> AxesImage:
    import matplotlib

    colormap = matplotlib.colormaps[options.pop("cmap", "gray")].with_extremes(bad="white")
    image = axis.imshow(tiles, cmap=colormap, interpolation="nearest", **options)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_frame_on(False)
    return image


def _names(estimator: Autoencoder, feature_names: Iterable[str] | None, n_features: int) -> list[str]:
    names = getattr(estimator, "feature_names_in_", None) if feature_names is None else feature_names
    names = [f"x{i}" for i in range(n_features)] if names is None else list(names)
    if len(names) != n_features:
        raise ValueError(f"There are {len(names)} feature names for {n_features} features.")
    return names


class FilterDisplay:
    r"""Input of norm 1 that excites each hidden unit most, :math:`W_j / \lVert W_j \rVert` [1]_.

    Parameters
    ----------
    filters : ndarray of shape (n_components, n_features)
        Each of norm 1, or 0 for a unit whose weights are all 0.
    image_shape : tuple of two ints or None
        Height and width, to show filters as images. None shows them as bars over ``feature_names``.
    feature_names : list of str
    components : array-like of ints or None
        Indices of the units, for the titles of bars; None numbers them from 0.

    Attributes
    ----------
    ax_ : Axes, or array of Axes for bars
    figure_ : Figure

    References
    ----------
    .. [1] A. Ng, "Sparse autoencoder", CS294A lecture notes, Stanford University, 2011, section 4.
    """

    def __init__(
        self,
        filters: FloatArray,
        *,
        image_shape: tuple[int, int] | None = None,
        feature_names: Sequence[str] | None = None,
        components: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    ) -> None:
        self.filters, self.image_shape, self.feature_names = filters, image_shape, feature_names
        self.components = np.arange(len(filters)) if components is None else components

    @classmethod
    def from_estimator(
        cls,
        estimator: Autoencoder,
        *,
        images: bool | None = None,
        image_shape: tuple[int, int] | None = None,
        feature_names: Iterable[str] | None = None,
        components: ArrayLike | None = None,
        **plot: Any,
    ) -> Self:
        """Show the filters of a fitted estimator.

        Parameters
        ----------
        estimator : SparseAutoencoderTransformer or SparseAutoencoderOutlierDetector
        images : bool, default=None
            Whether features are pixels. None means that they are if ``image_shape`` is given, or if they have no names
            and their number is a square of at least 16.
        image_shape : tuple of two ints, default=None
            Height and width of an image; None means a square.
        feature_names : list of str, default=None
            Labels for bars; None uses the names seen during `fit`.
        components : array-like of ints, default=None
            Units to show; None means all.
        **plot
            Arguments passed to `plot`.

        Returns
        -------
        display : FilterDisplay
        """
        check_is_fitted(estimator)
        weights = np.asarray(estimator.encoder_coef_, dtype=np.float64)
        everything = np.arange(len(weights))
        components = everything if components is None else np.atleast_1d(everything[np.asarray(components)])
        weights = weights[components]
        norms = np.linalg.norm(weights, axis=1, keepdims=True)
        filters = np.divide(weights, norms, out=np.zeros_like(weights), where=norms > 0)
        n_features = weights.shape[1]
        if images is None:
            named = feature_names is not None or hasattr(estimator, "feature_names_in_")
            square = n_features >= 16 and round(np.sqrt(n_features)) ** 2 == n_features
            images = image_shape is not None or (square and not named)
        shape = _image_shape(n_features, image_shape) if images else None
        names = None if images else _names(estimator, feature_names, n_features)
        return cls(filters, image_shape=shape, feature_names=names, components=components).plot(**plot)

    def plot(self, ax: AxesLike | None = None, *, n_columns: int | None = None, cmap: str = "gray") -> Self:
        """Draw the filters.

        Parameters
        ----------
        ax : Axes or array of Axes, default=None
            One for images, one per unit for bars; None creates a figure.
        n_columns : int, default=None
            Number of filters side by side.
        cmap : str, default="gray"
            Colormap of images; each filter has its own scale, symmetric about 0.

        Returns
        -------
        display : FilterDisplay
        """
        if self.image_shape is None:
            return self._plot_bars(ax, n_columns)
        return self._plot_images(ax, self.image_shape, n_columns, cmap)

    def _plot_images(self, ax: AxesLike | None, image_shape: tuple[int, int], n_columns: int | None, cmap: str) -> Self:
        n_columns = n_columns or int(np.ceil(np.sqrt(len(self.filters))))
        self.figure_, (self.ax_,) = _axes(ax, size=(6, 6))
        largest = np.abs(self.filters).max(axis=1, keepdims=True)
        tiles = _mosaic(self.filters / np.where(largest > 0, largest, 1), image_shape, n_columns)
        _show(self.ax_, tiles, cmap=cmap, vmin=-1, vmax=1)
        return self

    def _plot_bars(self, ax: AxesLike | None, n_columns: int | None) -> Self:
        n, n_features = self.filters.shape
        n_columns = min(n, n_columns or 4)
        n_rows = -(-n // n_columns)
        if ax is None:
            size = (2.2 * n_columns + 1.5, (0.16 * n_features + 0.5) * n_rows)
            self.figure_, axes = _axes(None, n_rows, n_columns, size, sharex=True, sharey=True)
        else:
            self.figure_, axes = _axes(ax, n)
        for j, axis in enumerate(axes[:n]):
            values = self.filters[j]
            axis.barh(range(n_features), values, color=np.where(values < 0, ORANGE, BLUE))
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set_yticks(range(n_features), self.feature_names)
            axis.set_title(f"unit {self.components[j]}", fontsize="small")
            axis.tick_params(labelsize="x-small")
        for axis in axes[n:]:
            axis.set_visible(False)
        if not axes[0].yaxis_inverted():
            axes[0].invert_yaxis()
        self.ax_ = axes[:n]
        return self


class TrainingDisplay:
    """Loss, its terms and the mean activation over the iterations.

    Parameters
    ----------
    history : dict of ndarrays of shape (n_iter,)
        ``history_`` of an estimator.
    rho : float
        Target mean activation.

    Attributes
    ----------
    ax_ : array of two Axes
    figure_ : Figure
    """

    def __init__(self, history: Mapping[str, Float64Array], rho: float) -> None:
        self.history, self.rho = history, rho

    @classmethod
    def from_estimator(cls, estimator: Autoencoder, *, ax: AxesLike | None = None) -> Self:
        """Show how a fitted estimator was trained; ``ax``, if given, holds two axes."""
        check_is_fitted(estimator)
        return cls(estimator.history_, estimator.rho).plot(ax)

    def plot(self, ax: AxesLike | None = None) -> Self:
        """Draw the curves; ``ax``, if given, holds two axes, for the losses and the mean activation."""
        self.figure_, self.ax_ = _axes(ax, 1, 2, (9, 3.5))
        losses, activation = self.ax_
        iterations = np.arange(1, len(self.history["loss"]) + 1)
        marker = "." if len(iterations) < 20 else None
        lines = {
            "loss": ("loss", "black", "-"),
            "reconstruction": ("reconstruction", BLUE, "-"),
            "sparsity": ("sparsity term", ORANGE, "--"),
            "weight_decay": ("weight decay", GREEN, ":"),
            "validation_loss": ("validation loss", GREY, "-."),
        }
        for key, (label, color, style) in lines.items():
            values = self.history.get(key)
            if values is not None and np.any(np.asarray(values) > 0):
                losses.plot(iterations, values, style, color=color, label=label, marker=marker)
        losses.set(xlabel="iteration", ylabel="per row", yscale="log")
        losses.legend(frameon=False, fontsize="small")
        activation.plot(iterations, self.history["mean_activation"], color=BLUE, marker=marker, label="mean activation")
        activation.axhline(self.rho, color="black", linewidth=0.8, linestyle="--", label="rho")
        activation.set(xlabel="iteration", ylabel="averaged over the units")
        activation.set_ylim(bottom=0)
        activation.legend(frameon=False, fontsize="small")
        return self


class ReconstructionDisplay:
    """Rows, their reconstructions and the differences, as images.

    Parameters
    ----------
    X, reconstruction : ndarrays of shape (n_samples, n_features)
    image_shape : tuple of two ints
        Height and width.

    Attributes
    ----------
    ax_ : array of three Axes
    figure_ : Figure
    """

    def __init__(self, X: FloatArray, reconstruction: FloatArray, *, image_shape: tuple[int, int]) -> None:
        self.X, self.reconstruction, self.image_shape = X, reconstruction, image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        image_shape: tuple[int, int] | None = None,
        ax: AxesLike | None = None,
        cmap: str = "gray",
    ) -> Self:
        """Show rows of X with their reconstructions.

        Parameters
        ----------
        estimator : object
            Has ``transform`` and ``inverse_transform``: a `SparseAutoencoderTransformer` or a Pipeline containing one.
        X : array-like of shape (n_samples, n_features)
            A dozen rows or so.
        image_shape : tuple of two ints, default=None
            Height and width; None means a square.
        ax : array of three Axes, default=None
        cmap : str, default="gray"

        Returns
        -------
        display : ReconstructionDisplay
        """
        reconstruction = estimator.inverse_transform(estimator.transform(X))
        rows = check_array(X, dtype=np.float64)
        shape = _image_shape(rows.shape[1], image_shape)
        return cls(rows, np.asarray(reconstruction, dtype=np.float64), image_shape=shape).plot(ax, cmap=cmap)

    def plot(self, ax: AxesLike | None = None, *, cmap: str = "gray") -> Self:
        """Draw the images; ``ax``, if given, holds three axes."""
        n = len(self.X)
        self.figure_, self.ax_ = _axes(ax, 3, 1, (max(4.0, 0.8 * n), 3.2))
        low, high = min(self.X.min(), self.reconstruction.min()), max(self.X.max(), self.reconstruction.max())
        difference = self.reconstruction - self.X
        largest = max(np.abs(difference).max(), np.finfo(float).tiny)
        pictures = [
            ("input", self.X, dict(cmap=cmap, vmin=low, vmax=high)),
            ("reconstruction", self.reconstruction, dict(cmap=cmap, vmin=low, vmax=high)),
            (f"difference (±{largest:.2g})", difference, dict(cmap="PuOr_r", vmin=-largest, vmax=largest)),
        ]
        for axis, (title, images, options) in zip(self.ax_, pictures, strict=True):
            _show(axis, _mosaic(images, self.image_shape, n), **options)
            axis.set_title(title, fontsize="small", loc="left")
        return self


class ActivationDisplay:
    """Histograms of the activations and of every unit's mean activation.

    The mean activation alone does not show whether a code is sparse: a unit may stay near ``rho`` for every row.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_components)
    rho : float

    Attributes
    ----------
    ax_ : array of two Axes
    figure_ : Figure
    """

    def __init__(self, codes: FloatArray, rho: float) -> None:
        self.codes, self.rho = codes, rho

    @classmethod
    def from_estimator(
        cls, estimator: SparseAutoencoderTransformer, X: MatrixLike, *, ax: AxesLike | None = None
    ) -> Self:
        """Show the codes of X, array-like of shape (n_samples, n_features)."""
        return cls(np.asarray(estimator.transform(X)), estimator.rho).plot(ax)

    def plot(self, ax: AxesLike | None = None, *, bins: int = 50) -> Self:
        """Draw the histograms; ``ax``, if given, holds two axes."""
        self.figure_, self.ax_ = _axes(ax, 1, 2, (9, 3.5))
        activations, means = self.ax_
        activations.hist(self.codes.ravel(), bins=bins, color=BLUE, log=True)
        activations.set(xlabel="activation", ylabel="number of activations")
        means.hist(self.codes.mean(axis=0), bins=min(bins, max(10, self.codes.shape[1] // 4)), color=BLUE)
        means.axvline(self.rho, color="black", linestyle="--", linewidth=1, label="rho")
        means.set(xlabel="mean activation of a unit", ylabel="number of units")
        means.legend(frameon=False, fontsize="small")
        return self


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
        names = _names(estimator, feature_names, len(contributions))
        return cls(scores, -estimator.offset_, contributions, row, names, y).plot(ax, n_features=n_features)

    def plot(self, ax: AxesLike | None = None, *, n_features: int = 10, bins: int = 40) -> Self:
        """Draw scores and contributions; ``ax``, if given, holds two axes."""
        self.figure_, self.ax_ = _axes(ax, 1, 2, (10, 4))
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
