"""How long does a grid search over rho and beta take, compared with the same in NumPy and SciPy?

    python benchmarks/grid.py

Digits (64 -> 50) and breast cancer (30 -> 15), both in [0, 1], sigmoid code and output; 5 values of rho, 5 of beta and
5 folds: 125 fits of 100 iterations of L-BFGS for each contender. The peer is the listing of _peers.py in float64. The
last table of a set shows whether two workers are really faster than one. Worker processes start in the warm-up round;
the memory column is that of the parent process only.
"""

import os
import warnings

import numpy as np
from _harness import Report, parser
from _peers import ListingEstimator
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import minmax_scale

from skl_sae import SparseAutoencoderTransformer

GRID = {"rho": [0.02, 0.05, 0.1, 0.2, 0.3], "beta": [0.1, 0.3, 1.0, 3.0, 10.0]}
SETS = {"digits": (load_digits, 50), "breast cancer": (load_breast_cancer, 15)}


def search(estimator, X, jobs):
    """Return a function that searches, without a final fit on all rows, and returns the best score."""
    return lambda: GridSearchCV(estimator, GRID, cv=5, refit=False, n_jobs=jobs).fit(X).best_score_


def main():
    options = parser(__doc__, rounds=3)
    options.add_argument("--n-jobs", type=int, default=2)
    options.add_argument("--iterations", type=int, default=100)
    options = options.parse_args()
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"  # in the workers
    report = Report(options)
    common = dict(max_iter=options.iterations, random_state=0)
    for name, (load, m) in SETS.items():
        X = minmax_scale(load().data)
        sae = SparseAutoencoderTransformer(
            m, output_activation="sigmoid", tol=0, n_iter_no_change=options.iterations + 1, **common
        )
        jobs = options.n_jobs
        contenders = {
            "skl_sae, float64": search(sae, X, jobs),
            "skl_sae, float32": search(sae, X.astype(np.float32), jobs),
            "NumPy and SciPy": search(ListingEstimator(m, **common), X, jobs),
        }
        report.compare(f"{name}, n_jobs={jobs}", contenders, value="best score")
        workers = {f"n_jobs={jobs}": search(sae, X, jobs) for jobs in (options.n_jobs, 1)}
        report.compare(f"{name}, skl_sae, float64", workers)
    report.close()


if __name__ == "__main__":
    main()
