"""Parts of ONNX graphs that several views need. ``node(kind, *inputs, **attributes)`` adds a node."""

import numpy as np

# Rows of a table that values are compared with at a time: each comparison takes memory.
CHUNK = 64

# Types of onnx.TensorProto; onnx is imported only where models are converted.
FLOAT, INT64, DOUBLE = 1, 7, 11


def row_sum(node, tensor):
    """Return the sums (n, 1) of the rows of a tensor (n, d)."""
    return node("ReduceSum", tensor, np.array([1]), keepdims=1)


def quadratic(node, vectors, location, precision):
    """Return squared distances (n, 1) of vectors (n, p) by a precision, (p, p) or its diagonal (p,)."""
    centred = node("Sub", vectors, location)
    weighted = node("Mul" if precision.ndim == 1 else "MatMul", centred, precision)
    return row_sum(node, node("Mul", weighted, centred))


def count(node, comparison, values, tensor):
    """Return for every entry of a tensor (n, d) how many of the values (k, d) of its column fulfil the comparison."""
    rows, total = node("Unsqueeze", tensor, np.array([1])), None
    for start in range(0, len(values), CHUNK):
        hits = node(comparison, rows, values[None, start : start + CHUNK])
        part = node("ReduceSum", node("Cast", hits, to=FLOAT), np.array([1]), keepdims=0)
        total = part if total is None else node("Add", total, part)
    return node("Cast", total, to=INT64)


def nearest(node, products, points, identity, excluded):
    """Return the index (n,) of the nearest of the points (k, d) for each of n rows.

    ``products`` (n, k) are -2 Z points'. A point does not count for a row where its ``identity`` (k,) equals
    ``excluded`` (n, 1); with ``excluded=None`` all count.
    """
    distances = node("Add", products, np.square(points).sum(axis=1)[None])
    if excluded is not None:
        distances = node("Where", node("Equal", identity[None], excluded), np.array(np.inf), distances)
    return node("ArgMin", distances, axis=1, keepdims=0)
