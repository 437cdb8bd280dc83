"""What all kinds of rows share, and what those in the memory of this process share."""

import functools
import operator

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.validation import _check_sample_weight

from .._crew import finite_over_blocks
from .._kernels import inference
from .._kernels.jit import as_readonly
from .._kernels.sizes import block_rows


def check_total_weight(total, n_positive, minimum):
    """Refuse weights with too large a sum or too few positive ones."""
    if total > 1e100:
        raise ValueError("The sum of sample_weight is above 1e100, where products with it overflow. Scale the weights.")
    if n_positive < minimum:
        raise ValueError(f"sample_weight is positive for {n_positive} samples; at least {minimum} are required.")


def check_weights(sample_weight, n, minimum):
    """Return weights of n rows in float64, not negative, at least ``minimum`` of them positive."""
    rows = np.broadcast_to(np.float64(0), n)
    weights = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        total = weights.sum()
    weights = np.where(weights < total * np.finfo(float).tiny, 0, weights)  # weights that vanish in the sum
    check_total_weight(total, np.count_nonzero(weights), minimum)
    return weights


class Rows:
    """Rows of any kind."""

    def __len__(self):
        return self.shape[0]

    def drop_zero_weight(self, weights):
        """Return the rows of positive weight, and their weights: a row of weight 0 must not count at all."""
        positive = weights > 0
        return (self, weights) if positive.all() else (self.take(positive), weights[positive])


class LocalRows(Rows):
    """Rows in the memory of this process; subclasses say how they lie there."""

    is_local = True
    #: Whether the kernels take a block of rows as it lies in memory; otherwise they make blocks of their own.
    contiguous = False

    def blocks(self):
        """Yield slices of rows few enough to have all of their features in memory."""
        return gen_batches(len(self), block_rows(self.shape[1]))

    def map(self, function, *vectors):
        """Yield ``function(rows, *parts)`` for every block of rows and its parts of vectors (n,)."""
        return (function(self[block], *(vector[block] for vector in vectors)) for block in self.blocks())

    def sum(self, function, *vectors):
        """Return the sum over the blocks of what `map` gives."""
        return functools.reduce(operator.add, self.map(function, *vectors))

    def take(self, rows):
        """Return the rows that a mask (n,) or indices pick."""
        return self[rows]

    def map_rows(self, function):
        """Return the rows ``function(rows)``, of the same shape and dtype."""
        return function(self)

    def check_weights(self, sample_weight, minimum):
        """Return ``sample_weight`` validated, in float64."""
        return check_weights(sample_weight, len(self), minimum)

    def release(self):
        """Nothing is kept for local rows."""

    def square_errors(self, network):
        """Return ||x - x̂||² (n,) of the rows for a `Network`."""
        errors_of = self.errors_of(network.V, network.c, network.output)
        errors = np.empty(len(self), self.dtype)
        for block in errors_of.blocks(self):
            part = self[block]
            H = np.empty((len(part), len(network.W)), self.dtype)
            part.encode(network.W, network.b, network.activation, H)
            with np.errstate(over="ignore", invalid="ignore"):
                errors[block] = errors_of(part, H)
        return errors

    def errors_of(self, V, c, kind):
        """Return what computes the squared errors of rows whose codes are known."""
        return SquaredErrors(V, c, kind)


def decode(H, V, c, kind, out):
    """Compute reconstructions from codes H into ``out`` (n, d); return whether H and V' h + c are finite."""
    return finite_over_blocks(functools.partial(inference.decode, as_readonly(H), V, c, kind, out), len(H), *V.shape)


class SquaredErrors:
    """||x - x̂||² of rows whose codes are known, for decoder weights V (m, d), biases c (d,) and an output."""

    def __init__(self, V, c, kind):
        self._V, self._c, self._kind = V, c, kind

    def blocks(self, rows):
        """Yield slices of the rows to work on at a time."""
        return rows.blocks()

    def __call__(self, rows, H):
        """Return the errors (n,) of rows with codes H."""
        difference = self.differences(rows, H)
        return np.einsum("ij,ij->i", difference, difference)

    def differences(self, rows, H):
        """Return x̂ - x (n, d), in the dtype of X."""
        difference = np.empty(rows.shape, rows.dtype)
        decode(H, self._V, self._c, self._kind, difference)
        difference -= rows.toarray()
        return difference
