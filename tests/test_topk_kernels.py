"""Kernels of top-k autoencoders against plain NumPy."""

import numba
import numpy as np
import pytest
import topk_reference as reference
from scipy.sparse import csr_array

from skl_sae._kernels import largest, picked, sizes
from skl_sae._kernels.structs import AdamState
from skl_sae._objectives import topk
from skl_sae._rows import as_rows
from skl_sae._topk_model import Code, Frame, architecture, decode, encode, errors_of_codes, network

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 3e-5, np.float64: 1e-11}

pytestmark = pytest.mark.plain


@numba.njit
def select_rows(Z, b, k, places, values, counts):
    search = largest.new_search(b, k)
    for i in range(Z.shape[0]):
        counts[i] = largest.select(Z[i], b, k, search, places[i], values[i])


@numba.njit
def add_picked(out, table, rows, factors, start, stop):
    picked.add_picked(out, table, rows, factors, start, stop)


def assert_selects(Z, b, k):
    """Compare a selection with a sort."""
    n, sums = len(Z), Z + b
    places, values, counts = np.zeros((n, k), np.int32), np.zeros((n, k), Z.dtype), np.zeros(n, np.int64)
    select_rows(Z.copy(), b, k, places, values, counts)
    for i in range(n):
        expected = reference.largest(sums[i], k)
        np.testing.assert_array_equal(places[i, : counts[i]], expected)
        np.testing.assert_array_equal(values[i, : counts[i]], sums[i][expected])


# -- selection -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "k"), [(1, 1), (5, 1), (5, 5), (10, 3), (64, 8), (70, 3), (200, 199), (1000, 20)])
def test_a_selection_is_that_of_a_sort(m, k, dtype, rng):
    Z, b = rng.normal(size=(30, m)).astype(dtype), rng.normal(size=m).astype(dtype)
    assert_selects(Z, b, k)
    assert_selects(Z - 2, b, k)  # few are positive
    assert_selects(np.round(2 * Z), np.round(b), k)  # many are equal
    assert_selects(Z * dtype(1e-30), b * dtype(1e-30), k)
    assert_selects(np.exp(8 * Z), 0 * b, k)


@pytest.mark.parametrize("dtype", DTYPES)
def test_selections_at_the_ends(dtype, rng):
    m, tiny, highest = 300, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    Z = rng.normal(size=(40, m)).astype(dtype)
    Z[0], Z[1], Z[2], Z[3], Z[4] = 0, -1, 1, np.inf, -np.inf
    Z[5, ::3], Z[6, ::2], Z[7, :7], Z[8, ::5] = np.inf, -np.inf, highest, tiny
    Z[9], Z[10] = np.where(np.arange(m) % 2, 0.0, -0.0), tiny
    for k in (1, 4, 100, m):
        assert_selects(Z, np.zeros(m, dtype), k)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_is_seen(dtype):
    z = np.ones(100, dtype)
    assert not largest.has_nan(z)
    for value in (np.nan, -np.nan, np.inf, -np.inf):
        z[37] = value
        with np.errstate(invalid="ignore"):
            assert largest.has_nan(z)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_threshold_is_that_of_a_sort(dtype, rng):
    numbers = np.sort(np.abs(rng.normal(size=50)).astype(dtype))[::-1]
    numbers[20:24] = numbers[20]
    bits = largest.as_bits(rng.permutation(numbers))
    for k in range(1, 51):
        for guess in (0, int(bits[0]), 2**62):
            threshold, n = largest.find_threshold(bits, k, 0, guess, dtype(1))
            assert n == np.count_nonzero(bits >= threshold) == np.count_nonzero(numbers >= numbers[k - 1])
            threshold, n = largest.find_threshold(bits, k, 5, guess, dtype(1))
            assert n == np.count_nonzero(bits >= threshold)
            assert k <= n <= k + 5


