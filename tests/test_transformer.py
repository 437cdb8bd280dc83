"""What a user of scikit-learn expects of the transformer, and what the issue of its formula promises."""

import pickle
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import reference
from models import objective_of
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from threadpoolctl import threadpool_limits

from skl_sae import DataRangeWarning, DivergenceError, HiddenUnitWarning, SparseAutoencoderTransformer
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._solvers import LBFGS

DTYPES = [np.float32, np.float64]
SOLVERS = ["lbfgs", "adam"]

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning")


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data) / 16


@pytest.fixture(scope="module")
def cancer():
    return StandardScaler().fit_transform(load_breast_cancer().data)


def short(**parameters):
    """An estimator that is trained for a moment only."""
    return SparseAutoencoderTransformer(**{"n_components": 8, "max_iter": 15, "random_state": 0} | parameters)


def weights_of(estimator):
    names = ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_"]
    return [getattr(estimator, name) for name in names]


def assert_same_fit(one, other):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in one.history_:
        np.testing.assert_array_equal(one.history_[name], other.history_[name])


# -- the formula -----------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("tied", [False, True])
def test_attributes_follow_from_the_fitted_weights(digits, solver, activation, output, tied, early_stopping, dtype):
    parameters = dict(solver=solver, activation=activation, output_activation=output, tied_weights=tied)
    sae = short(**parameters, early_stopping=early_stopping, alpha=1e-3).fit(digits.astype(dtype))
    model = reference.Model.of(sae)
    rtol = 1e-10 if dtype == np.float64 else 1e-4
    for name, value in model.terms(digits)._asdict().items():
        if not early_stopping:  # which rows were held out is not known here
            assert sae.history_[name][-1] == pytest.approx(value, rel=rtol)
    assert sae.loss_ == sae.history_["loss"][-1]
    total = sum(sae.history_[name] for name in ("reconstruction", "sparsity", "weight_decay"))
    np.testing.assert_allclose(sae.history_["loss"], total, rtol=1e-12)
    assert {len(entries) for entries in sae.history_.values()} == {sae.n_iter_}
    assert ("validation_loss" in sae.history_) == early_stopping
    if not early_stopping:
        np.testing.assert_allclose(sae.mean_activation_, model.encode(digits).mean(axis=0), rtol=rtol, atol=1e-7)
    assert sae.history_["mean_activation"][-1] == pytest.approx(sae.mean_activation_.mean(), rel=1e-6)
    np.testing.assert_allclose(sae.transform(digits), model.encode(digits), rtol=1e-6, atol=1e-6)
    codes = model.encode(digits)
    np.testing.assert_allclose(sae.inverse_transform(codes), model.decode(codes), rtol=1e-6, atol=1e-6)
    errors = model.squared_error(digits)
    np.testing.assert_allclose(sae.reconstruction_error(digits, per_feature=True), errors, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sae.reconstruction_error(digits), errors.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(sae.score_samples(digits), -sae.reconstruction_error(digits))
    assert sae.score(digits) == pytest.approx(-errors.sum(axis=1).mean(), rel=1e-6)
    if tied:
        np.testing.assert_array_equal(sae.decoder_coef_, sae.encoder_coef_.T)


@quiet
@pytest.mark.parametrize("dtype", [*DTYPES, np.int64, np.uint8, ">f4", ">f8"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_dtypes(digits, solver, dtype):
    X = (16 * digits).astype(dtype)
    expected = np.float32 if dtype in (np.float32, ">f4") else np.float64
    sae = short(solver=solver, alpha=0.0).fit(X)
    assert {w.dtype for w in [*weights_of(sae), sae.mean_activation_, sae.components_]} == {np.dtype(expected)}
    outputs = [
        sae.transform(X),
        sae.inverse_transform(sae.transform(X)),
        sae.reconstruction_error(X),
        sae.reconstruction_error(X, per_feature=True),
        sae.score_samples(X),
    ]
    assert {output.dtype for output in outputs} == {np.dtype(expected)}
    assert isinstance(sae.score(X), float)
    assert isinstance(sae.loss_, float)
    assert sae.transform(X.astype(np.float32)).dtype == np.float32
    assert sae.components_ is sae.encoder_coef_


@quiet
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "parameters", [{}, {"solver": "adam"}, {"solver": "adam", "noise": 0.1}, {"early_stopping": True}]
)
def test_same_random_state_same_bits(digits, parameters, dtype):
    X = digits.astype(dtype)
    one, other = (short(**parameters).fit(X) for _ in range(2))
    assert_same_fit(one, other)
    seeded = short(**parameters, n_components=8).set_params(random_state=1).fit(X)
    assert not np.array_equal(one.encoder_coef_, seeded.encoder_coef_)


@quiet
@pytest.mark.parametrize("solver", SOLVERS)
def test_layout_of_x_changes_nothing(digits, solver):
    expected = short(solver=solver).fit(digits)
    frozen = digits.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + digits.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(digits.shape)
    assert not unaligned.flags.aligned
    for X in [np.asfortranarray(digits), digits[::-1][::-1], frozen, unaligned, digits.tolist()]:
        assert_same_fit(short(solver=solver).fit(X), expected)
        np.testing.assert_array_equal(expected.transform(X), expected.transform(digits))


@quiet
def test_x_is_left_alone(digits):
    X = digits.copy()
    for solver in SOLVERS:
        short(solver=solver, noise=0.1 * (solver == "adam")).fit(X).score_samples(X)
    np.testing.assert_array_equal(X, digits)


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_defaults_give_a_sparse_useful_code(cancer, solver, activation):
    sae = SparseAutoencoderTransformer(solver=solver, activation=activation, random_state=0).fit(cancer)
    assert np.abs(sae.mean_activation_ - sae.rho).max() < 0.05
    assert -sae.score(cancer) < 0.1 * cancer.var(axis=0).sum()
    codes = sae.transform(cancer)
    assert np.mean(codes < 0.05) > 0.3
    assert sae.dead_fraction_ == sae.saturated_fraction_ == sae.constant_fraction_ == 0


@pytest.mark.parametrize("parameters", [{}, {"tied_weights": True}])
def test_lbfgs_is_as_good_as_scipy_on_the_naive_objective(load_data, parameters):
    from scipy.optimize import minimize

    from skl_sae._model import architecture, initial_parameters

    budget = 40
    X = load_data("mnist")["X_train"][:500].reshape(500, -1) / 255
    sae = SparseAutoencoderTransformer(
        25, beta=3, alpha=1e-3, max_iter=budget, tol=0, random_state=3, output_activation="sigmoid", **parameters
    )
    with pytest.warns(ConvergenceWarning, match="max_iter=40"):
        sae.fit(X)
    model = reference.Model.of(sae)
    functions = ACTIVATIONS[sae.activation], ACTIVATIONS[sae.output_activation]
    rng = np.random.RandomState(3)
    start = initial_parameters(architecture(sae, 784, 25), X.mean(axis=0), X.dtype, *functions, sae.rho, rng)
    options = {"maxiter": budget, "ftol": 0, "gtol": 0, "maxfun": 10**6}
    naive = minimize(model.loss_and_gradient, start, (X,), method="L-BFGS-B", jac=True, options=options)
    assert naive.nit == sae.n_iter_ == budget
    # The two sum in another order, and L-BFGS amplifies the last digits from step to step.
    assert sae.loss_ <= naive.fun * (1 + 1e-6)


def test_published_objective(load_data):
    """The UFLDL weights on MNIST: J_ufldl = 12.2110331637, 12.1961252654 on the first 10000; L is twice that."""
    from skl_sae._objectives import Objective

    images, weights = load_data("mnist")["X_train"], load_data("ufldl_reference_weights")
    X = np.ascontiguousarray(images.transpose(0, 2, 1).reshape(-1, 784) / 255)
    parts = (weights[f"mnist_{name}"].astype(np.float64) for name in ("W1", "b1", "W2", "b2"))
    model = reference.Model(*parts, activation="sigmoid", output="sigmoid", rho=0.1, beta=6.0, alpha=3e-3)
    for rows, expected in [(60000, 24.4220663274), (10000, 2 * 12.1961252654)]:
        found = objective_of(Objective, X[:rows], None, model).evaluate(model.theta)
        assert found.loss == pytest.approx(expected, rel=1e-9)


@quiet
def test_adam_program_of_the_mission(load_data, capsys):
    """784-256-784, sigmoid, rho = 0.1, beta = 3, mini-batches of 100, with a report as it goes."""
    X = load_data("mnist")["X_train"][:5000].reshape(5000, -1) / np.float32(255)
    sae = SparseAutoencoderTransformer(
        256, rho=0.1, beta=3, alpha=0, output_activation="sigmoid", solver="adam", max_iter=8, random_state=0, verbose=1
    ).fit(X)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 9
    assert all(word in line for line in printed for word in ("loss", "reconstruction", "sparsity", "mean activation"))
    assert -sae.score(X) < 0.4 * X.var(axis=0).sum()
    assert np.mean(sae.mean_activation_) == pytest.approx(0.1, abs=0.03)


@quiet
def test_lbfgs_program_of_the_mission(digits):
    """A ReLU code and a linear output over one flat vector; b' is trained, unlike in the listing."""
    sae = SparseAutoencoderTransformer(64, activation="relu", max_iter=200, random_state=0).fit(digits)
    assert -sae.score(digits) < 0.1 * digits.var(axis=0).sum()
    assert np.all(sae.decoder_intercept_[digits.var(axis=0) > 0] != 0)


@quiet
def test_noise_trains_a_denoiser(digits):
    noisy = digits + 0.3 * np.random.default_rng(1).standard_normal(digits.shape)
    settings = dict(n_components=64, solver="adam", max_iter=150, random_state=0, batch_size=50)
    plain, denoising = (SparseAutoencoderTransformer(noise=noise, **settings).fit(digits) for noise in (0, 0.3))

    def error(sae):
        return np.mean((sae.inverse_transform(sae.transform(noisy)) - digits) ** 2)

    assert error(denoising) < 0.9 * error(plain)


@pytest.mark.plain
@quiet
@pytest.mark.parametrize("solver", SOLVERS)
def test_early_stopping_keeps_the_best_weights(solver):
    X = np.random.default_rng(0).normal(size=(60, 20))  # nothing to learn: the held-out loss soon rises
    settings = dict(n_components=40, solver=solver, learning_rate_init=0.02, random_state=0, n_iter_no_change=15)
    sae = SparseAutoencoderTransformer(early_stopping=True, validation_fraction=0.3, alpha=0, **settings).fit(X)
    losses = sae.history_["validation_loss"]
    assert sae.n_iter_ < sae.max_iter
    assert losses[-1] == pytest.approx(losses[:-1].min(), rel=1e-12)
    assert np.argmin(losses[:-1]) < sae.n_iter_ - 2  # the weights that were kept are not the last ones


@pytest.mark.plain
@quiet
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_goes_on(digits, solver):
    sae = short(solver=solver, warm_start=True).fit(digits)
    first = sae.loss_
    sae.fit(digits)
    assert sae.loss_ < first
    cold = short(solver=solver).fit(digits)
    assert cold.loss_ == cold.fit(digits).loss_ == first


@pytest.mark.plain
@quiet
def test_adam_start_is_adam_and_then_lbfgs(digits):
    settings = dict(n_components=12, random_state=0, tol=0, learning_rate_init=0.01)
    both = SparseAutoencoderTransformer(adam_start=3, max_iter=4, **settings).fit(digits)
    steps = SparseAutoencoderTransformer(solver="adam", max_iter=3, **settings).fit(digits)
    np.testing.assert_array_equal(both.history_["loss"][:2], steps.history_["loss"][:2])
    steps.set_params(solver="lbfgs", max_iter=4, warm_start=True).fit(digits)
    np.testing.assert_allclose(both.encoder_coef_, steps.encoder_coef_, rtol=1e-9)  # rows in another order
    np.testing.assert_allclose(both.history_["loss"][3:], steps.history_["loss"][3:], rtol=1e-12)
    assert both.n_iter_ == len(both.history_["loss"]) == 7


@quiet
def test_adam_start_with_early_stopping_keeps_the_best_weights_of_both(digits):
    settings = dict(early_stopping=True, random_state=0, tol=0, learning_rate_init=0.01)
    sae = SparseAutoencoderTransformer(12, adam_start=5, max_iter=20, **settings).fit(digits)
    held_out = sae.history_["validation_loss"]
    assert len(held_out) == sae.n_iter_
    assert held_out[-1] == pytest.approx(held_out.min(), rel=1e-12)


@quiet
def test_warm_start_takes_the_dtype_of_the_new_data(digits):
    sae = short(warm_start=True).fit(digits)
    before = sae.loss_
    sae.fit(digits.astype(np.float32))
    assert sae.encoder_coef_.dtype == np.float32
    assert sae.loss_ < before


@pytest.mark.plain
@quiet
def test_warm_start_refuses_another_shape(digits):
    sae = short(warm_start=True).fit(digits)
    with pytest.raises(ValueError, match="n_components=9"):
        sae.set_params(n_components=9).fit(digits)
    with pytest.raises(ValueError, match="8 features"):
        sae.set_params(n_components=8).fit(digits[:, :8])
    with pytest.raises(ValueError, match="tied_weights=True"):
        sae.set_params(tied_weights=True).fit(digits)
    assert sae.n_features_in_ == 64


@pytest.mark.plain
@pytest.mark.parametrize("solver", SOLVERS)
def test_iteration_limit_warns_with_advice(digits, solver):
    with pytest.warns(ConvergenceWarning, match="max_iter=8.*increase max_iter or tol"):
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


def test_no_warning_when_the_loss_settles(digits):
    sae = short(max_iter=1000).fit(digits)
    assert 15 < sae.n_iter_ < 1000


@pytest.mark.plain
@quiet
@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (1, 10 + 1 + 1), (2, 25 + 1)])
def test_verbose(digits, capsys, verbose, lines):
    short(verbose=verbose, max_iter=25).fit(digits)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == lines
    if lines:
        assert re.fullmatch(
            r"iteration 1: loss [\d.]+, reconstruction [\d.]+, sparsity .*, mean activation .*", printed[0]
        )
        assert printed[-1].startswith("fitted after 25 iterations: loss")


