"""Inspection in the company of scikit-learn: Pipelines, data frames, labels of any kind, large and constant data."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, DictionaryLearning
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skl_sae import SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae._inspection import association, matching, probing
from skl_sae._inspection.models import as_codes
from skl_sae.inspection import (
    dictionary_similarity,
    feature_report,
    feature_stability,
    frozen_random,
    select_features,
    sparse_probe,
)
from skl_sae.plotting import UnitDisplay

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
    pytest.mark.usefixtures("without_a_screen"),
]


@pytest.fixture(scope="module", name="X")
def rows():
    return np.random.default_rng(0).exponential(size=(200, 6))


@pytest.fixture(scope="module")
def frame(X):
    return pd.DataFrame(X, columns=list("abcdef"))


def topk(**parameters):
    return TopKAutoencoderTransformer(**{"n_components": 8, "k": 2, "max_iter": 3, "random_state": 0} | parameters)


def penalised(**parameters):
    defaults = {"n_components": 4, "max_iter": 3, "random_state": 0}
    return SparseAutoencoderTransformer(**defaults | parameters)


@pytest.fixture(scope="module")
def fitted(X):
    return topk().fit(X)


# -- Pipelines and data frames ---------------------------------------------------------------------


def test_the_last_step_may_be_in_a_pipeline_of_its_own_or_followed_by_nothing(frame):
    flat = make_pipeline(StandardScaler(), PCA(5), topk()).fit(frame)
    nested = make_pipeline(StandardScaler(), make_pipeline(PCA(5), topk()), "passthrough").fit(frame)
    one, other = (feature_report(pipeline, frame) for pipeline in (flat, nested))
    np.testing.assert_array_equal(one.top_rows_, other.top_rows_)
    assert other.feature_names[0] == "pca0"
    before = nested[1][-1].encoder_coef_.copy()
    random = frozen_random(nested, frame, random_state=0)
    np.testing.assert_array_equal(nested[1][-1].encoder_coef_, before)
    np.testing.assert_array_equal(
        random.transform(frame).toarray(), frozen_random(flat, frame, random_state=0).transform(frame).toarray()
    )
    codes = nested.transform(frame).toarray()
    random.fit(5 * frame)  # its steps are its own
    np.testing.assert_array_equal(nested.transform(frame).toarray(), codes)


@pytest.mark.integration
def test_samplers_are_passed_over(X):
    pytest.importorskip("imblearn", reason="needs imbalanced-learn")
    from imblearn.pipeline import make_pipeline as make_sampling_pipeline
    from imblearn.under_sampling import RandomUnderSampler

    sampler = RandomUnderSampler(random_state=0)
    pipeline = make_sampling_pipeline(StandardScaler(), sampler, topk()).fit(X, X[:, 0] > 2)
    assert feature_report(pipeline, X).n_rows == len(X)


def test_features_are_nameless_after_a_step_that_cannot_name_some(frame):
    columns = make_column_transformer((FunctionTransformer(np.log1p), ["a", "b"]), (StandardScaler(), ["c", "d"]))
    pipeline = make_pipeline(columns, topk()).fit(frame)
    assert feature_report(pipeline, frame).feature_names == ["x0", "x1", "x2", "x3"]
    assert UnitDisplay.from_estimator(pipeline, frame, 0).feature_names[0] == "x0"


def test_features_of_one_name_are_told_apart(X, fitted):
    found = feature_report(fitted, X, feature_names=["a", "b", "a", "c", "d", "e"])
    assert found.feature_names == ["a (x0)", "b", "a (x2)", "c", "d", "e"]
    assert all(len(unit.features) == 6 for unit in found)


def test_output_settings_are_for_users_alone(X, frame, fitted):
    pipeline = make_pipeline(StandardScaler(), topk()).set_output(transform="pandas").fit(frame)
    assert len(feature_report(pipeline, frame)) == 8
    assert feature_stability(pipeline, frame, n_refits=1).cosines_.shape == (1, 8)
    with sklearn.config_context(transform_output="pandas"):
        within = feature_report(fitted, X)
    np.testing.assert_array_equal(within.top_rows_, feature_report(fitted, X).top_rows_)
    with pytest.raises(ValueError, match="Data frames hold no sparse codes"):
        pipeline.transform(frame)


def test_refits_know_the_names_of_the_features(frame):
    sae = topk().fit(frame)
    refit = feature_stability(sae, frame, n_refits=1).estimators_[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refit.transform(frame)


@pytest.mark.parametrize("as_tokens", [False, True])
def test_units_of_texts_are_shown_by_name(rng, as_tokens):
    words = np.array(["apple", "pear", "plum", "fig", "nut", "oak", "elm", "ash"])
    texts = [[str(word) for word in rng.choice(words, rng.integers(3, 9))] for _ in range(100)]
    vectorizer = TfidfVectorizer(analyzer=list) if as_tokens else TfidfVectorizer()
    texts = texts if as_tokens else [" ".join(text) for text in texts]
    pipeline = make_pipeline(vectorizer, topk()).fit(texts)
    display = UnitDisplay.from_estimator(pipeline, texts, 0, names=[f"one\ntwo\t{i}" for i in range(100)])
    assert display.ax_[0].get_yticklabels()[0].get_text() == f"one two {display.top[0]}"
    assert display.feature_names[0] == "apple"
    with pytest.raises(ValueError, match="0 features are not the pixels"):
        UnitDisplay.from_estimator(pipeline, texts, 0, images=True)


def test_weights_are_an_image_only_if_they_belong_to_pixels(rng):
    pixels = rng.random((100, 16))
    for step, n_images in ((PCA(16), 0), (StandardScaler(), 1)):
        display = UnitDisplay.from_estimator(make_pipeline(step, topk()).fit(pixels), pixels, 0)
        assert [len(axis.images) for axis in display.ax_] == [1, 0, n_images]
    frame = pd.DataFrame(pixels, columns=[f"pixel {i}" for i in range(16)])
    display = UnitDisplay.from_estimator(topk().fit(frame), frame, 0, images=True)
    assert len(display.ax_[2].images) == 1


def test_rows_with_names_of_several_lines_stay_in_one_line_of_the_table(X, fitted):
    assert len(repr(feature_report(fitted, X, names=[f"a\nb {i}" for i in range(len(X))])).split("\n")) == 2 + 8


@pytest.mark.parametrize("layout", ["bsr", "coo", "csc", "dia", "dok", "lil"])
def test_images_of_sparse_rows_of_any_layout(rng, layout):
    pixels = rng.random((20, 16)) * (rng.random((20, 16)) < 0.5)
    sae = topk().fit(pixels)
    one, other = (UnitDisplay.from_estimator(sae, X, 0) for X in (pixels, sparse.csr_matrix(pixels).asformat(layout)))
    np.testing.assert_array_equal(one.images, other.images)


def test_shares_of_equal_rows_are_zero(X, fitted):
    for sae in (fitted, penalised().fit(X)):
        for row in X[:10, None]:
            assert not feature_report(sae, np.repeat(row, 7, axis=0)).reconstruction_share_.any()
            assert not feature_report(sae, row).reconstruction_share_.any()


def test_frames_of_chosen_units(X, fitted):
    report = feature_report(fitted, X)
    assert report.to_frame(np.arange(8) > 4).index.tolist() == [5, 6, 7]
    assert report.to_frame(np.array([6, -1])).index.tolist() == [6, 7]
    assert report.to_frame([]).shape == (0, report.to_frame().shape[1])
    with pytest.raises(IndexError, match="boolean"):
        report.to_frame([True, False])


# -- codes -----------------------------------------------------------------------------------------


def test_codes_by_columns_are_left_alone(X, fitted):
    codes = sparse.csc_array(fitted.transform(X))
    codes.data[::5] = 0
    reversed_rows = np.concatenate(
        [np.arange(*part)[::-1] for part in zip(codes.indptr, codes.indptr[1:], strict=False)]
    )
    unsorted = sparse.csc_array((codes.data[reversed_rows], codes.indices[reversed_rows], codes.indptr), codes.shape)
    before = copy.deepcopy(unsorted)
    for part in (unsorted.data, unsorted.indices, unsorted.indptr):
        part.flags.writeable = False
    y = X[:, 0] > 1
    found = select_features(unsorted, y, random_state=0)
    np.testing.assert_array_equal(found.p_values_, select_features(codes.toarray(), y, random_state=0).p_values_)
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(unsorted, part), getattr(before, part))


def test_sums_of_float32_codes_keep_their_digits(rng):
    signal = rng.normal(size=(50_000, 1))
    H = 0.3 + 0.001 * (signal + rng.normal(size=(len(signal), 3)))
    found = matching.correlations(*2 * [as_codes(H.astype(np.float32))])
    np.testing.assert_allclose(found, np.corrcoef(H.T), atol=1e-4)


def test_constant_units_correlate_with_none_however_many_rows(rng):
    H = np.column_stack([np.full(300_000, 0.1), rng.normal(size=300_000)])
    np.testing.assert_allclose(matching.correlations(as_codes(H), as_codes(H)), [[0, 0], [0, 1]], atol=1e-12)


# -- y ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rare", [2, 3])
@pytest.mark.parametrize("test_size", [0.1, 0.25, 0.9])
def test_every_class_is_on_both_sides(rng, n_rare, test_size):
    y = np.arange(100) % 2
    y[:n_rare] = 2
    target = association.as_target(y)
    for seed in range(10):
        chosen, held_out = association.halves(target, test_size, np.random.RandomState(seed))
        assert set(y[chosen]) == set(y[held_out]) == {0, 1, 2}
        np.testing.assert_array_equal(np.sort(np.append(chosen, held_out)), np.arange(100))
        assert abs(len(held_out) - 100 * test_size) <= 2
    probe = sparse_probe(rng.random((100, 4)), y == 2, 2, test_size=test_size, random_state=0)
    assert np.isfinite(probe.score_)


def test_a_column_of_numbers_is_taken_as_numbers(X, fitted):
    codes, values = fitted.transform(X), X[:, :1]
    flat = select_features(codes, values.ravel(), random_state=0)
    for column in (values, pd.DataFrame(values)):
        found = select_features(codes, column, random_state=0)
        np.testing.assert_array_equal(found.p_values_, flat.p_values_)
        np.testing.assert_array_equal(found.mean_active_, flat.mean_active_)


def test_two_rows_of_numbers_are_needed_on_both_sides(X, fitted):
    for test_size in (0.001, 0.999):
        with pytest.raises(ValueError, match="leaves fewer than two of 200 rows"):
            select_features(fitted.transform(X), X[:, 0], test_size=test_size)


def test_means_are_blank_where_there_are_no_rows(rng):
    H = np.column_stack([rng.random((300, 3)) + 0.1, np.zeros(300)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = select_features(H, rng.standard_cauchy(300), random_state=0)
    assert np.isfinite(found.mean_active_).tolist() == [True] * 3 + [False]
    np.testing.assert_array_equal(found.mean_inactive_[:3], np.full(3, np.nan))
    assert np.isfinite(found.mean_inactive_[3])


@pytest.mark.parametrize("function", [select_features, lambda H, y: sparse_probe(H, y, 2)])
@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_missing_classes_are_called_missing(X, fitted, function, dtype):
    y = pd.Series([None, *["a", "b"] * 99, "a"], dtype=dtype)
    with pytest.raises(ValueError, match="y has missing values"):
        function(fitted.transform(X), y)


def test_probes_take_classes_alone(X, fitted):
    codes = fitted.transform(X)
    with pytest.raises(ValueError, match="y holds numbers with a fraction, not classes"):
        sparse_probe(codes, X[:, 0], 2)
    with pytest.raises(ValueError, match=r"one to measure on\.$"):  # and no advice to pass a task
        sparse_probe(codes, [0, *[1, 2] * 99, 1], 2)


# -- probes and frozen autoencoders ----------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 9), (9, 60)])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_covariances_by_rows_are_those_of_numpy(rng, shape, as_sparse):
    X = rng.random(shape) * (rng.random(shape) < 0.5)
    X[:, 4] = 0.3
    covariance = probing.Covariance(sparse.csr_array(X) if as_sparse else X)
    expected = np.cov(X.T, bias=True)
    np.testing.assert_allclose([covariance[j] for j in range(shape[1])], expected, atol=1e-12)
    np.testing.assert_allclose(covariance.diagonal(), np.diag(expected), atol=1e-12)
    assert covariance.diagonal()[4] == 0


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e3), (np.float64, 1e8)])
def test_features_far_from_zero_are_chosen_as_near_it(rng, as_sparse, dtype, offset):
    y = rng.integers(2, size=1000)
    H = np.outer(y, [0, 0.6, 0, 0.3]) + rng.normal(size=(1000, 4))
    far = (H + offset).astype(dtype)
    far = sparse.csr_array(far) if as_sparse else far
    near, found = sparse_probe(H, y, 2, random_state=0), sparse_probe(far, y, 2, random_state=0)
    assert found.features_[0].tolist() == near.features_[0].tolist() == [1, 3]
    assert found.score_ == pytest.approx(near.score_, abs=1e-3)
    X = np.column_stack([np.full(1000, offset), H[:, 0]]).astype(dtype)
    covariance = probing.Covariance(sparse.csr_array(X) if as_sparse else X)
    np.testing.assert_allclose(covariance.diagonal(), [0, H[:, 0].var()], rtol=1e-5)


def test_a_constant_baseline_is_named(rng, X, fitted):
    baselines = {"raw": X, "empty": np.full((len(X), 3), np.float32(0.1))}
    with pytest.raises(ValueError, match="features of the baseline 'empty' are constant on the training rows"):
        sparse_probe(fitted.transform(X), X[:, 0] > 1, 2, baselines=baselines)


def test_frozen_units_have_the_mean_activations_of_the_rows_given(X):
    sae, others = penalised(rho=0.3).fit(X), 1 + X[:80]
    random = frozen_random(sae, others, random_state=0)
    np.testing.assert_allclose(random.transform(others).mean(axis=0), sae.transform(others).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(random.mean_activation_, random.transform(others).mean(axis=0))
    for name in sae._from_all_rows:  # an interrupted fit that was kept lacks them
        vars(sae).pop(name)
    interrupted = frozen_random(sae, others, random_state=0)
    np.testing.assert_array_equal(interrupted.encoder_intercept_, random.encoder_intercept_)


def test_parameters_set_after_the_fit_change_no_result(X):
    sae = penalised().fit(X)
    changed = copy.deepcopy(sae).set_params(activation="relu", output_activation="sigmoid")
    for function in (
        lambda one: feature_report(one, X).frequency_,
        lambda one: frozen_random(one, X, random_state=0).score(X),
    ):
        np.testing.assert_array_equal(function(changed), function(sae))
    with pytest.raises(ValueError, match=r"no unit for each of the 4 fitted ones.*set n_components=4"):
        feature_stability(sae.set_params(n_components=3), X)


def test_dead_units_of_a_frozen_autoencoder_are_counted(X):
    sae = penalised(activation="relu", rho=0.3).fit(X)
    sae.encoder_intercept_[2] = -1e6
    assert frozen_random(sae, X, random_state=0).dead_fraction_ == 0.25


def test_frozen_weights_have_the_length_with_which_reconstructions_are_best(X, fitted):
    random = frozen_random(fitted, X, random_state=0)
    best = np.square(X - random.inverse_transform(random.transform(X))).sum()
    mean = X.mean(axis=0)
    for factor in (0.99, 1.01):
        other = mean + factor * (random.inverse_transform(random.transform(X)) - mean)
        assert np.square(X - other).sum() > best


# -- stability -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_an_error_of_a_callback_ends_it_and_leaves_warnings_as_they_were(X, fitted, n_jobs):
    calls = []

    def fail(done, total):
        calls.append(done)
        raise RuntimeError("enough")

    before = list(warnings.filters)
    with pytest.raises(RuntimeError, match="enough"):
        feature_stability(fitted, X, n_jobs=n_jobs, callback=fail)
    assert warnings.filters == before
    assert len(calls) <= n_jobs


def test_refits_do_not_repeat_the_warnings_of_the_fit(X):
    with pytest.warns(UserWarning, match="X lies in"):
        sae = penalised(output_activation="sigmoid").fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        feature_stability(sae, X, n_refits=1)


# -- mistakes --------------------------------------------------------------------------------------


def test_counts_have_to_be_whole_numbers(X, fitted):
    H, y = fitted.transform(X), X[:, 0] > 1
    with pytest.raises(TypeError, match=r"n_refits must be an int, got 2\.5"):
        feature_stability(fitted, X, n_refits=2.5)
    with pytest.raises(TypeError, match="n_permutations must be an int"):
        select_features(H, y, n_permutations=1e3)
    with pytest.raises(TypeError, match="n_features must be an int"):
        sparse_probe(H, y, 2.0)
    with pytest.raises(TypeError, match="n_random must be an int"):
        dictionary_similarity(fitted, fitted, n_random="5")
    for function in (feature_report, lambda *args, **counts: UnitDisplay.from_estimator(*args, 0, **counts)):
        with pytest.raises(TypeError, match="n_top must be an int"):
            function(fitted, X, n_top=2.0)
        with pytest.raises(ValueError, match="n_middle must be at least 0, got -1"):
            function(fitted, X, n_middle=-1)
    with pytest.raises(ValueError, match="n_top must be at least 1, got 0"):
        UnitDisplay.from_estimator(fitted, X, 0, n_top=0, n_middle=0)
    with pytest.raises(TypeError, match="scoring must be one score"):
        sparse_probe(H, y, 2, scoring=["roc_auc", "f1"])


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_similarities_do_not_depend_on_the_length_of_atoms(rng, scale):
    atoms = rng.normal(size=(5, 4))
    similar = dictionary_similarity(scale * atoms, atoms, random_state=0)
    assert similar.mean_matched_cosine_ == pytest.approx(1)
    assert similar.chance_max_cosine_ == pytest.approx(
        dictionary_similarity(atoms, atoms, random_state=0).chance_max_cosine_
    )


def test_dictionaries_need_atoms(fitted, X):
    with pytest.raises(NotFittedError, match="DictionaryLearning"):
        dictionary_similarity(fitted, DictionaryLearning())
    with pytest.raises(TypeError, match=r"b must be atoms or an estimator with components_, got StandardScaler"):
        dictionary_similarity(fitted, StandardScaler().fit(X))

    class Foreign:
        components_ = fitted.components_

        def fit(self, X):
            pass

    assert dictionary_similarity(fitted, Foreign()).mean_max_cosine_ == pytest.approx(1)
