"""Fits that continue, in chunks or after an interrupt."""

import pickle
import warnings

import numpy as np
import pytest
from fits import SOLVERS, assert_same_fit, memories, quiet, short, weights_of
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skl_sae import DivergenceError, SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, _training
from skl_sae._objectives import FullBatchObjective, MiniBatchObjective, Objective
from skl_sae._solvers import monitor

pytestmark = quiet


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data[:600]) / 16


# -- warm starts and chunks ------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"noise": 0.1}, {"shuffle": False}, {"batch_size": 1000}])
def test_two_fits_of_adam_are_one_that_is_longer(digits, parameters):
    settings = dict(solver="adam", tol=0, **parameters)
    whole = short(**settings, max_iter=8).fit(digits)
    parts = short(**settings, max_iter=3, warm_start=True).fit(digits)
    parts = pickle.loads(pickle.dumps(parts)).set_params(max_iter=5).fit(digits)
    for one, other in zip(weights_of(whole), weights_of(parts), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.n_iter_ == parts.n_iter_ == 8
    np.testing.assert_array_equal(np.delete(whole.history_["loss"], 2), np.delete(parts.history_["loss"], 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("parameters", [{}, {"tied_weights": True}, {"activation": "relu"}, {"adam_start": 4}])
def test_two_fits_of_lbfgs_are_one_that_is_longer(digits, parameters, dtype):
    digits, settings = digits.astype(dtype), dict(tol=0, **parameters)
    whole = short(**settings, max_iter=40).fit(digits)
    parts = short(**settings, max_iter=15, warm_start=True).fit(digits)
    parts = pickle.loads(pickle.dumps(parts)).set_params(max_iter=25).fit(digits)
    for one, other in zip(weights_of(whole), weights_of(parts), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.n_iter_ == parts.n_iter_
    n = parts.n_iter_ - 26  # the last iteration of the first fit is evaluated over all rows at once
    np.testing.assert_array_equal(np.delete(whole.history_["loss"], n), np.delete(parts.history_["loss"], n))


@pytest.mark.plain
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_continues_exactly(digits, solver):
    whole = short(solver=solver, tol=0, max_iter=6).fit(digits)
    parts = short(solver=solver, tol=0, max_iter=3, warm_start=True).fit(digits)
    parts = pickle.loads(pickle.dumps(parts)).fit(digits)
    np.testing.assert_array_equal(parts.encoder_coef_, whole.encoder_coef_)


def test_lbfgs_begins_anew_after_steps_of_adam(digits):
    sae = short(warm_start=True).fit(digits)
    assert memories(sae)["lbfgs"]["pairs"]
    assert memories(sae.partial_fit(digits)).keys() == {"adam"}
    assert memories(sae.fit(digits).partial_fit(digits.astype(np.float32)).fit(digits))["lbfgs"]["pairs"]


def test_a_path_over_beta_starts_from_the_last_fit(digits):
    sae = short(warm_start=True, max_iter=100)
    for beta in [0.1, 1.0, 10.0]:
        before = sae.fit(digits).loss_
        sae.set_params(beta=beta)
    assert np.isfinite(before)
    np.testing.assert_array_less(np.abs(sae.mean_activation_ - sae.rho), 0.1)


def test_held_out_rows_stay_held_out(digits, monkeypatch):
    seen = []
    split = _training.train_test_split
    monkeypatch.setattr(_training, "train_test_split", lambda *rows, **kw: seen.append(split(*rows, **kw)) or seen[-1])
    sae = short(early_stopping=True, warm_start=True).fit(digits).fit(digits)
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert sae.n_iter_ == len(sae.history_["validation_loss"])


def test_a_fit_goes_on_from_the_fitted_weights_also_after_early_stopping(digits):
    settings = dict(solver="adam", learning_rate_init=0.05, tied_weights=True)
    sae = short(early_stopping=True, warm_start=True, max_iter=30, **settings).fit(digits[:40])
    before = sae.encoder_coef_
    sae.set_params(learning_rate_init=1e-12, tied_weights=False, max_iter=1).fit(digits[:40])
    np.testing.assert_allclose(sae.encoder_coef_, before, atol=1e-9)
    assert sae.history_["validation_loss"].size == sae.n_iter_


def test_estimators_do_not_share_random_numbers(digits):
    ours, other = (short(solver="adam", random_state=None, warm_start=True).fit(digits) for _ in range(2))
    assert ours._training["rng"].randint(10**9) != other._training["rng"].randint(10**9)
    shared = np.random.RandomState(0)
    sae = short(solver="adam", random_state=shared, warm_start=True).fit(digits)
    before = pickle.dumps(sae._training["rng"].get_state())
    shared.randint(10)
    assert pickle.dumps(sae._training["rng"].get_state()) == before


def test_chunks_are_epochs_of_adam(digits):
    parts = short()
    for _ in range(4):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(digits)))
    whole = short(solver="adam", max_iter=4, tol=0).fit(digits)
    for one, other in zip(weights_of(whole), weights_of(parts), strict=True):
        np.testing.assert_array_equal(one, other)
    assert parts.n_iter_ == 4
    assert parts.loss_ == whole.loss_
    assert parts.dead_fraction_ == whole.dead_fraction_


@pytest.mark.parametrize("as_sparse", [False, True])
def test_chunks_teach(digits, as_sparse):
    sae = SparseAutoencoderTransformer(30, batch_size=50, learning_rate_init=0.01, random_state=0)
    for _ in range(10):
        for chunk in np.array_split(digits, 3):
            sae.partial_fit(sparse.csr_matrix(chunk) if as_sparse else chunk)
    assert -sae.score(digits) < 0.6 * digits.var(axis=0).sum()
    assert sae.n_iter_ == len(sae.history_["loss"]) == 30


@pytest.mark.plain
def test_chunks_after_a_fit_and_of_a_single_row(digits):
    sae = short().fit(digits)
    before = sae.encoder_coef_
    sae.partial_fit(digits[:1], sample_weight=[0.5])
    assert (sae.encoder_coef_ != before).any()
    assert sae.n_iter_ == 16
    with pytest.raises(ValueError, match="64 features"):
        sae.partial_fit(digits[:, :5])


def test_a_chunk_that_fails_changes_nothing(digits):
    sae = short().partial_fit(digits)
    before = pickle.dumps(sae)
    with pytest.raises(DivergenceError):
        sae.set_params(learning_rate_init=1e200).partial_fit(digits)
    assert_same_fit(sae, pickle.loads(before))
    np.testing.assert_array_equal(memories(sae)["adam"]["exp_avg"], memories(pickle.loads(before))["adam"]["exp_avg"])


# -- interrupts ------------------------------------------------------------------------------------


def interrupt(*arguments, **settings):
    raise KeyboardInterrupt


def interrupt_after(monkeypatch, solver, calls, late=False):
    """Raise KeyboardInterrupt in a later call of the objective, before its work or (``late``) after it."""
    owner, name = {
        "full_batch": (FullBatchObjective, "evaluate_gradient"),
        "mini_batch": (MiniBatchObjective, "adam_epoch"),
    }[SOLVERS[solver].objective]
    work, left = getattr(owner, name), iter(range(calls))

    def interrupted(*arguments):
        last = next(left, None) is None
        if last and not late:
            raise KeyboardInterrupt
        result = work(*arguments)
        if last:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.plain
@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interrupt_leaves_everything_as_it_was(digits, solver, monkeypatch):
    sae = short(solver=solver)
    interrupt_after(monkeypatch, solver, 5)
    with pytest.raises(KeyboardInterrupt):
        sae.fit(digits)
    assert not hasattr(sae, "encoder_coef_")


@pytest.mark.plain
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_with_a_warm_start_an_interrupt_loses_no_iteration(digits, solver, late, monkeypatch):
    sae = short(solver=solver, warm_start=True, max_iter=10, tol=0, noise=0.1 * (solver == "adam"))
    with monkeypatch.context() as patch:
        interrupt_after(patch, solver, 6, late)
        with pytest.raises(KeyboardInterrupt, match="last iteration are kept"):
            sae.fit(digits)
    finished = sae.n_iter_
    assert 3 <= finished <= 6
    assert not hasattr(sae, "dead_fraction_")
    settings = dict(solver=solver, tol=0, noise=sae.noise)
    part, whole = (short(**settings, max_iter=max_iter).fit(digits) for max_iter in (finished, 10))
    np.testing.assert_array_equal(sae.transform(digits), part.transform(digits))
    sae.set_params(max_iter=10 - finished).fit(digits)
    assert sae.n_iter_ == 10
    np.testing.assert_array_equal(sae.encoder_coef_, whole.encoder_coef_)


@pytest.mark.parametrize("solver", SOLVERS)
def test_with_a_warm_start_an_interrupt_of_the_last_evaluation_loses_nothing(digits, solver, monkeypatch):
    sae = short(solver=solver, warm_start=True, max_iter=10, tol=0)
    with monkeypatch.context() as patch:
        patch.setattr(Objective, "evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt, match="last iteration are kept"):
            sae.fit(digits)
    whole = short(solver=solver, max_iter=10, tol=0).fit(digits)
    assert sae.n_iter_ == len(sae.history_["loss"]) == 10
    np.testing.assert_array_equal(sae.transform(digits), whole.transform(digits))


@pytest.mark.plain
@pytest.mark.parametrize(("owner", "name"), [(monitor.Monitor, "_row"), (monitor, "_print_row")])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_with_a_warm_start_an_interrupt_splits_no_iteration(digits, solver, early_stopping, owner, name, monkeypatch):
    """History, weights and memory of the solver belong together, before and after an iteration enters the history."""
    settings = dict(solver=solver, early_stopping=early_stopping, tol=0, warm_start=True)
    sae, work, left = short(**settings, max_iter=10, verbose=2), getattr(owner, name), iter(range(5))

    def interrupted(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return work(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt, match="last iteration are kept"):
            sae.fit(digits)
    other = short(**settings, max_iter=sae.n_iter_).fit(digits)
    np.testing.assert_array_equal(sae.encoder_coef_, other.encoder_coef_)
    for one in sae, other:
        one.set_params(max_iter=4, verbose=0).fit(digits)
    np.testing.assert_array_equal(sae.encoder_coef_, other.encoder_coef_)


def test_a_warning_that_was_made_an_error_leaves_everything_as_it_was(digits):
    sae = short().fit(digits)
    before = sae.encoder_coef_
    warnings.simplefilter("error")  # pytest undoes it
    with pytest.raises(ConvergenceWarning):
        sae.set_params(random_state=1).fit(digits)
    assert sae.encoder_coef_ is before


def test_a_detector_is_interrupted_as_a_whole(digits, monkeypatch):
    detector = SparseAutoencoderOutlierDetector(warm_start=True)
    interrupt_after(monkeypatch, "lbfgs", 5)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(digits)
    assert not hasattr(detector, "encoder_coef_")
