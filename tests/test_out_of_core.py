"""Data that are larger than the memory that the process may use."""

import errno
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from skl_sae import (
    SparseAutoencoderOutlierDetector,
    SparseAutoencoderTransformer,
    TopKAutoencoderTransformer,
    _scoring,
    _topk_model,
)
from skl_sae._rows.mapped import in_file

needs_limit = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA leaves out mapped files on Linux only")

# The process may allocate a quarter of X beyond what it has after a fit to a few rows. The rows that a detector keeps,
# and those from which a top-k autoencoder starts, are far fewer than rows that do not fit in memory; lower limits see
# to that here.
KEPT_ROWS = {"MOST_ROWS": 500, "MOST_KEPT": 200}
START = {"NUMBERS_TO_WHITEN": 2**17}
CODE = """
import resource, sys, warnings
from pathlib import Path
import numpy as np
from skl_sae import SparseAutoencoderOutlierDetector, SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae import _scoring, _topk_model

vars(_scoring).update(KEPT_ROWS)
vars(_topk_model).update(START)
path, estimator, weighted = sys.argv[1:]
warnings.simplefilter("ignore")
X = np.load(path, mmap_mode="r")
weights = np.arange(len(X)) % 4 if weighted == "True" else None
estimator = eval(estimator)
few = np.array(X[:3000])
estimator.fit(few).score_samples(few)
status = Path("/proc/self/status").read_text().splitlines()
allocated = 1024 * int(next(line for line in status if line.startswith("VmData")).split()[1])
resource.setrlimit(resource.RLIMIT_DATA, (allocated + X.nbytes // 4,) * 2)
try:
    np.array(X)
    raise SystemExit("the limit does not bind")
except MemoryError:
    pass
estimator.fit(X, sample_weight=weights)
used = [getattr(estimator, name)(X) for name in ("score_samples", "transform", "score") if hasattr(estimator, name)]
np.savez(path + ".npz", *used, W=estimator.encoder_coef_, loss=estimator.loss_)
"""


@pytest.mark.slow
@needs_limit
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning")
@pytest.mark.parametrize(
    ("estimator", "dtype", "weighted"),
    [
        (SparseAutoencoderTransformer(16, solver="lbfgs"), np.float64, True),
        (SparseAutoencoderTransformer(16, solver="adam", early_stopping=True), np.float32, True),
        (TopKAutoencoderTransformer(16, 4, sparse_output=False, early_stopping=True), np.float64, True),
        (TopKAutoencoderTransformer(16, 4, sparse_output=False, selection="batchtopk"), np.float64, False),
        (SparseAutoencoderOutlierDetector(16, solver="lbfgs"), np.float64, True),
        (SparseAutoencoderOutlierDetector(16, solver="adam", scoring="standardized_error"), np.float64, False),
    ],
)
def test_a_fit_to_a_mapped_file_is_that_to_the_array_in_memory(tmp_path, monkeypatch, estimator, dtype, weighted):
    for module, changes in {_scoring: KEPT_ROWS, _topk_model: START}.items():
        for name, value in changes.items():
            monkeypatch.setattr(module, name, value)
    X = np.random.default_rng(0).normal(size=(27000, 240)).astype(dtype)
    path = tmp_path / "X.npy"
    np.save(path, X)
    estimator.set_params(max_iter=2, tol=0, random_state=0)
    code = CODE.replace("KEPT_ROWS", repr(KEPT_ROWS)).replace("START", repr(START))
    # Every thread in OpenBLAS takes some 30 MB, whatever the size of X; if there are none left, OpenBLAS waits forever.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(path), repr(estimator), str(weighted)]
    subprocess.run(command, check=True, env=environment, timeout=900)
    estimator.fit(X, sample_weight=np.arange(len(X)) % 4 if weighted else None)
    with np.load(f"{path}.npz") as found:
        np.testing.assert_array_equal(found["W"], estimator.encoder_coef_)
        assert found["loss"] == estimator.loss_
        np.testing.assert_array_equal(found["arr_0"], estimator.score_samples(X))
        if not isinstance(estimator, SparseAutoencoderOutlierDetector):
            np.testing.assert_array_equal(found["arr_1"], estimator.transform(X))
            assert found["arr_2"] == estimator.score(X)


def mapped(path, X):
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def test_copies_of_mapped_rows_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    X = np.random.default_rng(0).normal(size=(40000, 1)) * np.ones(30)
    SparseAutoencoderOutlierDetector(3, random_state=0).fit(mapped(tmp_path / "X.npy", X))
    assert os.listdir(tmp_path / "temporary") == []


@pytest.mark.plain
def test_no_room_for_a_copy_of_mapped_rows(tmp_path, monkeypatch):
    """The error says what needed how much room and where, and the estimator is as it was."""

    def full(block):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"0\.0008 GB there: ") as caught:
        in_file(map(full, [None]), (1000, 100), np.dtype(np.float64))
    assert caught.value.errno == errno.ENOSPC
    detector = SparseAutoencoderOutlierDetector(3, max_iter=3, tol=0.5)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OSError, match="mapped file"):
        detector.fit(mapped(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(40000, 30))))
    assert not hasattr(detector, "encoder_coef_")
