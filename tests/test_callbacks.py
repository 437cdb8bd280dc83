"""Fits that callbacks watch and stop."""

import pickle
import warnings

import numpy as np
import pytest
from fits import SOLVERS, quiet, short
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skl_sae import (
    DivergenceError,
    SparseAutoencoderOutlierDetector,
    SparseAutoencoderTransformer,
    TopKAutoencoderTransformer,
)
from skl_sae._callbacks import CallbackSupportMixin
from skl_sae.metrics import anomaly_roc_auc_scorer, population_sparsity_scorer
from skl_sae.model_selection import PathSearchCV

pytestmark = quiet


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data[:600]) / 16


def topk(**parameters):
    settings = {"k": 2, "max_iter": 8, "tol": 0, "random_state": 0, "warm_start": True, "batch_size": 100}
    return TopKAutoencoderTransformer(8, **settings | parameters)


callbacks = pytest.mark.skipif(not hasattr(CallbackSupportMixin, "set_callbacks"), reason="scikit-learn < 1.9")


class Recorder:
    """A callback that keeps what it is told, and asks for an end after ``stop_after`` iterations."""

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
@pytest.mark.parametrize(
    "sae",
    [
        *(short(**settings, tol=0) for settings in [{"solver": "lbfgs"}, {"solver": "adam"}, {"adam_start": 4}]),
        *(topk(selection=selection) for selection in ["topk", "batchtopk"]),
    ],
)
def test_callbacks_see_every_iteration(digits, sae):
    recorder = Recorder()
    sae.set_callbacks(recorder).fit(digits)
    assert recorder.begun.count((type(sae).__name__, "iteration")) == sae.n_iter_
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.torn_down == 1
    assert recorder.losses[-1] == pytest.approx(-sae.score(digits))
    assert not any("callback" in name for name in vars(sae) if name != "_skl_callbacks")


@pytest.mark.plain
@callbacks
@pytest.mark.parametrize("sae", [*(short(solver=solver) for solver in SOLVERS), topk()])
def test_a_callback_can_stop_the_fit(digits, sae):
    recorder = Recorder(stop_after=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae.set_callbacks(recorder).fit(digits)
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
@pytest.mark.parametrize("kind", [GridSearchCV, PathSearchCV])
def test_callbacks_reach_through_searches_and_pipelines(digits, kind):
    recorder = Recorder()
    pipeline = make_pipeline(StandardScaler(), short(max_iter=3, tol=0))
    grid = {"sparseautoencodertransformer__rho": [0.05, 0.1]}
    search = kind(pipeline, grid, cv=2, refit=False)
    search.set_callbacks(recorder).fit(digits)
    assert recorder.begun.count(("SparseAutoencoderTransformer", "iteration")) == 2 * 2 * 3


@callbacks
def test_callbacks_see_every_fit_of_a_divided_walk_once(digits, monkeypatch):
    monkeypatch.setattr("skl_sae.model_selection.effective_n_jobs", lambda _: 4)
    recorder = Recorder()
    options = {"cv": 2, "refit": False, "scoring": population_sparsity_scorer}
    search = PathSearchCV(short(max_iter=3, tol=0), {"rho": [0.05, 0.1], "beta": [1, 2, 3]}, **options)
    search.set_callbacks(recorder).fit(digits)
    assert recorder.begun.count(("SparseAutoencoderTransformer", "iteration")) == 2 * 6 * 3


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
@pytest.mark.parametrize(
    "whole", [*(short(solver=solver, max_iter=8, tol=0, warm_start=True) for solver in SOLVERS), topk()]
)
def test_what_a_callback_saves_goes_on_without_it(digits, whole):
    keeper = Keeper()
    whole.set_callbacks(keeper).fit(digits)
    assert not any(b"Keeper" in saved for saved in keeper.saved)
    part = pickle.loads(keeper.saved[2])
    assert part.n_iter_ == len(part.history_["loss"]) == 3
    part.set_params(max_iter=5).fit(digits)
    assert part.n_iter_ == 8
    if getattr(whole, "solver", "adam") == "adam":
        np.testing.assert_array_equal(part.encoder_coef_, whole.encoder_coef_)
    else:
        assert part.loss_ < whole.history_["loss"][2]


@callbacks
@pytest.mark.parametrize("estimator", [short(), topk(warm_start=False), SparseAutoencoderOutlierDetector(max_iter=5)])
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
    detector = (
        SparseAutoencoderOutlierDetector(scoring="mahalanobis", max_iter=5, tol=0).set_callbacks(recorder).fit(digits)
    )
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


@callbacks
@pytest.mark.parametrize(
    "model",
    [
        SparseAutoencoderTransformer(4, max_iter=5000, tol=0.1, random_state=0),
        SparseAutoencoderTransformer(4, solver="adam", max_iter=5000, tol=0.1, random_state=0),
        TopKAutoencoderTransformer(8, k=2, max_iter=5000, tol=0.1, random_state=0),
        SparseAutoencoderOutlierDetector(4, max_iter=5000, tol=0.1, random_state=0),
    ],
    ids=["lbfgs", "adam", "topk", "detector"],
)
def test_the_bar_of_a_fit_that_settles_early_ends_at_100_percent(model, digits, capsys):
    pytest.importorskip("rich", reason="ProgressBar needs rich")
    from sklearn.callback import ProgressBar

    model.set_callbacks(ProgressBar()).fit(digits)
    assert model.n_iter_ < 1000
    assert " 100% " in capsys.readouterr().out
