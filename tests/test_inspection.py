"""Reports, stability, selection and probes of units: against plain formulas, chance, and planted dictionaries."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import mannwhitneyu, spearmanr
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae._inspection import association, matching, probing, stability
from skl_sae._inspection.models import as_codes, random_atoms
from skl_sae.inspection import (
    dictionary_similarity,
    feature_report,
    feature_stability,
    frozen_random,
    select_features,
    sparse_probe,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]


def planted(seed, n=2000, m=24, d=32, active=3):
    """Rows that are sums of a few of m atoms, the atoms, and how much of each is in a row."""
    rng = np.random.default_rng(seed)
    atoms = rng.normal(size=(m, d))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    amounts = rng.uniform(0.5, 1.5, size=(n, m)) * (rng.random((n, m)).argsort(axis=1) < active)
    return amounts @ atoms + 0.02 * rng.normal(size=(n, d)), atoms, amounts


@pytest.fixture(scope="module")
def data():
    return planted(7)


@pytest.fixture(scope="module")
def topk(data):
    return TopKAutoencoderTransformer(32, 3, max_iter=100, random_state=0).fit(data[0])


@pytest.fixture(scope="module")
def penalised(data):
    return SparseAutoencoderTransformer(16, activation="relu", rho=0.2, max_iter=30, random_state=0).fit(data[0])


@pytest.fixture(scope="module")
def sigmoid(data):
    return SparseAutoencoderTransformer(16, max_iter=30, random_state=0).fit(data[0])


# -- report ----------------------------------------------------------------------------------------


def dense_codes(estimator, X, silent=0.0):
    H = estimator.transform(X)
    H = np.asarray(H.toarray() if sparse.issparse(H) else H)
    return np.where(silent < H, H, 0)


@pytest.mark.parametrize(("name", "silent"), [("topk", 0), ("penalised", 0), ("sigmoid", 0.01)])
def test_report_says_what_the_codes_say(request, data, name, silent):
    estimator, (X, *_) = request.getfixturevalue(name), data
    report, H = feature_report(estimator, X, n_top=6, n_middle=4), dense_codes(estimator, X, silent)
    np.testing.assert_allclose(report.frequency_, (H > 0).mean(axis=0))
    np.testing.assert_allclose(report.max_activation_, H.max(axis=0))
    V = estimator.decoder_coef_
    reconstructions = H @ V.T
    variance = reconstructions.var(axis=0).sum()
    for j in np.flatnonzero((H > 0).sum(axis=0) > 20):
        active = H[H[:, j] > 0, j]
        np.testing.assert_allclose(report.mean_activation_[j], active.mean())
        np.testing.assert_allclose(report.top_activations_[j], np.sort(active)[::-1][:6])
        np.testing.assert_array_equal(H[report.top_rows_[j], j], report.top_activations_[j])
        middle = H[report.middle_rows_[j], j]
        np.testing.assert_array_equal(middle, report.middle_activations_[j])
        assert middle.min() <= np.median(active) <= middle.max() or np.ptp(middle) == 0
        assert not set(report.middle_rows_[j]) & set(report.top_rows_[j])
        part = np.cov(np.outer(H[:, j], V[:, j]).T, reconstructions.T, bias=True)[: len(V), len(V) :]
        np.testing.assert_allclose(report.reconstruction_share_[j], np.trace(part) / variance, rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(np.abs(report.top_weights_[j]), np.sort(np.abs(V[:, j]))[::-1][:6])
        np.testing.assert_array_equal(V[report.top_features_[j], j], report.top_weights_[j])
    assert report.reconstruction_share_.sum() == pytest.approx(1)
    directions = V.T / np.linalg.norm(V.T, axis=1, keepdims=True)
    cosines = directions @ directions.T - 2 * np.eye(len(directions))
    np.testing.assert_array_equal(report.nearest_unit_, cosines.argmax(axis=1))
    np.testing.assert_allclose(report.nearest_cosine_, cosines.max(axis=1))


def test_report_leaves_blank_what_is_not_there(data, topk):
    X = data[0][:30]
    report = feature_report(topk, X)
    counts = (dense_codes(topk, X) > 0).sum(axis=0)
    np.testing.assert_array_equal((report.top_rows_ >= 0).sum(axis=1), np.minimum(counts, 10))
    np.testing.assert_array_equal((report.middle_rows_ >= 0).sum(axis=1), np.clip(counts - 10, 0, 5))
    assert not report.top_activations_[report.top_rows_ < 0].any()
    assert all(np.isfinite(value).all() for value in vars(report).values() if isinstance(value, np.ndarray))


def test_report_of_a_pipeline_is_that_of_its_end(data, topk):
    scaler = StandardScaler().fit(data[0])
    frame = pd.DataFrame(data[0], columns=[f"f{i}" for i in range(32)])
    pipeline = make_pipeline(StandardScaler(), TopKAutoencoderTransformer(20, 3, max_iter=5, random_state=0)).fit(frame)
    alone = feature_report(pipeline[-1], scaler.transform(frame.to_numpy()))
    report = feature_report(pipeline, frame)
    np.testing.assert_array_equal(report.top_rows_, alone.top_rows_)
    assert report.feature_names == list(frame.columns)
    assert alone.feature_names[:2] == ["x0", "x1"]
    reduced = make_pipeline(PCA(8), TopKAutoencoderTransformer(20, 3, max_iter=5, random_state=0)).fit(frame)
    assert feature_report(reduced, frame).feature_names[0] == "pca0"
    nested = make_pipeline(make_pipeline(StandardScaler(), "passthrough"), clone(pipeline[-1])).fit(frame)
    assert feature_report(nested, frame).feature_names == list(frame.columns)
    nameless = make_pipeline(make_pipeline(StandardScaler(), FunctionTransformer()), clone(pipeline[-1])).fit(frame)
    assert feature_report(nameless, frame).feature_names[:2] == ["x0", "x1"]


def test_report_measures_on_other_rows_than_it_chooses_by(data, topk):
    X, _, amounts = data
    y = np.where(amounts[:, 0] > 0, "with", "without")
    report = feature_report(topk, X, y=y, random_state=0)
    assert set(report.effect_class_) == {"without"}
    assert report.effect_.min() < 0.1
    values = amounts[:, 1] + 0.001 * np.arange(len(X)) / len(X)
    numbers = feature_report(topk, X, y=values, random_state=0)
    assert numbers.effect_class_ is None
    assert numbers.effect_.max() > 0.5
    target = association.as_target(y)
    found = association.associate(as_codes(topk.transform(X)), target, 0.5, np.random.RandomState(0))
    H = dense_codes(topk, X)[found.rows]
    expected = [roc_auc_score(y[found.rows] == "without", H[:, j]) for j in range(32)]
    np.testing.assert_allclose(report.effect_, expected)


def test_rows_are_named_by_an_index(data):
    frame = pd.DataFrame(data[0], index=[f"row {i}" for i in range(len(data[0]))]).rename(columns=str)
    topk = TopKAutoencoderTransformer(20, 3, max_iter=5, random_state=0).fit(frame)
    report = feature_report(topk, frame)
    assert report[3].top[0] == f"row {report.top_rows_[3, 0]}"
    assert feature_report(topk, frame.reset_index(drop=True)).names is None


def test_labels_names_and_tables(data, topk):
    names = [f"row {i} <&>" for i in range(len(data[0]))]
    report = feature_report(topk, data[0], names=names, y=data[2].argmax(axis=1), random_state=0)
    assert len(report) == 32
    summary = report[3]
    assert summary.top[0] == names[report.top_rows_[3, 0]]
    assert next(iter(summary.features)) == f"x{report.top_features_[3, 0]}"
    assert report[-1].unit == 31
    assert report.label(lambda unit: f"like {unit.top[:1]}").labels_[3] == f"like {summary.top[:1]}"
    frame = report.to_frame()
    assert frame.shape[0] == 32
    assert frame.loc[3, "label"] == f"like {summary.top[:1]}"
    assert list(report.to_frame([5, 2]).index) == [5, 2]
    text = repr(report)
    assert text.startswith("FeatureReport: 32 units on 2000 rows")
    assert "and 22 more" in text
    html = report._repr_html_()
    assert "&lt;&amp;&gt;" in html
    assert "<&>" not in html
    with pytest.raises(TypeError, match="label of unit 0 must be a str, got 5"):
        report.label(lambda unit: 5)
    with pytest.raises(IndexError):
        report[32]


# -- selection -------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("negative", [False, True])
def test_effects_are_those_of_scipy(rng, as_sparse, negative):
    H = np.round(rng.normal(size=(60, 7)), 1) * (rng.random((60, 7)) < 0.5)
    H = H if negative else np.abs(H)
    H[:, 6] = 2
    y, values = rng.integers(3, size=60), np.round(rng.normal(size=60), 1)
    ranks = association.Ranks(as_codes(sparse.csr_array(H) if as_sparse else H))
    effects = ranks.effects(association.as_target(y))
    for j in range(7):
        for c in range(3):
            assert effects[j, c] + 0.5 == pytest.approx(roc_auc_score(y == c, H[:, j]))
    effects = ranks.effects(association.as_target(values))
    np.testing.assert_allclose(effects[:6, 0], [spearmanr(H[:, j], values).statistic for j in range(6)])
    assert effects[6, 0] == 0


def test_p_values_are_those_of_the_permutation_distribution(rng):
    n = 400
    y = rng.integers(2, size=n)
    H = np.abs(rng.normal(size=(n, 12))) + np.outer(y, np.linspace(0, 0.6, 12))
    found = association.associate(as_codes(H), association.as_target(y), 0.5, np.random.RandomState(0))
    p_values = association.permutation_p_values(found, 5000, rng, n_exceeding=200)
    on = y[found.rows] == 1
    for j, sign in enumerate(found.signs):
        values = H[found.rows, j]
        side = "greater" if sign > 0 else "less"
        expected = mannwhitneyu(values[on], values[~on], alternative=side, method="asymptotic").pvalue
        assert p_values[j] == pytest.approx(expected, abs=4 * np.sqrt(expected / 2000) * expected**0.25 + 1e-3)


def test_p_values_hold_for_rare_units_and_classes(rng):
    """Under chance the share of p-values up to a level is at most that level, where formulas for many rows fail."""
    n = 300
    H = (rng.random((n, 2000)) < 0.01) * rng.exponential(size=(n, 2000))
    y = np.arange(n) < 6
    found = association.associate(as_codes(H), association.as_target(y), 0.5, np.random.RandomState(1))
    p_values = association.permutation_p_values(found, 2000, rng)
    for level in (0.002, 0.02, 0.1):
        assert np.mean(p_values <= level) <= level + 4 * np.sqrt(level / 2000)


def test_selection_finds_what_has_to_do_with_y(data, topk):
    X, atoms, amounts = data
    codes = topk.transform(X)
    directions = topk.components_ / np.linalg.norm(topk.components_, axis=1, keepdims=True)
    for j in (0, 5):
        selected = select_features(codes, amounts[:, j] > 0, random_state=0)
        best = selected.ranking_[0]
        assert directions[best] @ atoms[j] > 0.8
        assert selected.selected_[0] == best
        assert selected.mean_active_[best] > 0.6
        assert selected.mean_inactive_[best] < 0.1
        assert selected.direction_[best] == 1
    numbers = select_features(codes, amounts[:, 0] + 0.01, task="numbers", random_state=0)
    assert directions[numbers.ranking_[0]] @ atoms[0] > 0.8
    assert numbers.class_ is None
    several = select_features(codes, np.array(["a", "b", "c"])[np.minimum(amounts[:, 0] > 0, 1) + (amounts[:, 1] > 0)])
    assert set(several.class_) <= {"a", "b", "c"}
    assert len(several.to_frame()) == 32
    assert "units at fdr=0.1" in repr(several)
    assert "<table>" in several._repr_html_()


def test_selection_finds_little_by_chance(data, topk):
    codes, rng = topk.transform(data[0][:600]), np.random.default_rng(3)
    runs = [len(select_features(codes, rng.integers(2, size=600), random_state=i).selected_) for i in range(60)]
    assert np.mean(np.array(runs) > 0) <= 0.1 + 3 * np.sqrt(0.09 / 60)


def test_selection_with_a_seed_repeats_itself(data, topk):
    codes, y = topk.transform(data[0]), data[2][:, 0] > 0
    first, second = (select_features(codes, y, random_state=4) for _ in range(2))
    np.testing.assert_array_equal(first.p_values_, second.p_values_)
    dense = select_features(codes.toarray(), y, random_state=4)
    np.testing.assert_array_equal(dense.p_values_, first.p_values_)
    np.testing.assert_array_equal(dense.effect_, first.effect_)


# -- stability -------------------------------------------------------------------------------------


def test_planted_units_come_back(data, topk):
    X, atoms, _ = data
    done = []
    stable = feature_stability(topk, X, n_refits=3, callback=lambda *at: done.append(at), random_state=1)
    assert done == [(i, 5) for i in range(1, 6)]
    directions = topk.components_ / np.linalg.norm(topk.components_, axis=1, keepdims=True)
    true = (directions @ atoms.T).max(axis=1) > 0.9
    assert true.sum() >= 20
    assert roc_auc_score(true, stable.cosine_) > 0.95
    assert stable.stable_[true].mean() > 0.9
    assert stable.cosine_[true].mean() > 0.95
    assert stable.correlation_[true].mean() > 0.9
    assert max(stable.chance_.values()) < 0.7
    refit = stable.estimators_[1].components_
    np.testing.assert_allclose(
        np.einsum("jd,jd->j", refit[stable.matches_[1]], topk.components_), stable.cosines_[1], atol=1e-6
    )
    assert len(stable.to_frame()) == 32
    assert "units come back in 3 refits" in repr(stable)
    assert "<table>" in stable._repr_html_()


@pytest.mark.parametrize("m", [8, 40])
def test_units_of_noise_do_not(m):
    X = np.random.default_rng(11).normal(size=(1500, 20))
    sae = TopKAutoencoderTransformer(m, 3, max_iter=30, random_state=0).fit(X)
    stable = feature_stability(sae, X, random_state=1)
    assert not stable.stable_.any()
    assert abs(stable.cosine_.mean() - stable.chance_["shuffled pair"]) < 0.15


@pytest.mark.parametrize("name", ["penalised", "sigmoid"])
def test_stability_of_other_estimators(request, data, name):
    estimator = request.getfixturevalue(name)
    stable = feature_stability(estimator, data[0], n_refits=2, subsample=0.5, random_state=0)
    assert stable.cosines_.shape == (2, 16)
    assert np.isfinite(stable.correlations_).all()


def test_stability_does_not_depend_on_n_jobs_and_leaves_the_fit_alone(data, topk):
    X = sparse.csr_array(np.maximum(data[0], 0).round(1))
    sae = clone(topk).set_params(max_iter=5).fit(X)
    before = sae.components_.copy()
    one, two = (feature_stability(sae, X, n_refits=2, subsample=500, n_jobs=n, random_state=3) for n in (1, 2))
    for name in ("cosines_", "correlations_", "p_value_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(sae.components_, before)
    seeds = [model.random_state for model in one.estimators_]
    assert len({*seeds, sae.random_state}) == 3


def test_stability_of_a_pipeline(data):
    frame = pd.DataFrame(data[0], columns=[f"f{i}" for i in range(32)])
    pipeline = make_pipeline(StandardScaler(), TopKAutoencoderTransformer(20, 3, max_iter=5, random_state=0)).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stable = feature_stability(pipeline, frame, n_refits=2, random_state=0)
    assert stable.cosines_.shape == (2, 20)


def test_shuffled_columns_keep_their_values(rng):
    X = sparse.random_array((40, 6), density=0.3, rng=rng, format="csr")
    shuffled = stability.shuffle_columns(X, np.random.RandomState(0))
    dense = stability.shuffle_columns(X.toarray(), np.random.RandomState(0))
    for one in (shuffled.toarray(), dense):
        np.testing.assert_array_equal(np.sort(one, axis=0), np.sort(X.toarray(), axis=0))
        assert (one != X.toarray()).any()


def test_correlations_are_those_of_numpy(rng):
    G, H = (np.maximum(rng.normal(size=(50, m)), 0) for m in (4, 3))
    H[:, 2] = 0
    found = matching.correlations(as_codes(G), as_codes(H))
    np.testing.assert_allclose(found[:, :2], np.corrcoef(G.T, H[:, :2].T)[:4, 4:])
    assert not found[:, 2].any()


# -- similarity ------------------------------------------------------------------------------------


def test_similarity(data, topk):
    atoms = data[1]
    same = dictionary_similarity(atoms, 3 * atoms[::-1], random_state=0)
    assert same.mean_max_cosine_ == pytest.approx(1)
    np.testing.assert_array_equal(same.pairs_[:, 1], 23 - np.arange(24))
    fit = dictionary_similarity(atoms, topk, random_state=0)
    assert fit.mean_max_cosine_ > 0.9 > fit.chance_max_cosine_
    assert fit.pairs_.shape == (24, 2)
    assert fit.mean_max_cosine_ >= fit.mean_matched_cosine_
    assert dictionary_similarity(atoms, -atoms).mean_max_cosine_ < 0.8
    assert "by chance" in repr(fit)
    assert "<table>" in fit._repr_html_()
    assert dictionary_similarity(atoms, PCA(5).fit(data[0])).pairs_.shape == (5, 2)


def test_random_atoms_have_the_mean_and_covariance_of_the_atoms(rng):
    atoms = rng.normal(size=(50, 6)) * [1, 1, 1, 1, 0.1, 0] + [2, 0, 0, 0, 0, 0]
    drawn = random_atoms(atoms, 4000, rng)
    unit = atoms / np.linalg.norm(atoms, axis=1, keepdims=True)
    np.testing.assert_allclose(drawn.mean(axis=0), unit.mean(axis=0), atol=0.1)
    assert not drawn[:, 5].any()


# -- probes ----------------------------------------------------------------------------------------


def test_forward_selection_is_that_of_least_squares(rng):
    X = rng.normal(size=(200, 6))
    X[:, 3] = X[:, 0] + 0.1 * X[:, 1]
    t = X @ [1.0, 0, 0, 0, 0.5, 0.2] + 0.1 * rng.normal(size=200)
    X, t = X - X.mean(axis=0), t - t.mean()
    chosen = []
    for _ in range(4):
        errors = [
            np.inf
            if j in chosen
            else np.linalg.norm(t - X[:, [*chosen, j]] @ np.linalg.lstsq(X[:, [*chosen, j]], t)[0])
            for j in range(6)
        ]
        chosen.append(int(np.argmin(errors)))
    found = probing.choose_forward(X.T @ X / 200, X.T @ t / 200, 4)
    assert found.tolist() == chosen
    assert len(probing.choose_forward(np.ones((5, 5)), np.ones(5), 3)) == 1


def test_probe_beside_baselines():
    X, y = load_digits(return_X_y=True)
    sae = TopKAutoencoderTransformer(128, 8, max_iter=40, random_state=0).fit(X)
    random = frozen_random(sae, X, random_state=1)
    baselines = {"random": random.transform(X), "pixels": X}
    probe = sparse_probe(sae.transform(X), y, 4, baselines=baselines, random_state=0)
    assert probe.scores_.shape == (10,)
    assert all(len(set(chosen)) == 4 for chosen in probe.features_)
    assert probe.score_ > probe.baselines_["random"].score_
    assert probe.score_ > 0.9
    np.testing.assert_array_equal(probe.test_rows_, probe.baselines_["pixels"].test_rows_)
    assert list(probe.to_frame().columns) == ["codes", "random", "pixels"]
    assert "mean" in repr(probe)
    assert "<table>" in probe._repr_html_()
    dense = sparse_probe(sae.transform(X).toarray(), y, 4, random_state=0)
    np.testing.assert_array_equal(dense.features_, probe.features_)
    for one, other in zip(dense.classifiers_, probe.classifiers_, strict=True):
        np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(dense.scores_, probe.scores_, atol=1e-3)  # rounding may swap rows that are nearly equal
    two = sparse_probe(sae.transform(X), y == 3, 2, scoring="accuracy", random_state=0)
    assert two.classes_.tolist() == [True]


@pytest.mark.parametrize("selection", ["topk", "batchtopk"])
def test_frozen_random_topk(data, selection):
    X, *_ = data
    sae = TopKAutoencoderTransformer(40, 4, selection=selection, max_iter=20, random_state=0).fit(X)
    before = sae.encoder_coef_.copy()
    random = frozen_random(sae, X, random_state=1)
    np.testing.assert_array_equal(sae.encoder_coef_, before)
    assert random.transform(X).nnz == pytest.approx(4 * len(X), rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(random.components_, axis=1), 1)
    np.testing.assert_allclose(random.inverse_transform(random.transform(X)).mean(axis=0), X.mean(axis=0), atol=0.02)
    variance = np.square(X - X.mean(axis=0)).sum(axis=1).mean()
    assert sae.reconstruction_error(X).mean() < random.reconstruction_error(X).mean() < variance


@pytest.mark.parametrize("options", [{}, {"activation": "relu", "rho": 0.3}, {"tied_weights": True}])
def test_frozen_random_keeps_mean_activations(data, options):
    X, *_ = data
    sae = SparseAutoencoderTransformer(10, max_iter=10, random_state=0, **options).fit(X)
    pipeline = make_pipeline(StandardScaler(with_std=False), sae).fit(X)
    random = frozen_random(pipeline, X, random_state=1)
    np.testing.assert_allclose(random.transform(X).mean(axis=0), pipeline[-1].mean_activation_, atol=1e-5)
    assert random[-1] is not pipeline[-1]
    assert random.score(X) < pipeline.score(X)


def test_frozen_random_looks_at_the_rows_it_is_given(data):
    """After an interrupt the mean activations over the rows of the fit are unknown."""
    X, *_ = data
    sae = SparseAutoencoderTransformer(10, max_iter=10, random_state=0).fit(X)
    del sae.mean_activation_
    random = frozen_random(sae, X[:100], random_state=1)
    np.testing.assert_allclose(random.transform(X[:100]).mean(axis=0), sae.transform(X[:100]).mean(axis=0), atol=1e-5)


# -- mistakes --------------------------------------------------------------------------------------


def test_other_estimators_are_refused(data):
    X = data[0]
    with pytest.raises(TypeError, match=r"needs a TopKAutoencoderTransformer.*got PCA"):
        feature_report(PCA(2).fit(X), X)
    with pytest.raises(TypeError, match="got Pipeline that ends in PCA"):
        feature_report(make_pipeline(StandardScaler(), PCA(2)).fit(X), X)
    with pytest.raises(TypeError, match="got SparseAutoencoderOutlierDetector"):
        feature_stability(SparseAutoencoderOutlierDetector(max_iter=2).fit(X), X)
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        feature_report(TopKAutoencoderTransformer(), X)


def test_mismatched_rows_are_refused(data, topk):
    X = data[0]
    for function in (feature_report, feature_stability, frozen_random):
        with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 32"):
            function(topk, X[:, :5])
    with pytest.raises(ValueError, match="3 names for 2000 rows"):
        feature_report(topk, X, names=["a", "b", "c"])
    with pytest.raises(ValueError, match="3 feature names, but the autoencoder has 32"):
        feature_report(topk, X, feature_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        feature_report(topk, X, y=[0, 1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        sparse_probe(topk.transform(X), [0, 1] * 20)
    with pytest.raises(ValueError, match="n_top must be at least 1"):
        feature_report(topk, X, n_top=0)
    with pytest.raises(ValueError, match="atoms of a have 32 features, those of b 5"):
        dictionary_similarity(topk, np.ones((3, 5)))


def test_constant_codes_are_refused(data):
    X = data[0]
    sae = TopKAutoencoderTransformer(8, 2, max_iter=2).fit(X)
    sae.encoder_intercept_[:] = -1e3
    for function in (feature_report, feature_stability):
        with pytest.raises(ValueError, match="The code is constant: no unit is active"):
            function(sae, X)
    y = np.arange(50) % 2
    with pytest.raises(ValueError, match="The code is constant on the 25 held-out rows"):
        select_features(np.ones((50, 3)), y)
    with pytest.raises(ValueError, match="All features of the codes are constant on the training rows"):
        sparse_probe(np.ones((50, 3)), y, 2)


@pytest.mark.parametrize("function", [select_features, lambda H, y: sparse_probe(H, y, 2)])
def test_poor_y_is_refused(rng, function):
    H = rng.random((40, 5))
    with pytest.raises(ValueError, match="y has only one value"):
        function(H, np.zeros(40))
    with pytest.raises(ValueError, match="Class 7 of y has a single row"):
        function(H, [7] + [1] * 20 + [2] * 19)


def test_other_mistakes_are_refused(rng, data, topk):
    H, X = rng.random((400, 5)), data[0]
    with pytest.raises(ValueError, match="y has 400 different whole numbers: pass task="):
        select_features(H, np.arange(400))
    with pytest.raises(ValueError, match="y of numbers, got dtype"):
        select_features(H, ["a", "b"] * 200, task="numbers")
    with pytest.raises(ValueError, match="task must be"):
        select_features(H, [0, 1] * 200, task="regression")
    with pytest.raises(ValueError, match=r"must lie between 0 and 1, got 1\.5"):
        select_features(H, [0, 1] * 200, fdr=1.5)
    with pytest.raises(ValueError, match="at least 4 are needed"):
        select_features(H[:3], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="n_features must lie between 1 and 5, the number of columns of codes; got 6"):
        sparse_probe(H, [0, 1] * 200, 6)
    with pytest.raises(ValueError, match="cannot be called 'codes'"):
        sparse_probe(H, [0, 1] * 200, 2, baselines={"codes": H})
    with pytest.raises(ValueError, match="A refit to 20 rows cannot determine 32 units"):
        feature_stability(topk, X, subsample=20)
    with pytest.raises(ValueError, match="subsample must be"):
        feature_stability(topk, X, subsample=1.5)
    with pytest.raises(ValueError, match="n_refits must be at least 1"):
        feature_stability(topk, X, n_refits=0)
    with pytest.raises(ValueError, match="only one"):
        feature_stability(TopKAutoencoderTransformer(1, 1, max_iter=2).fit(X), X)
