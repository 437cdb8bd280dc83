"""Threads that take their shares of a phase, and meet before the next one.

The threads run the same kernel on the same arrays. A kernel works phase by phase: in a phase no two threads write to
the same memory, and after it each waits for the others. It waits by spinning for a while; then the kernel returns, and
`skl_sae._crew` waits in Python.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .jit import jit, jit_inline

LINE = 8  # numbers of 8 bytes in a cache line: threads that write to one line slow each other down


class Team(NamedTuple):
    """A thread's view of the threads that work together.

    ``sync`` holds a cache line for each thread, with the number of phases that it has finished, then one that is not
    zero when a thread sleeps and has to be woken, and one that is not zero when all have to stop.
    """

    me: int
    size: int
    spin: int  # how often to look before sleeping
    sync: np.ndarray  # (8 (size + 2),) int64


def new_sync(size):
    """Return the memory by which ``size`` threads meet."""
    return np.zeros(LINE * (size + 2), np.int64)


@intrinsic
def _load_atomic(typing_context, address):
    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(types.uintp), generate


@intrinsic
def _store_atomic(typing_context, address, value):
    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("xchg", pointer, arguments[1], "seq_cst")

    return types.int64(types.uintp, types.int64), generate


def _load(array, index):
    return int(array[index])  # only with compilation switched off


@overload(_load)
def _load_compiled(array, index):
    return lambda array, index: _load_atomic(array.ctypes.data + 8 * index)


def _store(array, index, value):
    array[index] = value  # only with compilation switched off


@overload(_store)
def _store_compiled(array, index, value):
    def store(array, index, value):
        _store_atomic(array.ctypes.data + 8 * index, value)

    return store


@jit
def read(array, index):
    """Read what another thread may be writing."""
    return _load(array, index)


@jit
def write(array, index, value):
    """Write what another thread may be reading."""
    _store(array, index, value)


@jit
def all_reached(team, phase):
    """Whether every thread has finished the phases before ``phase``."""
    for other in range(team.size):  # noqa: SIM110 (a generator does not compile)
        if _load(team.sync, LINE * other) < phase:
            return False
    return True


@jit
def meet(team, phase):
    """Say that this thread has finished the phases before ``phase`` and wait for the others.

    Returns False if the kernel has to return: because the wait takes long, a thread sleeps, or all have to stop.
    """
    _store(team.sync, LINE * team.me, phase)
    if _load(team.sync, LINE * team.size):
        return False
    for _ in range(team.spin + 1):
        if all_reached(team, phase):
            return True
        if _load(team.sync, LINE * (team.size + 1)):
            return False
    return False


@jit_inline
def share(team, n):
    """Return where this thread's share of n items begins and ends."""
    return team.me * n // team.size, (team.me + 1) * n // team.size
