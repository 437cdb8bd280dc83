"""Rows of dask arrays on dask's threads; test_dask_cluster.py has those on a cluster of processes."""

import subprocess
import sys

import numpy as np
import pytest
import reference
from dask_rows import MARKS, ROWS, D, assert_same_fit, detector, in_csr, made_on_workers, rare, transformer
from models import layout_of
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skl_sae import DataRangeWarning, HiddenUnitWarning
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._objectives import Objective, objective_for
from skl_sae._rows import as_rows

dask = pytest.importorskip("dask", reason="needs dask")
da = pytest.importorskip("dask.array", reason="needs dask")
distributed = pytest.importorskip("distributed", reason="needs distributed")

pytestmark = MARKS


@pytest.fixture
def threads(monkeypatch):
    """Use dask's threads, even if the module has a client."""
    with dask.config.set(scheduler="threads"):
        yield


# -- small fits, also in plain Python ---------------------------------------------------------------


@pytest.fixture
def small(threads, monkeypatch, rng):
    """A dask array of small blocks, one of them empty, and the same rows here."""
    for name in "LEAST_ROWS", "LEAST_NUMBERS":
        monkeypatch.setattr(f"skl_sae._rows.dask.{name}", 1)
    rows = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6))
    return da.from_array(rows, chunks=((7, 0, 13, 9, 11), (4, 2))), rows


@pytest.mark.plain
@pytest.mark.parametrize("in_rows", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", ["here", "there", "not"])
def test_a_small_fit(small, rng, in_rows, weighted):
    X, rows = small
    weights = None if weighted == "not" else rng.integers(0, 3, size=40).astype(float)
    if weights is not None:
        weights[:7] = 0  # a whole block
    sent = da.from_array(weights, chunks=17) if weighted == "there" else weights
    found = transformer(4, max_iter=4).fit(X.map_blocks(in_rows), sample_weight=sent)
    assert_same_fit(found, transformer(4, max_iter=4).fit(in_rows(rows), sample_weight=weights))
    for method in "transform", "reconstruction_error", "score_samples":
        lazy = getattr(found, method)(X)
        np.testing.assert_allclose(lazy.compute(), getattr(found, method)(rows), rtol=1e-8)
    assert found.score(X, sample_weight=sent) == pytest.approx(found.score(rows, sample_weight=weights))
    codes = found.transform(X)
    np.testing.assert_allclose(found.inverse_transform(codes), found.inverse_transform(found.transform(rows)))


@pytest.mark.plain
@pytest.mark.parametrize("scoring", ["auto", "mahalanobis", "standardized_error"])
def test_a_small_detector(small, scoring):
    X, rows = small
    found, expected = (detector(scoring=scoring, max_iter=3).fit(one) for one in (X, rows))
    for method in "score_samples", "decision_function", "predict", "score_contributions", "reconstruction_error":
        np.testing.assert_allclose(getattr(found, method)(X), getattr(expected, method)(rows), rtol=1e-5, atol=1e-9)


@pytest.mark.plain
def test_small_blocks_of_unknown_size_and_what_is_refused(small, monkeypatch):
    X, rows = small
    monkeypatch.setattr("skl_sae._rows.graph.PART", 64)  # what is sent goes in parts
    found = transformer(4, max_iter=3, output_activation="relu")
    with pytest.warns(DataRangeWarning):
        found.fit(X[X[:, 0] > -1e9])
    np.testing.assert_allclose(found.transform(X).compute(), found.transform(rows))
    for bad in (X[:1], X[:, :0], X[:, 0], da.where(X > 0, np.nan, X)):
        with pytest.raises(ValueError, match=r"sample|feature|2D|NaN"):
            transformer(4).fit(bad)
    for settings in ({"solver": "adam"}, {"early_stopping": True}):
        with pytest.raises(ValueError, match="dask array"):
            transformer(4, **settings).fit(X)
    with pytest.raises(ValueError, match="Incremental"):
        transformer(4).partial_fit(X)


# -- objective -------------------------------------------------------------------------------------

CASES = {
    "loops": (D, 8, False, "identity", 1.0),
    "BLAS": (D, 150, False, "sigmoid", 1.0),
    "tied": (400, 30, True, "identity", 1.0),
    "few sparse features": (D, 8, False, "identity", 0.1),
    "sparse": (400, 30, False, "relu", 0.01),
    "sparse Gram": (400, 30, False, "identity", 0.01),
    "tied sparse Gram": (400, 30, True, "identity", 0.01),
}


@pytest.mark.parametrize("code", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("case", list(CASES))
def test_sums_over_blocks_are_the_objective(threads, rng, case, code):
    d, m, tied, output, density = CASES[case]
    X = rng.normal(size=(2000, d)) * (rng.random((2000, d)) < density)
    chunks = da.from_array(X, chunks=((1100, 900), (d,)))
    X, chunks = (sparse.csr_array(X), in_csr(chunks)) if density < 1 else (X, chunks)
    weights = rng.integers(1, 4, 2000).astype(float)
    parts = (0.1 * rng.normal(size=size) for size in [(m, d), m, (d, m), d])
    model = reference.Model(*parts, activation=code, output=output, rho=0.1, beta=3.0, alpha=1e-3, tied=tied)
    arch, reg = layout_of(model)
    theta = model.theta
    rows = as_rows(chunks)
    found = objective_for(rows, rows.check_weights(weights, 2), arch, reg)
    wanted = objective_for(as_rows(X), weights, arch, reg)
    (evaluation, gradient), (expected, expected_gradient) = (one.evaluate_gradient(theta) for one in (found, wanted))
    np.testing.assert_allclose(evaluation, expected, rtol=1e-10)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-7, atol=1e-10)
    wanted = Objective(as_rows(X), weights, arch, reg)
    np.testing.assert_allclose(found.evaluate(theta), wanted.evaluate(theta), rtol=1e-10)
    for name in "mean", "deviation", "lowest", "highest":
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-7, err_msg=name)


