"""Rows in the memory of this process, of any kind."""

from scipy.sparse import issparse

from .dense import DenseRows
from .sparse import SparseRows


def as_local_rows(X):
    """Return a validated array or sparse matrix as rows."""
    return SparseRows.from_matrix(X) if issparse(X) else DenseRows(X)
