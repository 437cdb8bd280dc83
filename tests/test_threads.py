"""Fits in threads, in forked processes, and with every setting of the threads that libraries use."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info, threadpool_limits

import skl_sae
from skl_sae import SparseAutoencoderTransformer
from skl_sae._solvers import SOLVERS

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning"
)

LIMIT = 120  # seconds: a deadlock fails the test

# Rows, features and components of a model that is computed without the threads of BLAS, and of one that uses them.
SMALL, LARGE = (300, 20, 10), (2000, 200, 100)

# What the new processes of this file begin with.
CHILD = """
import os, sys, threading, warnings
import numpy as np
from skl_sae import SparseAutoencoderTransformer
warnings.simplefilter("ignore")  # of fits that are cut short

def fit(shape, solver="lbfgs", seed=0):
    n, d, m = shape
    X = np.random.default_rng(0).uniform(size=(n, d))
    return SparseAutoencoderTransformer(m, solver=solver, max_iter=3, random_state=seed).fit(X).encoder_coef_

small, large = (300, 20, 10), (2000, 200, 100)
"""


def data(shape, dtype="float64"):
    return np.random.default_rng(0).uniform(size=shape[:2]).astype(dtype)


def fit(shape, solver="lbfgs", dtype="float64", seed=0):
    """Encoder weights after a few iterations, in which rounding has not grown yet."""
    sae = SparseAutoencoderTransformer(shape[2], solver=solver, max_iter=3, random_state=seed)
    return sae.fit(data(shape, dtype)).encoder_coef_


def run(code, **environment):
    """Execute code in a new process, which has the package of this one."""
    paths = [str(Path(skl_sae.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.run(
        [sys.executable, "-P", "-c", CHILD + code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
        capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert process.returncode == 0, f"exit code {process.returncode}\n{process.stdout}\n{process.stderr}"


# -- in threads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_small_fits_in_threads_are_those_of_a_row(solver, dtype):
    serial = [fit(SMALL, solver, dtype, seed) for seed in range(8)]
    with parallel_config(backend="threading", n_jobs=4):
        together = Parallel()(delayed(fit)(SMALL, solver, dtype, seed) for seed in range(8))
    np.testing.assert_array_equal(together, serial)


@pytest.mark.parametrize("solver", SOLVERS)
def test_large_fits_in_threads_are_those_of_a_row(solver):
    """With BLAS limited to one thread, as the documentation advises for threads of one's own."""
    with threadpool_limits(1):
        serial = [fit(LARGE, solver, seed=seed) for seed in range(4)]
        with parallel_config(backend="threading", n_jobs=2):
            together = Parallel()(delayed(fit)(LARGE, solver, seed=seed) for seed in range(4))
    np.testing.assert_array_equal(together, serial)


