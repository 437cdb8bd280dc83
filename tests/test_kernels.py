"""Every kernel against plain NumPy, every gradient against finite differences."""

import functools

import numba
import numpy as np
import pytest
import reference
from models import MODELS, adam_state, objective_of, penalty_kind

from skl_sae._cache import KernelCache
from skl_sae._crew import count_blocks, over_blocks
from skl_sae._kernels import activations, adam, evaluate, inference, penalties, sizes
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._kernels.gemm import gemm
from skl_sae._kernels.groups import cut
from skl_sae._kernels.jit import as_readonly
from skl_sae._kernels.penalties import PENALTIES, penalty_term
from skl_sae._kernels.structs import Architecture
from skl_sae._objectives import FullBatchObjective, MiniBatchObjective, Objective, full_batch
from skl_sae._rows import as_rows

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-11}
NAMES = ("activation", "output", "penalty", "tied")

pytestmark = pytest.mark.plain


def random_model(rng, activation, output, tied, penalty="kl", d=7, m=5, beta=2.0, alpha=0.03):
    W, Wd = rng.normal(size=(m, d)) / 2, rng.normal(size=(d, m)) / 2
    b, c = rng.normal(size=m) / 2, rng.normal(size=d) / 2
    if activation == "relu":
        b += 1.0  # every unit active somewhere: the reference has no guard
    return reference.Model(
        W, b, W.T if tied else Wd, c, activation=activation, output=output, tied=tied, rho=0.15, beta=beta,
        alpha=alpha, penalty=penalty,
    )  # fmt: skip


@pytest.fixture
def small_blocks(monkeypatch):
    """Groups of blocks of 8 rows, in rounds of two.

    The codes of the first rows of a group are kept between the passes, others are computed twice.
    """
    monkeypatch.setattr(sizes, "ROWS_OF_BLOCK", 8)
    monkeypatch.setattr(sizes, "BLOCKS_OF_ROUND", 2)
    monkeypatch.setattr(sizes, "LEAST_WORK", 1)
    monkeypatch.setattr(sizes, "MOST_GROUPS", 4)
    monkeypatch.setattr(full_batch, "kept_codes", lambda n, row_size, X_size: min(n, 64))


@numba.njit
def multiply(transpose_a, A, transpose_b, B, accumulate, C):
    """The product as compiled code calls it: it has no compiled form of its own."""
    gemm(transpose_a, A, transpose_b, B, accumulate, C)


def random_rows(rng, n, d, dtype=np.float64):
    return rng.uniform(size=(n, d)).astype(dtype)


def assert_terms(evaluation, terms, rtol):
    np.testing.assert_allclose(evaluation[:4], terms, rtol=rtol)


def assert_slopes(gradient, objective, theta, *, rel, absolute):
    """Compare a gradient at theta with central differences of the objective, in float64."""
    for i in range(theta.size):
        step = np.zeros(theta.size)
        step[i] = 1e-6
        difference = objective.evaluate(theta + step).loss - objective.evaluate(theta - step).loss
        assert difference / 2e-6 == pytest.approx(gradient[i], rel=rel, abs=absolute)


# -- elementwise -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 3e-7), (np.float64, 6e-16)])
def test_sigmoid_is_accurate_to_the_last_digits(dtype, bound):
    z = np.linspace(-86, 86, 100_003).astype(dtype)
    exact = 1 / (1 + np.exp(-z.astype(np.longdouble)))
    activations.activate(activations.SIGMOID, z)
    assert np.max(np.abs(z - exact) / exact) < bound


@pytest.mark.parametrize(("exp", "dtype", "ends"), [(activations._exp_float32, np.float32, (-87, 88)),
                                                    (activations._exp_float64, np.float64, (-708, 709))])  # fmt: skip
