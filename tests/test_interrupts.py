"""An interrupt may come at any line of a fit: history, weights and memory of the solver stay together."""

import sys
from pathlib import Path

import numpy as np
import pytest

import skl_sae
from skl_sae import SparseAutoencoderTransformer, _crew
from skl_sae._solvers import SOLVERS

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning"
)

PACKAGE = Path(skl_sae.__file__).parent
TRACED = {str(path) for path in [PACKAGE / "_training.py", *(PACKAGE / "_solvers").glob("*.py")]}
N_ITER = 4


class InterruptAtLine:
    """Raises KeyboardInterrupt before line number ``at``, counting all lines that are run in the traced files."""

    def __init__(self, at=None):
        self.at, self.n_lines = at, 0

    def __call__(self, frame, event, argument):
        return self.in_frame if frame.f_code.co_filename in TRACED else None

    def in_frame(self, frame, event, argument):
        if event == "line":
            self.n_lines += 1
            if self.n_lines == self.at:
                raise KeyboardInterrupt
        return self.in_frame

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *error):
        sys.settrace(self._before)


def model(solver, early_stopping, max_iter):
    settings = dict(solver=solver, early_stopping=early_stopping, max_iter=max_iter, batch_size=20, tol=0)
    return SparseAutoencoderTransformer(3, warm_start=True, n_iter_no_change=99, random_state=0, **settings)


def weights_and_history(sae):
    """What a fit keeps of every iteration but the last, which only a whole fit evaluates over all rows."""
    history = {name: values[: sae.n_iter_ - 1].tolist() for name, values in sae.history_.items()}
    return sae.encoder_coef_.tolist(), sae.decoder_intercept_.tolist(), history


@pytest.mark.parametrize("early_stopping", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interrupt_at_any_line_leaves_a_fit_that_can_be_continued(solver, early_stopping):
    X = np.random.default_rng(0).normal(size=(60, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
    whole, continued = {}, {}
    for n_iter in range(1, N_ITER + 1):
        sae = model(solver, early_stopping, n_iter).fit(X)
        whole[n_iter] = weights_and_history(sae)
        continued[n_iter] = sae.set_params(max_iter=2).fit(X).encoder_coef_.tolist()
    with InterruptAtLine() as trace:
        model(solver, early_stopping, N_ITER).fit(X)
    assert trace.n_lines > 100
    kept = set()
    for at in range(1, trace.n_lines + 1):
        sae = model(solver, early_stopping, N_ITER)
        with pytest.raises(KeyboardInterrupt), InterruptAtLine(at):
            sae.fit(X)
        if not hasattr(sae, "encoder_coef_"):
            continue
        n_iter = sae.n_iter_
        kept.add(n_iter)
        assert weights_and_history(sae) == whole[n_iter], at
        assert sae.set_params(max_iter=2).fit(X).encoder_coef_.tolist() == continued[n_iter], at
    assert kept == set(range(1, N_ITER + 1))
    assert not _crew.BLAS.n_holders  # BLAS has its threads back
