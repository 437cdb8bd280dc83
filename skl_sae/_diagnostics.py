"""What to warn of after a fit: pairs of a message and a category.

A message has one cause and one remedy. ``benchmarks/remedies.py`` counts on how many data sets each remedy works.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ._kernels.activations import ACTIVATIONS
from ._kernels.penalties import PENALTIES
from .exceptions import DataRangeWarning, HiddenUnitWarning

# A unit whose activations over the training rows span at most this fraction of the highest one counts as constant.
CONSTANT_SPAN = 0.01

# Fewer dead, saturated and constant units than this fraction do no harm: a fit with defaults to data of two features in
# [0, 1] can have one in a hundred.
MANY_UNITS = 0.05

# If half of the units have a standard deviation below this fraction of their mean, no unit is ever clearly on or off.
# Defaults give 0.07 to 0.7 on small tables in [0, 1], whose codes serve a linear model as well as the features
# themselves, to within 1.4 points (benchmarks/sparsity.py --minmax).
LEAST_RELATIVE_DEVIATION = 0.05

# A fit that explains less than the first number, and half of whose units have a standard deviation below the second
# number times their mean, has been held back by the penalties. With defaults, TF-IDF rows of texts have 0 to 0.53 and
# 0.003 to 0.11, small tables in [0, 1] at least 0.83 or at least 0.25 (13 sets; any number of units).
HELD_BACK = 0.7, 0.2

# If half of the units have a mean activation more than this many times rho, the sparsity term has lost: to values of X
# that are too large or, if X is scaled, to a beta so small that the term is below this fraction of L.
STRAY_ACTIVATION, NEGLIGIBLE_TERM = 3, 0.05

# A fit that explains less than this fraction of what it would explain of pure noise has not learned anything.
LEAST_EXPLAINED = 0.05

# A loss that rose by less than this share of the variance of X has settled: training may begin with a perfect fit.
NEGLIGIBLE_RISE = 1e-3

# If the mean row is more than the first number of standard deviations from 0, each step of the weights moves the inputs
# of the units far, and training ends early. A fit that then explains less than the second number of what it can has
# been held back by that.
FAR, LEAST_EXPLAINED_FAR = 30, 0.5

# Features of data that are standardised, or nearly so, have an average variance in this range.
STANDARD_VARIANCE = 0.5, 2.0

# Features of data that fill [0, 1] usually have at least this average variance.
FULL_RANGE_VARIANCE = 0.01

# More weight decay than the default may leave no signal.
STRONG_DECAY = 1e-3

# Steps of Adam up to this size are taken to be too small rather than too large if nothing was learned.
LARGE_STEP = 0.1

# Weights with a smaller mean are probably meant as shares, not as counts of rows.
LEAST_MEAN_WEIGHT = 0.1

# The problem of a fit that was interrupted and kept.
INTERRUPTED = "The fit was interrupted; the weights after its last iteration are kept.", KeyboardInterrupt


def advice(cause, remedy, section):
    """Return a message: one cause, one remedy, and the section of the user guide that shows what the remedy did."""
    return f'{cause} {remedy} See "{section}" in the user guide, Pitfalls.'


def diagnose_equal_rows():
    """Return the problem of rows that are all the same."""
    cause, remedy = "All rows of X are the same, so they have the same code.", "Pass rows that differ."
    return advice(cause, remedy, "Dead, saturated and constant units"), HiddenUnitWarning


def _standardizes(settings):
    """Whether the estimator standardises X itself."""
    return getattr(settings, "scaling", None) is not None


def diagnose_range(rows, settings):
    """Return problems with data that the output cannot reach."""
    entry = ACTIVATIONS[settings.output_activation]
    if np.isinf([entry.low, entry.high]).all():
        return []
    lowest, highest = rows.bounds()
    low, high = lowest.min(), highest.max()
    slack = 1e-6 * max(abs(low), abs(high))  # the last digits of a scaler
    if entry.low - slack <= low and high <= entry.high + slack:
        return []
    cause = (
        f"X lies in [{low:.4g}, {high:.4g}], but output_activation={settings.output_activation!r} can only give "
        f"values in [{entry.low:g}, {entry.high:g}]: what is outside cannot be reconstructed."
    )
    is_sparse = rows.kind == "sparse"
    if np.isfinite(entry.high) and not _standardizes(settings) and not (is_sparse and low < 0):
        scaler = "MaxAbsScaler" if is_sparse else "MinMaxScaler"  # which keeps zeros
        remedy = f"Scale X to that range ({scaler})."
    else:
        remedy = "Use output_activation='identity'."
    return [(advice(cause, remedy, "Output range"), DataRangeWarning)]


def diagnose_weights(weights):
    """Return problems with weights that do not count rows."""
    total, n = float(np.sum(weights)), len(weights)
    if total >= LEAST_MEAN_WEIGHT * n:
        return []
    cause = (
        f"sample_weight sums to {total:.3g} for {n} rows of positive weight. A weight says how many rows a row stands "
        f"for, and from {total:.3g} rows little can be learned."
    )
    remedy = f"Pass sample_weight * {n} / sample_weight.sum()."
    return [(advice(cause, remedy, "Weights that are shares"), DataRangeWarning)]


def negligible_rise(variance):
    """Return up to which number a rise of the loss says nothing; any does if all rows are the same."""
    with np.errstate(over="ignore"):
        return NEGLIGIBLE_RISE * float(variance.sum()) if variance.any() else np.inf


class Unsettled(NamedTuple):
    """Why training did not settle, and the remedy; ``rose`` if the loss did."""

    cause: str
    remedy: str
    rose: bool


def diagnose_training(unsettled, found):
    """Return the worst problem: that training did not settle (None if it did) or what was found in the code.

    A fault of the code is worse than too few iterations: its own remedy ended it more often than more iterations did,
    and these cost time. But idle units are no news after a loss that rose.
    """
    if unsettled is None or (found and not (unsettled.rose and found[0][1] is HiddenUnitWarning)):
        return found
    return [(advice(unsettled.cause, unsettled.remedy, "Training that did not settle"), ConvergenceWarning)]


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


class Fit(NamedTuple):
    """What to judge a fit by.

    ``objective`` was evaluated at the fitted weights, ``final`` is the last row of the history, ``mean`` and
    ``variance`` (d,) are those of the features, ``bounds`` gives the lowest and highest value of each.
    """

    objective: Any
    settings: Any
    final: Any
    mean: np.ndarray
    variance: np.ndarray
    n_components: int
    kind: str  # of the rows as they came
    unsettled: Unsettled | None
    bounds: Callable[[], tuple[np.ndarray, np.ndarray]]  # takes a pass over the rows

    @property
    def distance(self):
        """Distance of the mean row from 0, in standard deviations of a row."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return float(np.sqrt(np.square(self.mean).sum() / self.variance.sum()))

    @property
    def is_far(self):
        """Whether X lies too far from 0; sparse rows, which scalers must not move, never do."""
        return self.kind != "sparse" and FAR < self.distance < np.inf and not _standardizes(self.settings)

    @property
    def mean_variance(self):
        """Mean variance of the features that vary."""
        varying = self.variance[self.variance > 0]
        with np.errstate(over="ignore"):
            return float(varying.mean()) if len(varying) else 1.0

    @property
    def explained(self):
        """Share of the variance that the fit explains."""
        total = self.variance.sum()
        with np.errstate(over="ignore", invalid="ignore"):
            return 1 - self.final["reconstruction"] / total if total > 0 else 1.0

    @property
    def most_explained(self):
        """Share that it can explain of data without structure."""
        return min(1, self.n_components / len(self.variance))

    @property
    def variation(self):
        """Median over the units of the standard deviation in relation to the mean."""
        return np.median(self.objective.deviation / np.maximum(self.objective.mean, np.finfo(float).tiny))

    @property
    def has_target(self):
        """Whether the units were asked to have the mean activation rho."""
        return PENALTIES[self.settings.penalty].has_target and self.settings.beta > 0

    def scale_or(self, remedy, directions=("far", "small", "large")):
        """Return that X should be scaled, if it is too far from 0, small or large, or else another remedy."""
        if self.is_far and "far" in directions:
            far = f"its mean is {self.distance:.0f} standard deviations from 0."
            standardise = self.settings.output_activation == "identity"
            return f"{'Standardise X (StandardScaler)' if standardise else 'Scale X to [0, 1] (MinMaxScaler)'}: {far}"
        (low, high), variance = STANDARD_VARIANCE, self.mean_variance
        direction = "small" if variance < low else "large" if not variance <= high else None
        if direction not in directions or _standardizes(self.settings):
            return remedy
        keeps_zeros, output = self.kind == "sparse", self.settings.output_activation
        of_variance = f"its features have a variance of {variance:.3g} on average."
        if output == "identity" and not keeps_zeros:
            return f"Standardise X (StandardScaler): {of_variance}"
        if direction == "large":
            return f"Scale X (MaxAbsScaler): {of_variance}"
        fills_range = self._has_full_range()
        if fills_range and not np.isfinite(ACTIVATIONS[output].high):
            return f"Multiply X by {self._factor():g}: {of_variance}"
        if variance < FULL_RANGE_VARIANCE and not fills_range:
            return f"Scale X to [0, 1] (MinMaxScaler): {of_variance}"
        return "Lower alpha: the penalties are large compared with the variance of X."

    def _has_full_range(self):
        """Whether a scaler to [0, 1] would not help, or hurt: sparse rows, whose rare features it makes too large."""
        if self.kind == "sparse":
            return True
        lowest, highest = self.bounds()
        varying = self.variance > 0
        scaled = self.variance[varying] / np.square((highest - lowest)[varying].astype(np.float64))
        return bool(scaled.mean() < 2 * self.mean_variance)

    def _factor(self):
        """Return the factor, with one digit, that gives X the variance of one standardised feature for each unit.

        Units beyond the number of features that vary do not count.
        """
        wanted = min(self.n_components, int(np.count_nonzero(self.variance)))
        return float(f"{np.sqrt(wanted) / np.sqrt(self.variance.sum()):.1g}")  # the ratio itself may overflow


