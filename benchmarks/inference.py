"""How fast are transform and score_samples, compared with PyTorch and with the matrix products alone?

    pip install ".[bench]"
    python benchmarks/inference.py --threads 1

60000 x 784 -> 256, sigmoid code and output, float32, the same weights for all. PyTorch computes without gradients and
in place where it can, with all rows at once and in blocks of 1024. The floor is the products in blocks of 1024 rows
with the same BLAS. Every call of transform allocates its result, and so do the floor and PyTorch.
"""

import warnings

import numpy as np
import torch
from _harness import Report, parser
from numba import njit

from skl_sae import SparseAutoencoderTransformer

BLOCK = 1024


@njit(cache=True)
def encode_product(X, W):
    H = np.empty((len(X), len(W)), X.dtype)
    for start in range(0, len(X), BLOCK):
        np.dot(X[start : start + BLOCK], W.T, H[start : start + BLOCK])
    return H


@njit(cache=True)
def both_products(X, W, V, H, Y):
    for start in range(0, len(X), BLOCK):
        rows = X[start : start + BLOCK]
        np.dot(rows, W.T, H[: len(rows)])
        np.dot(H[: len(rows)], V, Y[: len(rows)])


class Torch:
    """The fitted model in PyTorch, evaluated in blocks of this many rows; None: all rows at once."""

    def __init__(self, sae, block):
        parts = sae.encoder_coef_, sae.encoder_intercept_, sae.decoder_coef_, sae.decoder_intercept_
        self.W, self.b, self.V, self.c = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
        self.block = block

    def encode(self, rows):
        return torch.nn.functional.linear(rows, self.W, self.b).sigmoid_()

    def error(self, rows):
        output = torch.nn.functional.linear(self.encode(rows), self.V, self.c).sigmoid_()
        return output.sub_(rows).square_().sum(1).neg_()

    def over_blocks(self, function, X, *shape):
        X = torch.from_numpy(X)
        with torch.no_grad():
            if self.block is None:
                return function(X).numpy()
            result = torch.empty(len(X), *shape)
            for start in range(0, len(X), self.block):
                result[start : start + self.block] = function(X[start : start + self.block])
            return result.numpy()

    def transform(self, X):
        return self.over_blocks(self.encode, X, len(self.W))

    def score_samples(self, X):
        return self.over_blocks(self.error, X)


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--rows", type=int, default=60000)
    options.add_argument("--features", type=int, default=784)
    options.add_argument("--units", type=int, default=256)
    options = options.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads or torch.get_num_threads())
    report = Report(options)
    n, d, m = options.rows, options.features, options.units
    X = np.random.default_rng(0).uniform(size=(n, d)).astype(np.float32)
    sae = SparseAutoencoderTransformer(m, output_activation="sigmoid", max_iter=2, random_state=0).fit(X[:2000])
    whole, blocks = Torch(sae, None), Torch(sae, BLOCK)
    for name in "transform", "score_samples":  # all contenders must compute the same
        for model in whole, blocks:
            np.testing.assert_allclose(getattr(model, name)(X[:2000]), getattr(sae, name)(X[:2000]), rtol=1e-4)
    W, V = np.ascontiguousarray(sae.encoder_coef_), np.ascontiguousarray(sae.decoder_coef_.T)
    H, Y = np.empty((BLOCK, m), X.dtype), np.empty((BLOCK, d), X.dtype)
    floors = {"transform": lambda: encode_product(X, W), "score_samples": lambda: both_products(X, W, V, H, Y)}
    for count, (name, floor) in enumerate(floors.items(), 1):
        contenders = {
            "skl_sae": lambda name=name: getattr(sae, name)(X),
            "PyTorch, all rows at once": lambda name=name: getattr(whole, name)(X),
            f"PyTorch, blocks of {BLOCK}": lambda name=name: getattr(blocks, name)(X),
            "bare matrix products": floor,
        }
        report.compare(f"{name}, {n} x {d} -> {m}", contenders, flop=count * 2 * n * d * m)
    report.close()


if __name__ == "__main__":
    main()
