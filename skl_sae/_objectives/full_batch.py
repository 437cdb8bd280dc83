"""L and its gradient over all rows at once."""

import numpy as np

from .._kernels import sizes
from .._kernels.activations import IDENTITY
from .._kernels.blocks import code_delta
from .._kernels.evaluate import evaluate_gradient
from .._kernels.gram import evaluate_gradient_gram
from .._kernels.jit import as_readonly
from .._kernels.penalties import sparsity_term
from .._kernels.products import add_bias_activate, add_decay, decay_factor, weight_decay
from .._kernels.structs import Span
from .._log import logger
from .._model import count_parameters, count_weights, unpack
from . import base
from .base import Evaluation, Objective, clip_at_zero

# Bytes of codes at most that are kept between the two passes of an evaluation: X itself may be larger than memory.
MOST_KEPT = 2**28

# How many times as long a multiply-add of a sparse product takes as one of a dense product.
SPARSE_COST = 30


def kept_codes(n, row_size, X_size):
    """Return of how many rows the codes (``row_size`` bytes each) are kept between the two passes of an evaluation.

    Those of the others are computed twice, one product in five more, which bounds the memory.
    """
    return min(n, max(6 * 2**20, min(X_size // 4, MOST_KEPT)) // row_size)


def gram_wins(arch, n):
    """Whether `evaluate_gradient_gram` applies and takes less arithmetic than `evaluate_gradient`."""
    d, m = arch.n_features, arch.n_components
    return arch.tied and arch.output == IDENTITY and not sizes.is_small(d, m) and 2 * m <= min(n, d)


def sparse_gram_wins(arch, rows):
    """Whether `SparseGramObjective` applies and is faster than products of blocks made dense."""
    (n, d), m = rows.shape, arch.n_components
    direct, gram = 5 * n * d * m, 4 * SPARSE_COST * rows.S.nnz * m + 3 * (n + d) * m**2
    return arch.output == IDENTITY and not sizes.is_small(d, m) and gram < direct


def kept_sparse_codes(n, row_size, X_size):
    """As `kept_codes`, for `SparseGramObjective`: as many as take the memory of X itself."""
    return min(n, max(2**25, X_size) // row_size)


class FullBatchObjective(Objective):
    """L and its gradient over all rows at once."""

    def __init__(self, rows, weights, arch, reg):
        super().__init__(rows, weights, arch, reg)
        row_size = arch.n_components * rows.dtype.itemsize
        self._work = self._workspace(kept=kept_codes(len(rows), row_size, rows.nbytes if rows.contiguous else 0))
        self._kernel_rows = rows.kernel_rows()
        self._n_blocks = sizes.count_batches(len(rows), self._work.block_size)
        self._steps_per_call = max(
            1, base.WORK_PER_CALL // (3 * self._work.block_size * arch.n_features * arch.n_components)
        )
        self._gram = rows.contiguous and gram_wins(arch, len(rows))
        if self._gram:
            mean, variance = rows.moments(self.weights)
            self._centre = mean, variance.sum()
        route = "Gram matrices, products by BLAS" if self._gram else self._describe_layout()
        logger.debug("full batch: %d blocks of %d rows, %s", self._n_blocks, self._work.block_size, route)

    def evaluate_gradient(self, theta):
        """Return L at theta and dL/dtheta; the gradient is overwritten by the next evaluation."""
        if self._gram:
            model = unpack(theta, self.arch), self.arch, self.reg
            X, centre = self._kernel_rows.X, self._centre
            error, *rest = evaluate_gradient_gram(*model, X, self.weights, *centre, self._work)
            terms = (clip_at_zero(error), *rest)
        else:
            terms = self._run(theta, self._work, 0, 2 * self._n_blocks)
        gradient = self._work.gradient.flat
        return Evaluation.of(terms, self.mean, gradient), gradient

    def mean_activation(self, theta):
        """Return the mean activation (m,) of every unit: the first pass of an evaluation alone."""
        self._run(theta, self._work, 0, self._n_blocks)
        return self.mean

    def gradient_given(self, theta, mean):
        """Return the terms of L and its gradient for given mean activations: the second pass alone."""
        self.mean[:] = mean
        work = self._work._replace(codes=self._work.codes[:0])  # no codes are left from a first pass
        return self._run(theta, work, self._n_blocks, 2 * self._n_blocks), work.gradient.flat

    def _run(self, theta, work, first, last):
        """Take the steps of the two passes from ``first`` to ``last``; return the terms that they add."""
        terms = 0.0, 0.0, 0.0
        arguments = unpack(theta, self.arch), self.arch, self.reg, self._kernel_rows, self.weights, work
        for start in range(first, last, self._steps_per_call):
            steps = Span(start, min(start + self._steps_per_call, last))
            part = evaluate_gradient(*arguments, steps, *self._layout)
            terms = tuple(map(sum, zip(terms, part, strict=True)))
        return terms


class SparseGramObjective(Objective):
    """As FullBatchObjective for sparse rows and identity output, with nothing of the size of X made dense.

    With G = V V' the error e = x̂ - x = V'h + c - x enters only as V e = G h + V c - V x, and

        ||e||² = ||x - c||² + h · (G h + 2 (V c - V x)),    sum w h e' = (sum w h h') V + mean c' - sum w h x',

    so an evaluation takes O(nnz m + (n + d) m²) operations. The terms cancel: rounding errors are larger than in a
    direct evaluation by about 1 / (1 - share of the variance explained).
    """

    def __init__(self, rows, weights, arch, reg):
        super().__init__(rows, weights, arch, reg)
        self._centre, variance = rows.moments(self.weights)
        self._variance = variance.sum()
        self._blocks = list(rows.sparse_blocks())
        row_size = arch.n_components * rows.dtype.itemsize
        self._n_kept, self._kept_codes = kept_sparse_codes(len(rows), row_size, rows.nbytes), {}
        self._gradient = np.empty(count_parameters(arch), rows.dtype)
        logger.debug("full batch: %d blocks, Gram matrices, rows stay sparse", len(self._blocks))

    def evaluate_gradient(self, theta):
        """Return L at theta and dL/dtheta; the gradient is overwritten by the next evaluation."""
        (error, *rest), gradient = self.gradient_given(theta, self.mean_activation(theta))
        return Evaluation.of((clip_at_zero(error), *rest), self.mean, gradient), gradient

    def mean_activation(self, theta):
        """Return the mean activation (m,) of every unit: the first pass, which keeps codes for the second."""
        parameters = unpack(theta, self.arch)
        WT, self.mean[:] = parameters.W.T.copy(), 0
        for block in self._blocks:
            H = self._encode(self.rows[block], WT, parameters.b)
            self.mean += self.weights[block] @ H
            if block.stop <= self._n_kept:
                self._kept_codes[block.start] = H
        return self.mean

    def gradient_given(self, theta, mean):
        """Return the terms of L and its gradient for given mean activations: the second pass."""
        parameters = unpack(theta, self.arch)
        sparsity_grad = np.empty_like(parameters.b)
        sparsity = sparsity_term(self.reg, mean, sparsity_grad)
        reconstruction = self._add_gradient(parameters, sparsity_grad)
        decay = weight_decay(parameters, self.arch, self.reg.alpha)
        return (reconstruction, sparsity, decay), self._gradient

    def _encode(self, rows, WT, b):
        H = rows.dot(WT)
        add_bias_activate(H, as_readonly(b), self.arch.activation, H)
        return H

    def _add_gradient(self, parameters, sparsity_grad):
        """Return the reconstruction error; the gradient of all terms goes into ``_gradient``."""
        theta, W, V, b, c = parameters
        WT, VT, gram, shift, m = W.T.copy(), V.T.copy(), V @ V.T, V @ c, len(b)
        gradient = unpack(self._gradient, self.arch)
        reconstruction = self._variance + np.square(self._centre - c).sum()
        sums, second = np.zeros((len(c), 2 * m), V.dtype), np.zeros((m, m), V.dtype)  # of x (w h, delta)', of w h h'
        own_mean = np.zeros(m)  # of these rows, even where ``sparsity_grad`` comes from the mean of more rows
        gradient.b[:] = 0
        for block in self._blocks:
            rows, w = self.rows[block], self.weights[block]
            H = self._kept_codes.pop(block.start, None)
            H = self._encode(rows, WT, b) if H is None else H
            own_mean += w @ H
            product, part = H @ gram, shift - rows.dot(VT)
            reconstruction += float(w @ np.einsum("ij,ij->i", H, product + 2 * part, dtype=np.float64))
            weighted = w.astype(H.dtype)[:, None] * H
            delta = 2 * w.astype(H.dtype)[:, None] * (product + part)
            code_delta(self.arch.activation, H, w, sparsity_grad, delta)
            gradient.b[:] += delta.sum(axis=0)
            second += H.T @ weighted
            sums += rows.transposed_dot(np.hstack([weighted, delta]))
        mean = own_mean.astype(V.dtype)
        dV = 2 * (second @ V + np.outer(mean, c) - sums[:, :m].T)
        gradient.V[:] = dV
        gradient.W[:] = sums[:, m:].T + (dV if self.arch.tied else 0)
        gradient.c[:] = 2 * (mean @ V + c - self._centre)
        add_decay(theta[: count_weights(self.arch)], decay_factor(self.arch, self.reg.alpha), gradient.flat)
        return reconstruction


def _choose_for_sparse(rows, arch):
    return SparseGramObjective if sparse_gram_wins(arch, rows) else FullBatchObjective


# The objective for local rows of each kind.
CHOICES = {"dense": lambda rows, arch: FullBatchObjective, "sparse": _choose_for_sparse}


def full_batch_objective(rows, weights, arch, reg):
    """Return the objective over all of these local rows that is fastest for them."""
    return CHOICES[rows.kind](rows, arch)(rows, weights, arch, reg)