# -- what else a fit does --------------------------------------------------------------------------


@pytest.mark.parametrize("output", list(ACTIVATIONS))
@pytest.mark.parametrize("code", HIDDEN_ACTIVATIONS)
def test_every_activation_and_output(threads, code, output):
    chunks, X = made_on_workers(3)
    model = transformer(max_iter=8, activation=code, output_activation=output)
    low, high = X.min(), X.max()
    assert_same_fit(clone(model).fit((chunks - low) / (high - low)), clone(model).fit((X - low) / (high - low)))


LAYOUTS = {
    "one": ((6000,), (D,)),
    "uneven": ((3000, 1, 1999, 1000), (D,)),
    "empty": ((0, 3000, 0, 3000, 0), (D,)),
    "tiny": (600 * (10,), (D,)),
    "several along features": ((4000, 2000), (30, 30, 4)),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("in_rows", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_chunks_make_no_difference(threads, layout, in_rows):
    _, X = made_on_workers(5)
    X = rare(X)
    chunks = da.from_array(X, chunks=LAYOUTS[layout])
    chunks = chunks if in_rows is np.asarray else in_csr(chunks)
    fitted, expected = transformer(max_iter=10).fit(chunks), transformer(max_iter=10).fit(in_rows(X))
    assert_same_fit(fitted, expected)
    np.testing.assert_allclose(fitted.transform(chunks).compute(), expected.transform(in_rows(X)), atol=1e-6)


def test_chunks_of_unknown_size(threads, rng):
    chunks, X = made_on_workers(3)
    chosen = X[:, 0] > 0
    unknown = chunks[chunks[:, 0] > 0]
    weights = rng.random(len(X))
    fitted = transformer(max_iter=10).fit(unknown, sample_weight=da.from_array(weights)[chunks[:, 0] > 0])
    assert np.isnan(unknown.shape[0])
    assert_same_fit(fitted, transformer(max_iter=10).fit(X[chosen], sample_weight=weights[chosen]))
    assert fitted.score(unknown) == pytest.approx(fitted.score(X[chosen]))


def test_tiny_chunks_are_worked_on_together(threads):
    from skl_sae._rows.dask import DaskRows

    X = np.ones((6000, D))
    assert len(DaskRows.from_array(da.from_array(X, chunks=(10, D))).blocks) <= 6


def test_integers_become_float64(threads):
    X = da.random.default_rng(0).integers(0, 9, size=(500, 6), chunks=(250, 6))
    model = transformer(3, max_iter=3).fit(X)
    assert model.encoder_coef_.dtype == model.transform(X).dtype == model.transform(X).compute().dtype == np.float64


def test_a_warm_start_goes_on(threads):
    chunks, X = made_on_workers(3)
    fitted, expected = (transformer(max_iter=5, warm_start=True) for _ in range(2))
    for _ in range(2):
        fitted.fit(chunks)
        expected.fit(X)
    assert fitted.n_iter_ == 10
    assert_same_fit(fitted, expected)


def test_callbacks_are_given_the_dask_array(threads):
    pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    seen = []

    class Recorder:
        max_propagation_depth = 0

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, *, X=None, **others):
            seen.append(X)

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, **others):
            seen.append(fitted_estimator)

    chunks, _ = made_on_workers(2)
    transformer(max_iter=3).set_callbacks(Recorder()).fit(chunks)
    assert seen[0] is chunks


