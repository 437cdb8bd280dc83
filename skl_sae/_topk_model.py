"""Top-k autoencoders: where training starts, and what fitted parameters compute.

    z = W x + b,    h = the k largest of z that are positive,    x̂ = V' h + c,    ||V_j|| = 1

Training sees rows as (x - centre) / scale, so that it depends neither on their units nor on their mean. W and V are the
same for these rows as for those of X; b and c are not.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array

from ._crew import over_blocks
from ._kernels import topk_inference
from ._kernels.jit import as_readonly
from ._kernels.sizes import block_rows
from ._kernels.structs import Architecture, SparseBlock, TopKNetwork
from ._model import check_overflow, count_parameters, unpack
from ._rows import as_rows

# Active units where k is None.
USUAL_K = 8

# Rows that are encoded at a time if any number of units may be active.
CODED_ROWS = 2048

# Most rows from which a threshold is computed.
ROWS_FOR_THRESHOLD = 4096

# The sample of rows from which the start is computed: its usual size and its least, and the most numbers in it; and how
# far the whitening may stretch a direction in which rows hardly vary.
ROWS_TO_WHITEN, LEAST_ROWS_TO_WHITEN, NUMBERS_TO_WHITEN, MOST_STRETCH = 8192, 256, 2**23, 3

# Most rows of that sample from which the length of the encoder's weights is computed.
ROWS_TO_FIT = 1024


def architecture(n_features, n_components):
    """Return what fixes the layout of the parameters."""
    return Architecture(int(n_features), int(n_components), tied=False, activation=0, output=0)


class Code(NamedTuple):
    """How many units are active: k in every row, or on average over the rows of a batch."""

    k: int
    by_batch: bool

    @classmethod
    def of(cls, settings):
        """Return what the parameters of an estimator describe."""
        k = min(USUAL_K, settings.n_components) if settings.k is None else settings.k
        return cls(int(k), settings.selection == "batchtopk")


class Frame(NamedTuple):
    """How training sees rows: as (x - centre) / scale."""

    centre: np.ndarray  # (d,) float64
    scale: float

    @classmethod
    def of(cls, mean, variance):
        """Return the frame in which rows have mean zero and squared norm one on average."""
        scale = float(np.sqrt(variance.sum()))
        return cls(mean, scale if np.isfinite(scale) and scale > 0 else 1.0)

    def outside(self, theta, arch):
        """Return W, b, V, c for rows of X as they are."""
        _, W, V, b, c = unpack(theta, arch)
        shift = W.astype(np.float64) @ self.centre
        return W, (self.scale * b - shift).astype(b.dtype), V, (self.scale * c + self.centre).astype(c.dtype)

    def inside(self, W, b, V, c):
        """Return the parameters as training sees them."""
        shift = W.astype(np.float64) @ self.centre
        biases = (b + shift) / self.scale, (c - self.centre) / self.scale
        return np.concatenate([W.ravel(), V.ravel(), *biases]).astype(W.dtype)

    def normalized(self, X):
        """Return an array of rows as training sees them."""
        X = X - self.centre.astype(X.dtype)
        X /= X.dtype.type(self.scale)
        return X


# -- fitted parameters ---------------------------------------------------------------------------------


def network(W, b, V, c, k, threshold=None):
    """Return a `TopKNetwork`, with a threshold for activations or with the k largest of a row active."""
    return TopKNetwork(*map(as_readonly, (W, b, V, c)), int(k), np.nan if threshold is None else float(threshold))


def _compressed(units, values, counts, m):
    """Return codes (n, m) as a csr_array, each row from the first ``counts`` entries of a row of the arrays."""
    n, room = units.shape
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indptr = indptr.astype(np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64)
    if indptr[-1] < n * room:
        kept = np.arange(room) < counts[:, None]
        units, values = units[kept], values[kept]
    return csr_array((values.ravel(), units.ravel().astype(indptr.dtype, copy=False), indptr), shape=(n, m))


def _encode_part(net, rows):
    n, m = len(rows), len(net.b)
    room = net.k if np.isnan(net.threshold) else m
    units, values, counts = np.empty((n, room), np.int32), np.empty((n, room), rows.dtype), np.empty(n, np.int64)
    kernel = functools.partial(topk_inference.encode, rows.kernel_rows(), net, units, values, counts)
    with np.errstate(over="ignore", invalid="ignore"):  # in plain Python it would warn
        over_blocks(kernel, n, *net.W.shape)
    return _compressed(units, values, counts, m)


def encode(net, rows):
    """Return the codes of rows as a csr_array (n, m) in canonical format."""
    if np.isnan(net.threshold):
        codes = _encode_part(net, rows)
    else:
        parts = [_encode_part(net, rows[start : start + CODED_ROWS]) for start in range(0, len(rows), CODED_ROWS)]
        data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
        indptr = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(part.indptr) for part in parts]))])
        codes = csr_array((data, indices, indptr.astype(indices.dtype)), shape=(len(rows), len(net.b)))
    check_overflow(codes.data, "the codes")
    codes.has_canonical_format = True
    return codes


def _block_of(codes):
    return SparseBlock(*map(as_readonly, (codes.data, codes.indices, codes.indptr)), offset=codes.data[:0])


def decode(net, codes):
    """Return the reconstructions (n, d) of codes, a csr_array."""
    out = np.empty((codes.shape[0], len(net.c)), codes.dtype)
    over_blocks(functools.partial(topk_inference.decode, _block_of(codes), net.V, net.c, out), len(out), *net.V.shape)
    return check_overflow(out, "the reconstructions")


def errors_of_codes(net, rows, codes):
    """Return ||x - x̂||² (n,) of rows with known codes."""
    out = np.empty(len(rows), rows.dtype)
    kernel = functools.partial(topk_inference.square_errors, rows.kernel_rows(), net, _block_of(codes), out)
    over_blocks(kernel, len(rows), *net.V.shape)
    return out


def squared_errors(net, rows, per_feature=False):
    """Return the squared errors of rows, (n,) or ``per_feature`` (n, d), in the dtype of the rows."""
    codes = encode(net, rows)
    if not per_feature:
        return check_overflow(errors_of_codes(net, rows, codes), "the squared errors")
    errors = decode(net, codes)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(rows), block_rows(rows.shape[1])):
            block = slice(start, start + block_rows(rows.shape[1]))
            errors[block] = np.square(errors[block] - rows[block].toarray())
    return check_overflow(errors, "the squared errors")


def find_threshold(net, rows):
    """Return the number that k activations of a row reach on average; infinity if none is positive."""
    wanted, positive = net.k * len(rows), []
    for block in rows.blocks():
        Z = rows[block].toarray() @ net.W.T + net.b
        positive.append(Z[Z > 0])
    positive = np.concatenate(positive)
    if not positive.size:
        return np.inf
    wanted = min(wanted, positive.size)
    return float(np.partition(positive, positive.size - wanted)[positive.size - wanted])


def calibrate(parts, code, rows):
    """Return the threshold of a network W, b, V, c, from some of the training rows; None for "topk"."""
    with np.errstate(over="ignore", invalid="ignore"):
        some = rows[:: -(-len(rows) // ROWS_FOR_THRESHOLD)]
        return find_threshold(network(*parts, code.k), some) if code.by_batch else None


# -- where training starts -----------------------------------------------------------------------------


def _whitener(X, weights):
    """Return a function that whitens the rows of X (n, d), which are centred, at given indices.

    The results have the same variance in every direction in which the rows vary enough; their scale has no meaning.
    """
    (n, d), A = X.shape, X * np.sqrt(weights / weights.max()).astype(X.dtype)[:, None]
    covariance = A.T @ A / n if d <= n else A @ A.T / n
    # NumPy would compute in float64 whatever the dtype, which takes twice as long in float32.
    values, vectors = eigh(covariance, overwrite_a=True, check_finite=False, driver="evd")
    largest = max(values[-1], np.finfo(X.dtype).tiny)
    floor = max(values.clip(0).sum() / (min(n, d) * MOST_STRETCH**2), largest * np.finfo(X.dtype).eps)
    factors = 1 / np.sqrt(values.clip(0) + floor)
    whitening = (vectors * factors) @ vectors.T
    return (lambda rows: X[rows] @ whitening) if d <= n else (lambda rows: whitening[rows] @ A)


def _distinct(rows):
    """Return the rows without those that equal an earlier one or are zero."""
    rows = rows[np.any(rows != 0, axis=1)]
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]


def _directions(X, weights, m, init, rng):
    """Return the initial directions (m, d) of the atoms."""
    d, atoms = X.shape[1], np.empty((0, X.shape[1]), X.dtype)
    if init == "whitened":
        whiten = _whitener(X, weights)
        order = np.argsort(np.log(rng.exponential(size=len(X))) - np.log(weights))  # rows drawn by their weights
        found = _distinct(whiten(order[:m]))
        if len(found) < m < len(X):
            found = _distinct(whiten(order))
        atoms = found[:m]
        if len(found):  # too few distinct rows: mixtures of them lie in the space that they span
            mixtures = rng.standard_normal((m - len(atoms), len(found))) @ found
            atoms = np.concatenate([atoms, mixtures])
    rest = rng.standard_normal((m - len(atoms), d))
    atoms = np.concatenate([atoms, rest]).astype(X.dtype)
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def initial_parameters(arch, rows, weights, frame, code, init, rng):
    """Return the parameters to start from, one flat vector as training sees them.

    The atoms are whitened rows, or random. The encoder's weights are the atoms, multiplied by the number with which the
    first reconstructions are best.
    """
    d, m, dtype = arch.n_features, arch.n_components, rows.dtype
    n = min(len(rows), max(ROWS_TO_WHITEN, 2 * m, 4 * d), max(LEAST_ROWS_TO_WHITEN, NUMBERS_TO_WHITEN // d))
    picked = np.arange(len(rows)) if n == len(rows) else np.sort(rng.choice(len(rows), n, replace=False))
    X, weights = frame.normalized(rows.take(picked).toarray()), weights[picked]
    theta = np.zeros(count_parameters(arch), dtype)
    _, W, V, b, c = unpack(theta, arch)
    V[:] = _directions(X, weights, m, init, rng)
    net, step = network(V, b, V, c, code.k), -(-n // ROWS_TO_FIT)
    X, weights = np.ascontiguousarray(X[::step]), weights[::step] / weights.max()
    if code.by_batch:
        net = net._replace(threshold=find_threshold(net, as_rows(X)))
    Y = decode(net, encode(net, as_rows(X)))
    product, square = (float(weights @ np.einsum("ij,ij->i", A, Y)) for A in (X, Y))
    W[:] = V * (product / square if square > 0 else 1)
    return theta
