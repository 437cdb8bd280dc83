import faulthandler
import os
from pathlib import Path

# One of scikit-learn's checks runs only with this, and SciPy reads it when it is imported.
os.environ["SCIPY_ARRAY_API"] = "1"

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_digits

# The same examples in every run, however long they take; with SKL_SAE_FUZZ (see test_fuzz.py) others in each.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize="SKL_SAE_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def load_data():
    """Function that opens NAME.npz of the folder SKL_SAE_DATA, or skips the test and says so."""

    def load(name):
        folder = os.environ.get("SKL_SAE_DATA")
        if folder is None or not (Path(folder) / f"{name}.npz").exists():
            pytest.skip(f"{name}.npz is not in the folder SKL_SAE_DATA={folder} (see CONTRIBUTING.md)")
        return np.load(Path(folder) / f"{name}.npz")

    return load


@pytest.fixture(scope="session")
def few():
    """Function that keeps one row in twenty if nothing is compiled: plain Python takes a hundred times as long."""
    return lambda rows: rows[::20] if numba.config.DISABLE_JIT else rows


@pytest.fixture(scope="session")
def digits(few):
    """At most 240 rows of scikit-learn's digits 0 to 3, scaled to [0, 1], and their classes."""
    X, y = load_digits(return_X_y=True)
    keep = few(np.flatnonzero(y < 4))[:240]
    return X[keep] / 16, y[keep]


@pytest.fixture
def without_a_screen():
    """Draw into memory, and close all figures afterwards."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    backend = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def no_hang():
    """End the process, with a traceback of every thread, if the test takes too long even for a slow machine."""
    faulthandler.dump_traceback_later(1800, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
