"""Display of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ._common import BLUE, GREEN, GREY, ORANGE, Parts, count_in_whole_numbers, ink, legend_above, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .._types import Float64Array
    from ._common import AxesLike

# The loss has the colour of text (None).
LINES: dict[str, tuple[str, str | None, str]] = {
    "loss": ("loss", None, "-"),
    "reconstruction": ("reconstruction", BLUE, "-"),
    "sparsity": ("sparsity term", ORANGE, "--"),
    "weight_decay": ("weight decay", GREEN, ":"),
    "validation_loss": ("validation loss", GREY, "-."),
}


# What the second axes show for a top-k autoencoder.
SHARES = {"fvu": ("unexplained variance", BLUE, "-"), "dead_fraction": ("dead units", ORANGE, "--")}


class TrainingDisplay:
    """Loss, its terms and the mean activation over the iterations.

    For a top-k autoencoder, the share of unexplained variance and the share of dead units take the place of the mean
    activation.

    Parameters
    ----------
    history : dict of ndarrays of shape (n_iter,)
        ``history_`` of an estimator.
    rho : float or None
        Target mean activation, if there is one.
    first_history : dict of ndarrays or None
        History of an earlier training, drawn to the left of a vertical line.

    Attributes
    ----------
    ax_ : array of two Axes
    figure_ : Figure
    """

    def __init__(
        self,
        history: Mapping[str, Float64Array],
        rho: float | None,
        first_history: Mapping[str, Float64Array] | None = None,
    ) -> None:
        self.history, self.rho, self.first_history = history, rho, first_history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: AxesLike | None = None) -> Self:
        """Show how a fitted estimator, or the autoencoder of a Pipeline, was trained; ``ax`` holds two axes if given.

        Where a detector was trained twice, on all rows and then on those that lie closest together, a line separates
        the two trainings.
        """
        autoencoder = Parts.of(estimator).autoencoder
        rho, first_history = getattr(autoencoder, "rho", None), getattr(autoencoder, "_first_history", None)
        return cls(autoencoder.history_, rho, first_history).plot(ax)

    def plot(self, ax: AxesLike | None = None) -> Self:
        """Draw the curves; ``ax``, if given, holds two axes, for the losses and the mean activation."""
        self.figure_, self.ax_ = make_axes(ax, 1, 2, (9, 4))
        losses, activation = self.ax_
        earlier = 0 if self.first_history is None else len(self.first_history["loss"])
        if self.first_history is not None:
            self._draw(self.first_history, 0, labelled=False)
        self._draw(self.history, earlier, labelled=True)
        losses.set(ylabel="per row", yscale="log")
        if self.rho is not None:
            activation.axhline(self.rho, color=ink(activation), linewidth=0.8, linestyle="--", label="rho")
        activation.set(ylabel="share" if self.rho is None else "averaged over the units")
        activation.set_ylim(bottom=0)
        for axis in self.ax_:
            if earlier:
                axis.axvline(earlier + 0.5, color=GREY, linewidth=1, label="training 2 of 2")
            axis.set_xlabel("iteration")
            count_in_whole_numbers(axis.xaxis)
        legend_above(losses)
        legend_above(activation, 2)
        return self

    def _draw(self, history: Mapping[str, Float64Array], start: int, labelled: bool) -> None:
        losses, activation = self.ax_
        for key, (label, color, style) in LINES.items():
            values = history.get(key)
            if values is not None and np.any(np.asarray(values) > 0):
                _draw_line(losses, start, values, style, color or ink(losses), label if labelled else None)
        averages = SHARES if self.rho is None else {"mean_activation": ("mean activation", BLUE, "-")}
        for key, (label, color, style) in averages.items():
            _draw_line(activation, start, history[key], style, color, label if labelled else None)


def _draw_line(axis: Axes, start: int, values: Float64Array, style: str, color: Any, label: str | None) -> None:
    marker = "." if len(values) < 20 else None
    iterations = start + np.arange(1, len(values) + 1)
    axis.plot(iterations, values, style, color=color, label=label, marker=marker)
