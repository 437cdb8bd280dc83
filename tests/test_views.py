"""The views of `scoring="auto"`: kernel, calibration and every row of the table, against plain NumPy."""

import numpy as np
import pytest

from skl_sae import SparseAutoencoderOutlierDetector
from skl_sae._kernels.neighbours import nearest, two_nearest
from skl_sae._rows import DenseRows
from skl_sae._scoring import MOST_VALUES, STEP
from skl_sae._views import (
    ALWAYS_FEATURES,
    MOST_FEATURES,
    OF_PLAUSIBILITY,
    ROWS_PER_FEATURE,
    VIEWS,
    choose_views,
    is_wide,
)
from skl_sae._views.base import Inputs
from skl_sae._views.kept import KeptRows, Place
from skl_sae._views.scatter import FeatureScatter
from skl_sae._views.surprise import LEAST_SLOPE, TIE, Surprise

pytestmark = [  # few iterations: how good a model is makes no difference here
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]


def detector(**parameters):
    return SparseAutoencoderOutlierDetector(**{"max_iter": 20, "random_state": 0} | parameters)


def table(rng, n):
    """Rows with a linear relation, counts, a rare level and a constant; some are equal."""
    Z = rng.normal(size=(n, 3)) + 5
    X = np.column_stack([Z, Z[:, 0] + 0.1 * rng.normal(size=n), rng.poisson(2, n), np.arange(n) == 7, np.full(n, 3)])
    X[n // 2 : n // 2 + 9] = X[:9]
    return X


def strange_rows(rng, n):
    """Rows near those of `table` and far from them."""
    X = table(rng, n)
    X[::3, 1] += 10.0 ** rng.integers(0, 12, len(X[::3]))
    X[1::3, 6] = 4
    return X


@pytest.fixture
def every_view(monkeypatch):
    """Detectors take all views of the table, whatever the shape of X."""
    monkeypatch.setattr("skl_sae._views.rows.choose_views", lambda wide: tuple(VIEWS))


@pytest.fixture(scope="module", name="X")
def training_rows():
    return table(np.random.default_rng(1), 90)


@pytest.fixture(scope="module")
def new():
    return strange_rows(np.random.default_rng(2), 60)


@pytest.fixture(scope="module")
def fitted(X):
    """A detector of all views."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skl_sae._views.rows.choose_views", lambda wide: tuple(VIEWS))
        return detector().fit(X)


def view_and_inputs(sae, name, rows):
    scorer = sae._scorer()
    return scorer.views[name], scorer.explain(DenseRows(rows))


def raw_of(sae, name, rows):
    view, inputs = view_and_inputs(sae, name, rows)
    return view.raw(inputs)


# -- the kernel ------------------------------------------------------------------------------------


def search(Z, points, samples, excluded):
    """What the kernel finds, given a generous bound for rounding errors."""
    products = -2 * Z @ points.T
    slack = 1e-12 * ((Z**2).sum(axis=1) + (points**2).sum(axis=1).max())
    members, starts = np.concatenate(samples), np.cumsum([0, *map(len, samples)])
    distance, which = np.empty((len(Z), len(samples))), np.empty((len(Z), len(samples)), np.int64)
    nearest(Z, points, (points**2).sum(axis=1), products, slack, members, starts, excluded, distance, which)
    return distance, which


def naive_search(Z, points, samples, excluded):
    distance, which = np.zeros((len(Z), len(samples))), np.full((len(Z), len(samples)), -1)
    for i, z in enumerate(Z):
        for s, sample in enumerate(samples):
            allowed = [k for k in sample if k != excluded[i]]
            if allowed:
                squares = [((z - points[k]) ** 2).sum() for k in allowed]
                distance[i, s], which[i, s] = min(squares), allowed[int(np.argmin(squares))]
    return distance, which


SAMPLES = [np.arange(40), np.array([3, 8, 39]), np.array([5]), np.arange(0, 40, 2)]


@pytest.mark.plain
@pytest.mark.parametrize("offset", [0, 1000])
def test_the_nearest_points_are_those_of_plain_numpy(rng, offset):
    points, excluded = rng.normal(size=(40, 5)) + offset, rng.integers(-1, 9, size=30)
    Z = np.vstack([points[:10], rng.normal(size=(20, 5)) + offset])
    found, expected = (by(Z, points, SAMPLES, excluded) for by in (search, naive_search))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.plain
def test_of_points_at_the_same_distance_the_first_is_nearest(rng):
    points, Z = rng.integers(0, 3, size=(40, 3)) * 1.0, rng.integers(0, 3, size=(30, 3)) * 1.0
    nobody = np.full(30, -1)
    found, expected = (by(Z, points, SAMPLES, nobody) for by in (search, naive_search))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.plain
def test_a_sample_without_a_point_that_counts_gives_nothing(rng):
    distance, which = search(rng.normal(size=(2, 3)), rng.normal(size=(6, 3)), [np.array([5])], np.array([5, 4]))
    assert (distance[0, 0], which[0, 0]) == (0, -1)
    assert distance[1, 0] > 0
    assert which[1, 0] == 5


@pytest.mark.plain
@pytest.mark.parametrize("n_points", [1, 2, 63, 64, 65, 150])
@pytest.mark.parametrize("whole_numbers", [False, True])
def test_the_two_nearest_points_are_those_of_plain_numpy(rng, n_points, whole_numbers):
    points, Z = rng.normal(size=(n_points, 3)), rng.normal(size=(30, 3))
    if whole_numbers:  # points at the same distance, and equal points
        points, Z = np.round(points), np.round(Z)
    squares, slack = (points**2).sum(axis=1), np.full(30, 1e-9)
    distance, which = np.empty((30, 2)), np.empty((30, 2), np.int64)
    two_nearest(Z, points, squares, -2 * Z @ points.T, slack, distance, which)
    everywhere = [np.arange(n_points)]
    for column, excluded in enumerate([np.full(30, -1), which[:, 0]]):
        expected = naive_search(Z, points, everywhere, excluded)
        np.testing.assert_allclose(distance[:, [column]], expected[0], rtol=1e-12)
        np.testing.assert_array_equal(which[:, [column]], expected[1])


@pytest.mark.plain
def test_neighbours_do_not_depend_on_the_batch(rng):
    points = rng.normal(size=(40, 7)) + 100
    kept = KeptRows(np.zeros(7), np.ones(7), points, np.ones(40), np.zeros(40))
    Z = np.vstack([points[:9] + 1e-9, rng.normal(size=(30, 7)) + 100])
    members, starts = np.concatenate(SAMPLES), np.cumsum([0, *map(len, SAMPLES)])
    distance, which = kept.nearest(kept.place(Z), members, starts)
    for size in 1, 2, 13:
        parts = [kept.nearest(kept.place(Z[i : i + size]), members, starts) for i in range(0, len(Z), size)]
        np.testing.assert_array_equal(np.vstack([part[0] for part in parts]), distance)
        np.testing.assert_array_equal(np.vstack([part[1] for part in parts]), which)


@pytest.mark.plain
def test_a_kept_row_is_no_neighbour_of_itself_unless_it_has_a_copy(rng):
    points = rng.normal(size=(20, 3))
    weights = np.where(np.arange(20) < 5, 2.0, 1.0)
    kept = KeptRows(np.zeros(3), np.ones(3), points, weights, np.full(20, 0.05))
    place = kept.place(np.vstack([points, points + 0.1]))
    np.testing.assert_array_equal(place.own, [*range(20), *[-1] * 20])
    np.testing.assert_array_equal(place.excluded, [*[-1] * 5, *range(5, 20), *[-1] * 20])
    np.testing.assert_array_equal(place.own_weight, np.repeat([1, 0], 20))
    np.testing.assert_array_equal(place.own_share, np.repeat([0.05, 0], 20))
    distance, which = naive_search(place.Z, points, [np.arange(20)], place.excluded)
    np.testing.assert_allclose(place.distance, distance[:, 0], rtol=1e-12)
    np.testing.assert_array_equal(place.neighbour, which[:, 0])


def test_a_fit_looks_for_the_neighbours_of_a_training_row_once(X, monkeypatch):
    n_rows, place = [], KeptRows.place

    def counting(kept, rows):
        n_rows.append(len(rows))
        return place(kept, rows)

    monkeypatch.setattr(KeptRows, "place", counting)
    fitted = detector().fit(np.tile(X, (3, 1)))  # enough rows to need no held-out ones
    assert sum(n_rows) == len(fitted._reference["X"])


# -- surprises -------------------------------------------------------------------------------------


def naive_surprise(scores, weights, floor, raw, slope):
    scores, raw = np.maximum(scores, floor), np.maximum(raw, floor)
    tail = np.array([weights[scores >= s * (1 - TIE)].sum() for s in raw])
    inside = -np.log((tail + 0.5) / (weights.sum() + 1))
    return inside + np.log(np.maximum(raw / scores.max(), 1)) / slope


@pytest.mark.plain
def test_surprises_of_few_values_are_exact(rng):
    scores, weights = rng.integers(0, 50, size=200) / 7, rng.integers(1, 4, size=200) / 2
    raw = np.concatenate([scores, [0, 1e-9, 3.3, 10, 1e6]])
    surprise = Surprise.fit(scores, weights, 0.1)
    np.testing.assert_allclose(surprise(raw), naive_surprise(scores, weights, 0.1, raw, surprise.slope), rtol=1e-12)


@pytest.mark.plain
def test_surprises_of_many_values_are_exact_to_two_percent_of_the_tail(rng):
    scores, weights = rng.lognormal(size=3000), rng.integers(1, 4, size=3000).astype(float)
    surprise = Surprise.fit(scores, weights, 1e-12)
    raw = np.concatenate([scores, rng.lognormal(size=1000)])
    ratio = np.exp(surprise(raw) - naive_surprise(scores, weights, 1e-12, raw, surprise.slope))
    assert len(surprise.scores) < 1000
    assert ratio.min() > 1 - 1e-9
    assert ratio.max() < 1 + STEP + 1e-9


@pytest.mark.plain
@pytest.mark.parametrize("n", [2, 50, MOST_VALUES, 5000])
def test_surprises_are_finite_and_never_fall(rng, n):
    surprise = Surprise.fit(rng.lognormal(size=n), np.ones(n), 1e-12)
    t = surprise(np.concatenate([[0], np.geomspace(1e-300, 1e300, 3000)]))
    assert np.isfinite(t).all()
    assert (np.diff(t) >= 0).all()
    assert t[0] > 0


@pytest.mark.plain
def test_scores_that_differ_by_rounding_are_equally_surprising(rng):
    scores = rng.lognormal(size=100)
    surprise = Surprise.fit(scores, np.ones(100), 1e-12)
    for factor in 1 - 1e-9, 1 + 1e-9:
        np.testing.assert_allclose(surprise(scores * factor), surprise(scores), rtol=1e-7)


@pytest.mark.plain
def test_the_tail_goes_on_as_hill_says(rng):
    scores = np.sort(rng.pareto(0.8, size=2000) + 1)
    surprise = Surprise.fit(scores, np.ones(2000), 1e-12)
    hill = np.log(scores[-200:] / scores[-200]).mean()
    assert surprise.slope == pytest.approx(hill)
    assert hill == pytest.approx(1 / 0.8, rel=0.25)
    beyond = surprise(scores[-1] * np.exp(hill * np.arange(1, 5)))
    np.testing.assert_allclose(np.diff(beyond), 1)


@pytest.mark.plain
def test_a_tail_is_no_thinner_than_the_least():
    surprise = Surprise.fit(np.full(50, 3.0), np.ones(50), 1e-12)
    assert surprise.slope == LEAST_SLOPE
    np.testing.assert_allclose(surprise(np.array([1.0, 3.0])), np.log(51 / 50.5))


@pytest.mark.plain
@pytest.mark.parametrize("n", [60, 2000])
def test_a_surprise_of_weights_is_that_of_repeated_scores(rng, n):
    scores, weights = rng.lognormal(size=n), rng.integers(1, 5, size=n)
    weighted = Surprise.fit(scores, weights.astype(float), 1e-12)
    repeated = Surprise.fit(np.repeat(scores, weights), np.ones(weights.sum()), 1e-12)
    for name, value in vars(weighted).items():
        np.testing.assert_array_equal(value, vars(repeated)[name])


# -- tails and scatter, by their definitions -------------------------------------------------------


def naive_tails(X, weights, x, own):
    """Squared surprises of the values of one row, whose weight ``own`` is counted among the rows X."""
    lower = np.array([weights[column <= value].sum() for column, value in zip(X.T, x, strict=True)])
    upper = np.array([weights[column >= value].sum() for column, value in zip(X.T, x, strict=True)])
    share = (np.minimum(lower, upper) - own + 0.5) / (weights.sum() - own + 1)
    return np.log(np.minimum(2 * share, 1)) ** 2


def leave_out_of_tails(X, weights, x):
    same = (x == X).all(axis=1)
    return min(weights[same].sum(), 1) if same.any() else 0


@pytest.mark.plain
@pytest.mark.parametrize("weighted", [False, True])
def test_tails_are_counted(X, new, weighted):
    weights = np.arange(len(X)) % 3 + 0.5 if weighted else np.ones(len(X))
    sae = detector().fit(X, sample_weight=weights)
    for rows in X, new:
        view, inputs = view_and_inputs(sae, "tails", rows)
        expected = [naive_tails(X, weights, x, leave_out_of_tails(X, weights, x)) for x in rows]
        np.testing.assert_allclose(view.terms(inputs), expected, rtol=1e-10, atol=1e-14)


def test_tails_of_many_values_are_counted_to_two_percent(rng):
    X, rows = rng.normal(size=(3000, 3)), rng.normal(size=(500, 3)) * 1.5
    view, inputs = view_and_inputs(detector(max_iter=2).fit(X), "tails", rows)
    expected = np.array([naive_tails(X, np.ones(3000), x, 0) for x in rows])
    assert len(view.values) < 1000
    logs = np.sqrt(view.terms(inputs)) - np.sqrt(expected)
    assert np.abs(logs).max() < np.log1p(STEP) + 1e-9


def scatter_without(X, weights, kappa, target, i):
    """The squared distance of row i from the mean and shrunk covariance of the other rows."""
    others = np.delete(np.arange(len(X)), i)
    mean = np.average(X[others], axis=0, weights=weights[others])
    covariance = np.cov(X[others], rowvar=False, aweights=weights[others], bias=True)
    centred = X[i] - mean
    return centred @ np.linalg.solve(kappa * covariance + target, centred)


@pytest.mark.plain
@pytest.mark.parametrize("kappa", [0.999, 0.6])
def test_a_training_row_is_scored_by_the_scatter_without_it(rng, kappa):
    X, weights = rng.normal(size=(40, 4)) @ rng.normal(size=(4, 4)), rng.uniform(0.1, 1, size=40)
    mean, covariance = np.average(X, axis=0, weights=weights), np.cov(X, rowvar=False, aweights=weights, bias=True)
    target = (1 - kappa) * np.diag(np.diag(covariance))
    view = FeatureScatter(mean=mean, precision=np.linalg.inv(kappa * covariance + target), kappa=kappa)
    shares = weights / weights.sum()
    place = Place(own_share=shares)
    # The target is made of variances, so it grows as they do where the weight of a row is taken away.
    expected = [scatter_without(X, weights, kappa, target / (1 - shares[i]), i) for i in range(40)]
    np.testing.assert_allclose(view.raw(Inputs(X, None, place, X)), expected, rtol=1e-9)


@pytest.mark.plain
def test_a_new_row_is_scored_by_the_scatter_of_all(fitted, new):
    view, inputs = view_and_inputs(fitted, "scatter", new)
    U = inputs.scaled - view.mean
    np.testing.assert_allclose(view.raw(inputs), np.einsum("ij,jk,ik->i", U, view.precision, U), rtol=1e-9)


# -- every view of the table -----------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize("name", VIEWS)
def test_terms_sum_to_raw_scores(fitted, new, name):
    view, inputs = view_and_inputs(fitted, name, new)
    terms = view.terms(inputs)
    assert terms.shape == new.shape
    np.testing.assert_allclose(terms.sum(axis=1), view.raw(inputs), rtol=1e-9)


@pytest.mark.plain
@pytest.mark.parametrize("name", VIEWS)
def test_raw_scores_are_finite_and_not_negative(fitted, X, new, name):
    for rows in X, new, np.full((1, 7), np.finfo(np.float64).max), np.full((1, 7), -1e300):
        raw = raw_of(fitted, name, rows)
        assert raw.shape == (len(rows),)
        assert np.isfinite(raw).all()
        assert raw.min() >= 0


@pytest.mark.plain
@pytest.mark.parametrize("name", VIEWS)
def test_raw_scores_do_not_depend_on_the_batch(fitted, X, new, name):
    rows = np.vstack([X, new])
    together, floor = raw_of(fitted, name, rows), fitted._scorer().views[name].floor
    for order in np.arange(len(rows)), np.arange(len(rows))[::-1]:
        apart = np.concatenate([raw_of(fitted, name, rows[part]) for part in np.array_split(order, 31)])
        np.testing.assert_allclose(apart, together[order], rtol=1e-9, atol=floor)


@pytest.mark.plain
@pytest.mark.parametrize("name", VIEWS)
def test_raw_scores_of_anomalies_are_higher(fitted, X, name):
    far = X[20:30].copy()
    far[:, :3] += [8, -8, 8]
    assert raw_of(fitted, name, far).min() > np.median(raw_of(fitted, name, X))


@pytest.mark.parametrize("name", VIEWS)
def test_repeated_rows_are_weights_bit_for_bit(every_view, X, new, name):
    weights = np.arange(len(X)) % 4
    weighted = detector(max_iter=3).fit(X, sample_weight=weights)
    repeated = detector(max_iter=3).fit(np.repeat(X, weights, axis=0))
    for rows in X, new:
        np.testing.assert_array_equal(raw_of(weighted, name, rows), raw_of(repeated, name, rows))


@pytest.mark.parametrize("name", VIEWS)
def test_graphs_give_the_raw_scores_of_python(fitted, X, new, name):
    pytest.importorskip("skl2onnx", reason='needs pip install "skl-sae[onnx]"')
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs pip install "skl-sae[onnx]"')
    from skl2onnx.algebra import onnx_ops

    from skl_sae.onnx import _network

    def node(kind, *inputs, **attributes):
        return getattr(onnx_ops, f"Onnx{kind}")(*inputs, op_version=18, **attributes)

    scorer, rows = fitted._scorer(), np.vstack([X, new])
    tensors = scorer.explain.onnx(node, "X", lambda scaled: _network(node, fitted, scaled, np.float64))
    raw = node("Identity", scorer.views[name].onnx(node, tensors), output_names=["raw"])
    graph = raw.to_onnx({"X": rows}).SerializeToString()
    found = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"X": rows})[0]
    assert found.shape == (len(rows), 1)
    np.testing.assert_allclose(found[:, 0], raw_of(fitted, name, rows), rtol=1e-9, atol=scorer.views[name].floor)


# -- which views, and the score that they make together --------------------------------------------


@pytest.mark.plain
def test_a_table_is_wide_where_rows_are_few_or_features_many():
    d = ALWAYS_FEATURES
    assert not is_wide(2, d)
    assert is_wide(ROWS_PER_FEATURE * (d + 1) - 1, d + 1)
    assert not is_wide(ROWS_PER_FEATURE * (d + 1), d + 1)
    assert not is_wide(1e9, MOST_FEATURES)
    assert is_wide(1e9, MOST_FEATURES + 1)


@pytest.mark.plain
def test_views_are_chosen_from_the_table():
    assert {*choose_views(True), *choose_views(False)} == set(VIEWS)
    assert set(OF_PLAUSIBILITY) <= set(VIEWS)
    assert "code" not in choose_views(True)
    assert "error" not in choose_views(False)


@pytest.mark.parametrize(("shape", "wide"), [((60, 100), False), ((60, 101), True)])
def test_the_shape_decides_which_views_a_fit_has(rng, shape, wide):
    scorer = detector(max_iter=2).fit(rng.normal(size=shape))._scorer()
    assert tuple(scorer.views) == tuple(scorer.surprises) == choose_views(wide)


@pytest.mark.plain
def test_the_score_is_the_log_of_the_mean_of_exponentials(fitted, X, new):
    scorer, rows = fitted._scorer(), np.vstack([X, new])
    surprises = [scorer.surprises[name](raw_of(fitted, name, rows)) for name in VIEWS]
    expected = np.log(np.mean(np.exp(surprises), axis=0))
    np.testing.assert_allclose(-fitted.score_samples(rows), expected, rtol=1e-6)


@pytest.mark.plain
def test_contributions_of_all_views_sum_to_the_score(fitted, X, new):
    for rows in X, new, np.full((1, 7), np.finfo(np.float64).max):
        contributions = fitted.score_contributions(rows)
        assert contributions.shape == rows.shape
        np.testing.assert_allclose(contributions.sum(axis=1), -fitted.score_samples(rows), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", [(200, 5), (60, 150)])
def test_contributions_of_the_chosen_views_sum_to_the_score(rng, shape):
    X, new = rng.normal(size=shape), 2 * rng.normal(size=shape)
    sae = detector().fit(X)
    for rows in X, new:
        np.testing.assert_allclose(sae.score_contributions(rows).sum(axis=1), -sae.score_samples(rows), rtol=1e-7)


@pytest.mark.plain
def test_scores_do_not_depend_on_what_stands_beside_a_row(fitted, X, new):
    rows = np.vstack([X, new])
    together = fitted.score_samples(rows)
    for size in 1, 7:
        parts = [fitted.score_samples(rows[i : i + size]) for i in range(0, len(rows), size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_scores_do_not_depend_on_the_order_of_the_training_rows(every_view, rng, X, new):
    expected = detector(max_iter=5).fit(X).score_samples(new)
    shuffled = detector(max_iter=5).fit(rng.permutation(X))
    np.testing.assert_array_equal(shuffled.score_samples(new), expected)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
@pytest.mark.parametrize("shape", [(200, 6), (60, 150)])
def test_scores_do_not_depend_on_the_unit_of_a_feature(rng, shape, unit):
    X, new = rng.normal(size=shape), 2 * rng.normal(size=shape)
    factor, shift = np.where(np.arange(shape[1]) % 2, unit, 1), np.arange(shape[1]) % 3 * 10 * unit
    expected = detector().fit(X).score_samples(new)
    actual = detector().fit(X * factor + shift).score_samples(new * factor + shift)
    np.testing.assert_allclose(actual, expected, rtol=1e-3)


def test_a_copy_that_was_rounded_to_float32_gets_nearly_the_same_score(X):
    sae = detector().fit(X)
    rounded = X.astype(np.float32).astype(np.float64)
    assert (rounded != X).any()
    np.testing.assert_allclose(sae.score_samples(rounded), sae.score_samples(X), rtol=0.03)  # a rank or two
    np.testing.assert_array_equal(sae.predict(rounded), sae.predict(X))


def test_a_fit_to_rounded_rows_gives_nearly_the_same_scores(rng):
    X, new = rng.normal(size=(200, 5)), 1.5 * rng.normal(size=(100, 5))
    scores = [detector().fit(X.astype(dtype)).score_samples(new.astype(dtype)) for dtype in (np.float64, np.float32)]
    np.testing.assert_allclose(*scores, rtol=0.02)


def test_early_stopping_holds_out_distinct_rows_and_says_so_where_there_are_too_few():
    X = np.tile([[0.0], [1.0]], (6, 1))
    sae = SparseAutoencoderOutlierDetector(early_stopping=True, random_state=0)
    with pytest.raises(ValueError, match=r"leaves 1 of 2 distinct samples for training.* Set early_stopping=False\."):
        sae.fit(X)
    assert len(sae.set_params(early_stopping=False).fit(X).predict(X)) == 12
