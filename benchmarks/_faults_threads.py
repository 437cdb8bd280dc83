"""Cases for faults.py: fits in threads and processes, nested searches, concurrent compilation, forks."""

import io
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import numpy as np
from _faults_cases import (
    ESTIMATORS,
    KINDS,
    SOLVERS,
    case,
    compared,
    counted,
    data,
    in_a_fork,
    kinds_for,
    model,
    outcome,
    run_python,
    solvers_of,
)
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from skl_sae import SparseAutoencoderTransformer


@case("8 threads x 100 fits give the same as serial fits")
@case("the same with NUMBA_NUM_THREADS=1", NUMBA_NUM_THREADS="1")
@case("the same with OMP_NUM_THREADS=1", OMP_NUM_THREADS="1")
@case("the same with OPENBLAS_NUM_THREADS=1", OPENBLAS_NUM_THREADS="1")
@case("the same with numba's threading layer workqueue", NUMBA_THREADING_LAYER="workqueue")
@case("the same with numba's threading layer omp", NUMBA_THREADING_LAYER="omp")
@case("the same with numba's threading layer tbb", NUMBA_THREADING_LAYER="tbb")
def threads(part):
    """Use one thread of BLAS, as the README advises."""
    jobs = random.Random(0).sample(list(itertools.product(kinds_for(part), range(25))), round(800 * part))
    with threadpool_limits(1), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: outcome(*job), jobs))
        return compared(found, [outcome(*job) for job in jobs])


@case("8 threads that compile the same functions at once", NUMBA_CACHE_DIR="new")
def compiling_threads(part):
    kinds, barrier = (KINDS[:1] + KINDS[4:5]) * 4, threading.Barrier(8)

    def work(kind):
        barrier.wait()
        return outcome(kind)

    with threadpool_limits(1), ThreadPoolExecutor(8) as pool:
        return compared(list(pool.map(work, kinds)), map(outcome, kinds))


@case("8 processes that compile the same functions at once", NUMBA_CACHE_DIR="new")
def compiling_processes(part):
    """Compile both dtypes, which are variants of the same functions."""
    kinds = KINDS[:2] * 4
    found = Parallel(8, "loky", inner_max_num_threads=1)(delayed(outcome)(kind) for kind in kinds)
    return compared(found, map(outcome, kinds))


@case("one fitted model used by 8 threads at once")
def one_model(part):
    models = [model(*kind[:3]).fit(data(*kind[2:])) for kind in kinds_for(part)]
    jobs = list(zip(models, kinds_for(part), strict=True)) * max(1, round(25 * part))
    with threadpool_limits(1), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: joblib.hash(job[0].score_samples(data(*job[1][2:]))), jobs))
        return compared(found, [joblib.hash(job[0].score_samples(data(*job[1][2:]))) for job in jobs])


def together(start, jobs):
    with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
        return list(pool.map(outcome, *zip(*jobs, strict=True)))


@case("fits in processes of loky, fork, spawn, forkserver", OPENBLAS_NUM_THREADS="1")
def processes(part):
    """Use one thread of BLAS everywhere, so that large fits are also the same bit by bit."""
    jobs = random.Random(0).sample(list(itertools.product(kinds_for(part), range(4))), round(128 * part))
    expected = [outcome(*job) for job in jobs]
    found = Parallel(2, "loky")(delayed(outcome)(*job) for job in jobs)
    for start in "fork", "spawn", "forkserver":
        found += together(start, jobs)
    return compared(found, expected * 4)


def search(n_jobs, seed):
    grid = {"rho": [0.05, 0.2], "solver": SOLVERS}
    sae = model(SparseAutoencoderTransformer, "lbfgs", random_state=seed)
    return GridSearchCV(sae, grid, cv=2, n_jobs=n_jobs).fit(data()).cv_results_["mean_test_score"].tolist()