@pytest.mark.parametrize(
    ("settings", "category", "words"),
    [
        (dict(output_activation="relu"), DataRangeWarning, "X lies in"),
        (dict(rho=0.5), ConvergenceWarning, "max_iter=2"),
        ({}, HiddenUnitWarning, "not sparse"),
    ],
)
def test_warnings_are_those_of_one_machine(threads, settings, category, words):
    found = []
    for rows in made_on_workers(2):
        with pytest.warns(category, match=words) as caught:
            transformer(max_iter=2, **settings).fit(rows)
        found.append([(one.category, str(one.message)) for one in caught])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(solver="adam"), "Incremental"),
        (dict(adam_start=3), "Incremental"),
        (dict(early_stopping=True), "early_stopping"),
    ],
)
@pytest.mark.parametrize("model", [transformer(), detector()], ids=["transformer", "detector"])
def test_what_needs_rows_one_by_one_is_refused(threads, model, change, message):
    chunks, _ = made_on_workers(2)
    with pytest.raises(ValueError, match=message):
        clone(model).set_params(**change).fit(chunks)


def test_partial_fit_names_the_way_to_go(threads):
    with pytest.raises(ValueError, match=r"dask_ml\.wrappers\.Incremental"):
        transformer().partial_fit(made_on_workers(2)[0])


def bad_rows(X):
    return {
        "NaN": (X.map_blocks(lambda block: np.where(block > 5, np.nan, block)), None, "contains NaN"),
        "complex": (X.astype(complex), None, "Complex data"),
        "one dimension": (X[:, 0], None, "Expected 2D array, got 1D"),
        "no rows": (X[:0], None, "0 sample"),
        "one row": (X[:1], None, "minimum of 2 is required"),
        "shape that is not true": (X.map_blocks(lambda block: block[1:], chunks=X.chunks), None, "shape"),
        "length of weights": (X, np.ones(5), "sample_weight.shape"),
        "length of weights on the cluster": (X, da.ones(5), "sample_weight.shape"),
        "negative weights": (X, -da.ones(len(X)), "Negative values"),
        "no weight": (X, da.zeros(len(X)), "positive for 0 samples"),
        "sum of weights": (X, da.full(len(X), 1e99), "above 1e100"),
    }


@pytest.mark.parametrize("model", [transformer(), detector()], ids=["transformer", "detector"])
@pytest.mark.parametrize("problem", list(bad_rows(da.ones((2 * ROWS, D)))))
def test_bad_rows_are_refused_as_elsewhere(threads, problem, model):
    X, weights, message = bad_rows(made_on_workers(2)[0])[problem]
    model = clone(model)
    with pytest.raises(ValueError, match=message):
        model.fit(X, sample_weight=weights)
    assert not hasattr(model, "n_features_in_")


def test_other_collections_are_refused(threads):
    with pytest.raises(TypeError, match="to_dask_array"):
        transformer().fit(dask.delayed(np.ones)((4, 3)))


