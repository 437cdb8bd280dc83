"""Do fits, caches and saved models hold under threads, forks, kills, full disks, interrupts and damaged files?

    python benchmarks/faults.py                       # everything at full size: an hour and more
    python benchmarks/faults.py --only threads interrupts --part 0.1

Every case is a process of its own with a time limit, so that a deadlock or a crash is a line of the table: how many
were tried, and how many ended as they should. "The same" means bit by bit, unless the line says otherwise. For Linux.
"""

import argparse
import contextlib
import copy
import ctypes
import functools
import gc
import io
import itertools
import json
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import tracemalloc
import warnings
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
from _harness import Report, _status, parser
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

import skl_sae
from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer

ESTIMATORS = [SparseAutoencoderTransformer, SparseAutoencoderOutlierDetector]
SOLVERS = ["lbfgs", "adam"]
SIZES = {"small": (300, 20, 10), "large": (400, 150, 60)}  # rows, features, units: loops of ours, products of BLAS

# Both estimators, both solvers, small and large, dense and sparse, float64 and float32.
KINDS = list(itertools.product(ESTIMATORS, SOLVERS, SIZES, [False, True], ["float64", "float32"]))


def kinds_for(part):
    """In small no float32 and float64 of everything: most of it would be compiling."""
    return KINDS if part == 1 else KINDS[::2]


CASES = {}


def case(sentence, limit=900, **environment):
    """Enter a function that returns (tried, held, remark) into the table; it may have several lines there."""

    def enter(function):
        name = " ".join([function.__name__, *(f"{key}={value}" for key, value in environment.items())])
        CASES[name] = sentence, limit, environment, function
        return function

    return enter


def data(size="small", as_sparse=False, dtype="float64"):
    X = np.random.default_rng(0).uniform(size=SIZES[size][:2]).astype(dtype)
    return sparse.csr_array(np.where(X < 0.7, 0, X)) if as_sparse else X


def model(estimator, solver, size="small", **parameters):
    settings = dict(n_components=SIZES[size][2], max_iter=3, batch_size=50, random_state=0)
    return estimator(solver=solver, **settings | parameters)


def outcome(kind, seed=0):
    """A digest of all that a fit leaves and of what it says of the rows."""
    warnings.simplefilter("ignore")
    estimator, solver, size, *rows = kind
    X = data(size, *rows)
    fitted = model(estimator, solver, size, random_state=seed).fit(X)
    return joblib.hash([vars(fitted), fitted.score_samples(X)])


def compared(found, expected):
    """For the table: how many, how many of them as expected, and which are not."""
    wrong = [i for i, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other]
    return len(found), len(found) - len(wrong), f"not {wrong[:5]}" if wrong else ""


def in_a_fork(function, *arguments, limit=60):
    """What a function returns in a forked process, or how that process ended: what a crash costs is one trial."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(limit)  # ends the process
        try:
            answer = function(*arguments)
        except BaseException as error:
            answer = f"unexpected {type(error).__name__}: {error} {traceback.format_exc(limit=-1).splitlines()[1]}"
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(answer) if answer else f"ended with {status}"


def counted(answers, good):
    """For the table: how many, how many of them good, and the counts."""
    counts = Counter(answers)
    remark = ", ".join(f"{count} {answer}" for answer, count in counts.most_common(8))
    return len(answers), sum(counts[answer] for answer in good), remark


# -- threads and processes -------------------------------------------------------------------------


@case("8 threads x 100 fits give what fits in a row give")
@case("the same with NUMBA_NUM_THREADS=1", NUMBA_NUM_THREADS="1")
@case("the same with OMP_NUM_THREADS=1", OMP_NUM_THREADS="1")
@case("the same with OPENBLAS_NUM_THREADS=1", OPENBLAS_NUM_THREADS="1")
@case("the same with numba's layer workqueue", NUMBA_THREADING_LAYER="workqueue")
@case("the same with numba's layer omp", NUMBA_THREADING_LAYER="omp")
@case("the same with numba's layer tbb", NUMBA_THREADING_LAYER="tbb")
def threads(part):
    """With one thread of BLAS, as the README advises."""
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
    """Both dtypes, which are entries of the same functions."""
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
    """Everywhere one thread of BLAS, so that large fits are the same bit by bit, too."""
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
    """Rounding differs: the compiler fuses multiply-adds, and NumPy's exp is not ours."""
    found, expected = (np.loadtxt(io.StringIO(run_python("tiny_fits()", NUMBA_DISABLE_JIT=switch))) for switch in "10")
    tolerance = np.array([1e-6, 1e-3])[np.arange(8) % 2, None]  # float64, float32
    held = (np.abs(found - expected) <= tolerance * np.abs(expected)).all(axis=1)
    return len(held), int(held.sum()), f"largest relative difference {np.max(np.abs(found / expected - 1)):.1e}"


