"""The objective of a sparse autoencoder over rows of data, and its gradient.

    L(theta) = sum_i w_i ||x_i - x̂_i||² + beta sum_j KL(rho || mean_j) + alpha (||W||² + ||V||²)

with weights w_i that sum to one (1/N each, unless the rows are weighted) and mean_j = sum_i w_i h_ij. The first and
the second term see the data only through sums over rows: an evaluation is two passes over blocks of rows, one that adds
up the mean activations and one that adds up the error and the gradient.
"""

import math
from typing import NamedTuple

import numpy as np

from . import _kernels as kernels
from ._rows import SparseRows, SquareErrors, encode, frozen, is_local, moments, sparse_blocks_of
from .exceptions import DivergenceError

# Multiply-adds that a call of compiled code does at the most, a fraction of a second: an interrupt waits for its end.
WORK_PER_CALL = 2**31

# Bytes of codes at the most that are kept between the two passes of an evaluation: X itself may be larger than memory.
MOST_KEPT = 2**28

# By how much a multiply-add of a sparse product takes longer than one of a dense product.
SPARSE_COST = 30


def kept_codes(n, row_size, X_size):
    """Of how many rows the codes (``row_size`` bytes each) are kept between the two passes of an evaluation.

    Those of the others are computed twice, one product in five more, which bounds the memory.
    """
    return min(n, max(6 * 2**20, min(X_size // 4, MOST_KEPT)) // row_size)


def gram_wins(arch, n):
    """Whether `evaluate_gradient_gram` applies and takes less arithmetic than `evaluate_gradient`."""
    d, m = arch.n_features, arch.n_components
    return arch.tied and arch.output == kernels.IDENTITY and d * m > kernels.SMALL_MODEL and 2 * m <= min(n, d)


def sparse_gram_wins(arch, X):
    """Whether `SparseGramObjective` applies and is faster than products of blocks made dense."""
    (n, d), m = X.shape, arch.n_components
    direct, gram = 5 * n * d * m, 4 * SPARSE_COST * X.S.nnz * m + 3 * (n + d) * m**2
    return arch.output == kernels.IDENTITY and d * m > kernels.SMALL_MODEL and gram < direct


def kept_sparse_codes(n, row_size, X):
    """As `kept_codes`, for `SparseGramObjective`: as many as take the memory of X itself."""
    return min(n, max(2**25, X.S.nnz * (X.dtype.itemsize + X.S.indices.itemsize)) // row_size)


class Evaluation(NamedTuple):
    """L and its terms as they enter the sum, in float64; ``mean_activation`` is averaged over the hidden units."""

    loss: float
    reconstruction: float
    sparsity: float
    weight_decay: float
    mean_activation: float

    @classmethod
    def of(cls, terms, mean, state):
        """Add up the three terms; raise DivergenceError if anything is not finite in the dtype of the data.

        ``mean`` is the mean activation (m,) of every unit, ``state`` an array of that dtype with which training goes
        on, such as the gradient.
        """
        evaluation = cls(sum(terms), *terms, float(mean.sum() / mean.size))
        finite = all(map(math.isfinite, evaluation)) and np.isfinite(state).all()
        if not finite or evaluation.loss > float(np.finfo(state.dtype).max):
            raise DivergenceError(
                f"The fit diverged in {state.dtype}: loss {evaluation.loss}, reconstruction error "
                f"{evaluation.reconstruction}, sparsity term {evaluation.sparsity}, weight decay "
                f"{evaluation.weight_decay}, or a gradient beyond the range of the dtype. Scale the data first "
                "(StandardScaler, MinMaxScaler); if they are scaled, lower learning_rate_init (solver='adam') or beta, "
                "or raise alpha."
            )
        return evaluation


def initial_parameters(arch, mean, dtype, activation, output, rho, rng):
    """Parameters to start from: one flat vector; ``mean`` (d,) is the mean row of the data.

    Weights are uniform in ±sqrt(6 / (d + m)) [1]_. The biases centre both layers on the data, in the spirit of [2]_:
    the mean row gives every unit the wanted activation, and the code with every unit at the wanted activation
    gives the mean row. So training starts with the sparsity term near its minimum and the error near the variance of
    the data, and no ReLU unit starts dead on data that are all positive.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
       2010, equation 16.
    .. [2] T. Salimans and D. P. Kingma, "Weight normalization", NeurIPS 2016, section 3.
    """
    n_weights = kernels.count_weights(arch)
    bound = np.sqrt(6 / (arch.n_features + arch.n_components))
    theta = np.zeros(n_weights + arch.n_components + arch.n_features, dtype=dtype)
    theta[:n_weights] = rng.uniform(-bound, bound, size=n_weights)
    _, W, V, b, c = kernels.unpack(theta, arch)
    with np.errstate(over="ignore", invalid="ignore"):  # the first evaluation reports what is not finite
        b[:] = activation.inverse(rho) - W @ mean
        c[:] = output.inverse(np.clip(mean, output.low, output.high)) - rho * V.sum(axis=0)
    return theta


class Objective:
    """L over the rows of X.

    Parameters
    ----------
    X : ndarray or SparseRows of shape (n, d), float32 or float64
        Never copied when C-contiguous.
    weights : ndarray of shape (n,)
        Weight of each row; only ratios matter.
    arch : Architecture
    reg : Regularization

    Attributes
    ----------
    mean : ndarray of shape (m,)
        Mean activation of the hidden units at the last evaluation.
    lowest, highest : ndarrays of shape (m,)
        Range of their activations at the last call of `evaluate`.
    """

    def __init__(self, X, weights, arch, reg):
        self.X, self.arch, self.reg = X if isinstance(X, SparseRows) else frozen(X), arch, reg
        self.weights = frozen(np.asarray(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64))
        self.lowest, self.highest = np.empty((2, arch.n_components), dtype=X.dtype)
        self.mean, self._square = np.empty((2, arch.n_components))

    def _workspace(self, rows=None, kept=0, corrupted=0):
        """Scratch memory for ``rows`` rows at a time, of which the codes of ``kept`` are kept from pass to pass."""
        d, m, dtype = self.arch.n_features, self.arch.n_components, self.X.dtype
        small = d * m <= kernels.SMALL_MODEL
        sparse = isinstance(self.X, SparseRows)
        n = len(self.X) if rows is None else rows
        largest = max(16, kernels.BLOCK_NUMBERS // (d + m)) if small else kernels.BLOCK_ROWS
        if sparse and rows is None and not small:
            largest = kernels.block_rows(d)
        n_blocks = kernels.count_batches(n, largest)
        block = min(n, kernels.count_batches(n, 32 * n_blocks) * 32)  # rows dealt out evenly, in whole vectors
        self._layout = (None, True) if small else (True, None)  # by_rows, by_features
        return kernels.Workspace(
            block=block,
            code=np.empty(kept * m, dtype),
            spare=np.empty(block * m, dtype),
            gathered=np.empty(block * d if small or sparse or rows is not None else 0, dtype),
            corrupted=np.empty(corrupted * d, dtype),
            residual=np.empty(block * d, dtype),
            delta=np.empty(block * m, dtype),
            product=np.empty((m, d), dtype),
            row=np.empty(block, dtype),
            mean=self.mean,
            unused_mean=np.zeros(m, np.float64),
            slope=np.empty(m, dtype),
            zeros=np.zeros(m, dtype),
            gradient=kernels.unpack(np.empty(kernels.count_weights(self.arch) + m + d, dtype), self.arch),
        )

    @property
    def deviation(self):
        """Standard deviation (m,) of the units' activations at the last call of `evaluate`."""
        return np.sqrt(np.maximum(self._square - self.mean**2, 0))

    def evaluate(self, theta):
        """L at theta; leaves mean, deviation and range of every unit's activation."""
        reconstruction, self.mean[:], self._square[:], self.lowest[:], self.highest[:] = self.statistics(theta)
        sparsity = kernels.sparsity_term(self.reg, self.mean, np.empty_like(self.lowest))
        parameters = kernels.unpack(theta, self.arch)
        terms = reconstruction, sparsity, kernels.weight_decay(parameters, self.arch, self.reg.alpha)
        return Evaluation.of(terms, self.mean, theta)

    def statistics(self, theta):
        """Reconstruction error; mean, mean square, lowest and highest activation (m,) of every unit."""
        arch = self.arch
        _, W, V, b, c = map(frozen, kernels.unpack(theta, arch))
        mean, square = np.zeros((2, len(b)))
        lowest, highest = np.full((2, len(b)), np.array([[np.inf], [-np.inf]]), theta.dtype)
        reconstruction, errors = 0.0, SquareErrors(self.X, V, c, arch.output)
        for block in errors.blocks(self.X):
            X, weights = self.X[block], self.weights[block]
            H = np.empty((len(X), len(b)), theta.dtype)
            encode(X, W, b, arch.activation, H)
            kernels.add_statistics(H, weights, mean, square, lowest, highest)
            with np.errstate(over="ignore", invalid="ignore"):  # the evaluation says what is not finite
                reconstruction += float(weights @ errors(X, H))
        return reconstruction, mean, square, lowest, highest


def positive(error):
    """A sum of squares from terms that cancel may come out a little below zero; NaN stays NaN."""
    return 0.0 if error < 0 else error


def full_batch_objective(X, weights, arch, reg):
    """The objective over all rows that is fastest for such rows."""
    if not is_local(X):
        return X.objective(weights, arch, reg)
    sparse = isinstance(X, SparseRows) and sparse_gram_wins(arch, X)
    return (SparseGramObjective if sparse else FullBatchObjective)(X, weights, arch, reg)


class FullBatchObjective(Objective):
    """L and its gradient over all rows at once."""

    def __init__(self, X, weights, arch, reg):
        super().__init__(X, weights, arch, reg)
        row_size = arch.n_components * X.dtype.itemsize
        sparse = isinstance(X, SparseRows)
        X_size = X.shape[0] * X.shape[1] * X.dtype.itemsize
        self._work = self._workspace(kept=kept_codes(len(X), row_size, 0 if sparse else X_size))
        self._rows = (None, X.block(), np.arange(len(X))) if sparse else (self.X, self.X, None)
        self._n_blocks = kernels.count_batches(len(X), self._work.block)
        self._visits = max(1, WORK_PER_CALL // (3 * self._work.block * arch.n_features * arch.n_components))
        self._gram = not sparse and gram_wins(arch, len(X))
        if self._gram:
            mean, variance = moments(self.X, self.weights)
            self._centre = mean, variance.sum()

    def evaluate_gradient(self, theta):
        """L at theta and dL/dtheta; the gradient is overwritten by the next evaluation."""
        if self._gram:
            parameters = kernels.unpack(theta, self.arch), self.arch, self.reg
            error, *rest = kernels.evaluate_gradient_gram(*parameters, self.X, self.weights, *self._centre, self._work)
            terms = (positive(error), *rest)
        else:
            terms = self._visit(theta, self._work, 0, 2 * self._n_blocks)
        gradient = self._work.gradient.flat
        return Evaluation.of(terms, self.mean, gradient), gradient

    def mean_activation(self, theta):
        """Mean activation (m,) of every unit: the first pass of an evaluation alone."""
        self._visit(theta, self._work, 0, self._n_blocks)
        return self.mean

    def gradient_given(self, theta, mean):
        """The terms of L and its gradient where ``mean`` is the mean activation: the second pass alone."""
        self.mean[:] = mean
        work = self._work._replace(code=self._work.code[:0])  # no codes are left from a first pass
        return self._visit(theta, work, self._n_blocks, 2 * self._n_blocks), work.gradient.flat

    def _visit(self, theta, work, first, last):
        """Go over the blocks, twice in all; the terms that these visits add."""
        terms = 0.0, 0.0, 0.0
        arguments = kernels.unpack(theta, self.arch), self.arch, self.reg, *self._rows, self.weights, work
        for visit in range(first, last, self._visits):
            part = kernels.evaluate_gradient(*arguments, visit, min(self._visits, last - visit), *self._layout)
            terms = tuple(map(sum, zip(terms, part, strict=True)))
        return terms


class SparseGramObjective(Objective):
    """As FullBatchObjective for sparse rows and identity output, with nothing of the size of X made dense.

    With G = V V' the error e = x̂ - x = V'h + c - x enters only as V e = G h + V c - V x, and

        ||e||² = ||x - c||² + h · (G h + 2 (V c - V x)),    sum w h e' = (sum w h h') V + mean c' - sum w h x',

    so an evaluation takes O(nnz m + (n + d) m²) operations. The terms cancel: what rounding leaves is larger than in a
    direct evaluation by about 1 / (1 - share of the variance explained).
    """

    def __init__(self, X, weights, arch, reg):
        super().__init__(X, weights, arch, reg)
        self._centre, variance = moments(X, self.weights)
        self._variance = variance.sum()
        self._blocks = list(sparse_blocks_of(X))
        self._kept, self._kept_codes = kept_sparse_codes(len(X), arch.n_components * X.dtype.itemsize, X), {}
        self._gradient = np.empty(kernels.count_weights(arch) + arch.n_components + arch.n_features, X.dtype)

    def evaluate_gradient(self, theta):
        """L at theta and dL/dtheta; the gradient is overwritten by the next evaluation."""
        (error, *rest), gradient = self.gradient_given(theta, self.mean_activation(theta))
        return Evaluation.of((positive(error), *rest), self.mean, gradient), gradient

    def mean_activation(self, theta):
        """Mean activation (m,) of every unit: the first pass of an evaluation, which keeps codes for the second."""
        parameters = kernels.unpack(theta, self.arch)
        WT, self.mean[:] = parameters.W.T.copy(), 0
        for block in self._blocks:
            H = self._codes(self.X[block], WT, parameters.b)
            self.mean += self.weights[block] @ H
            if block.stop <= self._kept:
                self._kept_codes[block.start] = H
        return self.mean

    def gradient_given(self, theta, mean):
        """The terms of L and its gradient where ``mean`` is the mean activation: the second pass."""
        parameters = kernels.unpack(theta, self.arch)
        slope = np.empty_like(parameters.b)
        sparsity = kernels.sparsity_term(self.reg, mean, slope)
        reconstruction = self._add_gradient(parameters, slope)
        decay = kernels.weight_decay(parameters, self.arch, self.reg.alpha)
        return (reconstruction, sparsity, decay), self._gradient

    def _codes(self, X, WT, b):
        H = X.dot(WT)
        kernels.biased(H, frozen(b), self.arch.activation, H)
        return H

    def _add_gradient(self, parameters, slope):
        """The reconstruction error; the gradient of all terms goes into ``_gradient``."""
        theta, W, V, b, c = parameters
        WT, VT, gram, shift, m = W.T.copy(), V.T.copy(), V @ V.T, V @ c, len(b)
        gradient = kernels.unpack(self._gradient, self.arch)
        reconstruction = self._variance + np.square(self._centre - c).sum()
        sums, second = np.zeros((len(c), 2 * m), V.dtype), np.zeros((m, m), V.dtype)  # of x (w h, delta)', of w h h'
        own_mean = np.zeros(m)  # that of these rows, even if ``slope`` comes from those of all
        gradient.b[:] = 0
        for block in self._blocks:
            X, w = self.X[block], self.weights[block]
            H = self._kept_codes.pop(block.start, None)
            H = self._codes(X, WT, b) if H is None else H
            own_mean += w @ H
            product, part = H @ gram, shift - X.dot(VT)
            reconstruction += float(w @ np.einsum("ij,ij->i", H, product + 2 * part, dtype=np.float64))
            weighted = w.astype(H.dtype)[:, None] * H
            delta = 2 * w.astype(H.dtype)[:, None] * (product + part)
            kernels.code_delta(self.arch.activation, H, w, slope, delta)
            gradient.b[:] += delta.sum(axis=0)
            second += H.T @ weighted
            sums += X.transposed_dot(np.hstack([weighted, delta]))
        mean = own_mean.astype(V.dtype)
        dV = 2 * (second @ V + np.outer(mean, c) - sums[:, :m].T)
        gradient.V[:] = dV
        gradient.W[:] = sums[:, m:].T + (dV if self.arch.tied else 0)
        gradient.c[:] = 2 * (mean @ V + c - self._centre)
        n_weights = kernels.count_weights(self.arch)
        kernels.add_decay(theta[:n_weights], kernels.decay_slope(self.arch, self.reg.alpha), gradient.flat)
        return reconstruction


class MiniBatchObjective(Objective):
    """L as an average over mini-batches, in each of which mean_j is taken over the batch.

    Parameters
    ----------
    batch_size : int
        A larger one than there are rows makes one batch of all rows.
    noise : float
        Standard deviation of the Gaussian noise added to the input, not to what it is compared with.
    rng : numpy.random.Generator
        For the noise.
    """

    def __init__(self, X, weights, arch, reg, *, batch_size, noise, rng):
        self.n_rows = len(X)
        self.n_batches = kernels.count_batches(len(X), batch_size)
        self._noise, self._rng = float(noise), rng if noise else None
        largest = kernels.count_batches(len(X), self.n_batches)
        self._batch_weights = np.empty(largest)
        super().__init__(X, weights, arch, reg)
        self._work = self._workspace(rows=largest, kept=largest, corrupted=largest if noise else 0)
        self._rows = X.block() if isinstance(X, SparseRows) else self.X
        self._batches = max(1, WORK_PER_CALL // (5 * largest * arch.n_features * arch.n_components))

    def adam_epoch(self, theta, state, t, order):
        """One Adam step (t + 1, t + 2, …) for every batch of rows in the given order, in place.

        Returns L with the terms as they were met on the way: the reconstruction error averaged over the batches, the
        sparsity term of the mean activation over the epoch, the weight decay at its end.
        """
        reconstruction, mean = 0.0, np.empty(self.arch.n_components)
        arguments = kernels.unpack(theta, self.arch), self.arch, self.reg, self._rows, self.weights, order, state, t
        for first in range(0, self.n_batches, self._batches):
            last = min(first + self._batches, self.n_batches)
            error, sparsity, decay = kernels.adam_epoch(
                *arguments, self._noise, self._rng, self._batch_weights, self._work, mean, first, last, *self._layout
            )
            reconstruction += error
            if not math.isfinite(reconstruction + sparsity):
                break
        return Evaluation.of((reconstruction, sparsity, decay), mean, state.second)
