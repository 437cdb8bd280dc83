"""Cases: fits that are interrupted (Ctrl-C)."""

import contextlib
import copy
import itertools
import random
import signal
import subprocess
import tempfile
import time
import warnings

import joblib
import numpy as np
from _faults_cases import (
    KINDS,
    SOLVERS,
    case,
    counted,
    data,
    fresh_and_fitted,
    model,
    outcome,
    run_python,
    unchanged_by,
)

from skl_sae import SparseAutoencoderTransformer


@contextlib.contextmanager
def interrupt_after(seconds):
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


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
                answer = run_python(interrupted_compilation, NUMBA_CACHE_DIR=cache)
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
