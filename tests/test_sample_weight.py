"""Fits with weighted rows."""

import numpy as np
import pytest
import sklearn
from fits import SOLVERS, assert_same_fit, quiet, short, weights_of
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector

pytestmark = quiet


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data[:600]) / 16


@pytest.mark.parametrize("parameters", [{}, {"tied_weights": True}, {"activation": "relu"}])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_a_weight_of_two_is_the_row_twice(digits, parameters, as_sparse):
    weights = np.random.default_rng(0).integers(0, 3, size=len(digits))
    rows = sparse.csr_array if as_sparse else np.asarray
    weighted = short(**parameters, max_iter=200).fit(rows(digits), sample_weight=weights)
    repeated = short(**parameters, max_iter=200).fit(rows(np.repeat(digits, weights, axis=0)))
    for one, other in zip(weights_of(weighted), weights_of(repeated), strict=True):
        np.testing.assert_array_equal(one, other)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-12)
    assert weighted.score(digits, sample_weight=weights) == pytest.approx(
        repeated.score(np.repeat(digits, weights, axis=0)), rel=1e-12
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_only_ratios_of_weights_matter(digits, solver):
    weights = np.random.default_rng(0).integers(1, 3, size=len(digits))
    one, other = (short(solver=solver).fit(digits, sample_weight=factor * weights) for factor in [1, 1024])
    assert_same_fit(one, other)
    assert_same_fit(short(solver=solver).fit(digits), short(solver=solver).fit(digits, sample_weight=np.ones(600)))


def test_adam_leaves_out_rows_without_weight(digits):
    weights = np.repeat([1.0, 0.0], 300)
    assert_same_fit(short(solver="adam").fit(digits, sample_weight=weights), short(solver="adam").fit(digits[:300]))


def test_weights_of_any_size(digits):
    weights = np.full(600, 1e-200)
    weights[0] = 1e90
    sae = short(solver="adam").fit(digits, sample_weight=weights / 1e-10 + 1e60)
    assert np.isfinite(sae.score(digits, sample_weight=weights * 1e5))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(600), "[Nn]egative"),
        (np.eye(600)[0], "positive for 1 sample"),
        (np.full(600, 1e98), "overflow"),
        (np.ones(5), "inconsistent|shape"),
        (np.full(600, np.nan), "NaN"),
    ],
)
def test_bad_weights(digits, weights, message):
    for estimator in (short(), SparseAutoencoderOutlierDetector()):
        with pytest.raises(ValueError, match=message):
            estimator.fit(digits, sample_weight=weights)


def test_detector_with_weights_is_one_with_repeated_rows(digits):
    weights = np.random.default_rng(0).integers(0, 3, size=len(digits))
    settings = dict(n_components=10, max_iter=20, random_state=0)
    weighted = SparseAutoencoderOutlierDetector(**settings).fit(digits, sample_weight=weights)
    repeated = SparseAutoencoderOutlierDetector(**settings).fit(np.repeat(digits, weights, axis=0))
    np.testing.assert_allclose(weighted.decision_function(digits), repeated.decision_function(digits), rtol=1e-6)
    assert weighted.support_.shape == (600,)
    assert not weighted.support_[weights == 0].any()


def test_weights_are_routed(digits):
    weights = np.linspace(0.1, 1, 600)
    with sklearn.config_context(enable_metadata_routing=True):
        sae = short().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(sae, {"rho": [0.05]}, cv=2).fit(digits, sample_weight=weights)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), sae)
        pipeline.fit(digits, sample_weight=weights)
    for found, rows in [(search.best_estimator_, digits), (pipeline[-1], pipeline[0].transform(digits))]:
        expected = short(rho=found.rho).fit(rows, sample_weight=weights)
        np.testing.assert_array_equal(found.encoder_coef_, expected.encoder_coef_)