def test_exponentials_without_fused_operations(exp, dtype, ends):
    """As plain Python computes them, and processors without fused operations."""
    x = np.linspace(*ends, 2001).astype(dtype)
    np.testing.assert_allclose([exp(z) for z in x], np.exp(x), rtol=2 * np.finfo(dtype).eps)
    assert [exp(dtype(z)) for z in (-np.inf, np.inf)] == pytest.approx(np.exp(ends), rel=1e-6)
    assert np.isnan(exp(dtype(np.nan)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_at_the_ends(name, dtype):
    z = np.array([-np.inf, -1e30, -800, -1e-30, 0, 1e-30, 800, 1e30, np.inf], dtype=dtype)
    expected = reference.FORWARD[name](z)
    y = z.copy()
    activations.activate(ACTIVATIONS[name].kind, y)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_hand_on_nan(name, dtype):
    z = np.full(33, np.nan, dtype=dtype)
    activations.activate(ACTIVATIONS[name].kind, z)
    assert np.isnan(z).all()


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("rho", [1e-4, 0.1, 0.7])
def test_a_penalty_is_the_formula(activation, penalty, rho):
    kind = penalty_kind(penalty, activation)
    value, slope = reference.PENALTY[penalty](activation)
    for mean in [1e-5, 0.05, rho, 0.5, 0.999]:
        expected = value(rho, mean), slope(rho, mean)
        np.testing.assert_allclose(penalty_term(kind, rho, mean), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("rho", [1e-200, 1e-6, 0.1, 0.9, 1 - 1e-11])
def test_divergence_is_finite_and_points_to_rho_at_the_ends(activation, rho):
    entry = ACTIVATIONS[activation]
    highest = min(entry.high, 1e12)
    for mean in [0.0, 1e-30 * rho, 1e-12 * rho, highest * (1 - 1e-12), highest]:
        if mean == rho:
            continue
        value, slope = penalty_term(penalty_kind("kl", activation), rho, mean)
        assert np.isfinite(value)
        assert value > 0
        assert np.isfinite(slope)
        assert np.sign(slope) == np.sign(mean - rho)


def test_a_penalty_without_a_branch_makes_a_fit_diverge():
    assert np.isnan(penalty_term(10**6, 0.1, 0.2)).all()


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_divergence_is_smooth_where_the_guard_begins(activation):
    kind, rho = penalty_kind("kl", activation), 0.1
    edges = [penalties.GUARD * rho]
    if ACTIVATIONS[activation].high == 1:
        edges.append(1 - penalties.GUARD * (1 - rho))
    for edge in edges:
        step = edge * 1e-9 if edge < 0.5 else 1e-15
        below, above = (np.array(penalty_term(kind, rho, edge + s)) for s in (-step, step))
        np.testing.assert_allclose(below, above, rtol=1e-6)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_divergence_goes_on_as_its_tangent(activation):
    entry, rho = ACTIVATIONS[activation], 0.1
    value, slope = reference.DIVERGENCE[activation]
    edges = [(1e-6 * rho, 1e-8 * rho), (1e-6 * rho, 0.0)]
    if entry.high == 1:
        edges += [(1 - 1e-6 * (1 - rho), 1 - 1e-8 * (1 - rho)), (1 - 1e-6 * (1 - rho), 1.0)]
    for edge, mean in edges:
        expected = value(rho, edge) + slope(rho, edge) * (mean - edge), slope(rho, edge)
        np.testing.assert_allclose(penalty_term(penalty_kind("kl", activation), rho, mean), expected, rtol=1e-9)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="compilation is switched off")
def test_kernels_are_cached_and_release_the_gil():
    for kernel in (evaluate.evaluate_steps, adam.adam_steps, inference.encode, inference.decode, inference.moments):
        assert kernel.targetoptions["nogil"]
        assert isinstance(kernel._cache, KernelCache)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (1, 5, 3), (4, 1, 2), (17, 33, 70)])
def test_products_of_parts_of_matrices(m, n, k, transpose_a, transpose_b, dtype, rng):
    def part(rows, columns):
        return rng.normal(size=(rows + 2, columns + 3)).astype(dtype)[1:-1, 2:-1]

    A = part(k, m).T if transpose_a else part(m, k)
    B = part(n, k).T if transpose_b else part(k, n)
    C, expected = part(m, n), A.astype(np.float64) @ B
    beside = np.concatenate([C.base[0], C.base[-1], C.base[:, 0], C.base[:, -1]])
    before = C.copy()
    for accumulate, product in [(True, before + expected), (False, expected)]:
        multiply(transpose_a, A.T if transpose_a else A, transpose_b, B.T if transpose_b else B, accumulate, C)
        np.testing.assert_allclose(C, product, rtol=TOLERANCE[dtype], atol=100 * TOLERANCE[dtype])
    np.testing.assert_array_equal(beside, np.concatenate([C.base[0], C.base[-1], C.base[:, 0], C.base[:, -1]]))


@pytest.mark.parametrize(("n", "parts"), [(1, 1), (31, 1), (100, 2), (1000, 8), (7, 3), (64, 2), (65, 2)])
def test_parts_cover_everything_once(n, parts):
    cuts = [cut(q, n, parts) for q in range(parts + 1)]
    assert cuts[0] == 0
    assert cuts[-1] == n
    assert (np.diff(cuts) > 0).all()
    assert np.ptp(np.diff(cuts)) <= 16


