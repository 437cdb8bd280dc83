"""The path of a search: where it leads, what starts from what, and through which containers."""

import contextlib
import pickle
from collections import defaultdict

import numpy as np
import pytest
from fits import assert_same_fit, quiet, weights_of
from joblib import parallel_config
from scipy.sparse import csr_array
from searches import GRID, assert_same_results, classifier, code, search, within
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
)
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import (
    DivergenceError,
    SparseAutoencoderOutlierDetector,
    SparseAutoencoderTransformer,
    TopKAutoencoderTransformer,
)
from skl_sae._path import (
    BROKEN,
    CONSTANT,
    Fit,
    Path,
    Walk,
    arrange,
    find_autoencoder,
    plan,
    share_processors,
    share_walks,
    threads_on,
)
from skl_sae.metrics import population_sparsity_scorer
from skl_sae.model_selection import PathSearchCV

pytestmark = quiet


# -- the path --------------------------------------------------------------------------------------


def starts(names, nodes):
    stops = arrange(names, {node: [i] for i, node in enumerate(nodes)})
    assert [stop.start is None for stop in stops] == [True] + [False] * (len(nodes) - 1)
    assert all(stop.start is None or stop.start < i for i, stop in enumerate(stops))
    return {stop.values: None if stop.start is None else stops[stop.start].values for stop in stops}


@pytest.mark.plain
def test_a_path_leads_from_the_middle_along_rho_and_from_there_along_beta():
    found = starts(("beta", "rho"), [(beta, rho) for beta in (1, 2, 3) for rho in (10, 20, 30)])
    assert found == {
        (2, 20): None,
        **{(2, 10): (2, 20), (2, 30): (2, 20)},
        **{(beta, rho): (2, rho) for beta in (1, 3) for rho in (10, 20, 30)},
    }


@pytest.mark.plain
def test_a_path_follows_tol_from_loose_to_tight():
    found = starts(("tol", "beta"), [(tol, beta) for tol in (1e-4, 1e-3, 1e-2) for beta in (1, 2)])
    assert found[1e-2, 1] is None
    assert found[1e-2, 2] == (1e-2, 1)
    assert all(found[tol, beta] == (10 * tol, beta) for tol in (1e-3,) for beta in (1, 2))


@pytest.mark.plain
def test_every_start_is_a_nearest_finished_one(rng):
    for _ in range(20):
        nodes = sorted({tuple(one) for one in rng.integers(5, size=(rng.integers(1, 30), 3)).tolist()})
        stops = arrange(("beta", "alpha", "rho"), {node: [] for node in rng.permutation(nodes).tolist() and nodes})
        ranks = np.array([[sorted({n[k] for n in nodes}).index(s.values[k]) for k in range(3)] for s in stops])
        for i, stop in enumerate(stops[1:], 1):
            lengths = np.abs(ranks[:i] - ranks[i]) @ [1, 2, 3]
            assert lengths[stop.start] == lengths.min()


@pytest.mark.plain
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


@pytest.mark.plain
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
    """Scores and losses of the candidates that have the ``fixed`` parameters, by the values of the others."""
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


@pytest.mark.plain
def test_the_last_tasks_share_the_processors():
    assert share_processors(5, 2) == [1, 1, 1, 1, 2]
    assert share_processors(6, 4) == [1, 1, 1, 1, 2, 2]
    assert share_processors(3, 8) == [2, 2, 2]
    assert share_processors(4, 2) == [1, 1, 1, 1]
    assert share_processors(2, 1) == [1, 1]
    with threads_on(2):
        pass


def path_over(*levels, candidates=1):
    nodes = [(i, j) for i in range(levels[0]) for j in range(levels[1])]
    return Path("", ("beta", "rho"), arrange(("beta", "rho"), {node: list(range(candidates)) for node in nodes}))


@pytest.mark.plain
def test_parts_of_a_path_have_about_as_many_candidates_each_and_keep_branches_together():
    path = path_over(5, 5)
    assert path.divide(1) == [list(range(25))]
    halves = path.divide(2)
    assert sorted(map(len, halves)) == [12, 13]
    for half in halves:
        missing = {path.stops[i].start for i in half} - {*half, None}
        assert all(path.stops[i].values[0] == 2 for i in missing)  # on the way along rho
    assert sorted(i for part in path.divide(7) for i in part) == list(range(25))
    assert len(path.divide(40)) == 25
    assert len(path_over(1, 1).divide(3)) == 1


