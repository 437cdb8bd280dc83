"""How much memory do fit, transform and score_samples take beyond X?

    python benchmarks/memory.py

60000 rows of 784 features in float32: L-BFGS -> 200 units (12 iterations, which fill its memory of 10 steps), Adam
-> 256 units (one epoch, batches of 256), transform and score_samples with 256 units; returned arrays count. For top-k
autoencoders, 20000 rows of 768 features -> 3072 units, k = 32 (two epochs, batches of 512). Every figure comes from a
process of its own, in which X is built and everything is compiled and run on a few rows beforehand.
There are two measures: the high-water mark of the resident memory (Linux) includes everything that is written to;
tracemalloc includes everything allocated through Python and NumPy, written to or not.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
from _harness import Report, measured, parser

from skl_sae import SparseAutoencoderTransformer, TopKAutoencoderTransformer

COMMON = dict(output_activation="sigmoid", tol=0, random_state=0)
MODELS = {
    "lbfgs": SparseAutoencoderTransformer(200, max_iter=12, **COMMON),
    "adam": SparseAutoencoderTransformer(256, solver="adam", batch_size=256, max_iter=1, **COMMON),
    "top-k": TopKAutoencoderTransformer(3072, 32, max_iter=2, tol=0, random_state=0),
}
CASES = {
    "fit, lbfgs": ("lbfgs", "fit"),
    "fit, adam": ("adam", "fit"),
    "transform": ("adam", "transform"),
    "score_samples": ("adam", "score_samples"),
    "fit, top-k": ("top-k", "fit"),
    "transform, top-k": ("top-k", "transform"),
    "score_samples, top-k": ("top-k", "score_samples"),
}


def traced_peak(function):
    tracemalloc.start()
    function()
    return tracemalloc.get_traced_memory()[1] / 1e6


def shape(case, rows):
    """Return the shape of X, which has ``rows`` rows except for top-k autoencoders."""
    return (rows // 3, 768) if CASES[case][0] == "top-k" else (rows, 784)


def child(case, measure, rows):
    """Print the peak in MB beyond X as JSON; null means unknown."""
    warnings.simplefilter("ignore")
    model, method = CASES[case]
    sae, X = MODELS[model], np.random.default_rng(0).random(shape(case, rows), np.float32)
    few = X[:2048]
    getattr(sae.fit(few), method)(few)
    call = getattr(sae, method)
    print(json.dumps(measured(lambda: call(X))[1] if measure == "resident" else traced_peak(lambda: call(X))))


def run(case, measure, rows):
    command = [sys.executable, __file__, "--child", case, measure, "--rows", str(rows)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main():
    options = parser(__doc__, rounds=3)
    options.add_argument("--rows", type=int, default=60000, help="a third of them for top-k autoencoders")
    options.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    options.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.child:
        child(*options.child, options.rows)
        return
    report = Report(options)
    rows = []
    for case in options.cases:
        size = 4e-6 * np.prod(shape(case, options.rows))
        row = {"name": case}
        for measure in "resident", "tracemalloc":
            peaks = [run(case, measure, options.rows) for _ in range(options.rounds)]
            if None not in peaks:
                peak = statistics.median(peaks)
                row |= {f"{measure} / X": peak / size, f"{measure} MB": peak}
        rows.append(row)
    report.add("peak memory beyond X", rows)
    report.close()


if __name__ == "__main__":
    main()
