"""The estimators in searches, with joblib, and, marked ``integration``, with other people's packages."""

import io
import json
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform, uniform
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import HalvingGridSearchCV, RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae.metrics import anomaly_roc_auc_scorer

integration = pytest.mark.integration

pytestmark = [  # few iterations: how good a model is makes no difference here
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
]

TRANSFORMER = "skl_sae.transformer.SparseAutoencoderTransformer"
TOPK = "skl_sae.topk.TopKAutoencoderTransformer"
DETECTOR = "skl_sae.outlier.SparseAutoencoderOutlierDetector"


def transformer(**parameters):
    return SparseAutoencoderTransformer(8, max_iter=30, random_state=0, **parameters)


def topk(**parameters):
    settings = {"k": 3, "max_iter": 10, "random_state": 0, "sparse_output": False, "batch_size": 50}
    return TopKAutoencoderTransformer(8, **settings | parameters)


def detector(**parameters):
    return SparseAutoencoderOutlierDetector(max_iter=30, random_state=0, **parameters)


@pytest.fixture(scope="module")
def digits():
    return load_digits().data / 16


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True)


@pytest.fixture(scope="module")
def wine():
    """Wines of two cultivars, and ten of a third one, which are the anomalies."""
    X, y = load_wine(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y < 2), np.flatnonzero(y == 2)[:10]])
    return X[rows], y[rows] == 2


def outputs(model, X):
    """All outputs of a fitted model, alone or in a Pipeline, for some rows."""
    methods = "transform", "predict", "score_samples", "decision_function"
    return {name: getattr(model, name)(X) for name in methods if hasattr(model, name)}


def assert_same_outputs(actual, expected):
    assert actual.keys() == expected.keys()
    assert len(expected) >= 2
    for name, values in expected.items():
        assert actual[name].dtype == values.dtype
        np.testing.assert_array_equal(actual[name], values, err_msg=name)


# -- searches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", ["n_samples", "sparseautoencodertransformer__max_iter"])
def test_halving_search_keeps_the_better_half_on_more_rows_or_iterations(cancer, resource):
    pipeline = make_pipeline(StandardScaler(), transformer(), LogisticRegression())
    grid = {"sparseautoencodertransformer__rho": [0.05, 0.2], "sparseautoencodertransformer__beta": [0.1, 3]}
    limits = {} if resource == "n_samples" else {"min_resources": 5, "max_resources": 20}
    search = HalvingGridSearchCV(
        pipeline, grid, resource=resource, factor=2, cv=3, random_state=0, error_score="raise", **limits
    ).fit(*cancer)
    assert search.n_candidates_[:2] == [4, 2]
    assert search.n_resources_[1] == 2 * search.n_resources_[0]
    assert search.best_score_ > 0.9


@pytest.mark.parametrize("supervised", [True, False])
def test_random_search_draws_from_distributions(cancer, wine, supervised):
    ranges = {"alpha": loguniform(1e-4, 1e-1), "beta": loguniform(0.1, 10), "rho": uniform(0.02, 0.28)}
    model, (X, y), scoring = detector(scoring="mahalanobis"), wine, anomaly_roc_auc_scorer
    if supervised:
        model, (X, y), scoring = make_pipeline(StandardScaler(), transformer(), LogisticRegression()), cancer, None
        ranges = {f"sparseautoencodertransformer__{name}": values for name, values in ranges.items()}
    settings = dict(n_iter=4, cv=StratifiedKFold(3), random_state=0, error_score="raise", refit=False)
    search = RandomizedSearchCV(model, ranges, scoring=scoring, **settings).fit(X, y)
    for name, values in ranges.items():
        drawn = [parameters[name] for parameters in search.cv_results_["params"]]
        assert len(set(drawn)) == 4
        assert values.support()[0] <= min(drawn) < max(drawn) <= values.support()[1]
    assert search.best_score_ > 0.9


def test_permutation_importance_finds_the_features_that_scores_depend_on(wine):
    X, anomaly = wine
    X = np.column_stack([X, np.ones(len(X))])  # permuting a constant changes nothing
    model = detector().fit(X)
    found = permutation_importance(model, X, anomaly, scoring=anomaly_roc_auc_scorer, n_repeats=3, random_state=0)
    assert (found.importances[-1] == 0).all()
    assert found.importances_mean.max() > 0.01


