"""Fits that go on, that are watched, weighted, interrupted or saved."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from test_transformer import assert_same_fit, short, weights_of

from skl_sae import DivergenceError, SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, _state, _training
from skl_sae._callbacks import CallbackSupportMixin
from skl_sae._objectives import FullBatchObjective, MiniBatchObjective, Objective
from skl_sae._solvers import monitor
from skl_sae.metrics import anomaly_roc_auc_scorer, population_sparsity_scorer

SOLVERS = ["lbfgs", "adam"]

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data[:600]) / 16


# -- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"tied_weights": True}, {"activation": "relu"}])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_a_weight_of_two_is_the_row_twice(digits, parameters, as_sparse):
    weights = np.random.default_rng(0).integers(0, 3, size=len(digits))
    rows = sparse.csr_array if as_sparse else np.asarray
    weighted = short(**parameters, max_iter=200).fit(rows(digits), sample_weight=weights)
    repeated = short(**parameters, max_iter=200).fit(rows(np.repeat(digits, weights, axis=0)))
    for one, other in zip(weights_of(weighted), weights_of(repeated), strict=True):
        np.testing.assert_array_equal(one, other)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-12)
    assert weighted.score(digits, sample_weight=weights) == pytest.approx(
        repeated.score(np.repeat(digits, weights, axis=0)), rel=1e-12
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_only_ratios_of_weights_matter(digits, solver):
    weights = np.random.default_rng(0).integers(1, 3, size=len(digits))
    one, other = (short(solver=solver).fit(digits, sample_weight=factor * weights) for factor in [1, 1024])
    assert_same_fit(one, other)
    assert_same_fit(short(solver=solver).fit(digits), short(solver=solver).fit(digits, sample_weight=np.ones(600)))


def test_adam_leaves_out_rows_without_weight(digits):
    weights = np.repeat([1.0, 0.0], 300)
    assert_same_fit(short(solver="adam").fit(digits, sample_weight=weights), short(solver="adam").fit(digits[:300]))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(600), "[Nn]egative"),
        (np.eye(600)[0], "positive for 1 sample"),
        (np.full(600, 1e98), "overflow"),
        (np.ones(5), "inconsistent|shape"),
        (np.full(600, np.nan), "NaN"),
    ],
)
def test_bad_weights(digits, weights, message):
    for estimator in (short(), SparseAutoencoderOutlierDetector()):
        with pytest.raises(ValueError, match=message):
            estimator.fit(digits, sample_weight=weights)


def test_detector_with_weights_is_one_with_repeated_rows(digits):
    weights = np.random.default_rng(0).integers(0, 3, size=len(digits))
    settings = dict(n_components=10, max_iter=20, random_state=0)
    weighted = SparseAutoencoderOutlierDetector(**settings).fit(digits, sample_weight=weights)
    repeated = SparseAutoencoderOutlierDetector(**settings).fit(np.repeat(digits, weights, axis=0))
    np.testing.assert_allclose(weighted.decision_function(digits), repeated.decision_function(digits), rtol=1e-6)
    assert weighted.support_.shape == (600,)
    assert not weighted.support_[weights == 0].any()


def test_weights_are_routed(digits):
    weights = np.linspace(0.1, 1, 600)
    with sklearn.config_context(enable_metadata_routing=True):
        sae = short().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(sae, {"rho": [0.05]}, cv=2).fit(digits, sample_weight=weights)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), sae)
        pipeline.fit(digits, sample_weight=weights)
    for found, rows in [(search.best_estimator_, digits), (pipeline[-1], pipeline[0].transform(digits))]:
        expected = short(rho=found.rho).fit(rows, sample_weight=weights)
        np.testing.assert_array_equal(found.encoder_coef_, expected.encoder_coef_)


def memories(sae):
    """What the solvers remember of a fit."""
    return sae._training["memories"]


# -- going on --------------------------------------------------------------------------------------


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
    n = parts.n_iter_ - 26  # the last of the first fit is evaluated over all rows at once
    np.testing.assert_array_equal(np.delete(whole.history_["loss"], n), np.delete(parts.history_["loss"], n))


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


def test_weights_of_any_size(digits):
    weights = np.full(600, 1e-200)
    weights[0] = 1e90
    sae = short(solver="adam").fit(digits, sample_weight=weights / 1e-10 + 1e60)
    assert np.isfinite(sae.score(digits, sample_weight=weights * 1e5))


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


def interrupt_after(monkeypatch, solver, calls, late=False):
    """Raise KeyboardInterrupt in a later call of the objective, before its work or (``late``) after it."""
    owner, name = {"lbfgs": (FullBatchObjective, "evaluate_gradient"), "adam": (MiniBatchObjective, "adam_epoch")}[
        solver
    ]
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


def interrupt(*arguments, **settings):
    raise KeyboardInterrupt


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


# -- callbacks -------------------------------------------------------------------------------------

callbacks = pytest.mark.skipif(not hasattr(CallbackSupportMixin, "set_callbacks"), reason="scikit-learn < 1.9")


class Recorder:
    """A callback that keeps what it is told, and asks for an end after so many iterations."""

    max_propagation_depth = None

    def __init__(self, stop_after=np.inf):
        self.stop_after, self.begun, self.ended, self.losses, self.torn_down = stop_after, [], [], [], 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        self.torn_down += 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.ended.append((context.estimator_name, context.task_name))
        if context.task_name == "iteration" and hasattr(fitted_estimator, "score"):
            self.losses.append(-fitted_estimator.score(X))
        return len(self.losses) >= self.stop_after


@pytest.mark.plain
@callbacks
@pytest.mark.parametrize("settings", [{"solver": "lbfgs"}, {"solver": "adam"}, {"adam_start": 4}])
def test_callbacks_see_every_iteration(digits, settings):
    recorder = Recorder()
    sae = short(**settings, tol=0).set_callbacks(recorder).fit(digits)
    assert recorder.begun.count(("SparseAutoencoderTransformer", "iteration")) == sae.n_iter_
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.torn_down == 1
    assert recorder.losses[-1] == pytest.approx(-sae.score(digits))
    assert not any("callback" in name for name in vars(sae) if name != "_skl_callbacks")


@pytest.mark.plain
@callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_can_stop_the_fit(digits, solver):
    recorder = Recorder(stop_after=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae = short(solver=solver).set_callbacks(recorder).fit(digits)
    assert sae.n_iter_ == 4
    assert not any("max_iter" in str(warning.message) for warning in caught)


@callbacks
def test_a_callback_that_stops_adam_stops_the_fit_that_it_starts(digits):
    sae = short(adam_start=5, tol=0).set_callbacks(Recorder(stop_after=2)).fit(digits)
    assert sae.n_iter_ == 2


@callbacks
def test_callbacks_are_torn_down_after_a_failure(digits):
    recorder = Recorder()
    with pytest.raises(DivergenceError):
        short(solver="adam", learning_rate_init=1e200).set_callbacks(recorder).fit(digits)
    assert recorder.torn_down == 1


@callbacks
def test_callbacks_reach_through_searches_and_pipelines(digits):
    recorder = Recorder()
    pipeline = make_pipeline(StandardScaler(), short(max_iter=3, tol=0))
    grid = {"sparseautoencodertransformer__rho": [0.05, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, refit=False)
    search.set_callbacks(recorder).fit(digits)
    assert recorder.begun.count(("SparseAutoencoderTransformer", "iteration")) == 2 * 2 * 3


class Keeper(Recorder):
    """A callback that saves the model of every iteration, and may fail or be interrupted when the fit ends."""

    def __init__(self, error=None):
        super().__init__()
        self.error, self.saved = error, []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "fit" and self.error is not None:
            raise self.error
        if fitted_estimator is not None:
            self.saved.append(pickle.dumps(fitted_estimator.set_callbacks()))


@callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_what_a_callback_saves_goes_on_without_it(digits, solver):
    keeper = Keeper()
    whole = short(solver=solver, max_iter=8, tol=0, warm_start=True).set_callbacks(keeper).fit(digits)
    assert not any(b"Keeper" in saved for saved in keeper.saved)
    part = pickle.loads(keeper.saved[2])
    assert part.n_iter_ == len(part.history_["loss"]) == 3
    part.set_params(max_iter=5).fit(digits)
    assert part.n_iter_ == 8
    if solver == "adam":
        np.testing.assert_array_equal(part.encoder_coef_, whole.encoder_coef_)
    else:
        assert part.loss_ < whole.history_["loss"][2]


@callbacks
@pytest.mark.parametrize("estimator", [short(), SparseAutoencoderOutlierDetector(max_iter=5)])
def test_callbacks_of_a_second_fit_to_other_features(digits, estimator):
    estimator.set_callbacks(Keeper()).fit(digits).fit(digits[:, :5])
    assert estimator.n_features_in_ == 5


@callbacks
def test_a_callback_that_fails_when_the_fit_ends_leaves_everything_as_it_was(digits):
    sae = short().fit(digits)
    before = sae.encoder_coef_
    with pytest.raises(OSError, match="full"):
        sae.set_params(random_state=1).set_callbacks(Keeper(OSError("full"))).fit(digits)
    assert sae.encoder_coef_ is before


@callbacks
@pytest.mark.parametrize("warm_start", [False, True])
def test_an_interrupt_of_a_callback_when_the_fit_ends(digits, warm_start):
    sae = short(warm_start=warm_start).set_callbacks(Keeper(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        sae.fit(digits)
    assert hasattr(sae, "encoder_coef_") == warm_start


@callbacks
def test_callbacks_see_both_trainings_of_a_detector(digits):
    recorder = Recorder()
    detector = SparseAutoencoderOutlierDetector(max_iter=5, tol=0).set_callbacks(recorder).fit(digits)
    assert recorder.begun.count(("SparseAutoencoderOutlierDetector", "iteration")) == 10
    assert detector.n_iter_ == 5


@callbacks
def test_a_detector_is_scored_when_it_is_done(digits):
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring={"auroc": anomaly_roc_auc_scorer})
    detector = SparseAutoencoderOutlierDetector(max_iter=5, random_state=0).set_callbacks(monitor)
    detector.fit(digits, np.arange(600) < 20)
    assert len(monitor.get_logs().data) == 1


@callbacks
def test_progress_bar_and_scoring_monitor(digits, capsys):
    pytest.importorskip("rich", reason="ProgressBar needs rich")
    from sklearn.callback import ProgressBar, ScoringMonitor

    monitor = ScoringMonitor(scoring={"sparsity": population_sparsity_scorer})
    short(max_iter=3, tol=0).set_callbacks(ProgressBar(), monitor).fit(digits, np.zeros(600))
    assert "SparseAutoencoderTransformer" in capsys.readouterr().out
    assert len(monitor.get_logs().data) >= 3


# -- saving ----------------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize("estimator", [short(), SparseAutoencoderOutlierDetector(max_iter=5, random_state=0)])
def test_a_model_of_a_newer_version_says_so(digits, estimator, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_state, "LAYOUT", _state.LAYOUT + 1)
        saved = pickle.dumps(estimator.fit(digits))
    with pytest.raises(ValueError, match=r"newer version of skl_sae .* Upgrade"):
        pickle.loads(saved)
    assert not hasattr(pickle.loads(pickle.dumps(estimator)), "_skl_sae_state")


@pytest.mark.plain
@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        (
            "transformer",
            "transform",
            [
                [0.3954139613115119, 0.004173075808249443, 0.05751466647979906],
                [0.3570494260517753, 0.005028291090884118, 0.04360824852253316],
            ],
        ),
        ("detector", "score_samples", [-2.515334970842334, -4.45606597672097]),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_models_that_were_saved_before_there_was_a_stamp_load_right(name, method, expected):
    """Files of layout 0, fitted to the iris data."""
    model = pickle.loads((Path(__file__).parent / "data" / f"{name}_layout_0.pkl").read_bytes())
    np.testing.assert_allclose(getattr(model, method)(load_iris().data[:2]), expected, rtol=1e-9)
    model.set_params(max_iter=5, warm_start=True).fit(load_iris().data)


@pytest.mark.plain
@pytest.mark.parametrize("name", ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_"])
def test_weights_that_do_not_fit_together_are_refused(digits, name):
    """The kernels trust the shapes; a file may come from anywhere."""
    sae = short(warm_start=True).fit(digits)
    setattr(sae, name, getattr(sae, name)[:3])
    with pytest.raises(ValueError, match="do not fit together"):
        sae.transform(digits)
    with pytest.raises(ValueError, match=r"do not fit together|n_components"):
        sae.fit(digits)
    saved = pickle.dumps(sae)
    with pytest.raises(ValueError, match="do not fit together"):
        pickle.loads(saved)


def test_pairs_that_do_not_fit_start_anew(digits):
    sae = short(warm_start=True).fit(digits)
    memories(sae)["lbfgs"]["pairs"] = [(np.zeros(3), np.zeros(3), 1.0)]
    assert memories(sae.fit(digits))["lbfgs"]["pairs"][0][0].shape == (8 * 64 * 2 + 8 + 64,)


@pytest.mark.parametrize("name", ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_"])
@pytest.mark.parametrize("change", [complex, object, int, str, lambda part: part * np.nan])
def test_weights_that_no_fit_leaves_are_refused(digits, name, change):
    sae = short().fit(digits)
    part = getattr(sae, name)
    setattr(sae, name, part.astype(change) if isinstance(change, type) else change(part))
    with pytest.raises(ValueError, match="floating-point"):
        pickle.loads(pickle.dumps(sae))


def replaced(**parts):
    return lambda detector: setattr(detector, "_scatter", detector._scatter._replace(**parts))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda detector: setattr(detector, "offset_", np.nan),
        lambda detector: setattr(detector, "_centre", np.zeros(1)),
        lambda detector: setattr(detector, "_scaler", MinMaxScaler().fit(load_iris().data)),
        lambda detector: setattr(detector._scaler, "mean_", np.zeros(1)),
        lambda detector: setattr(detector._scaler, "scale_", np.zeros(4)),
        replaced(location=np.zeros(1)),
        replaced(location=np.full(7, np.nan)),
        replaced(precision=np.zeros(7)),
        replaced(precision=np.full((7, 7), np.inf)),
    ],
)
def test_a_scatter_or_a_scaler_that_no_fit_leaves_is_refused(tamper):
    """NumPy would broadcast the wrong shapes, and of a score that is NaN `predict` would say that all is well."""
    detector = SparseAutoencoderOutlierDetector(3, max_iter=5, random_state=0).fit(load_iris().data)
    pickle.loads(pickle.dumps(detector))
    tamper(detector)
    with pytest.raises(ValueError, match="must be"):
        pickle.loads(pickle.dumps(detector))


def test_moments_that_do_not_fit_start_anew(digits):
    sae = short().partial_fit(digits)
    memories(sae)["adam"]["exp_avg_sq"] = np.zeros(1)
    sae.partial_fit(digits)
    assert {memories(sae)["adam"][name].shape for name in ("exp_avg", "exp_avg_sq")} == {(8 * 64 * 2 + 8 + 64,)}
