"""Sparse rows: the same results as for the same rows as an array."""

import tracemalloc

import numpy as np
import pytest
import reference
from models import MODELS, adam_state, layout_of, objective_of
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from test_kernels import DTYPES, NAMES, TOLERANCE, assert_slopes, assert_terms, random_model

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, _crew
from skl_sae._kernels import sizes
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._objectives import FullBatchObjective, MiniBatchObjective, full_batch
from skl_sae._objectives.full_batch import SparseGramObjective, full_batch_objective
from skl_sae._rows import SparseRows, as_rows, mapped

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]


def sparse_rows(rng, n, d, dtype=np.float64, density=0.3, offset=True):
    S = sparse.random_array((n, d), density=density, rng=rng, dtype=np.float64, format="csr").astype(dtype)
    return SparseRows(S, rng.normal(size=d).astype(dtype) / 3 if offset else None)


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize("dtype", DTYPES)
def test_operations_are_those_of_the_array(dtype, rng):
    X = sparse_rows(rng, 30, 7, dtype)
    A, B, centre, w = rng.normal(size=(7, 3)), rng.normal(size=(30, 2)), rng.normal(size=7), rng.uniform(size=30)
    dense = X.toarray()
    np.testing.assert_allclose(X.dot(A), dense @ A, atol=1e-6)
    np.testing.assert_allclose(X.transposed_dot(B), dense.T @ B, atol=1e-5)
    np.testing.assert_allclose(X.square_distances(centre), ((dense - centre) ** 2).sum(axis=1), rtol=1e-5)
    for ours, arrays in [
        (X.bounds(), (dense.min(axis=0), dense.max(axis=0))),
        (X.moments(w), as_rows(dense).moments(w)),
    ]:
        np.testing.assert_allclose(ours, arrays, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(X[w > 0.5].toarray(), dense[w > 0.5])
    scaler = StandardScaler().fit(dense)
    scaled = X.standardized(scaler.mean_, scaler.scale_, 1e6)
    assert scaled.dtype == dtype
    np.testing.assert_allclose(scaled.toarray(), scaler.transform(dense), atol=2e-5)


@pytest.mark.plain
def test_matrices_of_all_kinds_become_canonical_and_are_left_alone():
    data, indices, indptr = np.array([1.0, 2.0, 3.0]), np.array([4, 4, 0]), np.array([0, 3, 3])
    S = sparse.csr_matrix((data, indices, indptr), shape=(2, 5))  # an entry in two parts, not in order
    X = as_rows(S)
    np.testing.assert_array_equal(X.toarray(), [[3, 0, 0, 0, 3], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(S.data, [1, 2, 3])
    long = sparse.csr_array((data, indices.astype(np.int64), indptr.astype(np.int64)), shape=(2, 5))
    assert as_rows(long).picked().indices.dtype == np.int32
    canonical = sparse.random_array((20, 5), density=0.3, format="csr", rng=0)
    assert np.shares_memory(as_rows(canonical).S.data, canonical.data)


def test_the_variance_of_a_constant_is_not_negative(rng):
    rows = as_rows(sparse.csr_array(np.full((1000, 8), rng.random(8))))
    assert (rows.moments(rng.random(1000))[1] >= 0).all()


@pytest.mark.plain
def test_merged_rows_are_the_same_data_in_any_order(rng):
    X, w = rng.integers(0, 2, size=(40, 3)).astype(float), rng.integers(1, 5, size=40).astype(float)
    order = rng.permutation(40)
    one, weights_of_one = as_rows(X).merge_duplicates(w)
    others = [as_rows(X[order]).merge_duplicates(w[order]), as_rows(sparse.csr_array(X)).merge_duplicates(w)]
    others += [as_rows(np.repeat(X, w.astype(int), axis=0)).merge_duplicates(np.ones(int(w.sum())))]
    for rows, weights in others:
        np.testing.assert_array_equal(rows.toarray(), one.toarray())
        np.testing.assert_array_equal(weights, weights_of_one)
    assert len(one) == len(np.unique(X, axis=0))
    np.testing.assert_allclose(one.moments(weights_of_one), as_rows(X).moments(w), rtol=1e-12)


# -- objective -------------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(NAMES, MODELS)
def test_blocks_made_dense_agree_with_the_reference(activation, output, penalty, tied, dtype, monkeypatch, rng):
    monkeypatch.setattr(sizes, "LARGEST_BLOCK", 7 * 10)
    model = random_model(rng, activation, output, tied, penalty)
    X, weights = sparse_rows(rng, 131, 7, dtype), rng.uniform(size=131)
    check_gradient(objective_of(FullBatchObjective, X, weights, model), model, X, weights)


@pytest.mark.plain
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_gram_algebra_agrees_with_the_reference(activation, tied, dtype, monkeypatch, rng):
    monkeypatch.setattr(sizes, "BLOCK_ROWS", 32)
    monkeypatch.setattr(full_batch, "kept_sparse_codes", lambda n, row_size, X_size: 64)  # others are computed twice
    model = random_model(rng, activation, "identity", tied)
    X, weights = sparse_rows(rng, 131, 7, dtype), rng.uniform(size=131)
    check_gradient(objective_of(SparseGramObjective, X, weights, model), model, X, weights)


def check_gradient(objective, model, X, weights):
    theta = model.theta.astype(X.dtype)
    model.theta = theta.astype(np.float64)
    rows, rtol = X.toarray().astype(np.float64), 2 * TOLERANCE[X.dtype.type]
    evaluation, gradient = objective.evaluate_gradient(theta)
    assert gradient.dtype == X.dtype
    assert_terms(evaluation, model.terms(rows, weights), rtol)
    np.testing.assert_allclose(gradient, model.flatten(*model.gradient(rows, weights)), rtol=rtol, atol=rtol)
    assert_terms(objective.evaluate(theta), model.terms(rows, weights), rtol)
    np.testing.assert_allclose(objective.mean, weights / weights.sum() @ model.encode(rows), rtol=rtol)


@pytest.mark.plain
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_gradient_of_the_gram_algebra_agrees_with_finite_differences(activation, tied, rng):
    model = random_model(rng, activation, "identity", tied)
    objective = objective_of(SparseGramObjective, sparse_rows(rng, 19, 7), None, model)
    theta = model.theta
    gradient = objective.evaluate_gradient(theta)[1].copy()
    assert_slopes(gradient, objective, theta, rel=1e-6, absolute=1e-7)


@pytest.mark.plain
@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("output", ACTIVATIONS)
def test_adam_takes_the_same_steps_on_sparse_rows(output, noise, rng):
    model = random_model(rng, "sigmoid", output, False)
    X, order = sparse_rows(rng, 60, 7, offset=False), rng.permutation(60)
    results = []
    for rows in [X, X.toarray()]:
        theta, generator = model.theta.copy(), np.random.default_rng(1)
        state = adam_state(theta)
        settings = dict(batch_size=16, noise=noise, rng=generator)
        objective = objective_of(MiniBatchObjective, rows, None, model, **settings)
        results.append((objective.adam_epoch(theta, state, order), theta))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.plain
def test_work_in_parts_gives_the_same(monkeypatch, rng):
    """An interrupt is seen between the calls of compiled code, so none of them may take long."""
    model = random_model(rng, "sigmoid", "identity", False)
    X, theta = rng.uniform(size=(200, 7)), model.theta
    monkeypatch.setattr(sizes, "ROWS_OF_BLOCK", 8)
    monkeypatch.setattr(sizes, "LEAST_WORK", 1)
    monkeypatch.setattr(sizes, "BLOCKS_OF_ROUND", 2)
    results, calls = [], []
    for share in (1, 0):  # in one call, and phase by phase
        monkeypatch.setattr(
            _crew.Pace, "choose", lambda self, most, cost, n_phases, share=share: (calls.append(1) or 1, share * cost)
        )
        calls.clear()
        (evaluation, gradient) = objective_of(FullBatchObjective, X, None, model).evaluate_gradient(theta)
        results.append((evaluation, gradient.tolist(), len(calls)))
    assert [n_calls for *_, n_calls in results] == [1, 2 + 2 + 1]  # two rounds, twice, and the end
    assert results[0][:2] == results[1][:2]


# -- estimators ------------------------------------------------------------------------------------


@pytest.fixture(params=[sparse.csr_matrix, sparse.csc_array, sparse.csr_array], scope="module")
def text_like(request):
    """400 rows of 300 features, of which few are not zero, with something to find; too large to be merged."""
    rng = np.random.default_rng(0)
    topics = sparse.random_array((5, 300), density=0.1, rng=rng).toarray()
    X = rng.gamma(0.3, size=(400, 5)) @ topics * (rng.uniform(size=(400, 300)) < 0.3)
    return X, request.param(X)


@pytest.fixture(scope="module")
def fit_dense():
    """Function that fits an estimator to the array of ``text_like``, the same for every format, once."""
    fits = {}

    def fit(estimator, X):
        key = repr(estimator), mapped.SMALL_COPY
        if key not in fits:
            fits[key] = estimator.fit(X)
        return fits[key]

    return fit


@pytest.mark.parametrize("small_copy", [0, mapped.SMALL_COPY])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"tied_weights": True},
        {"activation": "relu"},
        {"output_activation": "relu"},
        {"solver": "adam"},
        {"early_stopping": True},
        {"adam_start": 3},
    ],
)
def test_transformer_is_the_same_for_sparse_and_dense(text_like, parameters, small_copy, fit_dense, monkeypatch):
    monkeypatch.setattr(mapped, "SMALL_COPY", small_copy)
    X, S = text_like
    settings = dict(n_components=30, max_iter=40, random_state=0) | parameters
    dense = fit_dense(SparseAutoencoderTransformer(**settings), X)
    ours = SparseAutoencoderTransformer(**settings).fit(S)
    assert ours.loss_ == pytest.approx(dense.loss_, rel=1e-6)
    np.testing.assert_allclose(ours.components_, dense.components_, atol=1e-6)
    np.testing.assert_allclose(ours.transform(S), dense.transform(X), atol=1e-6)
    np.testing.assert_allclose(ours.reconstruction_error(S), dense.reconstruction_error(X), rtol=1e-6)
    np.testing.assert_allclose(ours.reconstruction_error(S, per_feature=True), dense.reconstruction_error(X, True),
                               atol=1e-6)  # fmt: skip
    assert ours.score(S) == pytest.approx(dense.score(X), rel=1e-6)
    np.testing.assert_allclose(ours.transform(X), ours.transform(S), rtol=1e-10)


