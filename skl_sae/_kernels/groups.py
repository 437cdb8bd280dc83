"""Groups of rows: their codes, their gradients, and the sums of these.

Rows are divided into groups, on each of which one thread works at a time, block by block. A group has sums of its own,
which are added up in the order of the groups. The shapes fix groups and blocks, so the bits do not depend on how many
threads there are.

    encode   groups    codes and their weighted sums
    learn    groups    slopes of the penalty, reconstructions, errors, and the gradient of the group
    add up   weights   the gradient

In a mini-batch, the rows and codes of a group stay in the cache of one processor from the first phase to the second.
"""

from numba.extending import register_jitable

from .blocks import code_delta, corrupt_block, decode_block, encode_block, load_block
from .gemm import gemm
from .jit import jit, jit_inline
from .penalties import penalty_term
from .sizes import count_batches
from .structs import Place


@register_jitable
def cut(q, n, n_parts):
    """Return where part q of n begins: parts are equal, but long ones, except the last, are rounded to cache lines."""
    even = q * n // n_parts
    return (even + 8) // 16 * 16 if q < n_parts and n >= 32 * n_parts else even


@register_jitable
def place(g, n, n_groups, r, n_rounds):
    """Return the `Place` of round r of group g, where n rows make ``n_groups`` groups."""
    first, last = cut(g, n, n_groups), cut(g + 1, n, n_groups)
    return Place(g, first, first + cut(r, last - first, n_rounds), first + cut(r + 1, last - first, n_rounds))


@register_jitable
def block_of(part, q, n_blocks):
    """Return where block q of a `Place` begins and ends."""
    n = part.stop - part.start
    return part.start + cut(q, n, n_blocks), part.start + cut(q + 1, n, n_blocks)


@register_jitable
def slot_of(start, stop, part, work):
    """Return where the memory of a group has rows start … stop, and whether they are kept there."""
    kept = stop - part.first <= work.kept
    return (start - part.first if kept else work.kept), kept


@jit_inline
def _load(rows, start, stop, at, there, g, work):
    d = work.feature_biases.shape[1]
    return load_block(rows, start, stop, work.inputs[g, at * d : (at + stop - start) * d], there)


@jit_inline
def codes_at(buffer, g, at, n, m):
    """Return the codes (m, n) from row ``at`` of the memory of group g."""
    return buffer[g, at * m : (at + n) * m].reshape(m, n)


@jit
def add(parts, sums):
    """sums += parts."""
    for j in range(sums.size):
        sums[j] += parts[j]


@jit_inline
def encode_group(theta, arch, rows, w, noise, part, work):
    """Encode a `Place` of the rows."""
    d, m, g = arch.n_features, arch.n_components, part.group
    n_blocks = count_batches(part.stop - part.start, work.block)
    if part.start == part.first:
        work.unit_sums[g] = 0
    for q in range(n_blocks):
        start, stop = block_of(part, q, n_blocks)
        at, _ = slot_of(start, stop, part, work)
        X = _load(rows, start, stop, at, False, g, work)
        inputs = corrupt_block(X, work.corrupted[start * d : stop * d], noise)
        H = codes_at(work.codes, g, at, stop - start, m)
        encode_block(theta, arch.activation, inputs, w[start:stop], H, work.unit_parts[g])
        add(work.unit_parts[g], work.unit_sums[g])


@jit_inline
def slope_of_mean(reg, mean):
    """Return the derivative of the sparsity term with respect to a mean activation."""
    _, slope = penalty_term(reg.penalty, reg.rho, mean)
    return reg.beta * slope


@jit
def start_learning(reg, g, work):
    """Set the sums of group g to zero; compute the slopes of the penalty at the mean activations of all groups."""
    work.errors[g] = 0
    work.feature_biases[g] = 0
    work.unit_biases[g] = 0
    for j in range(work.unit_sums.shape[1]):
        mean = 0.0
        for other in range(work.unit_sums.shape[0]):
            mean += work.unit_sums[other, j]
        work.sparsity_grad[g, j] = slope_of_mean(reg, mean)


@jit_inline
def learn_group(theta, arch, reg, rows, w, noise, part, work):
    """Add a `Place` of the rows to the error and the gradient of its group."""
    d, m, g = arch.n_features, arch.n_components, part.group
    n_blocks = count_batches(part.stop - part.start, work.block)
    size, n_weights = m * d, work.gradients.shape[1]
    dW, dV = work.gradients[g, :size].reshape(m, d), work.gradients[g, n_weights - size :].reshape(m, d)
    if part.start == part.first:
        start_learning(reg, g, work)
    for q in range(n_blocks):
        start, stop = block_of(part, q, n_blocks)
        at, kept = slot_of(start, stop, part, work)
        X, H = _load(rows, start, stop, at, kept, g, work), codes_at(work.codes, g, at, stop - start, m)
        inputs, weights = X, w[start:stop]
        if noise is not None:
            inputs = work.corrupted[start * d : stop * d].reshape(stop - start, d)
        if not kept:
            encode_block(theta, arch.activation, inputs, weights, H, work.unit_parts[g])
        residual = work.output_delta[g, : (stop - start) * d].reshape(stop - start, d)
        parts = work.feature_parts[g, :d]
        work.errors[g] += decode_block(theta, arch.output, H, X, weights, residual, parts)
        add(parts, work.feature_biases[g])
        delta = codes_at(work.code_delta, g, 0, stop - start, m)
        gemm(False, theta.V, True, residual, False, delta)
        code_delta(arch.activation, H, weights, work.sparsity_grad[g], delta, work.unit_biases[g])
        gemm(False, H, False, residual, start > part.first, dV)
        gemm(False, delta, False, inputs, start > part.first or arch.tied, dW)


@jit
def add_up(gradients, low, high, out):
    """Add up the gradients of all groups with respect to weights low … high."""
    for i in range(low, high):
        out[i] = gradients[0, i]
    for g in range(1, gradients.shape[0]):
        for i in range(low, high):
            out[i] += gradients[g, i]


@jit
def add_up_biases(sums, out):
    """Add up the gradients of all groups (G, …) with respect to biases, in float64."""
    for j in range(out.size):
        total = 0.0
        for g in range(sums.shape[0]):
            total += sums[g, j]
        out[j] = total
