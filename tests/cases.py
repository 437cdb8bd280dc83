"""Cases of use, ordinary and absurd: strategies that draw them, and what has to hold for each.

A case is a dictionary of plain values (JSON can hold it), from which data, weights and parameters are made.
``expected`` says how it has to end: "result", "error", or "either" where only the values decide. ``run`` raises where
it does not, or where a result is not finite, not reproducible, of the wrong shape or dtype, or not what the formula
gives.
"""

import pickle
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import reference
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import skl_sae
from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._kernels.penalties import PENALTIES
from skl_sae._solvers import SOLVERS

ESTIMATORS = {"transformer": SparseAutoencoderTransformer, "detector": SparseAutoencoderOutlierDetector}
EXPECTED_WARNINGS = ConvergenceWarning, skl_sae.HiddenUnitWarning, skl_sae.DataRangeWarning
EXPECTED_ERRORS = ValueError, TypeError
PACKAGE = str(Path(skl_sae.__file__).parent)
# Where the package hands data to scikit-learn to be checked: errors that arise there are about the data.
CHECKS = {"_check_data", "_check_rows", "_check_codes", "_check_weights", "check_weights"}

# -- data --------------------------------------------------------------------------------------------


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
    """X in that dtype, cut off at its ends where they are not infinite."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(X), max(limits.min, -(2.0**62)), min(limits.max, 2.0**62)).astype(dtype)
    if dtype.kind == "b":
        return X > 0
    with np.errstate(over="ignore", under="ignore"):
        return X.astype(dtype)


def plain(data):
    """The data of a case as an array of its dtype, and the generator to go on with."""
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
    """Forms that hold the same numbers, from which the same bits have to come."""
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

# -- parameters --------------------------------------------------------------------------------------

USUAL = {
    "n_components": st.integers(1, 12),
    "rho": st.floats(0.02, 0.5),
    "beta": st.floats(0, 10),
    "alpha": st.floats(0, 0.1),
    "penalty": st.sampled_from(list(PENALTIES)),
    "activation": st.sampled_from(HIDDEN_ACTIVATIONS),
    "output_activation": st.sampled_from(list(ACTIVATIONS)),
    "tied_weights": st.booleans(),
    "solver": st.sampled_from(list(SOLVERS)),
    "batch_size": st.integers(1, 40),
    "learning_rate_init": st.floats(1e-4, 0.05),
    "shuffle": st.booleans(),
    "adam_start": st.sampled_from([0, 0, 0, 1, 3]),
    "max_iter": st.integers(1, 8),
    "tol": st.sampled_from([0.0, 1e-4, 5e-3]),
    "n_iter_no_change": st.integers(1, 10),
    "early_stopping": st.sampled_from([False, False, False, True]),
    "validation_fraction": st.floats(0.1, 0.5),
    "random_state": st.integers(0, 2**32 - 1),
}
USUAL_OF_DETECTOR = {
    "n_components": st.one_of(st.just("auto"), USUAL["n_components"]),
    "contamination": st.one_of(st.just("auto"), st.floats(0.01, 0.5)),
    "scoring": st.sampled_from(["mahalanobis", "standardized_error", "squared_error"]),
    "scaling": st.sampled_from(["standard", "standard", None]),
    "support_fraction": st.floats(0.5, 1),
}
EXTREMES = [0.0, 5e-324, 1e-300, 1e-30, 1e10, 1e30, 1e38, 1e100, 1e155, 1e300, 1.79e308]
EDGES = {
    "n_components": st.integers(1, 300),
    "rho": st.sampled_from([5e-324, 1e-300, 1e-12, 1e-6, 0.999999, float(np.nextafter(1, 0)), 1.0, 3.0, 1e30, 1e300]),
    "beta": st.sampled_from(EXTREMES),
    "alpha": st.sampled_from(EXTREMES),
    "batch_size": st.sampled_from([1, 10**9, 2**63, 10**30]),
    "learning_rate_init": st.sampled_from(EXTREMES[1:]),
    "adam_start": st.integers(0, 15),
    "max_iter": st.integers(1, 15),
    "tol": st.sampled_from(EXTREMES),
    "n_iter_no_change": st.sampled_from([1, 10**9, 2**63, 10**30]),
    "early_stopping": st.just(True),
    "validation_fraction": st.sampled_from([5e-324, 1e-12, 0.9, 0.999999999999]),
    "noise": st.sampled_from([0.1, *EXTREMES]),
    "random_state": st.sampled_from([0, 2**32 - 1]),
    "warm_start": st.just(True),
}
EDGES_OF_DETECTOR = {
    "contamination": st.sampled_from([5e-324, 1e-12, 0.5]),
    "support_fraction": st.sampled_from([0.5, float(np.nextafter(1, 0)), 1.0, 1]),
}
_no_number = [float("nan"), float("inf"), -float("inf"), -1, -1e300, "a", None, [1], {}]
_no_count = [*_no_number, 1.5, 1e300]
_no_name = ["a", None, 1, ["sigmoid"], float("nan")]
_no_flag = ["a", None, 2, 0.5, []]
INVALID = {
    **dict.fromkeys(["rho", "beta", "alpha", "tol", "noise"], _no_number),
    "learning_rate_init": [0, *_no_number],
    "validation_fraction": [0, 1, *_no_number],
    **{key: [0, *_no_count] for key in ["n_components", "batch_size", "max_iter", "n_iter_no_change"]},
    "adam_start": _no_count,
    **dict.fromkeys(["penalty", "activation", "output_activation", "solver"], _no_name),
    **dict.fromkeys(["tied_weights", "shuffle", "early_stopping", "warm_start"], _no_flag),
    "random_state": [-1, 2**32, "a", 0.5, [1]],
    "verbose": [-1, "a", None],
}
INVALID_OF_DETECTOR = {
    "contamination": [0, 0.6, "a", *_no_number],
    "scoring": _no_name,
    "scaling": ["a", 1, ["standard"]],
    "support_fraction": [0.4, 1.1, *_no_number],
}

THEN = [
    "nothing", "warm fit", "chunks", "bad data", "bad parameter", "divergence", "misuse", "other rows", "huge rows",
]  # fmt: skip


def as_numpy(value):
    """A number as NumPy's, if that can hold it."""
    if isinstance(value, bool | float):
        return np.asarray(value)[()]
    return np.int64(value) if isinstance(value, int) and abs(value) < 2**63 else value