# -- joblib ----------------------------------------------------------------------------------------

LOAD = """
import sys
import joblib
from skl_sae._kernels.inference import encode
for mode in None, "r":
    for model, X, expected in joblib.load(sys.argv[1], mmap_mode=mode):
        for name, values in expected.items():
            assert (getattr(model, name)(X) == values).all(), (model, mode, name)
assert len(encode.signatures) == 1, encode.signatures
"""


@pytest.mark.slow
def test_another_process_loads_the_same_models_also_memory_mapped(digits, tmp_path):
    models = [model.fit(digits) for model in (transformer(), topk(), topk(selection="batchtopk"), detector())]
    joblib.dump([(model, digits, outputs(model, digits)) for model in models], tmp_path / "models.joblib")
    subprocess.run([sys.executable, "-c", LOAD, tmp_path / "models.joblib"], check=True)


def fit_in_worker(model, X):
    """Whether the worker was given read-only mapped rows, and the outputs of a fit to them."""
    return isinstance(X, np.memmap) and not X.flags.writeable, outputs(model.fit(X), X)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_workers_make_of_memory_mapped_rows_what_one_process_makes(digits, dtype):
    X = digits.astype(dtype)
    models = [transformer(), transformer(solver="adam"), topk(), detector()]
    with joblib.Parallel(n_jobs=2, backend="loky", max_nbytes=1000) as parallel:
        results = parallel(joblib.delayed(fit_in_worker)(clone(model), X) for model in models)
    for model, (mapped, found) in zip(models, results, strict=True):
        assert mapped
        with threadpool_limits(1):  # as joblib does in the workers: the detector's covariance depends on it
            assert_same_outputs(found, outputs(clone(model).fit(X), X))


SEARCH = """
import tracemalloc, warnings
import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV, ParameterGrid, ShuffleSplit
from skl_sae import SparseAutoencoderTransformer
from skl_sae._kernels import adam, evaluate  # modules: kernels would be pickled by value

class Watched(SparseAutoencoderTransformer):
    def fit(self, X, y=None):
        warnings.simplefilter("ignore")  # of fits that are cut short
        super().fit(X[:100].copy())  # from now on everything is compiled
        self.mapped_ = isinstance(X, np.memmap) and not X.flags.writeable
        tracemalloc.start()
        super().fit(X)
        self.peak_ = tracemalloc.get_traced_memory()[1] / X.nbytes
        tracemalloc.stop()
        return self

def figures(sae, X, y=None):
    kernel = {"adam": adam.adam_steps, "lbfgs": evaluate.evaluate_steps}[sae.solver]
    variants = ["float32" in str(signature) for signature in kernel.signatures]
    return {"mapped": sae.mapped_, "peak": sae.peak_, "variants": variants.count(X.dtype == np.float32)}

def by_grid_search(X):
    sae, folds = Watched(10, max_iter=2, batch_size=1000), ShuffleSplit(1, test_size=0.1)
    search = GridSearchCV(sae, grid, scoring=figures, refit=False, cv=folds, n_jobs=2, error_score="raise")
    results = search.fit(X).cv_results_
    return [results[f"mean_test_{name}"] for name in ("mapped", "peak", "variants")]

def by_hand(X):
    fit = delayed(lambda sae, X: figures(sae.fit(X), X).values())
    saes = (Watched(10, max_iter=2, batch_size=1000, **parameters) for parameters in ParameterGrid(grid))
    return zip(*Parallel(n_jobs=2)(fit(sae, X) for sae in saes))

# Every pair of values of two parameters.
grid = [
    {"solver": ["adam"], "rho": [0.05], "beta": [0.1]}, {"solver": ["adam"], "rho": [0.2], "beta": [3.0]},
    {"solver": ["lbfgs"], "rho": [0.05], "beta": [3.0]}, {"solver": ["lbfgs"], "rho": [0.2], "beta": [0.1]},
]
rows = np.random.default_rng(0).uniform(size=(50_000, 100))  # 40 MB
for X in rows, rows.astype(np.float32):
    for way in by_grid_search, by_hand:
        mapped, peak, variants = way(X)
        assert len(peak) == 4
        assert all(mapped) or way is by_grid_search
        assert max(peak) < 0.5, (way, peak)
        assert set(variants) == {1}, (way, variants)
"""


