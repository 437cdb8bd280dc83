"""L-BFGS, written out here because SciPy's L-BFGS-B neither returns nor accepts its memory.

With SciPy's, no fit could continue where another one ended, and float32 parameters would be copied to float64.
"""

from typing import Any, NamedTuple

import numpy as np

from .._kernels.products import add_multiple, dot
from .base import Result, Solver

# Pairs that are remembered, as in SciPy's L-BFGS-B.
MEMORY = 10

# Wolfe's conditions: a step has to lower the loss by this fraction of what the slope promises, and to leave at most
# this fraction of the slope.
DECREASE, SLOPE = 1e-4, 0.9

# Evaluations of a line search, as in SciPy's L-BFGS-B.
MAX_TRIALS = 20


class LBFGS(Solver):
    """L-BFGS [1]_ over all rows.

    ``objective.evaluate_gradient(theta)`` returns an evaluation with a ``loss``, and the gradient. The memory is what
    is known of the curvature; its arrays are never changed.

    References
    ----------
    .. [1] D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical
       Programming 45, 1989.
    """

    name = "lbfgs"
    objective = "full_batch"

    def minimise(self, objective, theta, memories, monitor, max_iter):
        """Take at most ``max_iter`` steps, each of which lowers the loss."""
        curvature = Curvature(self._start(theta, memories))
        point = evaluate(objective, theta)
        eps, first_loss = np.finfo(point.theta.dtype).eps, point.loss
        for _ in range(max_iter):
            if not point.gradient.any():
                return Result(point.theta, None)
            direction = curvature.direction(point.gradient)
            found = search(objective, point, direction)
            if found is None and curvature.pairs:
                if -dot(point.gradient, direction) <= 10 * eps * point.loss:  # no gain left above rounding errors
                    return Result(point.theta, None)
                curvature.pairs = []
                found = search(objective, point, curvature.direction(point.gradient))
            if found is None:
                problem = "L-BFGS found no step that lowers the loss.", "Increase tol."
                return Result(point.theta, problem if point.loss > eps * first_loss else None)
            curvature.add(point, found)
            point = found
            if monitor(point.theta, point.evaluation, memories | {self.name: {"pairs": curvature.pairs}}):
                return Result(point.theta, None)
        problem = f"L-BFGS reached max_iter={max_iter} before the loss settled.", "Increase max_iter."
        return Result(point.theta, problem)

    def _start(self, theta, memories):
        """Return the pairs to start from: none if they belong to other parameters."""
        pairs = memories.get(self.name, {}).get("pairs", [])
        alike = all(part.shape == theta.shape and part.dtype == theta.dtype for *pair, _ in pairs for part in pair)
        return pairs if alike else []


class Curvature:
    """Steps and the changes of the gradient along them, newest last, which represent the inverse Hessian [1]_.

    References
    ----------
    .. [1] J. Nocedal and S. J. Wright, "Numerical optimization", 2nd edition, Springer 2006, algorithm 7.4.
    """

    def __init__(self, pairs=()):
        self.pairs = list(pairs)

    def add(self, start, end):
        """Remember the step from one point to another, if the loss is convex along it."""
        with np.errstate(over="ignore"):  # a pair beyond the dtype is not remembered
            step, change = end.theta - start.theta, end.gradient - start.gradient
        product, square = dot(step, change), dot(change, change)
        if float(np.finfo(step.dtype).eps) * square < product < np.inf:
            self.pairs = [*self.pairs[1 - MEMORY :], (step, change, product)]

    def direction(self, gradient):
        """Return minus the inverse Hessian times the gradient; without pairs, a step of length one downhill.

        If it is beyond the dtype, so is the next point, and the objective reports it.
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
    """A point at which the objective was evaluated, at ``t`` along a line."""

    theta: np.ndarray
    evaluation: Any  # with a loss
    gradient: np.ndarray
    t: float
    slope: float

    @property
    def loss(self):
        return self.evaluation.loss


def evaluate(objective, theta, t=0.0, direction=None):
    """Return the point at theta; given a direction, with the slope along it."""
    evaluation, gradient = objective.evaluate_gradient(theta)
    return Point(theta, evaluation, gradient.copy(), t, 0.0 if direction is None else dot(gradient, direction))


def search(objective, start, direction):
    """Return a point along the direction that meets the strong Wolfe conditions [1]_, or None if rounding hides it.

    ``low`` is the best point so far, ``high`` the other end of an interval that holds a minimum, None while there is no
    such interval. If the evaluations run out, a point that lowers the loss enough is accepted.

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
    """Return the minimum of the cubic through both ends with their slopes, at least a tenth of the interval off."""
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