@st.composite
def cases(draw):
    """A dictionary of plain values."""
    name = draw(st.sampled_from(list(ESTIMATORS)))
    kind = draw(st.sampled_from(["tame", "tame", "edge", "edge", "edge", "invalid"]))
    detector, edge = name == "detector", kind == "edge"
    usual = USUAL | (USUAL_OF_DETECTOR if detector else {})
    chosen = draw(st.sets(st.sampled_from(sorted(usual)), max_size=len(usual)))
    parameters = {key: draw(usual[key]) for key in sorted(chosen | {"max_iter", "n_components", "random_state"})}
    data = {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "n": draw(
            st.one_of(st.integers(0, 6), st.integers(2, 300), st.integers(2, 300)) if edge else st.integers(12, 60)
        ),
        "d": draw(st.one_of(st.integers(0, 12), st.integers(1, 300)) if edge else st.integers(1, 12)),
        "values": draw(st.sampled_from([*TAME] if not edge else [*TAME, *WILD])),
        "exponent": draw(st.sampled_from([0, 0, 0, -300, -160, -30, -6, 6, 30, 100]) if edge else st.just(0)),
        "dtype": draw(st.sampled_from(DTYPES)),
        "bad": None,
    }
    forms = [*DENSE, "list", *DENSE] + [*SPARSE] * (data["dtype"] in ("float64", "float32", "int8", "int64", "bool"))
    data["form"] = draw(st.sampled_from(forms))
    case = {
        "estimator": name,
        "expected": {"tame": "result", "edge": "either", "invalid": "error"}[kind],
        "parameters": parameters,
        "numbers": draw(st.sampled_from(["Python", "NumPy"])),
        "data": data,
        "weights": draw(st.sampled_from(TAME_WEIGHTS if not edge else ["none", "none", *WEIGHTS])),
        "bad_weights": None,
        "then": draw(st.sampled_from(THEN)),
    }
    if edge:
        edges = EDGES | (EDGES_OF_DETECTOR if detector else {})
        chosen = draw(st.sets(st.sampled_from(sorted(edges)), max_size=3))
        parameters |= {key: draw(edges[key]) for key in sorted(chosen)}
    if kind == "invalid":
        fault = draw(st.sampled_from(["parameter", "data", "weights"]))
        if fault == "parameter":
            invalid = INVALID | (INVALID_OF_DETECTOR if detector else {})
            key = draw(st.sampled_from(sorted(invalid)))
            parameters[key] = draw(st.sampled_from(invalid[key]))
        elif fault == "data":
            data["bad"] = draw(st.sampled_from(list(BAD_DATA)))
        else:
            case["bad_weights"] = draw(st.sampled_from(list(BAD_WEIGHTS)))
    return case


