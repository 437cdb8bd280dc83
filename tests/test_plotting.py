"""Displays draw what they are given, refuse what they cannot draw, and follow scikit-learn's convention."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae.metrics import explained_variance_scorer, population_sparsity_scorer
from skl_sae.model_selection import PathSearchCV
from skl_sae.plotting import (
    ActivationDisplay,
    AnomalyDisplay,
    FilterDisplay,
    ReconstructionDisplay,
    SearchDisplay,
    TrainingDisplay,
)

pytestmark = [
    pytest.mark.plain,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
    pytest.mark.usefixtures("without_a_screen"),
]


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data) / 16


@pytest.fixture(scope="module")
def sae(digits):
    return SparseAutoencoderTransformer(10, max_iter=20, random_state=0).fit(digits)


@pytest.fixture(scope="module")
def wine():
    return load_wine(as_frame=True)


@pytest.fixture(scope="module")
def detector(wine):
    return SparseAutoencoderOutlierDetector(max_iter=20, random_state=0).fit(wine.data)


def draws(display):
    display.figure_.canvas.draw()
    return display


def test_filters_as_images(sae):
    display = draws(FilterDisplay.from_estimator(sae))
    assert display.image_shape == (8, 8)
    np.testing.assert_allclose(np.linalg.norm(display.filters, axis=1), 1)
    np.testing.assert_allclose(display.filters * np.linalg.norm(sae.encoder_coef_, axis=1)[:, None], sae.encoder_coef_)
    tiles = display.ax_.images[0].get_array()
    assert tiles.shape == (3 * 9 + 1, 4 * 9 + 1)
    first = display.filters[0].reshape(8, 8)
    np.testing.assert_allclose(tiles[1:9, 1:9], first / np.abs(first).max())


def test_filters_as_bars(detector, wine):
    display = draws(FilterDisplay.from_estimator(detector, components=[0, 2, 5]))
    assert list(display.feature_names) == list(wine.data.columns)
    assert len(display.ax_) == 3
    widths = [bar.get_width() for bar in display.ax_[1].patches]
    np.testing.assert_allclose(widths, display.filters[1])
    assert [axis.get_title() for axis in display.ax_] == ["unit 0", "unit 2", "unit 5"]
    assert len(FilterDisplay.from_estimator(detector, components=3).ax_) == 1
    assert len(FilterDisplay.from_estimator(detector, feature_names=["x"] * 13, components=[1]).ax_[0].patches) == 13


def test_filters_in_axes_that_are_given(sae):
    _, ax = plt.subplots()
    assert FilterDisplay.from_estimator(sae, ax=ax, components=[1], n_columns=1).ax_ is ax
    _, axes = plt.subplots(2)
    names = [f"pixel {i}" for i in range(64)]
    assert len(FilterDisplay.from_estimator(sae, feature_names=names, components=[0, 1], ax=axes).ax_) == 2


def test_a_unit_without_weights_is_blank():
    sae = SparseAutoencoderTransformer(3, max_iter=2, random_state=0).fit(
        np.random.default_rng(0).normal(size=(20, 16))
    )
    sae.encoder_coef_[1] = 0
    assert not draws(FilterDisplay.from_estimator(sae)).filters[1].any()


@pytest.mark.parametrize(
    "options",
    [{"image_shape": shape} for shape in [(4, 4), (64,), 64, (-8, -8)]],
)
def test_shapes_that_do_not_fit_are_refused(sae, options):
    with pytest.raises(ValueError, match="does not make 64 features"):
        FilterDisplay.from_estimator(sae, **options)


def test_other_mistakes_are_refused(sae, digits):
    with pytest.raises(ValueError, match="3 feature names for 64 features"):
        FilterDisplay.from_estimator(sae, feature_names=["a", "b", "c"])
    for components in "most", [], [1.0], np.zeros(10, dtype=bool):
        with pytest.raises(ValueError, match="components must be 'all' or indices of units, from 0 to 9"):
            FilterDisplay.from_estimator(sae, components=components)
    with pytest.raises(ValueError, match="ax must hold 2 axes, got 1"):
        ActivationDisplay.from_estimator(sae, digits, ax=plt.subplots()[1])
    narrow = SparseAutoencoderTransformer(2, max_iter=2).fit(digits[:, :13])
    with pytest.raises(ValueError, match="13 features are not the pixels of a square"):
        ReconstructionDisplay.from_estimator(narrow, digits[:3, :13], images=True)
    for display in FilterDisplay, TrainingDisplay:
        with pytest.raises(ValueError, match="no autoencoder of skl_sae in this Pipeline"):
            display.from_estimator(make_pipeline(MinMaxScaler()).fit(digits))
    with pytest.raises(NotFittedError):
        FilterDisplay.from_estimator(make_pipeline(MinMaxScaler(), SparseAutoencoderTransformer()))
    with pytest.raises(ValueError, match="is not an outlier detector"):
        AnomalyDisplay.from_estimator(sae, digits)


def test_a_detector_has_no_codes(detector, wine):
    with pytest.raises(ValueError, match="no codes to show"):
        ActivationDisplay.from_estimator(detector, wine.data)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training(digits, early_stopping):
    sae = SparseAutoencoderTransformer(5, max_iter=30, early_stopping=early_stopping, random_state=0).fit(digits)
    display = draws(TrainingDisplay.from_estimator(sae))
    labels = [line.get_label() for line in display.ax_[0].lines]
    assert labels[:2] == ["loss", "reconstruction"]
    assert ("validation loss" in labels) == early_stopping
    np.testing.assert_array_equal(display.ax_[0].lines[0].get_ydata(), sae.history_["loss"])
    assert display.ax_[1].lines[1].get_ydata()[0] == sae.rho


def test_a_training_without_any_loss_has_no_curves():
    """Equal rows without penalties are reconstructed from the start; a legend without entries would warn."""
    sae = SparseAutoencoderTransformer(3, alpha=0, beta=0, random_state=0).fit(np.ones((20, 4)))
    assert draws(TrainingDisplay.from_estimator(sae)).ax_[0].get_legend() is None


def test_reconstruction(digits):
    pipeline = make_pipeline(MinMaxScaler(), SparseAutoencoderTransformer(5, max_iter=20, random_state=0)).fit(digits)
    display = draws(ReconstructionDisplay.from_estimator(pipeline, digits[:6]))
    assert display.ax_[0].images[0].get_array().shape == (10, 6 * 9 + 1)
    np.testing.assert_allclose(display.reconstruction, pipeline.inverse_transform(pipeline.transform(digits[:6])))
    other = ReconstructionDisplay.from_estimator(PCA(3).fit(digits), digits[:6])
    assert other.image_shape == (8, 8)


def test_activations(sae, digits):
    display = draws(ActivationDisplay.from_estimator(sae, digits))
    assert sum(bar.get_height() for bar in display.ax_[0].patches) == len(digits) * 10
    assert sum(bar.get_height() for bar in display.ax_[1].patches) == 10


@pytest.mark.parametrize("labelled", [False, True])
def test_anomalies(detector, wine, labelled):
    y = wine.target == 2 if labelled else None
    display = draws(AnomalyDisplay.from_estimator(detector, wine.data, y, n_features=4))
    scores = -detector.score_samples(wine.data)
    assert display.row == scores.argmax()
    values = [bar.get_width() for bar in display.ax_[1].patches]
    assert len(values) == 5
    assert sum(values) == pytest.approx(scores.max())
    assert display.threshold == -detector.offset_
    assert AnomalyDisplay.from_estimator(detector, wine.data, row=3).row == 3


def test_a_row_has_the_name_that_its_index_gives(detector, wine):
    """An int is a position, as scikit-learn indexes rows, also where the index holds other integers."""
    X = wine.data[::-1]
    display = draws(AnomalyDisplay.from_estimator(detector, X, row=3))
    assert (display.row, display.row_name) == (3, "174")
    assert display.ax_[1].get_xlabel() == "contribution to the score of row 174"
    assert any(text.get_text().startswith("row 174, score") for text in display.ax_[0].get_legend().get_texts())
    expected = detector.score_contributions(wine.data.iloc[[174]])[0]
    np.testing.assert_allclose(display.contributions, expected)
    highest = AnomalyDisplay.from_estimator(detector, X)
    assert highest.row_name == str(X.index[highest.row])
    assert AnomalyDisplay.from_estimator(detector, X, row=-1).row == len(X) - 1
    assert AnomalyDisplay.from_estimator(detector, wine.data, row=np.int64(3)).row_name is None


def test_a_row_can_be_given_by_its_label(detector, wine):
    X = wine.data.set_axis([f"$wine$ {i}" for i in wine.data.index])
    display = draws(AnomalyDisplay.from_estimator(make_pipeline("passthrough", detector), X, row="$wine$ 5"))
    assert (display.row, display.row_name) == (5, "$wine$ 5")
    assert display.ax_[1].get_xlabel() == "contribution to the score of row $wine$ 5"
    days = wine.data.set_axis(pd.date_range("2026-01-01", periods=len(X)))
    assert AnomalyDisplay.from_estimator(detector, days, row=pd.Timestamp("2026-01-03")).row == 2


def test_rows_that_are_not_there_are_refused(detector, wine):
    with pytest.raises(IndexError, match="no row at position 178: X has 178 rows"):
        AnomalyDisplay.from_estimator(detector, wine.data, row=178)
    with pytest.raises(TypeError, match="row must be an int"):
        AnomalyDisplay.from_estimator(detector, wine.data.to_numpy(), row="first")
    with pytest.raises(KeyError, match="first"):
        AnomalyDisplay.from_estimator(detector, wine.data, row="first")
    with pytest.raises(ValueError, match="Several rows of X have the label 'a'"):
        AnomalyDisplay.from_estimator(detector, wine.data.set_axis(["a"] * len(wine.data)), row="a")
    hours = wine.data.set_axis(pd.date_range("2026-01-01", periods=len(wine.data), freq="16h"))
    with pytest.raises(ValueError, match="Several rows of X have the label '2026-01-01'"):
        AnomalyDisplay.from_estimator(detector, hours, row="2026-01-01")
    assert AnomalyDisplay.from_estimator(detector, hours, row="2026-01-02").row == 2


def test_labels_of_either_convention(detector, wine):
    found = detector.predict(wine.data)
    anomaly = found == -1
    assert 0 < anomaly.sum() < len(anomaly)
    for y in found, list(found), anomaly, anomaly.astype(int), pd.Series(found):
        display = draws(AnomalyDisplay.from_estimator(detector, wine.data, y))
        np.testing.assert_array_equal(display.y, anomaly)
        made = AnomalyDisplay(display.scores, display.threshold, display.contributions, 0, display.feature_names, y)
        np.testing.assert_array_equal(draws(made.plot()).y, anomaly)


def test_labels_of_other_kinds_are_refused(detector, wine):
    with pytest.raises(ValueError, match="Labels must be 1"):
        AnomalyDisplay.from_estimator(detector, wine.data, wine.target)
    with pytest.raises(ValueError, match="Pass booleans"):
        AnomalyDisplay.from_estimator(detector, wine.data, np.ones(len(wine.data)))
    with pytest.raises(ValueError, match="inconsistent"):
        AnomalyDisplay.from_estimator(detector, wine.data, wine.target[:5] > 0)


@pytest.mark.parametrize("scores", [[1, 2, 3, np.inf], [np.inf, np.inf]])
def test_infinite_scores_lie_beyond_the_axis_and_nan_is_refused(scores):
    display = draws(AnomalyDisplay(scores, 2.5, [1, -2], 1, ["a", "b"]).plot())
    assert sum(bar.get_height() for bar in display.ax_[0].patches) == len(scores)
    assert any(label.get_text().startswith("> ") for label in display.ax_[0].get_xticklabels())
    with pytest.raises(ValueError, match="scores contain NaN"):
        AnomalyDisplay([*scores, np.nan], 2.5, [1, -2], 1, ["a", "b"])


def test_anomalies_of_arrays_and_of_rows_all_alike():
    X = np.ones((20, 4))
    detector = SparseAutoencoderOutlierDetector(scoring="squared_error", random_state=0).fit(X)
    assert list(draws(AnomalyDisplay.from_estimator(detector, X)).feature_names) == ["x0", "x1", "x2", "x3"]


def test_anomalies_of_rows_of_any_kind(detector, wine):
    expected = AnomalyDisplay.from_estimator(detector, wine.data).contributions
    names = list(wine.data.columns)
    for X in (sparse.csr_array(wine.data.to_numpy()), pl.DataFrame(wine.data.to_numpy(), schema=names)):
        fitted = SparseAutoencoderOutlierDetector(max_iter=20, random_state=0).fit(X)
        found = AnomalyDisplay.from_estimator(fitted, X).contributions
        np.testing.assert_allclose(found, expected, rtol=1e-6)


SCORING = {"variance": explained_variance_scorer, "sparsity": population_sparsity_scorer}


def search(kind, grid, X, **options):
    sae = SparseAutoencoderTransformer(5, max_iter=10, random_state=0)
    return kind(sae, grid, cv=2, **{"scoring": population_sparsity_scorer, **options}).fit(X)


def test_a_search(digits):
    found = search(PathSearchCV, {"rho": [0.3, 0.05, 0.1], "beta": [3.0, 0.3]}, digits)
    display = draws(SearchDisplay.from_search(found))
    assert list(display.figures) == ["score", "mean activation", "dead units", "seconds per fit"]
    assert display.ax_.shape == (1, 4)
    shown = np.asarray(display.ax_[0, 0].images[0].get_array())
    scores = {
        (one["rho"], one["beta"]): found.cv_results_["mean_test_score"][i] for i, one in enumerate(display.params)
    }
    expected = [[scores[rho, beta] for beta in (0.3, 3.0)] for rho in (0.05, 0.1, 0.3)]
    np.testing.assert_array_equal(shown, expected)
    reached = np.asarray(display.ax_[0, 1].images[0].get_array())
    assert (np.diff(reached, axis=0) > 0).all()
    assert [label.get_text() for label in display.ax_[0, 0].get_xticklabels()] == ["0.3", "3"]
    assert (display.ax_[0, 0].get_ylabel(), display.ax_[0, 0].get_xlabel()) == ("rho", "beta")
    (frame,) = display.ax_[0, 0].patches
    y, x = round(frame.get_y() + 0.5), round(frame.get_x() + 0.5)
    assert expected[y][x] == found.best_score_
    assert len(display.ax_[0, 0].texts) == 6


def test_searches_by_other_classes_and_by_several_scorers(digits):
    found = search(GridSearchCV, {"rho": [0.05, 0.1]}, digits, scoring=SCORING, refit="sparsity")
    display = draws(SearchDisplay.from_search(found))
    assert list(display.figures) == ["score: sparsity", "seconds per fit"]
    assert display.ax_[0, 0].images[0].get_array().shape == (1, 2)
    other = SearchDisplay.from_search(found, score="variance")
    np.testing.assert_array_equal(other.figures["score: variance"], found.cv_results_["mean_test_variance"])
    without = search(GridSearchCV, {"rho": [0.05, 0.1]}, digits, scoring=SCORING, refit=False)
    assert not draws(SearchDisplay.from_search(without)).ax_[0, 0].patches
    with pytest.raises(ValueError, match=r"score='accuracy' is not one of .*: variance, sparsity"):
        SearchDisplay.from_search(found, score="accuracy")
    with pytest.raises(NotFittedError):
        SearchDisplay.from_search(GridSearchCV(SparseAutoencoderTransformer(), {}))
    with pytest.raises(ValueError, match="SparseAutoencoderTransformer is no search"):
        SearchDisplay.from_search(found.estimator)
    for display in FilterDisplay, TrainingDisplay:
        with pytest.raises(ValueError, match=r"no autoencoder .* in this GridSearchCV. Pass its best_estimator_."):
            display.from_estimator(found)
    with pytest.raises(ValueError, match="no autoencoder"):
        ReconstructionDisplay.from_estimator(without, digits)


def test_a_search_over_more_parameters():
    params = [{"a__rho": r, "a__beta": b, "n": n, "z": None} for r in (0.1, 0.2) for b in (1, 2, 3) for n in ("x", "y")]
    display = draws(SearchDisplay({"score": np.arange(12.0)}, [*params[:-1], {"n": "y"}], 4).plot())
    assert display.ax_.shape == (2, 1)
    assert [axis.get_title(loc="left") for axis in display.ax_[:, 0]] == ["score\nn x", "score\nn y"]
    assert [len(axis.patches) for axis in display.ax_[:, 0]] == [1, 0]
    assert display.ax_[0, 0].images[0].get_clim() == (0, 11)
    _, axes = plt.subplots(2)
    assert SearchDisplay({"score": np.arange(12.0)}, params).plot(axes).ax_[1, 0] is axes[1]
    with pytest.raises(ValueError, match="ax must hold 2 axes, got 1"):
        SearchDisplay({"score": np.arange(12.0)}, params).plot(plt.subplots()[1])


def test_candidates_of_a_search_have_cells_of_their_own():
    """Also where values differ in the fourth digit, or where one of them is None."""
    params = [{"rho": rho, "scaling": scaling} for rho in (0.1001, 0.1002) for scaling in (None, "standard")]
    axis = draws(SearchDisplay({"score": [1.0, 2.0, 3.0, 4.0]}, params).plot()).ax_[0, 0]
    np.testing.assert_array_equal(axis.images[0].get_array(), [[1, 3], [2, 4]])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.1001", "0.1002"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["None", "standard"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.1001, 0.1002, 0.2], ["0.1001", "0.1002", "0.2"]),
        ([1, "1"], ["1 (1)", "1 (2)"]),
        ([StandardScaler(), StandardScaler()], ["StandardScaler() (1)", "StandardScaler() (2)"]),
        ([np.float64(0.5), 0.5, None], ["0.5", "None"]),
        ([(1, 2), (1, 2), [1, 2], [1, 2]], ["(1, 2)", "[1, 2]"]),
    ],
)
def test_a_cell_for_every_value(values, texts):
    display = draws(SearchDisplay({"score": np.arange(len(values))}, [{"rho": value} for value in values]).plot())
    assert [label.get_text() for label in display.ax_[0, 0].get_xticklabels()] == texts
    assert np.isfinite(np.asarray(display.ax_[0, 0].images[0].get_array())).sum() == len(texts)


def test_a_search_that_chose_nothing_has_no_frame_of_an_earlier_one(digits):
    found = search(GridSearchCV, {"rho": [0.05, 0.1, 0.2]}, digits)
    found.set_params(param_grid={"rho": [0.1]}, scoring=SCORING, refit=False)
    assert not draws(SearchDisplay.from_search(found.fit(digits))).ax_[0, 0].patches


def test_a_search_of_one_candidate_and_one_too_large_for_numbers():
    assert draws(SearchDisplay({"score": [0.5]}, [{}], 0).plot()).ax_.shape == (1, 1)
    assert draws(SearchDisplay({"score": [np.nan]}, [{"rho": 0.1}]).plot()).ax_[0, 0].get_xlabel() == "rho"
    params = [{"rho": r, "beta": b} for r in range(10) for b in range(9)]
    display = draws(SearchDisplay({"score": np.arange(90.0)}, params).plot())
    assert not display.ax_[0, 0].texts
    assert len(display.figure_.axes) == 2  # with a scale


def test_top_k_autoencoders():
    X = StandardScaler().fit_transform(load_wine().data)
    sae = TopKAutoencoderTransformer(24, k=3, tol=0.1, max_iter=50, random_state=0).fit(X)
    losses, shares = TrainingDisplay.from_estimator(sae).ax_
    assert [line.get_label() for line in losses.lines] == ["loss"]
    assert [line.get_label() for line in shares.lines] == ["unexplained variance", "dead units"]
    activations, _ = ActivationDisplay.from_estimator(sae, X).ax_
    assert sum(bar.get_height() for bar in activations.patches) == sae.transform(X).nnz
    dense = ActivationDisplay.from_estimator(clone(sae).set_params(sparse_output=False).fit(X), X).ax_[0]
    assert sum(bar.get_height() for bar in dense.patches) == len(X) * 24
    shown = FilterDisplay.from_estimator(sae).components
    assert sorted(shown) == sorted(np.argsort(-sae.activation_frequency_, kind="stable")[:16])
    assert ReconstructionDisplay.from_estimator(sae, X).figure_ is not None
