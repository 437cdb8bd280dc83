"""How functions are compiled, and how arrays are handed to them."""

import numpy as np
from numba import njit

from .._cache import KernelCache

CACHE_LINE = 64


def _compiler(*fastmath, **options):
    """Return a decorator that compiles on the first call and keeps the result on disk.

    error_model="numpy" drops a zero check per division that blocks vectorisation. No C code calls these functions, and
    without wrappers for it they compile in a tenth less time.
    """
    options = {"no_cfunc_wrapper": True, **options}  # numba's stubs do not know it
    decorator = njit(nogil=True, error_model="numpy", fastmath=set(fastmath), **options)

    def decorate(function):
        dispatcher = decorator(function)
        if dispatcher is not function:  # with compilation switched off it is the function itself
            dispatcher._cache = KernelCache(function)
        return dispatcher

    return decorate


# "contract" lets multiply-add fuse, "reassoc" lets sums run in vector lanes. Flags that assume away NaN or infinity are
# left out, because a diverging fit has to be noticed.
jit = _compiler("contract")
jit_sum = _compiler("contract", "reassoc")
# The compiler optimises a function together with everything it calls. Inlining chains of calls instead halves the time
# of a first compilation.
jit_inline = _compiler("contract", inline="always")


def as_readonly(array):
    """Return a read-only, aligned, C-contiguous view (a copy only if needed): one type for the compiler."""
    view = np.require(array, requirements=["C", "A"]).view()
    view.flags.writeable = False
    return view


def aligned(size, dtype):
    """Return a new vector, aligned to a cache line: SIMD vectors of 64 bytes that straddle two cost twice as much."""
    dtype = np.dtype(dtype)
    memory = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


def aligned_copy(vector):
    """Return a copy of a vector, aligned to a cache line."""
    copy = aligned(vector.size, vector.dtype)
    copy[:] = vector
    return copy
