"""How long do anomaly scores of the training rows take, and how good are they, compared with PyOD's AutoEncoder?

    pip install ".[bench]"
    python benchmarks/pyod_autoencoder.py --data FOLDER --threads 1

FOLDER holds sets of ADBench: *cardio.npz, *pendigits.npz, *shuttle.npz with X and y (1 = anomaly). PyOD runs with its
defaults, which standardise the data; its scores are the ``decision_scores_`` of its fit. skl_sae runs its outlier
detector by default and with scoring="mahalanobis", fit and score_samples on the same rows, and, with both solvers, the
plain squared error of the transformer behind a StandardScaler, with half as many components as features, in float32.
Each round has its own seed (1, 2, 0); the AUROC is the mean over the rounds.
"""

import itertools
import warnings
from pathlib import Path

import numpy as np
import torch
from _harness import Report, parser
from pyod.models.auto_encoder import AutoEncoder
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer


def detector(X, seed, scoring):
    return -SparseAutoencoderOutlierDetector(scoring=scoring, random_state=seed).fit(X).score_samples(X)


def transformer(X, seed, solver, n_components):
    sae = SparseAutoencoderTransformer(n_components, solver=solver, random_state=seed)
    rows = X.astype(np.float32)
    return -make_pipeline(StandardScaler(), sae).fit(rows).score_samples(rows)


def pyod(X, seed):
    return AutoEncoder(random_state=seed, verbose=0).fit(X).decision_scores_


def auroc(X, y, scores, *arguments):
    seeds = itertools.cycle([0, 1, 2])  # the first is for the warm-up round
    return lambda: roc_auc_score(y, scores(X, next(seeds), *arguments))


def main():
    options = parser(__doc__, rounds=3, threads=True)
    options.add_argument("--data", required=True, type=Path, help="folder with ADBench's sets")
    options.add_argument("--sets", nargs="+", default=["cardio", "pendigits", "shuttle"])
    options = options.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads or torch.get_num_threads())
    report = Report(options)
    for name in options.sets:
        path = next(options.data.glob(f"*{name}.npz"))
        with np.load(path) as data:
            X, y = data["X"], data["y"]
        contenders = {
            "skl_sae, detector": auroc(X, y, detector, "auto"),
            "skl_sae, detector, Mahalanobis": auroc(X, y, detector, "mahalanobis"),
        }
        for solver in ["adam", "lbfgs"]:
            contenders[f"skl_sae, squared error, {solver}"] = auroc(X, y, transformer, solver, X.shape[1] // 2)
        contenders["PyOD AutoEncoder"] = auroc(X, y, pyod)
        title = f"{name}, {X.shape[0]} x {X.shape[1]}, {y.mean():.1%} anomalies"
        rows = report.compare(title, contenders, value="AUROC")
        speeds = [{"name": row["name"], "speed": rows[-1]["seconds"] / row["seconds"]} for row in rows[:-1]]
        report.add(f"times as fast as PyOD's AutoEncoder: {name}", speeds)
    report.close()


if __name__ == "__main__":
    main()
