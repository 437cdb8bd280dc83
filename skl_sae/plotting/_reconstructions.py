"""Display of reconstructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from ._common import find_image_shape, make_axes, mosaic, show

if TYPE_CHECKING:
    from .._types import FloatArray
    from ._common import AxesLike


class ReconstructionDisplay:
    """Rows, their reconstructions and the differences, as images.

    Parameters
    ----------
    X, reconstruction : ndarrays of shape (n_samples, n_features)
    image_shape : tuple of two ints
        Height and width.

    Attributes
    ----------
    ax_ : array of three Axes
    figure_ : Figure
    """

    def __init__(self, X: FloatArray, reconstruction: FloatArray, *, image_shape: tuple[int, int]) -> None:
        self.X, self.reconstruction, self.image_shape = X, reconstruction, image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        image_shape: tuple[int, int] | None = None,
        ax: AxesLike | None = None,
        cmap: str = "gray",
    ) -> Self:
        """Show rows of X with their reconstructions.

        Parameters
        ----------
        estimator : object
            Has ``transform`` and ``inverse_transform``: a `SparseAutoencoderTransformer` or a Pipeline containing one.
        X : array-like of shape (n_samples, n_features)
            A dozen rows or so.
        image_shape : tuple of two ints, default=None
            Height and width; None means a square.
        ax : array of three Axes, default=None
        cmap : str, default="gray"

        Returns
        -------
        display : ReconstructionDisplay
        """
        reconstruction = estimator.inverse_transform(estimator.transform(X))
        rows = check_array(X, dtype=np.float64)
        shape = find_image_shape(rows.shape[1], image_shape)
        return cls(rows, np.asarray(reconstruction, dtype=np.float64), image_shape=shape).plot(ax, cmap=cmap)

    def plot(self, ax: AxesLike | None = None, *, cmap: str = "gray") -> Self:
        """Draw the images; ``ax``, if given, holds three axes."""
        n = len(self.X)
        self.figure_, self.ax_ = make_axes(ax, 3, 1, (max(4.0, 0.8 * n), 3.2))
        low, high = min(self.X.min(), self.reconstruction.min()), max(self.X.max(), self.reconstruction.max())
        difference = self.reconstruction - self.X
        largest = max(np.abs(difference).max(), np.finfo(float).tiny)
        pictures = [
            ("input", self.X, dict(cmap=cmap, vmin=low, vmax=high)),
            ("reconstruction", self.reconstruction, dict(cmap=cmap, vmin=low, vmax=high)),
            (f"difference (±{largest:.2g})", difference, dict(cmap="PuOr_r", vmin=-largest, vmax=largest)),
        ]
        for axis, (title, images, options) in zip(self.ax_, pictures, strict=True):
            show(axis, mosaic(images, self.image_shape, n), **options)
            axis.set_title(title, fontsize="small", loc="left")
        return self
