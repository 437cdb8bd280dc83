"""Saved models: older and newer layouts, and files whose parts no fit could have left."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from fits import memories, quiet, short
from sklearn.datasets import load_digits, load_iris

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


# The scores that models fitted to the iris data gave for two rows when they were saved.
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
    with pytest.raises(ValueError, match="do not match in shape"):
        sae.transform(digits)
    with pytest.raises(ValueError, match=r"do not match in shape|n_components"):
        sae.fit(digits)
    saved = pickle.dumps(sae)
    with pytest.raises(ValueError, match="do not match in shape"):
        pickle.loads(saved)


@pytest.mark.parametrize("name", ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_"])
@pytest.mark.parametrize("change", [complex, object, int, str, lambda part: part * np.nan])
def test_weights_that_no_fit_leaves_are_refused(digits, name, change):
    sae = short().fit(digits)
    part = getattr(sae, name)
    setattr(sae, name, part.astype(change) if isinstance(change, type) else change(part))
    with pytest.raises(ValueError, match="floating-point"):
        pickle.loads(pickle.dumps(sae))


def arrays_in(state, path=()):
    """The paths of all arrays and numbers in nested dictionaries."""
    for name, value in state.items():
        if isinstance(value, dict):
            yield from arrays_in(value, (*path, name))
        elif not isinstance(value, str):
            yield (*path, name)


def change_in(state, path, change):
    """Change what lies at a path of nested dictionaries."""
    for name in path[:-1]:
        state = state[name]
    state[path[-1]] = change(np.asarray(state[path[-1]]))


CHANGES = {
    "shorter": lambda part: part[:-1] if part.ndim else part[None],
    "not finite": lambda part: np.full(part.shape, np.nan),
    "of another type": lambda part: part.astype(str),
    "missing": lambda part: None,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("scoring", ["auto", "mahalanobis", "squared_error"])
def test_a_state_that_no_fit_leaves_is_refused(scoring, change):
    """NumPy would broadcast the wrong shapes, and `predict` would call a row whose score is NaN normal."""
    X = load_iris().data
    saved = pickle.dumps(SparseAutoencoderOutlierDetector(3, scoring=scoring, max_iter=5, random_state=0).fit(X))
    paths = [("offset_",)]
    paths += [("_scorer_state", *path) for path in arrays_in(pickle.loads(saved)._scorer_state)]
    paths += [("_reference", name) for name in ("X", "weights")]
    for path in paths:
        detector = pickle.loads(saved)
        change_in(vars(detector), path, CHANGES[change])
        changed = pickle.dumps(detector)
        with pytest.raises(ValueError, match="must be"):
            pickle.loads(changed)


def test_pairs_that_do_not_fit_start_anew(digits):
    sae = short(warm_start=True).fit(digits)
    memories(sae)["lbfgs"]["pairs"] = [(np.zeros(3), np.zeros(3), 1.0)]
    assert memories(sae.fit(digits))["lbfgs"]["pairs"][0][0].shape == (8 * 64 * 2 + 8 + 64,)


def test_moments_that_do_not_fit_start_anew(digits):
    sae = short().partial_fit(digits)
    memories(sae)["adam"]["exp_avg_sq"] = np.zeros(1)
    sae.partial_fit(digits)
    assert {memories(sae)["adam"][name].shape for name in ("exp_avg", "exp_avg_sq")} == {(8 * 64 * 2 + 8 + 64,)}