# -- objective -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(NAMES, MODELS)
def test_loss_and_gradient_agree_with_the_reference(activation, output, penalty, tied, dtype, rng):
    model = random_model(rng, activation, output, tied, penalty)
    X, weights = random_rows(rng, 23, 7, dtype), rng.uniform(size=23)
    theta = model.theta.astype(dtype)
    model.theta = theta.astype(np.float64)
    objective = objective_of(FullBatchObjective, X, weights, model)
    evaluation, gradient = objective.evaluate_gradient(theta)
    expected = model.flatten(*model.gradient(X.astype(np.float64), weights))
    assert gradient.dtype == dtype
    assert_terms(evaluation, model.terms(X.astype(np.float64), weights), TOLERANCE[dtype])
    np.testing.assert_allclose(gradient, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert_terms(objective.evaluate(theta), model.terms(X.astype(np.float64), weights), TOLERANCE[dtype])


@pytest.mark.parametrize(NAMES, MODELS)
def test_gradient_agrees_with_finite_differences(activation, output, penalty, tied, rng):
    model = random_model(rng, activation, output, tied, penalty)
    objective = objective_of(FullBatchObjective, random_rows(rng, 19, 7), np.ones(19), model)
    theta = model.theta
    gradient = objective.evaluate_gradient(theta)[1].copy()
    assert_slopes(gradient, objective, theta, rel=1e-6, absolute=1e-7)


@pytest.mark.parametrize(NAMES, MODELS)
def test_gradient_of_float32_agrees_with_finite_differences_of_float64(activation, output, penalty, tied, rng):
    model = random_model(rng, activation, output, tied, penalty)
    X = random_rows(rng, 19, 7, np.float32)
    theta = model.theta.astype(np.float32)
    gradient = objective_of(FullBatchObjective, X, None, model).evaluate_gradient(theta)[1]
    exact = objective_of(Objective, X.astype(np.float64), None, model)
    assert_slopes(gradient, exact, theta, rel=1e-4, absolute=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 64, 65, 161])
@pytest.mark.parametrize("tied", [False, True])
def test_blocks_change_nothing(n, tied, dtype, small_blocks, rng):
    model = random_model(rng, "sigmoid", "identity", tied)
    X, weights = random_rows(rng, n, 7, dtype), rng.uniform(0.5, 1, size=n)
    theta = model.theta.astype(dtype)
    objective = objective_of(FullBatchObjective, X, weights, model)
    evaluation, gradient = objective.evaluate_gradient(theta)
    expected = model.flatten(*model.gradient(X.astype(np.float64), weights))
    assert_terms(evaluation, model.terms(X.astype(np.float64), weights), TOLERANCE[dtype])
    np.testing.assert_allclose(gradient, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    np.testing.assert_allclose(objective.evaluate(theta), evaluation, rtol=1e-6 if dtype == np.float32 else 1e-12)


def gram_objective(X, weights, model):
    """The objective with the Gram algebra, whatever the sizes are."""
    return objective_of(full_batch.GramObjective, X, weights, model)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [23, 161])
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_gram_algebra_agrees_with_the_reference(activation, n, dtype, small_blocks, rng):
    model = random_model(rng, activation, "identity", True)
    X, weights = random_rows(rng, n, 7, dtype), rng.uniform(0.5, 1, size=n)
    theta = model.theta.astype(dtype)
    model.theta = theta.astype(np.float64)
    evaluation, gradient = gram_objective(X, weights, model).evaluate_gradient(theta)
    expected = model.flatten(*model.gradient(X.astype(np.float64), weights))
    assert_terms(evaluation, model.terms(X.astype(np.float64), weights), TOLERANCE[dtype])
    np.testing.assert_allclose(gradient, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_gram_algebra_is_chosen_where_it_saves_products():
    rows = as_rows(np.zeros((300, 200)))
    arch = Architecture(200, 90, True, ACTIVATIONS["sigmoid"].kind, ACTIVATIONS["identity"].kind)
    chosen = [arch, arch._replace(tied=False), arch._replace(n_components=110), arch._replace(n_components=10)]
    kinds = [full_batch.CHOICES["dense"](rows, one) for one in chosen]
    assert kinds == [full_batch.GramObjective, FullBatchObjective, FullBatchObjective, FullBatchObjective]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_gradient_of_the_gram_algebra_agrees_with_finite_differences(activation, dtype, rng):
    model = random_model(rng, activation, "identity", True)
    X, theta = random_rows(rng, 19, 7, dtype), model.theta.astype(dtype)
    gradient = gram_objective(X, np.ones(19), model).evaluate_gradient(theta)[1]
    exact = objective_of(Objective, X.astype(np.float64), None, model)
    rel, absolute = (1e-4, 2e-5) if dtype == np.float32 else (1e-6, 1e-7)
    assert_slopes(gradient, exact, theta, rel=rel, absolute=absolute)


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-4), (np.float64, 1e-11)])
def test_gram_algebra_stays_accurate_where_the_reconstruction_is_good(dtype, bound, rng):
    """The terms of the error cancel: the better the fit, the more digits go. Here 99 % of the variance is explained."""
    d, m, n = 60, 20, 3000
    V, _ = np.linalg.qr(rng.normal(size=(d, m)))
    X = (1 + rng.normal(size=(n, m)) @ V.T + 0.05 * rng.normal(size=(n, d))).astype(dtype)
    model = reference.Model(
        V.T, np.full(m, 3.0), V, X.mean(axis=0) - 3 * V.sum(axis=1) - V @ (V.T @ X.mean(axis=0)), activation="relu",
        output="identity", tied=True, rho=0.1, beta=0.0, alpha=0.0,
    )  # fmt: skip
    theta = model.theta.astype(dtype)
    model.theta = theta.astype(np.float64)
    evaluation, gradient = gram_objective(X, np.ones(n), model).evaluate_gradient(theta)
    rows = X.astype(np.float64)
    assert evaluation.reconstruction < 0.02 * X.var(axis=0).sum()
    assert evaluation.reconstruction == pytest.approx(model.terms(rows).reconstruction, rel=bound)
    expected = model.flatten(*model.gradient(rows))
    assert np.linalg.norm(gradient - expected) < bound * np.linalg.norm(V.T @ np.cov(rows.T))


