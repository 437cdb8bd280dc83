"""Display of reconstructions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array

from .._inspection.models import steps_of
from ._common import (
    BLUE,
    LARGEST,
    Parts,
    are_pixels,
    check_names,
    find_image_shape,
    ink,
    is_autoencoder,
    make_axes,
    mosaic,
    shorten,
    show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import Float64Array, FloatArray, MatrixLike
    from ._common import AxesLike

# Images side by side, unless there are very many; scatter plots of a table, one per feature; and rows drawn there.
IMAGES_IN_A_ROW, MOST_PANELS, MOST_POINTS = 12, 16, 2000

# With fewer rows than this, R² says little.
ENOUGH_ROWS = 10


class ReconstructionDisplay:
    """Rows and their reconstructions: as images with the differences, or for tables as scatter plots of the features.

    Parameters
    ----------
    X, reconstruction : ndarrays of shape (n_samples, n_features)
    image_shape : tuple of two ints or None
        Height and width of images. None draws reconstructed against true values of each feature.
    feature_names : list of str or None
        None names features x0, x1, ...

    Attributes
    ----------
    ax_ : array of Axes
        Three for images, one per feature shown for tables.
    figure_ : Figure
    """

    def __init__(
        self,
        X: FloatArray,
        reconstruction: FloatArray,
        *,
        image_shape: tuple[int, int] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.X, self.reconstruction = X, reconstruction
        self.image_shape, self.feature_names = image_shape, feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: MatrixLike,
        *,
        images: bool | None = None,
        image_shape: tuple[int, int] | None = None,
        feature_names: Iterable[str] | None = None,
        ax: AxesLike | None = None,
        n_columns: int | None = None,
        cmap: str = "gray",
    ) -> Self:
        """Show rows of X with their reconstructions.

        Parameters
        ----------
        estimator : object
            An autoencoder of this package, a Pipeline with one, or anything else with ``transform`` and
            ``inverse_transform``. In a Pipeline, reconstructions are turned back into the input of the first step; if a
            step cannot be undone, the rows are shown as the autoencoder sees them: a step without
            ``inverse_transform``, a FunctionTransformer without ``inverse_func``, a KernelPCA without
            ``fit_inverse_transform``, a SimpleImputer, an encoder of categories or a vectorizer.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            A few dozen images or any number of rows of a table.
        images : bool, default=None
            Whether features are pixels. None means that they are if ``image_shape`` is given, or if they have no names
            and their number is a square of at least 16.
        image_shape : tuple of two ints, default=None
            Height and width; None means a square.
        feature_names : list of str, default=None
            None uses the names seen during `fit`.
        ax : array of Axes, default=None
            Three for images, one per feature shown for tables, at most 16.
        n_columns : int, default=None
            Number of images, or of features, side by side.
        cmap : str, default="gray"
            Colormap of images.

        Returns
        -------
        display : ReconstructionDisplay
        """
        rows, found, names = _reconstruct(estimator, X)
        names = names if feature_names is None else feature_names
        rows = np.asarray(check_array(rows.toarray() if issparse(rows) else rows, dtype=np.float64))
        n_features = rows.shape[1]
        images = are_pixels(n_features, image_shape, names is not None) if images is None else images
        shape = find_image_shape(n_features, image_shape) if images else None
        named = None if images else check_names(names, n_features)
        display = cls(rows, np.asarray(found, dtype=np.float64), image_shape=shape, feature_names=named)
        return display.plot(ax, n_columns=n_columns, cmap=cmap)

    def plot(self, ax: AxesLike | None = None, *, n_columns: int | None = None, cmap: str = "gray") -> Self:
        """Draw images or scatter plots.

        Square images are wrapped after 12, or later if there are very many. For tables, at most 16 features are shown,
        those with the largest errors relative to their spread, and at most 2000 of the rows, evenly spaced; R², the
        share of the variance that is explained, is computed from all rows. No figure is larger than 20 inches.

        Parameters
        ----------
        ax : array of Axes, default=None
            Three for images, one per feature shown for tables.
        n_columns : int, default=None
            Number of images, or of features, side by side.
        cmap : str, default="gray"
            Colormap of images.

        Returns
        -------
        display : ReconstructionDisplay
        """
        if self.image_shape is None:
            return self._plot_table(ax, n_columns or 4)
        return self._plot_images(ax, self.image_shape, n_columns, cmap)

    def _plot_images(self, ax: AxesLike | None, shape: tuple[int, int], n_columns: int | None, cmap: str) -> Self:
        n = len(self.X)
        tall, wide = shape[0] + 1, shape[1] + 1
        in_a_row = max(IMAGES_IN_A_ROW * np.sqrt(tall / wide), np.sqrt(3 * n * tall / wide))
        n_columns = min(n, n_columns or max(1, round(in_a_row)))
        height, width = -(-n // n_columns) * tall, n_columns * wide
        scale = min(0.8 / np.sqrt(tall * wide), 12 / width, (LARGEST - 1.2) / (3 * height))
        size = min(LARGEST, max(4.0, scale * width)), 3 * scale * height + 1.2
        self.figure_, self.ax_ = make_axes(ax, 3, 1, size)
        low, high = min(self.X.min(), self.reconstruction.min()), max(self.X.max(), self.reconstruction.max())
        difference = self.reconstruction - self.X
        largest = max(np.abs(difference).max(), np.finfo(float).tiny)
        pictures = [
            ("input", self.X, dict(cmap=cmap, vmin=low, vmax=high)),
            ("reconstruction", self.reconstruction, dict(cmap=cmap, vmin=low, vmax=high)),
            (f"difference (±{largest:.2g})", difference, dict(cmap="PuOr_r", vmin=-largest, vmax=largest)),
        ]
        for axis, (title, images, options) in zip(self.ax_, pictures, strict=True):
            show(axis, mosaic(images, shape, n_columns), **options)
            axis.set_title(title, fontsize="small", loc="left")
        return self

    def _plot_table(self, ax: AxesLike | None, n_columns: int) -> Self:
        n_features = self.X.shape[1]
        names = shorten(self.feature_names, n_features)
        unexplained, varies = self._unexplained()
        shown = np.arange(n_features)
        if n_features > MOST_PANELS:
            shown = np.argsort(-unexplained, kind="stable")[:MOST_PANELS]
        n_columns = min(len(shown), n_columns)
        n_rows = -(-len(shown) // n_columns)
        if ax is None:
            side = min(2.3, LARGEST / max(n_rows, n_columns))
            size = max(3.0, side * n_columns), max(3.0, side * n_rows + 0.3)
            self.figure_, axes = make_axes(None, n_rows, n_columns, size)
            if len(shown) < n_features:
                title = f"{len(shown)} of {n_features} features, those reconstructed worst"
                self.figure_.suptitle(title, fontsize="medium")
            self.figure_.supxlabel("input", fontsize="medium")
            self.figure_.supylabel("reconstruction", fontsize="medium")
        else:
            self.figure_, axes = make_axes(ax, len(shown))
            for axis in axes:
                axis.set(xlabel="input", ylabel="reconstruction")
        for axis, k in zip(axes, shown.tolist(), strict=False):
            r2 = 1 - unexplained[k] if varies[k] and len(self.X) >= ENOUGH_ROWS else None
            self._scatter(axis, k, bool(varies[k]), names[k] + ("" if r2 is None else f"\nR² {r2:.2f}"))
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        self.ax_ = axes[: len(shown)]
        return self

    def _unexplained(self) -> tuple[Float64Array, Any]:
        """Return squared errors relative to the spread of each feature, or to its size if constant, and which vary."""
        errors = np.square(self.reconstruction - self.X).sum(axis=0)
        spread, size = np.square(self.X - self.X.mean(axis=0)).sum(axis=0), np.square(self.X).sum(axis=0)
        varies = spread > 1e-20 * size
        scale = np.where(varies, spread, size)
        return errors / np.where(scale > 0, scale, 1.0), varies

    def _scatter(self, axis: Axes, k: int, varies: bool, title: str) -> None:
        from matplotlib.ticker import MaxNLocator

        every = -(-len(self.X) // MOST_POINTS)
        x, y = self.X[::every, k], self.reconstruction[::every, k]
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        if not varies:  # the size of the feature is the scale of its error
            low, high = min(low, 0.0), max(high, 0.0)
        pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        ends = low - pad, high + pad
        axis.plot(ends, ends, color=ink(axis), linewidth=0.8)
        alpha = min(1.0, max(0.15, 150 / len(x)))
        axis.plot(x, y, "o", color=BLUE, markersize=4, alpha=alpha, markeredgewidth=0)
        axis.set(xlim=ends, ylim=ends, box_aspect=1)
        axis.set_title(title, fontsize="small", parse_math=False)
        for one in axis.xaxis, axis.yaxis:
            one.set_major_locator(MaxNLocator(3))
        axis.tick_params(labelsize="x-small")


def _reconstruct(estimator: Any, X: Any) -> tuple[Any, Any, Iterable[str] | None]:
    """Return rows, their reconstructions and the names of their features, None if they have none."""
    if not any(is_autoencoder(step) for step in steps_of(estimator)) and hasattr(estimator, "inverse_transform"):
        names = getattr(estimator, "feature_names_in_", None)
        return X, estimator.inverse_transform(estimator.transform(X)), names
    parts = Parts.of(estimator)
    rows, model = parts.prepare(X), parts.autoencoder
    detects = hasattr(model, "_reconstruct")
    found = model._reconstruct(rows) if detects else model.inverse_transform(model.transform(rows))
    if not parts.is_invertible:
        return rows, found, parts.feature_names()
    first = parts.before[0] if parts.before else model
    return X, parts.restore(found), getattr(first, "feature_names_in_", None)
