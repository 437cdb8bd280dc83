"""L and its gradient over all rows at once."""

from itertools import accumulate

import numpy as np

from .._crew import Pace
from .._kernels import sizes
from .._kernels.activations import IDENTITY
from .._kernels.evaluate import evaluate_steps
from .._kernels.gram import code_delta_by_rows, evaluate_gram_steps
from .._kernels.jit import as_readonly
from .._kernels.penalties import sparsity_term
from .._kernels.products import add_bias_activate, add_decay, decay_factor, weight_decay
from .._kernels.structs import Gram
from .._log import logger
from .._model import count_parameters, count_weights, unpack
from .base import Evaluation, Objective, clip_at_zero

# Most bytes of codes that are kept between the two passes of an evaluation: X itself may be larger than memory.
MOST_KEPT = 2**28

# Up to this many weights in a layer, algebra with Gram matrices, whose terms cancel, saves too little.
SMALL_MODEL = 2**13

# How many times as long a multiply-add of a sparse product takes as one of a dense product.
SPARSE_COST = 30


def kept_codes(n, row_size, X_size):
    """Return for how many rows the codes (``row_size`` bytes each) are kept between the two passes of an evaluation.

    The codes of the other rows are computed twice, which takes six products instead of five but bounds the memory.
    """
    return min(n, max(6 * 2**20, min(X_size // 4, MOST_KEPT)) // row_size)


def gram_wins(arch, n):
    """Whether `GramObjective` applies and takes less arithmetic than `FullBatchObjective`."""
    d, m = arch.n_features, arch.n_components
    return arch.tied and arch.output == IDENTITY and d * m > SMALL_MODEL and 2 * m <= min(n, d)


def sparse_gram_wins(arch, rows):
    """Whether `SparseGramObjective` applies and is faster than products of blocks made dense."""
    (n, d), m = rows.shape, arch.n_components
    direct, gram = 5 * n * d * m, 4 * SPARSE_COST * rows.S.nnz * m + 3 * (n + d) * m**2
    return arch.output == IDENTITY and d * m > SMALL_MODEL and gram < direct


def kept_sparse_codes(n, row_size, X_size):
    """As `kept_codes`, for `SparseGramObjective`: codes that take as much memory as X itself."""
    return min(n, max(2**25, X_size) // row_size)


class FullBatchObjective(Objective):
    """L and its gradient over all rows at once."""

    def __init__(self, rows, weights, arch, reg, crew=None):
        super().__init__(rows, weights, arch, reg, crew)
        (n, d), m, size = rows.shape, arch.n_components, rows.dtype.itemsize
        row_size = (m if rows.contiguous else m + d) * size
        n_kept = kept_codes(n, row_size, rows.nbytes if rows.contiguous else 0)
        work = self._work = self._workspace(n, n_kept, in_place=rows.contiguous)
        n_groups = len(work.errors)
        self._n_rounds = sizes.count_batches(n, n_groups * sizes.BLOCKS_OF_ROUND * work.block)
        self._kernel_rows, self._w = rows.kernel_rows(), as_readonly(self.weights.astype(rows.dtype))
        # Products in each phase: one in the first pass, four in the second, and a fifth where codes are not kept.
        costs = [1] * self._n_rounds + [4] * self._n_rounds + [0]
        self._costs, self._pace = list(accumulate(costs, initial=0)), Pace()
        logger.debug("full batch: %d rows in %d groups, %d rounds", n, n_groups, self._n_rounds)

    def evaluate_gradient(self, theta):
        """Return L at theta and dL/dtheta; the gradient is overwritten by the next evaluation."""
        work, parameters = self._work, unpack(theta, self.arch)
        self._run(parameters, work, 0, 2 * self._n_rounds + 1)
        self.mean[:] = work.unit_sums.sum(axis=0)
        terms = self._terms(parameters, self.mean)
        return Evaluation.of(terms, self.mean, work.gradient.flat), work.gradient.flat

    def mean_activation(self, theta):
        """Return the mean activation (m,) of every unit: the first pass of an evaluation alone."""
        self._run(unpack(theta, self.arch), self._work, 0, self._n_rounds)
        self.mean[:] = self._work.unit_sums.sum(axis=0)
        return self.mean

    def gradient_given(self, theta, mean):
        """Return the terms of L and its gradient for given mean activations: the second pass alone."""
        work, parameters = self._work._replace(kept=0), unpack(theta, self.arch)  # no codes are left from a first pass
        work.unit_sums[:] = 0
        work.unit_sums[0] = mean
        self._run(parameters, work, self._n_rounds, 2 * self._n_rounds + 1)
        return self._terms(parameters, mean), work.gradient.flat

    def _run(self, parameters, work, start, stop):
        """Run phases of an evaluation, see `evaluate_steps`."""

        def kernel(phases, team):
            return evaluate_steps(
                parameters, self.arch, self.reg, self._kernel_rows, self._w, self._n_rounds, phases, work, team
            )

        with self.crew:
            self.crew.run(kernel, self._costs, start, stop, self._pace)

    def _terms(self, parameters, mean):
        sparsity = sparsity_term(self.reg, mean, np.empty_like(parameters.b))
        return float(self._work.errors.sum()), sparsity, weight_decay(parameters, self.arch, self.reg.alpha)


class GramObjective(FullBatchObjective):
    """As FullBatchObjective for dense rows, tied weights and identity output, from Gram matrices."""

    def __init__(self, rows, weights, arch, reg, crew=None):
        super().__init__(rows, weights, arch, reg, crew)
        mean, variance = rows.moments(self.weights)
        self._centre, self._variance = mean, variance.sum()
        m, work = arch.n_components, self._work
        self._second = np.empty((len(work.errors), m, m), rows.dtype)
        costs = [2] * self._n_rounds + [3] * self._n_rounds + [0]
        self._costs = list(accumulate(costs, initial=0))
        logger.debug("full batch: from Gram matrices")

    def evaluate_gradient(self, theta):
        """Return L at theta and dL/dtheta; the gradient is overwritten by the next evaluation."""
        work, parameters = self._work, unpack(theta, self.arch)
        W, c, X = parameters.W, parameters.c, self._kernel_rows.X

        def kernel(phases, team):
            return evaluate_gram_steps(
                parameters, self.arch, self.reg, gram, X, self._w, self._n_rounds, phases, work, team
            )

        with self.crew:
            gram = Gram(W @ W.T, W @ c, 2 * W, self._second)
            self.crew.run(kernel, self._costs, 0, len(self._costs) - 1, self._pace)
            self.mean[:] = work.unit_sums.sum(axis=0)
            work.gradient.c[:] = 2 * (c - self._centre) + 2 * (self.mean @ W)
        error, sparsity, decay = self._terms(parameters, self.mean)
        error += self._variance + float(np.square(self._centre - c).sum())
        return Evaluation.of((clip_at_zero(error), sparsity, decay), self.mean, work.gradient.flat), work.gradient.flat


class SparseGramObjective(Objective):
    """As FullBatchObjective for sparse rows and identity output, with nothing of the size of X made dense.

    With G = V V' the error e = x̂ - x = V'h + c - x enters only as V e = G h + V c - V x, and

        ||e||² = ||x - c||² + h · (G h + 2 (V c - V x)),    sum w h e' = (sum w h h') V + mean c' - sum w h x',

    so an evaluation takes O(nnz m + (n + d) m²) operations. The terms cancel: rounding errors are larger than in a
    direct evaluation by about 1 / (1 - share of the variance explained).
    """

    def __init__(self, rows, weights, arch, reg, crew=None):
        super().__init__(rows, weights, arch, reg, crew)
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
            code_delta_by_rows(self.arch.activation, H, w, sparsity_grad, delta)
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


def _choose_for_dense(rows, arch):
    return GramObjective if gram_wins(arch, len(rows)) else FullBatchObjective


def _choose_for_sparse(rows, arch):
    return SparseGramObjective if sparse_gram_wins(arch, rows) else FullBatchObjective


# The objective for local rows of each kind.
CHOICES = {"dense": _choose_for_dense, "sparse": _choose_for_sparse}


def full_batch_objective(rows, weights, arch, reg, crew=None):
    """Return the objective over all of these local rows that is fastest for them."""
    return CHOICES[rows.kind](rows, arch)(rows, weights, arch, reg, crew)