@pytest.mark.parametrize("dtype", DTYPES)
def test_moments(dtype, rng):
    X, weights = (1000 + rng.normal(size=(2500, 7))).astype(dtype), rng.uniform(0.5, 1, size=2500)
    X[0, :2], weights[0] = [1e7, 1e30], 1e-70  # a wild row that hardly counts must not cost digits
    mean, variance = as_rows(X).moments(weights)
    rows, share = X.astype(np.float64), weights / weights.sum()
    np.testing.assert_allclose(mean, share @ rows, rtol=1e-13)
    np.testing.assert_allclose(variance, share @ (rows - share @ rows) ** 2, rtol=1e-10)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_evaluation_leaves_the_statistics_of_the_units(activation, rng):
    model = random_model(rng, activation, "identity", False)
    X = random_rows(rng, 2500, 7)
    objective = objective_of(Objective, X, None, model)
    objective.evaluate(model.theta)
    H = model.encode(X)
    np.testing.assert_allclose(objective.mean, H.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(objective.lowest, H.min(axis=0), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(objective.highest, H.max(axis=0), rtol=1e-12)
    np.testing.assert_allclose(objective.deviation, H.std(axis=0), rtol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("output", ACTIVATIONS)
def test_encode_and_decode_agree_with_the_reference(activation, output, dtype, rng):
    model = random_model(rng, activation, output, False)
    X = as_readonly(random_rows(rng, 2 * sizes.BLOCK_ROWS + 3, 7, dtype))  # as the package hands them over
    H, Y = np.empty((len(X), 5), dtype), np.empty_like(X)
    W, b, V, c = (as_readonly(part.astype(dtype)) for part in (model.W, model.b, model.Wd.T, model.c))
    kinds = ACTIVATIONS[activation].kind, ACTIVATIONS[output].kind
    finite = np.zeros((2, count_blocks(len(X), 7, 5)), bool)
    over_blocks(functools.partial(inference.encode, X, W, b, kinds[0], H, finite[0]), len(X), 7, 5)
    over_blocks(functools.partial(inference.decode, as_readonly(H), V, c, kinds[1], Y, finite[1]), len(X), 7, 5)
    assert finite.all()
    expected = model.encode(X.astype(np.float64))
    np.testing.assert_allclose(H, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    np.testing.assert_allclose(Y, model.decode(expected), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    errors = np.empty(len(X), dtype)
    over_blocks(functools.partial(inference.square_errors, X, (W, b, V, c, *kinds), errors), len(X), 7, 5)
    square = np.sum((model.decode(expected) - X) ** 2, axis=1)
    np.testing.assert_allclose(errors, square, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


# -- mini-batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("shared", ["rows", "units"])
@pytest.mark.parametrize(NAMES, MODELS)
def test_adam_epoch_agrees_with_the_reference(
    activation, output, penalty, tied, shared, noise, dtype, monkeypatch, rng
):
    monkeypatch.setattr(sizes, "count_groups", lambda n, d, m: 3)
    monkeypatch.setattr(sizes, "count_pieces", lambda m: 3)
    monkeypatch.setattr(sizes, "shares_units", lambda n, d, m: shared == "units")
    model = random_model(rng, activation, output, tied, penalty)
    n, batch_size = 50, 16  # four batches of 12 and 13
    X, weights, order = random_rows(rng, n, 7, dtype), rng.uniform(0.5, 1, size=n), rng.permutation(n)
    objective = objective_of(
        MiniBatchObjective, X, weights, model, batch_size=batch_size, noise=noise, rng=np.random.default_rng(5)
    )
    theta = model.theta.astype(dtype)
    state = adam_state(theta)
    evaluation = objective.adam_epoch(theta, state, order)

    noise_rng, first, second = np.random.default_rng(5), 0.0, 0.0
    rows, reconstruction, mean = X.astype(np.float64), 0.0, 0.0
    for t in range(1, 5):
        batch = order[(t - 1) * n // 4 : t * n // 4]
        inputs = rows[batch]
        if noise:
            inputs = inputs + noise * noise_rng.standard_normal((len(batch), 7))
        w = weights[batch] / weights.sum()
        error = np.sum((model.decode(model.encode(inputs)) - rows[batch]) ** 2, axis=1)
        reconstruction += w @ error
        mean += w @ model.encode(inputs)
        gradient = model.flatten(*model.gradient(rows[batch], weights[batch], inputs))
        model.theta, first, second = reference.adam_step(model.theta, gradient, first, second, t, 0.01)

    rtol = 50 * TOLERANCE[dtype]
    np.testing.assert_allclose(theta, model.theta, rtol=rtol, atol=rtol)
    sparsity = model.beta * reference.PENALTY[penalty](activation)[0](model.rho, mean).sum()
    assert evaluation.reconstruction == pytest.approx(reconstruction, rel=rtol)
    assert evaluation.sparsity == pytest.approx(sparsity, rel=rtol)
    assert evaluation.weight_decay == pytest.approx(model.terms(rows).weight_decay, rel=rtol)
    assert evaluation.mean_activation == pytest.approx(mean.mean(), rel=rtol)


@pytest.mark.parametrize(("n", "batch_size"), [(10, 100), (100, 100), (101, 100), (1701, 100), (7, 3), (5, 1)])
def test_batches_are_of_nearly_equal_size(n, batch_size, rng):
    """A short batch would take a full step with the mean activation of a few rows."""
    model = random_model(rng, "sigmoid", "identity", False)
    X = random_rows(rng, n, 7)
    objective = objective_of(MiniBatchObjective, X, np.ones(n), model, batch_size=batch_size, noise=0.0, rng=rng)
    bounds = [k * n // objective.n_batches for k in range(objective.n_batches + 1)]
    sizes = np.diff(bounds)
    assert sizes.sum() == n
    assert sizes.max() <= batch_size
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_one_batch_may_be_larger_than_a_block(noise, small_blocks, rng):
    model = random_model(rng, "sigmoid", "identity", False)
    X, order = random_rows(rng, 161, 7), rng.permutation(161)
    objective = objective_of(
        MiniBatchObjective, X, np.ones(161), model, batch_size=10**9, noise=noise, rng=np.random.default_rng(5)
    )
    theta = model.theta
    state = adam_state(theta)
    evaluation = objective.adam_epoch(theta, state, order)
    assert objective.n_batches == 1
    if noise:
        inputs = X[order] + noise * np.random.default_rng(5).standard_normal((161, 7))
    else:
        inputs = X[order]
        assert evaluation[1:3] == pytest.approx(model.terms(X)[1:3], rel=1e-12)
    gradient = model.flatten(*model.gradient(X[order], inputs=inputs))
    expected, _, _ = reference.adam_step(model.theta, gradient, 0.0, 0.0, 1, 0.01)
    np.testing.assert_allclose(theta, expected, rtol=1e-9, atol=1e-9)