def test_a_perfect_start_is_one_iteration():
    """Constant data, no penalties, and the output bias is the answer: L-BFGS has nothing to do."""
    X = np.zeros((5, 3))
    with pytest.warns(HiddenUnitWarning, match="collapsed"):
        sae = SparseAutoencoderTransformer(2, beta=0, alpha=0, output_activation="relu", random_state=0).fit(X)
    assert sae.n_iter_ >= 1
    assert len(sae.history_["loss"]) == sae.n_iter_


@quiet
def test_without_shuffle_the_rows_are_met_in_order(digits):
    """Two batches, full ones: the order inside a batch does not count, the order of the batches does."""
    settings = dict(solver="adam", batch_size=100, max_iter=1)
    swapped = np.concatenate([digits[100:200], digits[:100]])
    inside = np.concatenate([digits[:100][::-1], digits[100:200][::-1]])
    plain, same, other = (
        short(shuffle=False, **settings).fit(X).encoder_coef_ for X in (digits[:200], inside, swapped)
    )
    np.testing.assert_allclose(same, plain, rtol=1e-6)
    assert np.abs(other - plain).max() > 1e-5
    assert np.abs(short(shuffle=True, **settings).fit(digits[:200]).encoder_coef_ - plain).max() > 1e-5


@quiet
def test_one_more_row_does_not_spoil_adam():
    """A rest of one row would take a step with the mean activation of that row."""
    X = StandardScaler().fit_transform(load_digits().data)
    even, odd = (
        SparseAutoencoderTransformer(64, activation="relu", solver="adam", max_iter=60, random_state=0).fit(X[:n]).loss_
        for n in (1700, 1701)
    )
    assert odd < 1.1 * even


