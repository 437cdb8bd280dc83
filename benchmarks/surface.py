"""How fast are training and inference over a range of sizes, compared with PyTorch and with the matrix products alone?

    pip install ".[bench]"
    python benchmarks/surface.py --json surface.json --plot surface.png
    OPENBLAS_CORETYPE=Haswell python benchmarks/surface.py        # the same with the AVX2 kernels of OpenBLAS
    python benchmarks/surface.py --busy                           # while another process keeps one core busy

Times an epoch of Adam with batches of 100 and of 1000, an iteration of L-BFGS, transform and score_samples, for sigmoid
code and output in float32, on random data, since the arithmetic does not depend on the values. Everything runs with one
thread, and with all that there are. PyTorch minimises the same objective with its fused Adam, with one thread and with
all; the floor is the products of the same rows with NumPy: five for a batch, or for an evaluation 1000 rows at a time,
two for score_samples, and for transform one, which returns a new array. The tables compare with the better of the two
numbers of threads, and with one thread alone. The time of an epoch or an iteration is the difference between a long fit
and a short one, divided by the difference of their lengths.

Waiting threads of BLAS and OpenMP spin for a while, so PyTorch works in a process that is stopped (SIGSTOP) while it is
not measured, and after several threads have worked nothing is measured for a moment. Every measurement comes right
after a run to warm up. Rounds are interleaved; a figure is the median of its rounds.
"""

import contextlib
import functools
import multiprocessing
import os
import statistics
import time
import warnings

import numpy as np
from _harness import REST, Elsewhere, Report, parser
from threadpoolctl import threadpool_limits

SIZES = [(10, 5), (30, 15), (64, 50), (100, 50), (128, 128), (256, 128), (784, 256)]
WORK = ["Adam, batches of 100", "Adam, batches of 1000", "L-BFGS", "transform", "score_samples"]
TRAINED = WORK[:3]
SHORT, LONG = 2, 12  # iterations of the two fits
WARM, LEAST = 0.1, 0.1  # seconds of work before a measurement, and of the shortest one
PENALTIES = dict(rho=0.1, beta=3.0, alpha=1e-4)


def count_rows(work, d, m):
    """Return how many rows take a few hundred milliseconds at most."""
    products = 4e7 if work in TRAINED else 2e9
    return int(np.clip(products / (d * m), 4000, 60000)) // 1000 * 1000


@functools.cache
def rows(work, d, m):
    return np.random.default_rng(0).random((count_rows(work, d, m), d), dtype=np.float32)


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def batches(work):
    return int(work.rpartition(" ")[2])


# -- contenders: seconds of an epoch, an iteration or a call -----------------------------------------


@functools.cache
def estimator(work, d, m):
    from skl_sae import SparseAutoencoderTransformer

    return SparseAutoencoderTransformer(m, output_activation="sigmoid", max_iter=2, random_state=0).fit(
        rows(work, d, m)
    )


def warm_up(function):
    end = time.perf_counter() + WARM
    function()
    while time.perf_counter() < end:
        function()


def per_iteration(fit):
    """Return seconds of an iteration, without what every fit costs."""
    warm_up(lambda: fit(SHORT))
    short, long = seconds(lambda: fit(SHORT)), seconds(lambda: fit(LONG))
    return (long - short) / (LONG - SHORT)


def per_call(function):
    warm_up(function)
    spent = [seconds(function)]
    while sum(spent) < LEAST:
        spent.append(seconds(function))
    return statistics.median(spent)


def ours(work, d, m):
    X, sae = rows(work, d, m), estimator(work, d, m)
    if work not in TRAINED:
        return per_call(lambda: getattr(sae, work)(X))
    settings = dict(solver="lbfgs") if work == "L-BFGS" else dict(solver="adam", batch_size=batches(work))

    def fit(iterations):
        patience = dict(max_iter=iterations, tol=0, n_iter_no_change=iterations + 1)
        type(sae)(m, **PENALTIES, output_activation="sigmoid", random_state=0, **patience, **settings).fit(X)

    return per_iteration(fit)


def pytorch(work, d, m):
    import torch
    from _peers import pytorch_fit

    X = rows(work, d, m)
    if work in TRAINED:
        settings = dict(output="sigmoid", batch_size=batches(work), fused=True, **PENALTIES)
        return per_iteration(lambda iterations: pytorch_fit(X, m, epochs=iterations, **settings))
    W, V = torch.rand(m, d), torch.rand(d, m)
    b, c, data = torch.rand(m), torch.rand(d), torch.from_numpy(X)
    linear = torch.nn.functional.linear
    with torch.no_grad():
        if work == "transform":
            return per_call(lambda: linear(data, W, b).sigmoid_())
        decode = lambda: linear(linear(data, W, b).sigmoid_(), V, c).sigmoid_()  # noqa: E731
        return per_call(lambda: decode().sub_(data).square_().sum(1))


