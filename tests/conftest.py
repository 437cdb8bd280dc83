import os
from pathlib import Path

# One of scikit-learn's checks runs only with this, and SciPy reads it when it is imported.
os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import pytest

# The sets used where they are there; SKL_SAE_DATA names another folder with the same files.
DATA = Path(os.environ.get("SKL_SAE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def load_data():
    """Function that opens NAME.npz of the data folder, or skips the test and says so."""

    def load(name):
        path = DATA / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"{path} is not there")
        return np.load(path)

    return load


@pytest.fixture
def rng():
    return np.random.default_rng(0)
