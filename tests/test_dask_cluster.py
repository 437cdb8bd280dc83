"""Rows of dask arrays on a cluster of processes."""

import gc
import os
import signal
import time

import joblib
import numpy as np
import pytest
from dask_rows import MARKS, ROWS, assert_same_fit, detector, in_csr, made_on_workers, make_chunk, rare, transformer
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skl_sae.exceptions import DivergenceError

da = pytest.importorskip("dask.array", reason="needs dask")
dask = pytest.importorskip("dask", reason="needs dask")
distributed = pytest.importorskip("distributed", reason="needs distributed")

pytestmark = [*MARKS, pytest.mark.slow]


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


# -- fits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters", [{}, {"tied_weights": True}, {"n_components": 150, "max_iter": 10}], ids=["untied", "tied", "BLAS"]
)
def test_a_cluster_fits_what_one_machine_fits(client, parameters):
    chunks, X = made_on_workers(4)
    assert_same_fit(transformer(**parameters).fit(chunks), transformer(**parameters).fit(X))


def test_a_cluster_fits_sparse_blocks(client):
    chunks, X = made_on_workers(4)
    model = transformer(150, max_iter=50)
    assert_same_fit(clone(model).fit(in_csr(chunks.map_blocks(rare))), clone(model).fit(sparse.csr_array(rare(X))))


def test_weights_may_be_here_or_on_the_cluster(client, rng):
    chunks, X = made_on_workers(4)
    weights = rng.integers(0, 3, len(X)).astype(float)
    weights[:ROWS] = 0  # a whole chunk
    expected = transformer().fit(X, sample_weight=weights)
    for given in weights, da.from_array(weights, chunks=1000):
        fitted = transformer().fit(chunks, sample_weight=given)
        assert_same_fit(fitted, expected)
    assert fitted.score(chunks, sample_weight=weights) == pytest.approx(expected.score(X, sample_weight=weights))


PERSISTED = {
    "persisted": lambda X: X.persist(),
    "rechunked before": lambda X: X.rechunk((900, 11)).persist(),
    "rechunked after": lambda X: X.persist().rechunk((900, 11)),
    "mapped": lambda X: X.persist().map_blocks(np.negative).map_blocks(np.negative),
    "sparse": lambda X: in_csr(X).persist(),
    "a mixture": lambda X: da.concatenate([X[:ROWS].persist(), X[ROWS:]]),
    "of unknown size": lambda X: X[X[:, 0] > -1e9].persist(),
}


@pytest.mark.parametrize("form", PERSISTED)
def test_persisted_rows_are_fitted(client, form):
    """Persisting is the first thing that users of dask do."""
    chunks, X = made_on_workers(3)
    chunks = PERSISTED[form](chunks)
    rows = sparse.csr_array(X) if form == "sparse" else X
    assert_same_fit(transformer(max_iter=10).fit(chunks), transformer(max_iter=10).fit(rows))
    found, expected = (detector(max_iter=3).fit(one) for one in (chunks, rows))
    np.testing.assert_allclose(found.score_samples(chunks).compute(), expected.score_samples(rows), rtol=1e-5)


def test_persisted_weights_count(client, rng):
    chunks, X = made_on_workers(3)
    weights = rng.integers(0, 3, len(X)).astype(float)
    given = da.from_array(weights, chunks=ROWS).persist()
    fitted = transformer(max_iter=10).fit(chunks.persist(), sample_weight=given)
    assert_same_fit(fitted, transformer(max_iter=10).fit(X, sample_weight=weights))


def test_float32_stays_float32(client):
    chunks, X = made_on_workers(3)
    fitted, expected = (transformer(max_iter=15).fit(rows.astype(np.float32)) for rows in (chunks, X))
    assert_same_fit(fitted, expected, tolerance=1e-3)


def test_the_detector_learns_on_a_cluster(client):
    chunks, X = made_on_workers(3)
    fitted, expected = detector().fit(chunks), detector().fit(X)
    np.testing.assert_array_equal(fitted.support_, expected.support_)
    np.testing.assert_allclose(fitted.predict(chunks).compute(), expected.predict(X))


