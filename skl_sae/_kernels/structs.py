"""What kernels take as arguments: tuples of named arrays and numbers."""

from typing import NamedTuple

import numpy as np


class Architecture(NamedTuple):
    """What fixes the layout of the parameters and the shape of the functions."""

    n_features: int
    n_components: int
    tied: bool
    activation: int
    output: int


class Regularization(NamedTuple):
    """The terms of the objective beside the reconstruction error."""

    penalty: int
    rho: float
    beta: float
    alpha: float


class Parameters(NamedTuple):
    """All weights and biases, or the gradient with respect to them: one flat vector, and its parts as views."""

    flat: np.ndarray
    W: np.ndarray  # (m, d)
    V: np.ndarray  # (m, d), tied: W itself
    b: np.ndarray  # (m,)
    c: np.ndarray  # (d,)


class SparseBlock(NamedTuple):
    """Rows of a sparse matrix (CSR), to each of which the same offset is added."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    offset: np.ndarray  # (d,)


class AllRows(NamedTuple):
    """All rows of a dense X in their order."""

    X: np.ndarray  # (n, d)


class PickedRows(NamedTuple):
    """The rows of X, dense or a `SparseBlock`, that ``order`` picks."""

    X: np.ndarray | SparseBlock
    order: np.ndarray


class Noise(NamedTuple):
    """Gaussian noise that is added to the inputs."""

    scale: float
    rng: np.random.Generator


class Span(NamedTuple):
    """The part of the work that a call does: steps or batches from ``start`` up to ``stop``."""

    start: int
    stop: int


class Epoch(NamedTuple):
    """The rows of a pass over the data, their weights, and the order in which the pass meets them."""

    X: np.ndarray | SparseBlock
    w: np.ndarray  # (n,)
    order: np.ndarray  # (n,)


class AdamState(NamedTuple):
    """Running averages of the gradient and of its square, and the settings of the update rule."""

    exp_avg: np.ndarray
    exp_avg_sq: np.ndarray
    n_steps: int
    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float


class Workspace(NamedTuple):
    """Scratch memory of an evaluation: flat buffers that are shaped to fit a block of rows."""

    block_size: int  # rows worked on at a time
    codes: np.ndarray  # (kept * m,) codes kept for the second pass; those of later rows are computed again
    code: np.ndarray  # (block * m,) codes that are not kept
    gathered: np.ndarray  # (block * d,) rows picked from X, or transposed
    corrupted: np.ndarray  # (batch * d,) inputs with noise, or nothing
    output_delta: np.ndarray  # (block * d,)
    code_delta: np.ndarray  # (block * m,)
    product: np.ndarray  # (m, d)
    row: np.ndarray  # (block,)
    batch_weights: np.ndarray  # (batch,)
    mean: np.ndarray  # (m,) float64
    epoch_mean: np.ndarray  # (m,) float64
    unused_mean: np.ndarray  # (m,) float64
    sparsity_grad: np.ndarray  # (m,)
    zeros: np.ndarray  # (m,)
    gradient: Parameters
