"""The two solvers, and what watches them. They minimise an objective and know nothing of autoencoders."""

import copy
import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ._kernels import AdamState, dot
from ._lbfgs import Curvature, evaluate, search

# A loss at the end that is so many times the lowest one was not settling: the steps are too large.
RISE = 1.3


class Result(NamedTuple):
    """Where a solver ended; ``problem`` says why it did not converge, None if it did."""

    theta: np.ndarray
    problem: str | None
    interrupted: bool = False


@dataclass
class Training:
    """What a fit needs, beside the weights, to go on as if it had not stopped; the arrays are worked on in place."""

    rng: np.random.RandomState
    noise_rng: np.random.Generator | None = None
    split_seed: int | None = None  # of the rows held out
    theta: np.ndarray | None = None  # parameters, while a fit is under way
    first: np.ndarray | None = None  # Adam's moments
    second: np.ndarray | None = None
    n_steps: int = 0  # of Adam
    pairs: list | None = None  # of L-BFGS's `Curvature`; their arrays are never changed

    def begin(self, theta):
        """Go on from theta; the solvers start anew if what they remember belongs to other parameters."""
        self.theta = theta
        if any(moment is None or moment.shape != theta.shape for moment in (self.first, self.second)):
            self.first, self.second, self.n_steps = None, None, 0
        if any(
            part.shape != theta.shape or part.dtype != theta.dtype for *pair, _ in self.pairs or [] for part in pair
        ):
            self.pairs = None

    def adam_state(self, learning_rate):
        """Moments in the dtype of theta, at the start zero."""
        if self.first is None:
            self.first, self.second = np.zeros((2, self.theta.size), self.theta.dtype)
        self.first, self.second = (part.astype(self.theta.dtype, copy=False) for part in (self.first, self.second))
        return AdamState(self.first, self.second, float(learning_rate), 0.9, 0.999, 1e-8)

    def forget(self):
        """For parameters that are not those of the last step."""
        self.first, self.second, self.n_steps, self.pairs = None, None, 0, None

    def kept(self):
        """For a later fit: without the parameters, and with random numbers that nobody else draws."""
        shared = self.rng is np.random.mtrand._rand
        rng = np.random.RandomState(self.rng.randint(2**31)) if shared else copy.deepcopy(self.rng)
        return dataclasses.replace(self, theta=None, rng=rng)

    def copy(self):
        """For a fit that may fail."""
        copied = copy.deepcopy(dataclasses.replace(self, pairs=None))
        copied.pairs = self.pairs
        return copied

    def checkpoint(self):
        """A function that takes everything back to where it is now."""
        arrays = [(array, array.copy()) for array in (self.theta, self.first, self.second)]
        n_steps, state = self.n_steps, self.rng.get_state()
        noise_state = self.noise_rng.bit_generator.state

        def restore():
            for array, values in arrays:
                array[:] = values
            self.n_steps = n_steps
            self.rng.set_state(state)
            self.noise_rng.bit_generator.state = noise_state

        return restore


