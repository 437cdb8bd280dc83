"""Displays stay small and readable for data of any size: sizes, overlaps of text, number of artists."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text
from scipy import sparse
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import KernelPCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
)

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer
from skl_sae.plotting import (
    ActivationDisplay,
    AnomalyDisplay,
    FilterDisplay,
    ReconstructionDisplay,
    SearchDisplay,
    TrainingDisplay,
)
from skl_sae.plotting._common import log_ticks, shorten

pytestmark = [
    pytest.mark.slow,
    pytest.mark.plain,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
    pytest.mark.usefixtures("without_a_screen"),
]

LONG = [f"a rather long name of a measurement, taken at the left side no. {i} ($/l, $ and $)" for i in range(40)]


@pytest.fixture(scope="module")
def wine():
    return load_wine(as_frame=True)


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data) / 16


@pytest.fixture(scope="module")
def scaled_sae(wine):
    pipeline = make_pipeline(StandardScaler(), SparseAutoencoderTransformer(20, max_iter=20, random_state=0))
    return pipeline.fit(wine.data)


@pytest.fixture(scope="module")
def twice(wine):
    return SparseAutoencoderOutlierDetector(scoring="mahalanobis", max_iter=20, random_state=0).fit(wine.data)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def drawn_text(figure):
    """All text that a reader sees, with its box; ticks beyond the limits of an axis are not drawn."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if not (axes.get_visible() and low <= tick.get_loc() <= high):
                    hidden.update((tick.label1, tick.label2))
        if not axes.get_visible():
            hidden.update(axes.findobj(Text))
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in hidden:
            yield text.get_text(), text.get_window_extent()


def assert_readable(display):
    """No text touches other text, leaves the figure or lies in other axes; no figure is large."""
    figure = display.figure_
    figure.draw_without_rendering()
    assert max(figure.get_size_inches()) <= 20
    texts, boxes = zip(*drawn_text(figure), strict=True)
    boxes = np.array([box.extents for box in boxes])
    touching = np.argwhere(np.triu(overlap(boxes[:, None], boxes), k=1))
    assert not [(texts[i], texts[j]) for i, j in touching]
    width, height = figure.bbox.size
    outside = (boxes[:, :2] < -1).any(axis=1) | (boxes[:, 2] > width + 1) | (boxes[:, 3] > height + 1)
    assert not [texts[i] for i in np.flatnonzero(outside)]
    for axes in figure.axes:
        if axes.get_visible():
            hit = overlap(np.array(axes.get_window_extent().padded(-2).extents), boxes)
            assert not [texts[i] for i in np.flatnonzero(hit)]
    return display


def overlap(one, other):
    """Whether boxes (..., 4) of left, bottom, right and top have a common point."""
    return np.all((one[..., :2] < other[..., 2:]) & (other[..., :2] < one[..., 2:]), axis=-1)


def filters(rng, m, d, **options):
    F = rng.normal(size=(m, d))
    return FilterDisplay(F / np.linalg.norm(F, axis=1, keepdims=True), **options)


@pytest.mark.parametrize(
    ("m", "d", "names"),
    [(1, 1, None), (2, 30, LONG[:30]), (16, 20, LONG[:20]), (100, 30, LONG[:30]), (30, 400, None)],
)
def test_filters_of_any_size(rng, m, d, names):
    display = assert_readable(filters(rng, m, d, feature_names=names).plot())
    charts = np.atleast_1d(display.ax_)
    assert len(charts) == (m if m <= 16 else 1)
    assert sum(len(axis.patches) for axis in charts) <= 16 * 20
    assert len(display.figure_.axes) <= 17


@pytest.mark.parametrize("n_columns", [1, 16])
def test_filters_side_by_side(rng, n_columns):
    assert_readable(filters(rng, 16, 30, feature_names=LONG[:30]).plot(n_columns=n_columns))


