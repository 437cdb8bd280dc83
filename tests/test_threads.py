"""Fits in threads, in forked processes, and with every setting of the threads that libraries use."""

import functools
import importlib
import itertools
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from scipy.sparse import csr_array
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info, threadpool_limits

import skl_sae
from skl_sae import SparseAutoencoderTransformer, _crew, _training
from skl_sae._objectives import full_batch, mini_batch
from skl_sae._solvers import SOLVERS

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning"
)

LIMIT = 900  # seconds, long enough for a slow machine: a deadlock fails the test

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


# -- threads of a fit ------------------------------------------------------------------------------

SIZES = [(50, 4, 3), (700, 30, 15), (3000, 100, 50), (1500, 300, 130), (700, 400, 300)]


class Fixed(_crew.Pace):
    """The same number of threads in every call, and several calls."""

    number = 1

    def choose(self, most, cost, n_phases):
        return min(self.number, most), cost / 3 + 0.1

    def record(self, number, cost, seconds):
        """The clock does not count."""


@pytest.fixture
def crew(monkeypatch):
    """Set how many threads a fit takes, however many processors there are."""
    for module in (full_batch, mini_batch):
        monkeypatch.setattr(module, "Pace", Fixed)
    monkeypatch.setattr(_training, "Crew", lambda: _crew.Crew(8))

    def take(number, spin=_crew.SPIN):
        monkeypatch.setattr(Fixed, "number", number)
        monkeypatch.setattr(_crew, "SPIN", spin)

    return take


@pytest.mark.parametrize(("form", "dtype"), [("dense", "float32"), ("sparse", "float64")])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", SIZES)
def test_the_bits_do_not_depend_on_the_number_of_threads(shape, solver, form, dtype, crew):
    X = data(shape, dtype)
    if form == "sparse":
        X = csr_array(X * (X > 0.7))
    parameters = {"noise": 0.1} if solver == "adam" and form == "dense" else {"tied_weights": True}
    results = []
    for number, spin in [(1, 0), (2, _crew.SPIN), (3, 0), (8, _crew.SPIN)]:  # without spinning every wait is a sleep
        crew(number, spin)
        settings = {"output_activation": "sigmoid", "max_iter": 3, "batch_size": 300, "random_state": 0, **parameters}
        sae = SparseAutoencoderTransformer(shape[2], solver=solver, **settings)
        sae.fit(X, sample_weight=np.arange(1, shape[0] + 1))
        results.append(np.concatenate([sae.encoder_coef_.ravel(), sae.decoder_coef_.ravel(), sae.history_["loss"]]))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_system_that_allows_fewer_threads(crew, monkeypatch):
    """A limit of memory or of processes refuses threads; the fit continues with fewer."""
    shape, start, started = (3000, 100, 50), threading.Thread.start, []
    crew(1)
    expected = fit(shape)

    def refuse(thread):
        if len(running()) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    crew(4)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for allowed in (2, 0):
        started.clear()
        np.testing.assert_array_equal(fit(shape), expected)
        assert bool(started) == bool(allowed)


def running():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("skl_sae")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("me", [0, 1, 2])
@pytest.mark.parametrize("solver", SOLVERS)
def test_an_error_in_one_thread_ends_all(solver, me, error, crew, monkeypatch):
    crew(3, spin=0)
    module, name = {"lbfgs": (full_batch, "evaluate_steps"), "adam": (mini_batch, "adam_steps")}[solver]
    kernel, calls = getattr(module, name), []

    def failing(*arguments):
        team = arguments[-1]
        calls.append(team.me)
        if team.me == me and calls.count(me) > 4:
            raise error
        return kernel(*arguments)

    monkeypatch.setattr(module, name, failing)
    with pytest.raises(error):
        fit((3000, 100, 50), solver)
    assert set(calls) == {0, 1, 2}
    assert not running()
    assert not _crew.BLAS.n_holders