class Monitor:
    """Keeps the history of a fit, prints it, says when to stop.

    Parameters
    ----------
    tol : float
    n_iter_no_change : int
        Stop when the loss has not fallen by ``tol`` times its size within this many iterations.
    verbose : int
        0: silent; 1: the first ten iterations, then every tenth, then every hundredth; 2 or more: all.
    validation : object with ``evaluate(theta)``, optional
        Judge by its loss instead of the training loss, and keep the parameters where it was lowest.
    n_earlier : int
        Number of iterations of earlier fits, which this one goes on from.
    on_iteration : callable, optional
        Called with theta after every iteration; a true result stops the training.
    """

    def __init__(self, *, tol, n_iter_no_change, verbose=0, validation=None, n_earlier=0, on_iteration=None):
        self._tol, self._patience = tol, n_iter_no_change
        self._on_iteration = on_iteration
        self._verbose, self._validation = verbose, validation
        self._reference, self._stale = None, 0
        self._lowest = np.inf
        self.best_theta, self._best_iteration = None, None
        self.rows, self._n_earlier, self.stopped = [], n_earlier, False
        self.theta = None  # of the last iteration

    def start(self, theta):
        """Take note of the parameters to start from: with early stopping they may turn out to be the best."""
        if self._validation is not None:
            self._lowest = self._validation.evaluate(theta).loss
            self.best_theta, self._best_iteration = theta.copy(), self._n_earlier

    def restart(self):
        """Judge anew, for a solver whose losses cannot be compared with those so far; keep history and best weights."""
        self._reference, self._stale = None, 0
        if self._validation is None:
            self._lowest = np.inf

    def __call__(self, theta, evaluation):
        """Take note of an iteration; True if it should be the last one."""
        row = self.row(theta, evaluation)
        self.theta = theta
        self.rows.append(row)
        iteration = self._n_earlier + len(self.rows)
        if self._verbose > 1 or (self._verbose and _is_round(iteration)):
            _print_row(f"iteration {iteration}", row)
        judged = row["loss"] if self._validation is None else row["validation_loss"]
        if judged < self._lowest:
            self._lowest = judged
            if self._validation is not None:
                self.best_theta, self._best_iteration = theta.copy(), iteration
        if self._reference is None or judged < self._reference - self._tol * abs(self._reference):
            self._reference, self._stale = judged, 0
        else:
            self._stale += 1
        self.stopped = self._on_iteration is not None and self._on_iteration(theta)
        return self.stopped or self._stale >= self._patience

    def row(self, theta, evaluation):
        """A line of the history."""
        row = evaluation._asdict()
        if self._validation is not None:
            row["validation_loss"] = self._validation.evaluate(theta).loss
        return row

    def rise(self):
        """What to say of a loss that stopped falling because it rose; None if it settled, or if the best is kept."""
        last = self.rows[-1]["loss"]
        if self._validation is not None or last <= RISE * self._lowest:
            return None
        return f"The loss rose from {self._lowest:.6g} to {last:.6g}; lower learning_rate_init"

    def finish(self, theta, evaluation):
        """Let the last line of the history describe the parameters that are kept."""
        row = self.row(theta, evaluation)
        self.rows = [*self.rows[:-1], row]
        if self._verbose:
            kept = f", weights of iteration {self._best_iteration}" if self._best_iteration is not None else ""
            _print_row(f"fitted after {self._n_earlier + len(self.rows)} iterations{kept}", row)


def _print_row(title, row):
    print(title + ": " + ", ".join(f"{name.replace('_', ' ')} {value:.6g}" for name, value in row.items()))


def _is_round(n):
    return n % 10 ** min(len(str(n)) - 1, 2) == 0


def lbfgs(objective, training, monitor, *, max_iter):
    """Minimise with L-BFGS [1]_.

    ``objective.evaluate_gradient(theta)`` gives an evaluation with a ``loss``, and the gradient. What is known of the
    curvature stays in ``training``, so that another call goes on as if this one had not ended.

    References
    ----------
    .. [1] D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical
       Programming 45, 1989.
    """
    curvature = Curvature(training.pairs or [])
    point = evaluate(objective, training.theta)
    eps, first_loss = np.finfo(point.theta.dtype).eps, point.loss
    for _ in range(max_iter):
        if not point.gradient.any():
            return Result(point.theta, None)
        direction = curvature.direction(point.gradient)
        found = search(objective, point, direction)
        if found is None and curvature.pairs:
            if -dot(point.gradient, direction) <= 10 * eps * point.loss:  # nothing left to gain that could be seen
                return Result(point.theta, None)
            curvature.pairs = []
            found = search(objective, point, curvature.direction(point.gradient))
        if found is None:
            problem = "L-BFGS found no step that lowers the loss; increase tol or scale the data"
            return Result(point.theta, problem if point.loss > eps * first_loss else None)
        curvature.add(point, found)
        point, training.pairs = found, curvature.pairs
        if monitor(point.theta, point.evaluation):
            return Result(point.theta, None)
    problem = f"L-BFGS reached max_iter={max_iter} before the loss settled; increase max_iter or tol"
    return Result(point.theta, problem)


def adam(objective, training, monitor, *, max_iter, learning_rate, shuffle, resumable):
    """Minimise with Adam [1]_ over mini-batches, ``max_iter`` epochs at the most.

    ``objective.adam_epoch(theta, state, t, order)`` updates theta and the state in place, and so does this function
    with those of ``training``. An interrupt leaves them, if ``resumable``, as they were after the last whole epoch.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """
    theta = training.theta = training.theta.copy()
    training.pairs = None
    state = training.adam_state(learning_rate)
    order = np.arange(objective.n_rows)
    for _ in range(max_iter):
        restore, done = training.checkpoint() if resumable else None, len(monitor.rows)
        try:
            if shuffle:
                order = training.rng.permutation(objective.n_rows)
            evaluation = objective.adam_epoch(theta, state, training.n_steps, order)
            training.n_steps += objective.n_batches
            stop = monitor(theta, evaluation)
        except KeyboardInterrupt:
            if restore is not None and len(monitor.rows) == done:  # in the middle of an epoch
                restore()
            raise
        if stop:
            return Result(theta, None)
    return Result(theta, f"Adam reached max_iter={max_iter} epochs before the loss settled; increase max_iter or tol")
