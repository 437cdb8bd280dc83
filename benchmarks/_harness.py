"""What the benchmarks share: contenders measured in turn, ratios, memory, the environment, JSON and plots."""

import argparse
import contextlib
import ctypes
import gc
import json
import multiprocessing
import os
import platform
import shlex
import signal
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

# Seconds until the threads of a library sleep; at first they wait for work in a loop.
REST = 0.3

PACKAGES = [
    "skl-sae", "numpy", "scipy", "scikit-learn", "numba", "torch", "pyod", "isotree", "hypothesaes", "sae-lens",
]  # fmt: skip


def parser(doc, rounds=5, threads=False, plot=True):
    """Return a parser with the options of every benchmark; ``threads`` adds the number of BLAS and PyTorch threads.

    ``rounds=None`` and ``plot=False`` leave out these options.
    """
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        options.add_argument("--rounds", type=int, default=rounds, help="rounds to measure")
    options.add_argument("--json", help="write the tables to this file")
    if plot:
        options.add_argument("--plot", help="draw the tables into this file (needs matplotlib)")
    if threads:
        options.add_argument("--threads", type=int, help="threads of BLAS and PyTorch (default: their own)")
    return options


def environment():
    """Return versions, processor and threads, without which the figures mean nothing."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        **versions,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "instructions": _instructions(),
        "BLAS": _blas(),
    }


def _instructions():
    """Return the widest vector instructions of the processor, or NumPy's names for them."""
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    names = simd.get("baseline", []) + simd.get("found", [])
    for label, marks in {"AVX-512": {"X86_V4", "AVX512F"}, "AVX2": {"X86_V3", "AVX2"}}.items():
        if marks.intersection(names):
            return label
    return " ".join(names)


def _blas():
    """Describe every loaded BLAS (NumPy's, SciPy's): its kernels, which may not be the widest, and its threads."""
    return "; ".join(
        f"{library['internal_api']} {library['version']}, kernels {library.get('architecture', 'unknown')}, "
        f"threads {library['num_threads']}"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    )


def _status(key):
    """Return a figure in MB that Linux reports for this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024 / 1e6


def _reset_peak():
    """Reset the high-water mark and return the resident memory in MB; None where the system has no such mark."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # only glibc has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)  # memory left over from earlier calls would hide what this one takes
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _command(arguments):
    """Return the command without the options that write files, and without the folders of this machine."""
    words, rest = [Path(arguments[0]).name], iter(arguments[1:])
    for word in rest:
        if word in ("--json", "--plot"):
            next(rest)
        elif not word.startswith(("--json=", "--plot=")):
            option, equals, value = word.rpartition("=")
            value = "FOLDER" if Path(value).is_dir() else Path(value).name if os.sep in value else value
            words.append(option + equals + value)
    return shlex.join(words)


def measured(function):
    """Call a function; return the seconds, the peak of the extra memory in MB (None: unknown), and the result."""
    resident = _reset_peak()
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    return seconds, None if resident is None else max(_status("VmHWM") - resident, 0), result


