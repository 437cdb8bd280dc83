"""How exact the figures are: bounds on rounding, data in other units, long trainings."""

import numpy as np
import pytest
import reference
import rounding
from models import MODELS, layout_of, objective_of, unpacked
from scipy import sparse
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skl_sae import HiddenUnitWarning, SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer
from skl_sae._kernels.activations import HIDDEN_ACTIVATIONS
from skl_sae._objectives import FullBatchObjective, full_batch
from skl_sae._objectives.full_batch import SparseGramObjective
from skl_sae._solvers import SOLVERS

DTYPES = [np.float32, np.float64]
SMALL, LARGE = (40, 6, 5), (60, 120, 70)  # own loops, BLAS
GRAM = [model for model in MODELS if model[1] == "identity"]
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning")
more_precise = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="nothing here is more precise than float64"
)
precisions = [np.float32, pytest.param(np.float64, marks=more_precise)]


def problem(names, sizes, dtype, seed=0, scale=1.0):
    """A random model and data, both exact in ``dtype``."""
    (n, d, m), (activation, output, penalty, tied) = sizes, names
    rng = np.random.default_rng(seed)
    W, Wd, b, c = (
        (rng.normal(size=size) / np.sqrt(d)).astype(dtype).astype(np.float64) for size in [(m, d), (d, m), m, d]
    )
    X = (rng.uniform(size=(n, d)) * (rng.uniform(size=(n, d)) < 0.5) * scale).astype(dtype)
    settings = dict(activation=activation, output=output, penalty=penalty, rho=0.1, beta=3.0, alpha=0.01, tied=tied)
    return reference.Model(W, b, W.T if tied else Wd, c, **settings), X, rng.integers(1, 4, size=n).astype(float)


def evaluate(model, X, weights, dtype, gram=None, monkeypatch=None):
    """Terms of the loss and gradient (dW, db, dV, dc) by the package."""
    if gram == "sparse":
        objective = objective_of(SparseGramObjective, sparse.csr_array(X), weights, model)
    else:
        if gram is not None:
            monkeypatch.setattr(full_batch, "gram_wins", lambda arch, n: gram == "dense")
        objective = objective_of(FullBatchObjective, X, weights, model)
    theta = model.theta.astype(dtype)
    evaluation, gradient = objective.evaluate_gradient(theta)
    W, V, b, c = unpacked(gradient, layout_of(model)[0])
    return evaluation, (W, b, V, c), objective.evaluate(theta)


def assert_within(found, bounded):
    assert (np.abs(found - bounded.value) <= bounded.error).all()


def check_bounds(names, sizes, dtype, gram, monkeypatch):
    model, X, weights = problem(names, sizes, dtype)
    evaluation, gradient, final = evaluate(model, X, weights, dtype, gram, monkeypatch)
    terms, slopes = rounding.objective(model, X, weights, dtype, gram in ("dense", "sparse"))
    for name, bounded in zip(("reconstruction", "sparsity", "weight_decay"), terms, strict=True):
        assert_within(getattr(evaluation, name), bounded)
        assert_within(getattr(final, name), bounded)
    for found, bounded in zip(gradient, slopes, strict=True):
        assert_within(found, bounded)
    # The bounds are for the worst of cases; roundings nearly cancel.
    loss, unit = sum(term.value for term in terms), np.finfo(dtype).eps / 2
    assert abs(evaluation.loss - loss) < 100 * unit * loss
    for found, bounded in zip(gradient, slopes, strict=True):
        assert np.linalg.norm(found - bounded.value) < 100 * unit * np.linalg.norm(bounded.value)


@pytest.mark.parametrize("names", MODELS, ids=str)
@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=str)
@pytest.mark.parametrize("dtype", precisions)
def test_rounding_stays_within_its_bound(names, sizes, dtype, monkeypatch):
    check_bounds(names, sizes, dtype, "direct", monkeypatch)


@pytest.mark.parametrize(
    ("names", "gram"), [(m, g) for m in GRAM for g in ("dense", "sparse") if m[3] or g == "sparse"]
)
@pytest.mark.parametrize("dtype", precisions)
def test_rounding_of_the_gram_algebra_stays_within_its_bound(names, gram, dtype, monkeypatch):
    check_bounds(names, LARGE, dtype, gram, monkeypatch)


