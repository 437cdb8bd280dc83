"""Rows in blocks that dask makes where they are needed, and the fits to compare."""

import numpy as np
import pytest
from scipy import sparse

from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer

dask = pytest.importorskip("dask", reason="needs dask")
da = pytest.importorskip("dask.array", reason="needs dask")

MARKS = [
    pytest.mark.usefixtures("no_hang"),
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning"),
    pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler"),  # on purpose; an older dask warns
]

D = 64
ROWS = 1200  # of a chunk, enough for a block of its own


def make_chunk(seed, n=ROWS):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 8)) @ np.random.default_rng(99).normal(size=(8, D)) + 0.3 * rng.normal(size=(n, D))


def made_on_workers(n_chunks, n=ROWS):
    """A dask array whose rows are made where they are needed, and the same rows here."""
    chunks = [da.from_delayed(dask.delayed(make_chunk)(seed, n), (n, D), float) for seed in range(n_chunks)]
    return da.concatenate(chunks), np.concatenate([make_chunk(seed, n) for seed in range(n_chunks)])


def in_csr(X):
    return X.map_blocks(sparse.csr_array, dtype=X.dtype, meta=sparse.csr_array((0, 0)))


def rare(X):
    return np.where(X > 6, X, 0)


def transformer(n_components=12, **parameters):
    settings = dict(max_iter=50, tol=0, n_iter_no_change=1000, random_state=0) | parameters
    return SparseAutoencoderTransformer(n_components, **settings)


def detector(**parameters):
    return SparseAutoencoderOutlierDetector(8, **dict(max_iter=10, tol=0, random_state=0) | parameters)


def assert_same_fit(actual, expected, tolerance=1e-6):
    np.testing.assert_allclose(actual.loss_, expected.loss_, rtol=tolerance)
    assert actual.n_iter_ == expected.n_iter_
    for name in "encoder_coef_", "encoder_intercept_", "decoder_coef_", "decoder_intercept_", "mean_activation_":
        found, wanted = getattr(actual, name), getattr(expected, name)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(1, abs(wanted).max()), err_msg=name)
    for name in "dead_fraction_", "saturated_fraction_", "constant_fraction_":
        assert getattr(actual, name) == getattr(expected, name)
