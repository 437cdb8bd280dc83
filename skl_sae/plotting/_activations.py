"""Display of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from ._common import BLUE, make_axes

if TYPE_CHECKING:
    from .._types import FloatArray, MatrixLike
    from ..transformer import SparseAutoencoderTransformer
    from ._common import AxesLike


class ActivationDisplay:
    """Histograms of the activations and of every unit's mean activation.

    The mean activation alone does not show whether a code is sparse: a unit may stay near ``rho`` for every row.

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
    def from_estimator(
        cls, estimator: SparseAutoencoderTransformer, X: MatrixLike, *, ax: AxesLike | None = None
    ) -> Self:
        """Show the codes of X, array-like of shape (n_samples, n_features)."""
        return cls(np.asarray(estimator.transform(X)), estimator.rho).plot(ax)

    def plot(self, ax: AxesLike | None = None, *, bins: int = 50) -> Self:
        """Draw the histograms; ``ax``, if given, holds two axes."""
        self.figure_, self.ax_ = make_axes(ax, 1, 2, (9, 3.5))
        activations, means = self.ax_
        activations.hist(self.codes.ravel(), bins=bins, color=BLUE, log=True)
        activations.set(xlabel="activation", ylabel="number of activations")
        means.hist(self.codes.mean(axis=0), bins=min(bins, max(10, self.codes.shape[1] // 4)), color=BLUE)
        means.axvline(self.rho, color="black", linestyle="--", linewidth=1, label="rho")
        means.set(xlabel="mean activation of a unit", ylabel="number of units")
        means.legend(frameon=False, fontsize="small")
        return self