@pytest.mark.slow
def test_a_parameter_grid_in_two_processes_compiles_once_and_copies_no_rows():
    """Rows of a fold are scikit-learn's own copy; a grid by hand works on the memory-mapped rows themselves."""
    subprocess.run([sys.executable, "-c", SEARCH], check=True)


# -- skops -----------------------------------------------------------------------------------------

SAVED = {
    "transformer": (transformer(), {TRANSFORMER}),
    **{
        f"warm start, {solver}": (
            transformer(warm_start=True, solver=solver),
            {TRANSFORMER},
        )
        for solver in ("adam", "lbfgs")
    },
    **{
        f"top-k, {selection}, warm start {warm}": (topk(selection=selection, warm_start=warm), {TOPK})
        for selection, warm in [("topk", False), ("topk", True), ("batchtopk", True)]
    },
    "detector": (detector(), {DETECTOR}),
    "squared error": (
        detector(scoring="squared_error", scaling=None, support_fraction=1),
        {DETECTOR},
    ),
}


@integration
@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("name", SAVED)
def test_skops_gives_the_same_model_and_asks_to_trust_few_types(wine, name, in_pipeline):
    sio = pytest.importorskip("skops.io", reason="needs skops")
    model, types = SAVED[name]
    model = (make_pipeline(StandardScaler(), clone(model)) if in_pipeline else clone(model)).fit(wine[0])
    saved = sio.dumps(model)
    assert set(sio.get_untrusted_types(data=saved)) == types
    again = sio.loads(saved, trusted=sorted(types))
    assert_same_outputs(outputs(again, wine[0]), outputs(model, wine[0]))
    assert_same_outputs(outputs(again.fit(wine[0]), wine[0]), outputs(model.fit(wine[0]), wine[0]))


def of_another_type(saved, module, name):
    """A valid skops file that asks for another type in place of the estimator's."""
    schema = json.loads(zipfile.ZipFile(io.BytesIO(saved)).read("schema.json"))
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as before, zipfile.ZipFile(result, "w") as after:
        for file in before.namelist():
            changed = json.dumps(schema | {"__module__": module, "__class__": name})
            after.writestr(file, changed if file == "schema.json" else before.read(file))
    return result.getvalue()


@integration
def test_skops_refuses_a_file_that_is_damaged_or_asks_for_another_type(wine):
    sio = pytest.importorskip("skops.io", reason="needs skops")
    from skops.io.exceptions import UntrustedTypesFoundException

    model = transformer().fit(wine[0])
    saved = sio.dumps(model)
    with pytest.raises(UntrustedTypesFoundException, match="SparseAutoencoderTransformer"):
        sio.loads(saved)
    weights = model.encoder_coef_.tobytes()
    assert weights in saved
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        sio.loads(saved.replace(weights, weights[::-1]), trusted=[TRANSFORMER])
    with pytest.raises(UntrustedTypesFoundException, match=r"subprocess\.Popen"):
        sio.loads(of_another_type(saved, "subprocess", "Popen"), trusted=[TRANSFORMER])


# -- dask ------------------------------------------------------------------------------------------


@integration
@pytest.mark.parametrize("model", [transformer(batch_size=50), topk()])
def test_dask_incremental_is_partial_fit_over_the_chunks(digits, model):
    wrappers = pytest.importorskip("dask_ml.wrappers", reason="needs dask-ml")
    import dask.array as da

    by_hand = clone(model)
    for start in range(0, len(digits), 300):
        by_hand.partial_fit(digits[start : start + 300])
    chunks = da.from_array(digits, chunks=(300, 64))
    found = wrappers.Incremental(clone(model), shuffle_blocks=False).fit(chunks)
    assert_same_outputs(outputs(found.estimator_, digits), outputs(by_hand, digits))
    assert found.n_iter_ == 6
    np.testing.assert_array_equal(found.transform(chunks).compute(), by_chunks(by_hand.transform, digits))


def by_chunks(method, X):
    """Apply a method to chunks of 300 rows: in one call the last bits of some rows may differ on some processors."""
    return np.concatenate([method(X[start : start + 300]) for start in range(0, len(X), 300)])


