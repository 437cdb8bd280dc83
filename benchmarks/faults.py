"""Do fits, caches and saved models hold under threads, forks, kills, full disks, interrupts and damaged files?

    python benchmarks/faults.py                       # everything at full size: more than an hour
    python benchmarks/faults.py --only threads interrupts --part 0.1

Each case runs in its own process with a time limit, so a deadlock or a crash is just a row of the table, which shows
the number of trials and how many ended as they should. "The same" means bit by bit unless the row says otherwise.
Linux only.
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
from _harness import MarkdownReport, parser

for subject in "threads", "files", "interrupts", "failures", "models", "leaks":  # each one adds its cases to CASES
    importlib.import_module(f"_faults_{subject}")


def run(parts, seed=0):
    """Run cases (name: part), all with the same environment, in one process; return (tried, held, remark) of each."""
    environments, limit = [CASES[name][2] for name in parts], sum(CASES[name][1] for name in parts)
    environment = environments[0]
    assert all(other == environment for other in environments)
    with tempfile.TemporaryDirectory() as folder:
        new = {"NUMBA_CACHE_DIR": folder} if environment.get("NUMBA_CACHE_DIR") == "new" else {}
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", json.dumps(parts), "--seed", str(seed)],
            env=os.environ | environment | new,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return dict.fromkeys(parts, (1, 0, f"no end within {limit} s"))
        if process.returncode:
            return dict.fromkeys(parts, (1, 0, f"exit code {process.returncode}: {errors[-500:]}"))
        return json.loads(output.splitlines()[-1])


def child(name, part, seed):
    """Run a case in this process."""
    random.seed(f"{name} {seed}")
    return CASES[name][-1](part)


def main():
    options = parser(__doc__, rounds=None, plot=False)
    options.add_argument("--only", nargs="+", metavar="WORD", help="run the cases whose names begin with one of these")
    options.add_argument("--part", type=float, default=1, help="fraction of the full number of trials")
    options.add_argument("--seed", type=int, default=0, help="seed of the random choices")
    options.add_argument("--child", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.child:
        warnings.simplefilter("ignore")
        print(json.dumps({name: child(name, part, options.seed) for name, part in json.loads(options.child).items()}))
        return
    report, rows = MarkdownReport(options), []
    for name in CASES:
        if options.only is None or name.startswith(tuple(options.only)):
            start = time.monotonic()
            tried, held, remark = run({name: options.part}, options.seed)[name]
            rows.append({"name": CASES[name][0], "tried": tried, "held": held, "remark": remark})
            print(f"{name}: {held} of {tried} in {time.monotonic() - start:.0f} s. {remark}", flush=True)
    report.add("as it should be", rows)
    report.close()
    sys.exit(any(row["held"] < row["tried"] for row in rows))


if __name__ == "__main__":
    main()
