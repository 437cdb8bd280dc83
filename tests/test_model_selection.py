"""A search by warm starts is like GridSearchCV in everything but the starts."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from fits import assert_same_fit, quiet
from searches import GRID, assert_same_results, classifier, code, search, within
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    StratifiedKFold,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skl_sae import SparseAutoencoderOutlierDetector
from skl_sae.metrics import SparsestWithin, explained_variance_scorer, population_sparsity_scorer
from skl_sae.model_selection import PathSearchCV

pytestmark = quiet


# -- like GridSearchCV -----------------------------------------------------------------------------


ONE_CELL = {
    "alone": (lambda: code(), {"rho": [0.2]}),
    "early stopping": (lambda: code(early_stopping=True), {"rho": [0.2]}),
    "adam": (lambda: code(solver="adam", max_iter=5), {"rho": [0.2]}),
    "pipeline": (lambda: classifier(), {"code__rho": [0.2], "classify__C": [0.1, 1.0]}),
    "paths": (lambda: classifier(), {"code__n_components": [3, 5], "scale__clip": [True, False]}),
    "defaults": (lambda: code(), {}),
}


@pytest.mark.parametrize("name", ONE_CELL)
def test_paths_of_one_stop_give_what_gridsearchcv_gives_bit_by_bit(digits, name):
    make, grid = ONE_CELL[name]
    ours, theirs = (
        kind(make(), grid, cv=3, return_train_score=True, error_score="raise").fit(*digits)
        for kind in (PathSearchCV, GridSearchCV)
    )
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == theirs.best_score_
    one, other = (
        found.best_estimator_["code"] if isinstance(found.best_estimator_, Pipeline) else found.best_estimator_
        for found in (ours, theirs)
    )
    assert_same_fit(one, other)
    assert vars(one).keys() == vars(other).keys()
    assert (ours.path_results_["start"] == -1).all()


def test_a_detector_of_one_cell_is_that_of_gridsearchcv(rng):
    X, y = rng.normal(size=(80, 4)), np.arange(80) % 2
    ours, theirs = (
        kind(SparseAutoencoderOutlierDetector(max_iter=20, random_state=0), {"alpha": [0.1]}, cv=2, scoring="roc_auc")
        .fit(X, y)
        .score_samples(X)
        for kind in (PathSearchCV, GridSearchCV)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_attributes_and_columns_are_those_of_gridsearchcv(digits):
    scoring = {"accuracy": "accuracy", "loss": "neg_log_loss"}
    options = dict(scoring=scoring, refit="accuracy", cv=2, return_train_score=True)
    ours, theirs = (kind(classifier(), within(GRID), **options).fit(*digits) for kind in (PathSearchCV, GridSearchCV))
    assert list(ours.cv_results_) == list(theirs.cv_results_)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    for name, values in theirs.cv_results_.items():
        if name != "params":
            assert ours.cv_results_[name].dtype == values.dtype, name
            assert type(ours.cv_results_[name]) is type(values), name
    assert (
        set(vars(theirs)) - {"_checked_cv_orig"}
        <= set(vars(ours))
        == {*vars(theirs), "path_results_"} - {"_checked_cv_orig"}
    )
    assert ours.score(*digits) > 0.5
    assert ours.classes_.tolist() == theirs.classes_.tolist()
    assert ours.n_features_in_ == 64
    assert is_classifier(ours)
    assert set(ours.get_params()) == set(theirs.get_params())


def test_scores_are_those_of_a_search_up_to_noise(digits):
    ours, theirs = (
        kind(classifier(max_iter=500), within(GRID), cv=2).fit(*digits) for kind in (PathSearchCV, GridSearchCV)
    )
    difference = ours.cv_results_["mean_test_score"] - theirs.cv_results_["mean_test_score"]
    assert abs(difference).mean() < 0.1
    assert (ours.path_results_["n_iter"] > 0).all()


@pytest.mark.plain
def test_methods_of_the_best_estimator(digits):
    X, y = digits
    with pytest.raises(NotFittedError):
        search().predict(X)
    found = search(grid={"code__rho": [0.1, 0.2]}).fit(X, y)
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(found, method)(X), getattr(found.best_estimator_, method)(X))
    alone = search(code(), {"rho": [0.1, 0.2]}).fit(X)
    np.testing.assert_array_equal(alone.inverse_transform(alone.transform(X)).shape, X.shape)
    assert not hasattr(search(refit=False).fit(X, y), "best_estimator_")


def test_pickles_clones_and_reprs(digits):
    X, y = digits
    found = search().fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).predict(X), found.predict(X))
    again = clone(found)
    assert not hasattr(again, "cv_results_")
    assert_same_results(again.fit(X, y).cv_results_, found.cv_results_)
    assert "PathSearchCV" in repr(found)


def test_nested_cross_validation(digits):
    grid = {"code__rho": [0.05, 0.1], "classify__C": [0.1, 1.0]}
    scores = cross_validate(search(grid=grid), *digits, cv=2, return_estimator=True, error_score="raise")
    assert all(score > 0.3 for score in scores["test_score"])
    assert all(hasattr(found, "path_results_") for found in scores["estimator"])


@pytest.mark.parametrize("grid", [{"code__rho": []}, {"code__rho": 0.1}, {"code__rho": "abc"}, [{"x"}]])
def test_grids_that_gridsearchcv_refuses_are_refused(digits, grid):
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - of any kind
        GridSearchCV(classifier(), grid).fit(*digits)
    with pytest.raises(type(theirs.value)):
        search(grid=grid).fit(*digits)


@pytest.mark.plain
def test_a_grid_without_candidates(digits):
    with pytest.raises(ValueError, match="no candidates: param_grid is empty"):
        search(grid=[]).fit(*digits)


@pytest.mark.parametrize(
    "options", [{"scoring": "no such"}, {"n_jobs": 0.5}, {"refit": []}, {"cv": "many"}, {"error_score": "ignore"}]
)
def test_options_that_gridsearchcv_refuses_are_refused(digits, options):
    with pytest.raises(ValueError, match=r"must be|scoring"):
        search(**options).fit(*digits)


def test_names_that_are_no_parameters(digits):
    with pytest.raises(ValueError, match="Invalid parameter 'roh'"):
        search(code(), {"roh": [0.1]}).fit(*digits)


def test_several_scorers_need_to_be_told_which_to_refit_by(digits):
    scoring = ["accuracy", "neg_log_loss"]
    with pytest.raises(ValueError, match="refit must be set"):
        search(scoring=scoring).fit(*digits)
    found = search(scoring=scoring, refit=False).fit(*digits)
    assert found.multimetric_
    assert not hasattr(found, "best_index_")


@pytest.mark.plain
def test_a_callable_that_returns_several_scores(digits):
    def scores(estimator, X, y):
        return {"mean": float(estimator.predict_proba(X).mean()), "right": float(estimator.score(X, y))}

    found = search(scoring=scores, refit="right").fit(*digits)
    assert found.best_score_ == found.cv_results_["mean_test_right"].max()
    with pytest.raises(ValueError, match="refit must be set"):
        search(scoring=scores).fit(*digits)


@pytest.mark.plain
def test_refit_by_a_callable(digits):
    scoring = {"score": explained_variance_scorer, "sparsity": population_sparsity_scorer}
    found = search(code(), GRID, scoring=scoring, refit=SparsestWithin(10.0)).fit(digits[0])
    assert found.best_index_ == found.cv_results_["mean_test_sparsity"].argmax()
    assert not hasattr(found, "best_score_")
    for wrong, error in [(lambda results: -1, IndexError), (lambda results: "a", TypeError)]:
        with pytest.raises(error):
            search(refit=wrong).fit(*digits)


@pytest.mark.plain
def test_splits(digits):
    X, y = digits
    groups = np.arange(len(y)) % 4
    for cv, fit_params in [
        (ShuffleSplit(2, random_state=0), {}),
        ([(np.arange(50), np.arange(50, 100))], {}),
        (GroupKFold(2), {"groups": groups}),
        (LeaveOneGroupOut(), {"groups": groups}),
    ]:
        found = search(grid={"code__rho": [0.1, 0.2]}, cv=cv).fit(X, y, **fit_params)
        assert found.n_splits_ == found.path_results_["start"].shape[1]
    with pytest.raises(ValueError, match="groups"):
        search(cv=GroupKFold(2)).fit(X, y)
    with pytest.raises(ValueError, match="no splits"):
        search(cv=[]).fit(X, y)

    class Liar(KFold):
        def get_n_splits(self, X=None, y=None, groups=None):
            return 7

    with pytest.raises(ValueError, match="announced 7 splits"):
        search(cv=Liar(2)).fit(X, y)


def test_kinds_of_data(digits):
    X, y = digits
    names = [f"pixel {i}" for i in range(64)]
    frame = pd.DataFrame(X, columns=names, index=np.arange(len(X))[::-1])
    found = search().fit(frame, pd.Series(y, index=frame.index))
    assert found.feature_names_in_.tolist() == names
    assert_same_results(found.cv_results_, search().fit(X, y).cv_results_)
    narrow = search(code(), GRID, scoring=population_sparsity_scorer).fit(X.astype(np.float32))
    assert narrow.best_estimator_.encoder_coef_.dtype == np.float32


@pytest.mark.plain
def test_messages(digits, capsys):
    search(verbose=3, grid={"code__rho": [0.1, 0.2]}).fit(*digits)
    text = capsys.readouterr().out
    assert "Fitting 2 folds for each of 2 candidates, totalling 4 fits" in text
    assert text.count("END") == 4
    assert "code__rho=0.2" in text


# -- failures --------------------------------------------------------------------------------------


class Picky(ClassifierMixin, BaseEstimator):
    """A classifier that may fail to be fitted or to predict."""

    def __init__(self, fails=None):
        self.fails = fails

    def fit(self, X, y):
        if self.fails == "fit":
            raise RuntimeError("not with me")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        if self.fails == "predict":
            raise RuntimeError("not with me")
        return np.full(len(X), self.classes_[0])


@pytest.mark.parametrize("fails", ["fit", "predict"])
def test_failures_behind_the_autoencoder(digits, fails):
    estimator = make_pipeline(code(), Picky())
    grid = {"sparseautoencodertransformer__rho": [0.1, 0.2], "picky__fails": [None, fails]}
    with pytest.raises(RuntimeError, match="not with me"):
        search(estimator, grid).fit(*digits)
    with pytest.warns((FitFailedWarning, UserWarning)):
        found = search(estimator, grid, error_score=-1.0).fit(*digits)
    failed = np.array([one["picky__fails"] is not None for one in found.cv_results_["params"]])
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"] == -1, failed)
    assert np.isfinite(found.path_results_["loss"]).all()


@pytest.mark.plain
def test_failures_of_the_autoencoder(digits):
    grid = {"rho": [0.1, 0.2, 1.5], "beta": [0.3, 3.0]}  # 1.5 is no mean activation of a sigmoid unit
    with pytest.warns(FitFailedWarning, match="rho"), pytest.warns(UserWarning, match="non-finite"):
        found = search(code(), grid, error_score=np.nan, scoring=population_sparsity_scorer).fit(digits[0])
    failed = np.array([one["rho"] == 1.5 for one in found.cv_results_["params"]])
    np.testing.assert_array_equal(np.isnan(found.cv_results_["mean_test_score"]), failed)
    np.testing.assert_array_equal(np.isnan(found.path_results_["loss"]).all(axis=1), failed)
    with pytest.raises(ValueError, match="rho"):
        search(code(), grid).fit(digits[0])


@pytest.mark.plain
def test_others_start_elsewhere_if_a_start_failed(digits):
    grid = {"rho": [0.1, 1.5, 2.0], "beta": [0.3]}  # the middle, with which a path begins, fails
    with pytest.warns(FitFailedWarning), pytest.warns(UserWarning, match="non-finite"):
        found = search(code(), grid, error_score=np.nan).fit(digits[0])
    theirs = GridSearchCV(code(beta=0.3), {"rho": [0.1]}, cv=2).fit(digits[0])
    assert found.cv_results_["mean_test_score"][0] == theirs.best_score_
    assert_same_fit(found.best_estimator_, theirs.best_estimator_)


def test_all_failures(digits):
    with pytest.raises(ValueError, match="All the 4 fits failed"):
        search(code(), {"rho": [1.5, 2.0]}, error_score=np.nan).fit(digits[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::skl_sae.DataRangeWarning", "ignore:invalid value encountered in cast")
@parametrize_with_checks([search(grid={"code__beta": [1.0, 2.0]})])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# -- metadata, weights -----------------------------------------------------------------------------


def test_weights_without_routing(digits):
    X, y = digits
    weights = np.arange(len(X)) % 3 + 1.0
    for params in (
        {"code__sample_weight": weights},
        {"code__sample_weight": weights, "classify__sample_weight": weights},
    ):
        ours, theirs = (
            kind(classifier(), {"code__rho": [0.2]}, cv=2).fit(X, y, **params) for kind in (PathSearchCV, GridSearchCV)
        )
        assert_same_results(ours.cv_results_, theirs.cv_results_)
        assert_same_fit(ours.best_estimator_["code"], theirs.best_estimator_["code"])
    unweighted = search(grid={"code__rho": [0.1, 0.2]}).fit(X, y)
    weighted = search(grid={"code__rho": [0.1, 0.2]}).fit(X, y, code__sample_weight=weights)
    assert (unweighted.path_results_["loss"] != weighted.path_results_["loss"]).all()


def test_metadata_routing(digits):
    X, y = digits
    weights, groups = np.arange(len(X)) % 3 + 1.0, np.arange(len(X)) % 4

    class Noting(TransformerMixin, BaseEstimator):
        seen = []

        def fit(self, X, y=None, note=None):
            Noting.seen.append(note)
            return self

        def transform(self, X):
            return X

    with config_context(enable_metadata_routing=True):
        steps = [("note", Noting().set_fit_request(note=True)), ("code", code().set_fit_request(sample_weight=True))]
        estimator = Pipeline([*steps, ("classify", LogisticRegression().set_fit_request(sample_weight=False))])
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=False)
        options = dict(cv=GroupKFold(2), error_score="raise", scoring=scorer)
        metadata = {"sample_weight": weights, "groups": groups, "note": "here"}
        ours, theirs = (
            kind(estimator, {"code__rho": [0.2]}, **options).fit(X, y, **metadata)
            for kind in (PathSearchCV, GridSearchCV)
        )
        assert_same_results(ours.cv_results_, theirs.cv_results_)
        walked = PathSearchCV(estimator, {"code__rho": [0.1, 0.2]}, **options).fit(X, y, **metadata)
        assert (walked.path_results_["start"][:, 0] == [-1, 0]).all()
    assert set(Noting.seen) == {"here"}


# -- the detector, warnings ------------------------------------------------------------------------


@pytest.mark.parametrize("scoring", ["auto", "mahalanobis", "squared_error"])
def test_the_detector(rng, scoring):
    X = rng.normal(size=(150, 4))
    X[:, 3] = X[:, 0] + X[:, 1]
    y = np.ones(len(X), dtype=int)
    X[:10, 3], y[:10] = rng.normal(size=10), -1
    detector = SparseAutoencoderOutlierDetector(max_iter=30, scoring=scoring, random_state=0)
    options = dict(scoring="roc_auc", cv=StratifiedKFold(2, shuffle=True, random_state=0))
    found = search(detector, {"rho": [0.05, 0.1], "alpha": [0.03, 0.1]}, **options).fit(X, y)
    cold = found.path_results_["start"] == -1
    np.testing.assert_array_equal((cold & (found.path_results_["collapsed"] == 0)).sum(axis=0), [1, 1])
    assert found.predict(X).shape == (150,)
    assert pickle.loads(pickle.dumps(found)).best_estimator_.p_values(X).shape == (150,)


def test_the_detector_by_a_criterion_without_labels(rng):
    def looks_alike(estimator, X, y=None):
        return -abs(np.mean(estimator.predict(X) == -1) - 0.05)

    detector = SparseAutoencoderOutlierDetector(max_iter=20, random_state=0)
    found = search(detector, {"rho": [0.05, 0.1], "alpha": [0.03, 0.1]}, scoring=looks_alike)
    assert np.isfinite(found.fit(rng.normal(size=(200, 3))).best_score_)


@pytest.mark.plain
def test_a_warning_if_the_reconstruction_error_chooses_the_smallest_beta(digits):
    X, y = digits
    grid = {"beta": [0, 3.0], "rho": [0.05]}
    for estimator, prefix in [(code(), ""), (make_pipeline(MinMaxScaler(), code()), "sparseautoencodertransformer__")]:
        with pytest.warns(UserWarning, match=r"chose beta=0, the smallest.*SparsestWithin"):
            search(estimator, within(grid, prefix)).fit(X)
    scoring = {"score": explained_variance_scorer, "sparsity": population_sparsity_scorer}
    search(code(), grid, scoring=scoring, refit="score").fit(X)  # a user who names a scorer has chosen it
    search(code(), {"beta": [0.0]}).fit(X)
    search(grid=within(grid)).fit(X, y)


@pytest.mark.plain
@pytest.mark.parametrize("wrong", ["a", None, -1.0])
def test_values_of_beta_that_cannot_be_fitted_are_no_smallest_ones(digits, wrong):
    with pytest.warns(UserWarning, match="chose beta=0.3, the smallest"), pytest.warns(FitFailedWarning):
        found = search(code(), {"beta": [3.0, wrong, 0.3]}, error_score=-9.0).fit(digits[0])
    assert found.best_index_ == 2


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore:The search chose beta")
@pytest.mark.parametrize("n_processes", [1, 6])
def test_one_warning_of_each_kind_names_the_candidates(digits, monkeypatch, n_processes):
    monkeypatch.setattr("skl_sae.model_selection.effective_n_jobs", lambda _: n_processes)
    grid = {"beta": np.array([0.3, 3.0]), "max_iter": [2, 3, 400]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search(code(), grid, scoring=population_sparsity_scorer, refit=lambda _: 1).fit(digits[0])
    messages = [str(one.message) for one in caught if one.category is ConvergenceWarning]
    assert len(messages) == 2
    assert messages[0].startswith("L-BFGS reached max_iter=2 before the loss settled. Increase max_iter. See")
    assert messages[0].endswith(
        "[8 of 12 fits of the search: beta=0.3, max_iter=2; beta=0.3, max_iter=3; beta=3.0, max_iter=2; 1 more]"
    )
    assert messages[1].startswith("L-BFGS reached max_iter=3")
    assert messages[1].endswith("[best candidate, fit to all rows]")
    assert {one.filename for one in caught if one.category is ConvergenceWarning} == {__file__}


@pytest.mark.slow
def test_warnings_come_from_other_processes(digits):
    with pytest.warns(ConvergenceWarning, match="6 of 6 fits of the search: code__rho=0.1; code__rho=0.2"):
        search(grid={"code__rho": [0.1, 0.2]}, n_jobs=2, cv=3).fit(*digits)


@pytest.mark.plain
def test_a_collapsed_fit_leaves_the_warnings_of_the_fit_that_replaces_it(digits, monkeypatch):
    monkeypatch.setattr("skl_sae._path.MOSTLY_USELESS", -1)  # every walk collapses
    options = dict(scoring=population_sparsity_scorer, refit=False)
    with pytest.warns(ConvergenceWarning, match="4 of 4 fits of the search"):
        found = search(code(max_iter=2), {"beta": [0.3, 3.0]}, **options).fit(digits[0])
    assert found.path_results_["collapsed"].sum() == 2


@pytest.mark.plain
def test_a_warning_that_is_an_error_comes_after_the_search(digits):
    found = search(code(max_iter=2), {"beta": [0.3, 3.0]}, scoring=population_sparsity_scorer)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning, match="4 of 4 fits of the search"):
            found.fit(digits[0])
    assert found.best_estimator_.n_iter_ == 2
    assert "_warn" not in vars(found.best_estimator_)


def test_beta_of_zero_is_a_step_like_any_other(digits):
    found = search(code(), {"beta": [0, 0.3, 3.0]}, scoring=population_sparsity_scorer).fit(digits[0])
    np.testing.assert_array_equal(found.path_results_["start"][:, 0], [1, -1, 1])
