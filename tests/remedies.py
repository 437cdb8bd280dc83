"""Faults that the package warns of, each with the remedy that the message names: for tests and benchmarks."""

import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae.metrics import SparsestWithin, explained_variance_scorer, population_sparsity_scorer
from skl_sae.model_selection import PathSearchCV

standardize, to_unit, to_largest = (scaler().fit_transform for scaler in (StandardScaler, MinMaxScaler, MaxAbsScaler))


def times(factor):
    return lambda X: X * factor


def search(X, **settings):
    grid = {"beta": [0.3, 3.0]}
    return PathSearchCV(SparseAutoencoderTransformer(10, random_state=0), grid, cv=2, **settings).fit(X)


def detect(X, total):
    weights = np.full(len(X), total(X) / len(X))
    return SparseAutoencoderOutlierDetector(5, random_state=0).fit(X, sample_weight=weights)


def topk(X, **settings):
    return TopKAutoencoderTransformer(random_state=0, **settings).fit(X)


def transformer(X, **settings):
    return SparseAutoencoderTransformer(random_state=0, **settings).fit(X)


class Case(NamedTuple):
    """A fault, and the remedy that its message names.

    ``spoil`` turns standardised rows into rows that bring the warning, ``mend`` turns those into rows that do not.
    """

    cause: str  # in the message, a regular expression
    remedy: str
    fault: dict[str, Any] = {}
    settings: dict[str, Any] = {}  # to change
    spoil: Callable[[np.ndarray], np.ndarray] = np.asarray
    mend: Callable[[np.ndarray], np.ndarray] = np.asarray
    fit: Callable[..., Any] = transformer
    turns: int = 1  # times to follow the message

    def _caught(self, X, settings):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.fit(X, **settings)
        return [message for message in (str(one.message) for one in caught) if re.search(self.cause, message)]

    def before(self, X):
        """Return the messages that name the cause."""
        return self._caught(self.spoil(X), self.fault)

    def after(self, X, messages):
        """Return the messages that are left after the remedy."""
        settings, X = self.fault | self.settings, self.mend(self.spoil(X))
        for _ in range(self.turns):
            number = re.search(r"(n_components=|Multiply X by )(\d[\d.e+]*\d|\d)", messages[0])
            if number and "X" in number[1]:
                X = X * float(number[2])
            elif number:
                settings["n_components"] = int(number[2])
            messages = self._caught(X, settings)
            if not messages:
                break
        return messages


NOTHING, IDLE, DENSE = "The fit explains .* of the variance", "hidden units, .* dead", "not sparse: most units vary"
HELD_BACK = "penalties outweigh small values"
STRAY = "half of the units exceed"
ADAM, L1 = {"solver": "adam"}, {"penalty": "l1", "activation": "relu"}
STEPS = {"learning_rate_init": 1e-2}
BOTH = {"score": explained_variance_scorer, "sparsity": population_sparsity_scorer}

CASES = {
    "nothing learned: small values": Case(NOTHING, "Standardise X", spoil=times(1e-3), mend=standardize),
    "nothing learned: small values, sigmoid output": Case(
        NOTHING, "MinMaxScaler", {"output_activation": "sigmoid"}, spoil=lambda X: to_unit(X) / 30, mend=to_unit
    ),
    "nothing learned: [0, 1], sigmoid output": Case(
        NOTHING, "Lower alpha", {"output_activation": "sigmoid", "alpha": 3e-2}, {"alpha": 1e-4}, spoil=to_unit
    ),
    "nothing learned: small values, sparse rows": Case(
        NOTHING, "Multiply X by", spoil=lambda X: csr_array(to_unit(X) / 30)
    ),
    "nothing learned: weight decay": Case(NOTHING, "Lower alpha", {"alpha": 10.0}, {"alpha": 1e-3}),
    "nothing learned: L1": Case(NOTHING, "Lower beta", L1 | {"beta": 100.0}, {"beta": 0.3}),
    "nothing learned: KL": Case(NOTHING, "Lower beta", {"beta": 1e6}, {"beta": 3.0}),
    "nothing learned: small steps": Case(
        NOTHING, "Raise learning_rate_init", ADAM | {"learning_rate_init": 1e-6}, STEPS
    ),
    "nothing learned: large steps": Case(
        NOTHING, "Lower learning_rate_init", ADAM | {"activation": "relu", "learning_rate_init": 1.0}, STEPS
    ),
    "nothing learned: top-k": Case(
        NOTHING, "Lower learning_rate_init", {"learning_rate_init": 3.0}, {"learning_rate_init": 2e-3}, fit=topk
    ),
    "idle units: L1": Case(IDLE, "penalty='kl'", L1 | {"beta": 0.3}, {"penalty": "kl", "beta": 3.0}),
    "idle units: small rho": Case(IDLE, "Raise rho", {"rho": 0.003}, {"rho": 0.05}),
    "idle units: large rho": Case(IDLE, "Lower rho", {"rho": 0.999}, {"rho": 0.1}),
    "idle units: top-k": Case("hidden units, .* are dead", "n_components", {"k": 2}, fit=topk, turns=4),
    "far above rho: large values": Case(STRAY, "Standardise X", spoil=times(1e3), mend=standardize),
    "far above rho: large values, ReLU output": Case(
        STRAY, "MaxAbsScaler", {"output_activation": "relu"}, spoil=lambda X: 1000 * to_unit(X), mend=to_largest
    ),
    "far above rho: beta": Case(STRAY, "Raise beta", {"beta": 1e-4}, {"beta": 3.0}),
    "small values": Case(HELD_BACK, "Standardise X", spoil=times(0.1), mend=standardize),
    "small values: sparse rows": Case(HELD_BACK, "Multiply X by", spoil=lambda X: csr_array(to_unit(X) / 3)),
    "small values: [0, 1], rho": Case(HELD_BACK, "Standardise X", {"rho": 0.02}, spoil=to_unit, mend=standardize),
    "small values: [0, 1], sigmoid output": Case(
        HELD_BACK, "Lower alpha", {"output_activation": "sigmoid"}, {"alpha": 1e-4}, spoil=to_unit
    ),
    "near rho: weight decay": Case(DENSE, "Lower alpha", {"alpha": 0.2}, {"alpha": 1e-3}),
    "near rho: beta": Case(DENSE, "Raise beta", {"beta": 1e-4}, {"beta": 3.0}),
    "max_iter: L-BFGS": Case("reached max_iter", "Increase max_iter", {"max_iter": 15}, {"max_iter": 1000}),
    "max_iter: Adam": Case(
        "reached max_iter", "Increase max_iter", ADAM | STEPS | {"max_iter": 15}, {"max_iter": 1000}
    ),
    "no step": Case("no step", "Increase tol", {"tol": 0.0, "max_iter": 3000, "n_components": 5}, {"tol": 5e-3}),
    "loss rose": Case(
        "loss rose", "Lower learning_rate_init", ADAM | {"activation": "relu", "learning_rate_init": 0.3}, STEPS
    ),
    "output range: sigmoid": Case("X lies in", "MinMaxScaler", {"output_activation": "sigmoid"}, mend=to_unit),
    "output range: ReLU": Case(
        "X lies in", "output_activation='identity'", {"output_activation": "relu"}, {"output_activation": "identity"}
    ),
    "weights": Case("sample_weight sums", "sample_weight.sum", {"total": lambda X: 1}, {"total": len}, fit=detect),
    "search": Case("The search chose", "SparsestWithin", {}, {"scoring": BOTH, "refit": SparsestWithin(0.05)},
                   fit=search),
}  # fmt: skip
