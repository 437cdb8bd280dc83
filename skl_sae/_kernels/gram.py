"""The objective and its gradient from Gram matrices, for tied weights and identity output."""

import numpy as np

from .activations import derivative
from .blocks import add_weighted_mean, shape_block
from .jit import jit, jit_sum
from .penalties import sparsity_term
from .products import accumulate_dot, add_bias_activate, add_decay, decay_factor, weight_decay, weights_of


@jit_sum
def _gram_rows(kind, H, Z, product, w, sparsity_grad, shift, bias_gradient):
    """Return the share of a block in the error of `evaluate_gradient_gram`, except for the term without h.

    ``product`` holds H · G and becomes what multiplies X in the gradient of the weights; Z becomes w h.
    """
    dtype = H.dtype.type
    one, zero, two = dtype(1), dtype(0), dtype(2)
    total = 0.0
    for i in range(H.shape[0]):
        row, weight = 0.0, dtype(w[i])
        for j in range(H.shape[1]):
            h, part = H[i, j], shift[j] - Z[i, j]
            row += np.float64(h) * (np.float64(product[i, j]) + 2 * np.float64(part))
            delta = weight * (two * (product[i, j] + part) + sparsity_grad[j]) * derivative(kind, h, one, zero)
            bias_gradient[j] += delta
            Z[i, j] = weight * h
            product[i, j] = delta - two * Z[i, j]
        total += w[i] * row
    return total


@jit
def evaluate_gradient_gram(theta, arch, reg, X, w, centre, variance, work):
    """As `evaluate_gradient` for tied weights and identity output, with two products of size n d m instead of five.

    With V = W, G = W W' and e = x̂ - x = W'h + c - x: W e = G h + W c - W x, where W x is the code's own product, and

        ||e||² = ||x - c||² + h · (G h + 2 (W c - W x)),    sum w h e' = (sum w h h') W + mean c' - sum w h x'.

    ``centre`` (d,) and ``variance`` are the mean row of X and the mean squared distance from it. The terms cancel:
    rounding errors are larger than in `evaluate_gradient` by about 1 / (1 - share of the variance explained).
    """
    W, b, c, dW, db, dc = theta.W, theta.b, theta.c, work.gradient.W, work.gradient.b, work.gradient.c
    n, m, block_size = X.shape[0], arch.n_components, work.block_size
    gram, second, part = np.dot(W, W.T), np.zeros((m, m), W.dtype), np.empty((m, m), W.dtype)
    shift = np.dot(W, c)
    work.mean[:] = 0
    for start in range(0, n, block_size):
        stop = min(start + block_size, n)
        kept = stop * m <= work.codes.size
        Z = shape_block(work.codes[start * m : stop * m] if kept else work.code, stop - start, m, True, None)
        H = shape_block(work.output_delta, stop - start, m, True, None)
        np.dot(X[start:stop], W.T, Z)
        add_bias_activate(Z, b, arch.activation, H)
        add_weighted_mean(H, w[start:stop], work.mean)
    sparsity = sparsity_term(reg, work.mean, work.sparsity_grad)
    reconstruction = variance
    for k in range(c.size):
        reconstruction += (centre[k] - c[k]) ** 2
    db[:] = 0
    for start in range(0, n, block_size):
        stop = min(start + block_size, n)
        kept, rows = stop * m <= work.codes.size, slice(start, stop)
        Z = shape_block(work.codes[start * m : stop * m] if kept else work.code, stop - start, m, True, None)
        H = shape_block(work.output_delta, stop - start, m, True, None)
        product = shape_block(work.code_delta, stop - start, m, True, None)
        if not kept:
            np.dot(X[rows], W.T, Z)
        add_bias_activate(Z, b, arch.activation, H)
        np.dot(H, gram, product)
        reconstruction += _gram_rows(arch.activation, H, Z, product, w[rows], work.sparsity_grad, shift, db)
        accumulate_dot(H.T, Z, second, part, False)
        accumulate_dot(product.T, X[rows], dW, work.product, start == 0)
    np.dot(second, W, work.product)
    two = W.dtype.type(2)
    for k in range(c.size):
        dc[k] = 2 * (c[k] - centre[k])
    for j in range(m):
        mean = W.dtype.type(work.mean[j])
        for k in range(c.size):
            dW[j, k] += two * (work.product[j, k] + mean * c[k])
            dc[k] += two * mean * W[j, k]
    add_decay(weights_of(theta), decay_factor(arch, reg.alpha), work.gradient.flat)
    return reconstruction, sparsity, weight_decay(theta, arch, reg.alpha)
