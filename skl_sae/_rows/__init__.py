"""Rows of data behind one protocol: dense (an array), sparse (CSR) or on a cluster (a dask array).

`as_rows` turns validated data into rows. Everything above this package works on rows through these members, whatever
their kind; only code that has to know where the rows are asks for ``is_local``.

=====================================  =================================================================================
``kind``                               its name, by which objectives are chosen
``shape``, ``dtype``, ``len(rows)``    as of an array; the dtype is float32 or float64
``rows[block]``                        the rows of a slice, a mask or indices (masks only for dask)
``take(rows)``                         the same, through a temporary file if X is mapped from a file
``blocks()``                           slices of rows few enough to have all of their features in memory (local)
``map(function, *vectors)``            ``function(rows, *parts)`` of every block, in order
``sum(function, *vectors)``            the sum of these
``map_rows(function)``                 the rows that ``function`` returns for every block of rows
``check_weights(weights, minimum)``    validated ``sample_weight``
``drop_zero_weight(weights)``          the rows of positive weight, and their weights
``merge_duplicates(weights)``          equal rows as one row of their total weight, or the same rows
``bounds()``, ``moments(weights)``     lowest and highest value, mean and variance of every feature
``release()``                          drops what is kept for the rows
=====================================  =================================================================================

Local rows have more members, for the kernels: ``toarray``, ``encode``, ``standardized``, ``square_errors``,
``errors_of``, ``contiguous``, ``nbytes``, and ``picked`` and ``kernel_rows``, which return arrays of ``dtype`` or
tuples of ``_kernels/structs.py`` that hold such arrays. `LocalRows` provides all but ``kind``, ``shape``, ``dtype``,
``rows[block]``, ``merge_duplicates``, ``bounds``, ``moments``, ``toarray``, ``encode``, ``standardized``, ``nbytes``,
``picked`` and ``kernel_rows``.
"""

from .base import Rows, decode
from .dense import DenseRows
from .local import as_local_rows
from .sparse import SparseRows

__all__ = ["DenseRows", "Rows", "SparseRows", "as_rows", "decode", "is_dask"]


def is_dask(X):
    """Whether X is a collection of dask, without importing dask."""
    return hasattr(X, "__dask_graph__") and X.__dask_graph__() is not None


def as_rows(X):
    """Return validated data as rows: an array, a sparse matrix, or a dask array, whose chunks are validated here."""
    if is_dask(X):
        from .dask import DaskRows

        return DaskRows.from_array(X)
    return as_local_rows(X)
