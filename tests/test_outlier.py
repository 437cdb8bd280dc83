"""The outlier detector: its contract, its scores against plain NumPy, its explanations, hard input."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn import config_context
from sklearn.covariance import oas
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector
from skl_sae._kernels.activations import HIDDEN_ACTIVATIONS
from skl_sae._kernels.sizes import BLOCK_ROWS
from skl_sae._rows import DenseRows
from skl_sae._scatter import MIN_SHRINKAGE, concentrate, lowest, plain
from skl_sae._solvers import SOLVERS
from skl_sae.metrics import anomaly_average_precision_scorer, anomaly_roc_auc_scorer

BY_SUPPORT = ["mahalanobis", "standardized_error", "squared_error"]
SCORINGS = ["auto", *BY_SUPPORT]

# Small sets of noise: constant units and poor fits are not what is tested.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]


def detector(**parameters):
    return SparseAutoencoderOutlierDetector(**{"random_state": 0} | parameters)


@pytest.fixture
def correlated(rng, few):
    """400 rows of 6 features that depend on 2 hidden ones."""
    return few(rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) * 3 + rng.normal(size=(400, 6)) + 5)


@pytest.fixture(scope="module")
def labelled():
    """Benign tumours and a few malignant ones; 1 = malignant."""
    X, y = load_breast_cancer(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:25]])
    return X[rows], 1 - y[rows]


# -- location and scatter --------------------------------------------------------------------------


@pytest.mark.plain
def test_scatter_of_all_rows_is_that_of_scikit_learn(rng):
    U = rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8)) * 10.0 ** np.arange(-4, 4) + 100
    scatter = concentrate(DenseRows(U), DenseRows.toarray, np.full(8, 1e-9), np.ones(len(U)), 1.0)
    unit = U.std(axis=0)
    covariance, shrinkage = oas(U / unit)
    assert shrinkage > MIN_SHRINKAGE
    np.testing.assert_allclose(scatter.location, U.mean(axis=0))
    np.testing.assert_allclose(scatter.precision * np.outer(unit, unit), np.linalg.inv(covariance), rtol=1e-6)


@pytest.mark.plain
def test_diagonal_scatter_of_all_rows(rng):
    U = rng.normal(size=(60, 8)) * 10.0 ** np.arange(-4, 4) - 3
    scatter = concentrate(DenseRows(U), DenseRows.toarray, np.full(8, 1e-9), np.ones(len(U)), 1.0, diagonal=True)
    np.testing.assert_allclose(scatter.precision, 1 / U.var(axis=0))
    np.testing.assert_allclose(scatter.scores(U), (((U - U.mean(axis=0)) / U.std(axis=0)) ** 2).sum(axis=1))


@pytest.mark.plain
@pytest.mark.parametrize("n", [2, 3, 30, 40])
def test_the_scatter_of_few_rows_is_that_by_the_covariance(rng, monkeypatch, n):
    U, weights = rng.normal(size=(n, 5)) @ rng.normal(size=(5, 80)), rng.integers(0, 3, size=n) + 1.0
    U += 1e-3 * rng.normal(size=U.shape)
    U[:, :2], U[:, 2] = 7, 1e-30 * U[:, 2]  # constants, and an entry that hardly varies
    weights[2:5] = 0
    arguments = DenseRows(U), DenseRows.toarray, np.full(80, 1e-9), weights, 0.75
    found = concentrate(*arguments)
    monkeypatch.setattr("skl_sae._scatter.FEW", np.inf)
    expected = concentrate(*arguments)
    new = np.vstack([U, U + 1e-3 * rng.normal(size=U.shape), rng.normal(size=(20, 80))])
    np.testing.assert_allclose(found.location, expected.location, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.scores(new), expected.scores(new), rtol=1e-9)


@pytest.mark.plain
@pytest.mark.parametrize("diagonal", [False, True])
def test_concentration_leaves_out_what_lies_apart(rng, diagonal):
    U = rng.normal(size=(500, 4))
    U[:50] = rng.normal(8, 0.1, size=(50, 4))
    scatter = concentrate(DenseRows(U), DenseRows.toarray, np.full(4, 1e-9), np.ones(len(U)), 0.75, diagonal=diagonal)
    np.testing.assert_allclose(scatter.location, 0, atol=0.2)
    assert scatter.scores(U)[:50].min() > scatter.scores(U)[50:].max()


def test_scatter_does_not_depend_on_the_blocks(rng, monkeypatch):
    U = rng.normal(size=(300, 5))
    one = concentrate(DenseRows(U), DenseRows.toarray, np.full(5, 1e-9), np.ones(len(U)), 0.75)
    monkeypatch.setattr("skl_sae._kernels.sizes.BLOCK_ROWS", 7)
    other = concentrate(DenseRows(U), DenseRows.toarray, np.full(5, 1e-9), np.ones(len(U)), 0.75)
    np.testing.assert_allclose(one.precision, other.precision)


@pytest.mark.plain
@pytest.mark.parametrize("diagonal", [False, True])
def test_scatter_of_constant_and_equal_rows_is_finite(diagonal):
    scatter = concentrate(
        DenseRows(np.ones((20, 3))), DenseRows.toarray, np.full(3, 0.01), np.ones(20), 0.75, diagonal=diagonal
    )
    assert np.isfinite(scatter.precision).all()
    np.testing.assert_array_equal(scatter.scores(np.ones((2, 3))), 0)
    assert scatter.scores(np.full((1, 3), 2.0)) > 0


@pytest.mark.plain
def test_scores_are_quadratic_forms(rng):
    scatter = concentrate(DenseRows(rng.normal(size=(50, 4))), DenseRows.toarray, np.full(4, 1e-9), np.ones(50), 0.75)
    U = rng.normal(size=(9, 4))
    forms = [(u - scatter.location) @ scatter.precision @ (u - scatter.location) for u in U]
    np.testing.assert_allclose(scatter.scores(U), forms)
    np.testing.assert_allclose(plain(4).scores(U), (U**2).sum(axis=1))


@pytest.mark.plain
@pytest.mark.parametrize(("n", "fraction", "kept"), [(2, 0.5, 2), (4, 0.75, 3), (5, 0.5, 3), (9, 1.0, 9)])
def test_lowest_keeps_the_part_asked_for(n, fraction, kept):
    assert lowest(np.arange(n)[::-1], fraction, np.ones(n)).sum() == kept


# -- the contract of an outlier detector -----------------------------------------------------------


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("contamination", ["auto", 0.05, 0.5])
def test_contract_of_isolation_forest(correlated, scoring, contamination):
    ours, forest = detector(scoring=scoring, contamination=contamination), IsolationForest(contamination=contamination)
    labels = ours.fit_predict(correlated)
    forest.fit(correlated)
    for estimator in [ours, forest]:
        scores, decision = estimator.score_samples(correlated), estimator.decision_function(correlated)
        np.testing.assert_array_equal(decision, scores - estimator.offset_)
        np.testing.assert_array_equal(estimator.predict(correlated), np.where(decision < 0, -1, 1))
        assert scores.max() <= 0
    np.testing.assert_array_equal(labels, ours.predict(correlated))
    if contamination != "auto":
        assert np.mean(labels == -1) == pytest.approx(contamination, abs=0.5 / len(correlated))
    else:
        assert 0 < np.mean(labels == -1) < 0.2


@pytest.mark.plain
def test_contamination_moves_only_the_threshold(correlated):
    scores = [detector(contamination=value).fit(correlated).score_samples(correlated) for value in ["auto", 0.01, 0.3]]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


@pytest.mark.plain
@pytest.mark.parametrize("scaling", ["standard", None])
@pytest.mark.parametrize("scoring", BY_SUPPORT)
def test_scores_are_those_of_plain_numpy(correlated, scoring, scaling):
    sae = detector(scoring=scoring, scaling=scaling, n_components=4).fit(correlated)
    X = correlated[:50]
    if scaling:
        X = StandardScaler().fit(correlated[sae.support_]).transform(X)
    H = expit(X @ sae.encoder_coef_.T + sae.encoder_intercept_)
    E = X - (H @ sae.decoder_coef_.T + sae.decoder_intercept_)
    np.testing.assert_allclose(sae.reconstruction_error(correlated[:50], per_feature=True), E**2, rtol=1e-6)
    np.testing.assert_allclose(sae.reconstruction_error(correlated[:50]), (E**2).sum(axis=1), rtol=1e-6)
    U = np.hstack([E, H]) if scoring == "mahalanobis" else E
    P = sae.precision_ if scoring == "mahalanobis" else np.diag(sae.precision_)
    U = U - sae.location_
    np.testing.assert_allclose(-sae.score_samples(correlated[:50]), np.einsum("ij,jk,ik->i", U, P, U), rtol=1e-6)


@pytest.mark.plain
@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_contributions_sum_to_the_score(correlated, scoring, activation):
    sae = detector(scoring=scoring, activation=activation).fit(correlated)
    contributions = sae.score_contributions(correlated)
    assert contributions.shape == correlated.shape
    scores = sae.score_samples(correlated)
    np.testing.assert_allclose(contributions.sum(axis=1), -scores, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_feature_that_is_wrong_contributes_most(correlated, scoring):
    sae = detector(scoring=scoring).fit(correlated)
    rows = correlated[np.argsort(-sae.score_samples(correlated))[:60]].copy()
    wrong = np.arange(60) % 6
    rows[np.arange(60), wrong] += 8 * correlated.std(axis=0)[wrong]
    assert np.mean(sae.score_contributions(rows).argmax(axis=1) == wrong) >= 0.9


def test_contributions_of_the_mean_row_are_shared_alike(correlated):
    sae = detector(scaling=None).fit(correlated)
    mean = correlated[sae.support_].mean(axis=0, keepdims=True)
    np.testing.assert_allclose(sae.score_contributions(mean).sum(), -sae.score_samples(mean)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits_follow_the_units_of_rows_that_are_not_scaled(dtype):
    """Images of eight bits: a limit for scaled features would cut them."""
    X = np.random.default_rng(0).uniform(0, 255, (200, 5)).astype(dtype)
    sae = detector(scaling=None).fit(X)
    bright, brighter = (np.full((1, 5), value, dtype) for value in (120, 250))
    assert sae.reconstruction_error(brighter) != sae.reconstruction_error(bright)
    assert np.abs(sae._reconstruct(X)).max() < 1000


@pytest.mark.parametrize("scaling", ["standard", None])
def test_a_feature_at_its_mean_answers_for_no_code(scaling):
    """Whatever the autoencoder measures the features from."""
    X = np.random.default_rng(0).normal([30, 0, 0, 0], size=(400, 4))
    scorer = detector(n_components=3, scaling=scaling, tied_weights=True).fit(X)._scorer()
    view, explain = scorer.views["code"], scorer.explain
    row = explain.centre + explain.unit * view.features
    np.testing.assert_allclose(row, X.mean(axis=0), atol=0.2)
    row[3] += 8
    inputs = explain(DenseRows(row[None]))
    own, terms = view.entry_terms(inputs)[0], view.terms(inputs)[0]
    np.testing.assert_allclose(terms[:3], own[:3], atol=1e-12)
    np.testing.assert_allclose(terms[3], own[3:].sum())


def test_training_rows_that_are_anomalies_are_left_out(labelled):
    X, y = labelled
    sae = detector(scoring="mahalanobis").fit(X)
    assert y[sae.support_].mean() < 0.5 * y.mean()
    assert sae.support_.sum() == np.ceil(0.75 * len(X))


def test_support_of_all_rows_for_clean_data(correlated):
    sae = detector(support_fraction=1).fit(correlated)
    assert sae.support_.all()


def test_finds_malignant_tumours(labelled):
    X, y = labelled
    assert roc_auc_score(y, -detector().fit(X).score_samples(X)) > 0.93


def test_many_rows_are_scored_as_few_are(rng):
    X = rng.normal(size=(2 * BLOCK_ROWS + 5, 3))
    sae = detector(max_iter=20).fit(X)
    together, apart = sae.score_samples(X), np.concatenate([sae.score_samples(part) for part in np.array_split(X, 7)])
    np.testing.assert_allclose(together, apart, rtol=1e-9)
    assert sae.score_contributions(X).shape == X.shape


@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_agrees_with_float64(correlated, solver):
    scores = [
        detector(solver=solver, max_iter=30, tol=0)
        .fit(correlated.astype(dtype))
        .score_samples(correlated.astype(dtype))
        for dtype in [np.float32, np.float64]
    ]
    assert scores[0].dtype == np.float64
    assert np.corrcoef(scores)[0, 1] > 0.99


def test_auto_takes_as_many_components_as_features_but_not_too_many(rng):
    assert detector().fit(rng.normal(size=(20, 7))).n_components_ == 7
    assert detector(max_iter=1).fit(rng.normal(size=(20, 130))).n_components_ == 50
    assert detector(n_components=3).fit(rng.normal(size=(20, 7))).n_components_ == 3


@pytest.mark.plain
def test_warm_start_goes_on(correlated):
    sae = detector(warm_start=True, support_fraction=1, tol=1e-6).fit(correlated)
    first = sae.loss_
    assert sae.fit(correlated).loss_ <= first * (1 + 1e-9)


def test_pickle(correlated):
    sae = detector().fit(correlated)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(sae)).score_samples(correlated), sae.score_samples(correlated)
    )


# -- hard input ------------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("n", [2, 3, 9])
def test_few_rows(rng, scoring, n):
    X = rng.normal(size=(n, 5))
    sae = detector(scoring=scoring).fit(X)
    assert np.isfinite(sae.score_samples(X)).all()
    assert sae.score_samples(np.full((1, 5), 50.0)) < sae.score_samples(X).min()


@pytest.mark.plain
@pytest.mark.parametrize("scoring", SCORINGS)
def test_constant_columns_and_duplicates(rng, scoring):
    X = np.repeat(rng.normal(size=(10, 4)), 30, axis=0)
    X[:, 1] = 7
    sae = detector(scoring=scoring).fit(X)
    scores = sae.score_samples(X)
    assert np.isfinite(scores).all()
    changed = X[:1].copy()
    changed[0, 1] = 9  # has never been anything but 7
    assert sae.score_samples(changed) < scores[0]


@pytest.mark.plain
@pytest.mark.parametrize("scoring", SCORINGS)
def test_rows_all_alike(scoring):
    X = np.full((30, 3), 4.0)
    sae = detector(scoring=scoring).fit(X)
    assert (sae.predict(X) == 1).all()
    assert sae.score_samples([[4, 4, 9]]) < sae.score_samples(X).min()


@pytest.mark.parametrize(
    ("dtype", "far"), [(np.float64, 10.0 ** np.arange(2, 90, 8)), (np.float32, 10.0 ** np.arange(2, 26, 4))]
)
@pytest.mark.parametrize("scoring", SCORINGS)
def test_rows_far_outside_are_finite_and_ranked(correlated, scoring, dtype, far):
    X = correlated.astype(dtype)
    sae = detector(scoring=scoring).fit(X)
    rows = (X[:1] + far[:, None]).astype(dtype)
    scores = sae.score_samples(rows)
    assert np.isfinite(scores).all()
    assert (np.diff(scores) < 0).all()
    assert scores.max() < sae.score_samples(X).min()
    assert (sae.predict(rows) == -1).all()
    largest = np.full((1, 6), np.finfo(dtype).max)
    assert np.isfinite(sae.score_samples(largest)).all()
    assert np.isfinite(sae.score_contributions(largest)).all()


def test_more_features_than_rows(rng):
    X = rng.normal(size=(40, 120))
    sae = detector().fit(X[:30])
    inside, outside = sae.score_samples(X[30:]), sae.score_samples(X[30:] + 6 * rng.normal(size=(10, 120)))
    assert inside.min() > outside.max()


def test_one_wild_value_does_not_hide_a_feature(rng):
    X = rng.normal(size=(300, 4))
    X[0, 2] = 1e9
    sae = detector().fit(X)
    assert sae.predict(np.array([[0.0, 0.0, 12.0, 0.0], [0.0, 0.0, 0.1, 0.0]])).tolist() == [-1, 1]


@pytest.mark.parametrize("scoring", ["mahalanobis", "standardized_error"])
@pytest.mark.parametrize("row", [0, -1])
@pytest.mark.parametrize("value", [1e4, 1e12, 1e20])
def test_one_wild_value_does_not_widen_the_spread(rng, scoring, row, value):
    areas, found = [], []
    for _ in range(5):
        X, rows = (np.hstack([Z, Z[:, :1] + 0.3 * rng.normal(size=(300, 1))]) for Z in rng.normal(size=(2, 300, 3)))
        X[row, 1] = value
        strange = rows[:50].copy()
        strange[:, 1] += 8
        sae = detector(scoring=scoring).fit(X)
        scores = -sae.score_samples(np.vstack([strange, rows]))
        areas.append(roc_auc_score(np.arange(350) < 50, scores))
        found.append(np.mean(sae.predict(strange) == -1))
    assert np.mean(areas) > 0.95
    assert np.mean(found) > 0.95


@pytest.mark.parametrize("scoring", SCORINGS)
def test_a_feature_that_is_constant_in_the_bulk_counts_in_any_unit(rng, scoring):
    X = rng.normal(size=(300, 4))
    X[:, 2] = 0
    ranks = []
    for unit in [1e-6, 1.0, 1e6]:
        X[:6, 2] = unit
        scores = detector(scoring=scoring).fit(X).score_samples(X)
        ranks.append(roc_auc_score(np.arange(300) < 6, -scores))
    assert min(ranks) > 0.9
    np.testing.assert_allclose(ranks, ranks[0], atol=0.02)


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("scale", [1e-140, 1e-155, 1e-170])
def test_tiny_values_without_scaling_are_finite(rng, scoring, scale):
    X = rng.normal(size=(200, 4)) * scale
    assert np.isfinite(detector(scaling=None, scoring=scoring).fit(X).score_samples(X)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_denormal_values_are_finite(rng, dtype):
    X = (rng.integers(-9, 10, size=(50, 4)) * np.finfo(dtype).smallest_subnormal).astype(dtype)
    sae = detector(max_iter=5).fit(X)
    scores = sae.score_samples(X)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(sae.score_contributions(X).sum(axis=1), -scores, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [5e-324, 1e-300, 1e97])
def test_the_size_of_weights_does_not_matter_to_scaling(correlated, dtype, size):
    warnings.filterwarnings("ignore", "sample_weight sums to", UserWarning)
    X, settings = correlated.astype(dtype), dict(scoring="squared_error", max_iter=5)
    scores = detector(**settings).fit(X, sample_weight=np.full(400, size)).score_samples(X)
    np.testing.assert_allclose(scores, detector(**settings).fit(X).score_samples(X), rtol=1e-3)


def test_constant_features_of_sparse_rows(rng):
    X = np.where([True, True, False, False], rng.normal(size=4), rng.normal(size=(30, 4)))
    weights = np.arange(30) % 3 / 7
    ours, dense = (detector(max_iter=5).fit(rows, sample_weight=weights) for rows in (sparse.csr_array(X), X))
    np.testing.assert_allclose(ours.score_samples(X), dense.score_samples(X), rtol=1e-6)


def test_scores_that_overflow_are_refused(rng):
    sae = detector(scaling=None, scoring="standardized_error", max_iter=5).fit(np.zeros((20, 3)))
    sae._scorer_state["precision"] = np.full(3, 1e200)  # as of residuals without spread
    for method in (sae.score_samples, sae.predict, sae.score_contributions):
        with pytest.raises(ValueError, match="overflow float64"):
            method(np.full((2, 3), 1e100))


@pytest.mark.plain
@pytest.mark.parametrize("rows", [np.asarray, sparse.csr_array])
def test_variance_that_overflows_is_refused(rows, rng):
    X = rng.normal(size=(30, 3)) * (rng.uniform(size=(30, 3)) < 0.7)
    for size in 1e155, 1e200, 1e300:
        with pytest.raises(ValueError, match="variance of feature 1 of X overflows"):
            detector().fit(rows(X * [1, size, 1]))
    X = np.ones((30, 3))
    X[:, 1] = 1e300 * np.where(np.arange(30) % 2, 1, -1)
    with pytest.raises(ValueError, match="variance of feature 1"):
        detector().fit(X)


def test_it_fits_where_transformers_give_frames(correlated):
    pytest.importorskip("pandas", reason="needs pandas")
    X = correlated
    with config_context(transform_output="pandas"):
        scores = detector().fit(X).score_samples(X)
    np.testing.assert_array_equal(scores, detector().fit(X).score_samples(X))


@pytest.mark.plain
def test_a_refused_fit_changes_nothing(correlated):
    sae = detector().fit(correlated)
    before = sae.score_samples(correlated)
    with pytest.raises(ValueError, match="support_fraction"):
        sae.set_params(support_fraction=0.2).fit(correlated)
    with pytest.raises(ValueError, match="contamination"):
        sae.set_params(support_fraction=0.75, contamination=0.7).fit(correlated)
    np.testing.assert_array_equal(sae.score_samples(correlated), before)


def test_later_parameters_do_not_change_a_fit(correlated):
    sae = detector().fit(correlated)
    before = sae.score_samples(correlated)
    sae.set_params(scoring="squared_error", scaling=None, activation="relu", n_components=1)
    np.testing.assert_array_equal(sae.score_samples(correlated), before)


@pytest.mark.plain
def test_attributes_do_not_exist_before_fit():
    for name in ["location_", "precision_", "offset_", "support_"]:
        assert not hasattr(detector(), name)


@pytest.mark.plain
def test_warnings_point_to_the_caller(rng):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector(max_iter=1).fit(rng.normal(size=(50, 4)))
    assert caught
    assert all(warning.filename == __file__ for warning in caught)


# -- company ---------------------------------------------------------------------------------------


def test_in_a_pipeline_with_pandas(labelled):
    pd = pytest.importorskip("pandas")
    X, _ = labelled
    frame = pd.DataFrame(X, columns=load_breast_cancer().feature_names)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), detector()).fit(frame)
    assert pipeline.predict(frame).shape == pipeline.decision_function(frame).shape == (len(X),)
    assert pipeline[-1].feature_names_in_[0] == "mean radius"
    np.testing.assert_allclose(pipeline.score_samples(frame), detector().fit(X).score_samples(X), rtol=1e-6)


def search(X, labels, scoring):
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    grid = {"scoring": ["mahalanobis", "squared_error"], "rho": [0.05, 0.1]}
    return GridSearchCV(detector(max_iter=50), grid, scoring=scoring, cv=cv, error_score="raise").fit(X, labels)


@pytest.mark.slow
def test_grid_search_with_labels(labelled):
    X, anomaly = labelled
    built_in = search(X, np.where(anomaly, -1, 1), "roc_auc")
    ours = search(X, anomaly, anomaly_roc_auc_scorer)
    np.testing.assert_allclose(built_in.cv_results_["mean_test_score"], ours.cv_results_["mean_test_score"])
    assert ours.best_score_ > 0.9
    assert 0 < search(X, anomaly, anomaly_average_precision_scorer).best_score_ <= 1


@pytest.mark.parametrize("estimator", [detector(), IsolationForest(random_state=0)])
def test_scorers(labelled, estimator):
    X, anomaly = labelled
    estimator.fit(X)
    scores = -estimator.score_samples(X)
    assert anomaly_roc_auc_scorer(estimator, X, anomaly) == pytest.approx(roc_auc_score(anomaly, scores))
    assert anomaly_roc_auc_scorer(estimator, X, anomaly.astype(bool)) == pytest.approx(roc_auc_score(anomaly, scores))
    expected = average_precision_score(anomaly, scores)
    assert anomaly_average_precision_scorer(estimator, X, anomaly) == pytest.approx(expected)
    for scorer in anomaly_roc_auc_scorer, anomaly_average_precision_scorer:
        assert scorer(estimator, X, np.where(anomaly, -1, 1)) == scorer(estimator, X, anomaly)
