"""How fast is a fit with Adam, compared with PyTorch, MLPRegressor and the matrix products alone?

    pip install ".[bench]"
    python benchmarks/adam.py --threads 1
    python benchmarks/adam.py --threads 2

Large: 60000 x 784 -> 256, sigmoid code and output, float32, batches of 256 and of 100, 5 epochs, on random data, since
the arithmetic does not depend on the values. Small: 10000 x 20 -> 10, batches of 128, 20 epochs, as in a grid search.
PyTorch minimises the same objective of the same model with its fused and its plain Adam, from its own initial weights;
both packages compute the loss over all rows at the end, which is printed. MLPRegressor, which has a logistic code, a
linear output and no sparsity term, is fitted X -> X. The floor is all matrix products of the fit, five per batch and
two for the rows at the end, written to memory that is already allocated, with the same BLAS and number of threads.
"""

import warnings

import numpy as np
import torch
from _harness import Report, parser
from _peers import mlp_fit, pytorch_fit
from numba import njit

from skl_sae import SparseAutoencoderTransformer

PENALTIES = dict(rho=0.1, beta=3.0, alpha=1e-4)
BLOCK = 1024  # rows per product in the evaluation at the end


def ours(X, m, batch_size, output, epochs):
    sae = SparseAutoencoderTransformer(
        m, **PENALTIES, output_activation=output, solver="adam", batch_size=batch_size, max_iter=epochs, tol=0,
        n_iter_no_change=epochs + 1, random_state=0,
    )  # fmt: skip
    return lambda: sae.fit(X).loss_


@njit(cache=True)
def products(X, W, V, H, Y, G, batches, blocks):
    size = len(H)
    for _ in range(batches):
        np.dot(X[:size], W.T, H)
        np.dot(H, V, Y[:size])
        np.dot(Y[:size], V.T, H)
        np.dot(H.T, Y[:size], G)
        np.dot(H.T, X[:size], G)
    code = np.empty((len(X), len(W)), X.dtype)
    for _ in range(blocks):
        np.dot(X, W.T, code)
        np.dot(code, V, Y)


def floor(X, m, batch_size, epochs):
    rng = np.random.default_rng(0)
    W, V = rng.normal(size=(2, m, X.shape[1])).astype(X.dtype)
    n_batches, blocks = -(-len(X) // batch_size), -(-len(X) // BLOCK)
    H = np.empty((round(len(X) / n_batches), m), X.dtype)
    rows = X[: max(round(len(X) / blocks), len(H))].copy()
    return lambda: products(rows, W, V, H, np.empty_like(rows), np.empty_like(W), epochs * n_batches, blocks)


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--epochs", type=int, help="epochs, instead of 5 (large) and 20 (small)")
    options.add_argument("--rows", type=int, default=60000, help="rows of the large data")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads or torch.get_num_threads())
    report = Report(options)
    rng = np.random.default_rng(0)
    for n, d, m, batch_size, output, epochs in [
        (options.rows, 784, 256, 256, "sigmoid", options.epochs or 5),
        (options.rows, 784, 256, 100, "sigmoid", options.epochs or 5),
        (10000, 20, 10, 128, "identity", options.epochs or 20),
    ]:
        X = rng.uniform(size=(n, d)).astype(np.float32)
        pytorch = {**PENALTIES, "output": output, "batch_size": batch_size, "epochs": epochs}
        contenders = {
            "skl_sae": ours(X, m, batch_size, output, epochs),
            "PyTorch, fused Adam": lambda X=X, m=m, kw=pytorch: pytorch_fit(X, m, **kw, fused=True),
            "PyTorch, plain Adam": lambda X=X, m=m, kw=pytorch: pytorch_fit(X, m, **kw, fused=False),
            "bare matrix products": floor(X, m, batch_size, epochs),
        }
        if output == "identity":
            mlp = dict(alpha=PENALTIES["alpha"], batch_size=batch_size, epochs=epochs)
            contenders["MLPRegressor"] = lambda X=X, m=m, kw=mlp: mlp_fit(X, m, **kw)
        title = f"Adam, {n} x {d} -> {m}, batches of {batch_size}, {epochs} epochs"
        flop = (5 * epochs + 2) * 2 * n * d * m
        report.compare(title, contenders, flop=flop, value="final loss")
    report.close()


if __name__ == "__main__":
    main()
