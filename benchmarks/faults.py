"""Do fits, caches and saved models hold under threads, forks, kills, full disks, interrupts and damaged files?

    python benchmarks/faults.py                       # everything at full size: an hour and more
    python benchmarks/faults.py --only threads interrupts --part 0.1

Every case is a process of its own with a time limit, so that a deadlock or a crash is a line of the table: how many
were tried, and how many ended as they should. "The same" means bit by bit, unless the line says otherwise. For Linux.
"""

import argparse
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings

from _faults_cases import CASES
from _harness import Report, parser

for subject in "threads", "files", "interrupts", "failures", "models", "leaks":  # each enters its cases into the table
    importlib.import_module(f"_faults_{subject}")


def run(name, part, seed=0):
    """What a case reports from a process of its own."""
    _, limit, environment, _ = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        new = {"NUMBA_CACHE_DIR": folder} if environment.get("NUMBA_CACHE_DIR") == "new" else {}
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", name, "--part", str(part), "--seed", str(seed)],
            env=os.environ | environment | new,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return 1, 0, f"no end within {limit} s"
        if process.returncode:
            return 1, 0, f"exit code {process.returncode}: {errors[-500:]}"
        return json.loads(output.splitlines()[-1])


def main():
    options = parser(__doc__, rounds=1)
    options.add_argument("--only", nargs="+", metavar="WORD", help="cases whose name begins with one of these")
    options.add_argument("--part", type=float, default=1, help="of the full number of trials")
    options.add_argument("--seed", type=int, default=0, help="of the random choices")
    options.add_argument("--child", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.child:
        warnings.simplefilter("ignore")
        random.seed(f"{options.child} {options.seed}")
        print(json.dumps(CASES[options.child][-1](options.part)))
        return
    report, rows = Report(options), []
    for name in CASES:
        if options.only is None or name.startswith(tuple(options.only)):
            start = time.monotonic()
            tried, held, remark = run(name, options.part, options.seed)
            rows.append({"name": CASES[name][0], "tried": tried, "held": held})
            print(f"{name}: {held} of {tried} in {time.monotonic() - start:.0f} s. {remark}", flush=True)
    report.add("as it should be", rows)
    report.close()
    sys.exit(any(row["held"] < row["tried"] for row in rows))


if __name__ == "__main__":
    main()
