"""Warnings about fits that did not converge, learn a sparse code or match the range of the data."""

import inspect
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fits import SOLVERS, quiet, short
from remedies import CASES
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import (
    DataRangeWarning,
    HiddenUnitWarning,
    SparseAutoencoderTransformer,
    TopKAutoencoderTransformer,
    _diagnostics,
    model_selection,
)
from skl_sae._kernels.activations import ACTIVATIONS
from skl_sae.metrics import explained_variance_scorer


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data) / 16


@pytest.fixture(scope="module")
def cancer():
    return StandardScaler().fit_transform(load_breast_cancer().data)


@pytest.mark.plain
@pytest.mark.parametrize("solver", SOLVERS)
def test_iteration_limit_warns_with_advice(digits, solver):
    with pytest.warns(ConvergenceWarning, match="max_iter=8.*Increase max_iter"):
        short(solver=solver, max_iter=8, learning_rate_init=0.01, tol=0).fit(digits)


@pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning")
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_fit_that_learned_nothing_warns(solver):
    X = load_breast_cancer().data * 1e6  # not scaled at all
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SparseAutoencoderTransformer(10, solver=solver, tied_weights=True, random_state=0).fit(X)
    assert any(
        re.search(r"explains \d\.\d% of the variance of X.*Standardise X", str(warning.message)) for warning in caught
    )


@pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning")
def test_a_loss_that_rises_warns(digits):
    sae = short(solver="adam", max_iter=1000, tol=1e-2, activation="relu").fit(digits)
    sae.set_params(learning_rate_init=0.1, warm_start=True, batch_size=10**6, max_iter=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae.fit(digits)
    assert len(caught) == 1  # that little was learned has the same remedy
    assert "Lower learning_rate_init" in str(caught[0].message)


@pytest.mark.plain
def test_one_warning_of_units_and_of_iterations():
    """The fault of the code comes first; once that is gone, the other one is reported."""
    X = StandardScaler().fit_transform(load_wine().data)
    sae = TopKAutoencoderTransformer(100, k=2, max_iter=20, resample_dead=False, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae.fit(X)
    assert [one.category for one in caught] == [HiddenUnitWarning]
    with pytest.warns(ConvergenceWarning, match="Increase max_iter"):
        sae.set_params(n_components=10).fit(X)


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_warning_for_a_code_that_collapsed(digits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae = SparseAutoencoderTransformer(10, alpha=10.0, random_state=0).fit(digits)
    assert [one.category for one in caught] == [ConvergenceWarning]
    assert sae.constant_fraction_ == 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_dead_units_are_reported(digits):
    sae = short(activation="relu", max_iter=1000).fit(digits)
    sae.encoder_intercept_[:3] = -1e3
    sae.set_params(warm_start=True, max_iter=3)
    with pytest.warns(HiddenUnitWarning, match="Of 8 hidden units, 3 are dead .* 0 others constant"):
        sae.fit(digits)
    assert sae.dead_fraction_ == 3 / 8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_code_that_the_penalties_hold_back_is_reported():
    with pytest.warns(HiddenUnitWarning, match="explains [45].% .*Standardise X"):
        SparseAutoencoderTransformer(random_state=0).fit(MinMaxScaler().fit_transform(load_breast_cancer().data) / 3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler])
@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_defaults_on_scaled_data_do_not_warn(load, scaler):
    SparseAutoencoderTransformer(random_state=0).fit(scaler().fit_transform(load().data))


def diagnosed(objective, settings, error, variance):
    """Diagnose a fit of 10 units to 10 dense features of mean 0."""
    final, bounds = {"reconstruction": error}, (np.zeros(10), np.ones(10))
    fit = _diagnostics.Fit(objective, settings, final, np.zeros(10), variance, 10, "dense", None, lambda: bounds)
    return _diagnostics.diagnose_fit(fit)


def test_the_worst_problem_comes_first():
    """As in raw images of MNIST: some idle units must not hide that half of the others are far above rho."""
    settings = SparseAutoencoderTransformer()
    mean = np.array([0.0, 1.0] + 8 * [0.45])
    objective = SimpleNamespace(lowest=np.floor(mean), highest=np.ceil(mean), mean=mean, deviation=mean)
    found = diagnosed(objective, settings, 1000.0, np.full(10, 1000.0))
    assert len(found) == 1
    assert "half of the units exceed 0.45" in found[0][0]
    settings.beta = 0
    assert "1 are dead" in diagnosed(objective, settings, 1000.0, np.full(10, 1000.0))[0][0]


@quiet
def test_idle_units_of_raw_data_are_reported():
    X = load_wine().data
    with pytest.warns(HiddenUnitWarning, match="saturated .* Standardise X"):
        SparseAutoencoderTransformer(random_state=0).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SparseAutoencoderTransformer(random_state=0).fit(StandardScaler().fit_transform(X))


@pytest.mark.parametrize("name", CASES)
def test_each_remedy_ends_its_warning(name):
    case, moons = CASES[name], make_moons(150, noise=0.2, random_state=0)[0]
    loaded = (load().data[:150] for load in (load_wine, load_iris, load_breast_cancer))
    for X in map(StandardScaler().fit_transform, (*loaded, moons)):
        messages = [message for message in case.before(X) if case.remedy in message]
        if messages:
            break
    assert messages, f"no fit warned of {name}"
    assert case.after(X, messages) == []


def test_remedies_suit_sparse_rows():
    """The scalers that keep zeros can be used, and rare features are not made large."""
    X = csr_array(np.abs(StandardScaler().fit_transform(load_wine().data)))
    with pytest.warns(DataRangeWarning, match="MaxAbsScaler"):
        SparseAutoencoderTransformer(5, output_activation="sigmoid", random_state=0).fit(X)
    with pytest.warns(UserWarning, match="MaxAbsScaler"):
        SparseAutoencoderTransformer(random_state=0).fit(1000 * X)
    with pytest.warns(ConvergenceWarning, match="Multiply X by"):
        SparseAutoencoderTransformer(random_state=0).fit(X / 1000)
    with pytest.warns(ConvergenceWarning, match="Lower alpha"):  # the output has to reach the data
        SparseAutoencoderTransformer(output_activation="sigmoid", random_state=0).fit(X / 1000)


@pytest.mark.parametrize(
    "settings", [{"max_features": 50}, {"max_features": 300}, {"analyzer": "char", "max_features": 200}]
)
def test_tf_idf_of_texts_is_too_small(settings):
    """All words share a variance below 1: defaults learn a part of it, in units that hardly vary."""
    texts = [inspect.getdoc(getattr(np, name)) for name in np.__all__ if callable(getattr(np, name))][:250]
    X = TfidfVectorizer(**settings).fit_transform(texts)
    with pytest.warns(UserWarning, match="Multiply X by ") as caught:
        SparseAutoencoderTransformer(random_state=0).fit(X)
    factor = float(re.search("Multiply X by ([0-9]+)", str(caught[0].message))[1])
    assert 3 <= factor <= 30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sae = SparseAutoencoderTransformer(random_state=0).fit(factor * X)
    assert explained_variance_scorer(sae, factor * X) > 0.5


def test_without_a_sparsity_term_beta_is_not_to_blame():
    settings = SparseAutoencoderTransformer(beta=0)
    objective = SimpleNamespace(lowest=np.zeros(10), highest=np.ones(10), mean=np.ones(10), deviation=np.ones(10))
    ((message, _),) = diagnosed(objective, settings, 10.0, np.ones(10))
    assert "Lower tol." in message


@pytest.mark.parametrize(("settings", "scaler"), [({}, StandardScaler), ({"output_activation": "relu"}, MinMaxScaler)])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_rows_far_from_zero_are_to_be_moved(settings, scaler, activation):
    """Years, or degrees in kelvin: their variance is no reason to scale them, but training comes to nothing."""
    X = np.random.default_rng(0).normal(size=(200, 6)) * [1, 2, 3, 1, 2, 3] + 1000
    sae = SparseAutoencoderTransformer(20, activation=activation, random_state=0, **settings)
    with pytest.warns(ConvergenceWarning, match=rf"explains .*\({scaler.__name__}\): its mean is \d+ standard dev"):
        sae.fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X = scaler().fit_transform(X)
        sae.fit(X)
    assert explained_variance_scorer(sae, X) > 0.8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_fill_their_range_are_multiplied(dtype):
    """Mostly zeros have a small variance in [0, 1] as well: MinMaxScaler would change nothing."""
    rng = np.random.default_rng(0)
    X = MinMaxScaler().fit_transform((rng.random((400, 50)) < 0.03) * rng.exponential(size=(400, 50))).astype(dtype)
    sae = SparseAutoencoderTransformer(output_activation="relu", random_state=0)
    with pytest.warns(ConvergenceWarning, match="Multiply X by 10"):
        sae.fit(X)
    with pytest.warns((ConvergenceWarning, HiddenUnitWarning), match="MinMaxScaler"):
        sae.fit(X * dtype(1e-25))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sae.fit(10 * X)
    assert explained_variance_scorer(sae, 10 * X) > 0.7


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_top_k_code_of_equal_rows(value, dtype):
    """A loss that is a rounding error rises and falls; a smaller step would not change that."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        TopKAutoencoderTransformer(16, k=2, random_state=0).fit(np.full((30, 4), value, dtype=dtype))
    assert [str(one.message)[:30] for one in caught] == ["All rows of X are the same, so"]


def test_a_loss_that_rises_from_nothing_has_settled():
    """A top-k autoencoder may begin with a perfect reconstruction; then dead units are the worst problem."""
    X = np.random.default_rng(0).normal(size=(400, 1))
    with pytest.warns(HiddenUnitWarning, match="Use n_components=8") as caught:
        sae = TopKAutoencoderTransformer(256, random_state=0).fit(X)
    assert len(caught) == 1
    assert sae.history_["fvu"][-1] > 1.3 * sae.history_["fvu"].min()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sae.set_params(n_components=8).fit(X)


def test_a_smaller_top_k_code_has_room_for_k_units():
    frequency, final = np.r_[np.zeros(4), np.full(60, 0.5)], {"fvu": 0.1, "loss": 1.0}
    for k, wanted in (8, 30), (32, 32):
        ((message, _),) = _diagnostics.diagnose_silent(frequency, final, SimpleNamespace(), k)
        assert f"n_components={wanted}" in message


def test_each_message_names_a_section_of_the_guide():
    guide = Path(__file__).parents[1] / "docs" / "guide" / "pitfalls.md"
    sections = re.findall("^## (.*)$", guide.read_text("utf-8"), re.M)
    source = "".join(path.read_text("utf-8") for path in [Path(_diagnostics.__file__), Path(model_selection.__file__)])
    named = re.findall(r'(?:advice\(cause, .*|\\)"([A-Z][^"\\]*|score [^"\\]*)\\?"(?:\)| in the)', source)
    assert len(named) >= 10
    assert set(named) <= set(sections)


@pytest.mark.filterwarnings("error")
def test_noise_explained_as_well_as_it_can_be_does_not_warn():
    X = np.random.default_rng(0).normal(size=(500, 50))
    SparseAutoencoderTransformer(1, random_state=0).fit(X)


@pytest.mark.plain
@quiet
def test_saturated_units_are_counted(digits):
    sae = short().fit(digits)
    sae.encoder_intercept_[:2] = 50
    sae.set_params(warm_start=True, beta=0, max_iter=1).fit(digits)
    assert sae.saturated_fraction_ == 2 / 8


@pytest.mark.plain
@pytest.mark.parametrize("output", [name for name, entry in ACTIVATIONS.items() if np.isfinite(entry.low)])
def test_data_outside_the_output_range_warn(cancer, output):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.warns(DataRangeWarning, match=f"output_activation='{output}'"):
            short(output_activation=output).fit(cancer)


@quiet
def test_data_inside_the_output_range_do_not_warn(digits):
    short(output_activation="sigmoid").fit(digits)
    short(output_activation="sigmoid").fit(digits * (1 + 1e-9))
    short(output_activation="relu").fit(10 * digits)