# -- what has to hold --------------------------------------------------------------------------------


def deliberate(error):
    """Whether an error was raised on purpose: by a line of the package, or by a check of scikit-learn."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [place for place, frame in enumerate(frames) if frame.filename.startswith(PACKAGE)]
    if not ours:
        return True
    last = frames[ours[-1]]
    return last.line.startswith("raise ") if ours[-1] == len(frames) - 1 else last.name in CHECKS


def fails(action):
    """The error with which an action ends, None if it does not; an error by accident is not let through."""
    try:
        action()
    except EXPECTED_ERRORS as error:
        if not deliberate(error):
            raise
        return error
    return None


class Same(NamedTuple):
    """Equal to the very object alone, since NaN is not equal to itself."""

    value: object

    def __eq__(self, other):
        return self.value is other

    __hash__ = None


def state(estimator):
    return joblib.hash(vars(estimator))


def check_array(array, shape, dtype):
    assert isinstance(array, np.ndarray), type(array)
    assert array.shape == shape, (array.shape, shape)
    assert array.dtype == dtype, (array.dtype, dtype)
    assert np.isfinite(array).all()


def check_fit(estimator, d, dtype):
    m = len(estimator.encoder_coef_)
    for name, shape in {
        "encoder_coef_": (m, d),
        "encoder_intercept_": (m,),
        "decoder_coef_": (d, m),
        "decoder_intercept_": (d,),
        "mean_activation_": (m,),
    }.items():
        check_array(getattr(estimator, name), shape, dtype)
    for values in estimator.history_.values():
        check_array(values, (estimator.n_iter_,), np.float64)
    assert np.isfinite(estimator.loss_)
    assert estimator.loss_ == estimator.history_["loss"][-1]
    terms = [estimator.history_[name][-1] for name in ("reconstruction", "sparsity", "weight_decay")]
    assert min(terms) >= 0
    assert (estimator.mean_activation_ >= 0).all()
    shares = estimator.dead_fraction_, estimator.saturated_fraction_, estimator.constant_fraction_
    assert all(0 <= share <= 1 for share in shares)
    assert estimator.n_features_in_ == d
    if isinstance(estimator, SparseAutoencoderOutlierDetector):
        assert np.isfinite(estimator.offset_)
        assert np.isfinite(estimator.location_).all()
        assert np.isfinite(estimator.precision_).all()
        assert estimator.support_.any()


def check_loss(estimator, X, weights):
    """The terms of the loss are those of the formula; X is what the model was trained on, ordinary data."""
    with np.errstate(divide="ignore", invalid="ignore"):  # of a unit that is dead
        exact = reference.Model.of(estimator).terms(X.astype(np.float64), weights)._asdict()
    if not np.isfinite(exact["sparsity"]):
        exact = {name: exact[name] for name in ("reconstruction", "weight_decay")}
    rtol = 1e-9 if X.dtype == np.float64 else 1e-3
    scale = np.square(X.astype(np.float64)).sum(axis=1).max() + 1
    for name, value in exact.items():
        np.testing.assert_allclose(estimator.history_[name][-1], value, rtol=rtol, atol=rtol * scale, err_msg=name)


def results(estimator, X):
    """What every method gives for rows X."""
    if isinstance(estimator, SparseAutoencoderTransformer):
        H = estimator.transform(X)
        return {
            "transform": H,
            "inverse_transform": estimator.inverse_transform(H),
            "reconstruction_error": estimator.reconstruction_error(X),
            "errors of features": estimator.reconstruction_error(X, per_feature=True),
            "score_samples": estimator.score_samples(X),
            "score": np.array(estimator.score(X)),
        }
    return {
        "score_samples": estimator.score_samples(X),
        "decision_function": estimator.decision_function(X),
        "predict": estimator.predict(X),
        "reconstruction_error": estimator.reconstruction_error(X),
        "errors of features": estimator.reconstruction_error(X, per_feature=True),
        "score_contributions": estimator.score_contributions(X),
    }


def check_results(estimator, found, n, dtype):
    """Shapes, dtypes, finite values, and what ties the results to each other."""
    d, m = estimator.decoder_coef_.shape
    wide, numbers = (n, d), np.dtype(np.float64)
    if isinstance(estimator, SparseAutoencoderTransformer):
        shapes = {"transform": (n, m), "inverse_transform": wide, "errors of features": wide, "score": ()}
        numbers = dtype
    else:
        shapes = {"errors of features": wide, "score_contributions": wide}
    kinds = {"predict": np.int_, "score": np.float64}
    for name, array in found.items():
        check_array(array, shapes.get(name, (n,)), np.dtype(kinds.get(name, numbers)))
    assert (found["score_samples"] <= 0).all()
    assert (found["reconstruction_error"] >= 0).all()
    if "predict" in found:
        np.testing.assert_array_equal(found["predict"], np.where(found["decision_function"] < 0, -1, 1))
        parts, scores = found["score_contributions"], -found["score_samples"]
        assert (np.abs(parts.sum(axis=1) - scores) <= 1e-6 * np.abs(parts).sum(axis=1) + 1e-300).all()


def same(one, other, exactly=True):
    assert one.keys() == other.keys()
    for name in one:
        if exactly:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name, strict=True)
        else:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=1e-6, err_msg=name)


def use(estimator, X, array, expected):
    """Every method on rows that it has to answer for, or refuse on purpose: None then."""
    found = {}
    error = fails(lambda: found.update(results(estimator, X)))
    if error is not None:
        assert expected != "result", error
        return None
    check_results(estimator, found, len(array), array.dtype)
    return found


def run(case):
    """How a case ends: "result", or the name of an error that was meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for category in EXPECTED_WARNINGS:
            warnings.simplefilter("ignore", category)
        # Of scikit-learn, which adds up the data to see whether they are finite.
        warnings.filterwarnings("ignore", "invalid value encountered in reduce", RuntimeWarning)
        return _run(case)


