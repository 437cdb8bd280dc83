"""The table of cases for faults.py, and the data, models, digests and child processes that they share."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
from scipy import sparse

import skl_sae
from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer

ESTIMATORS = [SparseAutoencoderTransformer, SparseAutoencoderOutlierDetector, TopKAutoencoderTransformer]
SOLVERS = ["lbfgs", "adam"]
# Rows, features, units: models that one thread computes, and models that several do.
SIZES = {"small": (300, 20, 10), "large": (400, 150, 60)}


def solvers_of(estimator):
    return ["adam"] if estimator is TopKAutoencoderTransformer else SOLVERS


# All estimators, their solvers, small and large, dense and sparse, float64 and float32.
KINDS = [
    (estimator, *kind)
    for estimator in ESTIMATORS
    for kind in itertools.product(solvers_of(estimator), SIZES, [False, True], ["float64", "float32"])
]


def kinds_for(part):
    """All kinds at full size, otherwise float64 only: compiling would take most of the time."""
    return KINDS if part == 1 else KINDS[::2]


CASES = {}


def case(sentence, limit=900, **environment):
    """Add a function that returns (tried, held, remark) to the table; it may be added several times."""

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
    other = {"k": 2, "sparse_output": False} if estimator is TopKAutoencoderTransformer else {"solver": solver}
    return estimator(**settings | other | parameters)


def outcome(kind, seed=0):
    """A digest of the fitted attributes and of the scores of the rows."""
    warnings.simplefilter("ignore")
    estimator, solver, size, *rows = kind
    X = data(size, *rows)
    fitted = model(estimator, solver, size, random_state=seed).fit(X)
    return joblib.hash([vars(fitted), fitted.score_samples(X)])


def compared(found, expected):
    """Return the number of results, how many are as expected, and the indices of those that are not."""
    wrong = [i for i, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other]
    return len(found), len(found) - len(wrong), f"not {wrong[:5]}" if wrong else ""


def in_a_fork(function, *arguments, limit=60):
    """Return the result of a function in a forked process, or how that process ended: a crash costs only one trial."""
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
    """Return the number of answers, how many are good, and the counts of the most common ones."""
    counts = Counter(answers)
    remark = ", ".join(f"{count} {answer}" for answer, count in counts.most_common(8))
    return len(answers), sum(counts[answer] for answer in good), remark


def run_python(function, *arguments, **environment):
    """Call a function of one of these modules in a new process with the same package; return its printed result."""
    call = f"from {function.__module__} import {function.__name__} as function; print(function(*{arguments!r}))"
    folders = [str(Path(__file__).parent), str(Path(skl_sae.__file__).parent.parent)]
    return subprocess.run(
        [sys.executable, "-c", call],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)} | environment,
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def flipped(content, i):
    """Flip a random bit of byte i."""
    return content[:i] + bytes([content[i] ^ 1 << random.randrange(8)]) + content[i + 1 :]


def unchanged_by(failing_fit, estimator):
    """Say whether a failing fit has changed the estimator."""
    before = fitted_state(estimator)
    try:
        failing_fit()
    except BaseException as error:
        return "as before" if fitted_state(estimator) == before else f"changed by {type(error).__name__}"
    return "did not fail"


def fitted_state(estimator):
    """A digest of all attributes except the callbacks, which may have state of their own."""
    return joblib.hash({name: value for name, value in vars(estimator).items() if name != "_skl_callbacks"})


def fresh_and_fitted(solver, X, **parameters):
    for estimator in ESTIMATORS:
        if solver not in solvers_of(estimator):
            continue
        yield model(estimator, solver, **parameters)
        yield model(estimator, solver, **parameters).fit(X * 2)
