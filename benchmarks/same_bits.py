"""Does a change of the code leave every fitted number as it was, bit by bit?

    git worktree add /tmp/before COMMIT
    PYTHONPATH=/tmp/before python benchmarks/same_bits.py write before.pkl
    PYTHONPATH=. python benchmarks/same_bits.py write after.pkl
    PYTHONPATH=. python benchmarks/same_bits.py compare before.pkl after.pkl

``write`` fits the transformer and the detector in many configurations and saves every fitted attribute and what the
methods return; ``compare`` lists the configurations that differ and exits with 1 if there are any. Run ``write`` with
the same packages, on the same machine and with the same number of threads both times: rounding depends on these.
"""

import argparse
import itertools
import pickle
import sys
import warnings

import numpy as np
from scipy import sparse

import skl_sae
from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer

# Rows, features, units: one model on each side of the size from which products are left to BLAS, and a batch that does
# not divide the rows.
SIZES = {"small": (301, 20, 10), "large": (403, 150, 60)}
METHODS = [
    "transform", "score_samples", "reconstruction_error", "decision_function", "predict", "score_contributions",
]  # fmt: skip


def rows(size, dtype="float64", kind="dense"):
    X = np.random.default_rng(0).uniform(size=SIZES[size][:2]).astype(dtype)
    return sparse.csr_array(np.where(X < 0.7, 0, X)) if kind == "sparse" else X


def configurations():
    """Name: (estimator, parameters, size, dtype, kind of rows, what to do)."""
    shared = {"random_state": 0, "max_iter": 8, "batch_size": 50}
    table = {}

    def add(name, parameters, size="small", dtype="float64", kind="dense", job="fit", detector=False):
        estimator = SparseAutoencoderOutlierDetector if detector else SparseAutoencoderTransformer
        name = f"{'detector' if detector else 'transformer'} {name} {size} {dtype} {kind} {job}"
        table[name] = estimator, {**shared, "n_components": SIZES[size][2], **parameters}, size, dtype, kind, job

    for solver, size, dtype, kind in itertools.product(
        ["lbfgs", "adam"], SIZES, ["float64", "float32"], ["dense", "sparse"]
    ):
        add(solver, {"solver": solver}, size, dtype, kind)
        add(solver, {"solver": solver}, size, dtype, kind, detector=True)
    for activation, output, tied in itertools.product(
        ["sigmoid", "relu"], ["identity", "sigmoid", "relu"], [False, True]
    ):
        model = {"activation": activation, "output_activation": output, "tied_weights": tied}
        for solver, size in [("lbfgs", "small"), ("lbfgs", "large"), ("adam", "large")]:
            add(f"{activation} {output} tied={tied} {solver}", {**model, "solver": solver}, size)
    for solver, size, job in itertools.product(["lbfgs", "adam"], SIZES, ["weights", "warm", "chunks"]):
        add(solver, {"solver": solver, "warm_start": job == "warm"}, size, job=job)
    for size in SIZES:
        add("early_stopping lbfgs", {"early_stopping": True}, size)
        add("early_stopping adam", {"early_stopping": True, "solver": "adam"}, size, "float32")
        add("noise", {"noise": 0.3, "solver": "adam"}, size)
        add("adam_start", {"adam_start": 3}, size, job="warm")
        add("one batch", {"solver": "adam", "batch_size": 10**6, "shuffle": False}, size)
        for scoring in ("mahalanobis", "standardized_error", "squared_error"):
            add(scoring, {"scoring": scoring, "support_fraction": 1.0, "scaling": None}, size, detector=True)
        add("contamination", {"contamination": 0.1}, size, job="weights", detector=True)
        add("adam_start", {"adam_start": 2, "early_stopping": True}, size, "float32", "sparse", detector=True)
    return table


def fitted(estimator, parameters, size, dtype, kind, job):
    X, model = rows(size, dtype, kind), estimator(**parameters)
    weights = np.random.default_rng(1).integers(0, 4, size=X.shape[0])
    if job == "chunks":
        for chunk in np.array_split(np.arange(X.shape[0]), 3):
            model.partial_fit(X[chunk], sample_weight=1 + weights[chunk])
    else:
        model.fit(X, sample_weight=weights if job == "weights" else None)
    if job == "warm":
        model.fit(X)
    return model, X


def numbers(model, X):
    """Every fitted attribute and the result of every method, as bytes."""
    found = {key: value for key, value in vars(model).items() if key.endswith("_") and not key.startswith("_")}
    found |= {f"history_ {key}": value for key, value in found.pop("history_").items()}
    found |= {name: getattr(model, name)(X) for name in METHODS if hasattr(model, name)}
    found |= {name: getattr(model, name) for name in ("location_", "precision_") if hasattr(model, name)}
    found["errors of features"] = model.reconstruction_error(X, per_feature=True)
    found = {key: np.asarray(value) for key, value in found.items()}
    return {key: (value.dtype.str, value.shape, value.tobytes()) for key, value in found.items()}


def write(path):
    warnings.simplefilter("ignore")
    results = {name: numbers(*fitted(*job)) for name, job in configurations().items()}
    with open(path, "wb") as file:
        pickle.dump(results, file)
    attributes = sum(map(len, results.values()))
    print(f"{skl_sae.__file__}: {len(results)} configurations, {attributes} arrays written to {path}")


def compare(before, after):
    with open(before, "rb") as one, open(after, "rb") as other:
        before, after = pickle.load(one), pickle.load(other)
    failures = sorted(before.keys() ^ after.keys())
    for name in before.keys() & after.keys():
        keys = before[name].keys() | after[name].keys()
        wrong = sorted(key for key in keys if before[name].get(key) != after[name].get(key))
        if wrong:
            failures.append(f"{name}: {', '.join(wrong)}")
    arrays = sum(map(len, after.values()))
    print(f"{len(after)} configurations, {arrays} arrays compared: {len(failures)} differ", *failures, sep="\n  ")
    return bool(failures)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("action", choices=["write", "compare"])
    options.add_argument("files", nargs="+")
    options = options.parse_args()
    sys.exit(compare(*options.files) if options.action == "compare" else write(*options.files))


if __name__ == "__main__":
    main()
