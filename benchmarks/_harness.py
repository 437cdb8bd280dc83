"""What the benchmarks share: contenders measured in turn, ratios and memory, the environment, JSON and pictures."""

import argparse
import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

PACKAGES = ["skl-sae", "numpy", "scipy", "scikit-learn", "numba", "torch", "pyod"]


def parser(doc, rounds=5, threads=False):
    """The options that every benchmark has; ``threads`` adds that of the threads of BLAS (and PyTorch)."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=rounds, help="rounds that count")
    options.add_argument("--json", help="write the tables to this file")
    options.add_argument("--plot", help="draw the tables into this file (matplotlib)")
    if threads:
        options.add_argument("--threads", type=int, help="threads of BLAS and PyTorch; unset, as they come")
    return options


def environment():
    """Versions, processor and threads; a benchmark without them says nothing."""
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
    """The widest vector instructions of the processor, or what NumPy calls them."""
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    names = simd.get("baseline", []) + simd.get("found", [])
    for label, marks in {"AVX-512": {"X86_V4", "AVX512F"}, "AVX2": {"X86_V3", "AVX2"}}.items():
        if marks.intersection(names):
            return label
    return " ".join(names)


def _blas():
    """Every BLAS that is loaded (NumPy's, SciPy's), with its kernels, which may not be the widest, and its threads."""
    return "; ".join(
        f"{library['internal_api']} {library['version']}, kernels {library.get('architecture', 'unknown')}, "
        f"threads {library['num_threads']}"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    )


def _status(key):
    """A figure in MB from what Linux says of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024 / 1e6


def _reset_peak():
    """Resident memory in MB, from which the high-water mark starts anew; None where the system has no such thing."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)  # what an earlier call left with the allocator would hide what this one takes
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def measured(function):
    """Seconds and peak extra memory in MB (None: unknown) of a call, and what it returns."""
    resident = _reset_peak()
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    return seconds, None if resident is None else max(_status("VmHWM") - resident, 0), result


class Report:
    """Tables on the terminal, kept for JSON and a picture."""

    def __init__(self, options):
        threadpool_limits(getattr(options, "threads", None))
        self._options, self.tables, self.environment = options, [], environment()
        print("\n".join(f"{key:<13}{value}" for key, value in self.environment.items()))

    def compare(self, title, contenders, *, flop=None, value=None, warm_up=True):
        """Measure the contenders (name: function) in turn, round by round; the first is ours.

        The table has medians over the rounds: seconds; the ratio time / our time, with its lowest and highest; with
        ``flop`` the speed; the peak of the memory that is taken in a call beyond what was there before. ``value``
        names the number that the contenders return, and its mean over the rounds is a column. A first round, in which
        functions compile, does not count, unless ``warm_up`` is False because there is nothing to warm up.
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
        """Print a table and keep it; a row is a dict with a name and numbers."""
        self.tables.append({"title": title, "rows": rows})
        columns = list(dict.fromkeys(key for row in rows for key in row if key != "name"))
        first = max(len(row["name"]) for row in rows) + 2
        print(f"\n{title}\n  {'':<{first}}" + "".join(f"{key:>{_width(key)}}" for key in columns))
        for row in rows:
            cells = "".join(f"{_cell(row.get(key)):>{_width(key)}}" for key in columns)
            print(f"  {row['name']:<{first}}" + cells, flush=True)

    def close(self, draw=None):
        """Write what the options ask for; ``draw(path)`` takes the place of the bars."""
        if self._options.json:
            with open(self._options.json, "w") as file:
                json.dump({"environment": self.environment, "tables": self.tables}, file, indent=1)
        if self._options.plot:
            (draw or self._bars)(self._options.plot)

    def _bars(self, path):
        """A bar for the ratio of every row, or for its first number in tables without ratios."""
        from matplotlib.figure import Figure

        height = sum(1 + 0.3 * len(table["rows"]) for table in self.tables)
        figure = Figure(figsize=(8, height), layout="constrained")
        for axis, table in zip(figure.subplots(len(self.tables), squeeze=False).flat, self.tables, strict=True):
            rows = table["rows"]
            key = "ratio" if "ratio" in rows[0] else list(rows[0])[1]
            axis.barh([row["name"] for row in rows], [row.get(key, 0) for row in rows], color="0.7")
            axis.invert_yaxis()
            axis.set_title(table["title"], fontsize="medium", loc="left")
            axis.set_xlabel("time / ours" if key == "ratio" else key)
            if key == "ratio":
                axis.axvline(1, color="black", linewidth=0.8)
        figure.savefig(path, dpi=150)


def _row(rounds, ours, flop, value):
    """The figures of a contender from its (seconds, peak, value) in every round."""
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
