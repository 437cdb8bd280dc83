"""Rows of a dask array: they stay on the workers, which return sums. Imported only where rows come as a dask array."""

import operator

import dask.array as da
import numpy as np
from dask.base import compute
from dask.delayed import delayed
from scipy import sparse
from sklearn.utils import check_array

from .base import Rows, check_total_weight, check_weights
from .graph import Graph, add, call, futures_in, persisted, release, sent
from .local import as_local_rows

# Neighbouring chunks with fewer rows or numbers than these become one block: a task costs dask about a millisecond.
LEAST_ROWS, LEAST_NUMBERS = 256, 2**16


# -- what workers do with a block ----------------------------------------------------------------------


def _join(parts, axis):
    if len(parts) == 1:
        return parts[0]
    if any(map(sparse.issparse, parts)):
        return (sparse.vstack, sparse.hstack)[axis](list(map(sparse.csr_array, parts)), format="csr")
    return np.concatenate(parts, axis=axis)


def _validate(shape, dtype, n_columns, *chunks):
    """Return chunks, row by row of their grid, as rows that the kernels take."""
    X = _join([_join(chunks[i : i + n_columns], 1) for i in range(0, len(chunks), n_columns)], 0)
    X = check_array(X, accept_sparse="csr", dtype=dtype, order="C", input_name="X")
    if X.shape != shape:
        raise ValueError(f"A block of X has the shape {X.shape} where its chunks say {shape}.")
    return as_local_rows(X)


def _bounds(rows):
    return np.stack(rows.bounds())


def widest(parts):
    """Return the bounds of several blocks together."""
    return np.stack([np.min([low for low, _ in parts], axis=0), np.max([high for _, high in parts], axis=0)])


def _moments(rows, weights, share):
    return share, *rows.moments(weights)


def _merge_moments(parts):
    """Return share, mean and variance of several blocks together, from those of each."""
    shares, means, variances = map(np.array, zip(*parts, strict=True))
    share = shares.sum()
    shares = (shares / share)[:, None]
    mean = means[0] + (shares * (means - means[0])).sum(axis=0)  # exact if all are equal, so their variance is 0
    return share, mean, (shares * (variances + np.square(means - mean))).sum(axis=0)


def _weigh(rows, sample_weight):
    if np.ndim(sample_weight) and not np.any(sample_weight):
        return np.zeros(len(rows))  # scikit-learn refuses all zeros, but other blocks may have weight
    return check_weights(sample_weight, len(rows), 0)


def _sum_and_count(weights):
    with np.errstate(over="ignore"):
        return weights.sum(), np.count_nonzero(weights)


def _is_positive(weights):
    return weights > 0


def _n_rows(X):
    return X.shape[0]


# -- rows and weights ----------------------------------------------------------------------------------


def group_chunks(sizes, n_features):
    """Return slices of the chunks that become one block each; chunks without rows are left out."""
    groups, start, rows = [], 0, 0
    for stop, size in enumerate(sizes, 1):
        rows += size
        if rows >= LEAST_ROWS and rows * n_features >= LEAST_NUMBERS:
            groups.append(slice(start, stop))
            start, rows = stop, 0
    if rows and groups:
        groups[-1] = slice(groups[-1].start, len(sizes))
    elif rows:
        groups = [slice(0, len(sizes))]
    return groups


class DaskWeights:
    """A weight for every row of DaskRows, block by block, on the same workers.

    Parameters
    ----------
    blocks : list of delayed arrays
    sums, counts : arrays of shape (n_blocks,)
        Sum of the weights of each block, and how many of them are positive.
    """

    def __init__(self, blocks, sums, counts):
        self.blocks, self.sums, self.counts = blocks, sums, counts

    def __array__(self, dtype=None, copy=None):
        """All weights, in this process."""
        return np.concatenate(compute(*self.blocks)).astype(dtype or np.float64, copy=False)

    @property
    def shares(self):
        """Share of each block in the weight of all rows."""
        return (self.sums / self.sums.sum()).tolist()


