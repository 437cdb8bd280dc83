"""How a fit starts, when it stops, which weights it keeps and what it prints."""

import re

import numpy as np
import pytest
from fits import SOLVERS, quiet, short
from sklearn.datasets import load_digits

from skl_sae import HiddenUnitWarning, SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer


@pytest.fixture(scope="module")
def digits(few):
    return few(load_digits().data) / 16


@pytest.mark.plain
@quiet
@pytest.mark.parametrize("solver", SOLVERS)
def test_early_stopping_keeps_the_best_weights(solver):
    X = np.random.default_rng(0).normal(size=(60, 20))  # nothing to learn: the held-out loss soon rises
    settings = dict(n_components=40, solver=solver, learning_rate_init=0.02, random_state=0, n_iter_no_change=15)
    sae = SparseAutoencoderTransformer(early_stopping=True, validation_fraction=0.3, alpha=0, **settings).fit(X)
    losses = sae.history_["validation_loss"]
    assert sae.n_iter_ < sae.max_iter
    assert losses[-1] == pytest.approx(losses[:-1].min(), rel=1e-12)
    assert np.argmin(losses[:-1]) < sae.n_iter_ - 2  # the weights that were kept are not the last ones


@quiet
def test_early_stopping_keeps_the_start_if_that_was_best(digits):
    sae = SparseAutoencoderTransformer(16, solver="adam", early_stopping=True, random_state=0, max_iter=200).fit(digits)
    before = sae.encoder_coef_
    sae.set_params(warm_start=True, learning_rate_init=5.0, max_iter=5).fit(digits)
    np.testing.assert_array_equal(sae.encoder_coef_, before)


@pytest.mark.plain
@quiet
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_goes_on(digits, solver):
    sae = short(solver=solver, warm_start=True).fit(digits)
    first = sae.loss_
    sae.fit(digits)
    assert sae.loss_ < first
    cold = short(solver=solver).fit(digits)
    assert cold.loss_ == cold.fit(digits).loss_ == first


@quiet
def test_warm_start_takes_the_dtype_of_the_new_data(digits):
    sae = short(warm_start=True).fit(digits)
    before = sae.loss_
    sae.fit(digits.astype(np.float32))
    assert sae.encoder_coef_.dtype == np.float32
    assert sae.loss_ < before


@pytest.mark.plain
@quiet
def test_warm_start_refuses_another_shape(digits):
    sae = short(warm_start=True).fit(digits)
    with pytest.raises(ValueError, match="n_components=9"):
        sae.set_params(n_components=9).fit(digits)
    with pytest.raises(ValueError, match="8 features"):
        sae.set_params(n_components=8).fit(digits[:, :8])
    with pytest.raises(ValueError, match="tied_weights=True"):
        sae.set_params(tied_weights=True).fit(digits)
    assert sae.n_features_in_ == 64


@pytest.mark.plain
@quiet
def test_adam_start_is_adam_and_then_lbfgs(digits):
    settings = dict(n_components=12, random_state=0, tol=0, learning_rate_init=0.01)
    both = SparseAutoencoderTransformer(adam_start=3, max_iter=4, **settings).fit(digits)
    steps = SparseAutoencoderTransformer(solver="adam", max_iter=3, **settings).fit(digits)
    np.testing.assert_array_equal(both.history_["loss"][:2], steps.history_["loss"][:2])
    steps.set_params(solver="lbfgs", max_iter=4, warm_start=True).fit(digits)
    np.testing.assert_allclose(both.encoder_coef_, steps.encoder_coef_, rtol=1e-9)  # rows in another order
    np.testing.assert_allclose(both.history_["loss"][3:], steps.history_["loss"][3:], rtol=1e-12)
    assert both.n_iter_ == len(both.history_["loss"]) == 7


@quiet
def test_adam_start_with_early_stopping_keeps_the_best_weights_of_both(digits):
    settings = dict(early_stopping=True, random_state=0, tol=0, learning_rate_init=0.01)
    sae = SparseAutoencoderTransformer(12, adam_start=5, max_iter=20, **settings).fit(digits)
    held_out = sae.history_["validation_loss"]
    assert len(held_out) == sae.n_iter_
    assert held_out[-1] == pytest.approx(held_out.min(), rel=1e-12)