def test_bars_show_the_strongest_features_of_a_unit(rng):
    display = filters(rng, 3, 50).plot()
    for axis, values in zip(display.ax_, display.filters, strict=True):
        order = np.argsort(-np.abs(values))[:10]
        assert [label.get_text() for label in axis.get_yticklabels()] == [f"x{k}" for k in order]
        np.testing.assert_allclose([bar.get_width() for bar in axis.patches], values[order])


@pytest.mark.parametrize(("m", "d"), [(17, 3), (100, 30), (3000, 200), (20, 5000)])
def test_a_heat_map_shows_all_units(rng, m, d):
    display = assert_readable(filters(rng, m, d).plot())
    cells = display.ax_.images[0].get_array()
    strength = np.square(display.filters).sum(axis=0)
    shown = np.sort(np.argsort(-strength, kind="stable")[:60])
    np.testing.assert_allclose(cells, display.filters[:, shown].T)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == [f"x{k}" for k in shown]


def test_axes_that_are_given_get_what_fits(rng):
    _, axes = plt.subplots(1, 2, figsize=(8, 2), layout="constrained")
    assert_readable(filters(rng, 2, 40).plot(axes))
    _, ax = plt.subplots(figsize=(4, 2), layout="constrained")
    assert_readable(filters(rng, 40, 40).plot(ax))
    _, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    scores = np.exp(rng.normal(size=100))
    assert_readable(AnomalyDisplay(scores, 2.0, rng.normal(size=60), 3, LONG + LONG[:20]).plot(axes, n_features=50))


def test_of_many_units_the_most_active_are_shown(scaled_sae, wine):
    display = assert_readable(FilterDisplay.from_estimator(scaled_sae))
    means = scaled_sae[-1].mean_activation_
    np.testing.assert_array_equal(display.components, np.argsort(-means, kind="stable")[:16])
    assert display.figure_.get_suptitle() == "the 16 most active of 20 units"
    assert list(display.feature_names) == list(wine.data.columns)
    assert FilterDisplay.from_estimator(scaled_sae, components="all").filters.shape == (20, 13)
    unfinished = SparseAutoencoderTransformer(20, max_iter=2, random_state=0).fit(wine.data)
    del unfinished.mean_activation_
    with pytest.raises(ValueError, match="pass the units to show as components"):
        FilterDisplay.from_estimator(unfinished)


def test_names_come_from_the_first_step(scaled_sae, wine):
    names = list(wine.data.columns)
    nested = make_pipeline(scaled_sae, LogisticRegression()).fit(wine.data, wine.target)
    assert FilterDisplay.from_estimator(nested, components=[0]).feature_names == names
    detector = make_pipeline("passthrough", StandardScaler(), SparseAutoencoderOutlierDetector(max_iter=5))
    detector.fit(wine.data)
    display = assert_readable(AnomalyDisplay.from_estimator(detector, wine.data, n_features=30))
    assert display.feature_names == names
    np.testing.assert_allclose(display.scores, -detector.score_samples(wine.data))
    nameless = make_pipeline(FunctionTransformer(np.log1p), SparseAutoencoderTransformer(2, max_iter=2, random_state=0))
    nameless.fit(wine.data.to_numpy())
    assert FilterDisplay.from_estimator(nameless).feature_names == [f"x{i}" for i in range(13)]


def test_pixels_behind_a_scaler_are_pixels(digits):
    pipeline = make_pipeline(MinMaxScaler(), SparseAutoencoderTransformer(5, max_iter=5, random_state=0)).fit(digits)
    assert FilterDisplay.from_estimator(pipeline).image_shape == (8, 8)
    codes = assert_readable(ActivationDisplay.from_estimator(pipeline, digits)).codes
    np.testing.assert_allclose(codes, pipeline.transform(digits))


def test_names_are_shortened_where_they_do_not_differ():
    short = shorten(LONG, len(LONG))
    assert len(set(short)) == len(LONG)
    assert max(map(len, short)) <= 28
    assert shorten(["a", "b"], 2) == ["a", "b"]
    assert shorten(["first " + 40 * "x", "second " + 40 * "x"], 2)[0].startswith("first x")


