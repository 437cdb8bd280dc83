"""The two solvers, and what watches them. They minimise an objective and know nothing of autoencoders."""

import copy
import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from ._kernels import AdamState

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

    def begin(self, theta):
        """Go on from theta; Adam starts anew if its moments belong to other parameters."""
        self.theta = theta
        if any(moment is None or moment.shape != theta.shape for moment in (self.first, self.second)):
            self.forget_moments()

    def adam_state(self, learning_rate):
        """Moments in the dtype of theta, at the start zero."""
        if self.first is None:
            self.first, self.second = np.zeros((2, self.theta.size), self.theta.dtype)
        self.first, self.second = (part.astype(self.theta.dtype, copy=False) for part in (self.first, self.second))
        return AdamState(self.first, self.second, float(learning_rate), 0.9, 0.999, 1e-8)

    def forget_moments(self):
        """For parameters that are not those of the last step."""
        self.first, self.second, self.n_steps = None, None, 0

    def kept(self):
        """For a later fit: without the parameters, and with random numbers that nobody else draws."""
        shared = self.rng is np.random.mtrand._rand
        rng = np.random.RandomState(self.rng.randint(2**31)) if shared else copy.deepcopy(self.rng)
        return dataclasses.replace(self, theta=None, rng=rng)

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


def lbfgs(objective, theta, monitor, *, max_iter):
    """Minimise with SciPy's L-BFGS-B.

    ``objective.evaluate_gradient(theta)`` gives an evaluation with a ``loss``, and the gradient. SciPy works in
    float64; the objective sees parameters of theta's dtype.
    """
    dtype, last, first_loss = theta.dtype, None, None

    def loss_and_gradient(x):
        nonlocal last, first_loss
        with np.errstate(over="ignore"):  # beyond float32 the objective says so
            parameters = x.astype(dtype, copy=False)
        last, gradient = objective.evaluate_gradient(parameters)
        first_loss = last.loss if first_loss is None else first_loss
        return last.loss, gradient.astype(np.float64)

    def callback(intermediate_result):
        # An accepted point is the one evaluated last; if ever it is not, evaluate it again.
        x = intermediate_result.x.astype(dtype)
        evaluation = last if last.loss == intermediate_result.fun else objective.evaluate_gradient(x)[0]
        if monitor(x, evaluation):
            raise StopIteration

    # The stopping rule is the monitor's. SciPy's own, with zero tolerances, apply only where no step lowers the loss.
    options = {"maxiter": max_iter, "maxfun": np.iinfo(np.int32).max, "ftol": 0.0, "gtol": 0.0}
    found = minimize(
        loss_and_gradient, theta.astype(np.float64), method="L-BFGS-B", jac=True, callback=callback, options=options
    )
    iteration_limit, line_search_failed = 1, 2
    if found.status == iteration_limit:
        problem = f"L-BFGS-B reached max_iter={max_iter} before the loss settled; increase max_iter or tol"
    elif found.status == line_search_failed and last.loss > np.finfo(dtype).eps * first_loss:
        reason = found.message.strip().rstrip(":")
        problem = f"L-BFGS-B found no step that lowers the loss ({reason}); increase tol or scale the data"
    else:
        problem = None
    return Result(found.x.astype(dtype), problem)


def adam(objective, training, monitor, *, max_iter, learning_rate, shuffle, resumable):
    """Minimise with Adam [1]_ over mini-batches, ``max_iter`` epochs at the most.

    ``objective.adam_epoch(theta, state, t, order)`` updates theta and the state in place, and so does this function
    with those of ``training``. An interrupt leaves them, if ``resumable``, as they were after the last whole epoch.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """
    theta = training.theta = training.theta.copy()
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