def test_no_warning_when_the_loss_settles(digits):
    sae = short(max_iter=1000).fit(digits)
    assert 15 < sae.n_iter_ < 1000


def test_a_perfect_start_is_one_iteration():
    """Constant data, no penalties, and the output bias is the answer: L-BFGS has nothing to do."""
    X = np.zeros((5, 3))
    with pytest.warns(HiddenUnitWarning, match="All rows of X are the same"):
        sae = SparseAutoencoderTransformer(2, beta=0, alpha=0, output_activation="relu", random_state=0).fit(X)
    assert sae.n_iter_ >= 1
    assert len(sae.history_["loss"]) == sae.n_iter_


@quiet
def test_without_shuffle_the_rows_are_met_in_order(digits):
    """Two full batches: the order inside a batch does not count, the order of the batches does."""
    settings = dict(solver="adam", batch_size=100, max_iter=1)
    swapped = np.concatenate([digits[100:200], digits[:100]])
    inside = np.concatenate([digits[:100][::-1], digits[100:200][::-1]])
    plain, same, other = (
        short(shuffle=False, **settings).fit(X).encoder_coef_ for X in (digits[:200], inside, swapped)
    )
    np.testing.assert_allclose(same, plain, rtol=1e-6)
    assert np.abs(other - plain).max() > 1e-5
    assert np.abs(short(shuffle=True, **settings).fit(digits[:200]).encoder_coef_ - plain).max() > 1e-5


@pytest.mark.plain
@quiet
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(("verbose", "iterations"), [(1, [*range(1, 11), 20]), (2, list(range(1, 26)))])
def test_verbose_prints_aligned_columns(digits, capsys, verbose, iterations, early_stopping):
    sae = short(verbose=verbose, max_iter=25, tol=0, early_stopping=early_stopping).fit(digits)
    header, *lines, last = capsys.readouterr().out.splitlines()
    names = re.split(r" {2,}", header.strip())
    assert names == ["iteration", "seconds", *(name.replace("_", " ") for name in sae.history_)]
    assert {len(line) for line in lines} == {len(header)} == {len(header.rstrip())}
    ends = [header.index(name) + len(name) for name in names]
    for line in lines:
        assert all(line[end - 1] != " " and line[end : end + 1] in (" ", "") for end in ends), line
    cells = [line.split() for line in lines]
    assert [cell[0] for cell in cells] == [*map(str, iterations), "final"]
    seconds = [float(cell[1]) for cell in cells]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
    assert [float(number) for number in cells[-1][2:]] == pytest.approx(
        [x[-1] for x in sae.history_.values()], rel=1e-5
    )
    assert re.fullmatch(r"fitted after 25 iterations" + (r", weights of iteration \d+" if early_stopping else ""), last)


@pytest.mark.plain
@quiet
def test_without_verbose_nothing_is_printed(digits, capsys):
    short(max_iter=3).fit(digits)
    assert capsys.readouterr().out == ""


@pytest.mark.plain
@quiet
@pytest.mark.parametrize(("scoring", "n"), [("auto", 1), ("mahalanobis", 2), ("squared_error", 2)])
def test_a_detector_says_which_training_it_prints(digits, capsys, scoring, n):
    SparseAutoencoderOutlierDetector(scoring=scoring, max_iter=3, verbose=1, random_state=0).fit(digits[:, 20:30])
    printed = capsys.readouterr().out.splitlines()
    titles = [line for line in printed if line.startswith("training")]
    assert titles == ([] if n == 1 else ["training 1 of 2", "training 2 of 2"])
    assert sum(line.startswith("iteration ") for line in printed) == n
    if n == 2:
        assert printed[0] == titles[0]
        assert printed[printed.index(titles[1]) - 1].startswith("fitted after")


@pytest.mark.plain
@quiet
def test_lines_of_a_warm_start_have_a_header_and_go_on_counting(digits, capsys):
    sae = short(max_iter=5, tol=0, warm_start=True).fit(digits)
    sae.set_params(verbose=1, max_iter=4).fit(digits)
    header, *lines, last = capsys.readouterr().out.splitlines()
    assert header.startswith("iteration")
    assert [line.split()[0] for line in lines] == ["6", "7", "8", "9", "final"]
    assert last == "fitted after 9 iterations"
