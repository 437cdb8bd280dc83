"""What does an evaluation of L and its gradient cost on Dask, and what would it cost on other clusters?

    python benchmarks/dask_cost.py

For a few sizes, and 1, 2 and 4 single-threaded worker processes on this machine, the seconds per evaluation are
compared with the formula of docs/guide/dask.md,

    12 n d m / (w F)  +  traffic / B  +  tasks * t_task  +  t_round,

where F, the FLOP/s of one worker, B, the bytes per second to the client and back, and the times per task and per round
are measured in the same run. Workers beyond the cores of this machine share them, so F is multiplied by min(w, cores)
instead of w. The last table applies the formula to 10^9 rows on 100 machines.
"""

import os
import statistics
import time
import warnings

import dask
import dask.array as da
import numpy as np
from _harness import Report, parser
from distributed import Client, LocalCluster

from skl_sae import SparseAutoencoderTransformer
from skl_sae._model import architecture, count_parameters, regularization
from skl_sae._objectives import objective_for
from skl_sae._rows import as_rows
from skl_sae._rows.graph import FAN_IN, Graph, sent

SIZES = [(20_000, 256, 64), (40_000, 256, 64), (20_000, 784, 256)]  # rows, features, units
WORKERS = 1, 2, 4
BLOCKS = 8


def problem(d, m):
    """Return architecture, penalties and parameters of a model with a sigmoid code."""
    settings = SparseAutoencoderTransformer(m, rho=0.1, beta=3.0, alpha=1e-3)
    arch = architecture(settings, d, m)
    theta = np.random.default_rng(0).normal(0, 0.05, count_parameters(arch)).astype(np.float32)
    return arch, regularization(settings), theta


def median_seconds(function, rounds):
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def count_tasks(blocks):
    """Return the number of tasks in a graph: two calls per block, two trees, and the parameters."""
    tree, left = 0, blocks
    while left > 1:
        left = -(-left // FAN_IN)
        tree += left
    return 2 * (blocks + tree) + 1


def traffic(d, m, blocks, workers, itemsize=4):
    """Return the bytes that one evaluation moves, in the worst case one after the other.

    They are the parameters sent to every worker, half of the gradients of a worker's blocks on their way up the tree,
    and the sum sent to the client.
    """
    return (2 * d * m + m + d) * itemsize * (2 + np.log2(workers) + blocks / workers / 2 * (workers > 1))


def predicted(n, d, m, workers, blocks, speed, bandwidth, task, latency):
    """Return the seconds for arithmetic, traffic and dask, and their sum."""
    parts = 12 * n * d * m / speed, traffic(d, m, blocks, workers) / bandwidth, count_tasks(blocks) * task + latency
    return *parts, sum(parts)


def echo(X):
    return X


def own_seconds(rows, theta, weights, arch, reg):
    """Return the seconds that both passes over a block take without dask."""
    theta, start = np.array(theta), time.perf_counter()
    mean = objective_for(rows, weights, arch, reg).mean_activation(theta)
    objective_for(rows, weights, arch, reg).gradient_given(theta, mean)
    return time.perf_counter() - start


def calibrate(n, d, m, rounds):
    """Return the FLOP/s of a single worker, the bytes per second for parameters, the seconds per task and per round."""
    arch, reg, theta = problem(d, m)
    latency = median_seconds(lambda: dask.compute(dask.delayed(echo)(1)), rounds)

    def many():
        graph = Graph()
        graph.compute(*graph.each("call", echo, range(200)))

    many_bytes = np.tile(theta, 32)  # parameters alone take no longer than the rest

    def exchange(size):
        graph = Graph()
        graph.compute(graph.call("call", echo, *sent([many_bytes[:size]])))

    task = max(median_seconds(many, rounds) - latency, 0) / 200
    sizes = 1, many_bytes.size
    few, all_of_them = (median_seconds(lambda size=size: exchange(size), rounds) for size in sizes)
    bandwidth = 2 * many_bytes.nbytes / max(all_of_them - few, 1e-6)
    block = np.random.default_rng(0).random((n // BLOCKS, d), np.float32)
    rows = dask.delayed(as_rows(block)).persist()
    weights = np.ones(len(block))
    call = dask.delayed(own_seconds, pure=False)
    _, *seconds = (dask.compute(call(rows, theta, weights, arch, reg))[0] for _ in range(rounds + 1))  # _ compiles
    seconds = statistics.median(seconds)
    return 12 * len(block) * d * m / seconds, bandwidth, task, latency


def seconds_per_evaluation(n, d, m, rounds):
    arch, reg, theta = problem(d, m)
    X = da.random.default_rng(0).random((n, d), dtype=np.float32, chunks=(n // BLOCKS, d))
    rows = as_rows(X)
    try:
        objective = objective_for(rows, rows.check_weights(None, 2), arch, reg)
        return median_seconds(lambda: objective.evaluate_gradient(theta), rounds)
    finally:
        rows.release()


def main():
    options = parser(__doc__)
    options.add_argument("--rows", type=float, default=1.0, help="factor for all numbers of rows")
    options.add_argument("--cores", type=int, default=32, help="cores of each of the 100 machines")
    options.add_argument("--network", type=float, default=10.0, help="Gbit/s between the 100 machines")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report, rows, calibrations = Report(options), [], []
    for workers in WORKERS:
        settings = dict(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0")
        with LocalCluster(**settings) as cluster, Client(cluster):
            for size, d, m in SIZES:
                n = int(size * options.rows)
                speed, *rest = calibrate(n, d, m, options.rounds)
                calibrations.append((speed, *rest))
                seconds = seconds_per_evaluation(n, d, m, options.rounds)
                *parts, total = predicted(n, d, m, workers, BLOCKS, speed * min(workers, os.cpu_count()), *rest)
                row = dict(zip(["arithmetic", "traffic", "dask"], parts, strict=True))
                name = f"{workers} workers, {n} x {d} -> {m}"
                rows.append({"name": name, "seconds": seconds, "predicted": total, "ratio": total / seconds, **row})
    report.add("seconds per evaluation in float32, measured and predicted", rows)
    speed, bandwidth, task, latency = np.median(calibrations, axis=0)
    names = ["GFLOP/s per worker", "GB/s", "ms per task", "ms per round"]
    figures = speed / 1e9, bandwidth / 1e9, 1e3 * task, 1e3 * latency
    report.add("calibration", [{"name": "median", **dict(zip(names, figures, strict=True))}])
    machines, n, d = 100, 10**9, 1000
    workers, rows = machines * options.cores, []
    for m in 100, 256, 1000:
        rate = options.network / 8 * 1e9 / options.cores
        *parts, total = predicted(n, d, m, workers, workers, speed * workers, rate, task, latency)
        row = dict(zip(["arithmetic", "traffic", "dask"], parts, strict=True))
        rows.append({"name": f"{m} units", "predicted": total, **row})
    cluster = f"100 machines of {options.cores} cores, one block per core"
    report.add(f"seconds per evaluation, predicted only: 10^9 x 1000 on {cluster}", rows)
    report.close()


if __name__ == "__main__":
    main()
