"""How does a fit to a memory-mapped array that is larger than the allowed memory compare with a fit in memory?

    python benchmarks/out_of_core.py                      # 250000 x 1000 in float32: 1 GB on disk
    python benchmarks/out_of_core.py --rows 2000000       # 8 GB: more than the memory of many machines
    python benchmarks/out_of_core.py --rows 500000 --features 384 --only top-k --allowed 400

Each figure comes from a process of its own. One reads X into memory. The other may allocate, beyond what it holds after
everything is compiled and run on a few rows, only a quarter of the size of X, or ``--allowed`` MB (RLIMIT_DATA of
Linux, which counts all that a process allocates but not what it maps from files); it first makes sure that a copy of X
fails. The file has been read before, so the system caches as much of it as its memory can hold. Times are for fits of a
few iterations or epochs, the ratio is mapped / in memory, and the losses and mean scores have to be equal.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _harness import Report, parser

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer

SETTINGS = dict(n_components=64, batch_size=256, tol=0, random_state=0)
ESTIMATORS = {
    "L-BFGS": SparseAutoencoderTransformer(max_iter=5, **SETTINGS),
    "Adam": SparseAutoencoderTransformer(solver="adam", max_iter=2, **SETTINGS),
    "early stopping": SparseAutoencoderTransformer(max_iter=5, early_stopping=True, **SETTINGS),
    "top-k": TopKAutoencoderTransformer(1536, 32, max_iter=2, tol=0, random_state=0),
    "detector": SparseAutoencoderOutlierDetector(scoring="standardized_error", max_iter=5, **SETTINGS),
}


def write(path, rows, features):
    """Write rows that depend on 20 hidden variables, block by block."""
    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, features))
    mixing = rng.normal(size=(20, features)).astype(np.float32)
    for start in range(0, rows, 4096):
        block = X[start : start + 4096]
        block[:] = rng.normal(size=(len(block), 20)) @ mixing + rng.normal(size=block.shape)
    X.flush()


def allocated():
    """Return the bytes that count towards RLIMIT_DATA."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmData")).split()[1])


def child(path, name, allowed):
    """Print seconds, loss and mean score of a fit as JSON: to the file with ``allowed`` MB; None: to X in memory."""
    warnings.simplefilter("ignore")
    X = np.load(path, mmap_mode="r")
    few = np.array(X[:2048])
    sae = ESTIMATORS[name]
    sae.fit(few).score_samples(few)
    if allowed is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (allocated() + int(1e6 * allowed),) * 2)
        try:
            np.array(X)
        except MemoryError:
            pass
        else:
            raise SystemExit("the limit has no effect")
    else:
        X = np.array(X)
    start = time.perf_counter()
    sae.fit(X)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "loss": sae.loss_, "score": float(sae.score_samples(X).mean())}))


def run(path, name, allowed):
    command = [sys.executable, __file__, "--child", str(path), name, json.dumps(allowed)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    options = parser(__doc__, rounds=3)
    options.add_argument("--rows", type=int, default=250000)
    options.add_argument("--features", type=int, default=1000)
    options.add_argument("--folder", help="where to write the file (default: the folder for temporary files)")
    options.add_argument("--only", nargs="*", choices=ESTIMATORS, default=list(ESTIMATORS))
    options.add_argument("--allowed", type=float, help="MB (default: a quarter of the size of X)")
    options.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.child:
        path, name, allowed = options.child
        child(path, name, json.loads(allowed))
        return
    report = Report(options)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "X.npy"
        write(path, options.rows, options.features)
        size = path.stat().st_size / 1e6
        allowed, rows = options.allowed or size / 4, []
        for name in options.only:
            pairs = [(run(path, name, allowed), run(path, name, None)) for _ in range(options.rounds)]
            if any(one[part] != other[part] for one, other in pairs for part in ("loss", "score")):
                raise SystemExit(f"the fits differ: {pairs}")
            seconds = [[part["seconds"] for part in pair] for pair in pairs]
            ratios = [mapped / loaded for mapped, loaded in seconds]
            row = {"name": name, "mapped s": statistics.median(mapped for mapped, _ in seconds)}
            row |= {"in memory s": statistics.median(loaded for _, loaded in seconds)}
            row |= {"ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
            rows.append(row)
        report.add(f"X of {size:.4g} MB, {allowed:.4g} MB allowed", rows)
    report.close()


if __name__ == "__main__":
    main()
