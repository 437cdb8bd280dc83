"""How fast is an epoch of Adam, beside PyTorch, MLPRegressor and the bare matrix products?

    pip install ".[bench]"
    python benchmarks/adam.py --threads 1
    python benchmarks/adam.py --threads 2

Large: 60000 x 784 -> 256, sigmoid code and output, float32, batches of 256 and of 100 (random data: the arithmetic
does not depend on the values). Small: 10000 x 20 -> 10, batches of 128, as in a grid search. PyTorch runs the same
model and objective with its fused Adam and with its plain one; MLPRegressor, which has no sparsity term and a logistic
code with a linear output, is fitted X -> X. The floor is the five matrix products of every batch, into memory that is
already there, with the same BLAS and number of threads.
"""

import warnings

import numpy as np
import torch
from _harness import Report, parser
from numba import njit
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from skl_sae import SparseAutoencoderTransformer

RHO, BETA, ALPHA = 0.1, 3.0, 1e-4


def ours(X, m, batch_size, output, epochs):
    def run():
        SparseAutoencoderTransformer(
            m, rho=RHO, beta=BETA, alpha=ALPHA, output_activation=output, solver="adam", batch_size=batch_size,
            max_iter=epochs, tol=0, n_iter_no_change=epochs + 1, random_state=0,
        ).fit(X)  # fmt: skip

    return run


def pytorch(X, m, batch_size, output, epochs, fused):
    """Full fit: initialisation, epochs, and the loss over all rows at the end, as ours does."""
    data = torch.from_numpy(X)
    d = X.shape[1]
    final = torch.sigmoid if output == "sigmoid" else torch.nn.Identity()

    def terms(encoder, decoder, rows):
        code = torch.sigmoid(encoder(rows))
        mean = code.mean(0)
        kl = RHO * torch.log(RHO / mean) + (1 - RHO) * torch.log((1 - RHO) / (1 - mean))
        decay = encoder.weight.square().sum() + decoder.weight.square().sum()
        error = (final(decoder(code)) - rows).square().sum(1).mean()
        return error + BETA * kl.sum() + ALPHA * decay

    def run():
        torch.manual_seed(0)
        encoder, decoder = torch.nn.Linear(d, m), torch.nn.Linear(m, d)
        parameters = [*encoder.parameters(), *decoder.parameters()]
        adam = torch.optim.Adam(parameters, lr=1e-3, fused=fused)
        for _ in range(epochs):
            for batch in torch.randperm(len(data)).split(batch_size):
                adam.zero_grad()
                terms(encoder, decoder, data[batch]).backward()
                adam.step()
        with torch.no_grad():
            terms(encoder, decoder, data)

    return run


def mlp(X, m, batch_size, epochs):
    def run():
        MLPRegressor(
            hidden_layer_sizes=(m,), activation="logistic", batch_size=batch_size, max_iter=epochs, tol=0,
            n_iter_no_change=epochs + 1, alpha=ALPHA, random_state=0,
        ).fit(X, X)  # fmt: skip

    return run


@njit(cache=True)
def products(X, W, V, H, Y, G, batches):
    for _ in range(batches):
        np.dot(X, W.T, H)
        np.dot(H, V, Y)
        np.dot(Y, V.T, H)
        np.dot(H.T, Y, G)
        np.dot(H.T, X, G)


def floor(X, m, batch_size, epochs):
    rng = np.random.default_rng(0)
    W, V = rng.normal(size=(2, m, X.shape[1])).astype(X.dtype)
    rows, H = X[:batch_size].copy(), np.empty((batch_size, m), X.dtype)
    Y, G = np.empty_like(rows), np.empty_like(W)
    return lambda: products(rows, W, V, H, Y, G, epochs * len(X) // batch_size)


def main():
    options = parser(__doc__)
    options.add_argument("--threads", type=int, default=1)
    options = options.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    report = Report(options)
    rng = np.random.default_rng(0)
    with threadpool_limits(options.threads):
        for n, d, m, batch_size, output, epochs in [
            (60000, 784, 256, 256, "sigmoid", 2),
            (60000, 784, 256, 100, "sigmoid", 2),
            (10000, 20, 10, 128, "identity", 20),
        ]:
            X = rng.uniform(size=(n, d)).astype(np.float32)
            contenders = {
                "skl_sae": ours(X, m, batch_size, output, epochs),
                "PyTorch, fused Adam": pytorch(X, m, batch_size, output, epochs, fused=True),
                "PyTorch, plain Adam": pytorch(X, m, batch_size, output, epochs, fused=False),
                "bare matrix products": floor(X, m, batch_size, epochs),
            }
            if output == "identity":
                contenders["MLPRegressor"] = mlp(X, m, batch_size, epochs)
            title = f"Adam, {n} x {d} -> {m}, batches of {batch_size}, {epochs} epochs, {options.threads} thread(s)"
            report.compare(title, contenders, flop=5 * 2 * n * d * m * epochs)
    report.close()


if __name__ == "__main__":
    main()
