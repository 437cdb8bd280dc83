"""The objective, with a bound on the rounding error of every number: a running error analysis [1]_.

Values are computed more precisely than the kernels do; the bounds hold for any order of the sums, and for multiply-adds
with and without a rounding in between.

References
----------
.. [1] N. J. Higham, "Accuracy and stability of numerical algorithms", 2nd edition, SIAM 2002, sections 3.1 to 3.5.
"""

from typing import NamedTuple

import numpy as np
import reference

MORE_PRECISE = {np.float32: np.float64, np.float64: np.longdouble}


class Rounded(NamedTuple):
    """Numbers, and how far they may be off."""

    value: np.ndarray
    error: np.ndarray

    @property
    def size(self):
        """The largest absolute values that they may have."""
        return np.abs(self.value) + self.error

    def __getitem__(self, index):
        return Rounded(self.value[index], self.error[index])

    def __neg__(self):
        return Rounded(-self.value, self.error)

    def transposed(self):
        return Rounded(self.value.T, self.error.T)


class Arithmetic:
    """Operations whose results are rounded to within ``unit`` times their size."""

    def __init__(self, dtype):
        self.unit = np.finfo(dtype).eps / 2

    def gamma(self, n):
        """Bound for n roundings, relative."""
        return n * self.unit / (1 - n * self.unit)

    def rounded(self, a, n=1):
        return Rounded(a.value, a.error + self.gamma(n) * a.size)

    def plus(self, a, b):
        return self.rounded(Rounded(a.value + b.value, a.error + b.error))

    def times(self, a, b):
        return self.rounded(Rounded(a.value * b.value, np.abs(a.value) * b.error + a.error * b.size))

    def dot(self, A, B):
        """A B; its sums may be added up block by block, one rounding a term more."""
        error = np.abs(A.value) @ B.error + A.error @ B.size + self.gamma(2 * A.value.shape[-1]) * (A.size @ B.size)
        return Rounded(A.value @ B.value, error)

    def activate(self, name, z):
        """f(z) of a nondecreasing function: its values at the ends of an interval bound those inside."""
        forward = reference.FORWARD[name]
        return self.rounded(_between(forward, z), reference.ROUNDINGS[name])

    def derivative(self, name, y):
        """In terms of the value; an extremum inside an interval adds the square of its width."""
        bounded = _between(reference.DERIVATIVE[name], y)
        return self.rounded(Rounded(bounded.value, bounded.error + np.where(bounded.error > 0, y.error**2, 0)), 2)


def _between(function, x):
    """A function of a number that is known up to an error."""
    value, *ends = (function(point) for point in (x.value, x.value - x.error, x.value + x.error))
    return Rounded(value, np.max([np.abs(end - value) for end in ends], axis=0))


def exact(value):
    return Rounded(value, np.zeros_like(value))


def ones(A):
    """A row that adds up the rows of A."""
    return exact(np.ones((1, len(A.value)), A.value.dtype))


def objective(model, X, weights, dtype, gram=False):
    """The terms of the loss, and the gradient as (dW, db, dV, dc), as `Rounded`; ``gram``: by products with V V'.

    Sums for the loss and the mean activations are in float64. Mean activations are not near the ends of their range.
    """
    more = MORE_PRECISE[dtype]
    a, double = Arithmetic(dtype), Arithmetic(np.float64)
    w = double.rounded(exact((weights / weights.sum()).astype(more)[:, None]), len(X))
    X, W, V, b, c = (exact(part.astype(more)) for part in (X, model.W, model.Wd.T, model.b[None], model.c[None]))
    H = a.activate(model.activation, a.plus(a.dot(X, W.transposed()), b))
    mean = double.dot(w.transposed(), H)
    sparsity, slope = _sparsity(a, double, model, mean)
    ways = _by_gram if gram else _directly
    reconstruction, inner, dV, dc = ways(a, double, model, X, w, H, V, c, mean)
    delta = a.times(a.plus(inner, a.times(a.rounded(w), slope)), a.derivative(model.activation, H))
    decay = exact(np.array(2 * model.alpha, more))
    dW = a.plus(a.dot(delta.transposed(), X), a.times(a.rounded(decay), W))
    dV = a.plus(dV, a.times(a.rounded(decay), V))
    if model.tied:
        dW = dV = a.rounded(a.plus(dW, dV), 2)
    squares = model.alpha * (np.square(W.value).sum() + np.square(V.value).sum())
    terms = reconstruction, sparsity, double.rounded(exact(squares), W.value.size + 4)
    return terms, (dW, a.dot(ones(delta), delta)[0], dV, dc[0])


