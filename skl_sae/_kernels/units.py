"""The gradient of a mini-batch, for models with more weights than the batch has inputs and codes.

Threads share out pieces of the units, because weights cost most to move: those of a piece stay in the cache of one
processor from step to step. A reconstruction is a sum over the pieces.

    pick     rows    inputs
    encode   units   codes, slopes of the penalty, shares in the reconstructions
    compare  rows    reconstructions, errors and their derivatives
    learn    units   the gradient

The shapes fix pieces and blocks of rows, so the bits do not depend on how many threads there are.
"""

from .blocks import activate_units, code_delta, copy, corrupt_block, load_block, output_delta
from .gemm import gemm
from .groups import add, cut, slope_of_mean
from .jit import jit, jit_inline


@jit_inline
def pick_rows(rows, noise, q, n, d, work):
    """Copy block q of a batch of n rows to the workspace, and add noise."""
    start, stop = cut(q, n, work.errors.size), cut(q + 1, n, work.errors.size)
    X = load_block(rows, start, stop, work.inputs[start * d : stop * d], False)
    corrupt_block(X, work.corrupted[start * d : stop * d], noise)


@jit_inline
def encode_units(theta, arch, reg, X, w, low, high, p, work):
    """Encode a batch X (n, d) with units low … high, and compute their share in the reconstructions."""
    n, d = X.shape
    H, sums = work.codes[low * n : high * n].reshape(high - low, n), work.unit_parts[low:high]
    gemm(False, theta.W[low:high], True, X, False, H)
    activate_units(arch.activation, theta.b[low:high], w, H, sums)
    for j in range(low, high):
        work.unit_sums[0, j] = work.unit_parts[j]
        work.sparsity_grad[j] = slope_of_mean(reg, work.unit_sums[0, j])
    gemm(True, H, False, theta.V[low:high], False, work.shares[p, : n * d].reshape(n, d))


@jit
def _add_up_shares(shares, c, start, stop, out):
    """Add up the shares of all pieces in the reconstructions of rows start … stop, before the activation."""
    d = c.size
    for i in range(out.shape[0]):
        row = out[i]
        first = shares[0, (start + i) * d : (start + i + 1) * d]
        for k in range(d):
            row[k] = c[k] + first[k]
        for p in range(1, shares.shape[0]):
            other = shares[p, (start + i) * d : (start + i + 1) * d]
            for k in range(d):
                row[k] += other[k]


@jit_inline
def compare_rows(theta, arch, w, q, work):
    """Compute reconstructions and errors of block q of a batch, and the derivatives of these."""
    n, d = w.size, arch.n_features
    start, stop = cut(q, n, work.errors.size), cut(q + 1, n, work.errors.size)
    X = work.inputs[start * d : stop * d].reshape(stop - start, d)
    residual, parts = work.output_delta[start * d : stop * d].reshape(stop - start, d), work.feature_parts[q, :d]
    _add_up_shares(work.shares, theta.c, start, stop, residual)
    work.errors[q] = output_delta(arch.output, X, w[start:stop], residual, parts)
    work.feature_biases[q] = 0
    add(parts, work.feature_biases[q])


@jit_inline
def learn_units(theta, arch, X, w, low, high, work):
    """Compute the gradient of units low … high for a batch X. A tied gradient gets both parts in the same memory."""
    n, d = X.shape
    residual = work.output_delta[: n * d].reshape(n, d)
    H, delta = work.codes[low * n : high * n].reshape(high - low, n), work.code_delta[low * n : high * n]
    delta = delta.reshape(high - low, n)
    gemm(False, theta.V[low:high], True, residual, False, delta)
    work.unit_biases[low:high] = 0
    code_delta(arch.activation, H, w, work.sparsity_grad[low:high], delta, work.unit_biases[low:high])
    copy(work.unit_biases[low:high], work.gradient.b[low:high])
    gemm(False, H, False, residual, False, work.gradient.V[low:high])
    gemm(False, delta, False, X, arch.tied, work.gradient.W[low:high])
