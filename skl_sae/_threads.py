"""How many threads the matrix products may use.

Compiled code multiplies with SciPy's BLAS. Two things about a BLAS with several threads cannot be left to it: its
threads wait for each other by spinning, which makes small products many times slower as soon as the machine is busy;
and OpenBLAS serves one threaded product at a time, and has returned wrong ones when different kinds ran at once
(OpenBLAS issue 5836). So small work gets one thread, and so does all work of this package while more than one
computation of it is under way. Otherwise the limits apply that the user has set (threadpoolctl, joblib,
OMP_NUM_THREADS).
"""

import os
import threading
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController  # comes with scikit-learn

# Multiply-adds of one product from which a second thread gains more than the waiting costs.
WORTH_THREADS = 2**23


@cache
def _libraries():
    """The loaded BLAS libraries: with one number of threads for the process, and with one for every thread."""
    libraries = [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]
    shared = [library for library in libraries if getattr(library, "threading_layer", None) == "pthreads"]
    return shared, [library for library in libraries if library not in shared]


def _set_threads(library, number):
    # threadpoolctl lets only the first thread that asked change a shared number; here the gate keeps the order.
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(number)
    release(force=True)


class _Gate:
    """Counts the computations under way, and holds the shared libraries at one thread while that is needed."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = self._small = 0
        self._before = None

    def change(self, running, small):
        with self._lock:
            self._running += running
            self._small += small
            needed = self._small > 0 or self._running > 1
            if needed and self._before is None:
                self._before = [(library, library.num_threads) for library in _libraries()[0]]
                for library, _ in self._before:
                    _set_threads(library, 1)
            elif not needed and self._before is not None:
                for library, number in self._before:
                    _set_threads(library, number)
                self._before = None


_gate = _Gate()


def _forget():
    """In a forked child: the computations of the parent's other threads do not run here."""
    global _gate
    _gate = _Gate()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def blas_threads(rows, n_features, n_components):
    """Run products of (rows, n_features) and (n_features, n_components) with as many threads as they are worth."""
    gate, small = _gate, rows * n_features * n_components < WORTH_THREADS
    own = [(library, library.num_threads) for library in _libraries()[1]] if small else []
    gate.change(1, int(small))
    try:
        for library, _ in own:
            library.set_num_threads(1)
        yield
    finally:
        for library, number in own:
            library.set_num_threads(number)
        gate.change(-1, -int(small))
