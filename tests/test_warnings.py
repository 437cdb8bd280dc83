"""Warnings about fits that did not converge, learn a sparse code or match the range of the data."""

import re
import warnings

import numpy as np
import pytest
from fits import SOLVERS, quiet, short
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import DataRangeWarning, HiddenUnitWarning, SparseAutoencoderTransformer
from skl_sae._kernels.activations import ACTIVATIONS


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data) / 16


@pytest.fixture(scope="module")
def cancer():
    return StandardScaler().fit_transform(load_breast_cancer().data)


@pytest.mark.plain
@pytest.mark.parametrize("solver", SOLVERS)
def test_iteration_limit_warns_with_advice(digits, solver):
    with pytest.warns(ConvergenceWarning, match="max_iter=8.*increase max_iter or tol"):
        short(solver=solver, max_iter=8, learning_rate_init=0.01, tol=0).fit(digits)


@pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning")
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_fit_that_learned_nothing_warns(solver):
    X = load_breast_cancer().data * 1e6  # not scaled at all
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SparseAutoencoderTransformer(10, solver=solver, tied_weights=True, random_state=0).fit(X)
    assert any(
        re.search(r"explains \d\.\d% of the variance of X.*Standardise X", str(warning.message)) for warning in caught
    )


@pytest.mark.filterwarnings("ignore::skl_sae.HiddenUnitWarning")
def test_a_loss_that_rises_warns(digits):
    sae = short(solver="adam", max_iter=1000, tol=1e-2, activation="relu").fit(digits)
    sae.set_params(learning_rate_init=0.1, warm_start=True, batch_size=10**6, max_iter=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae.fit(digits)
    assert any(re.search("The loss rose from .*; lower learning_rate_init", str(w.message)) for w in caught)


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_collapsed_codes_are_reported(digits):
    with pytest.warns(HiddenUnitWarning, match="collapsed"):
        sae = SparseAutoencoderTransformer(10, alpha=10.0, random_state=0).fit(digits)
    assert sae.constant_fraction_ == 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_dead_units_are_reported(digits):
    sae = short(activation="relu", max_iter=1000).fit(digits)
    sae.encoder_intercept_[:3] = -1e3
    sae.set_params(warm_start=True, max_iter=3)
    with pytest.warns(HiddenUnitWarning, match="Of 8 hidden units, 3 are dead .* 0 others"):
        sae.fit(digits)
    assert sae.dead_fraction_ == 3 / 8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_dense_code_is_reported():
    with pytest.warns(HiddenUnitWarning, match="The code is not sparse.*Standardise X"):
        SparseAutoencoderTransformer(random_state=0).fit(MinMaxScaler().fit_transform(load_breast_cancer().data))


@pytest.mark.filterwarnings("error")
def test_noise_explained_as_well_as_it_can_be_does_not_warn():
    X = np.random.default_rng(0).normal(size=(500, 50))
    SparseAutoencoderTransformer(1, random_state=0).fit(X)


@pytest.mark.plain
@quiet
def test_saturated_units_are_counted(digits):
    sae = short().fit(digits)
    sae.encoder_intercept_[:2] = 50
    sae.set_params(warm_start=True, beta=0, max_iter=1).fit(digits)
    assert sae.saturated_fraction_ == 2 / 8


@pytest.mark.plain
@pytest.mark.parametrize("output", [name for name, entry in ACTIVATIONS.items() if np.isfinite(entry.low)])
def test_data_outside_the_output_range_warn(cancer, output):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.warns(DataRangeWarning, match=f"output_activation='{output}'"):
            short(output_activation=output).fit(cancer)


@quiet
def test_data_inside_the_output_range_do_not_warn(digits):
    short(output_activation="sigmoid").fit(digits)
    short(output_activation="sigmoid").fit(digits * (1 + 1e-9))
    short(output_activation="relu").fit(10 * digits)
