"""The objective of a sparse autoencoder over rows of data, and its gradient.

    L(theta) = sum_i w_i ||x_i - x̂_i||² + beta sum_j p(mean_j) + alpha (||W||² + ||V||²)

with weights w_i that sum to one (1/N each, unless the rows are weighted), mean_j = sum_i w_i h_ij, and a penalty p. The
first and the second term see the data only through sums over rows: an evaluation is two passes over blocks of rows, one
that adds up the mean activations and one that adds up the error and the gradient.
"""

from .base import Evaluation, Objective
from .full_batch import FullBatchObjective, full_batch_objective
from .mini_batch import MiniBatchObjective

__all__ = ["Evaluation", "FullBatchObjective", "MiniBatchObjective", "Objective", "objective_for"]


def objective_for(rows, weights, arch, reg, crew=None):
    """Return the objective over all rows that is fastest for rows of this kind."""
    if rows.is_local:
        return full_batch_objective(rows, weights, arch, reg, crew)
    from .dask import DaskObjective

    return DaskObjective(rows, weights, arch, reg)
