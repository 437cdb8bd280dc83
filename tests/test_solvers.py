"""The monitor, which keeps the history of a fit and says when to stop, and how the solvers end."""

from collections import namedtuple

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from skl_sae._solvers import LBFGS, SOLVERS, Monitor
from skl_sae._solvers.lbfgs import DECREASE, MEMORY, SLOPE, Curvature, Point, evaluate, search

pytestmark = pytest.mark.plain

Evaluation = namedtuple("Evaluation", "loss")


class Validation:
    """Held-out losses in the order in which they are asked for."""

    def __init__(self, losses):
        self.losses = iter(losses)

    def evaluate(self, theta):
        return Evaluation(next(self.losses))


def iterations(monitor, losses):
    """The number of losses after which the monitor stops, or None."""
    for k, loss in enumerate(losses, start=1):
        if monitor(np.array([float(k)]), Evaluation(loss), {}):
            return k
    return None


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_tolerance_is_relative(scale):
    losses = scale * np.array([10, 9, 8, 7.99, 7.98, 7.97, 7.96])
    assert iterations(Monitor(tol=0.01, n_iter_no_change=3), losses) == 6
    assert iterations(Monitor(tol=0.01, n_iter_no_change=4), losses) == 7
    assert iterations(Monitor(tol=1e-4, n_iter_no_change=3), losses) is None


def test_small_steps_count_together():
    losses = 10 * 0.996 ** np.arange(50)
    assert iterations(Monitor(tol=0.01, n_iter_no_change=3), losses) is None
    assert iterations(Monitor(tol=0.02, n_iter_no_change=3), losses) == 4


def test_without_tolerance_any_fall_counts():
    assert iterations(Monitor(tol=0, n_iter_no_change=2), [3, 2, 2 - 1e-15, 1, 1, 1]) == 6


def test_the_held_out_loss_decides():
    monitor = Monitor(tol=0, n_iter_no_change=2, validation=Validation([9, 5, 4, 6, 7]))
    monitor.start(np.array([0.0]))
    assert iterations(monitor, [4, 3, 2, 1]) == 4
    assert monitor.best_theta == [2.0]
    assert [row["validation_loss"] for row in monitor.rows] == [5, 4, 6, 7]


def test_a_restart_forgets_losses_of_another_kind_but_not_the_best_weights():
    monitor = Monitor(tol=0, n_iter_no_change=2)
    iterations(monitor, [3, 1])
    monitor.restart()
    assert iterations(monitor, [9, 8, 7]) is None
    assert monitor.describe_rise() is None
    assert [row["loss"] for row in monitor.rows] == [3, 1, 9, 8, 7]
    monitor = Monitor(tol=0, n_iter_no_change=5, validation=Validation([9, 2, 5]))
    monitor.start(np.array([0.0]))
    monitor(np.array([1.0]), Evaluation(3), {})
    monitor.restart()
    monitor(np.array([2.0]), Evaluation(1), {})
    assert monitor.best_theta == [1.0]


def test_a_rise_is_told():
    monitor = Monitor(tol=0, n_iter_no_change=5)
    iterations(monitor, [3, 1, 1.2])
    assert monitor.describe_rise() is None
    monitor.finish(None, Evaluation(2.0))
    assert "from 1 to 2" in monitor.describe_rise()[0]


def test_solvers_are_listed_by_their_names():
    assert all(solver.name == name for name, solver in SOLVERS.items())
    assert {solver.objective for solver in SOLVERS.values()} <= {"full_batch", "mini_batch"}


class Bowl:
    """A quadratic with its minimum at 3."""

    def evaluate_gradient(self, theta):
        return Evaluation(float(np.sum((theta - 3) ** 2))), 2 * (theta - 3)


class Valley:
    """Rosenbrock's function, curved and badly scaled; with a ``height`` added, rounding hides the bottom."""

    def __init__(self, height=0.0):
        self.height = height

    def evaluate_gradient(self, theta):
        return Evaluation(self.height + float(rosen(theta))), rosen_der(theta)


def lbfgs(objective, theta, monitor, max_iter, memories=()):
    return LBFGS().minimise(objective, np.array(theta), dict(memories), monitor, max_iter)


def never(theta, evaluation, memories):
    return False


class Remember:
    """A monitor that never stops and keeps the memories of the solver."""

    memories = {}

    def __call__(self, theta, evaluation, memories):
        self.memories = memories


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lbfgs_tells_the_monitor_of_the_accepted_points(dtype):
    seen = []
    found = lbfgs(Bowl(), np.zeros(4, dtype), lambda *point: seen.append(point), max_iter=50)
    assert found.problem is None
    assert found.theta.dtype == dtype
    np.testing.assert_allclose(found.theta, 3, rtol=1e-6)
    for theta, evaluation, _ in seen:
        assert evaluation.loss == Bowl().evaluate_gradient(theta)[0].loss


class ArrivedError(Exception):
    """The loss is nearly zero."""


class Counted(Valley):
    """Counts the evaluations on the way to the bottom."""

    evaluations = 0

    def evaluate_gradient(self, theta):
        self.evaluations += 1
        evaluation, gradient = super().evaluate_gradient(theta)
        if evaluation.loss < 1e-12:
            raise ArrivedError
        return evaluation, gradient

    def loss_and_gradient(self, theta):
        evaluation, gradient = self.evaluate_gradient(theta)
        return evaluation.loss, gradient


