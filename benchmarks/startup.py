"""How long do the import, the first fit and the first transform take?

    python benchmarks/startup.py

Every line comes from fresh processes. Each round has its own cache of compiled code, which is empty in the first
process ("cold") and full in the second ("warm"). The import is timed after those of scikit-learn and numba ("other
imports"), the first transform after two fits; "over the second" is the difference between the two fits. The data are
500 x 20 -> 10, so that a fit takes next to no time.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from _harness import Report, parser


def child(solver, dtype):
    """Print the seconds of each step as JSON."""
    seconds, start = {}, time.perf_counter()

    def lap(step):
        nonlocal start
        seconds[step] = time.perf_counter() - start
        start = time.perf_counter()

    import warnings

    import numba  # noqa: F401
    import numpy as np
    import scipy.optimize  # noqa: F401
    import sklearn.model_selection  # noqa: F401

    lap("other imports")
    from skl_sae import SparseAutoencoderTransformer

    lap("import")
    warnings.simplefilter("ignore")
    X = np.random.default_rng(0).normal(size=(500, 20)).astype(dtype)
    sae = SparseAutoencoderTransformer(10, solver=solver, max_iter=2, random_state=0)
    start = time.perf_counter()
    sae.fit(X)
    lap("first fit")
    sae.fit(X)
    lap("second fit")
    sae.transform(X)
    lap("first transform")
    sae.transform(X)
    lap("second transform")
    print(json.dumps(seconds))


def run(solver, dtype, cache):
    command = [sys.executable, __file__, "--child", solver, dtype]
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def main():
    options = parser(__doc__, rounds=3)
    options.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.child:
        child(*options.child)
        return
    report = Report(options)
    rows = []
    for solver, dtype in itertools.product(["lbfgs", "adam"], ["float64", "float32"]):
        rounds = {"cold": [], "warm": []}
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as cache:
                for state in rounds:
                    rounds[state].append(run(solver, dtype, cache))
        for state, values in rounds.items():
            medians = {step: statistics.median(value[step] for value in values) for step in values[0]}
            medians["over the second"] = medians["first fit"] - medians["second fit"]
            rows.append({"name": f"{solver}, {dtype}, {state}", **medians})
    report.add("seconds", rows)
    report.close()


if __name__ == "__main__":
    main()
