"""Rows of a dask array, and the objective over them: the rows stay on the workers, which send sums.

Imported only where rows come as a dask array. Everything goes through `persist` and `compute`, so it runs on the client
of a cluster, where there is one, and else on dask's own schedulers. Whatever a task needs is in its graph, or has been
persisted from a graph of its own: if a worker dies, dask makes it again elsewhere.
"""

import functools
import operator
import sys
import uuid
from typing import NamedTuple

import cloudpickle
import dask.array as da
import numpy as np
from dask.base import compute, persist
from dask.delayed import Delayed, delayed
from scipy import sparse
from sklearn.utils import check_array

from ._objective import Evaluation, Objective, full_batch_objective, positive
from ._rows import as_rows, bounds, check_total_weight, check_weights, moments

# Neighbouring chunks with fewer rows or numbers than these become one block: a task costs dask about a millisecond.
LEAST_ROWS, LEAST_NUMBERS = 256, 2**16

# How many parts of a sum are added at a time.
FAN_IN = 4

# Bytes of a part of what is sent. A graph is one message, and dask warns of one above 10 MB.
PART = 2**22


# -- graphs --------------------------------------------------------------------------------------------


class Graph:
    """Tasks to be computed together."""

    def __init__(self):
        self._tasks, self._name = {}, uuid.uuid4().hex

    def use(self, thing):
        """The key of a delayed or sent object, which becomes part of the graph; anything else as it is."""
        if isinstance(thing, Sent):
            return self.call("sent", _unpacked, [self.use(part) for part in thing.parts])
        if isinstance(thing, Delayed):
            self._tasks.update(thing.dask)
            return thing.key
        return thing

    def call(self, name, function, *arguments):
        """The key of a call; arguments are keys, delayed objects, lists of keys, or small things."""
        key = f"{name}-{self._name}", len(self._tasks)
        self._tasks[key] = function, *map(self.use, arguments)
        return key

    def each(self, name, function, *arguments):
        """The keys of one call for each entry of the arguments, which are sequences."""
        return [self.call(name, function, *one) for one in zip(*arguments, strict=True)]

    def tree(self, keys, combine):
        """The key of ``combine(list of parts)`` in a tree of fixed shape, whichever worker does what."""
        while len(keys) > 1:
            groups = (keys[start : start + FAN_IN] for start in range(0, len(keys), FAN_IN))
            keys = [self.call("sum", combine, group) if len(group) > 1 else group[0] for group in groups]
        return keys[0]

    def compute(self, *keys):
        return compute(*(Delayed(key, self._tasks) for key in keys))

    def persist(self, keys):
        return persisted(Delayed(key, self._tasks) for key in keys)


def release(parts):
    """Let go of what a cluster keeps for delayed objects, whoever still has the objects themselves."""
    if "distributed" in sys.modules:
        from distributed import futures_of

        for future in futures_of(parts):
            future.release()


def persisted(parts):
    """Delayed objects that are computed, stay where they are, and are known to the scheduler.

    A graph may overtake one that was sent before it; if it needs what that one makes, it is lost.
    """
    parts = list(persist(*parts))
    if "distributed" in sys.modules:
        from distributed import futures_of, wait

        futures = futures_of(parts)
        if futures:
            wait(futures)
    return parts


class Sent(NamedTuple):
    """A pickled object of this process, on its way in parts."""

    parts: list


def sent(objects):
    """Objects of this process for a graph; large ones go ahead, each part in a message of its own."""
    packed = [np.frombuffer(cloudpickle.dumps(thing), np.uint8) for thing in objects]
    parts = [[one[start : start + PART] for start in range(0, len(one), PART)] for one in packed]
    if sum(map(len, packed)) > PART:
        parts = [[persisted([delayed(part, pure=False)])[0] for part in one] for one in parts]
    return list(map(Sent, parts))


def _unpacked(parts):
    return cloudpickle.loads(b"".join(parts))


def _added(parts):
    """Sum of arrays or numbers; of tuples of these, entry by entry."""
    if isinstance(parts[0], tuple):
        return tuple(map(_added, zip(*parts, strict=True)))
    return functools.reduce(operator.add, parts)


