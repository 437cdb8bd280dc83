"""What users reported of the detector: a test for each report, with the right value."""

import pickle
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score

from skl_sae import SparseAutoencoderOutlierDetector

SCORINGS = ["auto", "mahalanobis", "standardized_error", "squared_error"]

# For scorings other than the default: constant units and poor fits are not what is tested.
quiet = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]


def detector(**parameters):
    return SparseAutoencoderOutlierDetector(**{"random_state": 0} | parameters)


def counts():
    """Rows of counts, most of which are zero."""
    return np.random.default_rng(0).poisson(0.03, size=(300, 6)).astype(np.float32)


def flags():
    """Rows of zeros and ones."""
    return (np.random.default_rng(1).uniform(size=(300, 6)) < 0.05).astype(np.float64)


def one_by_one(method, X):
    return np.concatenate([method(x[None]) for x in X])


# -- ties ------------------------------------------------------------------------------------------

TIED = [(counts(), "auto"), (counts(), 0.01), (flags(), 0.01)]
TIED_NAMES = ["counts-auto", "counts-0.01", "flags-0.01"]


def with_ties(test):
    """Mark a test that is given tied rows, a contamination and a scoring."""
    for mark in quiet:
        test = mark(test)
    test = pytest.mark.parametrize("scoring", SCORINGS)(test)
    return pytest.mark.parametrize(("X", "contamination"), TIED, ids=TIED_NAMES)(test)


@with_ties
def test_a_batch_is_predicted_as_its_rows_one_by_one(X, contamination, scoring):
    sae = detector(scoring=scoring, contamination=contamination).fit(X)
    labels = sae.predict(X)
    np.testing.assert_array_equal(labels, one_by_one(sae.predict, X))
    assert 0 < np.mean(labels == -1) < 0.2


@with_ties
def test_identical_rows_are_judged_alike(X, contamination, scoring):
    sae = detector(scoring=scoring, contamination=contamination).fit(X)
    for rows in X, np.random.default_rng(2).permutation(X)[:17]:
        _, which = np.unique(rows, axis=0, return_inverse=True)
        which = which.ravel()  # of two dimensions in NumPy 2.0.0
        labels, scores = sae.predict(rows), sae.score_samples(rows)
        for i in range(which.max() + 1):
            assert np.ptp(labels[which == i]) == 0
            assert np.ptp(scores[which == i]) <= (0 if scoring == "auto" else 1e-9 * -scores.min())


@with_ties
def test_graphs_give_the_labels_of_python(X, contamination, scoring):
    pytest.importorskip("skl2onnx", reason='needs pip install "skl-sae[onnx]"')
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs pip install "skl-sae[onnx]"')
    from skl_sae.onnx import to_onnx

    sae = detector(scoring=scoring, contamination=contamination).fit(X)
    graph = to_onnx(sae, outputs="label", dtype=X.dtype).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"X": X})[0][:, 0], sae.predict(X))


# -- false alarms of fits to few rows --------------------------------------------------------------


def gaussian(n_features):
    return lambda rng, n: rng.normal(size=(n, n_features))


def factors(rng, n):
    """Rows of 100 features that depend on 5 hidden ones."""
    loadings = np.random.default_rng(99).normal(size=(5, 100))
    return rng.normal(size=(n, 5)) @ loadings + 0.5 * rng.normal(size=(n, 100))


def flagged(sae, X, new):
    return np.mean(sae.fit(X).predict(new) == -1)


def assert_at_most(rates, share):
    """The mean over training sets is at most a share plus three standard errors."""
    assert np.mean(rates) <= share + 3 * np.std(rates, ddof=1) / np.sqrt(len(rates))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "n", "repetitions"),
    [(gaussian(300), 100, 3), (gaussian(40), 100, 6), (factors, 200, 4)],
    ids=["100x300", "100x40", "factors"],
)
def test_few_new_normal_rows_are_flagged_after_a_fit_to_few(make, n, repetitions):
    rates = []
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        X, new = make(rng, n), make(rng, 500)
        rates.append(flagged(detector(), X, new))
    assert flagged(detector(contamination=0.05), X, new) == rates[-1]
    assert_at_most(rates, 0.05)


