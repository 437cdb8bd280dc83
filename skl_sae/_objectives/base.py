"""L over rows of data, and the statistics of the hidden units."""

import math
from typing import NamedTuple

import numpy as np

from .._crew import Crew
from .._kernels import sizes
from .._kernels.groups import cut
from .._kernels.inference import add_statistics
from .._kernels.jit import as_readonly
from .._kernels.penalties import sparsity_term
from .._kernels.products import weight_decay
from .._kernels.structs import UnitWorkspace, Workspace
from .._model import count_parameters, count_weights, unpack
from ..exceptions import DivergenceError

# Most numbers of inputs and codes that are kept between two passes over the same rows.
MOST_KEPT = 2**26

# Numbers between sums that different threads write to all the time: in one cache line they would slow each other down.
APART = 32


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
    crew : Crew, optional
        The threads to work with; by default the calling thread works alone.

    Attributes
    ----------
    mean : ndarray of shape (m,)
        Mean activation of the hidden units at the last evaluation.
    lowest, highest : ndarrays of shape (m,)
        Range of their activations at the last call of `evaluate`.
    """

    def __init__(self, rows, weights, arch, reg, crew=None):
        self.rows, self.arch, self.reg, self.crew = rows, arch, reg, Crew(1) if crew is None else crew
        self.weights = as_readonly(np.asarray(weights, dtype=np.float64) / np.sum(weights, dtype=np.float64))
        self._make_statistics()

    def _make_statistics(self):
        m = self.arch.n_components
        self.lowest, self.highest = np.empty((2, m), dtype=self.rows.dtype)
        self.mean, self._square = np.empty((2, m))

    def evaluate(self, theta):
        """Return L at theta; set the mean, deviation and range of every unit's activation."""
        reconstruction, self.mean[:], self._square[:], self.lowest[:], self.highest[:] = self.statistics(theta)
        sparsity = sparsity_term(self.reg, self.mean, np.empty_like(self.lowest))
        terms = reconstruction, sparsity, weight_decay(unpack(theta, self.arch), self.arch, self.reg.alpha)
        return Evaluation.of(terms, self.mean, theta)

    def statistics(self, theta):
        """Return reconstruction error; mean, mean square, lowest and highest activation (m,) of every unit."""
        _, W, V, b, c = map(as_readonly, unpack(theta, self.arch))
        mean, square = np.zeros((2, len(b)))
        lowest, highest = np.full((2, len(b)), np.array([[np.inf], [-np.inf]]), theta.dtype)
        reconstruction, errors_of = 0.0, self.rows.errors_of(V, c, self.arch.output)
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

    def _workspace(self, n, n_kept=math.inf, in_place=False, noisy=False):
        """Return scratch memory for batches of at most n rows, or for all n rows.

        Inputs and codes of ``n_kept`` rows, if memory allows, are kept from pass to pass. Rows ``in_place`` are not
        copied.
        """
        d, m, dtype = self.rows.shape[1], self.arch.n_components, self.rows.dtype
        n_groups, n_inputs = sizes.count_groups(n, d, m), 0 if in_place else d
        largest = max(
            cut(g + 1, rows, n_groups) - cut(g, rows, n_groups) for g in range(n_groups) for rows in (n, n - 1)
        )
        block = sizes.rows_of_block(largest, n_groups, d, m)
        room = min(largest, block if block < 32 else block + 16)  # `cut` rounds the ends of long blocks to 16 rows
        most = min(n_kept // n_groups if n_kept < n else largest, MOST_KEPT // (n_groups * (n_inputs + m)))
        kept, rows = (largest, largest) if most >= largest else (most, most + room)
        return Workspace(
            block=block,
            kept=kept,
            inputs=np.empty((n_groups, rows * n_inputs), dtype),
            corrupted=np.empty(n * d if noisy else 0, dtype),
            codes=np.empty((n_groups, rows * m), dtype),
            output_delta=np.empty((n_groups, room * d), dtype),
            code_delta=np.empty((n_groups, room * m), dtype),
            errors=np.zeros(n_groups),
            unit_parts=np.empty((n_groups, m), dtype),
            unit_sums=np.zeros((n_groups, m)),
            feature_parts=np.empty((n_groups, d + APART), dtype),
            feature_biases=np.empty((n_groups, d)),
            unit_biases=np.empty((n_groups, m)),
            gradients=np.empty((n_groups, count_weights(self.arch)), dtype),
            sparsity_grad=np.empty((n_groups, m), dtype),
            totals=np.zeros(1),
            epoch_mean=np.empty(m),
            gradient=unpack(np.empty(count_parameters(self.arch), dtype), self.arch),
        )

    def _unit_workspace(self, n, noisy=False):
        """Return scratch memory for batches of at most n rows, of which threads take pieces of the units."""
        d, m, dtype = self.rows.shape[1], self.arch.n_components, self.rows.dtype
        n_blocks = sizes.count_groups(n, d, m)
        return UnitWorkspace(
            inputs=np.empty(n * d, dtype),
            corrupted=np.empty(n * d if noisy else 0, dtype),
            codes=np.empty(m * n, dtype),
            shares=np.empty((sizes.count_pieces(m), n * d), dtype),
            output_delta=np.empty(n * d, dtype),
            code_delta=np.empty(m * n, dtype),
            errors=np.zeros(n_blocks),
            unit_parts=np.empty(m, dtype),
            unit_sums=np.zeros((1, m)),
            feature_parts=np.empty((n_blocks, d + APART), dtype),
            feature_biases=np.empty((n_blocks, d)),
            unit_biases=np.empty(m),
            sparsity_grad=np.empty(m, dtype),
            totals=np.zeros(1),
            epoch_mean=np.empty(m),
            gradient=unpack(np.empty(count_parameters(self.arch), dtype), self.arch),
        )
