"""Rows from mapped memory: copies of them may not fit in memory, and go to a temporary file instead."""

import mmap
import tempfile

import numpy as np

# A data set of at most this many numbers (8 MiB) may always be copied: a block of sparse rows takes more.
SMALL_COPY = 2**20


def stays_in_file(X):
    """Whether X is a large array in mapped memory, a file or shared memory: a copy may be too large for memory."""
    large = X.size > SMALL_COPY
    while large and isinstance(X, np.ndarray | memoryview):
        X = X.base if isinstance(X, np.ndarray) else X.obj
    return large and isinstance(X, mmap.mmap)


def in_file(blocks, shape, dtype):
    """Return an array of these blocks of rows in a temporary file, which is deleted with the array."""
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block).data)
            file.flush()
            return np.asarray(np.memmap(file, dtype, mode="r", shape=shape))
    except OSError as error:
        size = f"{np.prod(shape) * dtype.itemsize / 1e9:.3g} GB"
        problem = f"{error.strerror or error}: a copy of rows of X, which comes from a mapped file, needs {size} there"
        raise OSError(error.errno, problem, folder) from error
