"""Rows of an array."""

import functools

import numpy as np
from sklearn.utils import gen_batches

from .._crew import finite_over_blocks, over_blocks
from .._kernels import inference
from .._kernels.jit import as_readonly
from .._kernels.sizes import block_rows
from .._kernels.structs import AllRows
from . import mapped
from .base import LocalRows


def merge_equal(X, weights):
    """Return indices of the distinct rows of an array, in the order of their bytes, and their total weights."""
    X = np.ascontiguousarray(X)
    rows = X.view(np.dtype((np.void, X.itemsize * X.shape[1]))).ravel()
    order = np.argsort(rows, kind="stable")
    first = np.flatnonzero(np.concatenate([[True], rows[order[1:]] != rows[order[:-1]]]))
    return order[first], np.add.reduceat(weights[order], first)


class DenseRows(LocalRows):
    """Rows of a validated array (n, d), float32 or float64; never copied when it is C-contiguous."""

    kind = "dense"

    def __init__(self, X):
        self._X = as_readonly(X)
        self.shape, self.dtype = X.shape, X.dtype

    def __getitem__(self, rows):
        return DenseRows(self._X[rows])

    def take(self, rows):
        """Return the rows that a mask (n,) or indices pick."""
        if not mapped.stays_in_file(self._X):
            return self[rows]
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        parts = (self._X[rows[block]] for block in gen_batches(len(rows), block_rows(self.shape[1])))
        return DenseRows(mapped.in_file(parts, (len(rows), self.shape[1]), self.dtype))

    def map_rows(self, function):
        """Return the rows ``function(rows)``, of the same shape and dtype."""
        if not mapped.stays_in_file(self._X):
            return function(self)
        return DenseRows(mapped.in_file(self.map(lambda rows: function(rows).toarray()), self.shape, self.dtype))

    def merge_duplicates(self, weights):
        """Return the rows in an order that depends on their values only, equal ones as one row of their total weight.

        Sums over rows stay the same, take fewer rows where some are equal, and do not depend, to the last bit, on the
        order of the rows. Large data are returned as they are, since a copy would be large.
        """
        if self.shape[0] * self.shape[1] > mapped.SMALL_COPY:
            return self, weights
        indices, weights = merge_equal(self._X, weights)
        return DenseRows(self._X[indices]), weights

    def toarray(self):
        """Return all rows as a read-only array (n, d)."""
        return self._X

    def bounds(self):
        """Return the lowest and the highest value of every feature, (d,) each."""
        return self._X.min(axis=0), self._X.max(axis=0)

    def moments(self, weights):
        """Return weighted mean and variance of every feature, float64 (d,) each; the weights have any sum."""
        mean, variance = np.empty((2, self.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):  # in plain Python it would warn
            inference.moments(self._X, as_readonly(weights / np.sum(weights)), mean, variance)
        return mean, variance

    def encode(self, W, b, kind, out):
        """Compute codes into ``out`` (n, m); return whether X and W x + b are finite."""
        return finite_over_blocks(functools.partial(inference.encode, self._X, W, b, kind, out), len(self), *W.shape)

    def square_errors(self, network):
        """Return ||x - x̂||² (n,) of the rows for a `Network`."""
        errors = np.empty(len(self), self.dtype)
        model = network.W, network.b, network.V, network.c, network.activation, network.output
        over_blocks(functools.partial(inference.square_errors, self._X, model, errors), len(self), *network.W.shape)
        return errors

    def standardized(self, mean, scale, limit):
        """Return the rows (x - mean) / scale, clipped to ±limit."""
        mean, scale = (part.astype(self.dtype) for part in (mean, scale))
        with np.errstate(over="ignore"):  # clipped at once
            scaled = self._X - mean
            scaled /= scale
        return DenseRows(np.clip(scaled, -limit, limit, out=scaled))

    # -- for the kernels ---------------------------------------------------------------------------

    contiguous = True

    @property
    def nbytes(self):
        """Bytes of all rows as an array."""
        return self._X.nbytes

    def picked(self):
        """Return the rows as kernels take them to pick some by their index."""
        return self._X

    def kernel_rows(self):
        """Return all rows as kernels take them."""
        return AllRows(self._X)
