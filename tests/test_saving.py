"""Saved models: older and newer layouts, and files whose parts no fit could have left."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from fits import memories, quiet, short
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import MinMaxScaler

from skl_sae import SparseAutoencoderOutlierDetector, _state

pytestmark = quiet


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data[:600]) / 16


@pytest.mark.plain
@pytest.mark.parametrize("estimator", [short(), SparseAutoencoderOutlierDetector(max_iter=5, random_state=0)])
def test_a_model_of_a_newer_version_says_so(digits, estimator, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_state, "LAYOUT", _state.LAYOUT + 1)
        saved = pickle.dumps(estimator.fit(digits))
    with pytest.raises(ValueError, match=r"newer version of skl_sae .* Upgrade"):
        pickle.loads(saved)
    assert not hasattr(pickle.loads(pickle.dumps(estimator)), "_skl_sae_state")


# What models that were fitted to the iris data gave for two rows when they were saved.
CODES = {
    0: [
        [0.3954139613115119, 0.004173075808249443, 0.05751466647979906],
        [0.3570494260517753, 0.005028291090884118, 0.04360824852253316],
    ],
    1: [
        [0.312452935183458, 0.051804721205602366, 0.02327980136602596],
        [0.23018528605615957, 0.05008462236275319, 0.02149605041407591],
    ],
}
SCORES = {0: [-2.515334970842334, -4.45606597672097], 1: [-2.071470755377824, -3.7324592573536504]}


def saved_in(layout, name):
    return pickle.loads((Path(__file__).parent / "data" / f"{name}_layout_{layout}.pkl").read_bytes())


@pytest.mark.plain
@pytest.mark.parametrize("layout", CODES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_models_of_earlier_layouts_load_right(layout):
    X = load_iris().data
    sae, detector = saved_in(layout, "transformer"), saved_in(layout, "detector")
    np.testing.assert_allclose(sae.transform(X[:2]), CODES[layout], rtol=1e-9)
    np.testing.assert_allclose(detector.score_samples(X[:2]), SCORES[layout], rtol=1e-9)
    for model in sae, detector:
        model.set_params(max_iter=5, warm_start=True).fit(X)


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_a_model_of_layout_1_remembers_what_its_solvers_did():
    """It was fitted by two epochs of Adam and five iterations of L-BFGS."""
    X = load_iris().data
    fitted, continued = saved_in(1, "transformer").fit(X), saved_in(1, "transformer").partial_fit(X)
    assert fitted.n_iter_ == 12
    expected = [0.6505837354332814, 1.7093225852072456, -1.7282828382891298, -0.8441059931151832]
    np.testing.assert_allclose(fitted.encoder_coef_[0], expected, rtol=1e-6)
    expected = [0.3087581720513398, 0.7111595270866224, -0.12196831214010974, -0.0825033275806079]
    np.testing.assert_allclose(continued.encoder_coef_[0], expected, rtol=1e-9)


@pytest.mark.plain
@pytest.mark.parametrize("name", ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_"])
def test_weights_that_do_not_fit_together_are_refused(digits, name):
    """The kernels trust the shapes; a file may come from anywhere."""
    sae = short(warm_start=True).fit(digits)
    setattr(sae, name, getattr(sae, name)[:3])
    with pytest.raises(ValueError, match="do not fit together"):
        sae.transform(digits)
    with pytest.raises(ValueError, match=r"do not fit together|n_components"):
        sae.fit(digits)
    saved = pickle.dumps(sae)
    with pytest.raises(ValueError, match="do not fit together"):
        pickle.loads(saved)


@pytest.mark.parametrize("name", ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_"])
@pytest.mark.parametrize("change", [complex, object, int, str, lambda part: part * np.nan])
def test_weights_that_no_fit_leaves_are_refused(digits, name, change):
    sae = short().fit(digits)
    part = getattr(sae, name)
    setattr(sae, name, part.astype(change) if isinstance(change, type) else change(part))
    with pytest.raises(ValueError, match="floating-point"):
        pickle.loads(pickle.dumps(sae))


def replaced(**parts):
    return lambda detector: setattr(detector, "_scatter", detector._scatter._replace(**parts))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda detector: setattr(detector, "offset_", np.nan),
        lambda detector: setattr(detector, "_centre", np.zeros(1)),
        lambda detector: setattr(detector, "_scaler", MinMaxScaler().fit(load_iris().data)),
        lambda detector: setattr(detector._scaler, "mean_", np.zeros(1)),
        lambda detector: setattr(detector._scaler, "scale_", np.zeros(4)),
        replaced(location=np.zeros(1)),
        replaced(location=np.full(7, np.nan)),
        replaced(precision=np.zeros(7)),
        replaced(precision=np.full((7, 7), np.inf)),
    ],
)
def test_a_scatter_or_a_scaler_that_no_fit_leaves_is_refused(tamper):
    """NumPy would broadcast the wrong shapes, and of a score that is NaN `predict` would say that all is well."""
    detector = SparseAutoencoderOutlierDetector(3, max_iter=5, random_state=0).fit(load_iris().data)
    pickle.loads(pickle.dumps(detector))
    tamper(detector)
    with pytest.raises(ValueError, match="must be"):
        pickle.loads(pickle.dumps(detector))


def test_pairs_that_do_not_fit_start_anew(digits):
    sae = short(warm_start=True).fit(digits)
    memories(sae)["lbfgs"]["pairs"] = [(np.zeros(3), np.zeros(3), 1.0)]
    assert memories(sae.fit(digits))["lbfgs"]["pairs"][0][0].shape == (8 * 64 * 2 + 8 + 64,)


def test_moments_that_do_not_fit_start_anew(digits):
    sae = short().partial_fit(digits)
    memories(sae)["adam"]["exp_avg_sq"] = np.zeros(1)
    sae.partial_fit(digits)
    assert {memories(sae)["adam"][name].shape for name in ("exp_avg", "exp_avg_sq")} == {(8 * 64 * 2 + 8 + 64,)}