@pytest.mark.parametrize("n", [2, 3])
def test_lbfgs_needs_hardly_more_evaluations_than_scipy(n, rng):
    ours, peer = [], []
    for start in rng.normal(scale=3, size=(30, n)):
        valley = Counted()
        with pytest.raises(ArrivedError):
            lbfgs(valley, start, never, max_iter=5000)
        ours.append(valley.evaluations)
        valley = Counted()
        with pytest.raises(ArrivedError):
            minimize(valley.loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 0})
        peer.append(valley.evaluations)
    assert sum(ours) < 1.2 * sum(peer)


def test_losses_of_lbfgs_fall():
    losses = []
    lbfgs(Valley(), np.linspace(-2, 2, 40), lambda _, found, __: losses.append(found.loss), max_iter=200)
    assert (np.diff(losses) < 0).all()


def test_the_curvature_is_that_of_the_formula_for_matrices(rng):
    """H <- (1 - r s y') H (1 - r y s') + r s s' with r = 1 / s'y, from a multiple of the identity."""
    curvature, pairs, n = Curvature(), [], 12
    A = rng.normal(size=(n, n))
    for _ in range(MEMORY + 3):
        ends = [Point(theta, None, A.T @ A @ theta, 0.0, 0.0) for theta in rng.normal(size=(2, n))]
        curvature.add(*ends)
        pairs.append((ends[1].theta - ends[0].theta, ends[1].gradient - ends[0].gradient))
    s, y = pairs[-1]
    H = np.eye(n) * (s @ y) / (y @ y)
    for s, y in pairs[-MEMORY:]:
        part = np.eye(n) - np.outer(s, y) / (s @ y)
        H = part @ H @ part.T + np.outer(s, s) / (s @ y)
    gradient = rng.normal(size=n)
    np.testing.assert_allclose(curvature.direction(gradient), -H @ gradient, rtol=1e-8)


def test_what_is_not_convex_is_not_remembered():
    curvature, one = Curvature(), np.ones(2)
    curvature.add(Point(0 * one, None, one, 0.0, 0.0), Point(one, None, -one, 0.0, 0.0))
    assert curvature.pairs == []
    np.testing.assert_allclose(curvature.direction(3 * one), -one / np.sqrt(2))
    np.testing.assert_allclose(curvature.direction(1e-310 * one), -one / np.sqrt(2))


@pytest.mark.parametrize("length", [1e-6, 1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("curve", [np.polynomial.Polynomial([0, -1, 2, 0, 1]), np.polynomial.Polynomial([3, -1, 0.3])])
def test_a_line_search_meets_wolfes_conditions(curve, length):
    class Line:
        def evaluate_gradient(self, theta):
            return Evaluation(float(curve(theta[0]))), curve.deriv()(theta)

    start = evaluate(Line(), np.zeros(1))
    found = search(Line(), start, np.array([length]))
    slope = -length
    assert found.loss <= start.loss + DECREASE * found.t * slope
    assert abs(found.gradient[0] * length) <= SLOPE * abs(slope)
    assert found.theta == pytest.approx(found.t * length)
    assert search(Line(), start, np.array([-length])) is None


def test_a_line_search_among_huge_losses():
    """Squares of slopes and losses overflow; a point that lowers the loss is found all the same."""

    class Steep:
        def evaluate_gradient(self, theta):
            return Evaluation(1e200 * float(theta[0] - 0.01) ** 2), 2e200 * (theta - 0.01)

    found = search(Steep(), evaluate(Steep(), np.zeros(1)), np.ones(1))
    assert found.loss <= DECREASE * 1e196


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # of NumPy's scalars in plain Python
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_changes_of_the_gradient_that_overflow_are_not_remembered(dtype):
    curvature, huge = Curvature(), np.full(4, np.finfo(dtype).max)
    curvature.add(Point(0 * huge, None, 0 * huge, 0.0, 0.0), Point(huge, None, huge, 0.0, 0.0))
    assert curvature.pairs == [] or dtype == np.float32
    curvature.add(Point(-huge, None, -huge, 0.0, 0.0), Point(huge, None, huge, 0.0, 0.0))
    assert len(curvature.pairs) < 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lbfgs_goes_on_as_if_it_had_not_stopped(dtype):
    start = np.linspace(-2, 2, 30).astype(dtype)
    expected = lbfgs(Valley(), start, never, max_iter=60).theta
    theta, monitor = start, Remember()
    for iterations in (1, 7, 30, 22):
        theta = lbfgs(Valley(), theta, monitor, iterations, monitor.memories).theta
    np.testing.assert_array_equal(theta, expected)


def test_lbfgs_forgets_the_curvature_of_other_parameters():
    monitor, start = Remember(), np.full(4, 5, np.float32)
    lbfgs(Valley(), np.full(4, 5.0), monitor, max_iter=3)
    for memories in (monitor.memories, {"lbfgs": {"pairs": [(np.zeros(3), np.zeros(3), 1.0)]}}):
        found = lbfgs(Valley(), start, never, 5, memories).theta
        np.testing.assert_array_equal(found, lbfgs(Valley(), start, never, 5).theta)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lbfgs_ends_where_rounding_hides_the_bottom(dtype):
    found = lbfgs(Valley(height=1e3), np.zeros(5, dtype), never, max_iter=5000)
    assert found.problem is None
    assert rosen(found.theta) < 1e3 * 10 * np.finfo(dtype).eps


def test_lbfgs_tells_why_it_did_not_converge():
    assert "max_iter=2" in lbfgs(Valley(), np.zeros(5), never, max_iter=2).problem[0]

    class Wrong(Bowl):
        def evaluate_gradient(self, theta):
            evaluation, gradient = super().evaluate_gradient(theta)
            return evaluation, -gradient

    assert "no step" in lbfgs(Wrong(), np.zeros(5), never, max_iter=2).problem[0]