class DaskRows(Rows):
    """Rows of a dask array as blocks that are persisted until they are released.

    Parameters
    ----------
    blocks : list of delayed rows
    sizes : sequence of int
        Rows of each block, none of them 0.
    n_features : int
    dtype : numpy.dtype
        float32 or float64.
    kept : list
        Everything that is persisted for these rows and those made from them.
    """

    kind = "dask"
    is_local = False

    def __init__(self, blocks, sizes, n_features, dtype, kept):
        self.blocks, self._sizes, self._kept = blocks, list(map(int, sizes)), kept
        self.shape, self.dtype = (sum(self._sizes), n_features), dtype

    @classmethod
    def from_array(cls, X):
        """Compute and validate the chunks of a dask array, each on a worker, and keep them there."""
        grid, sizes, d, dtype = X.to_delayed(), X.chunks[0], X.shape[1], float_dtype(X)
        if np.isnan(sizes).any():
            grid = np.array(persisted(grid.ravel()), dtype=object).reshape(grid.shape)
            graph = Graph()
            sizes = graph.compute(*graph.each("size", _n_rows, grid[:, 0]))
        groups = group_chunks(sizes, d)
        sizes = [sum(sizes[group]) for group in groups]
        graph, columns = Graph(futures_in(X)), grid.shape[1]
        parts = zip(sizes, groups, strict=True)
        keys = [graph.call("rows", _validate, (size, d), dtype, columns, *grid[group].ravel()) for size, group in parts]
        blocks = graph.persist(keys)
        graph = Graph()
        try:
            graph.compute(*graph.each("size", len, blocks))  # raises the error of a block that is refused
        except BaseException:
            release(blocks)
            raise
        return cls(blocks, sizes, d, dtype, list(blocks))

    def release(self):
        """Drop these rows and everything made from them on the cluster."""
        release(self._kept)

    def _persist(self, graph, keys):
        parts = graph.persist(keys)
        self._kept += parts
        return parts

    def take(self, mask):
        """Return the rows where an array of bool (n,) is True."""
        counts = [int(np.count_nonzero(part)) for part in self._split(mask)]
        return self._take(self._send(mask), counts)

    __getitem__ = take

    def _take(self, masks, counts):
        graph = Graph()
        taken = [
            graph.call("rows", operator.getitem, block, mask) if count < size else graph.use(block)
            for block, mask, count, size in zip(self.blocks, masks, counts, self._sizes, strict=True)
            if count
        ]
        return DaskRows(self._persist(graph, taken), filter(None, counts), self.shape[1], self.dtype, self._kept)

    def _split(self, vector):
        return np.split(vector, np.cumsum(self._sizes)[:-1])

    def _send(self, vector):
        """Return a vector (n,) block by block, as delayed objects."""
        return vector.blocks if isinstance(vector, DaskWeights) else sent(self._split(np.asarray(vector)))

    def _calls(self, function, *vectors):
        graph, n = Graph(), len(self.blocks)
        return graph, graph.each("block", call, n * sent([function]), self.blocks, *map(self._send, vectors))

    def map(self, function, *vectors):
        """Return ``function(rows, *parts)`` for every block of rows; ``function`` is pickled."""
        graph, keys = self._calls(function, *vectors)
        return graph.compute(*keys)

    def sum(self, function, *vectors):
        """Return the sum over the blocks of what `map` gives."""
        graph, keys = self._calls(function, *vectors)
        return graph.compute(graph.tree(keys, add))[0]

    def map_rows(self, function):
        """Return the rows ``function(rows)``, of the same shape and dtype; ``function`` is pickled."""
        graph, keys = self._calls(function)
        return DaskRows(self._persist(graph, keys), self._sizes, self.shape[1], self.dtype, self._kept)

    def check_weights(self, sample_weight, minimum):
        """Return ``sample_weight`` validated, on the workers; a dask array does not pass through this process."""
        if len(self) < minimum:
            raise ValueError(f"Found array with {len(self)} sample(s) while a minimum of {minimum} is required.")
        persisted_parts = {}
        if isinstance(sample_weight, da.Array):
            sample_weight = self._align(sample_weight)
            parts, persisted_parts = sample_weight.to_delayed(), futures_in(sample_weight)
        elif np.ndim(sample_weight) == 0:  # None as well
            parts = [sample_weight] * len(self.blocks)
        else:
            parts = self._send(check_weights(sample_weight, len(self), minimum))
        graph = Graph(persisted_parts)
        blocks = self._persist(graph, graph.each("weights", _weigh, self.blocks, parts))
        graph = Graph()
        sums, counts = map(np.array, zip(*graph.compute(*graph.each("sum", _sum_and_count, blocks)), strict=True))
        weights = DaskWeights(blocks, sums, counts)
        check_total_weight(weights.sums.sum(), weights.counts.sum(), minimum)
        return weights

    def _align(self, sample_weight):
        """Return a dask array of weights in chunks that match the blocks."""
        if np.isnan(sample_weight.shape).any():
            sample_weight = sample_weight.persist().copy().compute_chunk_sizes()
        if sample_weight.shape != (len(self),):
            raise ValueError(f"sample_weight.shape == {sample_weight.shape}, expected {(len(self),)}!")
        return sample_weight.rechunk((tuple(self._sizes),))

    def drop_zero_weight(self, weights):
        """Return the rows of positive weight, and their weights."""
        if not isinstance(weights, DaskWeights):
            return super().drop_zero_weight(weights)
        if weights.counts.tolist() == self._sizes:
            return self, weights
        graph, some = Graph(), np.flatnonzero(weights.counts)
        masks = self._persist(graph, graph.each("mask", _is_positive, weights.blocks))
        graph = Graph()
        taken = [graph.call("weights", operator.getitem, weights.blocks[i], masks[i]) for i in some]
        positive = DaskWeights(self._persist(graph, taken), weights.sums[some], weights.counts[some])
        return self._take(masks, weights.counts.tolist()), positive

    def merge_duplicates(self, weights):
        """Return rows and weights unchanged: equal rows may be on different workers."""
        return self, weights

    def bounds(self):
        """Return the lowest and the highest value of every feature, (d,) each."""
        graph = Graph()
        return graph.compute(graph.tree(graph.each("bounds", _bounds, self.blocks), widest))[0]

    def moments(self, weights):
        """Return weighted mean and variance of every feature, float64 (d,) each; the weights have any sum."""
        weights, graph = self.place_weights(weights), Graph()
        parts = graph.each("moments", _moments, self.blocks, weights.blocks, weights.shares)
        return graph.compute(graph.tree(parts, _merge_moments))[0][1:]

    def place_weights(self, weights):
        """Return weights, which may be an array, on the workers, next to the rows."""
        return weights if isinstance(weights, DaskWeights) else self.check_weights(weights, 0)


