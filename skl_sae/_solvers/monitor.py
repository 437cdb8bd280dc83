"""The monitor: keeps the history of a fit, prints it, says when to stop."""

import time
from typing import Any, NamedTuple

import numpy as np

# A final loss this many times as high as the lowest one has not settled: the steps are too large.
UNSETTLED_RISE = 1.3


class Progress(NamedTuple):
    """What belongs together after an iteration, replaced as one so that an interrupt cannot part it."""

    n_iter: int = 0  # rows of the history that count
    theta: np.ndarray | None = None
    memories: dict[str, Any] | None = None  # of the solvers, None before the first iteration
    best_theta: np.ndarray | None = None  # None without early stopping
    best_iteration: int | None = None


class Monitor:
    """Keeps the history of a fit, prints it, says when to stop.

    Parameters
    ----------
    tol : float
    n_iter_no_change : int
        Stop when the loss has not fallen by ``tol`` times its size within this many iterations.
    verbose : int
        0: silent; 1: the first ten iterations, then every tenth, then every hundredth; 2 or more: all. Each takes one
        line of aligned columns, which terminals, notebooks and files show alike.
    title : str, optional
        Printed above the columns.
    validation : object with ``evaluate(theta)``, optional
        Judge by its loss instead of the training loss, and keep the parameters where it was lowest.
    n_earlier : int
        Number of iterations of earlier fits, which this one continues.
    on_iteration : callable, optional
        ``on_iteration(monitor)`` is called after every iteration; a true result stops the training.
    """

    def __init__(
        self, *, tol, n_iter_no_change, verbose=0, title=None, validation=None, n_earlier=0, on_iteration=None
    ):
        self._tol, self._patience = tol, n_iter_no_change
        self._verbose, self._validation, self._n_earlier = verbose, validation, n_earlier
        self._title, self._has_header, self._started = title, False, time.perf_counter()
        self._on_iteration = on_iteration
        self._reference, self._n_stale, self._lowest = None, 0, np.inf
        self._rows, self._progress, self.stopped = [], Progress(), False

    @property
    def n_iter(self):
        """Number of iterations of this fit."""
        return self._progress.n_iter

    @property
    def rows(self):
        """The history, one dictionary per iteration."""
        return self._rows[: self.n_iter]

    @property
    def theta(self):
        """Parameters after the last iteration."""
        return self._progress.theta

    @property
    def best_theta(self):
        """With early stopping, the parameters with the lowest validation loss; None without."""
        return self._progress.best_theta

    @property
    def memories(self):
        """Memories of the solvers after the last iteration; None before the first."""
        return self._progress.memories

    def start(self, theta):
        """Record the parameters to start from: with early stopping they may turn out to be the best."""
        if self._validation is not None:
            self._lowest = self._validation.evaluate(theta).loss
            self._progress = Progress(best_theta=theta.copy(), best_iteration=self._n_earlier)

    def restart(self):
        """Judge anew, for a solver whose losses cannot be compared with those so far; keep history and best weights."""
        self._reference, self._n_stale = None, 0
        if self._validation is None:
            self._lowest = np.inf

    def __call__(self, theta, evaluation, memories):
        """Record an iteration; return True if it should be the last one."""
        row = self._row(theta, evaluation)
        progress = self._progress
        iteration = self._n_earlier + progress.n_iter + 1
        judged = row["loss"] if self._validation is None else row["validation_loss"]
        progress = progress._replace(n_iter=progress.n_iter + 1, theta=theta, memories=memories)
        if judged < self._lowest:
            self._lowest = judged
            if self._validation is not None:
                progress = progress._replace(best_theta=theta.copy(), best_iteration=iteration)
        self._rows.append(row)
        self._progress = progress  # from here on the iteration counts
        if self._verbose > 1 or (self._verbose and _is_round(iteration)):
            self._print(iteration, row)
        if self._reference is None or judged < self._reference - self._tol * abs(self._reference):
            self._reference, self._n_stale = judged, 0
        else:
            self._n_stale += 1
        self.stopped = self._on_iteration is not None and self._on_iteration(self)
        return self.stopped or self._n_stale >= self._patience

    def _row(self, theta, evaluation):
        row = evaluation._asdict()
        if self._validation is not None:
            row["validation_loss"] = self._validation.evaluate(theta).loss
        return row

    def describe_rise(self, negligible=0.0):
        """Return cause and remedy of a rise of the loss; None if it settled, or if the best weights are kept.

        A rise up to ``negligible`` does not count, such as that of rounding errors after a perfect start.
        """
        last = self._rows[self.n_iter - 1]["loss"]
        if self._validation is not None or last <= max(UNSETTLED_RISE * self._lowest, self._lowest + negligible):
            return None
        return f"The loss rose from {self._lowest:.6g} to {last:.6g}.", "Lower learning_rate_init."

    def finish(self, theta, evaluation):
        """Make the last row of the history describe the parameters that are kept."""
        row, best = self._row(theta, evaluation), self._progress.best_iteration
        self._rows = [*self.rows[:-1], row]
        self._progress = self._progress._replace(n_iter=len(self._rows))  # 1 if the start was already a minimum
        if self._verbose:
            kept = f", weights of iteration {best}" if best is not None else ""
            self._print("final", row)
            print(f"fitted after {self._n_earlier + self.n_iter} iterations{kept}", flush=True)

    def _print(self, iteration, row):
        if not self._has_header:
            _print_header(self._title, row)
            self._has_header = True
        _print_row(iteration, time.perf_counter() - self._started, row)


def _print_header(title, row):
    if title is not None:
        print(title)
    print("iteration   seconds", *(f"{name.replace('_', ' '):>{_width(name)}}" for name in row), sep="  ", flush=True)


def _print_row(iteration, seconds, row):
    cells = (f"{value:>{_width(name)}.6g}" for name, value in row.items())
    print(f"{iteration:>9}  {seconds:>8.2f}", *cells, sep="  ", flush=True)


def _width(name):
    """Return the width of a column: of its name, or of a number with an exponent."""
    return max(len(name), 11)


def _is_round(n):
    return n % 10 ** min(len(str(n)) - 1, 2) == 0