def tiny_fits():
    warnings.simplefilter("ignore")
    X = data()[:20, :3]
    for estimator, solver, dtype in itertools.product(ESTIMATORS, SOLVERS, ["float64", "float32"]):
        sae = model(estimator, solver, n_components=2).fit(X.astype(dtype))
        print(*sae.encoder_coef_.ravel(), *sae.score_samples(X.astype(dtype))[:3])


def run_python(code, **environment):
    """The output of code in a new process, which has the package of this one and the functions of this file."""
    folders = [str(Path(__file__).parent), str(Path(skl_sae.__file__).parent.parent)]
    return subprocess.run(
        [sys.executable, "-c", f"from faults import *\n{code}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)} | environment,
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def forks_while(work, fork, n, limit):
    """How n forks ended while two threads were at work."""
    stop = threading.Event()

    def repeat():
        while not stop.is_set():
            work()

    workers = [threading.Thread(target=repeat) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = [in_a_fork(fork, limit=limit) for _ in range(n)]
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
    kind = itertools.cycle(range(len(kinds)))
    wrong = []

    def work():
        i = next(kind)
        if outcome(kinds[i]) != expected[i]:
            wrong.append(i)

    def fork():
        i = random.SystemRandom().randrange(len(kinds))
        return "the same" if outcome(kinds[i]) == expected[i] else "not the same"

    tried, held, remark = counted(forks_while(work, fork, n, 60), ["the same"])
    return tried + 1, held + (not wrong), remark + f", in the threads {len(wrong)} not the same"


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


@case("NumPy alone forks while threads multiply (what hangs is no fault of ours)", OPENBLAS_NUM_THREADS="2")
def forks_of_numpy(part):
    """It shows whom the README's advice is about; every end counts."""
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


# -- kernel cache ----------------------------------------------------------------------------------

ENCODE = """
import sys, warnings, pathlib, pickle
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np, skl_sae
    sae, X, expected = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
    right = np.allclose(sae.transform(X), expected, rtol=1e-9)
print("right" if right else "wrong", *{"and says so" for w in caught if "cannot be kept on disk" in str(w.message)})
"""


@contextlib.contextmanager
def encoding():
    """A function that encodes rows with a cache folder in a new process and says how that ended; a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        file, X = Path(folder, "model.pkl"), data()[:20]
        sae = model(SparseAutoencoderTransformer, "lbfgs").fit(data())
        file.write_bytes(pickle.dumps((sae, X, sae.transform(X))))

        def encode(cache, package=Path(skl_sae.__file__).parent, kill_after=None, before=None, **environment):
            settings = {"PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(cache), **environment}
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", ENCODE, str(file)],
                env=os.environ | settings, preexec_fn=before, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(kill_after)
            process.kill()  # if it has not ended
            output, errors = process.communicate()
            return output.strip() if process.returncode == 0 else f"{process.returncode} {errors[-200:]}"

        yield encode, Path(folder, "cache")


@case("kill -9 while it compiles into an empty cache, then a run", limit=3600)
def kills(part):
    n = max(1, round(50 * part))
    with encoding() as (encode, cache):
        start = time.monotonic()
        answers = [encode(cache)]
        seconds = time.monotonic() - start
        for i in range(n):
            shutil.rmtree(cache)
            encode(cache, kill_after=seconds * (0.3 + 0.7 * (i + random.random()) / n))  # before, it imports
            answers.append(encode(cache))
    return counted(answers, ["right"])


DAMAGES = {
    "empty": lambda content, other: b"",
    "truncated": lambda content, other: content[: random.randrange(len(content))],
    "noise": lambda content, other: random.randbytes(len(content)),
    "a flipped bit": lambda content, other: flipped(content, random.randrange(len(content))),
    "of another function": lambda content, other: other,
}


def flipped(content, i):
    return content[:i] + bytes([content[i] ^ 1 << random.randrange(8)]) + content[i + 1 :]


@case("damaged files in the cache", limit=1800)
def damaged_cache(part):
    answers = []
    with encoding() as (encode, cache):
        encode(cache)
        for kind, damage in list(DAMAGES.items()) * max(1, round(10 * part)):
            damaged = Path(shutil.copytree(cache, cache.with_name("damaged"), dirs_exist_ok=True))
            files = sorted(damaged.rglob("*.nbc"))
            contents = [file.read_bytes() for file in files]
            for file, content, other in zip(files, contents, contents[1:] + contents[:1], strict=True):
                file.write_bytes(damage(content, other))
            answer = encode(damaged)
            answers.append("right" if answer == "right" else f"{kind}: {answer}")
    return counted(answers, ["right"])


def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def give_up_root():
    """From the next program on permissions hold for root, too."""
    drop_from_bounding_set, dac_override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override)


@case("a full disk, a read-only home and package: right, and it says so")
def nowhere_to_write(part):
    answers = []
    with encoding() as (encode, cache):
        for size in [2500, 0, 100, 30_000][: max(1, round(4 * part))]:
            answers += [encode(cache, before=functools.partial(limit_files, size))]
            shutil.rmtree(cache, ignore_errors=True)
        home = cache.with_name("home")
        package = Path(shutil.copytree(Path(skl_sae.__file__).parent, home / "skl_sae"))
        shutil.rmtree(package / "__pycache__")
        for folder in package, home:
            folder.chmod(0o555)
        answers += [encode("", package, before=give_up_root, HOME=str(home), XDG_CACHE_HOME=str(home))]
        home.chmod(0o755)
        if not small_disk(cache):
            return counted(answers, ["right and says so"])
        try:
            answers += [encode(cache)]
        finally:
            subprocess.run(["umount", cache], check=True)
    return counted(answers, ["right and says so"])


def small_disk(folder):
    """Mount a disk of 100 kB, where this process may."""
    folder.mkdir()
    return (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", folder], capture_output=True).returncode == 0
    )


# -- checkpoints -----------------------------------------------------------------------------------


class Checkpoint:
    """A callback that keeps the model of the last whole iteration in a file, as the guide shows it."""

    max_propagation_depth = 0

    def __init__(self, path):
        self.path = path

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if fitted_estimator is not None:
            save(fitted_estimator.set_callbacks(), self.path)


def save(fitted, path):
    """The file is the earlier one or the new one, never a part."""
    joblib.dump(fitted, f"{path}.part")
    os.replace(f"{path}.part", path)


def train_by_callback(solver, path):
    sae = model(SparseAutoencoderTransformer, solver, tol=0, max_iter=10**6, warm_start=True)
    sae.set_callbacks(Checkpoint(path)).fit(data())


def train_in_steps(solver, path, estimator=SparseAutoencoderTransformer):
    sae = model(estimator, solver, tol=0, max_iter=2, warm_start=True)
    while True:
        save(sae.fit(data()), path)


def go_on(path):
    """Load what a killed training left, and go on."""
    sae = joblib.load(path)
    before, n_iter = sae.score_samples(data()), sae.n_iter_
    sae.set_params(max_iter=3).fit(data())
    good = (
        np.isfinite(before).all()
        and np.isfinite(sae.score_samples(data())).all()
        and sae.n_iter_ == n_iter + (6 if hasattr(sae, "offset_") else 3)  # of a detector two trainings
    )
    return "goes on" if good else "bad"


@case("kill -9 during a training that saves every iteration")
def checkpoints(part):
    warnings.simplefilter("ignore")
    trainings = [functools.partial(train_in_steps, estimator=SparseAutoencoderOutlierDetector), train_in_steps]
    if hasattr(SparseAutoencoderTransformer, "set_callbacks"):
        trainings.append(train_by_callback)
    answers = []
    ways = itertools.product(trainings, SOLVERS)
    for training, solver in itertools.islice(itertools.cycle(ways), max(6, round(54 * part))):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.joblib")
            process = multiprocessing.get_context("fork").Process(target=training, args=[solver, path])
            process.start()
            while process.is_alive() and not path.exists():
                time.sleep(0.001)
            time.sleep(random.uniform(0, 0.3))
            process.kill()
            process.join()
            answers.append(in_a_fork(go_on, path))
    return counted(answers, ["goes on"])


# -- all or nothing --------------------------------------------------------------------------------


@contextlib.contextmanager
def interrupt_after(seconds):
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def unchanged_by(failing_fit, estimator):
    """What an estimator is after a fit that fails."""
    before = fitted_state(estimator)
    try:
        failing_fit()
    except BaseException as error:
        return "as before" if fitted_state(estimator) == before else f"changed by {type(error).__name__}"
    return "did not fail"


def fitted_state(estimator):
    """A digest of everything but the callbacks, which may count."""
    return joblib.hash({name: value for name, value in vars(estimator).items() if name != "_skl_callbacks"})


def fresh_and_fitted(solver, X, **parameters):
    for estimator in ESTIMATORS:
        yield model(estimator, solver, **parameters)
        yield model(estimator, solver, **parameters).fit(X * 2)


@case("interrupts after a random time")
def interrupts(part):
    warnings.simplefilter("ignore")
    answers, X = [], data()
    for solver in SOLVERS:
        for estimator in fresh_and_fitted(solver, X, max_iter=100, tol=0):
            expected, seconds = timed(lambda estimator=estimator: joblib.hash(vars(copy.deepcopy(estimator).fit(X))))
            for _ in range(max(1, round(50 * part))):
                trial, delay = copy.deepcopy(estimator), random.uniform(0, 1.1 * seconds)
                answer = unchanged_by(lambda: interrupted_fit(trial, X, delay), trial)  # noqa: B023
                if answer.startswith("changed") and joblib.hash(vars(trial)) == expected:
                    answer = "done"  # the interrupt came when everything was
                same = joblib.hash(vars(trial.fit(X))) == expected
                answers.append(answer if same else f"{answer}, does not fit any more")
    return counted(answers, ["as before", "did not fail", "done"])


def interrupted_fit(estimator, X, delay):
    with interrupt_after(delay):
        estimator.fit(X)


def timed(function):
    start = time.perf_counter()
    return function(), time.perf_counter() - start


@case("interrupts with warm_start: whole iterations are kept, and the next fit goes on from them")
def kept_interrupts(part):
    warnings.simplefilter("ignore")
    X, answers, n = data(), [], 60
    for solver, early_stopping in itertools.product(SOLVERS, [False, True]):
        settings = dict(max_iter=n, tol=0, early_stopping=early_stopping)
        whole, seconds = timed(lambda: model(SparseAutoencoderTransformer, solver, **settings).fit(X))  # noqa: B023
        for _ in range(max(1, round(50 * part))):
            trial = model(SparseAutoencoderTransformer, solver, **settings, warm_start=True)
            with contextlib.suppress(KeyboardInterrupt), interrupt_after(random.uniform(0, 1.1 * seconds)):
                trial.fit(X)
            answers.append(goes_on_from_whole_iterations(trial, X, whole, **settings))
    return counted(answers, ["goes on", "nothing was done yet"])


def goes_on_from_whole_iterations(sae, X, whole, **settings):
    if not hasattr(sae, "encoder_coef_"):
        return "nothing was done yet" if not hasattr(sae, "n_iter_") else "changed"
    done = sae.n_iter_
    kept = model(SparseAutoencoderTransformer, sae.solver, **settings | {"max_iter": done}).fit(X)
    if not np.array_equal(sae.transform(X), kept.transform(X)):
        return "weights of no whole iteration"
    if done < settings["max_iter"]:
        sae.set_params(max_iter=settings["max_iter"] - done).fit(X)
    same = np.array_equal(sae.transform(X), whole.transform(X))
    exact = sae.solver == "adam" and not sae.early_stopping  # otherwise it goes on with an empty memory
    good = sae.n_iter_ == len(sae.history_["loss"]) == settings["max_iter"] and (same or not exact)
    return "goes on" if good else "goes on elsewhere"


@case("interrupts while functions compile, then a fit", limit=1800)
def compiling_interrupts(part):
    answers, expected = [], outcome(KINDS[0])
    for _ in range(max(1, round(40 * part))):
        with tempfile.TemporaryDirectory() as cache:
            try:
                answer = run_python("print(interrupted_compilation())", NUMBA_CACHE_DIR=cache)
            except subprocess.CalledProcessError as error:
                answer = error.stderr[-100:]
            answers.append("right" if answer.strip() == expected else answer)
    return counted(answers, ["right"])


def interrupted_compilation():
    warnings.simplefilter("ignore")
    sae, X = model(*KINDS[0][:3]), data()
    with contextlib.suppress(KeyboardInterrupt), interrupt_after(random.uniform(0, 8)):
        sae.fit(X)
    return outcome(KINDS[0])


@case("a MemoryError of every array that a fit makes")
def memory_errors(part):
    warnings.simplefilter("ignore")
    answers = []
    for solver, as_sparse in itertools.product(SOLVERS, [False, True]):
        X = data("small", as_sparse)
        for estimator in fresh_and_fitted(solver, X, warm_start=False):
            n = calls_of_empty(lambda estimator=estimator: copy.deepcopy(estimator).fit(X))  # noqa: B023
            every = max(1, round(1 / part))
            for i in range(0, n, every):
                trial = copy.deepcopy(estimator)
                answers.append(unchanged_by(lambda: calls_of_empty(lambda: trial.fit(X), i), trial))  # noqa: B023
    return counted(answers, ["as before"])


def calls_of_empty(function, failing=None):
    """How often np.empty and np.zeros are called; the call of number ``failing`` finds no memory."""
    calls, makers = itertools.count(), {name: getattr(np, name) for name in ("empty", "zeros")}

    def counting(maker, *arguments, **settings):
        if next(calls) == failing:
            raise MemoryError
        return maker(*arguments, **settings)

    for name, maker in makers.items():
        setattr(np, name, functools.partial(counting, maker))
    try:
        function()
    finally:
        for name, maker in makers.items():
            setattr(np, name, maker)
    return next(calls)


class Failing:
    """A callback that fails at the event of a number."""

    max_propagation_depth = 0

    def __init__(self, number):
        self._left = itertools.count(number, -1)

    def _event(self, *arguments, **settings):
        if next(self._left) == 0:
            raise OSError("no space left on device")

    def teardown(self, estimator, context):
        pass  # behind the fit: what fails there cannot undo it

    setup = on_fit_task_begin = on_fit_task_end = _event


REFUSED = [
    dict(rho=2.0), dict(n_components=0), dict(solver="sgd"), dict(noise=0.1, solver="lbfgs"), dict(alpha=np.nan),
    dict(solver="adam", learning_rate_init=1e200), dict(early_stopping=True, validation_fraction=0.999),
]  # fmt: skip
HUGE = np.tile([[1e300], [-1e300]], (150, 20))
BAD = {
    "X": [np.full((300, 20), np.nan), np.ones((1, 20)), np.zeros((300, 0)), "text", HUGE],
    "sample_weight": [-np.ones(300), np.zeros(300), np.full(300, np.nan), np.ones(3), "text", np.full(300, 1e100)],
}


@case("refused parameters, data and weights, divergence, callbacks that fail, warnings made errors")
def refusals(part):
    X, answers = data(), []
    warnings.simplefilter("ignore")
    for solver, warm_start in itertools.product(SOLVERS, [False, True]):
        for estimator in fresh_and_fitted(solver, X, warm_start=warm_start):
            for parameters in REFUSED:
                trial = copy.deepcopy(estimator).set_params(**parameters)
                answers.append(unchanged_by(lambda: trial.fit(X), trial))  # noqa: B023
            for argument, values in BAD.items():
                for value in values:
                    trial = copy.deepcopy(estimator)
                    arguments = {"X": X, argument: value}
                    answers.append(unchanged_by(lambda: trial.fit(**arguments), trial))  # noqa: B023
            for number in range(0, 8) if hasattr(estimator, "set_callbacks") else ():
                trial = copy.deepcopy(estimator)
                trial.set_callbacks(Failing(number))
                answers.append(unchanged_by(lambda: trial.fit(X), trial))  # noqa: B023
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                trial = copy.deepcopy(estimator)
                answers.append(unchanged_by(lambda: trial.fit(X), trial))  # noqa: B023
    return counted(answers, ["as before"])


# -- damaged and tampered models -------------------------------------------------------------------

TRUSTED = [
    "skl_sae.transformer.SparseAutoencoderTransformer", "skl_sae.outlier.SparseAutoencoderOutlierDetector",
    "skl_sae._scatter.Scatter", "skl_sae._solvers.Training",
]  # fmt: skip


def uses(fitted):
    """All that a model says of some rows."""
    X = data()[:20]
    names = "transform", "score_samples", "predict", "score_contributions"
    return [getattr(fitted, name)(X) for name in names if hasattr(fitted, name)]


def judged(load_and_use, expected):
    """How a file that was changed ends, in a process of its own."""
    warnings.simplefilter("ignore")
    try:
        found = load_and_use()
    except Exception:
        return "an error"
    if [one.shape for one in found] != [one.shape for one in expected]:
        return "wrong shapes"
    if not all(np.isfinite(one).all() for one in found):
        return "not finite"
    return "the same" if all(map(np.array_equal, found, expected)) else "other numbers"


def saved_models():
    for estimator in ESTIMATORS:
        yield model(estimator, "adam", warm_start=True).fit(data())


def changed_skops(change, part, good):
    """How skops files end that ``change`` has changed."""
    import skops.io as sio

    answers = []
    for fitted in saved_models():
        saved, expected = sio.dumps(fitted), uses(fitted)
        for _ in range(max(1, round(250 * part))):
            changed = change(saved)
            answers.append(in_a_fork(judged, lambda: uses(sio.loads(changed, trusted=TRUSTED)), expected))  # noqa: B023
    return counted(answers, good)


@case("500 flipped bytes in skops files")
def flipped_skops(part):
    return changed_skops(lambda saved: flipped(saved, random.randrange(len(saved))), part, ["an error", "the same"])


@case("500 flipped bytes in files inside of skops files, with a right checksum")
def tampered_skops(part):
    """Other numbers, as far as they are finite, are a valid model: nothing can tell them from those of a fit."""
    return changed_skops(repacked, part, ["an error", "the same", "other numbers"])


def repacked(saved):
    """The same zip file, but for a byte of a file inside: of the schema, or among the first of an array."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as before, zipfile.ZipFile(result, "w") as after:
        names = before.namelist()
        chosen = random.choice([name for name in names if name != "schema.json"] + ["schema.json"] * len(names))
        for name in names:
            content = before.read(name)
            end = len(content) if name == "schema.json" else 200  # header and some numbers
            if name == chosen:
                content = flipped(content, random.randrange(min(end, len(content))))
            after.writestr(name, content)
    return result.getvalue()


WEIGHTS = ["encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_", "n_features_in_"]
SCATTER = [
    "_centre", "offset_",
    ("_scaler", "mean_"), ("_scaler", "scale_"), ("_scatter", "location"), ("_scatter", "precision"),
]  # fmt: skip
CHANGES = {
    "longer": lambda a: np.concatenate([a, a]),
    "shorter": lambda a: a[:1],
    "flat": lambda a: np.atleast_2d(a)[0, 0],
    "of another order": lambda a: a[None],
    "NaN": lambda a: np.where(np.arange(np.size(a)).reshape(np.shape(a)) == 0, np.nan, a),
    "infinite": lambda a: np.where(np.arange(np.size(a)).reshape(np.shape(a)) == 0, np.inf, a),
    "objects": lambda a: np.asarray(a).astype(object),
    "complex": lambda a: a * (1 + 1j),
    "whole": lambda a: np.asarray(a).astype(int),
    "text": lambda a: np.asarray(a).astype(str),
    "gone": lambda a: None,
}


@case("arrays of a saved model of another shape or type, missing, not finite")
def tampered_arrays(part):
    import skops.io as sio

    answers = []
    for fitted in saved_models():
        expected, names = uses(fitted), WEIGHTS + (SCATTER if hasattr(fitted, "_scatter") else [])
        for name, change in itertools.product(names, CHANGES):
            try:
                tampered = with_changed(fitted, name, CHANGES[change])
                files = (
                    (pickle.dumps(tampered), pickle.loads),
                    (sio.dumps(tampered), functools.partial(sio.loads, trusted=TRUSTED)),
                )
            except (ValueError, TypeError, IndexError):
                continue  # there is no such change of a number
            for saved, load in files:
                answer = in_a_fork(judged, lambda: uses(load(saved)), expected)  # noqa: B023
                answers.append(answer if answer in ("an error", "the same") else f"{name} {change}: {answer}")
    return counted(answers, ["an error", "the same"])


def with_changed(fitted, name, change):
    """A copy with another value of an attribute, or of an attribute of one."""
    changed = copy.deepcopy(fitted)
    if isinstance(name, str):
        setattr(changed, name, change(getattr(changed, name)))
    elif name[0] == "_scaler":
        setattr(changed._scaler, name[1], change(getattr(changed._scaler, name[1])))
    else:
        changed._scatter = changed._scatter._replace(**{name[1]: change(getattr(changed._scatter, name[1]))})
    return changed


def onnx_uses(content):
    """Outputs of a graph, after all checks that there are."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"X": data()[:17].astype(np.float32)})  # no size of the model: nothing fits by chance


def onnx_models():
    from skl_sae.onnx import to_onnx

    for fitted in saved_models():
        outputs = ["score_samples", "label" if hasattr(fitted, "predict") else "code"]
        yield to_onnx(fitted, outputs=outputs)


def changed_onnx(change, good):
    """How ONNX files end that ``change`` makes of one, and how many of them verify refuses, which should be all."""
    from skl_sae.onnx import verify

    answers, refused = [], 0
    for onnx_model in onnx_models():
        content = onnx_model.SerializeToString()
        expected = onnx_uses(verify(content))
        for changed in change(content):
            answer = in_a_fork(judged, lambda: onnx_uses(changed), expected)  # noqa: B023
            try:
                verify(changed)
                answer = "let through by verify"
            except ValueError:
                refused += 1
            answers.append(answer)
    tried, held, remark = counted(answers, good)
    return tried, held, f"verify refuses {refused}; without it {remark}"


@case("500 flipped bytes in ONNX files: refused by verify; without it an error or an answer")
def flipped_onnx(part):
    """The format has no checksum: other numbers, and now and then shapes, are those of another valid graph."""

    def change(content):
        return [flipped(content, random.randrange(len(content))) for _ in range(max(1, round(250 * part)))]

    return changed_onnx(change, ["an error", "the same", "other numbers", "not finite", "wrong shapes"])


@case("ONNX files that are cut off, or with weights of another shape: refused by verify; without it an error")
def tampered_onnx(part):
    import onnx

    def changes(content):
        yield from (content[: random.randrange(len(content))] for _ in range(max(5, round(50 * part))))
        for weights in range(len(onnx.load_model_from_string(content).graph.initializer)):
            for change in (lambda a: a[:-1], lambda a: a[..., None], lambda a: np.concatenate([a, a]), np.transpose):
                other = onnx.load_model_from_string(content)
                tensor = other.graph.initializer[weights]
                array = onnx.numpy_helper.to_array(tensor)
                if array.ndim and change(array).shape != array.shape and array.size > 1:
                    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(change(array)), tensor.name))
                    yield other.SerializeToString()

    return changed_onnx(changes, ["an error", "the same"])


# -- leaks -----------------------------------------------------------------------------------------


def tasks_that_may_leak():
    """Functions to call a thousand times."""
    for kind in KINDS[::2]:  # float64
        estimator, solver, size, *rows = kind
        yield f"fit {kind}", functools.partial(model(estimator, solver, size).fit, data(size, *rows))
    for estimator in ESTIMATORS:
        fitted, X = model(estimator, "adam", warm_start=True).fit(data()), data()
        yield f"warm fit of {estimator.__name__}", functools.partial(model(estimator, "adam").fit, X)
        yield f"pickle {estimator.__name__}", lambda fitted=fitted: pickle.loads(pickle.dumps(fitted))
        yield f"score_samples of {estimator.__name__}", functools.partial(fitted.score_samples, X)
        if hasattr(fitted, "transform"):
            yield "partial_fit", Chunks()
            yield "transform", functools.partial(fitted.transform, X)


class Chunks:
    """Chunks for one model, whose history starts anew from time to time, since it grows by an entry a call."""

    def __init__(self):
        self._X, self._sae = data(), None

    def __call__(self):
        if self._sae is None or self._sae.n_iter_ > 50:
            self._sae = model(SparseAutoencoderTransformer, "adam")
        self._sae.partial_fit(self._X)


@case("1000 fits, chunks, transforms, pickles of each kind: resident memory, Python's, threads", limit=3600)
def leaks(part):
    """Below 2 MB resident and 100 kB of Python's in n calls: free lists fill, what grows without end is larger."""
    n, answers, most = round(1000 * part), [], Counter()
    for name, task in itertools.islice(tasks_that_may_leak(), 0, None, 1 if part == 1 else 6):
        repeat(task, max(20, n // 10))
        running, resident = len(os.listdir("/proc/self/task")), [_status("VmRSS")]
        for _ in range(2):  # what leaks grows each time, what the allocator keeps does not
            repeat(task, n)
            resident.append(_status("VmRSS"))
        grown, more = 1000 * min(np.diff(resident)), len(os.listdir("/proc/self/task")) - running
        tracemalloc.start()
        repeat(task, 10)
        before = tracemalloc.get_traced_memory()[0]
        repeat(task, n)
        traced = (tracemalloc.get_traced_memory()[0] - before) / 1000
        tracemalloc.stop()
        most |= Counter({"resident": round(grown), "traced": round(traced)})
        good = grown < 2000 and traced < 100 and more == 0
        answers.append("flat" if good else f"{name}: {grown:.0f} kB, {traced:.0f} kB of Python's, {more} threads")
    tried, held, remark = counted(answers, ["flat"])
    return tried, held, f"{remark}; at most {most['resident']} kB, of Python's {most['traced']} kB in {n} calls"


def repeat(task, n):
    for _ in range(n):
        task()
    gc.collect()


# -- the table -------------------------------------------------------------------------------------


def run(name, part):
    """What a case reports from a process of its own."""
    _, limit, environment, _ = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        new = {"NUMBA_CACHE_DIR": folder} if environment.get("NUMBA_CACHE_DIR") == "new" else {}
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", name, "--part", str(part)],
            env=os.environ | environment | new,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return 1, 0, f"no end within {limit} s"
        if process.returncode:
            return 1, 0, f"exit code {process.returncode}: {errors[-500:]}"
        return json.loads(output.splitlines()[-1])


def main():
    options = parser(__doc__, rounds=1)
    options.add_argument("--only", nargs="+", metavar="WORD", help="cases whose name begins with one of these")
    options.add_argument("--part", type=float, default=1, help="of the full number of trials")
    options.add_argument("--child", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.child:
        warnings.simplefilter("ignore")
        print(json.dumps(CASES[options.child][-1](options.part)))
        return
    report, rows = Report(options), []
    for name in CASES:
        if options.only is None or name.startswith(tuple(options.only)):
            start = time.monotonic()
            tried, held, remark = run(name, options.part)
            rows.append({"name": CASES[name][0], "tried": tried, "held": held})
            print(f"{name}: {held} of {tried} in {time.monotonic() - start:.0f} s. {remark}", flush=True)
    report.add("as it should be", rows)
    report.close()
    sys.exit(any(row["held"] < row["tried"] for row in rows))


if __name__ == "__main__":
    main()
