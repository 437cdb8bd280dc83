"""A search by warm starts: like GridSearchCV in everything but the starts, whatever contains the autoencoder."""

import pickle
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from fits import assert_same_fit, quiet, weights_of
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone, is_classifier
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    ParameterGrid,
    ShuffleSplit,
    StratifiedKFold,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skl_sae import DivergenceError, SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer
from skl_sae._path import USELESS, arrange, find_autoencoder, plan
from skl_sae.metrics import SparsestWithin, explained_variance_scorer, population_sparsity_scorer
from skl_sae.model_selection import PathSearchCV

pytestmark = [pytest.mark.plain, quiet]

GRID = {"rho": [0.05, 0.1, 0.3], "beta": [0.3, 3.0]}


@pytest.fixture(scope="module")
def digits(few):
    X, y = load_digits(return_X_y=True)
    keep = few(np.flatnonzero(y < 4))[:240]
    return X[keep] / 16, y[keep]


def code(**parameters):
    return SparseAutoencoderTransformer(**{"n_components": 6, "max_iter": 40, "random_state": 0} | parameters)


def classifier(**parameters):
    steps = [("scale", MinMaxScaler()), ("code", code(**parameters)), ("standardise", StandardScaler())]
    return Pipeline([*steps, ("classify", LogisticRegression(max_iter=200))])


def within(grid, prefix="code__"):
    return {prefix + name: values for name, values in grid.items()}


def search(estimator=None, grid=None, **options):
    estimator = classifier() if estimator is None else estimator
    return PathSearchCV(
        estimator, within(GRID) if grid is None else grid, **{"cv": 2, "error_score": "raise"} | options
    )


def without_times(results):
    return {name: values for name, values in results.items() if "time" not in name}


def assert_same_results(one, other):
    assert list(one) == list(other)
    for name, values in without_times(one).items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


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


def test_a_callable_that_returns_several_scores(digits):
    def scores(estimator, X, y):
        return {"mean": float(estimator.predict_proba(X).mean()), "right": float(estimator.score(X, y))}

    found = search(scoring=scores, refit="right").fit(*digits)
    assert found.best_score_ == found.cv_results_["mean_test_right"].max()
    with pytest.raises(ValueError, match="refit must be set"):
        search(scoring=scores).fit(*digits)


def test_refit_by_a_callable(digits):
    scoring = {"score": explained_variance_scorer, "sparsity": population_sparsity_scorer}
    found = search(code(), GRID, scoring=scoring, refit=SparsestWithin(10.0)).fit(digits[0])
    assert found.best_index_ == found.cv_results_["mean_test_sparsity"].argmax()
    assert not hasattr(found, "best_score_")
    for wrong, error in [(lambda results: -1, IndexError), (lambda results: "a", TypeError)]:
        with pytest.raises(error):
            search(refit=wrong).fit(*digits)


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
    narrow = search(code(), GRID).fit(X.astype(np.float32))
    assert narrow.best_estimator_.encoder_coef_.dtype == np.float32


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


def test_failures_of_the_autoencoder(digits):
    grid = {"rho": [0.1, 0.2, 1.5], "beta": [0.3, 3.0]}  # 1.5 is no mean activation of a sigmoid unit
    with pytest.warns(FitFailedWarning, match="rho"), pytest.warns(UserWarning, match="non-finite"):
        found = search(code(), grid, error_score=np.nan, scoring=population_sparsity_scorer).fit(digits[0])
    failed = np.array([one["rho"] == 1.5 for one in found.cv_results_["params"]])
    np.testing.assert_array_equal(np.isnan(found.cv_results_["mean_test_score"]), failed)
    np.testing.assert_array_equal(np.isnan(found.path_results_["loss"]).all(axis=1), failed)
    with pytest.raises(ValueError, match="rho"):
        search(code(), grid).fit(digits[0])


def test_others_start_elsewhere_if_a_start_failed(digits):
    grid = {"rho": [0.1, 1.5, 2.0], "beta": [0.3]}  # the middle, with which a path begins, fails
    with pytest.warns(FitFailedWarning), pytest.warns(UserWarning, match="non-finite"):
        found = search(code(), grid, error_score=np.nan).fit(digits[0])
    theirs = GridSearchCV(code(), {"rho": [0.1]}, cv=2).fit(digits[0])
    assert found.cv_results_["mean_test_score"][0] == theirs.best_score_
    assert_same_fit(found.best_estimator_, theirs.best_estimator_)