@case("searches of 2 workers in 2 processes, and in 2 threads of processes", OPENBLAS_NUM_THREADS="1")
def nested(part):
    seeds = range(max(1, round(20 * part)))
    expected = [search(None, seed) for seed in seeds]
    found = Parallel(2, "loky")(delayed(search)(2, seed) for seed in seeds)
    with joblib.parallel_config("threading"):
        found += Parallel(2)(delayed(in_processes)(seed) for seed in seeds)
    return compared(found, expected * 2)


def in_processes(seed):
    with joblib.parallel_config("loky", n_jobs=2):
        return search(2, seed)


@case("without compilation, to a relative 1e-6 (float32: 1e-3)")
def plain_python(part):
    """Rounding differs: the compiler fuses multiply-adds, and the kernels have an exp of their own."""
    found, expected = (np.loadtxt(io.StringIO(run_python(tiny_fits, NUMBA_DISABLE_JIT=switch))) for switch in "10")
    tolerance = np.array([1e-6, 1e-3])[np.arange(len(found)) % 2, None]  # float64, float32
    held = (np.abs(found - expected) <= tolerance * np.abs(expected)).all(axis=1)
    return len(held), int(held.sum()), f"largest relative difference {np.max(np.abs(found / expected - 1)):.1e}"


def tiny_fits():
    warnings.simplefilter("ignore")
    X, lines = data()[:20, :3], []
    kinds = [(estimator, solver) for estimator in ESTIMATORS for solver in solvers_of(estimator)]
    for kind, dtype in itertools.product(kinds, ["float64", "float32"]):
        sae = model(*kind, n_components=2).fit(X.astype(dtype))
        lines.append(" ".join(map(str, [*sae.encoder_coef_.ravel(), *sae.score_samples(X.astype(dtype))[:3]])))
    return "\n".join(lines)


def forks_while(work, fork, jobs, limit):
    """Fork once for each job while two threads work; return how the forks ended."""
    stop = threading.Event()

    def repeat():
        while not stop.is_set():
            work()

    workers = [threading.Thread(target=repeat) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = [in_a_fork(fork, job, limit=limit) for job in jobs]
    stop.set()
    for worker in workers:
        worker.join()
    return answers


@case("forks while threads fit: small models", OPENBLAS_NUM_THREADS="2")
def forks_of_small_models(part):
    kinds = [kind for kind in KINDS if kind[0] is SparseAutoencoderTransformer and kind[2] == "small"]
    return forks_of(kinds, max(2, round(100 * part)))


@case("forks while threads fit: large models, one thread of BLAS", OPENBLAS_NUM_THREADS="1")
def forks_of_large_models(part):
    return forks_of(KINDS, max(2, round(100 * part)))


def forks_of(kinds, n):
    expected = [outcome(kind) for kind in kinds]
    kind, jobs = itertools.cycle(range(len(kinds))), random.choices(range(len(kinds)), k=n)
    wrong = []

    def work():
        i = next(kind)
        if outcome(kinds[i]) != expected[i]:
            wrong.append(i)

    def fork(i):
        return "the same" if outcome(kinds[i]) == expected[i] else "different"

    tried, held, remark = counted(forks_while(work, fork, jobs, 60), ["the same"])
    return tried + 1, held + (not wrong), remark + f", {len(wrong)} different in the threads"


FORKS_OF_NUMPY = """
import os, threading
import numpy as np
A = np.random.default_rng(0).random((500, 500))

def work():
    while True:
        A @ A

for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
for _ in range(5):
    pid = os.fork()
    if pid == 0:
        A @ A
        os._exit(0)
    os.waitpid(pid, 0)
os._exit(0)
"""


@case("NumPy alone forks while threads multiply (a hang is not a fault of this package)", OPENBLAS_NUM_THREADS="2")
def forks_of_numpy(part):
    """Show that the README's advice is about NumPy; every outcome counts as held."""
    answers = []
    for _ in range(max(2, round(10 * part))):
        process = subprocess.Popen([sys.executable, "-c", FORKS_OF_NUMPY], start_new_session=True)
        try:
            answers.append(f"ended with {process.wait(20)}")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            answers.append("hung")
    return len(answers), len(answers), counted(answers, [])[2]