def ran_out(unsettled):
    """Whether training ended before it settled, so that it may have had no time to learn."""
    return unsettled is not None and not unsettled.rose


def _change_step(settings, unsettled):
    """Return the remedy for steps of Adam that teach nothing."""
    small = unsettled is None and settings.learning_rate_init <= LARGE_STEP
    return "Raise learning_rate_init." if small else "Lower learning_rate_init."


def _sharpen(settings):
    """Return the remedy for units that hardly vary."""
    return "Lower alpha." if settings.alpha > STRONG_DECAY else "Raise beta."


def _find_nothing_learned(fit):
    """Training that converged to nothing."""
    least = LEAST_EXPLAINED_FAR if fit.is_far else LEAST_EXPLAINED
    if fit.explained >= least * fit.most_explained:
        return None
    if ran_out(fit.unsettled) and fit.scale_or(None) is None:
        return None
    share = max(np.nan_to_num(fit.explained), 0)
    nothing = ", hardly more than the mean row does" if share < LEAST_EXPLAINED * fit.most_explained else ""
    cause = f"The fit explains {share:.1%} of the variance of X{nothing}."
    settings, dead = fit.settings, _uninformative(fit.objective, fit.settings)[0]
    if not PENALTIES[settings.penalty].has_target and dead.mean() > 0.5:
        remedy = "Lower beta: the sparsity term switches units off."
    elif settings.alpha > STRONG_DECAY:
        remedy = "Lower alpha: the weight decay leaves no signal."
    elif settings.solver == "adam":
        remedy = _change_step(settings, fit.unsettled)
    elif settings.beta > 0:
        remedy = "Lower beta."
    else:
        remedy = "Lower tol."
    rose = fit.unsettled is not None and fit.unsettled.rose and settings.learning_rate_init >= LARGE_STEP
    directions = ["far", "large"] if rose else ["far", "small", "large"]  # small values do not cause that
    remedy = fit.scale_or(remedy, directions)
    return advice(cause, remedy, "Nothing learned"), ConvergenceWarning


