"""Display of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.sparse import issparse

from ._common import BLUE, Parts, count_in_whole_numbers, ink, legend_above, log_ticks, make_axes, mark_log

if TYPE_CHECKING:
    from .._types import FloatArray, MatrixLike
    from ._common import AxesLike


class ActivationDisplay:
    """Histograms of the activations and of every unit's mean activation.

    The mean activation alone does not show whether a code is sparse: a unit may stay near ``rho`` for every row. Both
    axes of activations start at 0 and reach at least twice ``rho`` (or 1), so that small differences look small. If the
    codes are a sparse matrix, the first histogram leaves out zeros.

    Parameters
    ----------
    codes : {ndarray, sparse matrix} of shape (n_samples, n_components)
    rho : float or None
        Target mean activation, if there is one.

    Attributes
    ----------
    ax_ : array of two Axes
    figure_ : Figure
    """

    def __init__(self, codes: Any, rho: float | None) -> None:
        self.codes, self.rho = codes, rho

    @classmethod
    def from_estimator(cls, estimator: Any, X: MatrixLike, *, ax: AxesLike | None = None) -> Self:
        """Show the codes of X, array-like of shape (n_samples, n_features).

        ``estimator`` is a `SparseAutoencoderTransformer`, a `TopKAutoencoderTransformer` or a Pipeline with one; X is
        the input of the first step.
        """
        parts = Parts.of(estimator)
        if not hasattr(parts.autoencoder, "transform"):
            raise ValueError(f"{type(parts.autoencoder).__name__} has no codes to show: it has no transform.")
        codes = parts.autoencoder.transform(parts.prepare(X))
        return cls(codes if issparse(codes) else np.asarray(codes), getattr(parts.autoencoder, "rho", None)).plot(ax)

    def plot(self, ax: AxesLike | None = None, *, bins: int = 50) -> Self:
        """Draw the histograms; ``ax``, if given, holds two axes."""
        self.figure_, self.ax_ = make_axes(ax, 1, 2, (9, 3.5))
        activations, means = self.ax_
        sparse = issparse(self.codes)
        values = self.codes.data if sparse else np.ravel(self.codes)
        counts, *_ = activations.hist(values, bins=self._edges(values, bins), color=BLUE, log=True)
        activations.set(xlabel="activation, if not zero" if sparse else "activation", ylabel="number of activations")
        highest = max(float(np.max(counts)), 1.0)
        mark_log(activations.yaxis, log_ticks(1.0, max(highest, 10.0)))
        activations.set_ylim(0.5, 2 * highest)  # so that a bar of height 1 is visible
        averages = np.asarray(self.codes.mean(axis=0)).ravel()
        means.hist(averages, bins=self._edges(averages, min(bins, 40)), color=BLUE)
        if self.rho is not None:
            means.axvline(self.rho, color=ink(means), linestyle="--", linewidth=1, label="rho")
            legend_above(means)
        means.set(xlabel="mean activation of a unit", ylabel="number of units")
        count_in_whole_numbers(means.yaxis)
        for axis in self.ax_:
            axis.set_xlim(left=0)
        return self

    def _edges(self, values: FloatArray, bins: int) -> FloatArray:
        """Return edges of bins that start at 0 and cover all values and twice rho, but end at 1 if all values do."""
        highest, rho = float(np.max(values, initial=0)), 0.0 if self.rho is None else self.rho
        upper = max(2 * rho, 1.05 * highest) or 1.0
        return np.linspace(0, min(upper, 1.0) if highest <= 1 and 0 < rho < 1 else upper, bins + 1)