def test_all_failures(digits):
    with pytest.raises(ValueError, match="All the 4 fits failed"):
        search(code(), {"rho": [1.5, 2.0]}, error_score=np.nan).fit(digits[0])


# -- the path --------------------------------------------------------------------------------------


def starts(names, nodes):
    stops = arrange(names, {node: [i] for i, node in enumerate(nodes)})
    assert [stop.start is None for stop in stops] == [True] + [False] * (len(nodes) - 1)
    assert all(stop.start is None or stop.start < i for i, stop in enumerate(stops))
    return {stop.values: None if stop.start is None else stops[stop.start].values for stop in stops}


def test_a_path_leads_from_the_middle_along_rho_and_from_there_along_beta():
    found = starts(("beta", "rho"), [(beta, rho) for beta in (1, 2, 3) for rho in (10, 20, 30)])
    assert found == {
        (2, 20): None,
        **{(2, 10): (2, 20), (2, 30): (2, 20)},
        **{(beta, rho): (2, rho) for beta in (1, 3) for rho in (10, 20, 30)},
    }


def test_a_path_follows_tol_from_loose_to_tight():
    found = starts(("tol", "beta"), [(tol, beta) for tol in (1e-4, 1e-3, 1e-2) for beta in (1, 2)])
    assert found[1e-2, 1] is None
    assert found[1e-2, 2] == (1e-2, 1)
    assert all(found[tol, beta] == (10 * tol, beta) for tol in (1e-3,) for beta in (1, 2))


def test_every_start_is_a_nearest_finished_one(rng):
    for _ in range(20):
        nodes = sorted({tuple(one) for one in rng.integers(5, size=(rng.integers(1, 30), 3)).tolist()})
        stops = arrange(("beta", "alpha", "rho"), {node: [] for node in rng.permutation(nodes).tolist() and nodes})
        ranks = np.array([[sorted({n[k] for n in nodes}).index(s.values[k]) for k in range(3)] for s in stops])
        for i, stop in enumerate(stops[1:], 1):
            lengths = np.abs(ranks[:i] - ranks[i]) @ [1, 2, 3]
            assert lengths[stop.start] == lengths.min()


def test_candidates_that_differ_behind_the_autoencoder_share_it(digits):
    calls = defaultdict(int)

    class Counting(SparseAutoencoderTransformer):
        def fit(self, X, y=None, sample_weight=None):
            calls["code"] += 1
            return super().fit(X, y, sample_weight)

    class Scaler(StandardScaler):
        def fit(self, X, y=None, sample_weight=None):
            calls["scale"] += 1
            return super().fit(X, y, sample_weight)

    steps = [("scale", Scaler()), ("none", None), ("code", Counting(4, max_iter=10, random_state=0))]
    estimator = Pipeline([*steps, ("again", StandardScaler()), ("classify", LogisticRegression())])
    grid = {"code__rho": [0.1, 0.2], "classify__C": [0.1, 1.0, 10.0], "again": [StandardScaler(), "passthrough"]}
    found = search(estimator, grid, refit=False).fit(*digits)
    assert calls == {"code": 2 * 2, "scale": 2}
    assert len(found.cv_results_["params"]) == 12


def test_the_parts_of_a_grid(digits):
    estimator = classifier()
    other = LogisticRegression()
    grid = {
        "code__rho": [0.1, 0.2],
        "code__alpha": [1e-3],
        "code__n_components": [4, 5],
        "scale": [MinMaxScaler(), "passthrough"],
        "classify": [other, Ridge()],
    }
    paths = plan(estimator, list(ParameterGrid(grid)))
    assert len(paths) == 4
    for path in paths:
        assert path.names == ("tol", "beta", "alpha", "rho")
        assert [len(stop.candidates) for stop in path.stops] == [2, 2]