@quiet
def test_early_stopping_keeps_the_start_if_that_was_best(digits):
    sae = SparseAutoencoderTransformer(16, solver="adam", early_stopping=True, random_state=0, max_iter=200).fit(digits)
    before = sae.encoder_coef_
    sae.set_params(warm_start=True, learning_rate_init=5.0, max_iter=5).fit(digits)
    np.testing.assert_array_equal(sae.encoder_coef_, before)


@quiet
@pytest.mark.parametrize("solver", SOLVERS)
def test_small_fits_do_not_depend_on_the_threads_of_the_blas(digits, solver):
    fits = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fits.append(SparseAutoencoderTransformer(64, solver=solver, max_iter=20, random_state=0).fit(digits))
    assert_same_fit(*fits)


# -- health of the units, divergence ---------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_collapsed_codes_are_reported(digits):
    with pytest.warns(HiddenUnitWarning, match="collapsed"):
        sae = SparseAutoencoderTransformer(10, alpha=10.0, random_state=0).fit(digits)
    assert sae.constant_fraction_ == 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_dead_units_are_reported(digits):
    sae = short(activation="relu", max_iter=1000).fit(digits)
    sae.encoder_intercept_[:3] = -1e3
    sae.set_params(warm_start=True, max_iter=3)
    with pytest.warns(HiddenUnitWarning, match="Of 8 hidden units, 3 are dead .* 0 others"):
        sae.fit(digits)
    assert sae.dead_fraction_ == 3 / 8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_dense_code_is_reported():
    with pytest.warns(HiddenUnitWarning, match="The code is not sparse.*Standardise X"):
        SparseAutoencoderTransformer(random_state=0).fit(MinMaxScaler().fit_transform(load_breast_cancer().data))


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


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.float32, 4e37), (np.float32, 1e20), (np.float64, 2e307), (np.float64, 1e160)]
)
def test_divergence_is_an_error_that_leaves_the_earlier_fit(digits, solver, dtype, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sae = short(solver=solver).fit(digits.astype(dtype))
    before = {name: np.copy(value) for name, value in vars(sae).items() if name.endswith("_") and name != "history_"}
    huge = np.random.default_rng(0).choice([-1, 1], (20, 3)).astype(dtype) * dtype(scale)
    with pytest.raises(DivergenceError, match="Scale the data"):
        sae.fit(huge)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(sae, name), value)
    assert sae.transform(digits).shape == (len(digits), 8)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_largest_numbers_diverge_without_a_warning_of_numpy(rng, early_stopping):
    X = np.where(rng.random((40, 5)) < 0.5, 1, -1) * np.finfo(np.float32).max
    with pytest.raises(DivergenceError):
        short(early_stopping=early_stopping).fit(X.astype(np.float32))


