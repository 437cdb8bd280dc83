"""The cases of benchmarks/faults.py with fewer trials: threads, processes, kills, interrupts, tampered files, leaks.

test_cache.py and test_onnx.py cover some of the cases that are left out here, in less time.
"""

import importlib
import sys
from pathlib import Path

import pytest

PARTS = {  # fraction of the full number of trials
    "threads": 0.02,
    "one_model": 0.05,
    "processes OPENBLAS_NUM_THREADS=1": 0.02,
    "nested OPENBLAS_NUM_THREADS=1": 0.05,
    "checkpoints": 0.1,
    "interrupts": 0.04,
    "kept_interrupts": 0.06,
    "memory_errors": 0.05,
    "refusals": 1,
    "flipped_skops": 0.1,
    "tampered_skops": 0.1,
    "leaks": 0.03,
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark runs on Linux only")
@pytest.mark.parametrize("name", PARTS)
def test_the_case_holds(name, monkeypatch):
    if "skops" in name:
        pytest.importorskip("skops", reason="needs skops")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    tried, held, remark = importlib.import_module("faults").run(name, PARTS[name])
    assert 0 < held == tried, remark
