"""The cases of benchmarks/faults.py with fewer trials: threads, processes, kills, interrupts, tampered files, leaks.

test_cache.py and test_onnx.py cover some of the cases that are left out here, in less time.
"""

import importlib.util
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
    "memory_errors": 0.02,
    "refusals": 0.5,
    "flipped_skops": 0.1,
    "tampered_skops": 0.1,
    "leaks": 0.02,
}


@pytest.fixture(scope="module")
def outcome_of():
    """Function that gives the outcome of a case; those with the same environment run in one process, to save time."""
    outcomes = {}
    parts = {name: part for name, part in PARTS.items() if "skops" not in name or importlib.util.find_spec("skops")}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        faults = importlib.import_module("faults")

        def outcome(name):
            if name not in outcomes:
                same = [other for other in parts if faults.CASES[other][2] == faults.CASES[name][2]]
                outcomes.update(faults.run({other: parts[other] for other in same}))
            return outcomes[name]

        yield outcome


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark runs on Linux only")
@pytest.mark.parametrize("name", PARTS)
def test_the_case_holds(name, outcome_of):
    if "skops" in name:
        pytest.importorskip("skops", reason="needs skops")
    tried, held, remark = outcome_of(name)
    assert 0 < held == tried, remark