@pytest.mark.parametrize("small_copy", [0, mapped.SMALL_COPY])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"scoring": "standardized_error"}, {"scoring": "squared_error", "scaling": None}, {"solver": "adam"}],
)
def test_detector_is_the_same_for_sparse_and_dense(text_like, parameters, small_copy, fit_dense, monkeypatch):
    monkeypatch.setattr(mapped, "SMALL_COPY", small_copy)
    X, S = text_like
    settings = dict(n_components=30, max_iter=20, random_state=0) | parameters
    dense = fit_dense(SparseAutoencoderOutlierDetector(**settings), X)
    ours = SparseAutoencoderOutlierDetector(**settings).fit(S)
    np.testing.assert_array_equal(ours.support_, dense.support_)
    np.testing.assert_allclose(ours.score_samples(S), dense.score_samples(X), rtol=1e-6)
    np.testing.assert_allclose(ours.score_contributions(S), dense.score_contributions(X), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(S), dense.predict(X))


def test_the_gram_algebra_is_taken_where_it_is_faster(rng):
    thin, full = (sparse_rows(rng, 400, 3000, density=density) for density in (0.01, 0.9))
    for X, m, output, expected in [
        (thin, 10, "identity", SparseGramObjective),
        (thin, 10, "sigmoid", FullBatchObjective),
        (full, 10, "identity", FullBatchObjective),
        (thin, 1, "identity", FullBatchObjective),
        (as_rows(thin.toarray()), 10, "identity", FullBatchObjective),
    ]:
        model = random_model(rng, "sigmoid", output, False, d=3000, m=m)
        assert type(full_batch_objective(X, np.ones(400), *layout_of(model))) is expected


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [{}, {"output_activation": "sigmoid"}, {"solver": "adam", "batch_size": 50}])
def test_memory_is_that_of_blocks(parameters, monkeypatch):
    """Blocks and sums over features take a small part of what the rows would take as an array."""
    monkeypatch.setattr(sizes, "LARGEST_BLOCK", 2**19)
    n, d = 1500, 20_000  # with blocks of the usual size, this would take many times as many numbers
    S = sparse.random_array((n, d), density=1e-3, format="csr", rng=0, dtype=np.float64)
    sae = SparseAutoencoderTransformer(4, max_iter=2, random_state=0, **parameters)
    sae.fit(S[:100]).transform(S[:100])  # from now on everything is compiled
    sae.reconstruction_error(S[:100])
    tracemalloc.start()
    try:
        sae.fit(S).transform(S)
        sae.reconstruction_error(S)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.15 * n * d * 8


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_full_feature_far_from_zero_is_centred_as_an_array_is(dtype, rng):
    X = np.where(rng.uniform(size=(300, 6)) < 0.3, rng.normal(size=(300, 6)), 0)
    X[:, 2] = rng.normal(1e4, 1, size=300)
    X = X.astype(dtype)
    dense, ours = (SparseAutoencoderOutlierDetector(random_state=0, max_iter=20).fit(rows)
                   for rows in (X, sparse.csr_array(X)))  # fmt: skip
    rtol = 1e-6 if dtype == np.float64 else 1e-2  # which has three digits left there
    np.testing.assert_allclose(ours.score_samples(X), dense.score_samples(X), rtol=rtol)


