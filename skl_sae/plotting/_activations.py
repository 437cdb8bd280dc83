"""Display of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ._common import BLUE, Parts, count_in_whole_numbers, ink, legend_above, log_ticks, make_axes, mark_log

if TYPE_CHECKING:
    from .._types import FloatArray, MatrixLike
    from ._common import AxesLike


class ActivationDisplay:
    """Histograms of the activations and of every unit's mean activation.

    The mean activation alone does not show whether a code is sparse: a unit may stay near ``rho`` for every row. Both
    axes of activations start at 0 and reach at least twice ``rho``, so that small differences look small.

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
    def from_estimator(cls, estimator: Any, X: MatrixLike, *, ax: AxesLike | None = None) -> Self:
        """Show the codes of X, array-like of shape (n_samples, n_features).

        ``estimator`` is a `SparseAutoencoderTransformer` or a Pipeline with one; X is what the first step takes.
        """
        parts = Parts.of(estimator)
        if not hasattr(parts.autoencoder, "transform"):
            raise ValueError(f"{type(parts.autoencoder).__name__} has no codes to show: it has no transform.")
        return cls(np.asarray(parts.autoencoder.transform(parts.prepare(X))), parts.autoencoder.rho).plot(ax)

    def plot(self, ax: AxesLike | None = None, *, bins: int = 50) -> Self:
        """Draw the histograms; ``ax``, if given, holds two axes."""
        self.figure_, self.ax_ = make_axes(ax, 1, 2, (9, 3.5))
        activations, means = self.ax_
        counts, *_ = activations.hist(self.codes.ravel(), bins=self._edges(self.codes, bins), color=BLUE, log=True)
        activations.set(xlabel="activation", ylabel="number of activations")
        highest = max(float(np.max(counts)), 1.0)
        mark_log(activations.yaxis, log_ticks(1.0, max(highest, 10.0)))
        activations.set_ylim(0.5, 2 * highest)  # so that a bar of one shows
        averages = self.codes.mean(axis=0)
        means.hist(averages, bins=self._edges(averages, min(bins, 40)), color=BLUE)
        means.axvline(self.rho, color=ink(means), linestyle="--", linewidth=1, label="rho")
        means.set(xlabel="mean activation of a unit", ylabel="number of units")
        count_in_whole_numbers(means.yaxis)
        legend_above(means)
        for axis in self.ax_:
            axis.set_xlim(left=0)
        return self

    def _edges(self, values: FloatArray, bins: int) -> FloatArray:
        """Return the edges of bins from 0 over all values and to twice rho, but not beyond 1 where values do not."""
        highest = float(values.max())
        upper = max(2 * self.rho, 1.05 * highest)
        return np.linspace(0, min(upper, 1.0) if highest <= 1 and self.rho < 1 else upper, bins + 1)
