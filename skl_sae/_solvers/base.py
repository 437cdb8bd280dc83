"""What a solver is."""

from typing import NamedTuple

import numpy as np


class Result(NamedTuple):
    """Where a solver ended; ``problem`` is the cause and the remedy if it did not converge."""

    theta: np.ndarray
    problem: tuple[str, str] | None


class Solver:
    """A way to minimise an objective, iteration by iteration.

    Class attributes declare what a solver needs and offers; the caller refuses data and parameters that do not fit.
    What a solver remembers between iterations is its memory, a dictionary of arrays and numbers: a later call that is
    given it continues as if the earlier one had not ended.

    Parameters
    ----------
    settings : object with the parameters of an estimator as attributes
    rngs : object with ``rng`` and ``noise_rng``
        Random numbers for the order of the rows and for noise.
    resumable : bool
        Whether an interrupt has to leave a state from which a later call can continue.
    """

    name: str
    #: What it minimises: "full_batch", L over all rows with its gradient, or "mini_batch", L batch by batch.
    objective: str
    #: Whether it picks rows one by one, which rows on a cluster do not allow.
    needs_local_rows = False
    #: Whether it tolerates an objective that changes from evaluation to evaluation.
    takes_noise = False
    #: Whether its memory is still of use after another solver has moved the parameters.
    outlives_other_solvers = False

    def __init__(self, settings=None, rngs=None, resumable=False):
        self._settings, self._rngs, self._resumable = settings, rngs, resumable

    def minimise(self, objective, theta, memories, monitor, max_iter):
        """Minimise from theta, which is left unchanged.

        Parameters
        ----------
        objective : object
            Of the kind that ``objective`` names: "full_batch" has ``evaluate_gradient(theta)``, which returns an
            evaluation with a ``loss``, and a gradient that the next call overwrites; "mini_batch" has ``n_rows``,
            ``n_batches`` and a method for an epoch of each solver. A loss that is not finite raises DivergenceError.
        theta : ndarray
        memories : dict
            Memory of each solver by its name, this one's included. Memory that belongs to parameters of another shape
            or dtype is ignored.
        monitor : callable
            ``monitor(theta, evaluation, memories)`` records an iteration, with this solver's memory and those of the
            others, and returns whether it should be the last one. It keeps the arrays themselves: a solver that
            changes them in place has to restore them if an interrupt comes before the next call (see `Adam`).
        max_iter : int

        Returns
        -------
        Result
        """
        raise NotImplementedError
