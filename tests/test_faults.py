"""What benchmarks/faults.py tries at full size: threads, processes, kills, interrupts, tampered files, leaks.

Of the kernel cache test_cache.py has what takes less time than these.
"""

import importlib
import sys
from pathlib import Path

import pytest

PARTS = {  # of the full number of trials
    "threads": 0.02,
    "one_model": 0.05,
    "processes OPENBLAS_NUM_THREADS=1": 0.03,
    "nested OPENBLAS_NUM_THREADS=1": 0.05,
    "checkpoints": 0.1,
    "interrupts": 0.04,
    "kept_interrupts": 0.06,
    "memory_errors": 0.05,
    "refusals": 1,
    "flipped_skops": 0.1,
    "tampered_skops": 0.1,
    "flipped_onnx": 0.1,
    "tampered_onnx": 0.1,
    "leaks": 0.015,
}


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark is for Linux")
@pytest.mark.parametrize("name", PARTS)
def test_what_the_benchmark_tries_holds_in_small(name, monkeypatch):
    for package in ["skops"] * ("skops" in name) + ["onnxruntime", "skl2onnx"] * ("onnx" in name):
        pytest.importorskip(package, reason=f"needs {package}")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    tried, held, remark = importlib.import_module("faults").run(name, PARTS[name])
    assert 0 < held == tried, remark
