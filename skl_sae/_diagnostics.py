"""What a fit should be warned of: pairs of a message and a category."""

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ._kernels.activations import ACTIVATIONS
from ._kernels.penalties import PENALTIES
from .exceptions import DataRangeWarning, HiddenUnitWarning

# A unit whose activations over the training rows span at most this fraction of the highest one counts as constant.
CONSTANT_SPAN = 0.01

# If half of the units have a standard deviation below this fraction of their mean, no unit is ever clearly on or off.
LEAST_RELATIVE_DEVIATION = 0.25

# If half of the units have a mean activation more than this many times rho, while the sparsity term is below this
# fraction of L, the term has no effect.
STRAY_ACTIVATION, NEGLIGIBLE_TERM = 3, 0.05

# A fit that explains less than this fraction of what it would explain of pure noise has not learned anything.
LEAST_EXPLAINED = 0.05

# Rows with a smaller weight on average are probably meant to have shares, not counts.
LEAST_MEAN_WEIGHT = 0.1

# The problem of a fit that was interrupted and kept.
INTERRUPTED = "The fit was interrupted; the weights after its last iteration are kept.", KeyboardInterrupt


def diagnose_range(rows, output_activation):
    """Return problems with data that the output cannot reach."""
    entry = ACTIVATIONS[output_activation]
    if np.isinf([entry.low, entry.high]).all():
        return []
    lowest, highest = rows.bounds()
    low, high = lowest.min(), highest.max()
    slack = 1e-6 * max(abs(low), abs(high))  # the last digits of a scaler
    if entry.low - slack <= low and high <= entry.high + slack:
        return []
    problem = (
        f"X lies in [{low:.4g}, {high:.4g}], but output_activation={output_activation!r} can only give "
        f"values in [{entry.low:g}, {entry.high:g}]: what is outside cannot be reconstructed. Scale X "
        "(MinMaxScaler) or use output_activation='identity'."
    )
    return [(problem, DataRangeWarning)]


def diagnose_weights(weights):
    """Return problems with weights that do not count rows."""
    total, n = float(np.sum(weights)), len(weights)
    if total >= LEAST_MEAN_WEIGHT * n:
        return []
    problem = (
        f"sample_weight sums to {total:.3g} for {n} rows of positive weight. A weight says how many rows a row stands "
        f"for, and from {total:.3g} rows little can be learned. Pass sample_weight * {n} / sample_weight.sum()."
    )
    return [(problem, DataRangeWarning)]


def diagnose_convergence(problem):
    """Return the problem that a solver reports, if any."""
    return [] if problem is None else [(problem + ".", ConvergenceWarning)]


def _is_standardized(settings):
    """Whether the estimator standardises X itself."""
    return getattr(settings, "scaling", None) is not None


def diagnose_explained(final, variance, arch, settings):
    """Return problems of training that converged to nothing.

    ``final`` is the last row of the history, ``variance`` that of the rows.
    """
    with np.errstate(over="ignore"):
        explained = 1 - final["reconstruction"] / variance if variance > 0 else 1.0
    # Of data without structure, m components can explain the fraction m / d.
    if explained >= LEAST_EXPLAINED * min(1, arch.n_components / arch.n_features):
        return []
    problem = f"The fit explains {max(explained, 0):.1%} of the variance of X, hardly more than the mean row does. "
    if _is_standardized(settings):
        problem += "Lower alpha, beta, tol or learning_rate_init, or use more components."
    else:
        problem += (
            "Standardise X (very large, very small or very different features stall the training), lower alpha, "
            "beta, tol or learning_rate_init, or use more components."
        )
    return [(problem, ConvergenceWarning)]


def _uninformative(objective, settings):
    """Return masks of the dead, saturated and constant units."""
    entry = ACTIVATIONS[settings.activation]
    lowest, highest = objective.lowest, objective.highest
    dead = highest <= entry.silent
    saturated = lowest >= entry.high - entry.silent
    constant = highest - lowest <= CONSTANT_SPAN * highest
    return dead, saturated, constant


def shares_of_units(objective, settings):
    """Return the shares of dead, saturated and constant units as fitted attributes."""
    names = "dead_fraction_", "saturated_fraction_", "constant_fraction_"
    return {name: float(np.mean(units)) for name, units in zip(names, _uninformative(objective, settings), strict=True)}


def diagnose_units(objective, settings, final):
    """Return problems of units that carry no information and of codes that are not sparse.

    ``objective`` was evaluated at the fitted weights, ``final`` is the last row of the history.
    """
    dead, saturated, constant = _uninformative(objective, settings)
    variation = np.median(objective.deviation / np.maximum(objective.mean, np.finfo(float).tiny))
    activity = float(np.median(objective.mean))
    has_target = PENALTIES[settings.penalty].has_target and settings.beta > 0
    advice = "Standardise X, lower beta or alpha, change rho, train longer, or use fewer components."
    if constant.all():
        problem = "The codes have collapsed: every hidden unit has the same activation for all training rows."
    elif (dead | saturated | constant).any():
        problem = (
            f"Of {len(dead)} hidden units, {dead.sum()} are dead (never active on the training rows), "
            f"{saturated.sum()} saturated (always fully active), {(constant & ~dead & ~saturated).sum()} others "
            "constant."
        )
    elif variation < LEAST_RELATIVE_DEVIATION:
        problem = (
            f"The code is not sparse: most units vary by less than {variation:.0%} around their mean activation, "
            "as they do when the variance of X is small against the penalties."
        )
    elif (
        has_target
        and activity > STRAY_ACTIVATION * settings.rho
        and final["sparsity"] < NEGLIGIBLE_TERM * final["loss"]
    ):
        problem = (
            f"The code is not sparse: with rho={settings.rho:.3g} half of the units exceed {activity:.3g} on average, "
            "as they do when the variance of X is large against the sparsity term."
        )
        advice = "Standardise X, raise beta, or train longer."
    else:
        return []
    if _is_standardized(settings):
        advice = advice.removeprefix("Standardise X, ")
        advice = advice[0].upper() + advice[1:]
    return [(f"{problem} {advice}", HiddenUnitWarning)]


def diagnose_silent(frequency, final):
    """Return problems of a code with a fixed number of active units, given how often each is active."""
    dead = int(np.count_nonzero(frequency == 0))
    if final["fvu"] > 1 - LEAST_EXPLAINED and final["loss"] > 0:
        problem = (
            f"The fit explains {max(1 - final['fvu'], 0):.1%} of the variance of X, hardly more than the mean row. "
        )
        return [(problem + "Train longer, or raise learning_rate_init, k or n_components.", ConvergenceWarning)]
    if not dead:
        return []
    problem = (
        f"Of {len(frequency)} hidden units, {dead} are dead (never active on the training rows). Use fewer components, "
        "a larger k or more rows, train longer, or set resample_dead=True."
    )
    return [(problem, HiddenUnitWarning)]
