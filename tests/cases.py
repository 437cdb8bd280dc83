"""Cases of use, ordinary and absurd: strategies that draw them. `cases_run.run` checks how one ends.

A case is a dictionary of plain values (JSON can hold it), from which data, weights and parameters are made.
``expected`` says how it has to end: "result", "error", or "either" where only the values decide.
"""

import numpy as np
from cases_data import BAD_DATA, BAD_WEIGHTS, DENSE, DTYPES, SPARSE, TAME, TAME_WEIGHTS, WEIGHTS, WILD
from hypothesis import strategies as st

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._kernels.penalties import PENALTIES
from skl_sae._solvers import SOLVERS

ESTIMATORS = {
    "transformer": SparseAutoencoderTransformer,
    "detector": SparseAutoencoderOutlierDetector,
    "topk": TopKAutoencoderTransformer,
}

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
    "scoring": st.sampled_from(["auto", "mahalanobis", "standardized_error", "squared_error"]),
    "scaling": st.sampled_from(["standard", "standard", None]),
    "support_fraction": st.floats(0.5, 1),
}
USUAL_OF_TOPK = {
    "k": st.one_of(st.none(), USUAL["n_components"]),  # no more than there are units, see below
    "selection": st.sampled_from(["topk", "batchtopk"]),
    "init": st.sampled_from(["whitened", "random"]),
    "resample_dead": st.booleans(),
    "sparse_output": st.booleans(),
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
EDGES_OF_TOPK = {"k": EDGES["n_components"]}
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
INVALID_OF_TOPK = {
    "k": [value for value in [0, 10**6, *_no_count] if value is not None],
    **dict.fromkeys(["selection", "init"], _no_name),
    **dict.fromkeys(["resample_dead", "sparse_output"], _no_flag),
}


def _of(estimator, common, of_detector, of_topk):
    """The entries of the tables that are parameters of an estimator."""
    table = common | {"transformer": {}, "detector": of_detector, "topk": of_topk}[estimator]
    return {key: value for key, value in table.items() if key in ESTIMATORS[estimator]().get_params()}


def invalid_parameters(estimator):
    return _of(estimator, INVALID, INVALID_OF_DETECTOR, INVALID_OF_TOPK)


THEN = [
    "nothing", "warm fit", "chunks", "bad data", "bad parameter", "divergence", "misuse", "other rows", "huge rows",
]  # fmt: skip


def as_numpy(value):
    """A number as a scalar of NumPy, if that can hold it; other values as they are."""
    if isinstance(value, bool | float):
        return np.asarray(value)[()]
    return np.int64(value) if isinstance(value, int) and abs(value) < 2**63 else value


@st.composite
def cases(draw):
    """A dictionary of plain values."""
    name = draw(st.sampled_from(list(ESTIMATORS)))
    kind = draw(st.sampled_from(["tame", "tame", "edge", "edge", "edge", "invalid"]))
    edge, usual = kind == "edge", _of(name, USUAL, USUAL_OF_DETECTOR, USUAL_OF_TOPK)
    chosen = draw(st.sets(st.sampled_from(sorted(usual)), max_size=len(usual)))
    parameters = {key: draw(usual[key]) for key in sorted(chosen | {"max_iter", "n_components", "random_state"})}
    if parameters.get("k") is not None:
        parameters["k"] = min(parameters["k"], parameters["n_components"])
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
        edges = _of(name, EDGES, EDGES_OF_DETECTOR, EDGES_OF_TOPK)
        chosen = draw(st.sets(st.sampled_from(sorted(edges)), max_size=3))
        parameters |= {key: draw(edges[key]) for key in sorted(chosen)}
    if kind == "invalid":
        fault = draw(st.sampled_from(["parameter", "data", "weights"]))
        if fault == "parameter":
            invalid = invalid_parameters(name)
            key = draw(st.sampled_from(sorted(invalid)))
            parameters[key] = draw(st.sampled_from(invalid[key]))
        elif fault == "data":
            data["bad"] = draw(st.sampled_from(list(BAD_DATA)))
        else:
            case["bad_weights"] = draw(st.sampled_from(list(BAD_WEIGHTS)))
    return case