def _run(case):
    data, expected = case["data"], case["expected"]
    array, rng = plain(data)
    weights = WEIGHTS[case["weights"]](rng, len(array))
    X = give(array, data["form"]) if data["bad"] is None else BAD_DATA[data["bad"]](array.astype(np.float64))
    if case["bad_weights"] is not None:
        weights = BAD_WEIGHTS[case["bad_weights"]](len(array))
    parameters = case["parameters"]
    if case["numbers"] == "NumPy":
        parameters = {key: as_numpy(value) for key, value in parameters.items()}
    estimator = ESTIMATORS[case["estimator"]](**parameters)
    unfitted = {key: Same(value) for key, value in vars(estimator).items()}
    before, weights_before = array.copy(), joblib.hash(weights)
    error = fails(lambda: estimator.fit(X, sample_weight=weights))
    if error is not None:
        assert expected != "result", error
        assert unfitted == vars(estimator)
        return type(error).__name__
    assert expected != "error", "no error"
    assert unfitted == {key: vars(estimator)[key] for key in unfitted}
    np.testing.assert_array_equal(X.toarray() if sparse.issparse(X) else np.asarray(X), before)
    assert joblib.hash(weights) == weights_before
    dtype = np.dtype(np.float32 if array.dtype in (np.float32, ">f4") and data["form"] != "list" else np.float64)
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    check_fit(estimator, array.shape[1], dtype)
    found = use(estimator, X, array, expected)
    if found is not None:
        if expected == "result" and case["estimator"] == "transformer" and not estimator.early_stopping:
            check_loss(estimator, array, None if weights is None else np.asarray(weights, np.float64))
        _again(case, estimator, X, array, weights, found, rng)
    _then(case, estimator, X, array, weights, rng)
    return "result"


