"""Data that are larger than the memory which the process may use."""

import subprocess
import sys

import numpy as np
import pytest

from skl_sae import SparseAutoencoderTransformer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA leaves out mapped files on Linux only")

# The process may allocate a quarter of X beyond what it has after a fit to a few rows.
CODE = """
import resource, sys, warnings
from pathlib import Path
import numpy as np
from skl_sae import SparseAutoencoderTransformer

path, solver = sys.argv[1:]
warnings.simplefilter("ignore")
X = np.load(path, mmap_mode="r")
sae = SparseAutoencoderTransformer(16, solver=solver, max_iter=2, tol=0, random_state=0)
few = np.array(X[:3000])
sae.fit(few).score(few)
sae.transform(few)
status = Path("/proc/self/status").read_text().splitlines()
allocated = 1024 * int(next(line for line in status if line.startswith("VmData")).split()[1])
resource.setrlimit(resource.RLIMIT_DATA, (allocated + X.nbytes // 4,) * 2)
try:
    np.array(X)
    raise SystemExit("the limit does not bind")
except MemoryError:
    pass
sae.fit(X)
np.savez(path + ".npz", W=sae.encoder_coef_, loss=sae.loss_, score=sae.score(X), codes=sae.transform(X))
"""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::skl_sae.HiddenUnitWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_fit_to_a_mapped_file_is_that_to_the_array_in_memory(tmp_path, solver, dtype):
    X = np.random.default_rng(0).normal(size=(30000, 600)).astype(dtype)
    path = tmp_path / "X.npy"
    np.save(path, X)
    subprocess.run([sys.executable, "-c", CODE, str(path), solver], check=True)
    sae = SparseAutoencoderTransformer(16, solver=solver, max_iter=2, tol=0, random_state=0).fit(X)
    with np.load(f"{path}.npz") as found:
        np.testing.assert_array_equal(found["W"], sae.encoder_coef_)
        np.testing.assert_array_equal(found["codes"], sae.transform(X))
        assert found["loss"] == sae.loss_
        assert found["score"] == sae.score(X)
