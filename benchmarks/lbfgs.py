"""How fast is L-BFGS over all rows, beside the same in NumPy and SciPy?

    python benchmarks/lbfgs.py --data mnist.npz

UFLDL's settings on the first 10000 images of MNIST: 784 -> 196 -> 784, sigmoid code and output, rho = 0.1, beta = 6,
alpha = 3e-3 in our units. The peer is the usual listing made correct: one flat parameter vector, the analytic gradient
of every parameter (b' included) in NumPy, and SciPy's L-BFGS-B, always in float64; ours runs on float32 and on float64
data. All start from the same parameters, and the objective that each reaches is printed. Random pixels stand in without
--data.
"""

import warnings

import numpy as np
from _harness import Report, parser
from scipy.optimize import minimize
from scipy.special import expit

from skl_sae import SparseAutoencoderTransformer
from skl_sae._kernels import ACTIVATIONS, OUTPUTS
from skl_sae._objective import initial_parameters

RHO, BETA, ALPHA, UNITS = 0.1, 6.0, 3e-3, 196


def estimator(iterations):
    return SparseAutoencoderTransformer(
        UNITS, rho=RHO, beta=BETA, alpha=ALPHA, output_activation="sigmoid", max_iter=iterations, tol=0, random_state=0,
        n_iter_no_change=iterations + 1,
    )  # fmt: skip


def listing(theta, X):
    """L and its gradient, as the listing computes them."""
    n, d = X.shape
    size = UNITS * d
    W, V = theta[:size].reshape(UNITS, d), theta[size : 2 * size].reshape(UNITS, d)
    b, c = theta[2 * size : 2 * size + UNITS], theta[2 * size + UNITS :]
    H = expit(X @ W.T + b)
    Y = expit(H @ V + c)
    mean = H.mean(axis=0)
    error = Y - X
    kl = RHO * np.log(RHO / mean) + (1 - RHO) * np.log((1 - RHO) / (1 - mean))
    loss = np.sum(error**2) / n + BETA * kl.sum() + ALPHA * (np.sum(W**2) + np.sum(V**2))
    output = 2 / n * error * Y * (1 - Y)
    code = (output @ V.T + BETA / n * ((1 - RHO) / (1 - mean) - RHO / mean)) * H * (1 - H)
    dW, dV = code.T @ X + 2 * ALPHA * W, H.T @ output + 2 * ALPHA * V
    return loss, np.concatenate([dW.ravel(), dV.ravel(), code.sum(axis=0), output.sum(axis=0)])


def main():
    options = parser(__doc__)
    options.add_argument("--data", help="mnist.npz with X_train (n, 28, 28)")
    options.add_argument("--rows", type=int, default=10000)
    options.add_argument("--iterations", type=int, default=50)
    options = options.parse_args()
    warnings.simplefilter("ignore")
    if options.data:
        with np.load(options.data) as data:
            X = data["X_train"][: options.rows].transpose(0, 2, 1).reshape(-1, 784) / 255
    else:
        X = np.random.default_rng(0).uniform(size=(options.rows, 784))
    X = np.ascontiguousarray(X)
    sae = estimator(options.iterations)
    arch = sae._architecture(X.shape[1])
    sigmoid = ACTIVATIONS["sigmoid"], OUTPUTS["sigmoid"]
    start = initial_parameters(arch, X, *sigmoid, RHO, np.random.RandomState(0))
    reached = {}

    def ours(name, data):
        def run():
            reached[name] = estimator(options.iterations).fit(data).loss_

        return run

    def peer():
        settings = {"maxiter": options.iterations, "maxfun": 10**6, "ftol": 0, "gtol": 0}
        reached["NumPy and SciPy"] = minimize(listing, start, (X,), "L-BFGS-B", jac=True, options=settings).fun

    report = Report(options)
    contenders = {
        "skl_sae, float32": ours("skl_sae, float32", X.astype(np.float32)),
        "skl_sae, float64": ours("skl_sae, float64", X),
        "NumPy and SciPy": peer,
    }
    flop = 5 * 2 * X.size * UNITS * options.iterations
    report.compare(f"L-BFGS, {len(X)} x 784 -> {UNITS}, {options.iterations} iterations", contenders, flop=flop)
    report.add("objective reached", [{"name": name, "objective": value} for name, value in reached.items()])
    report.close()


if __name__ == "__main__":
    main()
