"""What displays share: axes, colours, ticks, the parts of a Pipeline, pictures made of small images."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import KernelPCA
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._inspection.models import default_names, names_seen, steps_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from .._types import FloatArray

    AxesLike: TypeAlias = Axes | Sequence[Axes] | NDArray[Any]

# Okabe and Ito's colours, which colour-blind readers can tell apart (https://jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.6"

# Inches: no figure is wider or taller, whatever the size of the data.
LARGEST = 20.0

# Steps whose inverse_transform takes codes of categories, words or missing values, not numbers near these.
NEVER_UNDONE = CountVectorizer, DictVectorizer, OneHotEncoder, OrdinalEncoder, SimpleImputer

# Characters of a feature name; longer ones lose their middle.
LONGEST_NAME = 28


def make_axes(
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


# -- estimators and names --------------------------------------------------------------------------


def is_autoencoder(estimator: Any) -> bool:
    return hasattr(estimator, "reconstruction_error")


class Parts(NamedTuple):
    """A fitted autoencoder and the transformers that its input goes through."""

    before: list[Any]
    autoencoder: Any

    @classmethod
    def of(cls, estimator: Any) -> Parts:
        """Split a Pipeline at its autoencoder; an autoencoder alone has nothing before it."""
        steps = steps_of(estimator)
        place = next((i for i, step in enumerate(steps) if is_autoencoder(step)), None)
        if place is None:
            hint = " Pass its best_estimator_." if hasattr(estimator, "best_estimator_") else ""
            raise ValueError(f"There is no autoencoder of skl_sae in this {type(estimator).__name__}.{hint}")
        check_is_fitted(steps[place])
        # A sampler of imbalanced-learn has no transform: it changes the rows of a fit alone.
        return cls([step for step in steps[:place] if hasattr(step, "transform")], steps[place])

    def prepare(self, X: Any) -> Any:
        """Return X as the autoencoder sees it."""
        for step in self.before:
            X = step.transform(X)
        return X

    @property
    def is_invertible(self) -> bool:
        """Whether the input of the autoencoder can be turned back into that of the first step."""
        return all(_is_undone(step) for step in self.before)

    def restore(self, X: Any) -> Any:
        """Undo `prepare`."""
        for step in reversed(self.before):
            X = step.inverse_transform(X)
            if not np.isfinite(np.asarray(X, dtype=np.float64)).all():
                raise ValueError(
                    f"inverse_transform of {type(step).__name__} gives NaN or infinity for a reconstruction. Draw the "
                    "autoencoder alone: pass this step of the Pipeline, and the rows that the steps before it give."
                )
        return X

    def feature_names(self) -> list[str] | None:
        """Return the names of what the autoencoder sees; None if it has none."""
        return names_seen(self.autoencoder, self.before)


def _is_undone(step: Any) -> bool:
    """Whether ``inverse_transform`` of a step gives the numbers that it was fitted to, also for reconstructions."""
    if isinstance(step, FunctionTransformer):  # without an inverse_func it would return what it is given
        return step.func is None or step.inverse_func is not None
    if isinstance(step, KernelPCA):
        return bool(step.fit_inverse_transform)
    return hasattr(step, "inverse_transform") and not isinstance(step, NEVER_UNDONE)


def check_names(names: Iterable[str] | None, n_features: int) -> list[str]:
    """Return a list of names, x0, x1, ... for None."""
    names = default_names(n_features) if names is None else [str(name) for name in names]
    if len(names) != n_features:
        raise ValueError(f"There are {len(names)} feature names for {n_features} features.")
    return names


def position_of(row: Any, X: Any) -> int:
    """Return the position of a row of X, given as a position or, if not an integer, as a label in the index of X."""
    if isinstance(row, numbers.Integral):
        n_rows = _num_samples(X)
        if not -n_rows <= row < n_rows:
            raise IndexError(f"There is no row at position {row}: X has {n_rows} rows.")
        return int(row) % n_rows
    if not hasattr(X, "iloc"):
        raise TypeError(f"row must be an int, the position of a row, unless X is a DataFrame of pandas; got {row!r}.")
    found = np.atleast_1d(np.arange(_num_samples(X))[X.index.get_loc(row)])  # an int, a slice or a mask
    if len(found) != 1:
        raise ValueError(f"Several rows of X have the label {row!r}: pass the position of one.")
    return int(found[0])


def shorten(names: Iterable[str] | None, n_features: int) -> list[str]:
    """Return names with the middle of long ones left out; those that differ only there are cut to where they differ."""
    alike: dict[str, set[str]] = {}
    names = check_names(names, n_features)
    for name in names:
        alike.setdefault(_without_middle(name), set()).add(name)
    shortened = {}
    for short, group in alike.items():
        alike_so_far = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*group, strict=False))
        start = max(0, sum(1 for _ in alike_so_far) - 8)
        for name in group:
            shortened[name] = short if len(group) == 1 else f"…{name[start : start + LONGEST_NAME - 2]}…"
    return [shortened[name] for name in names]


def _without_middle(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    tail = LONGEST_NAME // 3
    return f"{name[: LONGEST_NAME - tail - 1]}…{name[-tail:]}"


def width_of(names: Iterable[str], points: float) -> float:
    """Return roughly how many inches the longest name takes in letters of this many points."""
    return 0.6 * points / 72 * max((len(name) for name in names), default=0)


def label_features(axis: Axes, names: Sequence[str]) -> None:
    """Name the bars or rows from the top down, as plain text: a name may hold dollar signs."""
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.set_ylim(len(names) - 0.5, -0.5)


def room_for(axis: Axes, points: float) -> int:
    """Return how many lines of this height in points fit beside the axes."""
    return max(1, int(axis.get_window_extent().height / axis.figure.dpi * 72 / points))


def room_in(axis: Axes, points: float) -> int:
    return max(1, int(axis.get_window_extent().width / axis.figure.dpi * 72 / points))


# -- axes ------------------------------------------------------------------------------------------


def ink(axis: Axes) -> Any:
    """Return the colour of lines that are neither data nor background, in light and dark styles."""
    return axis.xaxis.label.get_color()


def legend_above(axis: Axes, n_columns: int = 3) -> None:
    """Put the legend above the axes, where it hides nothing."""
    if not axis.get_legend_handles_labels()[1]:
        return  # a fit without any loss has no curves
    axis.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=n_columns, frameon=False, fontsize="small", borderaxespad=0.2
    )


def count_in_whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from low to high for a logarithmic axis, few enough to be read."""
    from matplotlib.ticker import MaxNLocator

    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**k for k in exponents for factor in factors if low <= factor * 10.0**k <= high]
        if len(ticks) <= most:
            break
    if len(ticks) < 2:
        ticks = [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    return ticks[:: -(-len(ticks) // most)]


def mark_log(axis: Axis, ticks: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Set the ticks of a logarithmic axis, and no others."""
    from matplotlib.ticker import NullFormatter, NullLocator

    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_ticks(list(ticks), [f"{tick:g}" for tick in ticks] if labels is None else list(labels))


# -- images ----------------------------------------------------------------------------------------


def are_pixels(n_features: int, image_shape: Sequence[int] | None, named: bool) -> bool:
    """Whether features count as pixels if the user does not say: see ``images`` of `FilterDisplay.from_estimator`."""
    square = n_features >= 16 and round(np.sqrt(n_features)) ** 2 == n_features
    return image_shape is not None or (square and not named)


def find_image_shape(n_features: int, image_shape: Sequence[int] | None) -> tuple[int, int]:
    """Height and width of an image of ``n_features`` pixels: ``image_shape`` if given, else a square."""
    if image_shape is not None:
        if np.shape(image_shape) != (2,) or min(image_shape) < 1 or np.prod(image_shape) != n_features:
            raise ValueError(f"image_shape={image_shape!r} does not make {n_features} features.")
        height, width = image_shape
        return int(height), int(width)
    side = round(np.sqrt(n_features))
    if side**2 != n_features or not side:
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


def show(axis: Axes, tiles: FloatArray, **options: Any) -> AxesImage:
    """Draw a mosaic with transparent borders."""
    import matplotlib

    colormap = matplotlib.colormaps[options.pop("cmap", "gray")].with_extremes(bad=(0, 0, 0, 0))
    image = axis.imshow(tiles, cmap=colormap, interpolation="nearest", **options)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_frame_on(False)
    return image