@integration
@pytest.mark.parametrize(
    ("model", "method"), [(transformer(), "transform"), (topk(), "transform"), (detector(), "predict")]
)
def test_dask_applies_a_fitted_model_to_chunks(digits, model, method):
    wrappers = pytest.importorskip("dask_ml.wrappers", reason="needs dask-ml")
    import dask.array as da

    fitted = wrappers.ParallelPostFit(clone(model)).fit(digits[:500])
    chunks = getattr(fitted, method)(da.from_array(digits, chunks=(300, 64)))
    assert isinstance(chunks, da.Array)
    expected = by_chunks(getattr(clone(model).fit(digits[:500]), method), digits)
    assert chunks.dtype == expected.dtype
    np.testing.assert_array_equal(chunks.compute(), expected)


# -- other packages --------------------------------------------------------------------------------


@pytest.mark.slow
@integration
def test_optuna_searches_as_the_example_does(digits):
    optuna = pytest.importorskip("optuna", reason="needs optuna")
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "search_optuna.py"))
    study = example["search"](digits[:500], load_digits().target[:500], n_trials=3)
    assert [trial.state for trial in study.trials] == 3 * [optuna.trial.TrialState.COMPLETE]
    assert study.trials[0].params == example["DEFAULTS"]
    assert study.best_value > 0.8


@integration
def test_imbalanced_learn_samples_before_the_transformer(cancer):
    imblearn = pytest.importorskip("imblearn", reason="needs imbalanced-learn")
    from imblearn.pipeline import make_pipeline as make_sampling_pipeline
    from imblearn.under_sampling import RandomUnderSampler

    X, y = cancer
    sampler, rest = RandomUnderSampler(random_state=0), (StandardScaler(), transformer(), LogisticRegression())
    pipeline = make_sampling_pipeline(sampler, *map(clone, rest)).fit(X, y)
    assert isinstance(pipeline, imblearn.pipeline.Pipeline)
    by_hand = make_pipeline(*rest).fit(*sampler.fit_resample(X, y))
    np.testing.assert_array_equal(pipeline.predict_proba(X), by_hand.predict_proba(X))
    assert pipeline.score(X, y) > 0.9


@pytest.fixture
def mlflow_sklearn(monkeypatch, tmp_path):
    """mlflow, silent, with its store in a folder."""
    settings = {
        "MLFLOW_TRACKING_URI": (tmp_path / "store").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    pytest.importorskip("mlflow.pyfunc", reason="needs mlflow")  # its import warns
    return pytest.importorskip("mlflow.sklearn", reason="needs mlflow")


@pytest.mark.slow
@integration
@pytest.mark.filterwarnings("ignore:The filesystem tracking backend:FutureWarning")
@pytest.mark.filterwarnings("ignore:Saving scikit-learn models in the pickle:FutureWarning")
@pytest.mark.parametrize("serialization_format", ["skops", "cloudpickle"])
@pytest.mark.parametrize("name", ["transformer", "detector"])
def test_mlflow_saves_logs_and_loads(wine, tmp_path, mlflow_sklearn, name, serialization_format):
    model, types = SAVED[name]
    pipeline = make_pipeline(StandardScaler(), clone(model)).fit(wine[0])
    expected = outputs(pipeline, wine[0])
    settings = dict(
        serialization_format=serialization_format,
        skops_trusted_types=sorted(types) if serialization_format == "skops" else None,
        pip_requirements=["skl-sae"],  # else mlflow looks for them in a new process, which takes long
    )
    import mlflow

    mlflow_sklearn.save_model(pipeline, tmp_path / "model", **settings)
    assert_same_outputs(outputs(mlflow_sklearn.load_model(tmp_path / "model"), wine[0]), expected)
    with mlflow.start_run():
        uri = mlflow_sklearn.log_model(pipeline, name="model", **settings).model_uri
    assert_same_outputs(outputs(mlflow_sklearn.load_model(uri), wine[0]), expected)
    if name == "detector":  # mlflow serves what has a `predict`
        np.testing.assert_array_equal(mlflow.pyfunc.load_model(uri).predict(wine[0]), expected["predict"])