def kill_a_worker(client):
    """End a process that holds blocks, as the end of its machine would; return its id."""
    address = max(client.has_what().items(), key=lambda item: len(item[1]))[0]
    (pid,) = client.run(os.getpid, workers=[address]).values()
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.parametrize(
    "model", [transformer(max_iter=12), detector(max_iter=6, scoring="mahalanobis")], ids=["transformer", "detector"]
)
def test_a_fit_survives_the_death_of_a_worker(client, monkeypatch, model):
    from skl_sae._objectives.dask import DaskObjective

    chunks, _ = made_on_workers(4)
    expected = clone(model).fit(chunks)
    evaluate, killed = DaskObjective.evaluate_gradient, []
    counter = iter(range(1000))

    def evaluate_and_kill(self, theta):
        if next(counter) == 4:
            killed.append(kill_a_worker(client))
        return evaluate(self, theta)

    monkeypatch.setattr(DaskObjective, "evaluate_gradient", evaluate_and_kill)
    fitted = clone(model).fit(chunks)
    assert killed
    assert killed[0] not in client.run(os.getpid).values()
    np.testing.assert_array_equal(fitted.encoder_coef_, expected.encoder_coef_)  # the sums run in a fixed order
    assert fitted.loss_ == expected.loss_
    client.wait_for_workers(2, timeout=900)  # the third one comes back when it can


def test_no_rows_pass_through_the_client(client, monkeypatch):
    n_bytes = []

    async def counting(frames, *arguments, **settings):
        n_bytes.append(sum(map(distributed.utils.nbytes, frames)))
        return await from_frames(frames, *arguments, **settings)

    import distributed.comm.tcp

    from_frames = distributed.comm.tcp.from_frames
    n = 20 * ROWS
    chunks, _ = made_on_workers(3, n)
    weights = da.ones(3 * n, chunks=n)
    monkeypatch.setattr(distributed.comm.tcp, "from_frames", counting)  # of this process: client and scheduler
    model = transformer(4, max_iter=3).fit(chunks, sample_weight=weights)
    model.score(chunks)
    monkeypatch.undo()
    assert sum(n_bytes) > 4 * model.encoder_coef_.nbytes  # it does count
    assert sum(n_bytes) < 3 * n * 8 / 2  # half of what a single column takes


def test_parameters_beyond_ten_megabytes_travel_without_a_warning(client):
    chunks = da.random.default_rng(0).normal(size=(600, 1000), chunks=(300, 1000))
    model = transformer(700, max_iter=2, n_iter_no_change=2).fit(chunks)  # 11 MB; warnings are errors here
    assert model.n_iter_ == 2


def tasks_left(client):
    gc.collect()
    deadline = time.monotonic() + 300
    while (left := client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))) > 0:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return left


def test_nothing_stays_on_the_cluster(client):
    chunks, _ = made_on_workers(3)
    transformer(max_iter=2).fit(chunks)
    detector(max_iter=2).fit(chunks)
    with pytest.raises(ValueError, match="NaN") as refused:
        transformer().fit(da.where(chunks > 10, np.nan, chunks))
    with pytest.raises(DivergenceError) as diverged:
        transformer().fit(chunks.astype(np.float32) * np.float32(1e25))
    assert tasks_left(client) == 0
    assert refused.value is not diverged.value  # keeps both tracebacks alive until here


# -- other people's packages -----------------------------------------------------------------------


def test_wrappers_of_dask_ml(client):
    wrappers = pytest.importorskip("dask_ml.wrappers", reason="needs dask-ml")
    chunks, X = made_on_workers(3)
    wrapped = wrappers.ParallelPostFit(transformer(max_iter=3)).fit(chunks)
    np.testing.assert_allclose(wrapped.transform(chunks).compute(), wrapped.estimator.transform(X))
    in_turn = wrappers.Incremental(transformer(), shuffle_blocks=False).fit(chunks)
    expected = transformer()
    for seed in range(3):
        expected.partial_fit(make_chunk(seed))
    np.testing.assert_allclose(in_turn.estimator_.encoder_coef_, expected.encoder_coef_)


def test_a_search_runs_on_the_cluster(client):
    X = make_chunk(0)[:200]
    search = GridSearchCV(transformer(max_iter=5), {"rho": [0.05, 0.1], "beta": [0.1, 3]}, cv=2, error_score="raise")
    expected = clone(search).fit(X)
    with joblib.parallel_config(backend="dask"):
        search.fit(X)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
