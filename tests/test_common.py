"""scikit-learn's own checks, over the configurations that differ in code."""

import itertools
import warnings

import pytest
from models import every_other
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer
from skl_sae._kernels.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from skl_sae._kernels.penalties import PENALTIES
from skl_sae._solvers import SOLVERS

# Kernels and fits are tested with all combinations elsewhere.
CONFIGURATIONS = [
    {"solver": solver, "activation": activation, "output_activation": output, "tied_weights": tied}
    for solver, activation, output, tied in every_other(SOLVERS, HIDDEN_ACTIVATIONS, ACTIVATIONS, [False, True])
]
# The first penalty is the default.
CONFIGURATIONS += [
    {"activation": activation, "penalty": penalty}
    for activation, penalty in itertools.product(HIDDEN_ACTIVATIONS, list(PENALTIES)[1:])
]
CONFIGURATIONS += [
    {"solver": solver, **extra}
    for solver in SOLVERS
    for extra in [{"early_stopping": True}, {"beta": 0, "alpha": 0}, {"n_components": 1}]
]
# Some checks fit twice and want the same result. A warm start gives it where the first fit has converged to a minimum
# without flat directions, which L-BFGS can do and Adam cannot: there the second fit has to be a small step.
CONFIGURATIONS += [
    {"warm_start": True, "solver": "lbfgs", "n_components": 1, "alpha": 0.01, "tol": 1e-8, "max_iter": 1000},
    {"warm_start": True, "solver": "adam", "learning_rate_init": 1e-12},
]
CONFIGURATIONS += [{"solver": "adam", "noise": 0.1}, {"solver": "adam", "shuffle": False, "batch_size": 7}]

# The checks fit a few rows of noise for a few iterations: the warnings that belong to that are expected.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.DataRangeWarning"),
]


# The last test has the default, "auto", which takes the longest.
DETECTORS = [{"scoring": scoring} for scoring in ["mahalanobis", "standardized_error", "squared_error"]]
DETECTORS += [
    {"scaling": None},
    {"support_fraction": 1.0, "scoring": "mahalanobis"},  # "auto" does not use it
    {"contamination": 0.1},
    # The autoencoder is the same for every scoring. The first activation is the default.
    {"activation": "relu", "tied_weights": True, "scoring": "squared_error"},
    *({"activation": activation, "scoring": "squared_error"} for activation in HIDDEN_ACTIVATIONS[1:]),
    {"solver": "adam"},
    {"early_stopping": True},
]


def approximate(estimator):
    """Checks that fail because rows are drawn or dealt out to batches first: a row twice is not a row of weight 2."""
    whole = estimator.solver == "adam" and not estimator.noise and estimator.batch_size > 60
    merges = getattr(estimator, "scoring", None) == "auto"
    if not merges and (estimator.early_stopping or (estimator.solver == "adam" and not whole)):
        kinds = ["dense", "sparse"]
        return {f"check_sample_weight_equivalence_on_{kind}_data": "batches or held-out rows" for kind in kinds}
    return {}


@pytest.mark.slow
@parametrize_with_checks(
    [
        SparseAutoencoderTransformer(**{"n_components": 6, "max_iter": 30, "random_state": 0} | configuration)
        for configuration in CONFIGURATIONS
    ]
    + [SparseAutoencoderOutlierDetector(**{"max_iter": 10, "random_state": 0} | other) for other in DETECTORS],
    expected_failed_checks=approximate,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [SparseAutoencoderTransformer(), SparseAutoencoderOutlierDetector()])
def test_check_estimator_passes_with_nothing_skipped(estimator):
    """With default parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", category=SkipTestWarning)
        check_estimator(estimator)