# -- other units -------------------------------------------------------------------------------------
#
# X -> s X. A code can stay as it is: W -> W / s, V -> s V, c -> s c, beta -> s² beta give s² times the error and the
# sparsity term; the decay becomes alpha (||W||² / s² + s² ||V||²), which no alpha compensates: alpha = 0, and weights
# that are not tied. A code whose activation scales, as ReLU does, can scale with the data: b -> s b, c -> s c,
# rho -> s rho, beta -> s^(2 - degree of the penalty) beta, alpha -> s² alpha and the same W and V give s² L.


def in_other_units(model, s):
    """The model that fits s X as ``model`` fits X, and the factors by which its gradient is larger."""
    settings = dict(activation=model.activation, output=model.output, penalty=model.penalty, tied=model.tied)
    if reference.scales(model.activation):
        power = 2 - reference.degree(model.penalty, model.activation)
        settings |= dict(rho=s * model.rho, beta=s**power * model.beta, alpha=s**2 * model.alpha)
        return reference.Model(model.W, s * model.b, model.Wd, s * model.c, **settings), (s**2, s, s**2, s)
    settings |= dict(rho=model.rho, beta=s**2 * model.beta, alpha=0.0)
    return reference.Model(model.W / s, model.b, s * model.Wd, s * model.c, **settings), (s**3, s**2, s, s)


@pytest.mark.parametrize(
    "names", [m for m in MODELS if reference.scales(m[1]) and (reference.scales(m[0]) or not m[3])], ids=str
)
@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=str)
@pytest.mark.parametrize("s", [1e-6, 1e6])
@pytest.mark.parametrize("dtype", DTYPES)
def test_data_in_other_units_have_a_matching_model(names, sizes, s, dtype):
    model, X, weights = problem(names, sizes, dtype)
    model.alpha = 0.01 if reference.scales(model.activation) else 0.0
    other, factors = in_other_units(model, s)
    one, gradient, _ = evaluate(model, X, weights, dtype)
    two, others, _ = evaluate(other, (s * X.astype(np.float64)).astype(dtype), weights, dtype)
    rtol = 1e-4 if dtype == np.float32 else 1e-12
    for name in ("loss", "reconstruction", "sparsity", "weight_decay"):
        np.testing.assert_allclose(getattr(two, name), s**2 * getattr(one, name), rtol=rtol, err_msg=name)
    for found, factor, desired in zip(others, factors, gradient, strict=True):
        np.testing.assert_allclose(found / factor, desired, rtol=rtol, atol=rtol * np.abs(desired).max())


@quiet
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("scale", [1e-6, 1e3, 1e6])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("load", [pytest.param(load_digits, marks=pytest.mark.slow), load_wine])
def test_a_fit_to_data_in_the_wrong_units_says_so(solver, scale, dtype, load):
    X = (StandardScaler().fit_transform(load().data)[:500] * scale).astype(dtype)
    with pytest.warns((ConvergenceWarning, HiddenUnitWarning), match="Standardise X"):
        SparseAutoencoderTransformer(20, solver=solver, random_state=0).fit(X)


@quiet
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_detector_takes_data_in_any_units(scale, dtype):
    X = load_wine().data.astype(dtype)
    scores, others = (
        SparseAutoencoderOutlierDetector(max_iter=50, random_state=0).fit(rows).score_samples(rows)
        for rows in (X, dtype(scale) * X)
    )
    np.testing.assert_array_equal(others, scores)


# -- long trainings ----------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_figures_do_not_drift(solver, activation):
    X = load_wine().data / load_wine().data.max(axis=0)
    sae = SparseAutoencoderTransformer(
        4, solver=solver, activation=activation, max_iter=3000, tol=0, n_iter_no_change=10**9, random_state=0
    ).fit(X)
    model = reference.Model.of(sae)
    terms = model.terms(X)
    np.testing.assert_allclose([sae.history_[name][-1] for name in terms._fields], terms, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sae.mean_activation_, model.encode(X).mean(axis=0), rtol=1e-10)
    if solver == "lbfgs":  # the last figure is added up in another order than those on the way
        assert (np.diff(sae.history_["loss"][:-1]) <= 0).all()
