"""SearchDisplay: heat maps of a search."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from ._common import ORANGE, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import Float64Array
    from ._common import AxesLike

# With more cells than this there is no room for numbers.
MOST_NUMBERS = 64

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
        return cls(figures, results["params"], getattr(search, "best_index_", None)).plot(ax, cmap=cmap)

    def plot(self, ax: AxesLike | None = None, *, cmap: str = "viridis") -> Self:
        """Draw the heat maps; ``ax``, if given, holds one Axes for each, row by row."""
        levels = _levels(self.params)
        across, down, *others = levels
        facets = list(itertools.product(*(levels[name] for name in others)))
        n_across, n_down, n_figures = len(levels[across]), len(levels[down]), len(self.figures)
        # Four heat maps side by side would be too wide for a page.
        n_rows, n_columns = (2, 2) if (len(facets), n_figures) == (1, 4) else (len(facets), n_figures)
        size = n_columns * max(2.6, 0.55 * n_across + 0.8), n_rows * max(1.6, 0.38 * n_down + 1.0)
        self.figure_, axes = make_axes(ax, n_rows, n_columns, size)
        self.ax_ = axes.reshape(len(facets), n_figures)
        positions = [
            (
                facets.index(tuple(_text(one.get(name)) for name in others)),
                levels[down].index(_text(one.get(down))),
                levels[across].index(_text(one.get(across))),
            )
            for one in self.params
        ]
        for column, (title, values) in enumerate(self.figures.items()):
            cells = np.full((len(facets), n_down, n_across), np.nan)
            cells[tuple(np.transpose(positions))] = np.asarray(values, dtype=np.float64)
            finite = cells[np.isfinite(cells)]
            limits = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
            for row, facet in enumerate(facets):
                axis = self.ax_[row, column]
                _draw(axis, cells[row], limits, cmap)
                about = ", ".join(f"{_short(name)} {value}" for name, value in zip(others, facet, strict=True))
                axis.set_title(f"{title}\n{about}" if about else title, fontsize="small", loc="left")
                axis.set_xticks(range(n_across), levels[across], fontsize="x-small")
                axis.set_yticks(range(n_down), levels[down], fontsize="x-small")
                axis.set_xlabel(_short(across), fontsize="small")
                if column % n_columns == 0:
                    axis.set_ylabel(_short(down), fontsize="small")
        if self.best_index is not None:
            row, y, x = positions[self.best_index]
            for axis in self.ax_[row]:
                frame = dict(fill=False, edgecolor=ORANGE, linewidth=2.5, clip_on=False)
                axis.add_patch(_rectangle((x - 0.5, y - 0.5), 1, 1, **frame))
        return self


def _levels(params: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the values of all parameters that vary, as text in order: beta across, rho down, then the others."""
    names = sorted({name for one in params for name in one})
    values = {name: [one.get(name) for one in params] for name in names}
    levels = {}
    for name in sorted(names, key=lambda name: ["beta", "rho", _short(name)].index(_short(name))):
        texts = dict.fromkeys(_text(value) for value in sorted(values[name], key=_sort_key))
        if len(texts) > 1:
            levels[name] = list(texts)
    for name in [*names, "", " "]:  # at least two, if only to show a single row or cell
        if len(levels) < 2 and name not in levels:
            levels[name] = [_text(values[name][0]) if name in values else ""]
    return levels


def _sort_key(value: Any) -> tuple[bool, Any]:
    is_number = isinstance(value, int | float | np.number)
    return not is_number, value if is_number else str(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)


def _short(name: str) -> str:
    """Return the name of a parameter without those of the steps."""
    return name.split("__")[-1]


def _rectangle(*args: Any, **options: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(*args, **options)


def _draw(axis: Axes, cells: Float64Array, limits: tuple[float, float], cmap: str) -> None:
    """Draw a heat map, with numbers if there is room."""
    low, high = limits
    image = axis.imshow(cells, cmap=cmap, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    if cells.size > MOST_NUMBERS:
        axis.figure.colorbar(image, ax=axis)
        return
    for (y, x), value in np.ndenumerate(cells):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(np.asarray(value)))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axis.text(x, y, f"{value:.3g}", ha="center", va="center", fontsize=6, color="white" if dark else "black")
