"""Do fits in threads of one process hinder each other?

    python benchmarks/side_by_side.py

Two fits of the same size, one after the other and at the same time in two Python threads: with the threads that the
package chooses, and with BLAS limited to one thread, which is best on two cores. 12000 x 128 in float32.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _harness import Report, parser
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skl_sae import SparseAutoencoderTransformer, TopKAutoencoderTransformer

MODELS = {
    "top-k, 300 units, 25 epochs": TopKAutoencoderTransformer(300, 8, max_iter=25, tol=0),
    "L-BFGS, 200 units, 40 iterations": SparseAutoencoderTransformer(200, max_iter=40, tol=0),
    "Adam, 200 units, 15 epochs": SparseAutoencoderTransformer(200, solver="adam", max_iter=15, tol=0),
}


def main():
    options = parser(__doc__, threads=True).parse_args()
    warnings.simplefilter("ignore")
    report, X = Report(options), np.random.default_rng(0).standard_normal((12000, 128)).astype(np.float32)
    for name, model in MODELS.items():
        fits = [clone(model).set_params(random_state=seed) for seed in range(2)]

        def in_a_row(fits=fits):
            for fit in fits:
                fit.fit(X)

        def side_by_side(fits=fits):
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda fit: fit.fit(X), fits))

        def limited(side_by_side=side_by_side):
            with threadpool_limits(1, "blas"):
                side_by_side()

        report.compare(f"two fits of {name}", {
            "one after the other": in_a_row, "in two threads": side_by_side, "the same, BLAS limited": limited,
        })  # fmt: skip
    report.close()


if __name__ == "__main__":
    main()
