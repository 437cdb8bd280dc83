"""Measures of sparsity and reconstruction, and what searches do with them."""

import math
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer, metrics
from skl_sae._kernels import sizes

# A few iterations are enough here.
pytestmark = [
    pytest.mark.plain,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]


def naive_hoyer(h):
    return (math.sqrt(len(h)) - sum(abs(h)) / math.sqrt(sum(h**2))) / (math.sqrt(len(h)) - 1)


def naive_treves_rolls(h):
    return (1 - (sum(abs(h)) / len(h)) ** 2 / (sum(h**2) / len(h))) / (1 - 1 / len(h))


@pytest.mark.parametrize(("measure", "naive"), [("hoyer", naive_hoyer), ("treves_rolls", naive_treves_rolls)])
def test_sparsity_is_that_of_the_formula(rng, measure, naive):
    H = rng.exponential(size=(7, 5))
    assert metrics.population_sparsity(H, measure) == pytest.approx(np.mean([naive(h) for h in H]))
    np.testing.assert_allclose(metrics.lifetime_sparsity(H, measure), [naive(h) for h in H.T])


@pytest.mark.parametrize("measure", ["hoyer", "treves_rolls"])
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_ends_of_the_range(measure, scale):
    assert metrics.population_sparsity(scale * np.eye(4), measure) == pytest.approx(1)
    assert metrics.population_sparsity(scale * np.ones((3, 4)), measure) == pytest.approx(0)


def test_silence_does_not_count():
    H = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert metrics.population_sparsity(H) == 1
    np.testing.assert_allclose(metrics.lifetime_sparsity(H), [np.nan, 0.5, np.nan])
    assert math.isnan(metrics.population_sparsity(np.zeros((3, 4))))


def test_faint_rows_count_as_others_do():
    assert metrics.population_sparsity([[1.0, 1.0], [1e-250, 0.0]]) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
def test_sparse_codes_have_the_measures_of_dense_ones(rng, kind):
    H = rng.exponential(size=(9, 6)) * [1e-200, 0, 1, 1, 1, 1e200]
    H[rng.random(H.shape) < 0.4] = 0
    S = kind(H)
    for measure in metrics.MEASURES:
        assert metrics.population_sparsity(S, measure) == pytest.approx(metrics.population_sparsity(H, measure))
        np.testing.assert_allclose(metrics.lifetime_sparsity(S, measure), metrics.lifetime_sparsity(H, measure))
    for function in metrics.dead_fraction, metrics.saturated_fraction:
        assert function(S, 0.1) == function(H, 0.1)


def test_sparse_codes_stay_as_they_are():
    parts = np.array([1.0, 1.0, 3.0]), np.array([1, 1, 0]), np.array([0, 2, 3])
    for part in parts:
        part.flags.writeable = False
    S = sparse.csr_array(parts, shape=(2, 2))  # the first entry is a sum
    assert metrics.population_sparsity(S) == 1
    np.testing.assert_array_equal(metrics.lifetime_sparsity(S), [1, 1])
    assert metrics.dead_fraction(S, 2) == 0.5
    assert S.nnz == 3


def test_scorers_take_top_k_autoencoders(few):
    X = few(load_digits().data[:300]) / 16
    codes = [
        TopKAutoencoderTransformer(16, k=3, max_iter=5, sparse_output=sparse_output, random_state=0).fit(X)
        for sparse_output in (True, False)
    ]
    for scorer in (
        metrics.population_sparsity_scorer,
        metrics.lifetime_sparsity_scorer,
        metrics.explained_variance_scorer,
    ):
        one, other = (scorer(sae, X) for sae in codes)
        assert one == pytest.approx(other)


def test_bad_codes_are_refused():
    with pytest.raises(ValueError, match="at least 2 units"):
        metrics.population_sparsity(np.ones((3, 1)))
    with pytest.raises(ValueError, match="measure"):
        metrics.population_sparsity(np.ones((3, 2)), "gini")
    with pytest.raises(ValueError, match="NaN"):
        metrics.dead_fraction([[np.nan, 1.0]])


def test_dead_and_saturated_units_are_those_of_the_transformer(few):
    X = few(load_digits().data[:300]) / 16
    sae = SparseAutoencoderTransformer(10, max_iter=30, tol=0, random_state=0)
    H = sae.fit(X).transform(X)
    assert metrics.dead_fraction(H) == sae.dead_fraction_
    assert metrics.saturated_fraction(H) == sae.saturated_fraction_


def test_explained_variance_is_the_pooled_r2(rng):
    X = rng.normal(size=(30, 4)) * [1, 2, 3, 4] + 5
    Y = X + rng.normal(size=X.shape)
    assert metrics.explained_variance(X, Y) == pytest.approx(r2_score(X, Y, multioutput="variance_weighted"))
    assert metrics.explained_variance(X, np.broadcast_to(X.mean(axis=0), X.shape)) == pytest.approx(0)
    assert math.isnan(metrics.explained_variance(np.full((10, 2), 0.1), np.full((10, 2), 0.2)))
    with pytest.raises(ValueError, match="shape"):
        metrics.explained_variance(X, Y[:, :2])


