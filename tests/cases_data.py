"""Data and weights for cases of use: values, dtypes, forms of arrays, and invalid ones."""

import tempfile
import warnings

import numpy as np
from scipy import sparse


def _outlier(rng, n, d):
    X = rng.normal(size=(n, d))
    X[rng.integers(n), rng.integers(d)] = 10.0 ** rng.integers(3, 305)
    return X


def _constant_features(rng, n, d):
    return np.where(rng.uniform(size=d) < 0.5, rng.normal(size=d), rng.normal(size=(n, d)))


TAME = {
    "normal": lambda rng, n, d: rng.normal(size=(n, d)),
    "uniform": lambda rng, n, d: rng.uniform(size=(n, d)),
    "binary": lambda rng, n, d: rng.integers(2, size=(n, d)).astype(float),
    "counts": lambda rng, n, d: rng.poisson(1, size=(n, d)).astype(float),
    "low rank": lambda rng, n, d: rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)),
    "constant": lambda rng, n, d: np.full((n, d), rng.normal()),
    "constant features": _constant_features,
    "zeros": lambda rng, n, d: np.zeros((n, d)),
    "equal rows": lambda rng, n, d: np.tile(rng.normal(size=d), (n, 1)),
    "repeated rows": lambda rng, n, d: rng.normal(size=(3, d))[rng.integers(3, size=n)],
    "signed zeros": lambda rng, n, d: rng.choice([0.0, -0.0, 1.0], size=(n, d)),
    "few": lambda rng, n, d: rng.normal(size=(n, d)) * (rng.uniform(size=(n, d)) < 0.1),
}
WILD = {
    "outlier": _outlier,
    "far": lambda rng, n, d: rng.normal(size=(n, d)) + 10.0 ** rng.integers(3, 16),
    "features of any size": lambda rng, n, d: rng.normal(size=(n, d)) * 10.0 ** rng.integers(-300, 300, size=d),
    "entries of any size": lambda rng, n, d: rng.normal(size=(n, d)) * 10.0 ** rng.integers(-300, 300, size=(n, d)),
    "denormal": lambda rng, n, d: rng.integers(-9, 10, size=(n, d)) * 5e-324,
    "denormal float32": lambda rng, n, d: rng.integers(-9, 10, size=(n, d)) * 1.4e-45,
    "largest float32": lambda rng, n, d: rng.choice([-3.4e38, 3.4e38], size=(n, d)),
    "largest": lambda rng, n, d: rng.choice([-1.79e308, 1.79e308], size=(n, d)),
    "1e300": lambda rng, n, d: rng.normal(size=(n, d)) * 1e300,
    "1e38": lambda rng, n, d: rng.normal(size=(n, d)) * 1e38,
}
DTYPES = ["float64", "float32"] * 6
DTYPES += ["float16", "longdouble", "int8", "uint8", "int64", "bool", "object", ">f8", ">f4", ">i4"]
BAD_DATA = {
    "NaN": lambda X: np.where(np.arange(X.size).reshape(X.shape) == X.size // 2, np.nan, X),
    "infinity": lambda X: np.where(np.arange(X.size).reshape(X.shape) == X.size // 2, -np.inf, X),
    "complex": lambda X: X + 1j,
    "text": lambda X: np.full(X.shape, "a"),
    "objects": lambda X: np.full(X.shape, None),
    "one axis": lambda X: X[0],
    "three axes": lambda X: X[None],
    "no axis": lambda X: X[0, 0],
    "no rows": lambda X: X[:0],
    "one row": lambda X: X[:1],
    "no features": lambda X: X[:, :0],
    "nothing": lambda X: None,
    "ragged": lambda X: [[1.0], [1.0, 2.0]],
    "sparse NaN": lambda X: sparse.csr_array(np.full(X.shape, np.nan)),
    "sparse infinity": lambda X: sparse.coo_array(np.full(X.shape, np.inf)),
    "sparse and one row": lambda X: sparse.csr_matrix(X[:1]),
    "sparse complex": lambda X: sparse.csc_array(X + 1j),
}


def _unaligned(X):
    if X.dtype == object:
        return X
    memory = np.zeros(X.nbytes + 1, np.uint8)[1:].view(X.dtype).reshape(X.shape)
    memory[:] = X
    return memory


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def _strided(X):
    wide = np.empty((2 * X.shape[0], 3 * X.shape[1]), X.dtype)
    wide[::2, ::3] = X
    return wide[::2, ::3]


def _memory_mapped(X):
    if X.size == 0 or X.dtype == object:  # what no file can hold
        return X
    with tempfile.TemporaryFile() as file:
        X.tofile(file)
        file.flush()
        return np.memmap(file, X.dtype, "r", shape=X.shape)


def _frame(X):
    import pandas

    return pandas.DataFrame(X)


def _wide_indices(X):
    S = sparse.csr_array(X)
    S.indices, S.indptr = S.indices.astype(np.int64), S.indptr.astype(np.int64)
    return S


def _explicit_zeros(X):
    rows, columns = np.indices(X.shape)
    return sparse.csr_array((X.ravel(), (rows.ravel(), columns.ravel())), shape=X.shape)


def _duplicates(X):
    S = sparse.coo_array(X)
    parts = [np.concatenate(pair) for pair in ((S.data, np.zeros_like(S.data)), (S.row, S.row), (S.col, S.col))]
    return sparse.coo_array((parts[0], (parts[1], parts[2])), shape=X.shape)


def _unsorted(X):
    S = sparse.csr_array(X)
    for start, stop in zip(S.indptr[:-1], S.indptr[1:], strict=True):
        S.indices[start:stop] = S.indices[start:stop][::-1].copy()
        S.data[start:stop] = S.data[start:stop][::-1].copy()
    S.has_sorted_indices = False
    return S


DENSE = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "strided": _strided,
    "read-only": _read_only,
    "unaligned": _unaligned,
    "memory-mapped": _memory_mapped,
    "frame": _frame,
}
SPARSE = {
    "csr": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csc": sparse.csc_array,
    "coo": sparse.coo_matrix,
    "bsr": sparse.bsr_array,
    "lil": sparse.lil_array,
    "dok": sparse.dok_array,
    "dia": sparse.dia_array,
    "64-bit indices": _wide_indices,
    "duplicates": _duplicates,
    "unsorted": _unsorted,
    "explicit zeros": _explicit_zeros,
}


def convert(X, dtype):
    """X in that dtype, clipped to its range if it is an integer type."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(X), max(limits.min, -(2.0**62)), min(limits.max, 2.0**62)).astype(dtype)
    if dtype.kind == "b":
        return X > 0
    with np.errstate(over="ignore", under="ignore"):
        return X.astype(dtype)


def plain(data):
    """The data of a case as an array of its dtype, and the random generator for what follows."""
    rng = np.random.default_rng(data["seed"])
    with np.errstate(over="ignore"):
        X = (TAME | WILD)[data["values"]](rng, max(data["n"], 1), max(data["d"], 1)) * 10.0 ** data["exponent"]
    return convert(X, data["dtype"])[: data["n"], : data["d"]], rng


def give(X, form):
    """X in that form: as a list, or as any kind of array, frame or sparse matrix."""
    if form == "list":
        return X.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sparse.SparseEfficiencyWarning)
        return (DENSE | SPARSE)[form](X)


def other_forms(X, form):
    """Forms that hold the same numbers and have to give the same bits."""
    padded = ["explicit zeros", "bsr"]  # zeros are stored: sums run in another order
    if form in SPARSE:
        return [form] if form in padded else [name for name in SPARSE if name not in padded]
    return [*DENSE, "list"] if X.dtype == np.float64 else [*DENSE] if form != "list" else [form]


WEIGHTS = {
    "none": lambda rng, n: None,
    "ones": lambda rng, n: np.ones(n),
    "counts": lambda rng, n: rng.integers(1, 4, size=n),
    "any": lambda rng, n: rng.uniform(0.1, 1, size=n),
    "list": lambda rng, n: rng.uniform(0.1, 1, size=n).tolist(),
    "half are zero": lambda rng, n: np.arange(n) % 2.0,
    "one in any size": lambda rng, n: 10.0 ** rng.integers(-320, 100, size=n),
    "huge": lambda rng, n: np.full(n, 1e97),
    "tiny": lambda rng, n: rng.uniform(size=n) * 1e-300,
    "denormal": lambda rng, n: rng.integers(0, 3, size=n) * 5e-324,
    "one dominates": lambda rng, n: np.where(np.arange(n) == 0, 1.0, 1e-16),
    "float32": lambda rng, n: rng.uniform(0.1, 1, size=n).astype(np.float32),
    "single": lambda rng, n: 2.0,
}
TAME_WEIGHTS = ["none", "ones", "counts", "any", "list", "float32", "half are zero"]
BAD_WEIGHTS = {
    "negative": lambda n: np.where(np.arange(n) == 1, -1.0, 1.0),
    "NaN": lambda n: np.full(n, np.nan),
    "infinite": lambda n: np.full(n, np.inf),
    "too many": lambda n: np.ones(n + 1),
    "too few": lambda n: np.ones(n - 1),
    "zeros": lambda n: np.zeros(n),
    "only one": lambda n: np.eye(1, n)[0],
    "two axes": lambda n: np.ones((n, 2)),
    "beyond": lambda n: np.full(n, 1e300),
    "text": lambda n: ["a"] * n,
}
