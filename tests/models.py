"""Reference models as the package sees them, and every combination of the tables."""

import itertools

import numpy as np

from skl_sae import _model as model_layout
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._kernels.penalties import PENALTIES
from skl_sae._kernels.structs import AdamState, Architecture, Regularization
from skl_sae._rows import as_rows

# Activation of the code, activation of the output, penalty, tied weights.
MODELS = list(itertools.product(HIDDEN_ACTIVATIONS, ACTIVATIONS, PENALTIES, [False, True]))


def every_other(*factors):
    """Half of all combinations of values; every choice of values for all but one of the factors occurs.

    Every factor needs at least two values.
    """
    combinations = itertools.product(*map(enumerate, factors))
    return [tuple(value for _, value in one) for one in combinations if sum(number for number, _ in one) % 2 == 0]


def penalty_kind(penalty, activation):
    """The number of a penalty in compiled code."""
    return PENALTIES[penalty].kind(ACTIVATIONS[activation])


def layout_of(model):
    """Architecture and Regularization of a reference model."""
    m, d = model.W.shape
    kinds = ACTIVATIONS[model.activation].kind, ACTIVATIONS[model.output].kind
    arch = Architecture(d, m, model.tied, *kinds)
    reg = Regularization(penalty_kind(model.penalty, model.activation), model.rho, model.beta, model.alpha)
    return arch, reg


def unpacked(gradient, arch):
    """Parts W, V, b, c of a flat gradient."""
    return model_layout.unpack(gradient.copy(), arch)[1:]


def objective_of(kind, X, weights, model, **settings):
    """An objective of that class over rows, an array or a sparse matrix."""
    rows = X if hasattr(X, "is_local") else as_rows(X)
    weights = np.ones(len(rows)) if weights is None else weights
    return kind(rows, weights, *layout_of(model), **settings)


def adam_state(theta, n_steps=0):
    """Adam before its first step."""
    return AdamState(np.zeros_like(theta), np.zeros_like(theta), n_steps, 0.01, 0.9, 0.999, 1e-8)
