"""Display of filters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from ._common import BLUE, ORANGE, find_image_shape, find_names, make_axes, mosaic, show

if TYPE_CHECKING:
    from .._types import FloatArray
    from ._common import Autoencoder, AxesLike


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
        shape = find_image_shape(n_features, image_shape) if images else None
        names = None if images else find_names(estimator, feature_names, n_features)
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
        self.figure_, (self.ax_,) = make_axes(ax, size=(6, 6))
        largest = np.abs(self.filters).max(axis=1, keepdims=True)
        tiles = mosaic(self.filters / np.where(largest > 0, largest, 1), image_shape, n_columns)
        show(self.ax_, tiles, cmap=cmap, vmin=-1, vmax=1)
        return self

    def _plot_bars(self, ax: AxesLike | None, n_columns: int | None) -> Self:
        n, n_features = self.filters.shape
        n_columns = min(n, n_columns or 4)
        n_rows = -(-n // n_columns)
        if ax is None:
            size = (2.2 * n_columns + 1.5, (0.16 * n_features + 0.5) * n_rows)
            self.figure_, axes = make_axes(None, n_rows, n_columns, size, sharex=True, sharey=True)
        else:
            self.figure_, axes = make_axes(ax, n)
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
