"""The objective of a sparse autoencoder over rows of data, and its gradient.

    L(theta) = sum_i w_i ||x_i - x̂_i||² + beta sum_j KL(rho || mean_j) + alpha (||W||² + ||V||²)

with weights w_i that sum to one (1/N each, unless the rows are weighted) and mean_j = sum_i w_i h_ij. The first and
the second term see the data only through sums over rows: an evaluation is two passes over blocks of rows, one that adds
up the mean activations and one that adds up the error and the gradient.
"""

import math
from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from . import _kernels as kernels
from .exceptions import DivergenceError


def kept_codes(n, row_size, X_size):
    """Of how many rows the codes (``row_size`` bytes each) are kept between the two passes of an evaluation.

    Those of the others are computed twice, one product in five more, which bounds the memory: what SciPy's L-BFGS-B
    takes for itself, 25 float64 vectors as long as the parameters, is much already.
    """
    return min(n, max(6 * 2**20, X_size // 32) // row_size)


def gram_wins(arch, n):
    """Whether `evaluate_gradient_gram` applies and takes less arithmetic than `evaluate_gradient`."""
    d, m = arch.n_features, arch.n_components
    return arch.tied and arch.output == kernels.IDENTITY and d * m > kernels.SMALL_MODEL and 2 * m <= min(n, d)


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


def frozen(array):
    """``array`` as a read-only, aligned, C-contiguous view (a copy only where it is not): one type for the compiler."""
    view = np.require(array, requirements=["C", "A"]).view()
    view.flags.writeable = False
    return view


def centre(X, weights):
    """Weighted mean row of X (d,) and the error of reconstructing every row by it, the variance of the data."""
    mean = np.empty(X.shape[1])
    return mean, kernels.moments(frozen(X), frozen(weights / np.sum(weights)), mean)


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
    X : ndarray of shape (n, d), float32 or float64
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
        self.X, self.arch, self.reg = frozen(X), arch, reg
        self.weights = frozen(np.asarray(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64))
        self.lowest, self.highest = np.empty((2, arch.n_components), dtype=X.dtype)
        self.mean, self._square = np.empty((2, arch.n_components))

    def _workspace(self, rows=None, kept=0, corrupted=0):
        """Scratch memory for ``rows`` rows at a time, of which the codes of ``kept`` are kept from pass to pass."""
        d, m, dtype = self.arch.n_features, self.arch.n_components, self.X.dtype
        small = d * m <= kernels.SMALL_MODEL
        n = len(self.X) if rows is None else rows
        n_blocks = kernels.count_batches(n, max(16, kernels.BLOCK_NUMBERS // (d + m)) if small else kernels.BLOCK_ROWS)
        block = min(n, kernels.count_batches(n, 32 * n_blocks) * 32)  # rows dealt out evenly, in whole vectors
        self._layout = (None, True) if small else (True, None)  # by_rows, by_features
        return kernels.Workspace(
            block=block,
            code=np.empty(kept * m, dtype),
            spare=np.empty(block * m, dtype),
            gathered=np.empty(block * d if small or rows is not None else 0, dtype),
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
        arch = self.arch
        parameters = kernels.unpack(theta, arch)
        _, W, V, b, c = map(frozen, parameters)
        self.mean[:], self._square[:], self.lowest[:], self.highest[:] = 0, 0, np.inf, -np.inf
        reconstruction, rows = 0.0, min(len(self.X), kernels.BLOCK_ROWS)
        codes, outputs = np.empty((rows, len(b)), theta.dtype), np.empty((rows, len(c)), theta.dtype)
        for block in gen_batches(len(self.X), kernels.BLOCK_ROWS):
            X, weights = self.X[block], self.weights[block]
            H, Y = codes[: len(X)], outputs[: len(X)]
            kernels.encode(X, W, b, arch.activation, H)
            kernels.decode(frozen(H), V, c, arch.output, Y)
            kernels.add_statistics(H, weights, self.mean, self._square, self.lowest, self.highest)
            reconstruction += kernels.squared_error(X, Y, weights)
        sparsity = kernels.sparsity_term(self.reg, self.mean, np.empty_like(self.lowest))
        terms = reconstruction, sparsity, kernels.weight_decay(parameters, arch, self.reg.alpha)
        return Evaluation.of(terms, self.mean, theta)


class FullBatchObjective(Objective):
    """L and its gradient over all rows at once."""

    def __init__(self, X, weights, arch, reg):
        super().__init__(X, weights, arch, reg)
        row_size = arch.n_components * X.itemsize
        self._work = self._workspace(kept=kept_codes(len(X), row_size, X.nbytes))
        self._gram = gram_wins(arch, len(X))
        if self._gram:
            self._centre = centre(self.X, self.weights)

    def evaluate_gradient(self, theta):
        """L at theta and dL/dtheta; the gradient is overwritten by the next evaluation."""
        arguments = kernels.unpack(theta, self.arch), self.arch, self.reg, self.X, self.weights
        if self._gram:
            terms = kernels.evaluate_gradient_gram(*arguments, *self._centre, self._work)
        else:
            terms = kernels.evaluate_gradient(*arguments, self._work, *self._layout)
        gradient = self._work.gradient.flat
        return Evaluation.of(terms, self.mean, gradient), gradient


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

    def adam_epoch(self, theta, state, t, order):
        """One Adam step (t + 1, t + 2, …) for every batch of rows in the given order, in place.

        Returns L with the terms as they were met on the way: the reconstruction error averaged over the batches, the
        sparsity term of the mean activation over the epoch, the weight decay at its end.
        """
        mean = np.empty(self.arch.n_components)
        terms = kernels.adam_epoch(
            kernels.unpack(theta, self.arch), self.arch, self.reg, self.X, self.weights, order, state, t, self._noise,
            self._rng, self._batch_weights, self._work, mean, *self._layout,
        )  # fmt: skip
        return Evaluation.of(terms, mean, state.second)
