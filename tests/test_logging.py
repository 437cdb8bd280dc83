"""At DEBUG the logger says which route a fit takes."""

import logging

import numpy as np
import pytest
from scipy import sparse

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning"
)

DENSE = np.random.default_rng(0).uniform(size=(300, 100))
SPARSE = sparse.random_array((400, 3000), density=0.01, format="csr", rng=0)


def messages(caplog, X, **parameters):
    with caplog.at_level(logging.DEBUG, logger="skl_sae"):
        SparseAutoencoderTransformer(**{"max_iter": 3, "random_state": 0, **parameters}).fit(X)
    return "\n".join(record.getMessage() for record in caplog.records if record.name == "skl_sae")


@pytest.mark.parametrize(
    ("X", "parameters", "expected"),
    [
        (DENSE, {"n_components": 10}, ["300 DenseRows, 100 features, 10 units, float64", "in 2 groups"]),
        (DENSE, {"n_components": 100}, ["solver lbfgs", "full batch: 300 rows"]),
        (
            DENSE,
            {"n_components": 90, "solver": "adam", "batch_size": 100},
            ["mini-batches: 3 of at most 100 rows, by rows"],
        ),
        (
            DENSE,
            {"n_components": 200, "solver": "adam", "batch_size": 50},
            ["mini-batches: 6 of at most 50 rows, by units"],
        ),
        (DENSE, {"n_components": 10, "adam_start": 2}, ["solver adam: 2 iterations in", "solver lbfgs: 3 iterations"]),
        (
            np.tile(DENSE, (1, 4)),
            {"n_components": 40, "tied_weights": True},
            ["full batch: 300 rows", "from Gram matrices"],
        ),
        (SPARSE, {"n_components": 10}, ["400 SparseRows", "rows stay sparse"]),
        (SPARSE, {"n_components": 10, "output_activation": "relu"}, ["full batch: 400 rows in"]),
    ],
)
def test_a_fit_says_which_route_it_takes(X, parameters, expected, caplog):
    found = messages(caplog, X, **parameters)
    assert all(text in found for text in expected), found


def test_the_detector_says_it_for_both_trainings(caplog):
    with caplog.at_level(logging.DEBUG, logger="skl_sae"):
        SparseAutoencoderOutlierDetector(scoring="mahalanobis", max_iter=3, random_state=0).fit(DENSE)
    found = [record.getMessage() for record in caplog.records]
    assert sum("iterations in" in message for message in found) == 2


def test_nothing_is_said_unless_asked(caplog):
    SparseAutoencoderTransformer(5, max_iter=3, random_state=0).fit(DENSE)
    assert not [record for record in caplog.records if record.name == "skl_sae"]