class Report:
    """Tables on the terminal, kept for JSON and a plot."""

    def __init__(self, options):
        threadpool_limits(getattr(options, "threads", None))
        self._options, self.tables, self.environment = options, [], environment()
        print("\n".join(f"{key:<13}{value}" for key, value in self.environment.items()))

    def compare(self, title, contenders, *, flop=None, value=None, warm_up=True):
        """Measure the contenders (name: function) in turn, round by round, relative to the first one.

        The table shows medians over the rounds: the seconds; the ratio to the time of the first contender, with its
        lowest and highest value; the speed, given ``flop``; and the peak of the memory that a call adds. ``value``
        names the number that the contenders return; a column shows its mean over the rounds. A warm-up round, in which
        functions compile, comes first and does not count; ``warm_up=False`` skips it.
        """
        measurements = {name: [] for name in contenders}
        for turn in range(-int(warm_up), self._options.rounds):
            for name, function in contenders.items():
                seconds, peak, result = measured(function)
                if turn >= 0:
                    measurements[name].append((seconds, peak, result if value else None))
        ours = [seconds for seconds, _, _ in next(iter(measurements.values()))]
        rows = [{"name": name, **_row(rounds, ours, flop, value)} for name, rounds in measurements.items()]
        self.add(title, rows)
        return rows

    def add(self, title, rows):
        """Print a table and keep it; a row is a dictionary with a name and numbers."""
        self.tables.append({"title": title, "rows": rows})
        columns = list(dict.fromkeys(key for row in rows for key in row if key != "name"))
        first = max(len(row["name"]) for row in rows) + 2
        print(f"\n{title}\n  {'':<{first}}" + "".join(f"{key:>{_width(key)}}" for key in columns))
        for row in rows:
            cells = "".join(f"{_cell(row.get(key)):>{_width(key)}}" for key in columns)
            print(f"  {row['name']:<{first}}" + cells, flush=True)

    def close(self, draw=None):
        """Write the files that the options ask for; ``draw(path)`` replaces the bars."""
        if self._options.json:
            content = {"command": _command(sys.argv), "environment": self.environment, "tables": self.tables}
            text = json.dumps(content, indent=1, ensure_ascii=False, default=lambda scalar: scalar.item())
            Path(self._options.json).write_text(text + "\n", "utf-8")
        if getattr(self._options, "plot", None):
            (draw or self._bars)(self._options.plot)

    def _bars(self, path):
        """Draw a bar for the ratio of every row, or for its first number in tables without ratios."""
        from matplotlib.figure import Figure

        height = sum(1 + 0.3 * len(table["rows"]) for table in self.tables)
        figure = Figure(figsize=(8, height), layout="constrained")
        for axis, table in zip(figure.subplots(len(self.tables), squeeze=False).flat, self.tables, strict=True):
            rows = table["rows"]
            key = "ratio" if "ratio" in rows[0] else list(rows[0])[1]
            axis.barh([row["name"] for row in rows], [row.get(key, 0) for row in rows], color="0.7")
            axis.invert_yaxis()
            axis.set_title(table["title"], fontsize="medium", loc="left")
            axis.set_xlabel("time / time of the first" if key == "ratio" else key)
            if key == "ratio":
                axis.axvline(1, color="black", linewidth=0.8)
        figure.savefig(path, dpi=150)


class MarkdownReport(Report):
    """A `Report` in Markdown, without a plot; cells may be text."""

    def __init__(self, options):
        print("```text")
        super().__init__(options)
        print("```")

    def add(self, title, rows):
        self.tables.append({"title": title, "rows": rows})
        columns = list(dict.fromkeys(key for row in rows for key in row if key != "name"))
        print(f"\n**{title}**\n\n| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
        for row in rows:
            cells = [row.get(key) for key in columns]
            print(f"| {row['name']} | {' | '.join(c if isinstance(c, str) else _cell(c) for c in cells)} |", flush=True)


def _row(rounds, ours, flop, value):
    """Return the figures of a contender from its (seconds, peak, value) in every round."""
    seconds, peaks, values = zip(*rounds, strict=True)
    ratios = [own / base for own, base in zip(seconds, ours, strict=True)]
    row = {
        "seconds": statistics.median(seconds),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }
    if flop:
        row["GFLOP/s"] = flop / row["seconds"] / 1e9
    if None not in peaks:
        row["peak MB"] = statistics.median(peaks)
    if None not in values:
        row[value] = statistics.fmean(values)
    return row


def _width(key):
    return max(len(key), 9) + 2


def _cell(number):
    return "" if number is None else f"{number:.4g}"


class Elsewhere:
    """Calls a function in another process, which is stopped (SIGSTOP) while it has nothing to do.

    PyTorch's threads wait for work in a loop for a while, and would slow down whatever is measured next.
    """

    def __init__(self, function):
        self._function = function
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self._pid = self._pool.submit(os.getpid).result()
        os.kill(self._pid, signal.SIGSTOP)

    def __call__(self, *arguments):
        os.kill(self._pid, signal.SIGCONT)
        try:
            return self._pool.submit(self._function, *arguments).result()
        finally:
            os.kill(self._pid, signal.SIGSTOP)

    def close(self):
        os.kill(self._pid, signal.SIGCONT)
        self._pool.shutdown()