def test_bad_sparse_input_is_refused(text_like):
    _, S = text_like
    sae = SparseAutoencoderTransformer(3, max_iter=2)
    bad = S.copy()
    bad.data[0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        sae.fit(bad)
    twice = sparse.csr_array((np.full(2, 1e308), [0, 0], [0, 2, 2]), shape=(2, 3))
    with pytest.raises(ValueError, match="add up to infinity"):
        sae.fit(twice)
    with pytest.raises(ValueError, match="features"):
        sae.fit(S).transform(S[:, :5])
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        sae.inverse_transform(sparse.csr_array(sae.transform(S)))


@pytest.mark.parametrize(("indices", "indptr"), [([0, 10**9], [0, 2]), ([0, -1], [0, 2]), ([0, 1], [0, 5, 2])])
def test_indices_that_point_nowhere_are_refused(indices, indptr, text_like):
    """SciPy does not check them until asked to, and compiled code would read and write somewhere else."""
    _, S = text_like
    sae = SparseAutoencoderTransformer(3, max_iter=2).fit(S)
    bad = sparse.csr_array((len(indptr) - 1, S.shape[1]))
    bad.data, bad.indices, bad.indptr = np.ones(2), np.array(indices), np.array(indptr)
    with pytest.raises(ValueError, match=r"indices|indptr|index pointer"):
        sae.transform(bad)


def test_reference_is_the_model(rng):
    """The reference, with which sparse rows are compared, agrees with a fit."""
    S = sparse.random_array((50, 20), density=0.2, rng=rng, format="csr")
    sae = SparseAutoencoderTransformer(4, max_iter=5, random_state=0).fit(S)
    model = reference.Model.of(sae)
    np.testing.assert_allclose(sae.transform(S), model.encode(S.toarray()), rtol=1e-12)