def by_values(found, **fixed):
    """Scores and losses by the values of parameters, of candidates with ``fixed`` ones."""
    return {
        tuple(sorted(one.items() - fixed.items())): (
            [found.cv_results_[f"split{split}_test_score"][i] for split in range(2)],
            found.path_results_["loss"][i].tolist(),
        )
        for i, one in enumerate(found.cv_results_["params"])
        if fixed.items() <= one.items()
    }


def test_results_do_not_depend_on_the_order_of_values_nor_on_other_paths(digits):
    reference = by_values(search().fit(*digits))
    turned = search(grid={"code__rho": [0.3, 0.05, 0.1], "code__beta": [3.0, 0.3]}).fit(*digits)
    assert by_values(turned) == reference
    more = search(grid={**within(GRID), "code__n_components": [4, 6], "classify__C": [1.0, 2.0]}).fit(*digits)
    assert by_values(more, code__n_components=6, classify__C=1.0) == reference


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes(digits):
    one, two = (search(n_jobs=n_jobs).fit(*digits) for n_jobs in (1, 2))
    assert_same_results(one.cv_results_, two.cv_results_)
    for name, values in one.path_results_.items():
        np.testing.assert_array_equal(values, two.path_results_[name])
    assert_same_fit(one.best_estimator_["code"], two.best_estimator_["code"])


def test_values_that_are_no_numbers_start_new_paths(rng):
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    detector = SparseAutoencoderOutlierDetector(max_iter=10, random_state=0)
    found = search(detector, {"alpha": ["auto", 0.1, 0.2]}, scoring="roc_auc").fit(X, y)
    np.testing.assert_array_equal(found.path_results_["start"][:, 0], [-1, -1, 1])


def test_the_refit_follows_the_path(digits):
    X = digits[0]
    found = search(code(), GRID, refit=lambda results: 5, cv=[(np.arange(len(X)), np.arange(20))]).fit(X)
    assert found.best_params_ == {"beta": 3.0, "rho": 0.3}
    assert found.best_estimator_.loss_ == found.path_results_["loss"][5, 0]
    assert found.best_estimator_.n_iter_ == found.path_results_["n_iter"][5, 0]
    assert not found.best_estimator_.warm_start
    assert not hasattr(found.best_estimator_, "_training")


