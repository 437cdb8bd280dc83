"""The objective and its gradient from Gram matrices, for tied weights and identity output."""

import numpy as np

from .activations import activate, derivative
from .gemm import gemm
from .groups import add_up, add_up_biases, block_of, codes_at, place, slot_of, start_learning
from .jit import jit, jit_inline, jit_sum
from .products import add_decay, decay_factor
from .sizes import count_batches
from .team import meet, share


@jit
def code_delta_by_rows(kind, H, w, sparsity_grad, out):
    """As `code_delta`, for codes (rows, m)."""
    one, zero = out.dtype.type(1), out.dtype.type(0)
    for i in range(out.shape[0]):
        weight = out.dtype.type(w[i])
        for j in range(out.shape[1]):
            out[i, j] = (out[i, j] + weight * sparsity_grad[j]) * derivative(kind, H[i, j], one, zero)


@jit
def _activate(kind, Z, b, H):
    """Compute codes H = f(Z + b), all (m, rows)."""
    for j in range(Z.shape[0]):
        bias = b[j]
        for i in range(Z.shape[1]):
            H[j, i] = Z[j, i] + bias
    activate(kind, H)


@jit_sum
def _add_sums(H, w, sums):
    """Add the weighted sums of codes, in float64 because the terms of the error cancel, to ``sums`` (m,)."""
    for j in range(H.shape[0]):
        total = 0.0
        for i in range(H.shape[1]):
            total += np.float64(w[i]) * np.float64(H[j, i])
        sums[j] += total


@jit_sum
def _delta(kind, H, Z, product, w, slopes, shift, sums):
    """Return the share of some rows in the error of `evaluate_gram_steps`, except for the term without h.

    ``product`` holds G H and becomes what multiplies X in the gradient of the weights; Z becomes w h.
    """
    dtype = H.dtype.type
    one, zero, two = dtype(1), dtype(0), dtype(2)
    total = 0.0
    for j in range(H.shape[0]):
        gradient = 0.0
        for i in range(H.shape[1]):
            h, part = H[j, i], shift[j] - Z[j, i]
            total += np.float64(w[i] * h) * (np.float64(product[j, i]) + 2 * np.float64(part))
            delta = w[i] * (two * (product[j, i] + part) + slopes[j]) * derivative(kind, h, one, zero)
            gradient += np.float64(delta)
            Z[j, i] = w[i] * h
            product[j, i] = delta - two * Z[j, i]
        sums[j] += gradient
    return total


@jit_inline
def _encode_group(theta, arch, X, w, part, work):
    """Compute W x and the mean activations of a `Place` of the rows."""
    m, g, n_blocks = arch.n_components, part.group, count_batches(part.stop - part.start, work.block)
    if part.start == part.first:
        work.unit_sums[g] = 0
    for q in range(n_blocks):
        start, stop = block_of(part, q, n_blocks)
        at, _ = slot_of(start, stop, part, work)
        Z, H = codes_at(work.codes, g, at, stop - start, m), codes_at(work.output_delta, g, 0, stop - start, m)
        gemm(False, theta.W, True, X[start:stop], False, Z)
        _activate(arch.activation, Z, theta.b, H)
        _add_sums(H, w[start:stop], work.unit_sums[g])


@jit_inline
def _learn_group(theta, arch, reg, gram, X, w, part, work):
    """Add a `Place` of the rows to the error and the gradient of its group."""
    m, g, n_blocks = arch.n_components, part.group, count_batches(part.stop - part.start, work.block)
    dW = work.gradients[g].reshape(m, arch.n_features)
    if part.start == part.first:
        start_learning(reg, g, work)
    for q in range(n_blocks):
        start, stop = block_of(part, q, n_blocks)
        at, kept = slot_of(start, stop, part, work)
        Z, H = codes_at(work.codes, g, at, stop - start, m), codes_at(work.output_delta, g, 0, stop - start, m)
        product = codes_at(work.code_delta, g, 0, stop - start, m)
        rows, weights, more = X[start:stop], w[start:stop], start > part.first
        if not kept:
            gemm(False, theta.W, True, rows, False, Z)
        _activate(arch.activation, Z, theta.b, H)
        gemm(False, gram.G, False, H, False, product)
        work.errors[g] += _delta(
            arch.activation, H, Z, product, weights, work.sparsity_grad[g], gram.shift, work.unit_biases[g]
        )
        gemm(False, Z, True, H, more, gram.second[g])
        gemm(False, product, False, rows, more, dW)


@jit
def _finish(theta, arch, reg, gram, low, high, work):
    """Add up the gradients of units low … high, and add what does not depend on single rows."""
    W, c, gradient, n_groups = theta.W, theta.c, work.gradient, work.errors.size
    d, second = c.size, np.zeros((high - low, theta.b.size), theta.W.dtype)
    add_up(work.gradients, low * d, high * d, gradient.flat)
    for g in range(n_groups):
        second += gram.second[g, low:high]
    gemm(False, second, False, gram.twice, True, gradient.W[low:high])
    for j in range(low, high):
        mean = 0.0
        for g in range(n_groups):
            mean += work.unit_sums[g, j]
        twice = W.dtype.type(2 * mean)
        for k in range(d):
            gradient.W[j, k] += twice * c[k]
    add_decay(W[low:high].reshape(-1), decay_factor(arch, reg.alpha), gradient.W[low:high].reshape(-1))


@jit
def evaluate_gram_steps(theta, arch, reg, gram, X, w, n_rounds, phases, work, team):
    """As `evaluate_steps` for tied weights and identity output, with two products of size n d m instead of five.

    With V = W, G = W W' and e = x̂ - x = W'h + c - x: W e = G h + W c - W x, where W x is known from the encoder, and

        ||e||² = ||x - c||² + h · (G h + 2 (W c - W x)),    sum w h e' = (sum w h h') W + mean c' - sum w h x'.

    ``gram`` is a `Gram`. The terms cancel: rounding errors are larger than in `evaluate_steps` by a factor of about
    1 / (1 - share of the variance explained). ``work.errors`` get the sums of w h · (…), and the gradient of c is left
    out.
    """
    m, n_groups = arch.n_components, work.errors.size
    first_group, last_group = share(team, n_groups)
    for phase in range(phases.start, phases.stop):
        r = phase % n_rounds
        for g in range(first_group, last_group):
            if phase == 2 * n_rounds:
                _finish(theta, arch, reg, gram, g * m // n_groups, (g + 1) * m // n_groups, work)
            elif phase < n_rounds:
                _encode_group(theta, arch, X, w, place(g, w.size, n_groups, r, n_rounds), work)
            else:
                _learn_group(theta, arch, reg, gram, X, w, place(g, w.size, n_groups, r, n_rounds), work)
        if phase == 2 * n_rounds and team.me == 0:
            add_up_biases(work.unit_biases, work.gradient.b)
        if team.size > 1 and not meet(team, phase + 1):
            return phase + 1
    return phases.stop
