"""Does any case end in anything but a correct result or a deliberate error?

    python benchmarks/fuzz.py --cases 20000 --seed 0
    python tests/cases_run.py fuzz_failures/FILE.json

Runs the cases of tests/cases.py (data, weights and parameters of every kind, all estimators) in supervised child
processes: a case that takes too long counts as a hang, one that ends its process as a crash. The tables say how the
cases ended; the script writes each failure to a file, from which the second command repeats it.
"""

import collections
import faulthandler
import hashlib
import json
import multiprocessing
import sys
import time
import traceback
from multiprocessing.connection import wait
from pathlib import Path

from _harness import MarkdownReport, parser

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

CHUNK = 250  # cases per seed


def child(connection, seed):
    """Draw and run cases; report each one before it begins and after it has ended."""
    from cases import cases
    from cases_run import run
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    faulthandler.enable()

    @seeded(seed)
    @settings(
        max_examples=CHUNK,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def chunk(case):
        connection.send(("begin", case, None))
        try:
            ended = run(case), None
        except Exception as error:
            ended = f"FAILURE {type(error).__name__}", traceback.format_exc()
        connection.send(("end", *ended))

    chunk()
    connection.send(("done", None, None))


class Worker:
    """A child process, its current case, and the time of its last message."""

    def __init__(self, seed):
        ours, theirs = multiprocessing.Pipe()
        self.connection, self.case, self.since = ours, None, time.monotonic()
        self.process = multiprocessing.get_context("spawn").Process(target=child, args=(theirs, seed), daemon=True)
        self.process.start()
        theirs.close()

    def end(self):
        self.process.kill()
        self.process.join()


class Tally:
    """Counts of how the cases ended, by estimator; failures go to files."""

    def __init__(self, folder):
        self.counts, self.folder, self.failures = collections.Counter(), Path(folder), collections.Counter()

    def add(self, case, ended, trace=None):
        self.counts[case["estimator"], case["expected"], ended] += 1
        if self.counts.total() % 1000 == 0:
            print(f"{self.counts.total()} cases, {self.failures.total()} failures", flush=True)
        if ended.startswith("FAILURE"):
            text = json.dumps({"case": case, "ended": ended, "trace": trace}, indent=1)
            self.folder.mkdir(exist_ok=True)
            path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
            path.write_text(text)
            last = ended if trace is None else trace.strip().splitlines()[-1][:150]
            self.failures[last] += 1
            print(f"{path}: {ended}: {last}", flush=True)

    def report(self, report):
        ended = collections.Counter()
        for (_, _, how), count in self.counts.items():
            ended[how] += count
        rows = [{"name": how, "cases": count} for how, count in ended.most_common()]
        report.add("how cases ended", [{"name": "all", "cases": self.counts.total()}, *rows])
        report.add("by estimator", [
            {"name": f"{estimator}, expected {expected}, ended in {how}", "cases": count}
            for (estimator, expected, how), count in sorted(self.counts.items())
        ])  # fmt: skip
        failures = [{"name": last, "cases": count} for last, count in self.failures.most_common()]
        report.add("failures", [{"name": "all", "cases": self.failures.total()}, *failures])


def main():
    options = parser(__doc__, rounds=None, plot=False)
    options.add_argument("--cases", type=int, default=20000)
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument(
        "--limit", type=float, default=600, help="seconds that a case may take; the first cases compile kernels"
    )
    options.add_argument("--folder", default="fuzz_failures", help="folder for the failures")
    options = options.parse_args()
    report = MarkdownReport(options)
    tally, workers, started, tried = Tally(options.folder), [], 0, 0
    while tried < options.cases:
        while len(workers) < options.processes:
            workers.append(Worker(options.seed * 10**6 + started))
            started += 1
        ready = wait([worker.connection for worker in workers], timeout=1)
        for worker in list(workers):
            finished = False
            if worker.connection in ready:
                try:
                    message, *ended = worker.connection.recv()
                except EOFError:
                    message, ended = "end", ["FAILURE crash"]
                    finished = True
                if message == "begin":
                    worker.case = ended[0]
                elif message == "end" and worker.case is not None:
                    tally.add(worker.case, *ended)
                    tried, worker.case = tried + 1, None
                elif message == "end":
                    raise RuntimeError("A child ended before its first case.")
                finished = finished or message == "done"
                worker.since = time.monotonic()
            elif time.monotonic() - worker.since > options.limit:
                tally.add(worker.case or {"estimator": "none", "expected": "none"}, "FAILURE hang")
                tried, finished = tried + 1, True
            if finished:
                worker.end()
                workers.remove(worker)
    for worker in workers:
        worker.end()
    tally.report(report)
    report.close()


if __name__ == "__main__":
    main()
