"""What kernels take as arguments: tuples of named arrays and numbers."""

from typing import NamedTuple

import numpy as np


class Architecture(NamedTuple):
    """What fixes the layout of the parameters, and the numbers of the activation functions."""

    n_features: int
    n_components: int
    tied: bool
    activation: int
    output: int


class Regularization(NamedTuple):
    """The settings of the sparsity term and of the weight decay."""

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
    """The phases or blocks that a call works on, from ``start`` up to, but not including, ``stop``."""

    start: int
    stop: int


class Place(NamedTuple):
    """Rows ``start`` … ``stop``, which belong to one group."""

    group: int
    first: int  # the first row of the group
    start: int
    stop: int


class Epoch(NamedTuple):
    """The rows of a pass over the data, and the order in which the pass meets them, batch by batch."""

    X: np.ndarray | SparseBlock
    order: np.ndarray  # (n,)
    w: np.ndarray  # (n,) weights in that order; those of a batch sum to one
    shares: np.ndarray  # (n_batches,) the fraction of all row weights that each batch has


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
    """Scratch memory for rows that are divided into G groups, on each of which one thread works at a time.

    The first ``kept`` rows of a group keep their inputs and codes from pass to pass. If the group has more rows, room
    for one block follows.
    """

    block: int  # rows at a time
    kept: int
    inputs: np.ndarray  # (G, rows * d) rows picked from X
    corrupted: np.ndarray  # (n * d,) noise, then inputs with noise; or nothing
    codes: np.ndarray  # (G, rows * m)
    output_delta: np.ndarray  # (G, block * d)
    code_delta: np.ndarray  # (G, block * m)
    errors: np.ndarray  # (G,) float64
    unit_parts: np.ndarray  # (G, m) weighted sums of the activations of a block
    unit_sums: np.ndarray  # (G, m) float64, the same for whole groups
    feature_parts: np.ndarray  # (G, at least d) sums of the output's delta
    feature_biases: np.ndarray  # (G, d) float64, gradients of c
    unit_biases: np.ndarray  # (G, m) float64, gradients of b
    gradients: np.ndarray  # (G, weights)
    sparsity_grad: np.ndarray  # (G, m) the same in all groups
    totals: np.ndarray  # (1,) float64, the reconstruction error of an epoch
    epoch_mean: np.ndarray  # (m,) float64
    gradient: Parameters  # the sum of all groups


class UnitWorkspace(NamedTuple):
    """Scratch memory for a batch of n rows in Q blocks, with the units in P pieces that threads share out."""

    inputs: np.ndarray  # (n * d,) rows picked from X
    corrupted: np.ndarray  # (n * d,) noise, then inputs with noise; or nothing
    codes: np.ndarray  # (m * n,)
    shares: np.ndarray  # (P, n * d) what each piece adds to the reconstructions
    output_delta: np.ndarray  # (n * d,)
    code_delta: np.ndarray  # (m * n,)
    errors: np.ndarray  # (Q,) float64
    unit_parts: np.ndarray  # (m,) weighted sums of the activations
    unit_sums: np.ndarray  # (1, m) float64, the same
    feature_parts: np.ndarray  # (Q, at least d) sums of the output's delta
    feature_biases: np.ndarray  # (Q, d) float64, the same
    unit_biases: np.ndarray  # (m,) float64, gradient of b
    sparsity_grad: np.ndarray  # (m,)
    totals: np.ndarray  # (1,) float64, the reconstruction error of an epoch
    epoch_mean: np.ndarray  # (m,) float64
    gradient: Parameters


class Gram(NamedTuple):
    """What an evaluation from Gram matrices computes from the tied weights W in advance, and its sums."""

    G: np.ndarray  # (m, m) W W'
    shift: np.ndarray  # (m,) W c
    twice: np.ndarray  # (m, d) 2 W
    second: np.ndarray  # (groups, m, m) sums of w h h'


class Search(NamedTuple):
    """Scratch memory for finding the largest numbers of a row of m."""

    peaks: np.ndarray  # (G,) the highest numbers of groups of the row
    groups: np.ndarray  # (G + 1,) int64
    values: np.ndarray  # (m + 1,)
    places: np.ndarray  # (m + 1,) int32
    mask: np.ndarray  # (m / 64,) uint64
    cell: np.ndarray  # (1,)
    guesses: np.ndarray  # (2,) int64, thresholds of the previous row


class TopKModel(NamedTuple):
    """What a top-k autoencoder has besides its parameters. It sees rows as (x - centre) * factor."""

    n_features: int
    n_components: int
    k: int
    by_batch: bool  # whether k is an average over the rows of a batch
    centre: np.ndarray  # (d,)
    factor: float


class TopKWorkspace(NamedTuple):
    """Scratch memory for a batch of n rows in Q blocks; a row has up to ``room`` active units."""

    inputs: np.ndarray  # (n * d,) rows as the model sees them
    activations: np.ndarray  # (n * m,) of all units, before the selection
    delta: np.ndarray  # (n * d,) errors, then the derivatives with respect to the reconstructions
    units: np.ndarray  # (n, room) int32, the active units of a row
    values: np.ndarray  # (n, room) their activations
    slopes: np.ndarray  # (n, room) the derivatives with respect to these
    counts: np.ndarray  # (n,) int64, how many units of a row are active
    unit_counts: np.ndarray  # (Q, at least m) int64, how often a unit is active in a block
    errors: np.ndarray  # (Q,) float64
    feature_parts: np.ndarray  # (Q, at least d) sums of delta
    peaks: np.ndarray  # (n, G) maxima of groups of activations; these four only where a batch has one limit
    limit: np.ndarray  # (1,) the lowest activation that counts as active
    ties: np.ndarray  # (Q,) int64, how many more may equal it, from each block on
    guess: np.ndarray  # (1,) int64, the limit of the previous batch
    rows: np.ndarray  # (n * room,) int32, the code by units: rows,
    unit_values: np.ndarray  # (n * room,) activations,
    unit_slopes: np.ndarray  # (n * room,) and derivatives
    totals: np.ndarray  # (2,) float64, the error of an epoch and its active units per row
    fired: np.ndarray  # (m,) int64, how often units were active in the epoch
    silent: np.ndarray  # (m,) int64, for how many batches units have not been active


class TopKNetwork(NamedTuple):
    """Fitted parameters of a top-k autoencoder, read-only, for rows as the user gives them."""

    W: np.ndarray  # (m, d)
    b: np.ndarray  # (m,)
    V: np.ndarray  # (m, d)
    c: np.ndarray  # (d,)
    k: int
    threshold: float  # what an activation has to reach, instead of being among the k largest of its row; NaN if none
