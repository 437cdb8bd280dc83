"""Display of filters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._inspection.models import unit_length
from ._common import (
    BLUE,
    LARGEST,
    ORANGE,
    Parts,
    are_pixels,
    check_names,
    find_image_shape,
    ink,
    label_features,
    make_axes,
    mosaic,
    room_for,
    room_in,
    shorten,
    show,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import FloatArray
    from ._common import AxesLike

# Units that are drawn as bars; more make a heat map.
MOST_BAR_CHARTS = 16

# With more features than these, bars show the strongest of each unit.
MOST_BARS, STRONGEST_BARS = 20, 10

# Largest number of features in a heat map.
MOST_ROWS = 60

# Inches for a bar or a row of a heat map with its label, and for the rest of a bar chart; points of a label.
LINE, REST, LABEL = 0.16, 0.5, 7.0


class FilterDisplay:
    r"""Input of norm 1 that excites each hidden unit most, :math:`W_j / \lVert W_j \rVert`.

    The formula is derived in [1]_. Filters are drawn as images if the features are pixels, otherwise as bars, or as a
    heat map if there are more than 16.

    Parameters
    ----------
    filters : ndarray of shape (n_components, n_features)
        Each of norm 1, or 0 for a unit whose weights are all 0.
    image_shape : tuple of two ints or None
        Height and width, to show filters as images. None shows them as bars or a heat map.
    feature_names : list of str or None
        None names features x0, x1, ...
    components : array-like of ints or None
        Indices of the units, for their titles; None numbers them from 0.
    title : str or None
        Title above the bars.

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
        title: str | None = None,
    ) -> None:
        self.filters, self.image_shape, self.feature_names = filters, image_shape, feature_names
        self.components = np.arange(len(filters)) if components is None else components
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        images: bool | None = None,
        image_shape: tuple[int, int] | None = None,
        feature_names: Iterable[str] | None = None,
        components: ArrayLike | Literal["all"] | None = None,
        **plot: Any,
    ) -> Self:
        """Show the filters of a fitted estimator.

        Parameters
        ----------
        estimator : autoencoder of this package, or Pipeline with one
        images : bool, default=None
            Whether features are pixels. None means that they are if ``image_shape`` is given, or if they have no names
            and their number is a square of at least 16.
        image_shape : tuple of two ints, default=None
            Height and width of an image; None means a square.
        feature_names : list of str, default=None
            Labels of the features; None uses the names seen during `fit`. In a Pipeline these are the names of the
            first step's input, passed through ``get_feature_names_out`` of the steps before the autoencoder.
        components : array-like of ints or "all", default=None
            Units to show. None means all of them as images and, for other features, the 16 with the highest mean
            activation (of a top-k autoencoder, those that are active most often). More than 16 units are shown as a
            heat map.
        **plot
            Arguments passed to `plot`.

        Returns
        -------
        display : FilterDisplay
        """
        parts = Parts.of(estimator)
        weights = np.asarray(parts.autoencoder.encoder_coef_, dtype=np.float64)
        n_units, n_features = weights.shape
        names = parts.feature_names() if feature_names is None else feature_names
        images = are_pixels(n_features, image_shape, names is not None) if images is None else images
        units: NDArray[np.integer[Any]] = np.arange(n_units)
        title = None
        if components is not None and not (isinstance(components, str) and components == "all"):
            chosen = np.asarray(components)
            if chosen.dtype.kind not in "iub" or not units[chosen].size:
                raise ValueError(
                    f"components must be 'all' or indices of units, from 0 to {n_units - 1}; got {components!r}."
                )
            units = np.atleast_1d(units[chosen])
        elif components is None and not images and n_units > MOST_BAR_CHARTS:
            units = _most_active(parts.autoencoder)
            title = f"the {len(units)} most active of {n_units} units"
        filters = unit_length(weights[units])
        shape = find_image_shape(n_features, image_shape) if images else None
        names = None if images else check_names(names, n_features)
        return cls(filters, image_shape=shape, feature_names=names, components=units, title=title).plot(**plot)

    def plot(self, ax: AxesLike | None = None, *, n_columns: int | None = None, cmap: str | None = None) -> Self:
        """Draw the filters.

        Bars show all features if there are at most 20, else the ten with the largest weights of each unit. A heat map
        shows at most 60 features, those with the largest weights over all units. No figure is larger than 20 inches.

        Parameters
        ----------
        ax : Axes or array of Axes, default=None
            One for images or a heat map, one per unit for bars; None creates a figure. Names of features need room that
            only a constrained layout makes: create your figure with ``layout="constrained"``.
        n_columns : int, default=None
            Number of filters side by side: images, or bars as far as they fit.
        cmap : str, default=None
            Colormap, symmetric about 0. None is "gray" for images, each of which has its own scale, and "PuOr_r" for a
            heat map.

        Returns
        -------
        display : FilterDisplay
        """
        if self.image_shape is not None:
            return self._plot_images(ax, self.image_shape, n_columns, cmap or "gray")
        if len(self.filters) > MOST_BAR_CHARTS:
            return self._plot_heat_map(ax, cmap or "PuOr_r")
        return self._plot_bars(ax, n_columns or 4)

    def _plot_images(self, ax: AxesLike | None, image_shape: tuple[int, int], n_columns: int | None, cmap: str) -> Self:
        n_columns = n_columns or int(np.ceil(np.sqrt(len(self.filters))))
        self.figure_, (self.ax_,) = make_axes(ax, size=(6, 6))
        largest = np.abs(self.filters).max(axis=1, keepdims=True)
        tiles = mosaic(self.filters / np.where(largest > 0, largest, 1), image_shape, n_columns)
        show(self.ax_, tiles, cmap=cmap, vmin=-1, vmax=1)
        return self

    def _plot_bars(self, ax: AxesLike | None, n_columns: int) -> Self:
        n, n_features = self.filters.shape
        names = shorten(self.feature_names, n_features)
        labels = width_of(names, LABEL)
        n_columns = max(1, min(n, n_columns, int(LARGEST / (2.0 + labels))))
        n_rows = -(-n // n_columns)
        if ax is None:
            room = max(1, int((LARGEST / n_rows - REST) / LINE))
        else:
            self.figure_, axes = make_axes(ax, n)
            room = min(room_for(axis, 72 * LINE) for axis in axes)
        complete = n_features <= min(MOST_BARS, room)
        n_bars = n_features if complete else min(STRONGEST_BARS, room, n_features)
        if ax is None:
            width = n_columns * (2.0 if complete else 1.8 + labels) + (labels if complete else 0)
            size = min(LARGEST, width), min(LARGEST, (LINE * n_bars + REST) * n_rows + 0.3)
            self.figure_, axes = make_axes(None, n_rows, n_columns, size, sharex=True, sharey=complete)
            if self.title:
                self.figure_.suptitle(self.title, fontsize="medium")
        for axis, values, unit in zip(axes, self.filters, self.components, strict=False):
            shown = np.arange(n_features) if complete else np.argsort(-np.abs(values), kind="stable")[:n_bars]
            axis.barh(range(n_bars), values[shown], color=np.where(values[shown] < 0, ORANGE, BLUE))
            axis.axvline(0, color=ink(axis), linewidth=0.8)
            label_features(axis, [names[k] for k in shown])
            axis.set_title(f"unit {unit}", fontsize="small")
            axis.tick_params(labelsize=LABEL)
        for axis in axes[n:]:
            axis.set_visible(False)
        for axis in axes[max(0, n - n_columns) : n]:  # the lowest of each column
            axis.xaxis.set_tick_params(labelbottom=True)
        self.ax_ = axes[:n]
        return self

    def _plot_heat_map(self, ax: AxesLike | None, cmap: str) -> Self:
        n, n_features = self.filters.shape
        names = shorten(self.feature_names, n_features)
        n_rows = min(n_features, MOST_ROWS)
        labels = width_of(names, LABEL)
        size = min(LARGEST, max(4.5, 0.1 * n + 2.5) + labels), max(2.5, LINE * n_rows + 1.0)
        self.figure_, (self.ax_,) = make_axes(ax, size=size)
        if ax is not None:
            n_rows = min(n_rows, room_for(self.ax_, 72 * LINE))
        strength = np.square(self.filters).sum(axis=0)
        shown = np.sort(np.argsort(-strength, kind="stable")[:n_rows])
        largest = np.abs(self.filters[:, shown]).max()
        limit = largest if largest > 0 else 1.0
        image = self.ax_.imshow(self.filters[:, shown].T, aspect="auto", cmap=cmap, vmin=-limit, vmax=limit)
        self.figure_.colorbar(image, ax=self.ax_, label="weight", fraction=0.05, pad=0.02)
        label_features(self.ax_, [names[k] for k in shown])
        self.ax_.set_xlabel("unit")
        if n_rows < n_features:
            self.ax_.set_title(f"{n_rows} of {n_features} features, with the largest weights", fontsize="small")
        self._number_units(self.ax_)
        self.ax_.tick_params(labelsize=LABEL)
        return self

    def _number_units(self, axis: Axes) -> None:
        n, room = len(self.filters), room_in(axis, 36.0)
        step = next(step for step in _round_steps() if n <= step * room)
        axis.set_xticks(range(0, n, step), [str(unit) for unit in self.components[::step]])


def _round_steps() -> Iterator[int]:
    factor = 1
    while True:
        yield from (factor, 2 * factor, 5 * factor)
        factor *= 10


def _most_active(autoencoder: Any) -> NDArray[np.integer[Any]]:
    """Return the units with the highest mean activation, or those that are active most often, in that order."""
    activity = getattr(autoencoder, "mean_activation_", getattr(autoencoder, "activation_frequency_", None))
    if activity is None:
        raise ValueError(
            "The mean activations are unknown after a fit that was interrupted: pass the units to show as components."
        )
    return np.argsort(-np.asarray(activity), kind="stable")[:MOST_BAR_CHARTS]
