"""A view of the reconstruction error alone, for rows that are too few for a covariance."""

import numpy as np

from .base import View
from .graph import row_sum

# Squared errors below this part of the squared features are rounding errors.
ROUNDING = 1e-20


class Error(View):
    """Squared reconstruction error of the scaled features."""

    @classmethod
    def fit(cls, fitting):
        """Return the view; only the size of rounding errors is fitted."""
        rows = fitting.reference.rows
        total = sum(np.square(inputs.scaled).sum() for inputs in rows.map(fitting.explain.without_place))
        return cls(floor=ROUNDING * max(total / len(rows), 1e-200))

    def check(self, check_numbers, d, m, k):
        """Refuse a floor that no fit leaves."""
        check_numbers("floor of the error", self.floor, ())

    def onnx(self, node, tensors):
        """Return squared errors (n, 1) in a graph."""
        return row_sum(node, node("Mul", tensors.residual, tensors.residual))

    def terms(self, inputs):
        """Return squared residuals (n, d)."""
        return np.square(inputs.residual)
