"""Case for faults.py: memory and threads after many calls."""

import functools
import gc
import itertools
import os
import pickle
import tracemalloc
from collections import Counter

import numpy as np
from _faults_cases import ESTIMATORS, KINDS, case, counted, data, model
from _harness import _status


def tasks_that_may_leak():
    """Yield names and functions to call a thousand times."""
    for kind in KINDS[::2]:  # float64
        estimator, solver, size, *rows = kind
        yield f"fit {kind}", functools.partial(model(estimator, solver, size).fit, data(size, *rows))
    for estimator in ESTIMATORS:
        fitted, X = model(estimator, "adam", warm_start=True).fit(data()), data()
        yield f"warm fit of {estimator.__name__}", functools.partial(model(estimator, "adam").fit, X)
        yield f"pickle {estimator.__name__}", lambda fitted=fitted: pickle.loads(pickle.dumps(fitted))
        yield f"score_samples of {estimator.__name__}", functools.partial(fitted.score_samples, X)
        if hasattr(fitted, "transform"):
            yield f"partial_fit of {estimator.__name__}", Chunks(estimator)
            yield "transform", functools.partial(fitted.transform, X)


class Chunks:
    """`partial_fit` of one model, replaced from time to time because its history grows by one entry per call."""

    def __init__(self, estimator):
        self._X, self._sae, self._estimator = data(), None, estimator

    def __call__(self):
        if self._sae is None or self._sae.n_iter_ > 50:
            self._sae = model(self._estimator, "adam")
        self._sae.partial_fit(self._X)


@case("1000 fits, chunks, transforms, pickles of each kind: resident memory, Python's memory, threads", limit=3600)
def leaks(part):
    """Allow 2 MB of resident memory and 100 kB of Python's in n calls: free lists fill up; a real leak is larger."""
    n, answers, most = round(1000 * part), [], Counter()
    for name, task in itertools.islice(tasks_that_may_leak(), 0, None, 1 if part == 1 else 6):
        repeat(task, max(20, n // 10))
        running, resident = len(os.listdir("/proc/self/task")), [_status("VmRSS")]
        for _ in range(2):  # a leak grows each time, memory that the allocator keeps does not
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
