"""The objective and its gradient over rows of X, in two passes over blocks."""

from .blocks import backward_block, corrupt_block, decode_block, encode_block, load_block, shape_block
from .jit import jit, jit_inline
from .penalties import sparsity_term
from .products import add_decay, decay_factor, weight_decay, weights_of
from .sizes import count_batches


@jit_inline
def both_passes(theta, arch, reg, rows, w, noise, work, steps, by_rows, by_features):
    """Return reconstruction error and sparsity term of rows of X; their gradient goes into ``work.gradient``.

    Every block is visited twice, because the gradient of the sparsity term needs the codes of all rows. A call takes
    the given ``steps`` (a `Span`) of these two passes; the terms are those of these steps.
    """
    n, m, block_size = w.size, arch.n_components, work.block_size
    n_blocks = count_batches(n, block_size)
    if steps.start == 0:
        work.mean[:] = 0
    reconstruction, sparsity = 0.0, 0.0
    for step in range(steps.start, min(steps.stop, 2 * n_blocks)):
        first, start = step < n_blocks, step % n_blocks * block_size
        stop = min(start + block_size, n)
        kept, weights = stop * m <= work.codes.size, w[start:stop]
        H = shape_block(work.codes[start * m : stop * m] if kept else work.code, stop - start, m, by_rows, by_features)
        already_loaded = n_blocks == 1 and step > steps.start
        target = load_block(rows, start, stop, already_loaded, work, by_rows, by_features)
        inputs = corrupt_block(target, start * arch.n_features, noise, not first, work)
        if step == n_blocks:
            sparsity = sparsity_term(reg, work.mean, work.sparsity_grad)
        if first or not kept:
            mean = work.mean if first else work.unused_mean
            encode_block(theta, arch.activation, inputs, weights, H, mean, work, by_rows, by_features)
        if not first:
            overwrite = start == 0
            residual = shape_block(work.output_delta, stop - start, arch.n_features, by_rows, by_features)
            reconstruction += decode_block(
                theta, arch.output, H, target, weights, residual, overwrite, work, by_rows, by_features
            )
            backward_block(theta, arch, inputs, H, weights, residual, overwrite, work, by_rows, by_features)
    return reconstruction, sparsity


@jit
def evaluate_gradient(theta, arch, reg, rows, w, work, steps, by_rows, by_features):
    """Return the three terms of L over all rows of X; the gradient goes into ``work.gradient``.

    A call takes the given ``steps`` of the work (see `both_passes`); the terms of all calls add up to those of L.
    """
    reconstruction, sparsity = both_passes(theta, arch, reg, rows, w, None, work, steps, by_rows, by_features)
    decay = 0.0
    if steps.stop >= 2 * count_batches(w.size, work.block_size):
        add_decay(weights_of(theta), decay_factor(arch, reg.alpha), work.gradient.flat)
        decay = weight_decay(theta, arch, reg.alpha)
    return reconstruction, sparsity, decay