def test_grid_search_in_threads():
    grid, X = {"rho": [0.05, 0.2], "beta": [0.1, 3]}, data(SMALL)
    serial = GridSearchCV(SparseAutoencoderTransformer(10, max_iter=5, random_state=0), grid, cv=2).fit(X)
    with parallel_config(backend="threading", n_jobs=4):
        threads = GridSearchCV(SparseAutoencoderTransformer(10, max_iter=5, random_state=0), grid, cv=2).fit(X)
    np.testing.assert_array_equal(threads.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_every_threading_layer_of_numba(layer):
    """Workqueue ends the process when two threads enter a parallel region, which a kernel thus may not have."""
    try:
        importlib.import_module(f"numba.np.ufunc.{layer}{'' if layer == 'workqueue' else 'pool'}")
    except ImportError as error:
        pytest.skip(f"this numba has no layer {layer}: {error}")
    code = """
expected = fit(small)
results = [None] * 4
def work(i):
    fit(small, "adam")
    results[i] = fit(small)
threads = [threading.Thread(target=work, args=[i]) for i in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert all(np.array_equal(result, expected) for result in results)
"""
    run(code, NUMBA_THREADING_LAYER=layer)


# -- with fewer threads ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_one_thread_by_environment_variable(variable, tmp_path):
    """The same but for rounding: another process may have compiled in another order."""
    run(f"np.savez({str(tmp_path / 'fits.npz')!r}, small=fit(small), large=fit(large))", **{variable: "1"})
    fits = np.load(tmp_path / "fits.npz")
    np.testing.assert_allclose(fits["small"], fit(SMALL), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fits["large"], fit(LARGE), rtol=1e-6, atol=1e-9)


class Watch:
    """A stream that notes the threads of the libraries whenever something is printed."""

    def __init__(self):
        self.seen = []

    def write(self, text):
        self.seen.append([library["num_threads"] for library in threadpool_info()])

    def flush(self):
        pass


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", [SMALL, LARGE])
@pytest.mark.parametrize("limit", [1, None])
def test_limits_of_the_user_hold_during_and_after_a_fit(shape, solver, limit, monkeypatch):
    expected, watch = fit(shape, solver), Watch()
    outside = threadpool_info()
    sae = SparseAutoencoderTransformer(shape[2], solver=solver, max_iter=3, random_state=0, verbose=1)
    with threadpool_limits(limit):
        before = threadpool_info()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", watch)
            sae.fit(data(shape))
        assert threadpool_info() == before
    assert threadpool_info() == outside
    assert watch.seen
    assert all(seen == [library["num_threads"] for library in before] for seen in watch.seen)
    np.testing.assert_allclose(sae.encoder_coef_, expected, rtol=1e-6, atol=1e-9)
    if shape == SMALL:
        np.testing.assert_array_equal(sae.encoder_coef_, expected)


@pytest.mark.slow
def test_large_fits_in_worker_processes():
    """Each of joblib's two workers has half of the threads."""
    workers = Parallel(n_jobs=2, backend="loky")(delayed(fit)(LARGE, solver) for solver in SOLVERS)
    np.testing.assert_allclose(workers, [fit(LARGE, solver) for solver in SOLVERS], rtol=1e-6, atol=1e-9)


# -- after a fork ----------------------------------------------------------------------------------

FORK = """
import signal

def in_a_fork(shape, solver, expected):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # a child that hangs outlives its parent otherwise
        code = 1
        try:
            code = 0 if np.allclose(fit(shape, solver), expected, rtol=1e-6, atol=1e-9) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_fits():
    code = """
for shape in (small, large):
    for solver in ("lbfgs", "adam"):
        expected = fit(shape, solver)
        in_a_fork(shape, solver, expected)
        assert np.allclose(fit(shape, solver), expected, rtol=1e-6, atol=1e-9)
"""
    run(FORK + code)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("shape", "settings"), [("small", {}), ("large", {"OPENBLAS_NUM_THREADS": "1"})])
def test_a_child_that_is_forked_while_threads_fit(shape, settings):
    """With several threads OpenBLAS itself hangs in a fork during a product; plain NumPy shows the same."""
    code = f"""
expected = fit({shape})
stop, failed = threading.Event(), []

def work():
    while not stop.is_set():
        if not np.allclose(fit({shape}), expected, rtol=1e-6, atol=1e-9):
            failed.append(1)

threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
for _ in range(5):
    in_a_fork({shape}, "lbfgs", expected)
stop.set()
[thread.join() for thread in threads]
assert not failed
"""
    run(FORK + code, **settings)


# -- without compilation ---------------------------------------------------------------------------


@pytest.mark.slow
def test_without_compilation(tmp_path):
    """Numba's switch for debuggers: the same results from plain Python."""
    tiny = (12, 3, 2)
    code = f"np.save({str(tmp_path / 'fits.npy')!r}, [fit({tiny}), fit({tiny}, 'adam')])"
    run(code, NUMBA_DISABLE_JIT="1")
    np.testing.assert_allclose(np.load(tmp_path / "fits.npy"), [fit(tiny, solver) for solver in SOLVERS], rtol=1e-6)
