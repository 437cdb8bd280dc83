"""L over rows of data, and the statistics of the hidden units."""

import math
from typing import NamedTuple

import numpy as np

from .._kernels import sizes
from .._kernels.inference import add_statistics
from .._kernels.jit import as_readonly
from .._kernels.penalties import sparsity_term
from .._kernels.products import weight_decay
from .._kernels.structs import Workspace
from .._model import count_parameters, unpack
from ..exceptions import DivergenceError

# Multiply-adds in one call of compiled code, a fraction of a second at most: an interrupt waits for the end of a call.
WORK_PER_CALL = 2**31


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

        ``mean`` is the mean activation (m,) of every unit, ``state`` an array of that dtype that training continues
        from, such as the gradient.
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


def clip_at_zero(error):
    """Return a sum of squares that cancelling terms may leave slightly below zero; NaN stays NaN."""
    return 0.0 if error < 0 else error


class Objective:
    """L over rows.

    Parameters
    ----------
    rows : LocalRows of shape (n, d)
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

    def __init__(self, rows, weights, arch, reg):
        self.rows, self.arch, self.reg = rows, arch, reg
        self.weights = as_readonly(np.asarray(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64))
        self._make_statistics()

    def _make_statistics(self):
        m = self.arch.n_components
        self.lowest, self.highest = np.empty((2, m), dtype=self.rows.dtype)
        self.mean, self._square = np.empty((2, m))

    def evaluate(self, theta):
        """Return L at theta; leave mean, deviation and range of every unit's activation."""
        reconstruction, self.mean[:], self._square[:], self.lowest[:], self.highest[:] = self.statistics(theta)
        sparsity = sparsity_term(self.reg, self.mean, np.empty_like(self.lowest))
        terms = reconstruction, sparsity, weight_decay(unpack(theta, self.arch), self.arch, self.reg.alpha)
        return Evaluation.of(terms, self.mean, theta)

    def statistics(self, theta):
        """Return reconstruction error; mean, mean square, lowest and highest activation (m,) of every unit."""
        _, W, V, b, c = map(as_readonly, unpack(theta, self.arch))
        mean, square = np.zeros((2, len(b)))
        lowest, highest = np.full((2, len(b)), np.array([[np.inf], [-np.inf]]), theta.dtype)
        reconstruction, errors_of = 0.0, self.rows.squared_errors(V, c, self.arch.output)
        for block in errors_of.blocks(self.rows):
            rows, weights = self.rows[block], self.weights[block]
            H = np.empty((len(rows), len(b)), theta.dtype)
            rows.encode(W, b, self.arch.activation, H)
            add_statistics(H, weights, mean, square, lowest, highest)
            with np.errstate(over="ignore", invalid="ignore"):  # the evaluation reports what is not finite
                reconstruction += float(weights @ errors_of(rows, H))
        return reconstruction, mean, square, lowest, highest

    @property
    def deviation(self):
        """Standard deviation (m,) of the units' activations at the last call of `evaluate`."""
        return np.sqrt(np.maximum(self._square - self.mean**2, 0))

    def _describe_layout(self):
        by_rows, _ = self._layout
        return "by rows, products by BLAS" if by_rows else "by features, own loops"

    def _workspace(self, batch=None, kept=0, corrupted=0):
        """Return scratch memory for all rows, or for batches of at most ``batch`` rows.

        The codes of ``kept`` rows are kept from pass to pass; ``corrupted`` rows get noise. Sets ``_layout``, the
        arguments ``by_rows`` and ``by_features`` of the kernels.
        """
        (n, d), m, dtype = self.rows.shape, self.arch.n_components, self.rows.dtype
        small, whole = sizes.is_small(d, m), batch is None
        n = n if whole else batch
        largest = max(16, sizes.BLOCK_NUMBERS // (d + m)) if small else sizes.BLOCK_ROWS
        if whole and not small and not self.rows.contiguous:
            largest = sizes.block_rows(d)
        n_blocks = sizes.count_batches(n, largest)
        block = min(n, sizes.count_batches(n, 32 * n_blocks) * 32)  # rows dealt out evenly, in whole vectors
        self._layout = (None, True) if small else (True, None)
        in_place = whole and not small and self.rows.contiguous
        return Workspace(
            block_size=block,
            codes=np.empty(kept * m, dtype),
            code=np.empty(block * m, dtype),
            gathered=np.empty(0 if in_place else block * d, dtype),
            corrupted=np.empty(corrupted * d, dtype),
            output_delta=np.empty(block * d, dtype),
            code_delta=np.empty(block * m, dtype),
            product=np.empty((m, d), dtype),
            row=np.empty(block, dtype),
            batch_weights=np.empty(0 if whole else batch),
            mean=self.mean,
            epoch_mean=np.empty(m),
            unused_mean=np.zeros(m),
            sparsity_grad=np.empty(m, dtype),
            zeros=np.zeros(m, dtype),
            gradient=unpack(np.empty(count_parameters(self.arch), dtype), self.arch),
        )
