"""Cases for faults.py: interrupted fits (Ctrl-C)."""

import contextlib
import copy
import functools
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
from sklearn import config_context

from skl_sae import SparseAutoencoderTransformer, TopKAutoencoderTransformer

ITERATIONS = 60  # of the interrupted fit, and of its continuation


@contextlib.contextmanager
def interrupt_after(seconds):
    """Interrupt the block, then restore scikit-learn's configuration.

    The interrupt may come while scikit-learn restores it. Without this, about one interrupt in 2000 leaves parameters
    unchecked for the rest of the process.
    """
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    with config_context():
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
            copy.deepcopy(estimator).fit(X)  # compiles, which is not timed
            expected, seconds = timed(lambda estimator=estimator: joblib.hash(vars(copy.deepcopy(estimator).fit(X))))
            for _ in range(max(1, round(50 * part))):
                trial, delay = copy.deepcopy(estimator), random.uniform(0, 1.1 * seconds)
                answer = unchanged_by(lambda: interrupted_fit(trial, X, delay), trial)  # noqa: B023
                if answer.startswith("changed") and joblib.hash(vars(trial)) == expected:
                    answer = "done"  # the interrupt came after the work
                same = joblib.hash(vars(trial.fit(X))) == expected
                answers.append(answer if same else f"{answer}, then fits differently")
    return counted(answers, ["as before", "did not fail", "done"])


def interrupted_fit(estimator, X, delay):
    with interrupt_after(delay):
        estimator.fit(X)


def timed(function):
    start = time.perf_counter()
    return function(), time.perf_counter() - start


@case("interrupts with warm_start: whole iterations are kept, and the next fit continues from them")
def kept_interrupts(part):
    warnings.simplefilter("ignore")
    X, answers = data(), []
    kinds = [(SparseAutoencoderTransformer, solver) for solver in SOLVERS] + [(TopKAutoencoderTransformer, "adam")]
    for kind, early_stopping in itertools.product(kinds, [False, True]):
        new = functools.partial(model, *kind, tol=0, early_stopping=early_stopping, warm_start=True)
        new(max_iter=ITERATIONS).fit(X)  # compiles, which is not timed
        _, seconds = timed(lambda: new(max_iter=ITERATIONS).fit(X))  # noqa: B023
        for _ in range(max(1, round(50 * part))):
            trial = new(max_iter=ITERATIONS)
            with contextlib.suppress(KeyboardInterrupt), interrupt_after(random.uniform(0, 1.1 * seconds)):
                trial.fit(X)
            answers.append(continued(trial, new, X))
    return counted(answers, ["continues", "nothing was done yet"])


def continued(sae, new, X):
    """Compare an interrupted fit and its continuation with fits that were never interrupted.

    The total number of iterations is no criterion: early stopping may end either of them, at an iteration that depends
    on when the interrupt came, because L-BFGS then continues from the best weights with an empty memory.
    """
    if not hasattr(sae, "encoder_coef_"):
        return "changed" if hasattr(sae, "n_iter_") else "nothing was done yet"
    done = sae.n_iter_
    other = new(max_iter=done).fit(X)
    if not same_rows(sae, other, X, done):
        return "weights of no whole iteration"
    if sae.early_stopping:  # continues from the best weights, not from the last ones
        other.set_params(max_iter=ITERATIONS).fit(X)
    else:
        other = new(max_iter=done + ITERATIONS).fit(X)
    sae.set_params(max_iter=ITERATIONS).fit(X)
    return "continues" if same_rows(sae, other, X, done) else "continues elsewhere"


def same_rows(one, other, X, done):
    """Compare the codes, and the history after iteration ``done``.

    The entry of iteration ``done`` itself may differ: only a fit that was not interrupted evaluates its final weights.
    """
    histories = [{name: values[done:].tolist() for name, values in sae.history_.items()} for sae in (one, other)]
    return (
        np.array_equal(one.transform(X), other.transform(X))
        and histories[0] == histories[1]
        and one.n_iter_ == other.n_iter_ == len(one.history_["loss"])
    )


@case("interrupts while functions compile, then a fit", limit=1800)
def compiling_interrupts(part):
    answers, expected = [], outcome(KINDS[0])
    for _ in range(max(1, round(40 * part))):
        with tempfile.TemporaryDirectory() as cache:
            try:
                answer = run_python(interrupted_compilation, random.uniform(0, 8), NUMBA_CACHE_DIR=cache)
            except subprocess.CalledProcessError as error:
                answer = error.stderr[-100:]
            answers.append("right" if answer.strip() == expected else answer)
    return counted(answers, ["right"])


def interrupted_compilation(delay):
    warnings.simplefilter("ignore")
    sae, X = model(*KINDS[0][:3]), data()
    with contextlib.suppress(KeyboardInterrupt), interrupt_after(delay):
        sae.fit(X)
    return outcome(KINDS[0])