def test_a_learning_rate_that_is_too_large_diverges_loudly(digits):
    with pytest.raises(DivergenceError, match="learning_rate_init"):
        short(solver="adam", activation="relu", learning_rate_init=1e20).fit(digits.astype(np.float32))


@pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning")
def test_a_loss_that_rises_warns(digits):
    sae = short(solver="adam", max_iter=1000, tol=1e-2, activation="relu").fit(digits)
    sae.set_params(learning_rate_init=0.1, warm_start=True, batch_size=10**6, max_iter=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae.fit(digits)
    assert any(re.search("The loss rose from .*; lower learning_rate_init", str(w.message)) for w in caught)


@pytest.mark.plain
@pytest.mark.parametrize("output", ["sigmoid", "relu"])
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


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.array([[1.0, np.nan], [0, 1]]), ValueError, "NaN"),
        (np.array([[1.0, np.inf], [0, 1]]), ValueError, "infinity"),
        (np.array([["a", "b"], ["c", "d"]]), ValueError, "could not convert string to float"),
        (np.empty((0, 3)), ValueError, "0 sample"),
        (np.empty((3, 0)), ValueError, "0 feature"),
        (np.ones((1, 3)), ValueError, "1 sample.* minimum of 2"),
        (np.ones(3), ValueError, "Expected 2D array"),
        (np.ones((2, 2, 2)), ValueError, "dim 3"),
        (np.ones((4, 2)) * 1j, ValueError, "Complex data not supported"),
    ],
    ids=["nan", "inf", "strings", "no rows", "no features", "one row", "1-d", "3-d", "complex"],
)
def test_bad_x(X, error, message, digits):
    with pytest.raises(error, match=message):
        SparseAutoencoderTransformer().fit(X)


