"""What the transformer computes: the formula, the codes it learns, the same bits every time."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import reference
from fits import SOLVERS, assert_same_fit, quiet, short, weights_of
from models import objective_of
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skl_sae import SparseAutoencoderTransformer
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS

DTYPES = [np.float32, np.float64]


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data) / 16


@pytest.fixture(scope="module")
def cancer():
    return StandardScaler().fit_transform(load_breast_cancer().data)


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
def test_byte_order_of_a_data_frame_does_not_matter(digits):
    swapped = pd.DataFrame(digits.astype(">f4"))
    sae = short().fit(swapped)
    assert sae.encoder_coef_.dtype.isnative
    np.testing.assert_array_equal(sae.transform(swapped), sae.transform(digits.astype(np.float32)), strict=True)


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
    # The two sum in different orders, and L-BFGS amplifies the last digits from step to step.
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
def test_adam_on_images_with_a_report(load_data, capsys):
    """784-256-784, sigmoid, rho = 0.1, beta = 3, mini-batches of 100, with a report on the way."""
    X = load_data("mnist")["X_train"][:5000].reshape(5000, -1) / np.float32(255)
    sae = SparseAutoencoderTransformer(
        256, rho=0.1, beta=3, alpha=0, output_activation="sigmoid", solver="adam", max_iter=8, random_state=0, verbose=1
    ).fit(X)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["iteration", *"12345678", "final", "fitted"]
    assert all(word in printed[0] for word in ("seconds", "loss", "reconstruction", "sparsity", "mean activation"))
    assert -sae.score(X) < 0.4 * X.var(axis=0).sum()
    assert np.mean(sae.mean_activation_) == pytest.approx(0.1, abs=0.03)


@quiet
def test_lbfgs_with_a_relu_code(digits):
    """A ReLU code and a linear output over one flat vector; the output biases are trained as well."""
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


@quiet
def test_one_more_row_does_not_spoil_adam():
    """A last batch of one row would take a step with the mean activation of that row."""
    X = StandardScaler().fit_transform(load_digits().data)
    even, odd = (
        SparseAutoencoderTransformer(64, activation="relu", solver="adam", max_iter=60, random_state=0).fit(X[:n]).loss_
        for n in (1700, 1701)
    )
    assert odd < 1.1 * even


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


# -- processes and threads -------------------------------------------------------------------------


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
@pytest.mark.parametrize("solver", SOLVERS)
def test_small_fits_do_not_depend_on_the_threads_of_the_blas(digits, solver):
    fits = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fits.append(SparseAutoencoderTransformer(64, solver=solver, max_iter=20, random_state=0).fit(digits))
    assert_same_fit(*fits)


@pytest.mark.slow
def test_importing_compiles_nothing():
    code = (
        "import sys, skl_sae\n"
        "modules = [module for name, module in sys.modules.items() if name.startswith('skl_sae._kernels.')]\n"
        "compiled = [f for module in modules for f in vars(module).values() if hasattr(f, 'signatures')]\n"
        "assert compiled\n"
        "assert not any(f.signatures for f in compiled)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
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
for kernel in (evaluate.evaluate_steps, adam.adam_steps, inference.encode, inference.decode):
    assert len(kernel.signatures) == 1, kernel.signatures
"""
    subprocess.run([sys.executable, "-c", code], check=True)
