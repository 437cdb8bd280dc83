"""How fast is L-BFGS over all rows, compared with the same in NumPy and SciPy?

    python benchmarks/lbfgs.py --data mnist.npz                       # 50 iterations
    python benchmarks/lbfgs.py --data mnist.npz --iterations 400      # as in UFLDL
    python benchmarks/lbfgs.py --data mnist.npz --until 24.6 --rows 60000 --units 200 --iterations 600

UFLDL's settings on the first 10000 images of MNIST: 784 -> 196 -> 784, sigmoid code and output, rho = 0.1, beta = 6,
alpha = 3e-3 in the units of skl_sae. The peer is the listing of _peers.py in float64; skl_sae runs on float32 and on
float64 data. All start from the same parameters, and the objective that each reaches is printed. Without --data, X is
random pixels.

--until measures the time until L is at most a given value: for skl_sae on float32 data only, both with 20 epochs of
Adam (batches of 256) at the start and without. The listing stops at that value. For skl_sae, the history of a fit of
--iterations that is not timed gives the number of iterations, and a fit of that many is timed.
"""

import warnings

import numpy as np
from _harness import Report, parser
from _peers import fit_listing

from skl_sae import SparseAutoencoderTransformer

PENALTIES = dict(rho=0.1, beta=6.0, alpha=3e-3)
STARTS = {", Adam first": dict(adam_start=20, batch_size=256), "": dict()}


def load(path, rows):
    if path is None:
        return np.random.default_rng(0).uniform(size=(rows, 784))
    with np.load(path) as data:
        images = data["X_train"][:rows].transpose(0, 2, 1)  # pixels in UFLDL's order
    return np.ascontiguousarray(images.reshape(len(images), -1) / 255)


def estimator(options, **parameters):
    settings = dict(output_activation="sigmoid", max_iter=options.iterations, tol=0, random_state=0) | parameters
    patience = settings["max_iter"] + 1000  # only max_iter stops the fit
    return SparseAutoencoderTransformer(options.units, **PENALTIES, n_iter_no_change=patience, **settings)


def peer(X, options, until=-np.inf):
    return lambda: fit_listing(X, options.units, **PENALTIES, iterations=options.iterations, until=until).fun


def ours(sae, X):
    return lambda: sae.fit(X).loss_


def add_speeds(report, rows):
    """Add a table of how many times as fast as the listing, which is the last row, the others are."""
    listing = rows[-1]["seconds"]
    speeds = [{"name": row["name"], "speed": listing / row["seconds"]} for row in rows[:-1]]
    report.add("times as fast as NumPy and SciPy", speeds)


def compare_iterations(report, X, options):
    contenders = {f"skl_sae, {data.dtype}": ours(estimator(options), data) for data in (X.astype(np.float32), X)}
    contenders["NumPy and SciPy"] = peer(X, options)
    for data in (X.astype(np.float32), X):  # one iteration is enough to warm up
        estimator(options, max_iter=1).fit(data)
    title = f"L-BFGS, {X.shape[0]} x {X.shape[1]} -> {options.units}, {options.iterations} iterations"
    flop = 5 * 2 * X.size * options.units * options.iterations
    add_speeds(report, report.compare(title, contenders, flop=flop, value="objective", warm_up=False))


def iterations_until(sae, X, value):
    """Return the first iteration of L-BFGS after which L is at most ``value``."""
    losses = sae.fit(X).history_["loss"][-sae.max_iter :]  # epochs of Adam, if any, come first
    if losses.min() > value:
        raise SystemExit(f"{sae} reached only {losses.min():.6g}: raise --iterations or --until")
    return int(np.argmax(losses <= value)) + 1


def compare_until(report, X, options):
    contenders = {}
    data = X.astype(np.float32)
    for start, parameters in STARTS.items():
        iterations = iterations_until(estimator(options, **parameters), data, options.until)
        sae = estimator(options, **parameters, max_iter=iterations)
        contenders[f"skl_sae{start}, {iterations} iterations"] = ours(sae, data)
    contenders["NumPy and SciPy"] = peer(X, options, options.until)
    title = f"L-BFGS until L <= {options.until}, {X.shape[0]} x {X.shape[1]} -> {options.units}"
    # The fits above have warmed up.
    add_speeds(report, report.compare(title, contenders, value="objective", warm_up=False))


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--data", help="mnist.npz with X_train (n, 28, 28)")
    options.add_argument("--rows", type=int, default=10000)
    options.add_argument("--units", type=int, default=196)
    options.add_argument("--iterations", type=int, default=50, help="with --until, the maximum to try")
    options.add_argument("--until", type=float, help="measure the time until the objective is at most this")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report = Report(options)
    X = load(options.data, options.rows)
    (compare_iterations if options.until is None else compare_until)(report, X, options)
    report.close()


if __name__ == "__main__":
    main()