@pytest.mark.parametrize(("n", "n_rows"), [(1, 1), (12, 1), (60, 5), (600, 15)])
def test_images_are_wrapped(rng, n, n_rows):
    X = rng.uniform(size=(n, 64))
    display = assert_readable(ReconstructionDisplay(X, X + 0.1, image_shape=(8, 8)).plot())
    heights = [axis.images[0].get_array().shape[0] for axis in display.ax_]
    assert heights == 3 * [9 * n_rows + 1]
    assert_readable(ReconstructionDisplay(X, X + 0.1, image_shape=(2, 32)).plot())


@pytest.mark.parametrize("scoring", ["auto", "mahalanobis", "squared_error"])
def test_reconstructions_of_a_detector(digits, scoring):
    detector = SparseAutoencoderOutlierDetector(scoring=scoring, max_iter=10, random_state=0).fit(digits[:, 20:36])
    display = assert_readable(ReconstructionDisplay.from_estimator(detector, digits[:20, 20:36]))
    scale = detector._scorer().scale if scoring != "auto" else detector._scorer().explain.unit
    np.testing.assert_allclose(
        np.square((display.X - display.reconstruction) / scale).sum(axis=1),
        detector.reconstruction_error(digits[:20, 20:36]),
    )


def test_reconstructions_of_a_table(scaled_sae, wine, rng):
    display = assert_readable(ReconstructionDisplay.from_estimator(scaled_sae, wine.data))
    assert [axis.get_title().split("\n")[0] for axis in display.ax_] == shorten(wine.data.columns, 13)
    np.testing.assert_allclose(display.ax_[0].lines[1].get_xdata(), wine.data["alcohol"])
    np.testing.assert_allclose(display.reconstruction, scaled_sae.inverse_transform(scaled_sae.transform(wine.data)))
    alone = ReconstructionDisplay.from_estimator(scaled_sae, wine.data[:1])
    assert all(axis.get_xlim()[0] < 0 < axis.get_xlim()[1] for axis in alone.ax_)  # errors beside the sizes of values
    X = rng.normal(size=(5000, 40))
    X[:, 1] = 3
    wide = ReconstructionDisplay(X, X + 0.1 * np.arange(40)).plot()
    assert [axis.get_title().split("\n")[0] for axis in wide.ax_] == [f"x{k}" for k in range(39, 23, -1)]
    assert len(wide.ax_[0].lines[1].get_xdata()) <= 2000


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (SimpleImputer(), "numbers"),
        (FunctionTransformer(np.log1p), "numbers"),
        (KernelPCA(3), "numbers"),
        (OrdinalEncoder(), "words"),
        (OneHotEncoder(), "words"),
        (OneHotEncoder(sparse_output=False), "words"),
        (make_pipeline(FunctionTransformer(np.ravel), TfidfVectorizer()), "words"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,  # the same in every process
)
def test_some_steps_that_have_inverse_transform_cannot_be_undone_either(rng, step, kind):
    """An imputer refuses, a function without its inverse gives what it is given, an encoder gives no numbers."""
    X = rng.uniform(size=(30, 2)) if kind == "numbers" else rng.choice(["some text", "another", "third"], (30, 1))
    pipeline = make_pipeline(step, SparseAutoencoderTransformer(3, max_iter=5, random_state=0)).fit(X)
    seen = pipeline[0].transform(X)
    display = ReconstructionDisplay.from_estimator(pipeline, X)
    np.testing.assert_array_equal(display.X, seen.toarray() if sparse.issparse(seen) else seen)
    expected = pipeline[-1].inverse_transform(pipeline[-1].transform(seen))
    np.testing.assert_array_equal(display.reconstruction, expected)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_reconstruction_that_has_no_inverse_is_refused(rng):
    X = np.exp(rng.normal(size=(50, 2)))
    pipeline = make_pipeline(PowerTransformer(), SparseAutoencoderTransformer(2, max_iter=5, random_state=0)).fit(X)
    pipeline[-1].decoder_intercept_[:] = 1e3
    with pytest.raises(ValueError, match="inverse_transform of PowerTransformer gives NaN or infinity"):
        ReconstructionDisplay.from_estimator(pipeline, X)


