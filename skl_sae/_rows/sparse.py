"""Rows of a sparse matrix: they stay sparse where a product can use it and become dense block by block elsewhere."""

import numpy as np
from scipy.sparse import csr_array
from sklearn.utils import gen_batches
from sklearn.utils.sparsefuncs import mean_variance_axis

from .._kernels import sizes
from .._kernels.activations import IDENTITY
from .._kernels.jit import as_readonly
from .._kernels.products import add_bias_activate
from .._kernels.structs import PickedRows, SparseBlock
from . import mapped
from .base import LocalRows, SquaredErrors
from .dense import DenseRows


class SparseRows(LocalRows):
    """Rows of X = S + 1 offset', with S sparse: centring does not make them dense.

    Parameters
    ----------
    S : csr_array of shape (n, d)
        In canonical format.
    offset : ndarray of shape (d,), optional
        Default: zeros.
    """

    kind = "sparse"

    def __init__(self, S, offset=None):
        self.S, self.shape, self.dtype = S, S.shape, S.dtype
        self.offset = np.zeros(S.shape[1], S.dtype) if offset is None else offset

    @classmethod
    def from_matrix(cls, X):
        """Return the rows of a validated CSR matrix, copied only to make it canonical."""
        S = csr_array(X)
        S.check_format(full_check=True)  # compiled code trusts the indices
        if not S.has_canonical_format:
            S = S.copy()  # csr_array shares the arrays of X
            S.sum_duplicates()
            if not np.isfinite(S.data).all():
                raise ValueError("Entries of X that stand for the same element add up to infinity.")
        if S.indices.dtype != np.int32 and max(S.nnz, *S.shape) <= np.iinfo(np.int32).max:  # one type for the compiler
            S = csr_array((S.data, S.indices.astype(np.int32), S.indptr.astype(np.int32)), shape=S.shape)
        return cls(S)

    def __getitem__(self, rows):
        return SparseRows(self.S[rows], self.offset)

    def toarray(self):
        """Return all rows as a read-only array (n, d)."""
        rows = self.S.toarray()
        rows += self.offset
        return as_readonly(rows)

    def dot(self, A):
        """Return X A for an array (d, m)."""
        product = self.S @ A
        product += self.offset @ A
        return product

    def transposed_dot(self, B):
        """Return X' B for an array (n, m)."""
        return self.S.T @ B + np.outer(self.offset, B.sum(axis=0))

    def merge_duplicates(self, weights):
        """Return the rows, if they are few enough, as those of an array: see `DenseRows.merge_duplicates`."""
        small = self.shape[0] * self.shape[1] <= mapped.SMALL_COPY
        return DenseRows(self.toarray()).merge_duplicates(weights) if small else (self, weights)

    def bounds(self):
        """Return the lowest and the highest value of every feature, (d,) each."""
        return tuple(extreme(axis=0).toarray().ravel() + self.offset for extreme in (self.S.min, self.S.max))

    def moments(self, weights):
        """Return weighted mean and variance of every feature, float64 (d,) each; the weights have any sum."""
        weights = weights / np.sum(weights)
        mean, variance = mean_variance_axis(self.S.astype(np.float64), axis=0, weights=weights)
        deviation, rounding = np.sqrt(np.maximum(variance, 0)), len(self) * np.finfo(np.float64).eps * np.abs(mean)
        return mean + self.offset, np.where(deviation <= rounding, 0, variance)  # NaN stays NaN

    def square_distances(self, centre):
        """Return ||x - centre||² of every row (n,), in float64."""
        S, centre = self.S.astype(np.float64), centre.astype(np.float64) - self.offset
        return S.power(2).sum(axis=1) - 2 * (S @ centre) + centre @ centre

    def encode(self, W, b, kind, out):
        """Compute codes into ``out`` (n, m); return whether X and W x + b are finite."""
        return add_bias_activate(self.dot(W.T.copy()), b, kind, out)

    def standardized(self, mean, scale, limit):
        """Return the rows (x - mean) / scale, clipped to ±limit."""
        # A feature without zeros is centred entry by entry: far from zero its offset would cancel.
        full = np.bincount(self.S.indices, minlength=self.shape[1]) == len(self)
        shift = self.offset - mean
        S, offset = self.S.copy(), np.clip(np.where(full, 0, shift) / scale, -limit, limit)
        with np.errstate(over="ignore"):
            data = (S.data + np.where(full, shift, 0)[S.indices]) / scale[S.indices]
        S.data = np.clip(data, -limit, limit).astype(self.dtype)
        return SparseRows(S, offset.astype(self.dtype))

    def errors_of(self, V, c, kind):
        """Return what computes the squared errors of rows whose codes are known, whichever way is faster."""
        gram = kind == IDENTITY and len(self) > len(V) and 4 * self.S.nnz < len(self) * len(c)
        return (GramErrors if gram else SquaredErrors)(V, c, kind)

    def sparse_blocks(self):
        """Yield slices of rows for work in which they stay sparse.

        The codes of a block take at least as much memory as the weights, so dense sums of the size of the weights cost
        no more than the block itself.
        """
        return gen_batches(len(self), max(sizes.BLOCK_ROWS, self.shape[1]))

    # -- for the kernels ---------------------------------------------------------------------------

    @property
    def nbytes(self):
        """Bytes of the entries and their column indices."""
        return self.S.nnz * (self.dtype.itemsize + self.S.indices.itemsize)

    def picked(self):
        """Return the rows as kernels take them to pick some by their index."""
        S = self.S
        return SparseBlock(*map(as_readonly, (S.data, S.indices, S.indptr, self.offset)))

    def kernel_rows(self):
        """Return all rows as kernels take them."""
        return PickedRows(self.picked(), np.arange(len(self)))


class GramErrors(SquaredErrors):
    """As `SquaredErrors`, for sparse rows and identity output, without making a row dense.

    With G = V V',

        ||x - x̂||² = ||x - c||² + h · (G h + 2 (V c - V x)),

    in float64, because the terms cancel.
    """

    def __init__(self, V, c, kind):
        super().__init__(V, c, kind)
        self._VT, V = np.ascontiguousarray(V.T, np.float64), V.astype(np.float64)
        self._gram, self._shift = V @ V.T, V @ c

    def blocks(self, rows):
        """Yield slices of the rows to work on at a time."""
        return rows.sparse_blocks()

    def __call__(self, rows, H):
        """Return the errors (n,) of rows with codes H, in float64."""
        H = H.astype(np.float64)
        terms = H @ self._gram + 2 * (self._shift - rows.dot(self._VT))
        return np.maximum(rows.square_distances(self._c) + np.einsum("ij,ij->i", H, terms), 0)
