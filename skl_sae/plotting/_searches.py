"""SearchDisplay: heat maps of a search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.validation import check_is_fitted

from ._common import LARGEST, ORANGE, make_axes, shorten, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import Float64Array
    from ._common import AxesLike

# More cells than this, or cells less wide in inches, have no room for numbers.
MOST_NUMBERS, NUMBER = 64, 0.4

# Rows of heat maps that can be read below each other, inches for a line of labels, and points of a label.
MOST_FACETS, LINE, LABEL = 20, 0.13, 7.0

# Figures of `path_results_` that are shown beside the score.
RECORDS = {"mean_activation": "mean activation", "dead_fraction": "dead units"}


class SearchDisplay:
    """Heat maps of the results of a search over one, two or three parameters, with the chosen candidate framed.

    One heat map shows the score, and with `PathSearchCV` two more show the mean activation and the share of dead units
    that the fits reached; the last one shows the time of a fit. Each value of a third parameter has a row of heat maps,
    with the same colour scales.

    Parameters
    ----------
    figures : dict of str to array-like of shape (n_candidates,)
        Numbers to show, by title; each makes a heat map.
    params : list of n_candidates dicts
        Parameters of the candidates, such as ``cv_results_["params"]``.
    best_index : int or None
        Candidate to frame.

    Attributes
    ----------
    ax_ : array of Axes of shape (n_rows, n_figures)
    figure_ : Figure

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import scale
    >>> from skl_sae import SparseAutoencoderTransformer
    >>> from skl_sae.metrics import population_sparsity_scorer
    >>> from skl_sae.model_selection import PathSearchCV
    >>> from skl_sae.plotting import SearchDisplay
    >>> grid = {"rho": [0.05, 0.1, 0.2], "beta": [0.3, 3.0]}
    >>> sae = SparseAutoencoderTransformer(8, random_state=0)
    >>> search = PathSearchCV(sae, grid, scoring=population_sparsity_scorer, cv=3)
    >>> search = search.fit(scale(load_wine().data))
    >>> SearchDisplay.from_search(search).ax_.shape
    (1, 4)
    """

    def __init__(
        self,
        figures: Mapping[str, ArrayLike],
        params: Sequence[Mapping[str, Any]],
        best_index: int | None = None,
    ) -> None:
        self.figures, self.params, self.best_index = figures, params, best_index

    @classmethod
    def from_search(
        cls, search: Any, *, score: str | None = None, ax: AxesLike | None = None, cmap: str = "viridis"
    ) -> Self:
        """Show the results of a fitted search.

        Parameters
        ----------
        search : PathSearchCV, GridSearchCV or another search of scikit-learn
        score : str, default=None
            Name of the scorer to show. None takes the one that chose the candidate to refit, or the first one.
        ax : array of Axes, default=None
            One for each figure and value of the third parameter, row by row; None creates a figure.
        cmap : str, default="viridis"

        Returns
        -------
        display : SearchDisplay
        """
        if not (hasattr(search, "cv_results_") or isinstance(search, BaseSearchCV)):
            raise ValueError(f"This {type(search).__name__} is no search: it has no cv_results_.")
        check_is_fitted(search, "cv_results_")
        results = search.cv_results_
        names = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
        if score is None:
            score = search.refit if search.refit in names else names[0]
        if score not in names:
            raise ValueError(f"score={score!r} is not one of the scorers of this search: {', '.join(names)}.")
        figures = {"score" if score == "score" else f"score: {score}": results[f"mean_test_{score}"]}
        for name, title in RECORDS.items():
            values = getattr(search, "path_results_", {}).get(name)
            if values is not None and not np.isnan(values).all():
                figures[title] = np.ma.masked_invalid(values).mean(axis=1).filled(np.nan)
        figures["seconds per fit"] = results["mean_fit_time"]
        # With several scorers and refit=False a fit leaves the index of an earlier one.
        is_chosen = hasattr(search, "best_index_") and (search.refit or not search.multimetric_)
        return cls(figures, results["params"], search.best_index_ if is_chosen else None).plot(ax, cmap=cmap)

    def plot(self, ax: AxesLike | None = None, *, cmap: str = "viridis") -> Self:
        """Draw the heat maps; ``ax``, if given, holds one Axes for each, row by row."""
        texts = _texts_of(self.params)
        levels = _levels(self.params, texts)
        across, down, *others = levels
        n_facets = math.prod(len(levels[name]) for name in others)
        if n_facets > MOST_FACETS:
            raise ValueError(
                f"The values of {', '.join(map(_short, others))} have {n_facets} combinations; at most {MOST_FACETS} "
                "can be shown. Draw some of the candidates by SearchDisplay(figures, params).plot()."
            )
        facets = list(itertools.product(*(levels[name] for name in others)))
        layout = Layout.of(levels[across], levels[down], len(facets), len(self.figures))
        self.figure_, axes = make_axes(ax, layout.n_rows, layout.n_columns, layout.size)
        self.ax_ = axes.reshape(len(facets), len(self.figures))
        positions = [
            (facets.index(tuple(facet)), levels[down].index(y), levels[across].index(x))
            for *facet, y, x in zip(*(texts[name] for name in (*others, down, across)), strict=True)
        ]
        for column, (title, values) in enumerate(self.figures.items()):
            cells = np.full((len(facets), len(levels[down]), len(levels[across])), np.nan)
            cells[tuple(np.transpose(positions))] = np.asarray(values, dtype=np.float64)
            finite = cells[np.isfinite(cells)]
            limits = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
            for row, facet in enumerate(facets):
                axis = self.ax_[row, column]
                _draw(axis, cells[row], limits, cmap, layout.numbered)
                about = ", ".join(f"{_short(name)} {value}" for name, value in zip(others, facet, strict=True))
                about = f"{title}\n{about}" if about else title
                axis.set_title(about, fontsize="small", loc="left", parse_math=False)
                layout.label(axis, levels[across], levels[down])
                axis.set_xlabel(_short(across), fontsize="small")
                if column % layout.n_columns == 0:
                    axis.set_ylabel(_short(down), fontsize="small")
        if self.best_index is not None:
            row, y, x = positions[self.best_index]
            for axis in self.ax_[row]:
                frame = dict(fill=False, edgecolor=ORANGE, linewidth=2.5, clip_on=False)
                axis.add_patch(_rectangle((x - 0.5, y - 0.5), 1, 1, **frame))
        return self


class Layout(NamedTuple):
    """Rows and columns of heat maps, the size of the figure, and how labels fit beside them."""

    n_rows: int
    n_columns: int
    size: tuple[float, float]
    turned: bool  # the labels across
    every: tuple[int, int]  # label across and down
    numbered: bool  # whether cells have room for numbers

    @classmethod
    def of(cls, across: Sequence[str], down: Sequence[str], n_facets: int, n_figures: int) -> Self:
        # Four heat maps side by side would be too wide for a page.
        n_rows, n_columns = (2, 2) if (n_facets, n_figures) == (1, 4) else (n_facets, n_figures)
        n_across, n_down = len(across), len(down)
        letters, beside = (width_of(shorten(texts, len(texts)), LABEL) for texts in (across, down))
        rest = 0.8 + max(0.0, beside - 0.4)
        width = min(max(1.8, 0.55 * n_across) + rest, LARGEST / n_columns)
        turned = n_across * (letters + 0.05) > width - rest
        below = 1.0 + letters * turned
        height = min(max(0.6, 0.38 * n_down) + below, LARGEST / n_rows)
        every = -(-n_across * LINE // (width - rest)) if turned else 1, -(-n_down * LINE // (height - below))
        numbered = n_across * n_down <= MOST_NUMBERS and n_across * NUMBER <= width - rest
        size = n_columns * width, n_rows * height
        return cls(n_rows, n_columns, size, turned, (int(every[0]), int(every[1])), numbered)

    def label(self, axis: Axes, across: Sequence[str], down: Sequence[str]) -> None:
        for one, texts, every in (axis.xaxis, across, self.every[0]), (axis.yaxis, down, self.every[1]):
            texts = shorten(texts, len(texts))[::every]
            one.set_ticks(range(0, every * len(texts), every), texts, fontsize=LABEL, parse_math=False)
        axis.tick_params(axis="x", rotation=90 if self.turned else 0)


def _texts_of(params: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the values of each parameter as texts, one for each candidate; "" for candidates without it.

    Floats have as many digits as tell them apart; values whose texts are alike are numbered. None is "" where it is the
    only value.
    """
    texts = {}
    for name in sorted({name for one in params for name in one}):
        given = [one[name] for one in params if name in one]
        numbers = {float(value) for value in given if isinstance(value, float | np.floating)}
        digits = next((n for n in range(3, 17) if len({f"{number:.{n}g}" for number in numbers}) == len(numbers)), 17)
        names_none = any(value is not None for value in given)
        found = {_identity(value): _text(value, digits, names_none) for value in given}
        if len(set(found.values())) < len(found):
            found = {key: f"{text} ({number})" for number, (key, text) in enumerate(found.items(), 1)}
        texts[name] = [found[_identity(one[name])] if name in one else "" for one in params]
    return texts