def test_reconstructions_of_sparse_rows(rng):
    X = sparse.random_array((40, 5), density=0.3, random_state=0, format="csr")
    pipeline = make_pipeline(MaxAbsScaler(), SparseAutoencoderTransformer(3, max_iter=5, random_state=0)).fit(X)
    np.testing.assert_array_equal(ReconstructionDisplay.from_estimator(pipeline, X).X, X.toarray())


def test_steps_that_cannot_be_undone_show_what_the_autoencoder_sees(wine):
    log = FunctionTransformer(np.log1p, feature_names_out="one-to-one")
    del_inverse = make_pipeline(OneWay(), log, SparseAutoencoderTransformer(3, max_iter=5, random_state=0))
    display = ReconstructionDisplay.from_estimator(del_inverse.fit(wine.data), wine.data)
    np.testing.assert_allclose(display.X, np.log1p(2 * wine.data.to_numpy()))
    assert display.feature_names == list(wine.data.columns)


class OneWay(StandardScaler):
    """A scaler that doubles and has no inverse."""

    inverse_transform = property()

    def transform(self, X):
        return 2 * X


SCORES = {
    "ordinary": lambda rng: np.exp(0.4 * rng.normal(size=500)),
    "one of 1e9": lambda rng: np.append(np.exp(0.4 * rng.normal(size=60)), 1e9),
    "tiny ones": lambda rng: np.append(np.exp(0.4 * rng.normal(size=60)), [0.0, 1e-12]),
    "both": lambda rng: np.append(np.exp(0.4 * rng.normal(size=60)), [0.0, 1e300]),
    "narrow": lambda rng: 3 + 0.2 * rng.uniform(size=300),
    "broad": lambda rng: np.exp(5 * rng.normal(size=300)),
    "broadest": lambda rng: 10 ** rng.uniform(-300, 300, size=300),
    "infinite ones": lambda rng: np.append(np.exp(0.4 * rng.normal(size=60)), [np.inf, np.inf]),
    "alike": lambda rng: np.ones(20),
    "zero": lambda rng: np.zeros(20),
    "one": lambda rng: np.array([2.0]),
}


@pytest.mark.parametrize("kind", SCORES)
def test_scores_of_any_range(rng, kind):
    scores = SCORES[kind](rng)
    y = np.arange(len(scores)) % 7 == 0
    names = LONG[:30]
    threshold = np.quantile(scores, 0.95)
    display = AnomalyDisplay(scores, threshold, rng.normal(size=30), int(scores.argmax()), names, y)
    display = assert_readable(display.plot(n_features=30))
    bars = display.ax_[0].patches
    assert sum(bar.get_height() for bar in bars) == len(scores)
    if len(set(scores)) > 1:  # whatever lies beyond, most scores can be told apart
        assert sum(bar.get_height() > 0 for bar in bars) >= 6
    for line in display.ax_[0].lines:
        low, high = display.ax_[0].get_xlim()
        assert low < line.get_xdata()[0] < high
    assert len(display.ax_[1].patches) == 30


@pytest.mark.parametrize("n_features", [1, 30, 300])
def test_contributions_of_any_number(rng, n_features):
    values = rng.normal(size=200)
    display = AnomalyDisplay(np.exp(rng.normal(size=50)), 2.0, values, 0, [f"x{i}" for i in range(200)])
    display = assert_readable(display.plot(n_features=n_features))
    assert sum(bar.get_width() for bar in display.ax_[1].patches) == pytest.approx(values.sum())


def test_a_threshold_beyond_all_scores_is_drawn(rng):
    display = AnomalyDisplay(np.exp(0.1 * rng.normal(size=50)), 1e12, rng.normal(size=3), 0, ["a", "b", "c"])
    display = assert_readable(display.plot())
    low, high = display.ax_[0].get_xlim()
    assert low < display.ax_[0].lines[0].get_xdata()[0] < high


