"""Cases for faults.py: the kernel cache on disk and checkpoints, under kills, damage and full disks."""

import contextlib
import ctypes
import functools
import itertools
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
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from _faults_cases import SOLVERS, case, counted, data, flipped, in_a_fork, model

import skl_sae
from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer

# -- kernel cache ----------------------------------------------------------------------------------

ENCODE = """
import sys, warnings, pathlib, pickle
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np, skl_sae
    sae, X, expected = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
    right = np.allclose(sae.transform(X), expected, rtol=1e-9)
print("right" if right else "wrong", *{"with a warning" for w in caught if "cannot be kept on disk" in str(w.message)})
"""


@contextlib.contextmanager
def encoding():
    """Yield a function and a path for a cache folder; the function encodes rows in a new process that uses the cache.

    It returns what the process printed, or how it ended.
    """
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
            process.kill()  # if it is still running
            output, errors = process.communicate()
            return output.strip() if process.returncode == 0 else f"{process.returncode} {errors[-200:]}"

        yield encode, Path(folder, "cache")


@case("kill -9 while functions compile into an empty cache, then a run", limit=3600)
def kills(part):
    n = max(1, round(50 * part))
    with encoding() as (encode, cache):
        start = time.monotonic()
        answers = [encode(cache)]
        seconds = time.monotonic() - start
        for i in range(n):
            shutil.rmtree(cache)
            encode(cache, kill_after=seconds * (0.3 + 0.7 * (i + random.random()) / n))  # the first 30 % is importing
            answers.append(encode(cache))
    return counted(answers, ["right"])


DAMAGES = {
    "empty": lambda content, other: b"",
    "truncated": lambda content, other: content[: random.randrange(len(content))],
    "noise": lambda content, other: random.randbytes(len(content)),
    "a flipped bit": lambda content, other: flipped(content, random.randrange(len(content))),
    "of another function": lambda content, other: other,
}


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
    """Make permissions apply to root as well, from the next exec on."""
    drop_from_bounding_set, dac_override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override)


@case("a full disk, a read-only home and package: right, with a warning")
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
            return counted(answers, ["right with a warning"])
        try:
            answers += [encode(cache)]
        finally:
            subprocess.run(["umount", cache], check=True)
    return counted(answers, ["right with a warning"])


def small_disk(folder):
    """Mount a disk of 100 kB; return whether this process may."""
    folder.mkdir()
    return (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", folder], capture_output=True).returncode == 0
    )


# -- checkpoints -----------------------------------------------------------------------------------


class Checkpoint:
    """A callback that saves the model after each iteration, as in the guide."""

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
    """Replace the file in one step, so that it is never incomplete."""
    joblib.dump(fitted, f"{path}.part")
    os.replace(f"{path}.part", path)


def train_by_callback(solver, path):
    while True:  # a converged model could not be trained for the iterations that `resumed` expects
        sae = model(SparseAutoencoderTransformer, solver, tol=0, max_iter=500, warm_start=True)
        sae.set_callbacks(Checkpoint(path)).fit(data())


def train_in_steps(solver, path, estimator=SparseAutoencoderTransformer):
    while True:
        sae = model(estimator, solver, tol=0, max_iter=2, warm_start=True)
        for _ in range(50):  # fewer iterations than L-BFGS needs to converge
            save(sae.fit(data()), path)


def resumed(path):
    """Load the checkpoint of a killed training and continue the training."""
    sae = joblib.load(path)
    before, n_iter = sae.score_samples(data()), sae.n_iter_
    sae.set_params(max_iter=3).fit(data())
    good = np.isfinite(before).all() and np.isfinite(sae.score_samples(data())).all() and sae.n_iter_ == n_iter + 3
    return "continues" if good else "bad"


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
            answers.append(in_a_fork(resumed, path))
    return counted(answers, ["continues"])