@pytest.mark.parametrize("contamination", ["auto", 0.05])
def test_few_zeros_are_flagged_by_a_fit_to_other_zeros(contamination):
    X, y = load_digits(return_X_y=True)
    rates = []
    for seed in range(4):
        zeros = np.random.default_rng(seed).permutation(X[y == 0])
        rates.append(flagged(detector(contamination=contamination), zeros[:89], zeros[89:]))
    assert_at_most(rates, 0.05)


@pytest.mark.parametrize(("n", "d"), [(300, 4), (1000, 10)])
def test_the_rate_of_false_alarms_is_the_contamination(n, d):
    rates = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        sae, new = detector(contamination=0.1), rng.normal(size=(1000, d))
        rates.append(flagged(sae, rng.normal(size=(n, d)), new))
    assert_at_most(rates, 0.1)
    assert np.mean(rates) > 0.05


# -- rare levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_level_is_no_match_for_a_value_far_out(seed):
    rng = np.random.default_rng(seed)
    X, new = np.hstack([rng.normal(size=(500, 5)), np.zeros((500, 1))]), np.zeros((2, 6))
    X[7, 5] = 1  # a level in one row of 500
    new[0, 2] = 12
    new[1, 5] = 1
    far_out, rare = -detector().fit(X).score_samples(new)
    assert rare < far_out - 3


def one_hot(rng, n, shares):
    return np.eye(len(shares))[rng.choice(len(shares), n, p=shares)]