@pytest.mark.plain
def test_a_part_of_a_walk_forgets_every_fit_after_its_last_use():
    path = path_over(4, 5)
    for part in path.divide(3):
        walk = Walk(path, part)
        for i in part:
            j = i
            while j is not None:  # as if i had been fitted, and what was missing on the way to it
                walk.fits.setdefault(j, None)
                j = path.stops[j].start
            walk.leave(i)
            assert {path.stops[later].start for later in part if later > i} <= {*walk.fits, *part, None}
        assert not walk.fits


@pytest.mark.plain
def test_the_last_walks_are_divided_among_processes_and_threads():
    def shares(*args):
        return [(share.split, len(share.stops), share.n_processors) for share in share_walks(*args)]

    assert shares([path_over(5, 5)], 3, 1) == [(0, 25, 1), (1, 25, 1), (2, 25, 1)]
    assert shares([path_over(5, 5)], 3, 2) == [(0, 25, 1), (1, 25, 1), (2, 13, 1), (2, 12, 1)]
    assert shares([path_over(1, 2)], 1, 5) == [(0, 1, 2), (0, 1, 2)]


DIVIDED = {
    "pipeline": lambda: (classifier(), within(GRID) | {"classify__C": [0.1, 1.0]}),
    "a generator": lambda: (classifier(random_state=np.random.RandomState(0)), within(GRID)),
    "no seed": lambda: (classifier(random_state=None), within(GRID)),
    "adam": lambda: (classifier(solver="adam", max_iter=3), within(GRID)),
    "sparse": lambda: (code(), GRID),
    "detector": lambda: (SparseAutoencoderOutlierDetector(max_iter=5, random_state=0), {"rho": [0.1, 0.2, 0.3]}),
    "its generator": lambda: (
        SparseAutoencoderOutlierDetector(max_iter=5, random_state=np.random.RandomState(0)),
        {"rho": [0.1, 0.2], "alpha": [0.1, 0.2, 0.3]},
    ),
    "failures": lambda: (code(), {"rho": [0.1, 1.5, 0.2], "beta": [0.3, 1.0, 3.0]}),
}


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test scores")
@pytest.mark.filterwarnings("ignore:The search chose beta")
@pytest.mark.parametrize("name", DIVIDED)
def test_a_part_of_a_walk_has_the_bits_of_the_whole(digits, name, monkeypatch):
    X, y = digits
    X, y = (X[:150, 20:40], np.where(y[:150] < 1, -1, 1)) if name in ("detector", "its generator") else (X, y)
    X = csr_array(X) if name == "sparse" else X
    found = []
    for n_processes in (1, 5):
        monkeypatch.setattr("skl_sae.model_selection.effective_n_jobs", lambda _, n=n_processes: n)
        np.random.seed(0)  # noqa: NPY002 - from which None draws
        estimator, grid = DIVIDED[name]()
        scoring = "roc_auc" if isinstance(estimator, SparseAutoencoderOutlierDetector) else None
        found.append(search(estimator, grid, scoring=scoring, error_score=np.nan).fit(X, y))
    whole, parts = found
    assert_same_results(whole.cv_results_, parts.cv_results_)
    assert_same_results(whole.path_results_, parts.path_results_)
    best = whole.best_estimator_, parts.best_estimator_
    assert_same_fit(*(one["code"] if isinstance(one, Pipeline) else one for one in best))


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes(digits):
    one, two = (search(n_jobs=n_jobs, cv=3).fit(*digits) for n_jobs in (1, 2))
    assert_same_results(one.cv_results_, two.cv_results_)
    assert_same_results(one.path_results_, two.path_results_)
    assert_same_fit(one.best_estimator_["code"], two.best_estimator_["code"])


def test_top_k_autoencoders_follow_tol_and_start_anew_for_every_k(digits):
    X, _ = digits
    grid = {"k": [2, 4], "tol": [1e-3, 3e-2]}
    model = TopKAutoencoderTransformer(16, max_iter=60, random_state=0)
    found = PathSearchCV(model, grid, cv=2, error_score="raise").fit(X)
    assert found.cv_results_["params"] == list(ParameterGrid(grid))
    np.testing.assert_array_equal(found.path_results_["start"][:, 0], [1, -1, 3, -1])
    assert found.best_params_["k"] == 4