def _identity(value: Any) -> Any:
    """Return what tells values of a parameter apart: themselves, or the text of lists and arrays; 1 is not True."""
    try:
        hash(value)
    except TypeError:
        return type(value), str(value)
    return isinstance(value, bool), value


def _text(value: Any, digits: int, names_none: bool) -> str:
    if value is None and not names_none:
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float | np.floating) else " ".join(str(value).split())


def _levels(params: Sequence[Mapping[str, Any]], texts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the texts of all parameters that vary, in the order of values: beta across, rho down, then the others.

    There are two at least, if only to show a single row or cell; names are added to ``texts`` for that.
    """
    levels = {}
    for name in sorted(texts, key=lambda name: ["beta", "rho", _short(name)].index(_short(name))):
        order = sorted(range(len(params)), key=lambda i: _sort_key(params[i].get(name)))
        if len(set(texts[name])) > 1:
            levels[name] = list(dict.fromkeys(texts[name][i] for i in order))
    for name in [*texts, "", " "]:
        if len(levels) < 2 and name not in levels:
            levels[name] = texts.setdefault(name, [""] * len(params))[:1]
    return levels


def _sort_key(value: Any) -> tuple[bool, Any]:
    is_number = isinstance(value, int | float | np.number)
    return not is_number, value if is_number else str(value)


def _short(name: str) -> str:
    """Return the name of a parameter without those of the steps."""
    return name.split("__")[-1]


def _rectangle(*args: Any, **options: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(*args, **options)


def _draw(axis: Axes, cells: Float64Array, limits: tuple[float, float], cmap: str, numbered: bool) -> None:
    """Draw a heat map, with numbers or with a scale."""
    low, high = limits
    image = axis.imshow(cells, cmap=cmap, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    if not numbered:
        axis.figure.colorbar(image, ax=axis)
        return
    for (y, x), value in np.ndenumerate(cells):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(np.asarray(value)))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axis.text(x, y, f"{value:.3g}", ha="center", va="center", fontsize=6, color="white" if dark else "black")
