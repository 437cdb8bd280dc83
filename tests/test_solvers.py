"""The monitor that keeps the history of a fit and says when to stop, and the stopping of the solvers."""

from collections import namedtuple

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

from skl_sae._solvers import Monitor, lbfgs

Evaluation = namedtuple("Evaluation", "loss")


class Validation:
    """Held-out losses in the order in which they are asked for."""

    def __init__(self, losses):
        self.losses = iter(losses)

    def evaluate(self, theta):
        return Evaluation(next(self.losses))


def iterations(monitor, losses):
    """How many of the losses are taken note of before the monitor stops."""
    for k, loss in enumerate(losses, start=1):
        if monitor(np.array([float(k)]), Evaluation(loss)):
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
    assert monitor.rise() is None
    assert [row["loss"] for row in monitor.rows] == [3, 1, 9, 8, 7]
    monitor = Monitor(tol=0, n_iter_no_change=5, validation=Validation([9, 2, 5]))
    monitor.start(np.array([0.0]))
    monitor(np.array([1.0]), Evaluation(3))
    monitor.restart()
    monitor(np.array([2.0]), Evaluation(1))
    assert monitor.best_theta == [1.0]


def test_a_rise_is_told():
    monitor = Monitor(tol=0, n_iter_no_change=5)
    iterations(monitor, [3, 1, 1.2])
    assert monitor.rise() is None
    monitor.finish(None, Evaluation(2.0))
    assert "from 1 to 2" in monitor.rise()


class Bowl:
    """A quadratic with its minimum at 3."""

    def evaluate_gradient(self, theta):
        return Evaluation(float(np.sum((theta - 3) ** 2))), 2 * (theta - 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lbfgs_tells_the_monitor_of_the_accepted_points(dtype):
    seen = []

    def monitor(theta, evaluation):
        seen.append((theta, evaluation))
        return False

    found = lbfgs(Bowl(), np.zeros(4, dtype), monitor, max_iter=50)
    assert found.problem is None
    assert found.theta.dtype == dtype
    np.testing.assert_allclose(found.theta, 3, rtol=1e-6)
    for theta, evaluation in seen:
        assert evaluation.loss == pytest.approx(Bowl().evaluate_gradient(theta)[0].loss)


def test_lbfgs_evaluates_again_where_the_accepted_point_was_not_the_last(monkeypatch):
    """SciPy evaluates the accepted point last today; the history must not depend on it."""
    accepted, other = np.full(2, 1.0), np.full(2, 5.5)

    def minimise(function, x, callback, **kwargs):
        loss, _ = function(accepted)
        function(other)
        callback(OptimizeResult(x=accepted, fun=loss))
        return OptimizeResult(x=accepted, status=0, message="")

    monkeypatch.setattr("skl_sae._solvers.minimize", minimise)
    losses = []
    lbfgs(Bowl(), np.zeros(2), lambda theta, evaluation: losses.append(evaluation.loss), max_iter=1)
    assert losses == [8.0]