def test_a_fit_takes_as_many_threads_as_blas_is_granted(monkeypatch):
    taken = []
    choose = _crew.Pace.choose
    monkeypatch.setattr(
        _crew.Pace, "choose", lambda self, most, *work: (taken.append(most), choose(self, most, *work))[1]
    )
    monkeypatch.setattr(_crew, "cpu_count", lambda: 4)
    for limit in [1, 2, 3]:
        with threadpool_limits(limit):
            granted = min(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
            taken.clear()
            fit(SMALL)
            assert set(taken) == {granted}
    with threadpool_limits(3):
        monkeypatch.setattr(_crew, "cpu_count", lambda: 1)
        taken.clear()
        fit(SMALL)
        assert set(taken) == {1}


def test_blas_has_its_threads_back_whatever_the_order_in_which_fits_end():
    first, second = _crew.Crew(2), _crew.Crew(2)
    with threadpool_limits(2):
        before = threadpool_info()
        first.__enter__()
        second.__enter__()
        assert _crew.BLAS.granted == min(library["num_threads"] for library in before if library["user_api"] == "blas")
        first.__exit__()
        assert all(library["num_threads"] == 1 for library in threadpool_info() if library["user_api"] == "blas")
        second.__exit__()
        assert threadpool_info() == before


def test_blas_is_held_and_given_back_by_any_thread():
    def blas():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    crews, before = [], blas()
    with threadpool_limits(2):
        granted = blas()
        for method in ("__enter__", "__exit__"):
            crews = crews or [_crew.Crew(2)]
            thread = threading.Thread(target=getattr(crews[0], method))
            thread.start()
            thread.join()
            assert blas() == ([1] * len(granted) if method == "__enter__" else granted)
    with _crew.Crew(2):
        assert blas() == [1] * len(granted)
    assert blas() == before


# -- shares of fits side by side -------------------------------------------------------------------


@contextmanager
def other_threads(n):
    """Hold BLAS in n other threads, as fits do."""
    holding, leave = threading.Barrier(n + 1), threading.Event()

    def hold():
        with _crew.Crew(1), _crew.Crew(1):  # a fit that calls `transform` counts once
            holding.wait(LIMIT)
            leave.wait(LIMIT)

    threads = [threading.Thread(target=hold) for _ in range(n)]
    for thread in threads:
        thread.start()
    holding.wait(LIMIT)
    try:
        yield
    finally:
        leave.set()
        for thread in threads:
            thread.join()


def sizes_of(crew, n_phases=6, goes_on=None, apart=False):
    """How many threads work in each call of a crew, whose pace wants as many as possible."""
    sizes = []

    def kernel(phases, team):
        if team.me == 0:
            sizes.append(team.size)
        return phases.stop

    crew.run(kernel, range(n_phases + 1), 0, n_phases, Fixed(), goes_on, apart)
    return sizes


@pytest.mark.parametrize("apart", [False, True])
def test_a_crew_takes_its_share_of_the_processors(apart, crew):
    crew(99)
    with _crew.Crew(4) as threads:
        assert sizes_of(threads, apart=apart)[0] == 4
        with _crew.Crew(4) as nested:
            assert sizes_of(nested, apart=apart)[0] == 4
        for n_others, share in [(1, 2), (2, 1), (6, 1)]:
            with other_threads(n_others):
                assert set(sizes_of(threads, apart=apart)) == {share}
        assert sizes_of(threads, apart=apart)[0] == 4
    with other_threads(3), _crew.Crew(2) as threads:
        assert set(sizes_of(threads)) == {1}
        assert not running()


def test_the_share_changes_while_a_crew_works(crew):
    crew(99)
    others = other_threads(1)
    after = iter([others.__enter__, lambda: None, lambda: others.__exit__(None, None, None)])
    with _crew.Crew(4) as threads:
        sizes = sizes_of(threads, 60, lambda: [next(after, lambda: None)()])
    assert sizes[:3] == [4, 2, 2]
    assert set(sizes[3:]) == {4}


def test_inference_takes_its_share_and_counts(crew, monkeypatch):
    crew(99)
    seen = []

    def kernel(_, phases, team):
        seen.append((team.size, _crew.BLAS.n_holders))
        return phases.stop

    monkeypatch.setattr(_crew, "cpu_count", lambda: 2)
    monkeypatch.setattr(_crew, "_pace_of", lambda *_: Fixed())
    with threadpool_limits(2), other_threads(1):
        _crew.over_blocks(functools.partial(kernel, None), 10**5, 100, 100)
        assert set(seen) == {(1, 2)}
        assert _crew.BLAS.n_holders == 1


def test_fits_take_as_many_threads_as_are_left(monkeypatch):
    taken, choose = [], _crew.Pace.choose
    monkeypatch.setattr(
        _crew.Pace, "choose", lambda self, most, *work: (taken.append(most), choose(self, most, *work))[1]
    )
    monkeypatch.setattr(_crew, "cpu_count", lambda: 2)
    with threadpool_limits(2):
        with other_threads(1):
            alone = fit(SMALL)
        assert set(taken) == {1}
        np.testing.assert_array_equal(fit(SMALL), alone)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_bits_do_not_depend_on_fits_beside(solver, crew, monkeypatch):
    shape, seen = (1500, 100, 50), set()
    crew(1)
    expected = fit(shape, solver)
    holders = itertools.cycle([1, 1, 3, 9, 2])

    def some(self):
        seen.add(number := next(holders))
        return number

    crew(99)
    monkeypatch.setattr(_crew._HeldBlas, "n_holders", property(some))
    np.testing.assert_array_equal(fit(shape, solver), expected)
    assert seen == {1, 2, 3, 9}


def test_a_crew_that_was_interrupted_is_released_from_any_thread():
    crews = []

    def enter():
        crews.append(_crew.Crew(2))
        crews[0].__enter__()
        crews[0].__enter__()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    with _crew.Crew(2) as mine:
        assert (_crew.BLAS.n_holders, mine.share) == (2, 1)
        crews.clear()
        assert (_crew.BLAS.n_holders, mine.share) == (1, 2)
    assert not _crew.BLAS.n_holders


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_only_the_thread_that_forked():
    code = """
from skl_sae._crew import BLAS, Crew
from threadpoolctl import threadpool_info

def in_child(expected):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert BLAS.n_holders == expected
            with Crew(4) as crew:
                assert (BLAS.n_holders, crew.share) == (1, 4)
            assert BLAS.n_holders == expected
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def hold():
    with Crew():
        held.set()
        leave.wait(60)

held, leave = threading.Event(), threading.Event()
thread = threading.Thread(target=hold)
thread.start()
held.wait(60)
in_child(0)
with Crew():
    in_child(1)
leave.set()
thread.join()
assert not BLAS.n_holders
"""
    run(code)


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_every_thread_has_a_phase_of_its_own(number, crew):
    crew(number)
    calls = []

    def kernel(phases, team):
        if team.me == 0:
            calls.append((phases.start, phases.stop, team.size))
        return phases.stop

    with _crew.Crew(8) as threads:
        threads.run(kernel, range(24), 0, 23, Fixed(), apart=True)
    assert [start for start, _, _ in calls] == [0, *(stop for _, stop, _ in calls[:-1])]
    assert calls[-1][1] == 23
    for start, stop, size in calls:
        assert size == min(number, 23 - start)
        assert (stop - start) % size == 0 or stop == 23


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
    held = [1 if library["user_api"] == "blas" else library["num_threads"] for library in before]
    assert watch.seen
    assert all(seen in (held, [library["num_threads"] for library in before]) for seen in watch.seen)
    assert held in watch.seen  # the threads of the fit call BLAS, each for itself
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
        signal.alarm(300)  # a child that hangs outlives its parent otherwise
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