# -- lazy results --------------------------------------------------------------------------------------


def check_dask(X):
    """Refuse what is not an array of rows with a known number of features."""
    if not isinstance(X, da.Array):
        raise TypeError(
            f"X may be a dask array, not a dask {type(X).__name__}. Convert a dask DataFrame with to_dask_array()."
        )
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead.")
    if np.isnan(X.shape[1]):
        raise ValueError("The number of features of X is unknown; call compute_chunk_sizes() first.")


def float_dtype(X):
    """Return the dtype that validation gives X."""
    native = X.dtype.newbyteorder("=")
    return native if native in (np.float32, np.float64) else np.dtype(np.float64)


def map_lazily(function, X, width, dtype):
    """Return what ``function`` gives for the rows of X as a dask array (n,) or, with a width, (n, width)."""
    axes = "i" if width is None else "ij"
    empty = np.empty(0 if width is None else (0, width), dtype)
    return da.blockwise(
        _apply_to_chunk, axes, X, "ik", function=delayed(function, pure=True, traverse=False), empty=empty,
        new_axes=None if width is None else {"j": width}, concatenate=False, dtype=dtype,
        meta=np.empty((0,) * len(axes), dtype),
    )  # fmt: skip


def _apply_to_chunk(parts, function, empty):
    X = _join(parts, 1)
    return function(X).astype(empty.dtype, copy=False) if X.shape[0] else empty
