"""The detectors that detector.py compares, each with settings that suit it.

They have scikit-learn's methods fit and score_samples (higher is normal).
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from sklearn.covariance import OAS, EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from skl_sae import SparseAutoencoderOutlierDetector


class Detector(NamedTuple):
    """How to make a detector from a seed; figures are means over the seeds."""

    make: Callable[[int], Any]
    seeds: tuple[int, ...] = (0,)
    needs: tuple[str, ...] = ()  # packages
    slow: bool = False

    def missing(self):
        return [package for package in self.needs if find_spec(package) is None]


class Neighbours(NearestNeighbors):
    """Distance to the fifth neighbour."""

    def score_samples(self, X):
        return -self.kneighbors(X, n_neighbors=min(5, self.n_samples_fit_))[0][:, -1]


class Mahalanobis(OAS):
    """Mahalanobis distance with a shrunk covariance."""

    def score_samples(self, X):
        return -self.mahalanobis(X)


class MinimumCovarianceDeterminant(EllipticEnvelope):
    """Robust Mahalanobis distance, for more than five rows per feature, as the authors of the method advise."""

    def fit(self, X, y=None):
        if len(X) <= 5 * X.shape[1]:
            raise ValueError("not run: at most five rows per feature")
        return super().fit(X)


class ExtendedForest:
    """Isolation forest whose splits combine two features."""

    def __init__(self, seed):
        self.seed = seed
        self.module = import_module("isotree")

    def fit(self, X):
        settings = dict(ntrees=100, ndim=min(2, X.shape[1]), sample_size=min(256, len(X)))
        self.forest = self.module.IsolationForest(**settings, random_seed=self.seed, nthreads=1).fit(X)
        return self

    def score_samples(self, X):
        return -self.forest.predict(X)


class Pyod:
    """A PyOD detector with scikit-learn's sign."""

    def __init__(self, module, name, **parameters):
        self.detector = getattr(import_module(f"pyod.models.{module}"), name)(**parameters)

    def fit(self, X):
        self.detector.fit(X)
        return self

    def score_samples(self, X):
        return -self.detector.decision_function(X)


class Standardised:
    """A detector on standardised features."""

    def __init__(self, detector):
        self.detector = detector

    def fit(self, X):
        self.scaler = StandardScaler().fit(X)
        self.detector.fit(self.scaler.transform(X))
        return self

    def score_samples(self, X):
        return self.detector.score_samples(self.scaler.transform(X))


def autoencoder(seed):
    import_module("torch").set_num_threads(1)
    return Pyod("auto_encoder", "AutoEncoder", random_state=seed, verbose=0)  # standardises by itself


OURS, FOREST, NEIGHBOURS = "skl_sae", "IsolationForest", "5 neighbours"
THREE = (0, 1, 2)
DETECTORS = {
    OURS: Detector(lambda seed: SparseAutoencoderOutlierDetector(random_state=seed)),
    "skl_sae, mahalanobis": Detector(
        lambda seed: SparseAutoencoderOutlierDetector(scoring="mahalanobis", random_state=seed)
    ),
    FOREST: Detector(lambda seed: IsolationForest(random_state=seed), THREE),
    NEIGHBOURS: Detector(lambda seed: Standardised(Neighbours())),
    "OAS Mahalanobis": Detector(lambda seed: Standardised(Mahalanobis())),
    "EllipticEnvelope": Detector(lambda seed: Standardised(MinimumCovarianceDeterminant(random_state=seed))),
    "LocalOutlierFactor": Detector(lambda seed: Standardised(LocalOutlierFactor(novelty=True))),
    "OneClassSVM": Detector(lambda seed: Standardised(OneClassSVM(cache_size=500))),
    "extended forest": Detector(ExtendedForest, THREE, ("isotree",)),
    "PyOD ECOD": Detector(lambda seed: Pyod("ecod", "ECOD"), needs=("pyod",)),
    "PyOD KNN": Detector(lambda seed: Standardised(Pyod("knn", "KNN")), needs=("pyod",)),
    "PyOD AutoEncoder": Detector(autoencoder, needs=("pyod", "torch"), slow=True),
}


@cache
def warm_up(*names):
    """Import what the detectors need and compile or load kernels, once in a process, before anything is timed."""
    rng = np.random.default_rng(0)
    for n, d in ((100, 5), (400, 60), (100, 200)):
        rows = rng.normal(size=(n, d))
        for name in names:
            with suppress(ValueError):  # too few rows for some
                DETECTORS[name].make(0).fit(rows).score_samples(rows)
