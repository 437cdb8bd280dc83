"""Python threads that work through the phases of a kernel, and the choice of how many by the clock.

The bits of a result do not depend on how many threads there are (see `_kernels.groups` and `_kernels.units`), so their
number may change at any time. It is at most what BLAS is granted: limits of threadpoolctl and joblib, and
OMP_NUM_THREADS, hold here too. Each thread calls BLAS for itself, which is held at one thread meanwhile. Fits side by
side in threads of one process share the processors.
"""

import functools
import os
import threading
import time
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from joblib import cpu_count
from threadpoolctl import ThreadpoolController

from ._kernels.sizes import SERIAL_PRODUCT, count_batches, inference_rows
from ._kernels.structs import Span
from ._kernels.team import LINE, Team, all_reached, new_sync, read, write
from ._log import logger

ALONE = Team(0, 1, 0, new_sync(1))

# How often a thread looks for the others before it sleeps: for some hundred microseconds.
SPIN = 200_000

# Seconds that a call lasts, after which the number of threads is chosen again: a call on several threads; one on a
# single thread, whose end an interrupt and the use of a processor that another fit has left have to wait for; a trial
# of another number.
CALL, ALONE_CALL, TRIAL = 5e-3, 2e-2, 2e-3

# Seconds: work shorter than the first is not worth waking a thread, phases shorter than the second are not worth a
# meeting of threads.
SHORT, SHORT_PHASE = 2e-4, 1e-5

# Calls between two trials of another number of threads, at least and at most: each trial that is lost doubles them.
OFTEN, SELDOM = 12, 200


@functools.cache
def _controller():
    return ThreadpoolController().select(user_api="blas")


def _let_this_thread_limit():
    """Let the calling thread set limits: newer versions of threadpoolctl silently ignore all threads but one."""
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


class _HeldBlas:
    """Holds BLAS at one thread while any thread wants it; remembers how many threads it was granted before."""

    def __init__(self):
        self._lock, self._limiter, self._granted = threading.Lock(), None, 1
        self._holds = {}  # how often each thread holds it: a fit may call `transform`

    def hold(self):
        """Hold BLAS; return the identifier of this thread, to be passed to `release`."""
        holder = threading.get_ident()
        with self._lock:
            if not self._holds:
                self._granted = self._count()
                if self._granted > 1:
                    _let_this_thread_limit()
                    self._limiter = _controller().limit(limits=1)
            self._holds[holder] = self._holds.get(holder, 0) + 1
        return holder

    def release(self, holder):
        """End one hold of a thread, which need not be the calling one: garbage is collected in any."""
        with self._lock:
            self._holds[holder] -= 1
            if not self._holds[holder]:
                del self._holds[holder]
            if not self._holds:
                self._restore()

    @property
    def n_holders(self):
        """How many threads hold BLAS."""
        return len(self._holds)

    @property
    def granted(self):
        """How many threads BLAS may use when nobody holds it."""
        with self._lock:
            return self._granted if self._holds else self._count()

    @staticmethod
    def _count():
        return min((library.num_threads or 1 for library in _controller().lib_controllers), default=1)

    def _restore(self):
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            _let_this_thread_limit()
            limiter.restore_original_limits()
            _let_this_thread_limit()  # and then any other

    def after_fork(self):
        """In a forked process only the calling thread may still hold it: the others are gone."""
        self._lock, me = threading.Lock(), threading.get_ident()
        self._holds = {me: self._holds[me]} if me in self._holds else {}
        if not self._holds:
            self._restore()


BLAS = _HeldBlas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BLAS.after_fork)


