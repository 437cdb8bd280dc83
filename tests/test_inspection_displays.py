"""Displays of units and of their stability draw what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skl_sae import TopKAutoencoderTransformer
from skl_sae.inspection import feature_report, feature_stability
from skl_sae.plotting import StabilityDisplay, UnitDisplay

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
    pytest.mark.usefixtures("without_a_screen"),
]


@pytest.fixture(scope="module")
def digits():
    return load_digits().data


@pytest.fixture(scope="module")
def sae(digits):
    return TopKAutoencoderTransformer(24, 4, max_iter=20, random_state=0).fit(digits)


def draws(display):
    display.figure_.canvas.draw()
    return display


def test_unit_of_images(sae, digits):
    display = draws(UnitDisplay.from_estimator(sae, digits, 3, label="bow"))
    report = feature_report(sae, digits, n_middle=10)
    np.testing.assert_array_equal(display.top, report.top_rows_[3])
    np.testing.assert_array_equal(display.middle, report.middle_rows_[3])
    np.testing.assert_array_equal(display.images[:10], digits[report.top_rows_[3]])
    tiles = display.ax_[0].images[0].get_array()
    assert tiles.shape == (2 * (2 * 9 + 1) + 2, 5 * 9 + 1)
    np.testing.assert_array_equal(tiles[1:9, 1:9], digits[display.top[0]].reshape(8, 8))
    np.testing.assert_array_equal(display.ax_[2].images[0].get_array(), sae.components_[3].reshape(8, 8))
    assert "unit 3: bow" in display.ax_[1].get_title(loc="left")
    draws(UnitDisplay.from_estimator(sae, digits, 3, n_top=2, n_middle=0, ax=plt.subplots(1, 3)[1]))


def test_unit_of_a_table():
    data = load_breast_cancer(as_frame=True).data
    pipeline = make_pipeline(StandardScaler(), TopKAutoencoderTransformer(10, 3, max_iter=20, random_state=0)).fit(data)
    names = [f"$patient$ with a long, long, long name {i}" for i in range(len(data))]
    display = draws(UnitDisplay.from_estimator(pipeline, data, 2, names=names, n_top=4, n_middle=3))
    labels = [label.get_text() for label in display.ax_[0].get_yticklabels()]
    assert len(labels) == 7
    assert all(len(label) <= 30 for label in labels)
    assert labels[0].endswith(str(display.top[0]))
    widths = [bar.get_width() for bar in display.ax_[0].patches]
    np.testing.assert_allclose(widths, display.activations[[*display.top, *display.middle]])
    atom = pipeline[-1].components_[2]
    np.testing.assert_allclose(
        [bar.get_width() for bar in display.ax_[2].patches], atom[np.argsort(-np.abs(atom))[:10]]
    )
    assert display.ax_[2].get_yticklabels()[0].get_text() in data.columns
    without = UnitDisplay.from_estimator(pipeline, data, 2)
    assert without.names[0] == f"row {without.top[0]}"


def test_lines_and_single_rows_show_in_dark_styles(sae, digits):
    with plt.style.context("dark_background"):
        _, histogram, weights = draws(UnitDisplay.from_estimator(sae, digits, 3, feature_names=range(64))).ax_
        assert weights.lines[0].get_color() == "white"
        assert histogram.get_ylim()[0] < 1
        stability = feature_stability(sae, digits, n_refits=1, random_state=0)
        stability.frequency_[:2], stability.stable_[:2] = 0, False
        axis = draws(StabilityDisplay(stability).plot()).ax_
        np.testing.assert_array_equal(axis.collections[-1].get_edgecolor()[0, :3], 1)


def test_unit_of_texts():
    """X of a Pipeline that begins with a vectorizer has no columns."""
    texts = [f"{word} {other} text" for word in ("one", "two", "three") for other in ("red", "green", "blue", "grey")]
    pipeline = make_pipeline(TfidfVectorizer(), TopKAutoencoderTransformer(4, 2, max_iter=20, random_state=0)).fit(
        texts
    )
    unit = int(pipeline[-1].activation_frequency_.argmax())
    display = draws(UnitDisplay.from_estimator(pipeline, texts, unit, names=texts, n_middle=0))
    assert display.images is None
    assert display.names[0] == texts[display.top[0]]


def test_mistakes_are_refused(sae, digits):
    with pytest.raises(IndexError, match="no unit 24: units have numbers from 0 to 23"):
        UnitDisplay.from_estimator(sae, digits, 24)
    with pytest.raises(ValueError, match="2 names for 1797 rows"):
        UnitDisplay.from_estimator(sae, digits, 0, names=["a", "b"])
    with pytest.raises(ValueError, match="does not make 64 features"):
        UnitDisplay.from_estimator(sae, digits, 0, image_shape=(3, 3))
    with pytest.raises(ValueError, match="ax must hold 3 axes"):
        UnitDisplay.from_estimator(sae, digits, 0, ax=plt.subplots()[1])
    silent = np.flatnonzero((sae.transform(digits[:1]).toarray() == 0)[0])[0]
    with pytest.raises(ValueError, match="not active on any row of X"):
        UnitDisplay.from_estimator(sae, digits[:1], int(silent))


def test_stability(sae, digits):
    display = draws(StabilityDisplay.from_estimator(sae, digits, n_refits=2, random_state=0))
    points = np.concatenate([part.get_offsets() for part in display.ax_.collections])
    assert len(points) == 24
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(display.stability.cosine_))
    texts = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert texts[0] == "by chance (5 to 95 %)"
    assert draws(StabilityDisplay(display.stability).plot(plt.subplots()[1])).ax_.get_legend() is not None


def test_units_that_are_never_active_are_marked(digits):
    sae = TopKAutoencoderTransformer(12, 2, max_iter=3, random_state=0).fit(digits)
    sae.encoder_intercept_[4] = -1e6
    display = draws(StabilityDisplay(feature_stability(sae, digits, n_refits=1, random_state=0)).plot())
    texts = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert "never active (1)" in texts