# -- sums of picked rows ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 7, 8, 16, 30, 100, 300, 785])
def test_sums_of_picked_rows(d, dtype, rng):
    table, vector = rng.normal(size=(40, d)).astype(dtype), rng.normal(size=d).astype(dtype)
    for n in (0, 1, 4, 5, 9):
        rows, factors = rng.integers(0, 40, n + 2).astype(np.int32), rng.normal(size=n + 2).astype(dtype)
        out, products = vector.copy(), np.zeros(n, dtype)
        add_picked(out, table, rows, factors, 1, n + 1)
        expected = vector + factors[1 : n + 1] @ table[rows[1 : n + 1]]
        np.testing.assert_allclose(out, expected, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])
        picked.dot_picked(vector, table, rows, n, products)
        np.testing.assert_allclose(products, table[rows[:n]] @ vector, rtol=1e-3, atol=100 * TOLERANCE[dtype])


# -- gradients -------------------------------------------------------------------------------------


def objective_of(X, model, weights=None, frame=None, batch_size=10**6, revives=False, crew=None):
    rows, (m, d) = as_rows(X), model.W.shape
    weights = np.ones(len(rows)) if weights is None else weights
    frame = Frame(np.zeros(d), 1.0) if frame is None else frame
    problem = rows, weights, architecture(d, m), Code(model.k, model.by_batch), frame, 1.0
    rng = np.random.RandomState(0)
    return topk.TopKObjective(*problem, batch_size=batch_size, revives=revives, rng=rng, crew=crew)


def adam_state(theta, learning_rate=0.01):
    return AdamState(np.zeros_like(theta), np.zeros_like(theta), 0, learning_rate, 0.9, 0.999, 1e-8)


def gradient_of(X, model, **settings):
    """The gradient of one batch, worked out from the averages of Adam, and the error."""
    theta = model.theta
    objective, state = objective_of(X, model, **settings), adam_state(theta)
    evaluation = objective.adam_epoch(theta, state, np.arange(X.shape[0]))
    return state.exp_avg / (1 - 0.9), evaluation


SHAPES = [(20, 7, 12, 3), (50, 33, 70, 5), (100, 4, 9, 9), (64, 130, 200, 16), (3, 1, 2, 1)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_gradient_is_the_formula(shape, by_batch, form, dtype, rng, monkeypatch):
    monkeypatch.setattr(sizes, "LEAST_WORK", 1)  # several blocks
    n, d, m, k = shape
    model, weights = reference.Model.random(rng, d, m, k, by_batch, dtype), rng.uniform(size=n)
    X = rng.normal(size=(n, d)).astype(dtype)
    X[0] = 0
    gradient, evaluation = gradient_of(X if form == "dense" else csr_array(X), model, weights=weights)
    shares, exact = weights / weights.sum(), model.at(model.theta.astype(np.float64))
    expected = exact.gradient(X.astype(np.float64), shares)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=30 * TOLERANCE[dtype] * np.abs(expected).max())
    assert evaluation.loss == pytest.approx(exact.loss(X, shares), rel=TOLERANCE[dtype] * 10)


@pytest.mark.parametrize("by_batch", [False, True])
def test_the_gradient_is_that_of_finite_differences(by_batch, rng):
    model, X = reference.Model.random(rng, 6, 10, 3, by_batch), rng.normal(size=(15, 6))
    gradient, _ = gradient_of(X, model)
    theta, weights, m, d = model.theta, np.full(15, 1 / 15), 10, 6
    slopes = np.zeros_like(theta)
    for i in range(theta.size):
        step = np.zeros_like(theta)
        step[i] = 1e-6
        difference = model.at(theta + step).loss(X, weights) - model.at(theta - step).loss(X, weights)
        slopes[i] = difference / 2e-6
    dV = slopes[m * d : 2 * m * d].reshape(m, d)
    dV -= np.sum(dV * model.V, axis=1, keepdims=True) * model.V
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


def test_equal_activations_of_a_batch(rng):
    """The first ones are active: those of the first rows, and within a row those of the first units."""
    model, X = reference.Model.random(rng, 5, 40, 4, True), np.ones((30, 5))
    model.W[:], model.b[:] = 1, np.where(np.arange(40) % 3, 0, 1)  # 14 units have 6, 26 have 5
    gradient, evaluation = gradient_of(X, model)
    np.testing.assert_allclose(gradient, model.gradient(X, np.full(30, 1 / 30)), rtol=1e-9, atol=1e-9)
    assert evaluation.active_units == pytest.approx(4)
    model.b[:] = -9
    assert gradient_of(X, model)[1].active_units == 0