def test_scorers_in_a_search_and_the_sparsest_model_within_a_tolerance(few):
    X = few(load_digits().data[:300])
    model = make_pipeline(StandardScaler(), SparseAutoencoderTransformer(16, max_iter=40, random_state=0))
    scoring = {
        "score": metrics.explained_variance_scorer,
        "sparsity": metrics.population_sparsity_scorer,
        "lifetime": metrics.lifetime_sparsity_scorer,
    }
    grid = {"sparseautoencodertransformer__rho": [0.02, 0.3]}
    near, best = (
        GridSearchCV(model, grid, scoring=scoring, refit=metrics.SparsestWithin(tolerance), cv=2).fit(X)
        for tolerance in [1.0, 0.0]
    )
    assert near.cv_results_["mean_test_sparsity"][near.best_index_] == max(near.cv_results_["mean_test_sparsity"])
    assert best.cv_results_["mean_test_score"][best.best_index_] == max(best.cv_results_["mean_test_score"])


def test_candidates_that_failed_are_not_chosen():
    results = {"mean_test_score": [np.nan, 0.5, 0.499], "mean_test_sparsity": [0.9, 0.1, 0.2]}
    assert metrics.SparsestWithin(0.01)(results) == 2
    assert metrics.SparsestWithin(0.0)(results) == 1
    silent = {"mean_test_score": [0.1, 0.9], "mean_test_sparsity": [0.5, np.nan]}
    assert metrics.SparsestWithin(0.01)(silent) == 1
    assert "0.01" in repr(metrics.SparsestWithin())


def test_there_has_to_be_a_tolerance_and_a_score():
    for tolerance in -0.1, np.nan, "0.1", None:
        with pytest.raises(ValueError, match="tolerance must be a number that is not negative, got"):
            metrics.SparsestWithin(tolerance)
    with pytest.raises(ValueError, match="no candidate with a score: mean_test_score is NaN for all"):
        metrics.SparsestWithin()({"mean_test_score": [np.nan, np.nan], "mean_test_sparsity": [0.1, 0.2]})


def test_scorers_that_are_missing_are_named():
    results = {"mean_test_accuracy": [0.1], "mean_test_sparsity": [0.5], "mean_fit_time": [1.0]}
    with pytest.raises(ValueError, match="the search has only 'accuracy', 'sparsity'"):
        metrics.SparsestWithin()(results)
    assert metrics.SparsestWithin(score="accuracy")(results) == 0


def test_explained_variance_of_sparse_rows(monkeypatch):
    S = sparse.random_array((60, 9), density=0.3, rng=0, format="csc")
    sae = SparseAutoencoderTransformer(4, max_iter=20, random_state=0).fit(S)
    dense = metrics.explained_variance_scorer(sae, S.toarray())
    monkeypatch.setattr(sizes, "LARGEST_BLOCK", 70)
    assert metrics.explained_variance_scorer(sae, S) == pytest.approx(dense)


def test_anomalies_are_scored_with_weights(rng):
    detector = SparseAutoencoderOutlierDetector(max_iter=2, random_state=0)
    X, y = rng.normal(size=(60, 3)), np.where(np.arange(60) % 6 == 0, -1, 1)
    weights = rng.integers(1, 4, size=60)
    rows = np.repeat(np.arange(60), weights)
    detector.fit(X)
    for scorer in metrics.anomaly_roc_auc_scorer, metrics.anomaly_average_precision_scorer:
        weighted = scorer(detector, X, y, sample_weight=weights)
        assert weighted == pytest.approx(scorer(detector, X[rows], y[rows]))
        assert weighted != scorer(detector, X, y)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The scoring .* does not support sample_weight")
        GridSearchCV(detector, {}, scoring=metrics.anomaly_roc_auc_scorer, cv=2).fit(X, y, sample_weight=weights)


def test_labels_of_anomalies():
    marks = [False, True, False]
    for labels in marks, [0, 1, 0], [0.0, 1.0, 0.0], [1, -1, 1], [1.0, -1.0, 1.0], np.array(marks, object):
        np.testing.assert_array_equal(metrics.is_anomaly(labels), marks)
    for labels, expected in ([0, 0], False), ([-1, -1], True), ([True, True], True), ([False, False], False):
        np.testing.assert_array_equal(metrics.is_anomaly(labels), [expected] * 2)
    with pytest.raises(ValueError, match=r"All labels are 1.*Pass booleans"):
        metrics.is_anomaly([1, 1])
    for labels in [0, -1], [-1, 0, 1], [1, 2], [0.5, 1], [1, np.nan], ["a", "b"]:
        with pytest.raises(ValueError, match="Labels must be 1"):
            metrics.is_anomaly(labels)
