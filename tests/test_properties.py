"""What holds for any data: properties of the objective that follow from its formula."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from models import MODELS, layout_of, objective_of, penalty_kind, unpacked

from skl_sae import SparseAutoencoderTransformer
from skl_sae._kernels.activations import HIDDEN_ACTIVATIONS
from skl_sae._kernels.penalties import PENALTIES, penalty_term
from skl_sae._objectives import FullBatchObjective
from skl_sae._solvers import SOLVERS

seeds = st.integers(0, 2**32 - 1)
models = st.sampled_from(MODELS)
few = settings(max_examples=60)


def problem(seed, model, n=12, d=5, m=4):
    """A random model, and data in [0, 1]."""
    rng = np.random.default_rng(seed)
    activation, output, penalty, tied = model
    W, Wd = rng.normal(size=(m, d)), rng.normal(size=(d, m))
    b, c = rng.normal(size=m) + (2.0 if activation == "relu" else 0.0), rng.normal(size=d)
    model = reference.Model(
        W, b, W.T if tied else Wd, c, activation=activation, output=output, rho=0.1, beta=2.0, alpha=0.01,
        penalty=penalty, tied=tied,
    )  # fmt: skip
    return model, rng.uniform(size=(n, d)), rng


def evaluate(model, X, weights=None):
    """L and its gradient as (W, b, Wd, c), by the package."""
    evaluation, gradient = objective_of(FullBatchObjective, X, weights, model).evaluate_gradient(model.theta)
    W, V, b, c = unpacked(gradient, layout_of(model)[0])
    return evaluation, (W, b, V.T, c)


def assert_close(actual, desired):
    np.testing.assert_allclose(actual, desired, rtol=1e-9, atol=1e-11)


@given(st.sampled_from(HIDDEN_ACTIVATIONS), st.floats(1e-6, 1 - 1e-6), st.floats(0, 1))
@settings(max_examples=300)
def test_sparsity_term_is_minimal_at_rho(activation, rho, mean):
    kind = penalty_kind("kl", activation)
    value, slope = penalty_term(kind, rho, mean)
    assert penalty_term(kind, rho, rho) == (0.0, 0.0)
    assert value >= 0
    assert slope * (mean - rho) >= 0


@given(
    st.sampled_from(HIDDEN_ACTIVATIONS), st.sampled_from(list(PENALTIES)), st.floats(1e-3, 0.99), st.floats(1e-12, 1),
    st.floats(1e-12, 1),
)  # fmt: skip
@settings(max_examples=300)
def test_sparsity_term_is_convex(activation, penalty, rho, one, other):
    kind = penalty_kind(penalty, activation)
    (low, slope), (high, _) = penalty_term(kind, rho, one), penalty_term(kind, rho, other)
    assert high >= low + slope * (other - one) - 1e-9 * (1 + abs(slope))


@given(seeds, models)
@few
def test_permuted_features_permute_the_weights(seed, names):
    model, X, rng = problem(seed, names)
    order = rng.permutation(X.shape[1])
    evaluation, (dW, db, dWd, dc) = evaluate(model, X)
    model.W, model.Wd, model.c = model.W[:, order], model.Wd[order], model.c[order]
    permuted, gradient = evaluate(model, X[:, order])
    assert_close(permuted, evaluation)
    for actual, desired in zip(gradient, (dW[:, order], db, dWd[order], dc[order]), strict=True):
        assert_close(actual, desired)


@given(seeds, models)
@few
def test_permuted_units_permute_the_weights(seed, names):
    model, X, rng = problem(seed, names)
    order = rng.permutation(len(model.b))
    evaluation, (dW, db, dWd, dc) = evaluate(model, X)
    model.W, model.b, model.Wd = model.W[order], model.b[order], model.Wd[:, order]
    permuted, gradient = evaluate(model, X)
    assert_close(permuted, evaluation)
    for actual, desired in zip(gradient, (dW[order], db[order], dWd[:, order], dc), strict=True):
        assert_close(actual, desired)


@given(seeds, models, st.integers(2, 4))
@few
def test_duplicated_rows_change_nothing(seed, names, times):
    model, X, _ = problem(seed, names)
    evaluation, gradient = evaluate(model, X)
    repeated, repeated_gradient = evaluate(model, np.repeat(X, times, axis=0))
    assert_close(repeated, evaluation)
    for actual, desired in zip(repeated_gradient, gradient, strict=True):
        assert_close(actual, desired)


@given(seeds, models)
@few
def test_a_weight_of_two_is_the_row_twice(seed, names):
    model, X, rng = problem(seed, names)
    counts = rng.integers(1, 4, size=len(X))
    weighted, gradient = evaluate(model, X, counts)
    repeated, repeated_gradient = evaluate(model, np.repeat(X, counts, axis=0))
    assert_close(weighted, repeated)
    for actual, desired in zip(gradient, repeated_gradient, strict=True):
        assert_close(actual, desired)


@given(seeds, st.sampled_from([m for m in MODELS if reference.scales(m[1]) and not m[3]]), st.floats(1e-3, 1e3))
@few
def test_scaled_data_scale_the_error_by_the_square(seed, names, scale):
    model, X, _ = problem(seed, names)
    evaluation, _ = evaluate(model, X)
    model.W, model.Wd, model.c = model.W / scale, scale * model.Wd, scale * model.c
    scaled, _ = evaluate(model, scale * X)
    assert_close(scaled.reconstruction / scale**2, evaluation.reconstruction)
    assert_close(scaled.sparsity, evaluation.sparsity)


@given(seeds, st.sampled_from(HIDDEN_ACTIVATIONS), st.sampled_from(list(SOLVERS)))
@settings(max_examples=15)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning")
def test_larger_beta_brings_the_mean_activation_nearer_to_rho(seed, activation, solver):
    X = np.random.default_rng(seed).normal(size=(80, 6)) * 3
    distances = []
    for beta in [0.01, 1.0, 100.0]:
        sae = SparseAutoencoderTransformer(
            5, beta=beta, activation=activation, solver=solver, max_iter=300, learning_rate_init=0.01, random_state=0
        ).fit(X)
        distances.append(np.abs(sae.mean_activation_ - sae.rho).mean())
    assert distances[0] > distances[1] > distances[2]