def test_a_warm_start_is_one_of_the_neighbour(digits):
    """The walk is what a user could do by hand."""
    X = digits[0]
    found = search(code(), {"beta": [0.3, 3.0]}, cv=[(np.arange(len(X)), np.arange(20))], refit=lambda _: 1).fit(X)
    by_hand = code(beta=0.3, warm_start=True).fit(X)
    n_iter = by_hand.n_iter_
    by_hand.set_params(beta=3.0).fit(X)
    for a, b in zip(weights_of(found.best_estimator_), weights_of(by_hand), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found.best_estimator_.n_iter_ == by_hand.n_iter_ - n_iter == len(found.best_estimator_.history_["loss"])


def test_the_parameter_warm_start_stays_what_it_was(digits):
    found = search(code(warm_start=True), {"beta": [0.3, 3.0]}, scoring=population_sparsity_scorer).fit(digits[0])
    assert found.best_estimator_.warm_start
    before = found.best_estimator_.n_iter_
    assert found.best_estimator_.fit(digits[0]).n_iter_ > before


@pytest.mark.parametrize("options", [{"solver": "adam", "max_iter": 5}, {"early_stopping": True}, {"adam_start": 2}])
def test_other_solvers(digits, options):
    found = search(code(**options), {"beta": [0.3, 1.0, 3.0]}, scoring=population_sparsity_scorer).fit(digits[0])
    assert (found.path_results_["start"][:, 0] == [1, -1, 1]).all()


def test_a_collapsed_fit_is_replaced_by_one_from_random_weights(digits, monkeypatch):
    X = digits[0]
    fit = SparseAutoencoderTransformer.fit

    def collapse(self, X, y=None, sample_weight=None):
        warm = self.warm_start and hasattr(self, "encoder_coef_")
        fit(self, X, y, sample_weight)
        if warm and self.beta == 2:
            self.saturated_fraction_ = 0.4
        if warm and self.beta == 5:
            raise DivergenceError("too far")
        if warm and self.beta == 7:
            self.history_["loss"][0] = 0
        return self

    monkeypatch.setattr(SparseAutoencoderTransformer, "fit", collapse)
    found = search(code(), {"beta": [1.0, 2.0, 3.0, 5.0, 7.0]}, scoring=population_sparsity_scorer).fit(X)
    np.testing.assert_array_equal(found.path_results_["collapsed"][:, 0], [0, 1, 0, 1, 1])
    np.testing.assert_array_equal(found.path_results_["start"][:, 0], [1, -1, -1, -1, -1])
    for beta, score in zip([2.0, 3.0, 5.0, 7.0], found.cv_results_["mean_test_score"][1:], strict=True):
        grid = GridSearchCV(code(), {"beta": [beta]}, scoring=population_sparsity_scorer, cv=2).fit(X)
        assert score == grid.best_score_


def test_shares_that_are_compared_are_attributes(digits):
    sae = code(max_iter=2).fit(digits[0])
    assert all(hasattr(sae, name) for name in USELESS)


# -- what contains the autoencoder ------------------------------------------------------------------


def half():
    return slice(0, 32), slice(32, 64)


CONTAINERS = {
    "last": lambda: make_pipeline(StandardScaler(), code()),
    "first": lambda: make_pipeline(code(), LogisticRegression()),
    "pipelines in pipelines": lambda: make_pipeline(
        MinMaxScaler(), make_pipeline(PCA(10), code()), LogisticRegression()
    ),
    "union": lambda: make_pipeline(make_union(PCA(3), make_pipeline(MinMaxScaler(), code())), LogisticRegression()),
    "columns": lambda: make_pipeline(
        make_column_transformer((make_pipeline(StandardScaler(), code()), half()[0]), (PCA(3), half()[1])),
        LogisticRegression(),
    ),
    "autoencoder as columns": lambda: ColumnTransformer([("code", code(), half()[0])], remainder="passthrough"),
    "target": lambda: TransformedTargetRegressor(
        make_pipeline(StandardScaler(), code(), Ridge()), func=np.log1p, inverse_func=np.expm1
    ),
    "memory": lambda: Pipeline([("scale", StandardScaler()), ("code", code()), ("ridge", Ridge())], memory="set below"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(digits, name, tmp_path):
    X, y = digits
    estimator = CONTAINERS[name]()
    if name == "memory":
        estimator.set_params(memory=str(tmp_path))
    route = find_autoencoder(estimator)
    scoring = population_sparsity_scorer if name in ("last", "autoencoder as columns") else None
    ours, one, theirs = (
        kind(estimator, {f"{route}__beta": betas}, cv=2, error_score="raise", scoring=scoring).fit(X, y)
        for kind, betas in [(PathSearchCV, [1.0, 2.0]), (PathSearchCV, [1.0]), (GridSearchCV, [1.0])]
    )
    np.testing.assert_array_equal(ours.path_results_["start"][:, 0], [-1, 0])
    assert_same_results(one.cv_results_, theirs.cv_results_)
    assert ours.cv_results_["split0_test_score"][0] == theirs.cv_results_["split0_test_score"][0]
    best = ours.best_estimator_
    before = best.transform(X) if hasattr(best, "transform") else best.predict(X)
    loaded = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(loaded.transform(X) if hasattr(best, "transform") else loaded.predict(X), before)
    for key, value in {"": best, **best.get_params()}.items():
        if isinstance(value, Pipeline):
            assert value.memory == (str(tmp_path) if name == "memory" and key == "" else None)
            assert "fit" not in vars(value)
        assert not isinstance(value, SparseAutoencoderTransformer) or "fit" not in vars(value)
    assert repr(clone(best)) == repr(clone(estimator).set_params(**ours.best_params_))


def test_no_traces_are_left_in_fitted_copies(digits):
    found = search(CONTAINERS["columns"](), {"columntransformer__pipeline__sparseautoencodertransformer__beta": [1, 2]})
    inner = found.fit(*digits).best_estimator_["columntransformer"].named_transformers_["pipeline"]
    assert inner.memory is None
    assert not {"fit", "__sklearn_clone__"} & vars(inner[-1]).keys()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_pipeline(StandardScaler(), LogisticRegression()), "found no autoencoder"),
        (lambda: make_pipeline(code(), code()), "found 2: sparseautoencodertransformer-1, sparse"),
        (lambda: BaggingClassifier(classifier()), "inside of a BaggingClassifier, .* put the PathSearchCV inside"),
        (lambda: make_pipeline(GridSearchCV(code(), {"rho": [0.1]})), "inside of a GridSearchCV"),
    ],
)
def test_where_there_is_no_single_autoencoder(digits, make, message):
    with pytest.raises(ValueError, match=message):
        search(make(), {}).fit(*digits)