# -- the detector ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scoring", ["auto", "mahalanobis", "standardized_error", "squared_error"])
@pytest.mark.parametrize("in_rows", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_the_detector_learns_the_same(threads, rng, scoring, in_rows):
    _, X = made_on_workers(3)
    X = rare(X) if in_rows is not np.asarray else X
    X[:, 3] = 1  # constant
    chunks = da.from_array(X, chunks=(ROWS, 40))
    chunks = chunks if in_rows is np.asarray else in_csr(chunks)
    weights = rng.integers(0, 3, len(X)).astype(float)
    fitted = detector(scoring=scoring).fit(chunks, sample_weight=da.from_array(weights))
    expected = detector(scoring=scoring).fit(in_rows(X), sample_weight=weights)
    np.testing.assert_array_equal(fitted.support_, expected.support_)
    np.testing.assert_allclose(fitted.offset_, expected.offset_, rtol=1e-6)
    np.testing.assert_allclose(fitted.precision_, expected.precision_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fitted.score_samples(chunks).compute(), expected.score_samples(in_rows(X)), rtol=1e-6)


# -- using a fit -----------------------------------------------------------------------------------

METHODS = [
    (transformer(), "transform", {}),
    (transformer(), "score_samples", {}),
    (transformer(), "reconstruction_error", {}),
    (transformer(), "reconstruction_error", {"per_feature": True}),
    (detector(), "score_samples", {}),
    (detector(), "decision_function", {}),
    (detector(), "predict", {}),
    (detector(), "score_contributions", {}),
    (detector(), "reconstruction_error", {}),
    (detector(), "reconstruction_error", {"per_feature": True}),
]


def forbidden(block):
    raise AssertionError("this was to be lazy")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("model", "method", "settings"), METHODS)
def test_methods_are_lazy_and_agree(threads, model, method, settings, dtype):
    X = made_on_workers(1)[1].astype(dtype)
    fitted = clone(model).set_params(max_iter=3).fit(X)
    chunks = da.from_array(X, chunks=((1000, 0, 200), (30, 34)))
    lazy = getattr(fitted, method)(chunks.map_blocks(forbidden, dtype=dtype, meta=chunks._meta), **settings)
    expected = getattr(fitted, method)(X, **settings)
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
    assert lazy.chunks[0] == (1000, 0, 200)
    for given in chunks, in_csr(chunks):
        found = getattr(fitted, method)(given, **settings).compute()
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=2e-3 if dtype == "float32" else 1e-6, atol=1e-4)


def test_codes_go_back_lazily(threads):
    chunks, X = made_on_workers(2)
    fitted = transformer(max_iter=3).fit(X)
    back = fitted.inverse_transform(fitted.transform(chunks))
    assert back.chunks == chunks.chunks
    np.testing.assert_allclose(back.compute(), fitted.inverse_transform(fitted.transform(X)))
    with pytest.raises(ValueError, match="expecting codes of 12 features"):
        fitted.inverse_transform(chunks)


def test_fit_transform_and_fit_predict_are_lazy(threads):
    chunks, _ = made_on_workers(2)
    assert transformer(max_iter=2).fit_transform(chunks).shape == (2 * ROWS, 12)
    assert set(detector(max_iter=2).fit_predict(chunks).compute()) == {-1, 1}


def test_bad_calls_are_refused_at_once(threads):
    chunks, X = made_on_workers(2)
    with pytest.raises(NotFittedError):
        transformer().transform(chunks)
    fitted = transformer(max_iter=2).fit(X)
    with pytest.raises(ValueError, match="expecting 64 features"):
        fitted.transform(chunks[:, :5])
    with pytest.raises(ValueError, match="set_output"):
        fitted.set_output(transform="pandas").transform(chunks)


# -- without dask ----------------------------------------------------------------------------------

WITHOUT_DASK = """
import sys
import numpy as np
from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer
X = np.random.default_rng(0).normal(size=(50, 4))
for estimator in SparseAutoencoderTransformer(2, max_iter=2), SparseAutoencoderOutlierDetector(2, max_iter=2):
    estimator.fit(X).score_samples(X)
assert not any(name.split(".")[0] in ("dask", "distributed") for name in sys.modules)
"""


@pytest.mark.slow
def test_rows_in_memory_import_no_dask():
    subprocess.run([sys.executable, "-W", "ignore", "-c", WITHOUT_DASK], check=True, timeout=900)