@pytest.mark.parametrize("most", [0.6, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_one_hot_columns_hide_fewer_anomalies_than_from_a_forest(seed, most):
    rng = np.random.default_rng(seed)
    X, strange = rng.normal(size=(1000, 6)), np.arange(1000) < 30
    X[:30] += 4 * rng.normal(size=(30, 6))
    X = np.hstack([X, one_hot(rng, 1000, np.r_[most, np.full(29, (1 - most) / 29)])])
    ours, forest = (
        average_precision_score(strange, -model.fit(X).score_samples(X))
        for model in (detector(), IsolationForest(random_state=0))
    )
    assert ours > forest
    assert ours > 0.7


# -- wide tables -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_wide_tables_are_fitted_in_the_memory_of_a_few_copies(rng):
    X = rng.normal(size=(100, 4000))
    detector().fit(X[:30, :200])  # reads compiled code
    tracemalloc.start()
    try:
        sae = detector().fit(X)
        copies = tracemalloc.get_traced_memory()[1] / X.nbytes
    finally:
        tracemalloc.stop()
    assert (sae.predict(1.5 * rng.normal(size=(5, 4000))) == -1).all()
    assert copies < 25  # a covariance alone would be 40


# -- what is normal --------------------------------------------------------------------------------


def majority_and_minority(rng, n_majority, n_minority):
    return np.vstack([rng.normal(size=(n_majority, 4)), 0.5 * rng.normal(size=(n_minority, 4)) + 6])


@pytest.mark.parametrize("seed", range(3))
def test_a_minority_of_normal_rows_is_not_flagged_wholesale(seed):
    rng = np.random.default_rng(seed)
    sae = detector().fit(majority_and_minority(rng, 900, 100))
    labels = sae.predict(majority_and_minority(rng, 0, 1000))
    assert np.mean(labels == 1) > 0.5


def related(rng, n):
    """Rows whose third feature is the first plus noise with a standard deviation of 0.1."""
    X = rng.normal(size=(n, 3))
    X[:, 2] = X[:, 0] + 0.1 * X[:, 2]
    return X


@pytest.mark.parametrize("n", [500, 2000])
@pytest.mark.parametrize("seed", range(3))
def test_a_row_that_breaks_a_relation_outranks_all_clean_rows(n, seed):
    rng = np.random.default_rng(n + seed)
    sae = detector().fit(related(rng, n))
    clean, broken = sae.score_samples(related(rng, 1000)), sae.score_samples([[0.7, 0, -0.7], [-0.7, 0, 0.7]])
    assert broken.max() < clean.min()
    assert (sae.predict([[0.7, 0, -0.7], [-0.7, 0, 0.7]]) == -1).all()


@pytest.mark.parametrize("value", [1e9, -1e9, 1e100])
@pytest.mark.parametrize("row", [0, 150])
def test_one_wild_value_does_not_hide_a_feature(rng, value, row):
    X = rng.normal(size=(300, 4))
    X[row, 2] = value
    sae, rows = detector().fit(X), np.zeros((3, 4))
    rows[:, 2] = [12, 0.1, 6]
    assert sae.predict(rows).tolist() == [-1, 1, -1]
    assert sae.predict(X[row : row + 1]) == [-1]


# -- weights and warnings --------------------------------------------------------------------------


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning")
def test_weights_that_sum_to_one_warn_and_the_remedy_helps(rng, scoring):
    X, sample_weight = rng.normal(size=(200, 4)), rng.uniform(0.5, 1.5, size=200)
    sample_weight *= 200 / sample_weight.sum()
    expected = detector(scoring=scoring).fit(X, sample_weight=sample_weight).score_samples(X)
    sample_weight = sample_weight / sample_weight.sum()
    with pytest.warns(UserWarning, match="sample_weight sums to 1 for 200 rows") as caught:
        detector(scoring=scoring).fit(X, sample_weight=sample_weight)
    messages = [str(warning.message) for warning in caught]
    (remedy,) = [message.split("Pass ")[1].split(". See ")[0] for message in messages if "Pass " in message]
    assert remedy == "sample_weight * 200 / sample_weight.sum()"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="sample_weight sums")
        sae = detector(scoring=scoring).fit(X, sample_weight=sample_weight * 200 / sample_weight.sum())
    np.testing.assert_allclose(sae.score_samples(X), expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("shape", [(500, 1), (500, 5), (60, 150), (20, 3)])
@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
def test_no_warning_advises_to_standardise_what_the_detector_scales(rng, shape, scoring, scale):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector(scoring=scoring, max_iter=40).fit(rng.normal(size=shape) * scale)
    assert not [str(warning.message) for warning in caught if "tandardise X" in str(warning.message)]


@pytest.mark.parametrize("seed", range(3))
def test_a_single_feature_is_fitted_without_a_warning(seed):
    rng = np.random.default_rng(seed)
    for column in rng.normal(size=(500, 1)), rng.lognormal(size=(500, 1)), rng.uniform(size=(500, 1)):
        detector().fit(column)  # warnings are errors


@pytest.mark.plain
def test_a_covariance_that_is_too_large_is_refused_before_training():
    with pytest.raises(ValueError, match='Use scoring="auto"'):
        detector(scoring="mahalanobis").fit(np.zeros((3, 20_000), np.float32))


# -- scores of different tables --------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [(30, 3), (50, 2), (200, 1), (1000, 10), (2000, 30), (100, 40), (100, 300), (200, 150)],
    ids=lambda shape: f"{shape[0]}x{shape[1]}",
)
def test_scores_of_normal_rows_are_about_one_whatever_the_table(shape):
    rng = np.random.default_rng(3)
    scores = -detector().fit(rng.normal(size=shape)).score_samples(rng.normal(size=(1000, shape[1])))
    few = shape == (100, 300)  # the autoencoder knows its training rows by heart, and their errors are small
    assert 0.3 < np.median(scores) < (2.5 if few else 1.5)
    assert scores.min() >= 0
    assert scores.max() < 20


# -- models saved by earlier versions --------------------------------------------------------------

# The scores that models fitted to the iris data gave for two rows when they were saved.
SCORES = {0: [-2.515334970842334, -4.45606597672097], 1: [-2.071470755377824, -3.7324592573536504]}


@pytest.mark.plain
@pytest.mark.parametrize("layout", SCORES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_models_of_earlier_versions_score_as_before_but_have_no_p_values(layout):
    X = load_iris().data
    sae = pickle.loads((Path(__file__).parent / "data" / f"detector_layout_{layout}.pkl").read_bytes())
    for model in sae, pickle.loads(pickle.dumps(sae)):
        np.testing.assert_allclose(model.score_samples(X[:2]), SCORES[layout], rtol=1e-9)
        np.testing.assert_array_equal(model.predict(X), np.where(model.decision_function(X) < 0, -1, 1))
        assert model.score_contributions(X[:2]).shape == (2, 4)
        for method in model.p_values, model.detect:
            with pytest.raises(ValueError, match=r"fitted by a version of skl_sae that kept no training rows.* Fit it"):
                method(X[:2])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning")
def test_a_model_of_an_earlier_version_has_p_values_once_it_is_fitted_anew():
    X = load_iris().data
    sae = pickle.loads((Path(__file__).parent / "data" / "detector_layout_1.pkl").read_bytes())
    assert sae.fit(X).p_values([[50, 50, 50, 50]])[0] == pytest.approx(1 / 151)