class Pace:
    """How long a piece of work takes with how many threads, and which number to take next."""

    def __init__(self):
        self._seconds = {}  # for a unit of cost, by the number of threads: the shorter of the last two calls
        self._latest = {}  # the same in the last call
        self._calls, self._gap = 0, OFTEN
        self._tried = 0.0  # cost of the longest call of one thread, as long as all have been too short to judge by
        self._before = self._trial = None  # numbers of threads: of the call before, and on trial

    def choose(self, most, cost, n_phases):
        """Return how many threads, at most ``most``, take the next call, and how much of the ``cost`` that is left.

        ``n_phases`` phases are left, after each of which threads meet; 0 if they need not meet.
        """
        seconds = self._seconds
        if 1 not in seconds:
            return 1, max(cost / 64, 4 * self._tried)
        alone = seconds[1]
        if most == 1 or alone * cost < max(SHORT, n_phases * SHORT_PHASE):
            return 1, min(cost, ALONE_CALL / alone)
        numbers = sorted({1, most, *(2**k for k in range(1, most.bit_length()) if 2**k < most)})
        for number in reversed(numbers):
            if number not in seconds:
                return number, TRIAL * number / alone
        best = min(numbers, key=seconds.__getitem__)  # limits may have changed
        self._calls += 1
        if self._trial is None and self._calls % self._gap == 0:
            self._trial = self._other(numbers, best)
        if self._trial in numbers:
            return self._trial, TRIAL / seconds[best]
        return best, CALL / seconds[best]

    def _other(self, numbers, best):
        """Return a neighbour of the best number, the next lower and the next higher one in turn."""
        i = numbers.index(best)
        others = [numbers[j] for j in (i - 1, i + 1) if 0 <= j < len(numbers)]
        self._gap = min(2 * self._gap, SELDOM)
        return others[self._calls // OFTEN % len(others)]

    def record(self, number, cost, seconds):
        """Record the number of threads of a call, the cost of its work and the seconds it took."""
        settled, self._before = number == self._before, number
        if not settled or cost <= 0:  # the first call compiles, wakes threads, and moves data from cache to cache
            return
        if 1 not in self._seconds and seconds < SHORT:
            self._tried = max(self._tried, cost)
            return
        before, latest = self._best(), seconds / cost
        shorter = min(latest, self._latest.get(number, latest))  # a single call may have been disturbed
        self._latest = {**self._latest, number: latest}  # others may read these at the same time
        self._seconds = {**self._seconds, number: shorter}
        self._trial = None
        if self._best() != before:
            self._gap = OFTEN

    def _best(self):
        seconds = self._seconds
        return min(seconds, key=seconds.__getitem__, default=None)


class Crew:
    """Threads for a fit, or for a call: a context in which BLAS is held at one thread.

    There are at most ``most``, by default what BLAS is granted, shared among all threads that are in such a context.
    """

    def __init__(self, most=None):
        self._most, self._pool, self._holders = most, None, []

    def __enter__(self):
        self._holders.append(BLAS.hold())
        if self._most is None:
            self._most = max(1, min(BLAS.granted, cpu_count()))
        return self

    def __exit__(self, *_):
        BLAS.release(self._holders.pop())
        if not self._holders and self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __del__(self):
        while self._holders:  # an interrupt may come between the end of a block and the call of __exit__
            self.__exit__()

    @property
    def share(self):
        """How many threads may work now, this one included."""
        return max(1, self._most // max(1, BLAS.n_holders))

    def run(self, kernel, costs, start, stop, pace, goes_on=None, apart=False, cycle=1):
        """Run the phases ``start`` to ``stop`` of ``kernel(phases, team)``.

        ``costs`` (phases + 1,) is the work before each phase, in any unit; ``pace`` is the `Pace` of this work. After
        every call ``goes_on()`` tells whether to continue. Threads share out each phase, or the phases if these are
        ``apart``: then all threads have the same number of them, as far as possible. Calls are whole cycles of phases:
        times of single ones tell less, because costs are estimates.
        """
        while start < stop:
            most = min(self.share, stop - start) if apart else self.share
            number, cost = pace.choose(most, costs[stop] - costs[start], 0 if apart else stop - start)
            end = max(start + 1, bisect_right(costs, costs[start] + cost) - 1)
            end = min(stop, end + (start - end) % (number if apart else cycle))
            if number > 1:
                self._start_pool()
            begun = time.perf_counter()
            if number == 1:
                kernel(Span(start, end), ALONE)
            else:
                self._together(kernel, start, end, number)
            pace.record(number, costs[end] - costs[start], time.perf_counter() - begun)
            if goes_on is not None and not goes_on():
                return
            start = end

    def _together(self, kernel, start, stop, number):
        number = min(number, self._most)
        if self._pool is None:
            kernel(Span(start, stop), ALONE)
            return
        meeting = _Meeting(number)
        tasks = [self._pool.submit(meeting.attend, kernel, start, stop, me) for me in range(1, number)]
        try:
            meeting.attend(kernel, start, stop, 0)
        finally:
            meeting.wait_for(tasks)
        for task in tasks:
            task.result()

    def _start_pool(self):
        """Start the threads, or as many as the system allows."""
        while self._most > 1 and self._pool is None:
            pool, gate, started = ThreadPoolExecutor(self._most - 1, "skl_sae"), threading.Event(), 1
            try:
                while started < self._most:
                    pool.submit(gate.wait)  # takes a thread of its own as long as the earlier ones wait
                    started += 1
                self._pool = pool
            except RuntimeError as error:
                logger.debug("only %d threads: %s", started, error)
                self._most = started
            finally:
                gate.set()
            if self._pool is None:
                pool.shutdown()


@functools.lru_cache(1024)
def _pace_of(function, d, m):
    """Return the `Pace` of all calls of a kernel for matrices of this shape: most are too short to learn a new one."""
    return Pace()


def count_blocks(n, d, m):
    """Return how many blocks `over_blocks` makes."""
    return count_batches(n, inference_rows(d, m))


def over_blocks(kernel, n, d, m):
    """Run ``kernel(blocks, team)`` over the blocks of n rows, for products with matrices of d x m.

    ``kernel`` is a `functools.partial`.
    """
    n_blocks = count_blocks(n, d, m)
    if n * d * m <= SERIAL_PRODUCT:
        kernel(Span(0, n_blocks), ALONE)
    else:
        with Crew() as crew:
            crew.run(kernel, range(n_blocks + 1), 0, n_blocks, _pace_of(kernel.func, d, m), apart=True)


def finite_over_blocks(kernel, n, d, m):
    """Run ``kernel(finite, blocks, team)`` in the same way; return whether it found every block to be finite."""
    finite = np.ones(count_blocks(n, d, m), bool)
    over_blocks(functools.partial(kernel, finite), n, d, m)
    return bool(finite.all())


class _Meeting:
    """Threads that run a kernel, and where they wait for each other when it takes long."""

    def __init__(self, size):
        self._size, self._sync, self._changed = size, new_sync(size), threading.Condition()
        self._asleep, self._stopped = LINE * size, LINE * (size + 1)  # places in ``sync``

    def attend(self, kernel, start, stop, me):
        """Do the share of one thread."""
        team = Team(me, self._size, SPIN, self._sync)
        try:
            while start < stop and not read(self._sync, self._stopped):
                start = kernel(Span(start, stop), team)
                if start < stop or read(self._sync, self._asleep):
                    self._wait(team, start if start < stop else 0)
        except BaseException:
            self._stop()
            raise

    def _wait(self, team, phase):
        """Wake the others, then wait for them to finish the phases before ``phase``."""
        with self._changed:
            self._changed.notify_all()
            while not read(self._sync, self._stopped):
                write(self._sync, self._asleep, 1)  # before the look at the others: one that arrives does the reverse
                if all_reached(team, phase):
                    break
                self._changed.wait()
            write(self._sync, self._asleep, 0)
            self._changed.notify_all()  # other sleeping threads look again, and write that they sleep

    def _stop(self):
        with self._changed:
            write(self._sync, self._stopped, 1)
            self._changed.notify_all()

    def wait_for(self, tasks):
        """Wait until the other threads have returned, which an interrupt of this one makes them do soon."""
        for task in tasks:
            while not task.done():
                try:
                    task.exception()
                except BaseException:  # another interrupt: the threads still write to the arrays
                    self._stop()
