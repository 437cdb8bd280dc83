"""Display of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._common import BLUE, GREEN, GREY, ORANGE, make_axes

if TYPE_CHECKING:
    from .._types import Float64Array
    from ._common import Autoencoder, AxesLike


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
        self.figure_, self.ax_ = make_axes(ax, 1, 2, (9, 3.5))
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