def _sparsity(a, double, model, mean):
    """The sparsity term, and its slope as the kernels round it."""
    divergence, slope = reference.PENALTY[model.penalty](model.activation)
    ends = mean.value - mean.error, mean.value + mean.error
    middle, *others = (model.beta * slope(model.rho, p) for p in (mean.value, *ends))
    change = np.max([np.abs(other - middle) for other in others], axis=0)
    parts = np.abs(np.log(model.rho / mean.value)) + model.rho + mean.value + 1
    value = model.beta * divergence(model.rho, mean.value).sum()
    error = ((np.abs(middle) + change) * mean.error).sum() + double.gamma(20) * model.beta * parts.sum()
    parts = model.beta * (model.rho / mean.value + 1 / np.maximum(1 - mean.value, model.rho))
    return Rounded(value, error), a.rounded(Rounded(middle, change + double.gamma(8) * parts))


def _directly(a, double, model, X, w, H, V, c, mean):
    """The error, and its derivatives with respect to the codes (without that of the activation), V and c."""
    Y = a.activate(model.output, a.plus(a.dot(H, V), c))
    E = a.plus(Y, -X)
    d = X.value.shape[1]
    squares = double.times(E, E)
    rows = double.dot(w.transposed(), Rounded(squares.value, squares.error + a.gamma(d + 1) * squares.size))
    r = a.times(a.rounded(a.times(Rounded(2 * w.value, 2 * w.error), E), 2), a.derivative(model.output, Y))
    error = double.dot(rows, exact(np.ones((d, 1), rows.value.dtype)))[0, 0]
    return error, a.dot(r, V.transposed()), a.dot(H.transposed(), r), a.dot(ones(r), r)


def _by_gram(a, double, model, X, w, H, V, c, mean):
    """As `_directly`, for identity output; terms cancel."""
    d = X.value.shape[1]
    product = a.dot(H, a.dot(V, V.transposed()))
    part = a.plus(a.dot(c, V.transposed()), -a.dot(X, V.transposed()))
    both = a.plus(product, Rounded(2 * part.value, 2 * part.error))
    rows = double.dot(double.times(H, both), exact(np.ones((len(V.value), 1), c.value.dtype)))
    distance = double.rounded(exact(np.square(X.value - c.value).sum(axis=1, keepdims=True)), d)
    spread = np.square(np.abs(X.value) + np.abs(c.value) + np.abs(X.value[:1])).sum(axis=1, keepdims=True)
    distance = Rounded(distance.value, distance.error + double.gamma(2 * sum(X.value.shape) + 8) * spread)
    error = double.dot(w.transposed(), double.plus(distance, rows))[0, 0]
    # The loss after a fit is a direct sum in the precision of the data.
    error = Rounded(error.value, error.error + a.gamma(d + 1) * np.abs(error.value))
    weight = a.rounded(w)
    inner = a.rounded(a.times(Rounded(2 * weight.value, 2 * weight.error), a.plus(product, part)), 2)
    weighted = a.times(weight, H)
    second, mean = a.dot(H.transposed(), weighted), a.rounded(mean)
    dV = a.plus(a.plus(a.dot(second, V), a.times(mean.transposed(), c)), -a.dot(weighted.transposed(), X))
    centre = double.dot(w.transposed(), X)
    dc = a.plus(a.plus(a.dot(mean, V), c), -a.rounded(centre))
    return error, inner, Rounded(2 * dV.value, 2 * dV.error), Rounded(2 * dc.value, 2 * dc.error)
