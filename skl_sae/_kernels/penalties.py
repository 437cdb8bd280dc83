"""Sparsity penalties on the mean activations of the hidden units: their table and their compiled forms.

CONTRIBUTING.md says how to add one.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from .jit import jit, jit_inline

BERNOULLI, POISSON, L1 = range(3)

# For the annotations of public functions; a test compares it with the table.
PenaltyName: TypeAlias = Literal["kl", "l1"]

# The divergence continues as its tangent where the mean is below this fraction of rho, or 1 - mean below this fraction
# of 1 - rho: value and slope stay finite, and still pull the mean towards rho.
GUARD = 1e-6


class Penalty(NamedTuple):
    """A term beta * sum_j p(mean_j) of the objective."""

    kind: Callable  # its number in compiled code, given the `Activation` of the hidden units
    has_target: bool  # whether it pulls the mean activation towards rho


def _divergence_kind(activation):
    return BERNOULLI if activation.high == 1 else POISSON


PENALTIES = {
    "kl": Penalty(_divergence_kind, has_target=True),
    "l1": Penalty(lambda activation: L1, has_target=False),
}


@jit_inline
def penalty_term(kind, rho, mean):
    """Return p(mean) and its derivative, both finite for every finite ``mean``.

    Bernoulli and Poisson are KL(rho || mean); L1 is the mean itself, since activations are not negative.
    """
    if kind == L1:
        return mean, 1.0
    low = max(GUARD * rho, 1e-300)
    p = low if mean < low else mean
    if kind == BERNOULLI:
        q, low = 1 - p, max(GUARD * (1 - rho), 1e-300)  # q = 1 - p: its last digits count where p is near 1
        if q < low:
            p, q = 1 - low, low
        value = rho * np.log(rho / p) + (1 - rho) * np.log((1 - rho) / q)
        slope = (1 - rho) / q - rho / p
        beyond = (1 - q) - mean if q == low else p - mean
    elif kind == POISSON:
        value = rho * np.log(rho / p) - rho + p
        slope = 1 - rho / p
        beyond = p - mean
    else:  # a penalty without a branch makes the fit diverge at once
        value, slope, beyond = np.nan, np.nan, 0.0
    value -= slope * beyond
    return (0.0 if value < 0 else value), slope  # rounding may leave it slightly below zero


@jit
def sparsity_term(reg, mean, sparsity_grad):
    """Return beta * sum_j p(mean_j); its derivative with respect to each mean goes into ``sparsity_grad``."""
    total = 0.0
    for j in range(mean.size):
        value, derivative = penalty_term(reg.penalty, reg.rho, mean[j])
        total += value
        sparsity_grad[j] = reg.beta * derivative
    return reg.beta * total