def _call(function, *arguments):
    return function(*arguments)


# -- blocks of rows ----------------------------------------------------------------------------------


def _joined(parts, axis):
    if len(parts) == 1:
        return parts[0]
    if any(map(sparse.issparse, parts)):
        return (sparse.vstack, sparse.hstack)[axis](list(map(sparse.csr_array, parts)), format="csr")
    return np.concatenate(parts, axis=axis)


def _validated(chunks, shape, dtype):
    """Chunks, as a list of lists, as rows that the kernels take."""
    X = _joined([_joined(row, 1) for row in chunks], 0)
    X = check_array(X, accept_sparse="csr", dtype=dtype, order="C", input_name="X")
    if X.shape != shape:
        raise ValueError(f"A block of X has the shape {X.shape} where its chunks say {shape}.")
    return as_rows(X)


def _block_bounds(X):
    return np.stack(bounds(X))


def _widest(parts):
    return np.stack([np.min([low for low, _ in parts], axis=0), np.max([high for _, high in parts], axis=0)])


def _block_moments(X, weights, share):
    return share, *moments(X, weights)


def _merged_moments(parts):
    """Share, mean and variance of several blocks together, from those of each."""
    shares, means, variances = map(np.array, zip(*parts, strict=True))
    share = shares.sum()
    shares = (shares / share)[:, None]
    mean = means[0] + (shares * (means - means[0])).sum(axis=0)  # exact where all are equal: their variance is 0
    return share, mean, (shares * (variances + np.square(means - mean))).sum(axis=0)


def _weigh(X, sample_weight):
    if np.ndim(sample_weight) and not np.any(sample_weight):
        return np.zeros(len(X))  # scikit-learn refuses them, but other blocks have weight
    return check_weights(sample_weight, X, 0)


def _sum_and_count(weights):
    with np.errstate(over="ignore"):
        return weights.sum(), np.count_nonzero(weights)


def _positive(weights):
    return weights > 0


def _n_rows(X):
    return X.shape[0]