def _again(case, estimator, X, array, weights, found, rng):
    """The same rows in another form, the model from a pickle, a second fit: the same results."""
    form = case["data"]["form"]
    other = give(array, rng.choice(other_forms(array, form)))
    same(results(estimator, other), found)
    loaded = pickle.loads(pickle.dumps(estimator))
    same(results(loaded, X), found)
    same(results(clone(estimator).fit(other, sample_weight=weights), X), found)
    if form not in SPARSE and case["expected"] == "result":
        same(results(estimator, sparse.csr_array(array)), found | results(estimator, array), exactly=False)


def _then(case, estimator, X, array, weights, rng):
    """What may come after a fit. A step that fails must leave everything as it was."""
    step, expected = case["then"], case["expected"]
    before = state(estimator)
    d = array.shape[1]
    if step == "warm fit":
        n_iter = estimator.n_iter_
        estimator.set_params(warm_start=True)
        before = state(estimator)
        error = fails(lambda: estimator.fit(X, sample_weight=weights))
        if error is None:
            check_fit(estimator, d, array.dtype)
            assert estimator.n_iter_ > n_iter
        else:
            assert expected != "result", error
            assert state(estimator) == before
    elif step == "chunks" and case["estimator"] == "transformer":
        _chunks(case, estimator, X, array, weights)
    elif step == "bad data":
        bad = BAD_DATA[rng.choice(["NaN", "infinity", "text", "one axis", "no rows", "sparse NaN"])]
        assert fails(lambda: estimator.fit(bad(array)))
        assert state(estimator) == before
        assert fails(lambda: results(estimator, bad(array)))
    elif step == "bad parameter":
        name = rng.choice(list(INVALID))
        value, usual = INVALID[name][rng.integers(len(INVALID[name]))], getattr(estimator, name)
        estimator.set_params(**{name: value})
        assert fails(lambda: estimator.fit(X))
        estimator.set_params(**{name: usual})
        assert state(estimator) == before
    elif step == "divergence":
        usual = estimator.get_params()
        estimator.set_params(solver="adam", learning_rate_init=1e300, batch_size=1, max_iter=3, noise=0)
        if fails(lambda: estimator.fit(X)):
            estimator.set_params(**usual)
            assert state(estimator) == before
        else:
            check_fit(estimator, d, array.dtype)
    elif step == "misuse":
        assert fails(lambda: results(estimator, np.ones((3, d + 1))))
        assert fails(lambda: results(clone(estimator), array))
        if case["estimator"] == "transformer":
            assert fails(lambda: estimator.inverse_transform(np.ones((3, len(estimator.encoder_coef_) + 1))))
        assert state(estimator) == before
    elif step == "other rows":
        rows = rng.normal(size=(int(rng.integers(1, 9)), d)).astype(array.dtype)
        use(estimator, rows, rows, expected)
    elif step == "huge rows":
        sizes = 10.0 ** rng.uniform(0, np.log10(np.finfo(array.dtype).max), size=(5, 1))
        rows = (rng.uniform(-1, 1, size=(5, d)) * sizes).astype(array.dtype)
        use(estimator, rows, rows, "either")


def _chunks(case, estimator, X, array, weights):
    """Two calls of partial_fit, alike in a copy."""
    chunks = [clone(estimator).set_params(warm_start=False) for _ in range(2)]
    ends = []
    for model in chunks:
        for _ in range(2):
            before = state(model)
            error = fails(lambda model=model: model.partial_fit(X, sample_weight=weights))
            if error is not None:
                assert case["expected"] != "result", error
                assert state(model) == before
                ends.append(type(error).__name__)
                break
        else:
            check_fit(model, array.shape[1], array.dtype)
            ends.append(state(model))
    assert ends[0] == ends[1]


if __name__ == "__main__":  # a case from a file that benchmarks/fuzz.py wrote
    import json

    print(run(json.loads(Path(sys.argv[1]).read_text())["case"]))
