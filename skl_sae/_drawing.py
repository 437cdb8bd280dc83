"""What the displays share: axes, images side by side, colours. matplotlib is imported on use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from ._types import FloatArray

    AxesLike: TypeAlias = Axes | Sequence[Axes] | NDArray[Any]

# Okabe and Ito's colours, which colour-blind readers can tell apart (https://jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.6"


def new_axes(
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


def shape_of_images(n_features: int, image_shape: Sequence[int] | None) -> tuple[int, int]:
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


def mosaic(images: FloatArray, shape: tuple[int, int], n_columns: int) -> FloatArray:
    """Tile images (n, pixels) into one image, with one-pixel borders of NaN."""
    height, width = shape
    n_rows = -(-len(images) // n_columns)
    tiles = np.full((n_rows * (height + 1) + 1, n_columns * (width + 1) + 1), np.nan)
    for i, image in enumerate(images):
        top, left = i // n_columns * (height + 1) + 1, i % n_columns * (width + 1) + 1
        tiles[top : top + height, left : left + width] = image.reshape(shape)
    return tiles


def show_image(axis: Axes, tiles: FloatArray, **options: Any) -> AxesImage:
    import matplotlib

    colormap = matplotlib.colormaps[options.pop("cmap", "gray")].with_extremes(bad="white")
    image = axis.imshow(tiles, cmap=colormap, interpolation="nearest", **options)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_frame_on(False)
    return image