def test_an_autoencoder_that_is_frozen_does_not_count(digits):
    first = FrozenEstimator(code().fit(digits[0]))
    found = search(make_pipeline(first, code(), LogisticRegression()), {"sparseautoencodertransformer__beta": [1, 2]})
    np.testing.assert_array_equal(found.fit(*digits).path_results_["start"][:, 0], [-1, 0])


def test_candidates_without_an_autoencoder(digits):
    grid = [{"code": [code(), code(n_components=5)], "code__beta": [1.0, 2.0]}, {"code": [PCA(5), "passthrough"]}]
    found = search(grid=grid).fit(*digits)
    theirs = GridSearchCV(classifier(), grid, cv=2).fit(*digits)
    np.testing.assert_array_equal(np.isnan(found.path_results_["loss"][:, 0]), [False] * 4 + [True] * 2)
    np.testing.assert_array_equal(found.path_results_["start"][:4, 0], [-1, 0, -1, 2])
    for i in (0, 2, 4, 5):
        assert found.cv_results_["mean_test_score"][i] == theirs.cv_results_["mean_test_score"][i]
    assert search(grid=[grid[1], {"code__rho": [0.1]}], refit=lambda _: 0).fit(*digits).predict(digits[0]).any() >= 0


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
        options = dict(cv=GroupKFold(2), error_score="raise", scoring="neg_log_loss")
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
    np.testing.assert_array_equal((found.path_results_["start"] == -1).sum(axis=0), [1, 1])
    assert found.predict(X).shape == (150,)
    assert pickle.loads(pickle.dumps(found)).best_estimator_.p_values(X).shape == (150,)


def test_the_detector_by_a_criterion_without_labels(rng):
    def looks_alike(estimator, X, y=None):
        return -abs(np.mean(estimator.predict(X) == -1) - 0.05)

    detector = SparseAutoencoderOutlierDetector(max_iter=20, random_state=0)
    found = search(detector, {"rho": [0.05, 0.1], "alpha": [0.03, 0.1]}, scoring=looks_alike)
    assert np.isfinite(found.fit(rng.normal(size=(200, 3))).best_score_)


def test_a_warning_if_the_reconstruction_error_chooses_the_smallest_beta(digits):
    X, y = digits
    grid = {"beta": [0, 3.0], "rho": [0.05]}
    for estimator, prefix in [(code(), ""), (make_pipeline(MinMaxScaler(), code()), "sparseautoencodertransformer__")]:
        with pytest.warns(UserWarning, match=r"chose beta=0, the smallest.*SparsestWithin"):
            search(estimator, within(grid, prefix)).fit(X)
    scoring = {"score": explained_variance_scorer, "sparsity": population_sparsity_scorer}
    search(code(), grid, scoring=scoring, refit="score").fit(X)  # who names a scorer has chosen it
    search(code(), {"beta": [0.0]}).fit(X)
    search(grid=within(grid)).fit(X, y)


def test_beta_of_zero_is_a_step_like_any_other(digits):
    found = search(code(), {"beta": [0, 0.3, 3.0]}, scoring=population_sparsity_scorer).fit(digits[0])
    np.testing.assert_array_equal(found.path_results_["start"][:, 0], [1, -1, 1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::skl_sae.DataRangeWarning")
@parametrize_with_checks(
    [
        search(code(n_components=2, max_iter=5), {"rho": [0.1, 0.2]}, scoring=population_sparsity_scorer),
        search(grid={"code__beta": [1.0, 2.0]}),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
