"""How does the time of an iteration or epoch grow with rows, features and units?

    python benchmarks/scaling.py --threads 1 --plot scaling.png

Starting from 8000 x 256 -> 128 in float32, each of the three is set to 1/2, 1, 2 and 4 times its size while the others
stay fixed. The time is the difference between two fits with different max_iter, so that costs that occur once per fit
cancel; the exponent is the least-squares slope of log time against log size. Linear growth has the exponent 1.
"""

import statistics
import warnings

import numpy as np
from _harness import Report, measured, parser

from skl_sae import SparseAutoencoderTransformer

FACTORS = 0.5, 1, 2, 4
SOLVERS = {"lbfgs": dict(), "adam": dict(batch_size=256)}


def seconds_per_iteration(solver, n, d, m, options):
    X = np.random.default_rng(0).random((n, d), np.float32)
    short, long = (
        SparseAutoencoderTransformer(
            m, solver=solver, **SOLVERS[solver], output_activation="sigmoid", max_iter=iterations, tol=0,
            n_iter_no_change=iterations + 1, random_state=0,
        )
        for iterations in (2, 2 + options.iterations)
    )  # fmt: skip
    differences = [measured(lambda: long.fit(X))[0] - measured(lambda: short.fit(X))[0] for _ in range(options.rounds)]
    return statistics.median(differences) / options.iterations


def exponent(sizes, seconds):
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def draw(curves, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(SOLVERS), 4), layout="constrained")
    for axis, solver in zip(figure.subplots(1, len(SOLVERS), sharey=True), SOLVERS, strict=True):
        for name in "rows", "features", "units":
            sizes, seconds = curves[solver, name]
            label = f"{name}: {exponent(sizes, seconds):.2f}"
            axis.loglog(np.divide(sizes, sizes[0]), seconds, "o-", label=label, base=2)
        axis.set(title=solver, xlabel="size / smallest", ylabel="seconds per iteration or epoch")
        axis.legend(title="exponent")
    figure.savefig(path, dpi=150)


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--rows", type=int, default=8000)
    options.add_argument("--features", type=int, default=256)
    options.add_argument("--units", type=int, default=128)
    options.add_argument("--iterations", type=int, default=8, help="iterations by which the two fits differ")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report = Report(options)
    base = {"rows": options.rows, "features": options.features, "units": options.units}
    curves, rows = {}, []
    for solver in SOLVERS:
        seconds_per_iteration(solver, 500, 20, 10, options)  # compile first
        for name, middle in base.items():
            sizes = [round(factor * middle) for factor in FACTORS]
            seconds = [seconds_per_iteration(solver, *(base | {name: size}).values(), options) for size in sizes]
            curves[solver, name] = sizes, seconds
            times = {f"x {factor:g}": value for factor, value in zip(FACTORS, seconds, strict=True)}
            rows.append({"name": f"{solver}, {name}", "exponent": exponent(sizes, seconds), **times})
    report.add("exponent, and seconds per iteration or epoch at each size", rows)
    report.close(draw=lambda path: draw(curves, path))


if __name__ == "__main__":
    main()
