"""Cases for faults.py: failing fits leave the estimator unchanged."""

import copy
import functools
import itertools
import warnings

import numpy as np
from _faults_cases import SOLVERS, case, counted, data, fresh_and_fitted, unchanged_by


@case("a MemoryError for each array that a fit creates")
def memory_errors(part):
    warnings.simplefilter("ignore")
    answers = []
    for solver, as_sparse in itertools.product(SOLVERS, [False, True]):
        X = data("small", as_sparse)
        for estimator in fresh_and_fitted(solver, X, warm_start=False):
            copy.deepcopy(estimator).fit(X)  # the first fit of a process creates more arrays
            n = calls_of_empty(lambda estimator=estimator: copy.deepcopy(estimator).fit(X))  # noqa: B023
            every = max(1, round(1 / part))
            for i in range(0, n, every):
                trial = copy.deepcopy(estimator)
                answers.append(unchanged_by(lambda: calls_of_empty(lambda: trial.fit(X), i), trial))  # noqa: B023
    return counted(answers, ["as before"])


def calls_of_empty(function, failing=None):
    """Count the calls of np.empty and np.zeros; call number ``failing`` raises a MemoryError."""
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
    """A callback that fails at event ``number``."""

    max_propagation_depth = 0

    def __init__(self, number):
        self._left = itertools.count(number, -1)

    def _event(self, *arguments, **settings):
        if next(self._left) == 0:
            raise OSError("no space left on device")

    def teardown(self, estimator, context):
        pass  # after the fit, which a failure here cannot undo

    setup = on_fit_task_begin = on_fit_task_end = _event


REFUSED = [
    dict(rho=2.0), dict(n_components=0), dict(solver="sgd"), dict(noise=0.1, solver="lbfgs"), dict(alpha=np.nan),
    dict(solver="adam", learning_rate_init=1e200), dict(early_stopping=True, validation_fraction=0.999),
    dict(k=0), dict(k=1000),
]  # fmt: skip
HUGE = np.tile([[1e300], [-1e300]], (150, 20))
BAD = {
    "X": [np.full((300, 20), np.nan), np.ones((1, 20)), np.zeros((300, 0)), "text", HUGE],
    "sample_weight": [-np.ones(300), np.zeros(300), np.full(300, np.nan), np.ones(3), "text", np.full(300, 1e100)],
}


@case("refused parameters, data and weights, divergence, failing callbacks, warnings as errors")
def refusals(part):
    X, answers = data(), []
    warnings.simplefilter("ignore")
    settings = list(itertools.product(SOLVERS, [False, True]))
    for solver, warm_start in settings if part == 1 else settings[::3]:  # or each value once
        for estimator in fresh_and_fitted(solver, X, warm_start=warm_start):
            for name, trial, failing_fit in failing_fits(estimator, X):
                answer = unchanged_by(failing_fit, trial)
                answers.append(answer if answer == "as before" else f"{answer}: {estimator}, {name}")
    return counted(answers, ["as before"])


def failing_fits(estimator, X):
    """Yield a name, a copy of the estimator, and a function that fits this copy and should fail."""
    names = estimator.get_params()
    for parameters in ({name: refused[name] for name in refused if name in names} for refused in REFUSED):
        if parameters:
            trial = copy.deepcopy(estimator).set_params(**parameters)
            yield f"{parameters}", trial, functools.partial(trial.fit, X)
    for argument, values in BAD.items():
        for i, value in enumerate(values):
            trial = copy.deepcopy(estimator)
            yield f"{argument} {i} of BAD", trial, functools.partial(trial.fit, **{"X": X, argument: value})
    for number in range(8) if hasattr(estimator, "set_callbacks") else ():
        trial = copy.deepcopy(estimator)
        trial.set_callbacks(Failing(number))
        yield f"callback at event {number}", trial, functools.partial(trial.fit, X)
    trial = copy.deepcopy(estimator)
    yield "warnings as errors", trial, functools.partial(fit_without_warnings, trial, X)


def fit_without_warnings(estimator, X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.fit(X)
