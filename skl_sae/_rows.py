"""Rows of data, dense or sparse, as the objective and the estimators see them.

Dense rows are arrays. Sparse ones are `SparseRows`, which stay sparse where a product can use it and become dense block
by block elsewhere. Rows of a dask array are `DaskRows` (in `_dask.py`), which stay where dask has them.
"""

import contextlib
import functools
import mmap
import operator
import tempfile

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.utils import gen_batches
from sklearn.utils.sparsefuncs import mean_variance_axis
from sklearn.utils.validation import _check_sample_weight

from . import _kernels as kernels

# Numbers of a data set that may be copied without a second thought (8 MiB); less than a block of sparse rows takes.
SMALL_COPY = 2**20


def frozen(array):
    """``array`` as a read-only, aligned, C-contiguous view (a copy only where it is not): one type for the compiler."""
    view = np.require(array, requirements=["C", "A"]).view()
    view.flags.writeable = False
    return view


class SparseRows:
    """Rows of X = S + 1 offset', with S sparse: centring does not make them dense.

    Parameters
    ----------
    S : csr_array of shape (n, d)
        In canonical format.
    offset : ndarray of shape (d,), optional
        Default: zeros.
    """

    def __init__(self, S, offset=None):
        self.S, self.shape, self.dtype = S, S.shape, S.dtype
        self.offset = np.zeros(S.shape[1], S.dtype) if offset is None else offset

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        return SparseRows(self.S[rows], self.offset)

    def toarray(self):
        """All rows as an array (n, d)."""
        rows = self.S.toarray()
        rows += self.offset
        return rows

    def dot(self, A):
        """X A for an array (d, m)."""
        product = self.S @ A
        product += self.offset @ A
        return product

    def transposed_dot(self, B):
        """X' B for an array (n, m)."""
        return self.S.T @ B + np.outer(self.offset, B.sum(axis=0))

    def moments(self, weights):
        """Mean and variance of every feature, (d,) each, with weights that sum to one."""
        mean, variance = mean_variance_axis(self.S.astype(np.float64), axis=0, weights=weights)
        deviation, rounding = np.sqrt(np.maximum(variance, 0)), len(self) * np.finfo(np.float64).eps * np.abs(mean)
        return mean + self.offset, np.where(deviation <= rounding, 0, variance)  # NaN stays NaN

    def square_distances(self, centre):
        """||x - centre||² of every row (n,), in float64."""
        S, centre = self.S.astype(np.float64), centre.astype(np.float64) - self.offset
        return S.power(2).sum(axis=1) - 2 * (S @ centre) + centre @ centre

    def bounds(self):
        """Lowest and highest value of every feature, (d,) each."""
        return tuple(extreme(axis=0).toarray().ravel() + self.offset for extreme in (self.S.min, self.S.max))

    def standardised(self, mean, scale, limit):
        """Rows (x - mean) / scale, with values cut off at ``limit``."""
        # A feature without zeros is centred where it stands: far from zero its offset would cancel.
        full = np.bincount(self.S.indices, minlength=self.shape[1]) == len(self)
        shift = self.offset - mean
        S, offset = self.S.copy(), np.clip(np.where(full, 0, shift) / scale, -limit, limit)
        with np.errstate(over="ignore"):
            data = (S.data + np.where(full, shift, 0)[S.indices]) / scale[S.indices]
        S.data = np.clip(data, -limit, limit).astype(self.dtype)
        return SparseRows(S, offset.astype(self.dtype))

    def block(self):
        """As the kernels take them."""
        S = self.S
        return kernels.SparseBlock(*map(frozen, (S.data, S.indices, S.indptr, self.offset)))


def is_dask(X):
    """Whether X is a collection of dask, without an import of dask."""
    return hasattr(X, "__dask_graph__") and X.__dask_graph__() is not None