@pytest.mark.plain
@quiet
def test_bad_x_after_fit(digits):
    sae = short().fit(digits)
    for method in [sae.transform, sae.reconstruction_error, sae.score_samples, sae.score]:
        with pytest.raises(ValueError, match="X has 3 features, but SparseAutoencoderTransformer is expecting 64"):
            method(np.ones((2, 3)))
        with pytest.raises(ValueError, match="NaN"):
            method(np.full((2, 64), np.nan))
    with pytest.raises(ValueError, match=r"X has 3 features.*codes of 8 features"):
        sae.inverse_transform(np.ones((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        sae.inverse_transform(np.full((2, 8), np.nan))
    assert sae.transform(digits[:1]).shape == (1, 8)


@quiet
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_results_that_overflow_are_refused(digits, dtype):
    X, highest = digits.astype(dtype), np.finfo(dtype).max
    sae = short(activation="relu").fit(X)
    row = np.where(sae.encoder_coef_[:1] > 0, highest, 0).astype(dtype)
    for method in [sae.transform, sae.reconstruction_error, sae.score_samples, sae.score]:
        with pytest.raises(ValueError, match=f"overflow {np.dtype(dtype)}. Scale"):
            method(row)
    with pytest.raises(ValueError, match="squared errors overflow"):
        sae.reconstruction_error(2 * np.sqrt(highest) * np.ones((2, 64), dtype), per_feature=True)
    sae.decoder_coef_ = np.full_like(sae.decoder_coef_, 2)
    with pytest.raises(ValueError, match="reconstructions overflow"):
        sae.inverse_transform(np.full((1, 8), highest, dtype))


@quiet
def test_byte_order_of_a_data_frame_does_not_matter(digits):
    swapped = pd.DataFrame(digits.astype(">f4"))
    sae = short().fit(swapped)
    assert sae.encoder_coef_.dtype.isnative
    np.testing.assert_array_equal(sae.transform(swapped), sae.transform(digits.astype(np.float32)), strict=True)


@pytest.mark.plain
@pytest.mark.parametrize("method", ["transform", "inverse_transform", "reconstruction_error", "score_samples", "score"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError):
        getattr(SparseAutoencoderTransformer(), method)(np.ones((2, 2)))


@pytest.mark.plain
@pytest.mark.parametrize(
    "parameters",
    [
        {"n_components": 0},
        {"n_components": 2.5},
        {"rho": 0},
        {"rho": -0.1},
        {"rho": 1.0},
        {"rho": 2.0},
        {"rho": np.nan},
        {"rho": 0.0, "activation": "relu"},
        {"beta": -1},
        {"beta": "3"},
        {"alpha": -1e-3},
        {"activation": "identity"},
        {"activation": "tanh"},
        {"output_activation": "softmax"},
        {"tied_weights": "yes"},
        {"solver": "sgd"},
        {"batch_size": 0},
        {"learning_rate_init": 0},
        {"shuffle": "no"},
        {"max_iter": 0},
        {"tol": -1},
        {"n_iter_no_change": 0},
        {"early_stopping": 3},
        {"validation_fraction": 1.0},
        {"noise": -1},
        {"noise": 0.1, "solver": "lbfgs"},
        {"warm_start": 2},
        {"random_state": "seed"},
        {"verbose": -1},
    ],
    ids=str,
)
def test_bad_parameters(parameters, digits):
    name, value = next(iter(parameters.items()))
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        SparseAutoencoderTransformer(**parameters).fit(digits)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("name", ["rho", "beta", "alpha", "learning_rate_init", "tol", "noise"])
def test_infinite_parameters(name, digits):
    with pytest.raises(ValueError, match=name):
        SparseAutoencoderTransformer(solver="adam", **{name: np.inf}).fit(digits)


@pytest.mark.plain
def test_early_stopping_needs_rows():
    with pytest.raises(ValueError, match=r"validation_fraction=0\.9 leaves 1 of 10 samples"):
        SparseAutoencoderTransformer(early_stopping=True, validation_fraction=0.9).fit(np.eye(10))


@quiet
def test_relu_allows_any_positive_rho(digits):
    sae = short(activation="relu", rho=2.0, max_iter=300).fit(digits)
    np.testing.assert_allclose(sae.mean_activation_, 2.0, atol=0.2)


@quiet
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).normal(size=(30, 1)),
        np.ones((5, 4)),
        np.zeros((5, 4)),
        np.eye(2),
        np.ones((4, 3)) * 1e-300,
    ],
    ids=["one feature", "constant", "zero", "two rows", "tiny"],
)
def test_poor_data_give_finite_results(X, solver):
    sae = short(solver=solver).fit(X)
    assert np.isfinite(sae.transform(X)).all()
    assert np.isfinite(sae.score_samples(X)).all()


# -- life in a process -----------------------------------------------------------------------------


@pytest.mark.plain
@quiet
@pytest.mark.parametrize("tied", [False, True])
def test_pickle_and_clone(digits, tied):
    sae = short(tied_weights=tied).fit(digits)
    again = pickle.loads(pickle.dumps(sae))
    assert_same_fit(again, sae)
    np.testing.assert_array_equal(again.transform(digits), sae.transform(digits))
    np.testing.assert_array_equal(again.score_samples(digits), sae.score_samples(digits))
    fresh = clone(sae)
    assert fresh.get_params() == sae.get_params()
    assert not hasattr(fresh, "encoder_coef_")
    assert not hasattr(fresh, "components_")


@quiet
@pytest.mark.parametrize("solver", SOLVERS)
def test_fits_in_threads_are_those_of_a_row(digits, solver):
    def fit(seed):
        sae = short(solver=solver, random_state=seed, n_components=40).fit(digits)
        return sae, sae.score_samples(digits)

    serial = [fit(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for (sae, scores), (expected, expected_scores) in zip(pool.map(fit, [0, 1, 2, 3] * 3), serial * 3, strict=True):
            assert_same_fit(sae, expected)
            np.testing.assert_array_equal(scores, expected_scores)


@quiet
@pytest.mark.parametrize("X", [np.full((5, 3), 1e300), np.array([[np.nan, 1], [1, 1]])])
def test_a_failed_first_fit_leaves_nothing_behind(X):
    sae = SparseAutoencoderTransformer(beta=0)
    X = X * np.random.default_rng(0).choice([-1, 1], X.shape)
    before = dict(vars(sae))
    with pytest.raises(ValueError, match=r"NaN|diverged"):
        sae.fit(X)
    assert vars(sae) == before


@quiet
def test_a_failed_refit_leaves_what_the_earlier_fit_computes(digits):
    sae = short().fit(digits)
    expected = sae.transform(digits)
    with pytest.raises(ValueError, match="NaN"):
        sae.set_params(activation="relu", output_activation="relu").fit(np.full((3, 2), np.nan))
    np.testing.assert_array_equal(sae.transform(digits), expected)
    with pytest.raises(ValueError, match=r"activation='sigmoid'.*with 'relu'"):
        sae.set_params(warm_start=True).fit(digits)


@pytest.mark.plain
@quiet
def test_an_interrupted_fit_leaves_the_earlier_one(digits, monkeypatch):
    sae = short().fit(digits)
    expected = sae.transform(digits)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(LBFGS, "minimise", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sae.fit(digits[:, :5])
    monkeypatch.undo()
    np.testing.assert_array_equal(sae.transform(digits), expected)


def test_importing_compiles_nothing():
    code = (
        "import sys, skl_sae\n"
        "modules = [module for name, module in sys.modules.items() if name.startswith('skl_sae._kernels.')]\n"
        "compiled = [f for module in modules for f in vars(module).values() if hasattr(f, 'signatures')]\n"
        "assert compiled\n"
        "assert not any(f.signatures for f in compiled)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_compilation_serves_every_kind_of_array(tmp_path):
    """Read-only and memory-mapped data, as joblib's workers get them, compile nothing more."""
    code = f"""
import numpy as np, pickle, warnings
from skl_sae import SparseAutoencoderTransformer
from skl_sae._kernels import adam, evaluate, inference
warnings.simplefilter("ignore")
X = np.random.default_rng(0).uniform(size=(50, 4))
np.save({str(tmp_path / "x.npy")!r}, X)
mapped = np.load({str(tmp_path / "x.npy")!r}, mmap_mode="r")
frozen = X.copy()
frozen.flags.writeable = False
for rows in (X, frozen, mapped, np.asfortranarray(X), X[::-1]):
    for solver in ("lbfgs", "adam"):
        sae = SparseAutoencoderTransformer(3, solver=solver, max_iter=2).fit(rows)
        sae = pickle.loads(pickle.dumps(sae))
        sae.score_samples(rows), sae.inverse_transform(sae.transform(rows))
for kernel in (evaluate.evaluate_gradient, adam.adam_epoch, inference.encode, inference.decode):
    assert len(kernel.signatures) == 1, kernel.signatures
"""
    subprocess.run([sys.executable, "-c", code], check=True)