@pytest.mark.parametrize("ends", [(0.5, 2), (3, 3.2), (1e-12, 1e9), (90, 1100), (1, 10), (1.1, 1.9), (0.02, 0.9)])
def test_ticks_of_logarithmic_axes(ends):
    ticks = log_ticks(*ends)
    assert 1 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert ends[0] <= ticks[0] <= ticks[-1] <= ends[1]


def test_mean_activations_near_rho_look_near(rng):
    display = assert_readable(ActivationDisplay(0.1015 + 0.0003 * rng.normal(size=(50, 3)), 0.1).plot())
    for axis in display.ax_:
        low, high = axis.get_xlim()
        assert low == 0
        assert high >= 0.2
    counts = [float(label.get_text()) for label in display.ax_[1].get_yticklabels()]
    assert counts == [round(count) for count in counts]


@pytest.mark.parametrize("codes", ["zero", "heavy", "sigmoid"])
def test_activations_of_any_range(rng, codes):
    H = {
        "zero": np.zeros((20, 5)),
        "heavy": np.maximum(rng.standard_cauchy(size=(200, 20)), 0),
        "sigmoid": rng.uniform(size=(200, 20)),
    }[codes]
    display = assert_readable(ActivationDisplay(H, 0.1).plot())
    assert sum(bar.get_height() for bar in display.ax_[0].patches) == H.size
    assert sum(bar.get_height() for bar in display.ax_[1].patches) == H.shape[1]
    if codes == "sigmoid":
        assert display.ax_[0].get_xlim()[1] <= 1.05


def test_two_trainings_are_told_apart(twice, wine):
    display = assert_readable(TrainingDisplay.from_estimator(make_pipeline("passthrough", twice)))
    first, second = len(twice._first_history["loss"]), twice.n_iter_
    losses = display.ax_[0].lines
    assert sum(line.get_label() == "training 2 of 2" for line in losses) == 1
    curves = [line for line in losses if len(line.get_xdata()) in (first, second)]
    assert {(line.get_xdata()[0], line.get_xdata()[-1]) for line in curves} >= {
        (1, first),
        (first + 1, first + second),
    }
    once = SparseAutoencoderOutlierDetector(max_iter=5, random_state=0).fit(wine.data)
    assert not hasattr(once, "_first_history")
    assert "training 2 of 2" not in [line.get_label() for line in TrainingDisplay.from_estimator(once).ax_[0].lines]


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_legends_hide_nothing_in_light_and_dark(digits, style, early_stopping):
    sae = SparseAutoencoderTransformer(5, max_iter=10, early_stopping=early_stopping, random_state=0).fit(digits)
    with plt.style.context(style):
        display = assert_readable(TrainingDisplay.from_estimator(sae))
        for axis in display.ax_:
            assert not axis.get_legend().get_window_extent().overlaps(axis.get_window_extent().padded(-2))
            background = mpl.colors.to_rgb(display.figure_.get_facecolor())
            assert background not in [mpl.colors.to_rgb(line.get_color()) for line in axis.lines]


def test_a_search_of_any_size_fits_a_figure(rng):
    """Candidates drawn at random have as many values of each parameter as there are candidates."""
    params = [{"rho": rho, "beta": beta} for rho, beta in rng.uniform(0.01, 0.9, (150, 2))]
    figures = {"score": np.arange(150.0), "seconds": np.arange(150.0)}
    assert_readable(SearchDisplay(figures, params, 7).plot())
    row = assert_readable(SearchDisplay(figures, [{"rho": one["rho"]} for one in params]).plot())
    assert not row.ax_[0, 0].texts
    many = [one | {"alpha": one["rho"], "tol": one["beta"]} for one in params]
    with pytest.raises(ValueError, match="The values of alpha, tol have 22500 combinations; at most 20"):
        SearchDisplay(figures, many).plot()


@pytest.mark.parametrize(("scaler", "other"), [("beta", "rho"), ("rho", "beta")])
def test_long_values_of_a_search_have_room(scaler, other):
    params = [{scaler: f"a scaler ($a_{i}$ and $b$) of a long name", other: n} for i in range(10) for n in range(7)]
    assert_readable(SearchDisplay({"score": np.arange(70.0)}, params).plot())