def as_rows(X):
    """A validated array as it is; a validated sparse matrix as SparseRows, copied only to make it canonical.

    The blocks of a dask array are validated here, where they are, and become DaskRows.
    """
    if is_dask(X):
        from ._dask import DaskRows

        return DaskRows.from_array(X)
    if not issparse(X):
        return X
    S = csr_array(X)
    S.check_format(full_check=True)  # compiled code trusts the indices
    if not S.has_canonical_format:
        S = S.copy()  # csr_array shares the arrays of X
        S.sum_duplicates()
        if not np.isfinite(S.data).all():
            raise ValueError("Entries of X that stand for the same element add up to infinity.")
    if S.indices.dtype != np.int32 and max(S.nnz, *S.shape) <= np.iinfo(np.int32).max:  # one type for the compiler
        S = csr_array((S.data, S.indices.astype(np.int32), S.indptr.astype(np.int32)), shape=S.shape)
    return SparseRows(S)


@contextlib.contextmanager
def in_use(X):
    """Rows that are not needed any more at the end: a cluster lets go of them then."""
    try:
        yield X
    finally:
        if not is_local(X):
            X.release()


def is_local(X):
    """Whether rows are in the memory of this process."""
    return isinstance(X, np.ndarray | SparseRows)


def check_weights(sample_weight, X, least):
    """Weights of the rows in float64, not negative, of which at least so many are positive.

    Those of DaskRows stay with the rows.
    """
    if not is_local(X):
        return X.check_weights(sample_weight, least)
    rows = np.broadcast_to(np.float64(0), len(X))
    weights = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        total = weights.sum()
    weights = np.where(weights < total * np.finfo(float).tiny, 0, weights)  # shares that vanish in the sum
    check_total_weight(total, np.count_nonzero(weights), least)
    return weights


def check_total_weight(total, n_positive, least):
    """Refuse weights whose sum is too large, or of which too few are positive."""
    if total > 1e100:
        raise ValueError("The sum of sample_weight is above 1e100, where products with it overflow. Scale the weights.")
    if n_positive < least:
        raise ValueError(f"sample_weight is positive for {n_positive} samples; at least {least} are required.")


def without_weightless(X, weights):
    """The rows of positive weight: a row that weighs nothing is as good as absent."""
    if not isinstance(weights, np.ndarray):
        return X.without_weightless(weights)
    counted = weights > 0
    return (X, weights) if counted.all() else (chosen(X, counted), weights[counted])


def chosen(X, rows):
    """The rows of X that a mask (n,) or indices pick."""
    if not stays_in_file(X):
        return X[rows]
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    parts = (X[rows[block]] for block in gen_batches(len(rows), kernels.block_rows(X.shape[1])))
    return in_file(parts, (len(rows), X.shape[1]), X.dtype)


def transformed(X, function):
    """Rows ``function(rows)`` of the same shape and dtype; on DaskRows ``function`` is pickled."""
    if not is_local(X):
        return X.transformed(function)
    return in_file(map_blocks(X, function), X.shape, X.dtype) if stays_in_file(X) else function(X)


def stays_in_file(X):
    """Whether X is a large array in mapped memory, a file or shared memory: a copy may be too large for memory."""
    large = isinstance(X, np.ndarray) and X.size > SMALL_COPY
    while large and isinstance(X, np.ndarray | memoryview):
        X = X.base if isinstance(X, np.ndarray) else X.obj
    return large and isinstance(X, mmap.mmap)


def in_file(blocks, shape, dtype):
    """An array of these blocks of rows, in a temporary file that is gone when nobody has the array any more."""
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block).data)
            file.flush()
            return np.asarray(np.memmap(file, dtype, mode="r", shape=shape))
    except OSError as error:
        size = f"{np.prod(shape) * dtype.itemsize / 1e9:.3g} GB"
        problem = f"{error.strerror or error}: a copy of rows of X, which comes from a mapped file, needs {size} there"
        raise OSError(error.errno, problem, folder) from error


def bounds(X):
    """Lowest and highest value of every feature, (d,) each."""
    return (X.min(axis=0), X.max(axis=0)) if isinstance(X, np.ndarray) else X.bounds()