def groups_of(sizes, n_features):
    """Slices of the chunks that become one block each; chunks without rows are left out."""
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
    """A weight for every row of DaskRows, block by block, where the rows are.

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
        """Part of each block in the weight of all rows."""
        return (self.sums / self.sums.sum()).tolist()


class DaskRows:
    """Rows of a dask array as the objective sees them: blocks that are persisted until nobody needs them any more.

    Parameters
    ----------
    blocks : list of delayed ndarrays or SparseRows
    sizes : sequence of int
        Rows of each block, none of them 0.
    n_features : int
    dtype : numpy.dtype
        float32 or float64.
    kept : list
        Of everything that is persisted for these rows and those made of them.
    """

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
        groups = groups_of(sizes, d)
        sizes = [sum(sizes[group]) for group in groups]
        graph = Graph()
        chunks = ([list(map(graph.use, row)) for row in grid[group]] for group in groups)
        shapes = [(size, d) for size in sizes]
        blocks = graph.persist(graph.each("rows", functools.partial(_validated, dtype=dtype), chunks, shapes))
        graph = Graph()
        try:
            graph.compute(*graph.each("size", len, blocks))  # raises what a block is refused for
        except BaseException:
            release(blocks)
            raise
        return cls(blocks, sizes, d, dtype, list(blocks))

    def release(self):
        """Nobody needs these rows, or what was made of them, any more."""
        release(self._kept)

    def _persist(self, graph, keys):
        parts = graph.persist(keys)
        self._kept += parts
        return parts

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, mask):
        """The rows where an array of bool (n,) is True."""
        counts = [int(np.count_nonzero(part)) for part in self._split(mask)]
        return self._choose(self._send(mask), counts)

    def _choose(self, masks, counts):
        graph = Graph()
        chosen = [
            graph.call("rows", operator.getitem, block, mask) if count < size else graph.use(block)
            for block, mask, count, size in zip(self.blocks, masks, counts, self._sizes, strict=True)
            if count
        ]
        return DaskRows(self._persist(graph, chosen), filter(None, counts), self.shape[1], self.dtype, self._kept)

    def _split(self, vector):
        return np.split(vector, np.cumsum(self._sizes)[:-1])

    def _send(self, vector):
        """A vector (n,) block by block, as delayed objects."""
        return vector.blocks if isinstance(vector, DaskWeights) else sent(self._split(np.asarray(vector)))

    def _calls(self, function, *vectors):
        graph, n = Graph(), len(self.blocks)
        return graph, graph.each("block", _call, n * sent([function]), self.blocks, *map(self._send, vectors))

    def map(self, function, *vectors):
        """As `map_blocks`."""
        graph, keys = self._calls(function, *vectors)
        return graph.compute(*keys)

    def sum(self, function, *vectors):
        """As `sum_blocks`."""
        graph, keys = self._calls(function, *vectors)
        return graph.compute(graph.tree(keys, _added))[0]

    def transformed(self, function):
        """Rows that ``function`` makes of these, one of each, in the same dtype and with as many features."""
        graph, keys = self._calls(function)
        return DaskRows(self._persist(graph, keys), self._sizes, self.shape[1], self.dtype, self._kept)

    def check_weights(self, sample_weight, least):
        """As `check_weights` of `_rows`; weights of a dask array do not pass through this process."""
        if len(self) < least:
            raise ValueError(f"Found array with {len(self)} sample(s) while a minimum of {least} is required.")
        if isinstance(sample_weight, da.Array):
            parts = self._aligned(sample_weight)
        elif np.ndim(sample_weight) == 0:  # None, too
            parts = [sample_weight] * len(self.blocks)
        else:
            parts = self._send(check_weights(sample_weight, np.broadcast_to(np.float64(0), self.shape), least))
        graph = Graph()
        blocks = self._persist(graph, graph.each("weights", _weigh, self.blocks, parts))
        graph = Graph()
        sums, counts = map(np.array, zip(*graph.compute(*graph.each("sum", _sum_and_count, blocks)), strict=True))
        weights = DaskWeights(blocks, sums, counts)
        check_total_weight(weights.sums.sum(), weights.counts.sum(), least)
        return weights

    def _aligned(self, sample_weight):
        """The weights of every block."""
        if np.isnan(sample_weight.shape).any():
            sample_weight = sample_weight.persist().copy().compute_chunk_sizes()
        if sample_weight.shape != (len(self),):
            raise ValueError(f"sample_weight.shape == {sample_weight.shape}, expected {(len(self),)}!")
        return sample_weight.rechunk((tuple(self._sizes),)).to_delayed()

    def without_weightless(self, weights):
        """As `without_weightless` of `_rows`, for DaskWeights."""
        if weights.counts.tolist() == self._sizes:
            return self, weights
        graph, some = Graph(), np.flatnonzero(weights.counts)
        masks = self._persist(graph, graph.each("mask", _positive, weights.blocks))
        graph = Graph()
        chosen = [graph.call("weights", operator.getitem, weights.blocks[i], masks[i]) for i in some]
        positive = DaskWeights(self._persist(graph, chosen), weights.sums[some], weights.counts[some])
        return self._choose(masks, weights.counts.tolist()), positive

    def bounds(self):
        """As `bounds` of `_rows`."""
        graph = Graph()
        return graph.compute(graph.tree(graph.each("bounds", _block_bounds, self.blocks), _widest))[0]

    def moments(self, weights):
        """As `moments` of `_rows`."""
        weights, graph = self._weights(weights), Graph()
        parts = graph.each("moments", _block_moments, self.blocks, weights.blocks, weights.shares)
        return graph.compute(graph.tree(parts, _merged_moments))[0][1:]

    def _weights(self, weights):
        return weights if isinstance(weights, DaskWeights) else self.check_weights(weights, 0)

    def objective(self, weights, arch, reg):
        """As `full_batch_objective`."""
        return DaskObjective(self, self._weights(weights), arch, reg)


# -- objective ---------------------------------------------------------------------------------------
#
# Block s has the share p_s of the weight of all rows, and its own weights sum to one. Given the mean activation of all
# rows, L and its gradient are the sums of p_s times what they are for the rows of a block, penalties included.


def _block_mean(X, weights, share, theta, arch, reg):
    return share * full_batch_objective(X, weights, arch, reg).mean_activation(np.array(theta))


def _block_gradient(X, weights, share, theta, mean, arch, reg):
    """The part of a block in the terms of L, and in its gradient."""
    terms, gradient = full_batch_objective(X, weights, arch, reg).gradient_given(np.array(theta), mean)
    gradient *= gradient.dtype.type(share)
    return share * np.array(terms), gradient


def _block_statistics(X, weights, share, theta, arch, reg):
    error, mean, square, *ends = Objective(X, weights, arch, reg).statistics(np.array(theta))
    return (share * error, share * mean, share * square), np.stack(ends)


def _merged_statistics(parts):
    sums, ends = zip(*parts, strict=True)
    return _added(sums), _widest(ends)


class DaskObjective(Objective):
    """L and its gradient over all rows of DaskRows, in one graph an evaluation.

    The workers encode their blocks and add up the mean activations; with those of all rows each makes its part of
    the gradient; the parts are added up on the way here. Codes are computed in both passes, since none are kept.
    """

    def __init__(self, X, weights, arch, reg):
        self.X, self.weights, self.arch, self.reg = X, weights, arch, reg
        self.lowest, self.highest = np.empty((2, arch.n_components), dtype=X.dtype)
        self.mean, self._square = np.empty((2, arch.n_components))

    def _calls(self, graph, name, function, *shared):
        """The keys of a call for each block."""
        function, n = functools.partial(function, arch=self.arch, reg=self.reg), len(self.X.blocks)
        shared = ([one] * n for one in shared)
        return graph.each(name, function, self.X.blocks, self.weights.blocks, self.weights.shares, *shared)

    def evaluate_gradient(self, theta):
        """L at theta and dL/dtheta."""
        graph = Graph()
        theta = graph.use(*sent([theta]))
        mean = graph.tree(self._calls(graph, "mean", _block_mean, theta), _added)
        parts = graph.tree(self._calls(graph, "gradient", _block_gradient, theta, mean), _added)
        self.mean[:], (terms, gradient) = graph.compute(mean, parts)
        error, *rest = terms.tolist()
        return Evaluation.of((positive(error), *rest), self.mean, gradient), gradient

    def statistics(self, theta):
        """As those of Objective."""
        graph = Graph()
        parts = self._calls(graph, "statistics", _block_statistics, graph.use(*sent([theta])))
        ((sums, ends),) = graph.compute(graph.tree(parts, _merged_statistics))
        return *sums, *ends


# -- lazy results ------------------------------------------------------------------------------------


def check_dask(X):
    """Refuse what is no array of rows with a known number of features."""
    if not isinstance(X, da.Array):
        raise TypeError(
            f"Of dask's collections X may be an array, not a {type(X).__name__}. Take to_dask_array() of a dataframe."
        )
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead.")
    if np.isnan(X.shape[1]):
        raise ValueError("The number of features of X is unknown; call compute_chunk_sizes() first.")


def float_dtype(X):
    """The dtype that validation gives X."""
    return X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)


def map_lazily(function, X, width, dtype):
    """What ``function`` makes of the rows of X as a dask array (n,) or, with a width, (n, width)."""
    axes = "i" if width is None else "ij"
    empty = np.empty(0 if width is None else (0, width), dtype)
    return da.blockwise(
        _of_chunk, axes, X, "ik", function=delayed(function, pure=True, traverse=False), empty=empty,
        new_axes=None if width is None else {"j": width}, concatenate=False, dtype=dtype,
        meta=np.empty((0,) * len(axes), dtype),
    )  # fmt: skip


def _of_chunk(parts, function, empty):
    X = _joined(parts, 1)
    return function(X).astype(empty.dtype, copy=False) if X.shape[0] else empty
