"""The estimator inside scikit-learn's tools."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer
from skl_sae._solvers import SOLVERS

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning"
)


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True, as_frame=True)


def small(**parameters):
    return SparseAutoencoderTransformer(**{"n_components": 8, "max_iter": 30, "random_state": 0} | parameters)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_grid_search_over_rho_and_beta(cancer, n_jobs, solver):
    X, y = cancer
    pipeline = make_pipeline(StandardScaler(), small(solver=solver), LogisticRegression())
    prefix = "sparseautoencodertransformer__"
    grid = {prefix + "rho": [0.05, 0.2], prefix + "beta": [0.1, 3]}
    search = GridSearchCV(pipeline, grid, n_jobs=n_jobs, cv=3, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.9
    assert len(search.cv_results_["params"]) == 4


@pytest.mark.slow
def test_grid_search_gives_the_same_in_two_processes(cancer):
    X, y = cancer
    pipeline = make_pipeline(StandardScaler(), small(), LogisticRegression())
    grid = {"sparseautoencodertransformer__rho": [0.05, 0.2]}
    one, two = (GridSearchCV(pipeline, grid, n_jobs=n, cv=3).fit(X, y).cv_results_["mean_test_score"] for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_grid_search_without_a_scorer_looks_for_the_best_reconstruction(cancer):
    X = StandardScaler().fit_transform(cancer[0])
    search = GridSearchCV(small(max_iter=100), {"n_components": [1, 20]}, cv=3, error_score="raise").fit(X)
    assert search.best_params_ == {"n_components": 20}
    assert search.score(X) == search.best_estimator_.score(X)


def test_cross_val_score(cancer):
    X, y = cancer
    scores = cross_val_score(make_pipeline(StandardScaler(), small(max_iter=100), LogisticRegression()), X, y)
    assert scores.mean() > 0.9


def test_pipeline_encodes_scores_and_inverts(cancer):
    X, _ = cancer
    pipeline = make_pipeline(StandardScaler(), small(max_iter=200)).fit(X)
    codes = pipeline.transform(X)
    assert codes.shape == (len(X), 8)
    scaled = pipeline[0].transform(X)
    np.testing.assert_array_equal(pipeline.score_samples(X), pipeline[-1].score_samples(scaled))
    assert pipeline.score(X) == pipeline[-1].score(scaled)
    back = pipeline.inverse_transform(codes)
    assert np.corrcoef(back.ravel(), X.to_numpy().ravel())[0, 1] > 0.9


def test_two_layers_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(
        MinMaxScaler(),
        small(n_components=64, max_iter=100),
        small(n_components=32, max_iter=100),
        LogisticRegression(C=10),
    )
    assert pipeline.fit(X, y).score(X, y) > 0.8
    assert pipeline[:-1].get_feature_names_out().shape == (32,)


def test_column_transformer(cancer):
    X, _ = cancer
    first, second = list(X.columns[:10]), list(X.columns[10:])
    columns = ColumnTransformer(
        [("sae", make_pipeline(StandardScaler(), small()), first), ("keep", "passthrough", second)]
    )
    out = columns.set_output(transform="pandas").fit_transform(X)
    assert out.shape == (len(X), 28)
    assert out.columns[0] == "sae__sparseautoencodertransformer0"


def test_feature_union(cancer):
    X = StandardScaler().fit_transform(cancer[0])
    union = make_union(small(), PCA(3))
    assert isinstance(union, FeatureUnion)
    assert union.fit_transform(X).shape == (len(X), 11)
    assert union.get_feature_names_out()[0] == "sparseautoencodertransformer__sparseautoencodertransformer0"


@pytest.mark.parametrize(("library", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output(cancer, library, frame):
    X = frame(cancer[0].to_numpy(), **{"columns" if library == "pandas" else "schema": list(cancer[0].columns)})
    scaled = StandardScaler().set_output(transform=library).fit_transform(X)
    sae = small().set_output(transform=library).fit(scaled)
    codes = sae.transform(scaled)
    assert isinstance(codes, frame)
    assert (
        list(codes.columns)
        == [f"sparseautoencodertransformer{j}" for j in range(8)]
        == list(sae.get_feature_names_out())
    )
    assert list(sae.feature_names_in_) == list(cancer[0].columns)
    np.testing.assert_array_equal(codes.to_numpy(), small().fit_transform(scaled.to_numpy()))
    np.testing.assert_array_equal(sae.inverse_transform(codes), sae.inverse_transform(codes.to_numpy()))
    np.testing.assert_array_equal(sae.score_samples(scaled), small().fit(scaled).score_samples(scaled))


def test_global_pandas_output(cancer):
    with config_context(transform_output="pandas"):
        codes = make_pipeline(StandardScaler(), small()).fit_transform(cancer[0])
    assert isinstance(codes, pd.DataFrame)
    pd.testing.assert_index_equal(codes.index, cancer[0].index)


def test_wrong_names_are_refused(cancer):
    X, _ = cancer
    sae = small().fit(X)
    with pytest.raises(ValueError, match="feature names"):
        sae.transform(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="feature names"):
        sae.score_samples(X.rename(columns={X.columns[0]: "other"}))


def test_anomalies_score_lower():
    X, y = load_digits(return_X_y=True)
    normal, odd = X[y != 1] / 16, np.random.default_rng(0).uniform(size=(50, 64))
    sae = SparseAutoencoderTransformer(32, random_state=0).fit(normal[:1000])
    held_out = normal[1000:]
    assert sae.score_samples(odd).max() < np.quantile(sae.score_samples(held_out), 0.01)
    row = held_out[0].copy()
    row[36] = 1 - row[36] if abs(1 - 2 * row[36]) > 0.5 else 5.0
    change = sae.reconstruction_error([row], per_feature=True) - sae.reconstruction_error(
        held_out[:1], per_feature=True
    )
    assert change.argmax() == 36


@pytest.mark.parametrize("estimator", [SparseAutoencoderTransformer(3), SparseAutoencoderOutlierDetector()])
def test_representations_say_what_was_set_and_where_to_read_more(estimator):
    name = type(estimator).__name__
    assert repr(estimator) == (f"{name}(n_components=3)" if estimator.n_components == 3 else f"{name}()")
    assert f"/api/generated/skl_sae.{name}.html" in estimator._repr_html_()