def moments(X, weights):
    """Weighted mean and variance of every feature, float64 (d,) each; the weights have any sum."""
    if not is_local(X):
        return X.moments(weights)
    weights = weights / np.sum(weights)
    if isinstance(X, SparseRows):
        return X.moments(weights)
    mean, variance = np.empty((2, X.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):  # in plain Python it would warn
        kernels.moments(frozen(X), frozen(weights), mean, variance)
    return mean, variance


def map_blocks(X, function, *vectors):
    """``function(rows, *parts)`` of every block of rows and its parts of vectors (n,), in the order of the blocks.

    The rows of DaskRows are worked on where they are, and there ``function`` is pickled.
    """
    if not is_local(X):
        return X.map(function, *vectors)
    return (function(X[block], *(vector[block] for vector in vectors)) for block in blocks_of(X))


def sum_blocks(X, function, *vectors):
    """The sum over the blocks of what `map_blocks` gives."""
    if not is_local(X):
        return X.sum(function, *vectors)
    return functools.reduce(operator.add, map_blocks(X, function, *vectors))


def merged(X, weights):
    """The rows of X in an order of their own, equal ones as one row of their weights' sum.

    For sums over rows it is the same data: fewer rows, where some are equal, and sums that do not depend on the order
    of the rows to the last bit. Only where a copy as an array is small: larger data are returned as they are.
    """
    if not is_local(X) or X.shape[0] * X.shape[1] > SMALL_COPY:
        return X, weights
    X = np.ascontiguousarray(dense(X))
    rows = X.view(np.dtype((np.void, X.itemsize * X.shape[1]))).ravel()
    order = np.argsort(rows, kind="stable")
    first = np.flatnonzero(np.concatenate([[True], rows[order[1:]] != rows[order[:-1]]]))
    return X[order[first]], np.add.reduceat(weights[order], first)


def blocks_of(X):
    """Slices of rows few enough to have all of their features in memory."""
    return gen_batches(len(X), kernels.block_rows(X.shape[1]))


def sparse_blocks_of(X):
    """Slices of sparse rows for work in which they stay sparse.

    The codes of a block take as much memory as the weights: then the dense sums over a block cost no more than it.
    """
    return gen_batches(len(X), max(kernels.BLOCK_ROWS, X.shape[1]))


def encode(X, W, b, kind, out):
    """Codes of rows of X into ``out`` (n, m)."""
    if isinstance(X, SparseRows):
        kernels.biased(X.dot(W.T.copy()), b, kind, out)
    else:
        kernels.encode(frozen(X), W, b, kind, out)


def dense(X):
    """A block of rows as a read-only array."""
    return frozen(X.toarray() if isinstance(X, SparseRows) else X)


class SquareErrors:
    """||x - x̂||² of rows whose codes are known.

    For sparse rows and identity output without a dense row: with G = V V',

        ||x - x̂||² = ||x - c||² + h · (G h + 2 (V c - V x)),

    in float64, because the terms cancel.
    """

    def __init__(self, X, V, c, kind):
        self._V, self._c, self._kind = V, c, kind
        self.sparse = isinstance(X, SparseRows) and kind == kernels.IDENTITY and len(X) > len(V)
        self.sparse = self.sparse and 4 * X.S.nnz < len(X) * len(c)
        if self.sparse:
            self._VT, V = np.ascontiguousarray(V.T, np.float64), V.astype(np.float64)
            self._gram, self._shift = V @ V.T, V @ c

    def blocks(self, X):
        """Slices of rows to work on at a time."""
        return sparse_blocks_of(X) if self.sparse else blocks_of(X)

    def __call__(self, X, H):
        """Errors (n,) of rows X with codes H, in float64 for sparse rows, else in the dtype of X."""
        if not self.sparse:
            difference = self.differences(X, H)
            return np.einsum("ij,ij->i", difference, difference)
        H = H.astype(np.float64)
        terms = H @ self._gram + 2 * (self._shift - X.dot(self._VT))
        return np.maximum(X.square_distances(self._c) + np.einsum("ij,ij->i", H, terms), 0)

    def differences(self, X, H):
        """x̂ - x (n, d), in the dtype of X."""
        difference = np.empty(X.shape, X.dtype)
        kernels.decode(frozen(H), self._V, self._c, self._kind, difference)
        difference -= dense(X)
        return difference