def _find_stray(fit):
    """A sparsity term that has no effect."""
    activity, rho = float(np.median(fit.objective.mean)), fit.settings.rho
    if not fit.has_target or activity <= STRAY_ACTIVATION * rho:
        return None
    cause = f"The code is not sparse: half of the units exceed {activity:.3g} on average, with rho={rho:.3g}."
    remedy = fit.scale_or("Raise beta.", ["large"])
    if remedy == "Raise beta." and fit.final["sparsity"] >= NEGLIGIBLE_TERM * fit.final["loss"]:
        return None  # a beta in a search, say, that has some effect
    return advice(cause, remedy, "Units far above rho"), HiddenUnitWarning


def _find_uninformative(fit):
    """Units that carry no information."""
    dead, saturated, constant = _uninformative(fit.objective, fit.settings)
    constant = constant & ~dead & ~saturated
    idle = dead | saturated | constant
    if idle.mean() < MANY_UNITS:
        return None
    settings = fit.settings
    if not fit.variance.any():
        return diagnose_equal_rows()
    cause = (
        f"Of {len(idle)} hidden units, {dead.sum()} are dead (never active on the training rows), {saturated.sum()} "
        f"saturated (always fully active), {constant.sum()} others constant."
    )
    if not PENALTIES[settings.penalty].has_target:
        remedy = "Use penalty='kl', which keeps every unit in use."
    elif not fit.has_target:
        remedy = "Raise beta."
    else:
        worst = np.argmax([dead.sum(), saturated.sum(), constant.sum()])
        remedy = ["Raise rho.", "Lower rho.", _sharpen(settings)][worst]
    return advice(cause, fit.scale_or(remedy), "Dead, saturated and constant units"), HiddenUnitWarning


