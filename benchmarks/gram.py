"""What does the Gram algebra gain with tied weights and identity output, and how many digits does it cost?

    python benchmarks/gram.py --threads 2
    python benchmarks/gram.py --threads 2 --data mnist.npz

Times one evaluation of the objective and its gradient over all rows by the Gram algebra, which needs two products of
size n d m, and directly, with five. Then prints the relative errors of loss and gradient after a fit, measured against
the direct way in float64. Without --data, X is random pixels. The script calls private functions; users get the faster
way without asking for it.
"""

import warnings

import numpy as np
from _harness import Report, parser
from threadpoolctl import threadpool_limits

from skl_sae import SparseAutoencoderTransformer
from skl_sae._model import architecture, regularization
from skl_sae._objectives.full_batch import FullBatchObjective, GramObjective
from skl_sae._rows import as_rows

UNITS = 100, 200, 392


def load(options):
    if not options.data:
        return np.random.default_rng(0).uniform(size=(options.rows, 784))
    with np.load(options.data) as data:
        return data["X_train"][: options.rows].reshape(-1, 784) / 255


def objective(sae, X, gram):
    """Return the objective of an estimator over X, with or without the Gram algebra."""
    kind, arch = GramObjective if gram else FullBatchObjective, architecture(sae, X.shape[1], sae.n_components)
    return kind(as_rows(X), np.ones(len(X)), arch, regularization(sae))


def errors(sae, X):
    """Return the relative errors of loss and gradient, measured against the direct way in float64."""
    parts = sae.encoder_coef_, sae.encoder_intercept_, sae.decoder_intercept_
    theta = np.concatenate([part.ravel() for part in parts]).astype(np.float64)
    loss, exact = objective(sae, X, gram=False).evaluate_gradient(theta)
    rows = []
    for dtype in (np.float64, np.float32):
        for name, gram in {"Gram": True, "direct": False}.items():
            evaluation, gradient = objective(sae, X.astype(dtype), gram).evaluate_gradient(theta.astype(dtype))
            distance = np.linalg.norm(gradient - exact) / np.linalg.norm(exact)
            title = f"{name}, {np.dtype(dtype).name}"
            rows.append({"name": title, "loss": abs(evaluation.loss / loss.loss - 1), "gradient": distance})
    return rows


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--data", help="mnist.npz with X_train (n, 28, 28)")
    options.add_argument("--rows", type=int, default=10000)
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report, X = Report(options), load(options)
    with threadpool_limits(options.threads):
        for m in UNITS:
            sae = SparseAutoencoderTransformer(m, tied_weights=True, max_iter=100, tol=0, random_state=0)
            sae.fit(X[:2000].astype(np.float32))
            theta = np.random.default_rng(0).normal(scale=0.05, size=m * 784 + m + 784)
            for dtype in (np.float32, np.float64):
                rows, start = X.astype(dtype), theta.astype(dtype)
                ways = {name: objective(sae, rows, name == "Gram") for name in ("Gram", "direct")}
                run = {name: lambda way=way, start=start: way.evaluate_gradient(start) for name, way in ways.items()}
                report.compare(f"one evaluation, {len(X)} x 784 -> {m}, tied, {np.dtype(dtype).name}", run)
            report.add(f"relative errors after 100 iterations of L-BFGS, {m} units", errors(sae, X))
    report.close()


if __name__ == "__main__":
    main()