def products(work, d, m):
    X = rows(work, d, m)
    n = len(X)
    size = batches(work) if work.startswith("Adam") else min(n, 1000)
    W, V = np.random.default_rng(0).random((2, m, d), dtype=np.float32)
    H, Y, G = np.zeros((size, m), np.float32), np.zeros((size, d), np.float32), np.zeros_like(W)

    def by_batches():
        for start in range(0, n, size):
            batch = X[start : start + size]
            np.dot(batch, W.T, out=H)
            np.dot(H, V, out=Y)
            if work in TRAINED:
                np.dot(Y, V.T, out=H)
                np.dot(H.T, Y, out=G)
                np.dot(H.T, batch, out=G)

    return per_call((lambda: X @ W.T) if work == "transform" else by_batches)


CONTENDERS = {"skl_sae": ours, "PyTorch": pytorch, "products": products}


def measure(name, work, d, m, threads):
    warnings.simplefilter("ignore")
    if name == "PyTorch":
        import torch

        torch.set_num_threads(threads)
    with threadpool_limits(threads):
        return CONTENDERS[name](work, d, m)


# -- rounds ------------------------------------------------------------------------------------------


def keep_busy():
    while True:
        pass


@contextlib.contextmanager
def busy(wanted):
    """Keep one core busy in the meantime."""
    if not wanted:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=keep_busy, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()


def cell(runners, work, d, m, numbers, rounds):
    """Return medians of seconds, by contender and number of threads."""
    found = {}
    for turn in range(rounds + 1):  # the first round compiles
        for name, run in runners.items():
            if name == "PyTorch" and work == "L-BFGS":
                continue
            for threads in numbers:
                spent = run(name, work, d, m, threads)
                if turn:
                    found.setdefault((name, threads), []).append(spent)
                if threads > 1:
                    time.sleep(REST)
    return {key: statistics.median(values) for key, values in found.items()}


def figures(found, numbers):
    """Return what the tables show."""
    one, most = numbers[0], numbers[-1]
    mine = found["skl_sae", most]
    floor = min(found["products", threads] for threads in numbers)
    row = {"ms": 1e3 * mine, "ours / products": mine / floor}
    if ("PyTorch", one) in found:
        row["PyTorch / ours"] = min(found["PyTorch", threads] for threads in numbers) / mine
    if most > one:
        row["1 thread, ms"] = 1e3 * found["skl_sae", one]
        row["1 thread, / products"] = found["skl_sae", one] / found["products", one]
        if ("PyTorch", one) in found:
            row["1 thread, PyTorch /"] = found["PyTorch", one] / found["skl_sae", one]
        row["speed-up"] = found["skl_sae", one] / mine
    return row


def draw(report, path):
    """Draw both ratios as heat maps, sizes by work."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    names = [row["name"] for row in report.tables[0]["rows"]]
    maps = {
        "PyTorch / ours": ("time of PyTorch / time of skl_sae", "RdYlGn", LogNorm(1 / 20, 20)),
        "ours / products": ("time of skl_sae / time of the bare matrix products", "YlOrRd", LogNorm(1, 4)),
    }
    for axis, (key, (title, colours, limits)) in zip(figure.subplots(1, 2), maps.items(), strict=True):
        values = np.array([[row.get(key, np.nan) for row in table["rows"]] for table in report.tables]).T
        axis.imshow(values, cmap=colours, norm=limits, aspect="auto")
        labels = [table["title"].replace(", batches of ", "\n").replace("_", "_\n") for table in report.tables]
        axis.set_xticks(range(len(report.tables)), labels)
        axis.set_yticks(range(len(names)), names)
        axis.set_title(title, fontsize="medium")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                place = limits(value)
                extreme = place > 0.7 if colours == "YlOrRd" else abs(place - 0.5) > 0.35
                axis.text(j, i, f"{value:.3g}", ha="center", va="center", color="white" if extreme else "black")
    figure.savefig(path, dpi=150)


def main():
    options = parser(__doc__, rounds=5)
    options.add_argument("--threads", type=int, default=os.cpu_count(), help="threads, besides runs with one")
    options.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    options.add_argument("--work", choices=WORK, nargs="+", default=WORK)
    options.add_argument("--only", choices=[f"{d}-{m}" for d, m in SIZES], nargs="+", help="sizes: d-m")
    options = options.parse_args()
    numbers = sorted({1, options.threads})
    sizes = [(d, m) for d, m in SIZES if not options.only or f"{d}-{m}" in options.only]
    options.threads = None
    report = Report(options)
    with contextlib.ExitStack() as stack:
        elsewhere = Elsewhere(measure)
        stack.callback(elsewhere.close)
        stack.enter_context(busy(options.busy))
        runners = {"skl_sae": measure, "PyTorch": elsewhere, "products": measure}
        for work in options.work:
            table = []
            for d, m in sizes:
                found = cell(runners, work, d, m, numbers, options.rounds)
                table.append({"name": f"{d}-{m}", "rows": count_rows(work, d, m), **figures(found, numbers)})
            report.add(work, table)
    report.close(functools.partial(draw, report))


if __name__ == "__main__":
    main()