def _find_held_back(fit):
    """Values so small that the penalties leave little to learn."""
    most_explained, most_variation = HELD_BACK
    if not fit.has_target or fit.explained >= most_explained or fit.variation >= most_variation:
        return None
    remedy = fit.scale_or(None, ["small"])
    if remedy is None:
        return None
    cause = (
        f"The penalties outweigh small values: the fit explains {max(fit.explained, 0):.0%} of the variance of X, and "
        f"most units vary by less than {fit.variation:.1%} around their mean activation."
    )
    return advice(cause, remedy, "Small values"), HiddenUnitWarning


def _find_dense(fit):
    """Units that are near rho for every row."""
    if not fit.has_target or fit.variation >= LEAST_RELATIVE_DEVIATION:
        return None
    cause = f"The code is not sparse: most units vary by less than {fit.variation:.1%} around their mean activation."
    remedy = fit.scale_or(_sharpen(fit.settings), ["small"])
    return advice(cause, remedy, "A mean near rho is not sparsity"), HiddenUnitWarning


# The worst problem first: only one is reported, since those that follow usually have the same cause. Half of the units
# far above rho are worse than some that are dead.
FINDERS = _find_nothing_learned, _find_stray, _find_uninformative, _find_held_back, _find_dense


def diagnose_fit(fit):
    """Return the worst problem of the code of a `Fit`, if it has any."""
    return [found for found in (find(fit) for find in FINDERS) if found is not None][:1]


def diagnose_silent(frequency, final, settings, k, unsettled=None):
    """Return the worst problem of a code with k active units, given how often each unit is active."""
    dead = np.count_nonzero(frequency == 0)
    if final["fvu"] > 1 - LEAST_EXPLAINED and final["loss"] > 0 and not ran_out(unsettled):
        cause = f"The fit explains {max(1 - final['fvu'], 0):.1%} of the variance of X, hardly more than the mean row."
        return [(advice(cause, _change_step(settings, unsettled), "Nothing learned"), ConvergenceWarning)]
    if dead < MANY_UNITS * len(frequency):
        return []
    cause = f"Of {len(frequency)} hidden units, {dead} are dead (never active on the training rows)."
    fewer = max(k, (len(frequency) - dead) // 2)
    remedy = f"Use n_components={fewer}: about half of the units that are active, and at least k."
    return [(advice(cause, remedy, "Dead units of a top-k code"), HiddenUnitWarning)]
