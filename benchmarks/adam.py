"""How fast is a fit of a small model with Adam, compared with PyTorch, MLPRegressor and the matrix products alone?

    pip install ".[bench]"
    python benchmarks/adam.py --threads 1
    python benchmarks/adam.py --threads 2

10000 x 20 -> 10, sigmoid code, identity output, float32, batches of 128, 20 epochs, as in a grid search, on random
data, since the arithmetic does not depend on the values. PyTorch minimises the same objective of the same model with
its fused and its plain Adam, from its own initial weights; both packages compute the loss over all rows at the end,
which is printed. MLPRegressor, which has a logistic code and no sparsity term, is fitted X -> X. The floor is all
matrix products of the fit, five per batch and two for the rows at the end, written to memory that is already allocated,
with the same BLAS and number of threads. ``surface.py`` compares other sizes with PyTorch.
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


N, D, M, BATCH = 10000, 20, 10, 128


def ours(X, epochs):
    sae = SparseAutoencoderTransformer(
        M, **PENALTIES, solver="adam", batch_size=BATCH, max_iter=epochs, tol=0, n_iter_no_change=epochs + 1,
        random_state=0,
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


def floor(X, epochs):
    W, V = np.random.default_rng(0).normal(size=(2, M, D)).astype(X.dtype)
    n_batches, blocks = -(-N // BATCH), -(-N // BLOCK)
    H = np.empty((round(N / n_batches), M), X.dtype)
    rows = X[: max(round(N / blocks), len(H))].copy()
    return lambda: products(rows, W, V, H, np.empty_like(rows), np.empty_like(W), epochs * n_batches, blocks)


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--epochs", type=int, default=20)
    options = options.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads or torch.get_num_threads())
    report, epochs = Report(options), options.epochs
    X = np.random.default_rng(0).uniform(size=(N, D)).astype(np.float32)
    pytorch = {**PENALTIES, "output": "identity", "batch_size": BATCH, "epochs": epochs}
    mlp = dict(alpha=PENALTIES["alpha"], batch_size=BATCH, epochs=epochs)
    contenders = {
        "skl_sae": ours(X, epochs),
        "PyTorch, fused Adam": lambda: pytorch_fit(X, M, **pytorch, fused=True),
        "PyTorch, plain Adam": lambda: pytorch_fit(X, M, **pytorch, fused=False),
        "bare matrix products": floor(X, epochs),
        "MLPRegressor": lambda: mlp_fit(X, M, **mlp),
    }
    flop = (5 * epochs + 2) * 2 * N * D * M
    report.compare(
        f"Adam, {N} x {D} -> {M}, batches of {BATCH}, {epochs} epochs", contenders, flop=flop, value="final loss"
    )
    report.close()


if __name__ == "__main__":
    main()
