import faulthandler
import os
from pathlib import Path

# One of scikit-learn's checks runs only with this, and SciPy reads it when it is imported.
os.environ["SCIPY_ARRAY_API"] = "1"

import numba
import numpy as np
import pytest


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
    """Function that leaves a part of the rows where nothing is compiled: plain Python takes a hundred times as long."""
    return lambda rows: rows[::20] if numba.config.DISABLE_JIT else rows


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def no_hang():
    """End the process, with a traceback of every thread, if the test takes too long."""
    faulthandler.dump_traceback_later(500, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
