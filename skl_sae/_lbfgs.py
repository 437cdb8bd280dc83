"""The parts of L-BFGS: what it remembers of the curvature, and its line search.

Written out here because SciPy's L-BFGS-B gives its memory neither out nor in, so that no fit could go on where another
one ended, and keeps float64 copies of float32 parameters.
"""

from typing import Any, NamedTuple

import numpy as np

from ._kernels import add_multiple, dot

# Pairs that are remembered, as in SciPy's L-BFGS-B.
MEMORY = 10

# Wolfe's conditions: a step has to lower the loss by this part of what the slope promises, and to leave at most this
# part of the slope.
DECREASE, SLOPE = 1e-4, 0.9

# Evaluations of a line search, as in SciPy's L-BFGS-B.
MAX_TRIALS = 20


class Curvature:
    """Steps and the changes of the gradient along them, newest last, which stand for the inverse Hessian [1]_.

    References
    ----------
    .. [1] J. Nocedal and S. J. Wright, "Numerical optimization", 2nd edition, Springer 2006, algorithm 7.4.
    """

    def __init__(self, pairs=()):
        self.pairs = list(pairs)

    def add(self, start, end):
        """Remember the way from one point to another, if the loss is convex along it."""
        with np.errstate(over="ignore"):  # what is beyond the dtype is not remembered
            step, change = end.theta - start.theta, end.gradient - start.gradient
        product, square = dot(step, change), dot(change, change)
        if float(np.finfo(step.dtype).eps) * square < product < np.inf:
            self.pairs = [*self.pairs[1 - MEMORY :], (step, change, product)]

    def direction(self, gradient):
        """Minus the inverse Hessian times the gradient; without pairs, a step of length one against the gradient.

        Where it is beyond the dtype, so is the next point, and the objective says so.
        """
        if not self.pairs:
            unit = gradient / np.abs(gradient).max()
            return unit / -np.sqrt(dot(unit, unit)).astype(unit.dtype)
        q, coefficients = -gradient, []
        for step, change, product in reversed(self.pairs):
            coefficients.append(dot(step, q) / product)
            add_multiple(q, -coefficients[-1], change)
        _, change, product = self.pairs[-1]
        with np.errstate(over="ignore", invalid="ignore"):
            q *= q.dtype.type(product / dot(change, change))
        for step, change, product in self.pairs:
            add_multiple(q, coefficients.pop() - dot(change, q) / product, step)
        return q


class Point(NamedTuple):
    """Where the objective was evaluated, at ``t`` along a line."""

    theta: np.ndarray
    evaluation: Any  # with a loss
    gradient: np.ndarray
    t: float
    slope: float

    @property
    def loss(self):
        return self.evaluation.loss


def evaluate(objective, theta, t=0.0, direction=None):
    """The point at theta; with a direction, with the slope along it."""
    evaluation, gradient = objective.evaluate_gradient(theta)
    return Point(theta, evaluation, gradient.copy(), t, 0.0 if direction is None else dot(gradient, direction))


def search(objective, start, direction):
    """A point along the direction that meets the strong Wolfe conditions [1]_, None if rounding hides it.

    ``low`` is the best point so far, ``high`` the other end of an interval that holds a minimum, None while there is no
    such interval. If the evaluations run out, a point that lowers the loss enough will do.

    References
    ----------
    .. [1] J. Nocedal and S. J. Wright, "Numerical optimization", 2nd edition, Springer 2006, algorithms 3.5 and 3.6.
    """
    start = start._replace(t=0.0, slope=dot(start.gradient, direction))
    if start.slope >= 0:
        return None
    low, high, t = start, None, 1.0
    for _ in range(MAX_TRIALS):
        theta = start.theta.copy()
        add_multiple(theta, t, direction)
        point = evaluate(objective, theta, t, direction)
        if point.loss > start.loss + DECREASE * t * start.slope or point.loss >= low.loss:
            high = point
        elif abs(point.slope) <= -SLOPE * start.slope:
            return point
        else:
            if point.slope * (1 if high is None else high.t - low.t) >= 0:
                high = low
            low = point
        t = 4 * t if high is None else _between(low, high)
        if high is not None and t in (low.t, high.t):  # rounding has closed the interval
            break
    return low if low.t > 0 else None


def _between(low, high):
    """Minimum of the cubic through both ends with their slopes, kept off the ends by a tenth of the interval."""
    width, part = high.t - low.t, 0.5
    slopes = low.slope, high.slope, (high.loss - low.loss) / width
    unit = max(map(abs, slopes))  # in which squares do not overflow
    if 0 < unit < np.inf:
        left, right, secant = (slope / unit for slope in slopes)
        d1 = left + right - 3 * secant
        square = d1 * d1 - left * right
        d2 = np.copysign(np.sqrt(max(square, 0)), width)
        if square >= 0 and right - left + 2 * d2 != 0:
            part = 1 - (right + d2 - d1) / (right - left + 2 * d2)
    return low.t + width * min(max(part, 0.1), 0.9)