def test_values_that_are_no_numbers_start_new_paths(rng):
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    detector = SparseAutoencoderOutlierDetector(max_iter=10, random_state=0)
    found = search(detector, {"alpha": ["auto", 0.1, 0.11]}, scoring="roc_auc").fit(X, y)
    np.testing.assert_array_equal(found.path_results_["start"][:, 0], [-1, -1, 1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test scores")
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("name", "values"), [("n_components", [5, 5.0]), ("early_stopping", [False, 0]), ("max_iter", [1, True])]
)
def test_equal_values_of_other_types_are_apart(digits, name, values, order):
    grid = {name: values[::order], "beta": [1.0, 3.0]}
    options = dict(cv=2, refit=False, scoring=population_sparsity_scorer)
    ours, theirs = (kind(code(), grid, **options).fit(digits[0]) for kind in (PathSearchCV, GridSearchCV))
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    failed = np.isnan(theirs.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(np.isnan(ours.cv_results_["mean_test_score"]), failed)
    assert failed.any() == (name != "max_iter")


@pytest.mark.plain
def test_the_refit_follows_the_path(digits):
    X = digits[0]
    found = search(code(), GRID, refit=lambda results: 5, cv=[(np.arange(len(X)), np.arange(20))]).fit(X)
    assert found.best_params_ == {"beta": 3.0, "rho": 0.3}
    assert found.best_estimator_.loss_ == found.path_results_["loss"][5, 0]
    assert found.best_estimator_.n_iter_ == found.path_results_["n_iter"][5, 0]
    assert not found.best_estimator_.warm_start
    assert not hasattr(found.best_estimator_, "_training")


def test_a_walk_to_one_stop_keeps_the_last_fit_alone_however_long_the_way(digits, monkeypatch):
    """What solvers remember is many times as large as the weights."""
    learn, kept = Walk._learn, []

    def counting(self, *args):
        kept.append(sum(fit is not None for fit in self.fits.values()))
        return learn(self, *args)

    monkeypatch.setattr(Walk, "_learn", counting)
    X = digits[0][:20, 20:22]
    betas = np.linspace(1.0, 2.0, 1200).tolist()  # half of them are on the way, more than Python has frames for
    path = Path("", ("beta",), arrange(("beta",), {(beta,): [i] for i, beta in enumerate(betas)}))
    last = next(i for i, stop in enumerate(path.stops) if stop.values == (2.0,))
    walk, model = Walk(path, [last]), code(n_components=2, max_iter=1, beta=2.0)
    with walk.joined(model, last):
        model.fit(X)
    assert kept == [0] + [1] * 600
    assert walk.fits[last].record["start"] == 1198


@pytest.mark.plain
def test_a_walk_forgets_fits_early_and_starts_as_one_that_forgets_nothing(rng, monkeypatch):
    failing, most = set(), []

    def learn(self, model, start, data, params):
        most.append(sum(fit is not None for fit in self.fits.values()))
        if (model.beta, model.rho) in failing:
            raise DivergenceError
        return Fit({}, 0.0, {"start": start}, [])

    def starts(path, parts):
        found = {}
        for part in parts:
            walk = Walk(path, part)
            for i in part:
                beta, rho = path.stops[i].values
                with walk.joined(model := code(beta=beta, rho=rho), i), contextlib.suppress(DivergenceError):
                    model.fit(np.eye(2))
                found[i] = walk.record(i)
                walk.leave(i)
            assert not walk.fits
        return found

    monkeypatch.setattr(Walk, "_learn", learn)
    for _ in range(30):
        path = path_over(*rng.integers(1, 7, size=2))
        nodes = [stop.values for stop in path.stops]
        failing = {node for node in nodes if rng.random() < 0.4}
        forgetful = [starts(path, path.divide(n)) for n in (1, 2, 5)]
        expected = {}
        for i, (values, start, _) in enumerate(path.stops):
            while start is not None and nodes[start] in failing:
                start = path.stops[start].start
            expected[i] = {} if values in failing else {"start": start}
        assert forgetful == [expected] * 3
    failing, most = set(), []
    starts(path_over(1, 40), [list(range(40))])
    assert max(most) == 2


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


@pytest.mark.plain
def test_the_parameter_warm_start_stays_what_it_was(digits):
    found = search(code(warm_start=True), {"beta": [0.3, 3.0]}, scoring=population_sparsity_scorer).fit(digits[0])
    assert found.best_estimator_.warm_start
    before = found.best_estimator_.n_iter_
    assert found.best_estimator_.fit(digits[0]).n_iter_ > before


@pytest.mark.parametrize("options", [{"solver": "adam", "max_iter": 5}, {"early_stopping": True}, {"adam_start": 2}])
def test_other_solvers(digits, options):
    found = search(code(**options), {"beta": [0.3, 1.0, 3.0]}, scoring=population_sparsity_scorer).fit(digits[0])
    assert (found.path_results_["start"][:, 0] == [1, -1, 1]).all()


@pytest.mark.plain
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
    assert all(hasattr(sae, name) for name in BROKEN + CONSTANT)


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


@pytest.mark.plain
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


@pytest.mark.parametrize("name", ["union", "columns"])
@pytest.mark.parametrize(("inside", "outside"), [(2, None), (None, 2)])
def test_containers_with_jobs_of_their_own(digits, name, inside, outside):
    estimator = CONTAINERS[name]()
    route = find_autoencoder(estimator)
    expected = search(estimator, {f"{route}__beta": [1.0, 2.0]}).fit(*digits)
    jobs = {f"{route.split('__')[0]}__n_jobs": inside}
    estimator.set_params(**jobs)
    with parallel_config(n_jobs=outside):
        found = search(estimator, {f"{route}__beta": [1.0, 2.0]}, n_jobs=1).fit(*digits)
    assert_same_results(found.path_results_, expected.path_results_)
    assert jobs.items() <= found.best_estimator_.get_params().items()


@pytest.mark.plain
def test_an_autoencoder_without_columns(digits):
    estimator = make_pipeline(ColumnTransformer([("code", code(), [])], remainder="passthrough"), LogisticRegression())
    with pytest.raises(RuntimeError, match=r"'columntransformer__code' did not fit it.*no columns"):
        search(estimator, {"columntransformer__code__beta": [1.0]}).fit(*digits)


def test_no_traces_are_left_in_fitted_copies(digits):
    found = search(CONTAINERS["columns"](), {"columntransformer__pipeline__sparseautoencodertransformer__beta": [1, 2]})
    inner = found.fit(*digits).best_estimator_["columntransformer"].named_transformers_["pipeline"]
    assert inner.memory is None
    assert not {"fit", "__sklearn_clone__"} & vars(inner[-1]).keys()


@pytest.mark.plain
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_pipeline(StandardScaler(), LogisticRegression()), "found no autoencoder"),
        (lambda: make_pipeline(code(), code()), "found 2: sparseautoencodertransformer-1, sparse"),
        (lambda: BaggingClassifier(classifier()), "inside a BaggingClassifier, .* put the PathSearchCV inside"),
        (lambda: make_pipeline(GridSearchCV(code(), {"rho": [0.1]})), "inside a GridSearchCV"),
    ],
)
def test_where_there_is_no_single_autoencoder(digits, make, message):
    with pytest.raises(ValueError, match=message):
        search(make(), {}).fit(*digits)


