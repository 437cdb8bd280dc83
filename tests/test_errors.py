"""Errors: what they say, and that a fit that fails or is interrupted changes nothing."""

import re
import warnings

import numpy as np
import pytest
from fits import SOLVERS, quiet, short
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skl_sae import DivergenceError, SparseAutoencoderTransformer
from skl_sae._kernels.activations import HIDDEN_ACTIVATIONS
from skl_sae._solvers import LBFGS


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data) / 16


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


@pytest.mark.plain
@quiet
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, csr_array], ids=["C", "F", "csr"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_found(value, layout, activation, digits):
    """Wherever it is, with any activation, which may hide an infinite input, and any sign of the weights."""
    sae = short(activation=activation).fit(digits)
    sae.encoder_coef_ = -np.abs(sae.encoder_coef_)
    for row, feature in [(0, 0), (len(digits) // 2, 63), (len(digits) - 1, 5)]:
        X = digits.copy()
        X[row, feature] = value
        for method in [sae.transform, sae.score_samples, sae.score]:
            with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
                method(layout(X))


@quiet
def test_a_unit_that_overflows_unseen_is_refused(digits):
    """The activation of such a unit is 0 or 1: the code looks as if nothing had happened."""
    X = digits.astype(np.float32)
    sae = short().fit(X)
    row = np.where(sae.encoder_coef_[:1] > 0, np.finfo(X.dtype).max, 0).astype(X.dtype)
    with pytest.raises(ValueError, match="codes overflow"):
        sae.transform(row)


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


# -- divergence ------------------------------------------------------------------------------------


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


# -- failed and interrupted fits -------------------------------------------------------------------


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
