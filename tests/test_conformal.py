"""p-values from folds of the training rows, decisions by them, and thresholds, against naive code."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.stats
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skl_sae import SparseAutoencoderOutlierDetector
from skl_sae._conformal import FOLDS, CrossConformal, benjamini_hochberg, deal, threshold, tukey_fence
from skl_sae._rows import DenseRows
from skl_sae._scatter import TIED_ROUNDED

pytestmark = [  # few iterations: how good a model is makes no difference here
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]

SCORINGS = ["auto", "mahalanobis", "standardized_error", "squared_error"]


def detector(**parameters):
    return SparseAutoencoderOutlierDetector(**{"max_iter": 10, "random_state": 0} | parameters)


def conformal(fit, X, weights=None, seed=0):
    """A `CrossConformal`; ``fit(X, weights)`` returns a function that scores arrays."""
    weights = np.ones(len(X)) if weights is None else weights

    def fit_rows(rows, weights):
        score = fit(rows.toarray(), weights)
        return lambda rows: score(rows.toarray())

    return CrossConformal.fit(fit_rows, X, weights, np.random.RandomState(seed))


def distance(X, weights):
    """Fit a score: the distance from the mean."""
    mean = np.average(X, axis=0, weights=weights)
    return lambda rows: ((rows - mean) ** 2).sum(axis=1)


# -- folds -----------------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize("n_folds", [3, 10])
@pytest.mark.parametrize(
    "weights",
    [np.ones(25), np.arange(25.0), np.linspace(0.01, 4, 25), np.array([0.5, 30, 2.5, 0]), np.array([1e3, 1.25])],
    ids=["ones", "counts", "fractions", "mixed", "large"],
)
def test_folds_share_out_the_weights(weights, n_folds):
    held = deal(weights, n_folds, np.random.RandomState(0))
    assert held.shape == (n_folds, len(weights))
    np.testing.assert_allclose(held.sum(axis=0), weights, atol=1e-12)
    assert held.min() >= 0
    everywhere = np.floor(weights / n_folds)
    assert (held >= everywhere - 1e-12).all()
    if (weights == np.round(weights)).all():
        np.testing.assert_array_equal(held, np.round(held))


@pytest.mark.plain
def test_rows_of_weight_one_are_in_one_fold_each_and_folds_are_alike():
    held = deal(np.ones(103), 10, np.random.RandomState(1))
    np.testing.assert_array_equal(np.sort(held, axis=0)[-2:], np.repeat([[0], [1]], 103, axis=1))
    assert set(held.sum(axis=1)) == {10, 11}


@pytest.mark.plain
def test_a_row_of_weight_two_is_dealt_as_two_rows():
    weights = np.array([2.0, 1, 3, 12, 1, 25])
    counts = weights.astype(int)
    held = deal(weights, 10, np.random.RandomState(2))
    # Of ten copies of a row every fold gets one, so only the rest is dealt.
    rest = np.repeat(np.arange(6), counts % 10)
    single = deal(np.ones(len(rest)), 10, np.random.RandomState(2))
    merged = np.array([single[:, rest == i].sum(axis=1) for i in range(6)]).T + counts // 10
    np.testing.assert_array_equal(held, merged)


@pytest.mark.plain
def test_deals_differ_by_the_seed():
    deals = [deal(np.ones(50), 10, np.random.RandomState(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(deals[0], deals[1])
    assert (deals[0] != deals[2]).any()


# -- p-values --------------------------------------------------------------------------------------


def naive_p_values(fit, X, weights, rows, seed):
    """One score at a time; ``fit(X, weights)`` returns a function that scores arrays."""
    counts = np.zeros(len(rows))
    for held in deal(weights, int(min(FOLDS, weights.sum())), np.random.RandomState(seed)):
        left = weights - held
        score = fit(X[left > 0], left[left > 0])
        for i, row in enumerate(rows):
            new = score(row[None])[0]
            counts[i] += sum(w for x, w in zip(X, held, strict=True) if w and score(x[None])[0] >= new * (1 - 1e-9))
    return (1 + counts) / (1 + weights.sum())


@pytest.mark.plain
@pytest.mark.parametrize("weights", [np.ones(23), np.arange(23) % 4 + 0.5, np.full(23, 0.2)])
def test_p_values_are_counted(rng, weights):
    X, rows = rng.normal(size=(23, 3)), 2 * rng.normal(size=(15, 3))
    found = conformal(distance, X, weights, seed=3).p_values(DenseRows(rows))
    np.testing.assert_allclose(found, naive_p_values(distance, X, weights, rows, seed=3))


@pytest.mark.parametrize("scoring", SCORINGS)
def test_p_values_of_a_detector_are_those_of_clones(rng, scoring):
    X, rows = rng.normal(size=(60, 3)), 2 * rng.normal(size=(20, 3))
    sae = detector(scoring=scoring).fit(X)
    kept, weights, seed = (sae._reference[name] for name in ("X", "weights", "seed"))

    def fit(X, weights):
        model = clone(sae).set_params(random_state=np.random.RandomState(seed)).fit(X, sample_weight=weights)
        return lambda rows: -model.score_samples(rows)

    np.testing.assert_array_equal(kept[np.lexsort(kept.T)], X[np.lexsort(X.T)])
    np.testing.assert_allclose(sae.p_values(rows), naive_p_values(fit, kept, weights, rows, seed))


@pytest.mark.plain
@pytest.mark.parametrize("n", [3, 7, 50])
def test_p_values_reach_from_one_of_all_rows_to_one(rng, n):
    X = rng.normal(size=(n, 2))
    p = conformal(distance, X).p_values(DenseRows(np.vstack([X.mean(axis=0), [1e9, 1e9], 3 * X])))
    assert p[1] == pytest.approx(1 / (n + 1))
    assert p.min() == p[1]
    assert p.max() == p[0] <= 1


@pytest.mark.plain
def test_p_values_of_equal_rows_are_one():
    np.testing.assert_array_equal(conformal(distance, np.ones((9, 2))).p_values(DenseRows(np.ones((4, 2)))), 1)


@pytest.mark.plain
def test_scores_that_were_rounded_apart_are_tied(rng):
    X = rng.normal(size=(40, 2)) + 2
    cross = conformal(lambda X, weights: lambda rows: rows[:, 0] ** 2, X)
    for factor in 1 - TIED_ROUNDED / 9, 1 + TIED_ROUNDED / 9:
        np.testing.assert_array_equal(cross.p_values(DenseRows(X * factor)), cross.p_values(DenseRows(X)))


@pytest.mark.plain
def test_weights_are_repeated_rows(rng):
    X, rows, weights = rng.normal(size=(12, 2)), rng.normal(size=(30, 2)), np.arange(12) % 3 + 1.0
    parts = conformal(distance, X, weights).parts
    assert sum(part[2].sum() for part in parts) == weights.sum()
    p = conformal(distance, X, weights).p_values(DenseRows(rows))
    counts = p * (weights.sum() + 1)
    np.testing.assert_allclose(counts, np.round(counts))


@pytest.mark.plain
def test_held_out_rows_are_scored_once_with_their_weight(rng):
    X, weights = rng.normal(size=(30, 2)), rng.uniform(0.5, 3, size=30)
    scores, counts = conformal(distance, X, weights).held_out()
    assert len(scores) == len(counts) >= 30
    assert counts.sum() == pytest.approx(weights.sum())


def test_only_as_many_folds_are_fitted_as_are_needed(rng):
    X, fits = rng.normal(size=(100, 2)), []

    def fit(rows, weights):
        fits.append(len(rows))
        return lambda rows: rows.toarray()[:, 0] ** 2

    CrossConformal.fit(fit, X, np.ones(100), np.random.RandomState(0), enough=25)
    assert fits == [90, 90, 90]


@pytest.mark.parametrize("shape", [(40, 2), (150, 3)])
def test_few_normal_rows_have_a_small_p_value(shape):
    """The share of small p-values differs between training sets, so the standard error is taken over these."""
    shares = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        p = detector(max_iter=5).fit(rng.normal(size=shape)).p_values(rng.normal(size=(300, shape[1])))
        shares.append([np.mean(p <= alpha) for alpha in (0.05, 0.1, 0.3)])
    bound = [0.05, 0.1, 0.3] + 3 * np.std(shares, axis=0, ddof=1) / np.sqrt(len(shares))
    assert (np.mean(shares, axis=0) <= bound).all()


@pytest.mark.parametrize("shape", [(60, 2), (100, 5), (199, 9)])
def test_few_normal_rows_are_flagged_at_the_stated_rate(shape):
    """Even with twenty rows per feature; where rows are few, leave-one-out scores vary too much."""
    rates = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sae = detector(max_iter=5).fit(rng.normal(size=shape))
        rates.append(np.mean(sae.predict(rng.normal(size=(500, shape[1]))) == -1))
    assert np.mean(rates) <= 0.05 + 2 * np.std(rates, ddof=1) / np.sqrt(len(rates))


@pytest.mark.parametrize("scoring", SCORINGS)
def test_p_values_do_not_depend_on_contamination_or_container(rng, scoring):
    X, rows = rng.normal(size=(60, 3)), rng.normal(size=(20, 3))
    p = detector(scoring=scoring).fit(X).p_values(rows)
    assert p.dtype == np.float64
    assert p.shape == (20,)
    for model in detector(scoring=scoring, contamination=0.3).fit(X), detector(scoring=scoring).fit(X):
        np.testing.assert_array_equal(model.p_values(rows), p)
    np.testing.assert_array_equal(detector(scoring=scoring).fit(X).p_values(sparse.csr_array(rows)), p)


def test_p_values_come_from_the_last_fit(rng):
    X = rng.normal(size=(60, 3))
    sae = detector().fit(X)
    assert sae.p_values([[9, 9, 9]])[0] == pytest.approx(1 / 61)
    sae.fit(X * 100)
    assert sae.p_values([[9, 9, 9]])[0] > 0.3


def test_p_values_of_weights_are_those_of_repeated_rows(rng):
    X, rows, weights = rng.normal(size=(50, 3)), rng.normal(size=(40, 3)), np.arange(50) % 3
    weighted = detector().fit(X, sample_weight=weights)
    repeated = detector().fit(np.repeat(X, weights, axis=0))
    np.testing.assert_array_equal(weighted.p_values(rows), repeated.p_values(rows))


def test_the_fits_to_folds_warn_of_nothing(rng):
    sae = detector(max_iter=1).fit(rng.normal(size=(30, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sae.p_values(rng.normal(size=(5, 3)))


@pytest.mark.plain
def test_p_values_need_a_fit_and_the_right_features(rng):
    for method in "p_values", "detect":
        with pytest.raises(NotFittedError):
            getattr(detector(), method)(np.ones((3, 2)))
    sae = detector().fit(rng.normal(size=(30, 3)))
    with pytest.raises(ValueError, match="features"):
        sae.p_values(np.ones((3, 2)))


@pytest.mark.plain
@pytest.mark.parametrize("scoring", SCORINGS)
def test_two_rows_can_be_fitted_but_give_no_p_values(rng, scoring):
    sae = detector(scoring=scoring).fit(rng.normal(size=(2, 3)))
    assert np.isfinite(sae.score_samples(np.ones((1, 3)))).all()
    with pytest.raises(ValueError, match="total weight of at least 3, got 2"):
        sae.p_values(np.ones((1, 3)))


@pytest.mark.integration
def test_p_values_of_a_dask_array_are_lazy(rng):
    dask = pytest.importorskip("dask", reason="needs dask")
    da = pytest.importorskip("dask.array", reason="needs dask")
    X, rows = rng.normal(size=(60, 3)), rng.normal(size=(20, 3))
    with dask.config.set(scheduler="threads"):
        sae = detector().fit(X)
        lazy = sae.p_values(da.from_array(rows, chunks=(7, 3)))
        assert isinstance(lazy, da.Array)
        assert lazy.dtype == np.float64
        np.testing.assert_array_equal(lazy.compute(), sae.p_values(rows))
        flags = sae.detect(da.from_array(rows, chunks=(7, 3)))
    assert isinstance(flags, np.ndarray)
    np.testing.assert_array_equal(flags, sae.detect(rows))


@pytest.mark.plain
def test_a_saved_detector_gives_the_same_p_values(rng, few):
    X, rows = few(rng.normal(size=(200, 3))), rng.normal(size=(10, 3))
    sae = detector().fit(X)
    unused, p = pickle.dumps(sae), sae.p_values(rows)
    assert hasattr(sae, "_folds")
    saved = pickle.dumps(sae)
    assert len(saved) < 1.1 * len(unused)
    for loaded in pickle.loads(unused), pickle.loads(saved):
        assert not hasattr(loaded, "_folds")
        np.testing.assert_array_equal(loaded.p_values(rows), p)


# -- decisions -------------------------------------------------------------------------------------


def naive_benjamini_hochberg(p, fdr):
    rejected, order = np.zeros(len(p), dtype=bool), np.argsort(p)
    for k in range(len(p), 0, -1):
        if p[order[k - 1]] <= fdr * k / len(p):
            rejected[order[:k]] = True
            return rejected
    return rejected


@pytest.mark.plain
@pytest.mark.parametrize("fdr", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("n", [1, 20, 300])
def test_rejections_are_those_of_the_naive_procedure(rng, n, fdr):
    for p in (
        rng.uniform(size=n),
        rng.uniform(size=n) ** 4,
        np.ceil(rng.uniform(size=n) ** 3 * 20) / 20,
        np.full(n, 0.005),
        np.ones(n),
    ):
        found = benjamini_hochberg(p, fdr)
        np.testing.assert_array_equal(found, naive_benjamini_hochberg(p, fdr))
        np.testing.assert_array_equal(found, scipy.stats.false_discovery_control(p) <= fdr * (1 + 1e-12))


@pytest.mark.plain
def test_of_no_rows_none_is_rejected():
    assert benjamini_hochberg(np.empty(0), 0.1).shape == (0,)


def test_detect_flags_few_of_a_clean_batch_and_finds_anomalies():
    false, found, wrong = [], [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sae = detector().fit(rng.normal(size=(300, 3)))
        clean, mixed = rng.normal(size=(2, 100, 3))
        mixed[:20] += 6
        false.append(sae.detect(clean).any())
        flags = sae.detect(mixed)
        assert flags.dtype == bool
        found.append(flags[:20].mean())
        wrong.append(flags[20:].sum() / max(flags.sum(), 1))
    assert np.mean(false) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 8)
    assert np.mean(found) > 0.95
    assert np.mean(wrong) <= 0.1 + 3 * np.std(wrong, ddof=1) / np.sqrt(8)


def test_detect_flags_more_for_a_higher_rate(rng):
    sae, rows = detector().fit(rng.normal(size=(200, 3))), 1.6 * rng.normal(size=(200, 3))
    counts = [sae.detect(rows, fdr=fdr).sum() for fdr in (0.01, 0.1, 0.3, 0.9)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    np.testing.assert_array_equal(sae.detect(rows), naive_benjamini_hochberg(sae.p_values(rows), 0.1))


@pytest.mark.plain
@pytest.mark.parametrize("fdr", [0, 1, -0.1, 1.5, np.nan, "0.1", None])
def test_a_bad_rate_is_refused(fdr):
    sae = detector(max_iter=1).fit(np.arange(12.0).reshape(6, 2))
    with pytest.raises(ValueError, match="fdr must be a float in the range"):
        sae.detect(np.ones((2, 2)), fdr=fdr)


# -- thresholds ------------------------------------------------------------------------------------


def share_above(scores, weights, limit):
    return weights[scores > limit].sum() / weights.sum()


@pytest.mark.plain
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.5])
def test_the_share_asked_for_exceeds_the_threshold(rng, share, scale):
    scores = rng.lognormal(size=200) * scale
    limit = threshold(scores, np.ones(200), share, 1e-6, 0.0)
    assert share_above(scores, np.ones(200), limit) == pytest.approx(share)
    below, above = scores[scores <= limit].max(), scores[scores > limit].min()
    assert limit == pytest.approx((below + above) / 2)


@pytest.mark.plain
@pytest.mark.parametrize("n", [10, 99, 1000])
def test_of_new_rows_the_threshold_is_the_conformal_quantile(rng, n):
    scores = np.sort(rng.lognormal(size=n))
    limit = threshold(scores, np.ones(n), 0.05, 1e-6, 0.0, of_new_rows=True)
    rank = int(np.ceil(0.95 * (n + 1) - 1e-9))  # of the score that a new row exceeds with a probability of 0.05
    expected = scores[-1] if rank >= n else (scores[rank - 1] + scores[rank]) / 2
    assert limit == pytest.approx(expected, rel=2e-6)


@pytest.mark.plain
def test_a_threshold_by_weights_is_that_of_repeated_scores(rng):
    scores, weights = rng.lognormal(size=80), rng.integers(1, 5, size=80)
    for share in 0.02, 0.1, 0.4:
        repeated = threshold(np.repeat(scores, weights), np.ones(weights.sum()), share, 1e-6, 0.0)
        assert threshold(scores, weights.astype(float), share, 1e-6, 0.0) == repeated


@pytest.mark.plain
@pytest.mark.parametrize("scale", [1e-25, 1.0])
def test_tied_scores_are_on_one_side_of_the_threshold(rng, scale):
    levels = np.array([1.0, 2.0, 3.0]) * scale
    scores = np.repeat(levels, [80, 15, 5]) * (1 + 1e-9 * rng.uniform(-1, 1, size=100))
    for share, kept in (0.05, 2), (0.1, 2), (0.2, 1), (0.3, 1), (0.01, 3):
        limit = threshold(scores, np.ones(100), share, 1e-6, 0.0)
        np.testing.assert_array_equal(levels > limit, np.arange(3) >= kept)
        assert np.abs(levels / limit - 1).min() > 5e-7  # rounding cannot move a row across


@pytest.mark.plain
@pytest.mark.parametrize("value", [0.0, 1e-25, 1.0, 1e25])
def test_nothing_exceeds_the_threshold_or_fence_of_equal_scores(value):
    scores = np.full(50, value)
    for limit in threshold(scores, np.ones(50), 0.1, 1e-6, 0.0), tukey_fence(scores, np.ones(50), 1e-6, 1e-30):
        assert value <= limit <= value * (1 + 1e-5) + 1e-29


@pytest.mark.plain
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_the_fence_is_that_of_tukey(rng, scale):
    scores = rng.lognormal(size=101) * scale
    lower, upper = np.sort(scores)[[25, 75]]
    assert tukey_fence(scores, np.ones(101), 1e-9, 0.0) == pytest.approx(upper + 1.5 * (upper - lower))
    weights = rng.integers(1, 5, size=101)
    repeated = tukey_fence(np.repeat(scores, weights), np.ones(weights.sum()), 1e-9, 0.0)
    assert tukey_fence(scores, weights.astype(float), 1e-9, 0.0) == repeated


@pytest.mark.plain
@pytest.mark.parametrize("scale", [1e-25, 1.0])
def test_a_fence_that_meets_a_score_is_moved_beyond_all_that_equal_it(rng, scale):
    scores = np.append(np.full(90, 2.0), [3.0] * 10) * scale * (1 + 1e-12 * rng.uniform(-1, 1, size=100))
    limit = tukey_fence(scores, np.ones(100), 1e-9, 1e-9 * scale)
    assert 2 * scale * (1 + 1e-9) < limit < 3 * scale * (1 - 1e-9)
