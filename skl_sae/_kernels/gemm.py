"""Matrix products by BLAS, also of slices of rows and columns, and also added to the output."""

import numpy as np
from numba import types
from numba.extending import overload, register_jitable
from numba.np.linalg import ensure_blas

ensure_blas()

# What numba's np.dot calls; np.dot itself can neither add to its output nor write to some of its columns.
_XXGEMM = types.ExternalFunction(
    "numba_xxgemm",
    types.intc(
        *(types.char, types.char, types.char, types.intp, types.intp, types.intp, types.uintp, types.uintp, types.intp),
        *(types.uintp, types.intp, types.uintp, types.uintp, types.intp),
    ),
)
_KINDS = {types.float32: (ord("s"), np.array([0, 1], np.float32)), types.float64: (ord("d"), np.array([0.0, 1.0]))}
_PLAIN, _TRANSPOSED = ord("n"), ord("t")


def gemm(transpose_a, A, transpose_b, B, accumulate, C):
    """Compute C = op(A) op(B), or C += op(A) op(B) if ``accumulate``.

    The matrices have one dtype, and the numbers of a row are adjacent in memory: slices of rows and columns will do.
    """
    # This body runs only with compilation switched off.
    product = (A.T if transpose_a else A) @ (B.T if transpose_b else B)
    C[:] = C + product if accumulate else product


@register_jitable
def _leading(A):
    """Return how many numbers apart adjacent rows begin. The strides of a single row may be anything."""
    return A.strides[0] // A.itemsize if A.shape[0] > 1 else A.shape[1]


@overload(gemm)
def _gemm_by_dtype(transpose_a, A, transpose_b, B, accumulate, C):
    kind, scalars = _KINDS[A.dtype]
    size = scalars.itemsize

    def multiply(transpose_a, A, transpose_b, B, accumulate, C):
        inner = A.shape[0] if transpose_a else A.shape[1]
        mode_a, mode_b = (_TRANSPOSED if transpose_a else _PLAIN), (_TRANSPOSED if transpose_b else _PLAIN)
        alpha = scalars.ctypes.data + size
        beta = alpha if accumulate else alpha - size
        a, b, c = A.ctypes.data, B.ctypes.data, C.ctypes.data
        n_rows, n_columns = C.shape
        # BLAS stores by columns: it is asked for C' = op(B)' op(A)'.
        _XXGEMM(
            kind, mode_b, mode_a, n_columns, n_rows, inner, alpha, b, _leading(B), a, _leading(A), beta, c, _leading(C)
        )  # fmt: skip

    return multiply