@pytest.mark.plain
def test_an_autoencoder_that_is_frozen_does_not_count(digits):
    first = FrozenEstimator(code().fit(digits[0]))
    found = search(make_pipeline(first, code(), LogisticRegression()), {"sparseautoencodertransformer__beta": [1, 2]})
    np.testing.assert_array_equal(found.fit(*digits).path_results_["start"][:, 0], [-1, 0])


@pytest.mark.plain
def test_candidates_without_an_autoencoder(digits):
    grid = [{"code": [code(), code(n_components=5)], "code__beta": [1.0, 2.0]}, {"code": [PCA(5), "passthrough"]}]
    found = search(grid=grid).fit(*digits)
    theirs = GridSearchCV(classifier(), grid, cv=2).fit(*digits)
    np.testing.assert_array_equal(np.isnan(found.path_results_["loss"][:, 0]), [False] * 4 + [True] * 2)
    np.testing.assert_array_equal(found.path_results_["start"][:4, 0], [-1, 0, -1, 2])
    for i in (0, 2, 4, 5):
        assert found.cv_results_["mean_test_score"][i] == theirs.cv_results_["mean_test_score"][i]
    assert search(grid=[grid[1], {"code__rho": [0.1]}], refit=lambda _: 0).fit(*digits).predict(digits[0]).any() >= 0