def test_training_sees_rows_in_its_frame(rng):
    model, X = reference.Model.random(rng), rng.normal(size=(20, 7))
    frame = Frame(rng.normal(size=7), 3.0)
    gradient, evaluation = gradient_of(frame.scale * X + frame.centre, model, frame=frame)
    expected, plain = gradient_of(X, model)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    assert evaluation.loss == pytest.approx(9 * plain.loss)
    W, b, V, c = frame.outside(model.theta, architecture(7, 12))
    np.testing.assert_allclose(frame.inside(W, b, V, c), model.theta, rtol=1e-12, atol=1e-12)
    outside = reference.Model(W, V, b, c, 3)
    np.testing.assert_allclose(outside.encode(3 * X + frame.centre), 3 * model.encode(X), atol=1e-12)


def test_a_step_leaves_atoms_of_norm_one(rng):
    model, X = reference.Model.random(rng), rng.normal(size=(40, 7))
    theta = model.theta
    objective, state = objective_of(X, model, batch_size=8), adam_state(theta)
    first = objective.adam_epoch(theta, state, np.arange(40))
    V = model.at(theta).V
    np.testing.assert_allclose(np.linalg.norm(V, axis=1), 1, rtol=1e-12)
    for _ in range(30):
        last = objective.adam_epoch(theta, state, np.arange(40))
    assert last.loss < 0.5 * first.loss


def test_permuted_units_permute(rng):
    model, X, order = reference.Model.random(rng), rng.normal(size=(30, 7)), rng.permutation(12)
    permuted = reference.Model(model.W[order], model.V[order], model.b[order], model.c, 3)
    results = []
    for one in (model, permuted):
        theta = one.theta
        objective = objective_of(X, one, batch_size=10)
        objective.adam_epoch(theta, adam_state(theta), np.arange(30))
        results.append(one.at(theta))
    for name in "WVb":
        np.testing.assert_allclose(getattr(results[0], name)[order], getattr(results[1], name), rtol=1e-9, atol=1e-12)


# -- inference -------------------------------------------------------------------------------------


def network_of(model, threshold=None):
    return network(model.W, model.b, model.V, model.c, model.k, threshold)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES)
def test_codes_and_errors_are_those_of_the_reference(shape, form, dtype, rng):
    n, d, m, k = shape
    model, X = reference.Model.random(rng, d, m, k, dtype=dtype), rng.normal(size=(n, d)).astype(dtype)
    rows, net = as_rows(X if form == "dense" else csr_array(X)), network_of(model)
    codes = encode(net, rows)
    codes.check_format()
    tolerance = dict(rtol=1e-3, atol=30 * TOLERANCE[dtype])
    np.testing.assert_allclose(codes.toarray(), model.encode(X), **tolerance)
    np.testing.assert_allclose(decode(net, codes), model.decode(model.encode(X)), **tolerance)
    errors = ((model.decode(model.encode(X)) - X) ** 2).sum(axis=1)
    np.testing.assert_allclose(errors_of_codes(net, rows, codes), errors, **tolerance)


def test_all_units_are_relu(rng):
    model, X = reference.Model.random(rng, k=12), rng.normal(size=(30, 7))
    codes = encode(network_of(model), as_rows(X)).toarray()
    np.testing.assert_allclose(codes, np.maximum(X @ model.W.T + model.b, 0), atol=1e-12)


def test_codes_one_by_one_are_those_of_all(rng):
    model, X = reference.Model.random(rng, d=20, m=100, k=9), rng.normal(size=(600, 20))
    net = network_of(model)
    together = encode(net, as_rows(X)).toarray()
    single = np.concatenate([encode(net, as_rows(row[None])).toarray() for row in X[:50]])
    np.testing.assert_allclose(together[:50], single, rtol=1e-12, atol=1e-13)


def test_codes_above_a_threshold(rng):
    model, X = reference.Model.random(rng, d=20, m=100, k=9), rng.normal(size=(3000, 20))
    Z = X @ model.W.T + model.b
    codes = encode(network_of(model, 0.7), as_rows(X))
    np.testing.assert_allclose(codes.toarray(), np.where(Z >= 0.7, Z, 0), atol=1e-12)
    assert encode(network_of(model, np.inf), as_rows(X)).nnz == 0
