"""What has to hold for a case of use.

``run`` raises an error where a case does not end as expected, or where a result is not finite, not reproducible, of the
wrong shape or dtype, or not what the formula gives.

    python tests/cases_run.py fuzz_failures/FILE.json
"""

import pickle
import sys
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import reference
from cases import ESTIMATORS, as_numpy, invalid_parameters
from cases_data import BAD_DATA, BAD_WEIGHTS, SPARSE, WEIGHTS, give, other_forms, plain
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import skl_sae
from skl_sae import SparseAutoencoderOutlierDetector, TopKAutoencoderTransformer

EXPECTED_WARNINGS = ConvergenceWarning, skl_sae.HiddenUnitWarning, skl_sae.DataRangeWarning
EXPECTED_ERRORS = ValueError, TypeError
PACKAGE = str(Path(skl_sae.__file__).parent)
# Where the package hands data to scikit-learn to be checked: errors that arise there are about the data.
CHECKS = {"_check_data", "_check_rows", "_check_codes", "_check_weights", "check_weights"}


def deliberate(error):
    """Whether an error was raised on purpose: by a line of the package, or by a check of scikit-learn."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [place for place, frame in enumerate(frames) if frame.filename.startswith(PACKAGE)]
    if not ours:
        return True
    last = frames[ours[-1]]
    return last.line.startswith("raise ") if ours[-1] == len(frames) - 1 else last.name in CHECKS


def fails(action):
    """The error with which an action ends, or None; an error that is not deliberate is raised again."""
    try:
        action()
    except EXPECTED_ERRORS as error:
        if not deliberate(error):
            raise
        return error
    return None


class Same(NamedTuple):
    """Equal only to the very same object, since NaN is not equal to itself."""

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
    }.items():
        check_array(getattr(estimator, name), shape, dtype)
    for values in estimator.history_.values():
        check_array(values, (estimator.n_iter_,), np.float64)
    assert np.isfinite(estimator.loss_)
    assert estimator.loss_ == estimator.history_["loss"][-1]
    assert estimator.n_features_in_ == d
    if isinstance(estimator, TopKAutoencoderTransformer):
        check_array(estimator.activation_frequency_, (m,), np.float64)
        assert ((estimator.activation_frequency_ >= 0) & (estimator.activation_frequency_ < 1 + 1e-9)).all()
        assert estimator.dead_fraction_ == np.mean(estimator.activation_frequency_ == 0)
        np.testing.assert_allclose(np.linalg.norm(estimator.components_, axis=1), 1, rtol=1e-5)
        return
    check_array(estimator.mean_activation_, (m,), dtype)
    terms = [estimator.history_[name][-1] for name in ("reconstruction", "sparsity", "weight_decay")]
    assert min(terms) >= 0
    assert (estimator.mean_activation_ >= 0).all()
    shares = estimator.dead_fraction_, estimator.saturated_fraction_, estimator.constant_fraction_
    assert all(0 <= share <= 1 for share in shares)
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


def check_selection(estimator, X, weights):
    """The largest activations are active, as far as rounding allows, and the loss is that of their reconstructions."""
    rtol = 1e-9 if X.dtype == np.float64 else 1e-3
    X, H = X.astype(np.float64), dense(estimator.transform(X)).astype(np.float64)
    Z = X @ estimator.encoder_coef_.T.astype(np.float64) + estimator.encoder_intercept_
    sizes = np.abs(X) @ np.abs(estimator.encoder_coef_.T) + np.abs(estimator.encoder_intercept_)
    tolerance, active = rtol * sizes.max() + 1e-300, H > 0
    np.testing.assert_allclose(H[active], Z[active], rtol=rtol, atol=tolerance)
    left, (k, by_batch) = np.where(active, -np.inf, Z).max(axis=1), estimator._code
    if by_batch:
        least = np.full(len(X), estimator.threshold_)
    else:
        assert (active.sum(axis=1) <= k).all()
        least = np.where(active.sum(axis=1) == k, np.where(active, Z, np.inf).min(axis=1), 0)
    assert (left <= least + 2 * tolerance).all()
    errors = np.square(H @ estimator.decoder_coef_.T + estimator.decoder_intercept_ - X).sum(axis=1)
    scale = np.square(X).sum(axis=1).max() + 1
    np.testing.assert_allclose(estimator.loss_, np.average(errors, weights=weights), rtol=rtol, atol=rtol * scale)


def dense(H):
    return H.toarray() if sparse.issparse(H) else H


def results(estimator, X):
    """What every method gives for rows X."""
    if not isinstance(estimator, SparseAutoencoderOutlierDetector):
        H = estimator.transform(X)
        return {
            "transform": dense(H),
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
    if not isinstance(estimator, SparseAutoencoderOutlierDetector):
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


def holds_out_all(estimator, array, weights):
    """Whether an estimator that learns from the distinct rows can hold none out for early stopping."""
    distinct = isinstance(estimator, TopKAutoencoderTransformer) or getattr(estimator, "scoring", None) == "auto"
    if not estimator.early_stopping or not distinct:
        return False
    used = np.ones(len(array)) if weights is None else np.asarray(weights)
    n = len(np.unique(array[used > 0], axis=0))
    return n - np.ceil(n * estimator.validation_fraction) < 2


def use(estimator, X, array, expected):
    """What every method gives for rows X; None if they are refused on purpose, which ``expected`` has to allow."""
    found = {}
    error = fails(lambda: found.update(results(estimator, X)))
    if error is not None:
        assert expected != "result", error
        return None
    check_results(estimator, found, len(array), array.dtype)
    return found


def run(case):
    """How a case ends: "result", or the name of a deliberate error."""
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
    if expected == "result" and holds_out_all(estimator, array, weights):
        expected = "either" if case["estimator"] == "topk" else "error"  # to top-k, 0 and -0 differ
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
        if expected == "result" and case["estimator"] != "detector" and not estimator.early_stopping:
            check = check_selection if case["estimator"] == "topk" else check_loss
            check(estimator, array, None if weights is None else np.asarray(weights, np.float64))
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
    elif step == "chunks" and case["estimator"] != "detector":
        _chunks(case, estimator, X, array, weights)
    elif step == "bad data":
        bad = BAD_DATA[rng.choice(["NaN", "infinity", "text", "one axis", "no rows", "sparse NaN"])]
        assert fails(lambda: estimator.fit(bad(array)))
        assert state(estimator) == before
        assert fails(lambda: results(estimator, bad(array)))
    elif step == "bad parameter":
        invalid = invalid_parameters(case["estimator"])
        name = rng.choice(list(invalid))
        value, usual = invalid[name][rng.integers(len(invalid[name]))], getattr(estimator, name)
        estimator.set_params(**{name: value})
        assert fails(lambda: estimator.fit(X))
        estimator.set_params(**{name: usual})
        assert state(estimator) == before
    elif step == "divergence":
        usual = estimator.get_params()
        wild = {"learning_rate_init": 1e300, "batch_size": 1, "max_iter": 3, "solver": "adam", "noise": 0}
        estimator.set_params(**{name: value for name, value in wild.items() if name in usual})
        if fails(lambda: estimator.fit(X)):
            estimator.set_params(**usual)
            assert state(estimator) == before
        else:
            check_fit(estimator, d, array.dtype)
    elif step == "misuse":
        assert fails(lambda: results(estimator, np.ones((3, d + 1))))
        assert fails(lambda: results(clone(estimator), array))
        if case["estimator"] != "detector":
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
    """Two calls of partial_fit, which end the same in a copy."""
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
