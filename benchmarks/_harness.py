"""What the benchmarks share: contenders timed in turn, medians and ratios, the environment, JSON and pictures."""

import argparse
import json
import os
import platform
import statistics
import time
from importlib import metadata

PACKAGES = ["skl-sae", "numpy", "scipy", "scikit-learn", "numba", "torch", "pyod"]


def parser(doc):
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="timed rounds after one that does not count")
    options.add_argument("--json", help="write the tables to this file")
    options.add_argument("--plot", help="draw the tables into this file (matplotlib)")
    return options


def environment():
    """Versions and processor; a benchmark without them says nothing."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine(), **versions}


def timed(function):
    """Seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Report:
    """Tables on the terminal, kept for JSON and a picture."""

    def __init__(self, options):
        self._options, self.tables = options, []
        print("  ".join(f"{key} {value}" for key, value in environment().items()))

    def compare(self, title, contenders, *, repeat=1, flop=None):
        """Time the contenders (name: function) in turn, round by round; the first is ours.

        Prints the median, the spread and the ratio to ours: the median over the rounds of time / our time.
        """
        seconds = {name: [] for name in contenders}
        for turn in range(self._options.rounds + 1):
            for name, function in contenders.items():
                elapsed = timed(lambda function=function: [function() for _ in range(repeat)]) / repeat
                if turn:  # the first round compiles and warms up
                    seconds[name].append(elapsed)
        ours = next(iter(seconds.values()))
        rows = [
            {
                "name": name,
                "seconds": statistics.median(values),
                "lowest": min(values),
                "highest": max(values),
                "ratio": statistics.median(value / own for value, own in zip(values, ours, strict=True)),
                **({"gflops": flop / statistics.median(values) / 1e9} if flop else {}),
            }
            for name, values in seconds.items()
        ]
        self.add(title, rows)
        return rows

    def add(self, title, rows):
        """Print a table and keep it."""
        self.tables.append({"title": title, "rows": rows})
        print(f"\n{title}")
        for row in rows:
            cells = (f"{key} {value:.4g}" for key, value in row.items() if key != "name")
            print(f"  {row['name']:<34}" + "   ".join(cells), flush=True)

    def close(self):
        """Write what the options ask for."""
        if self._options.json:
            with open(self._options.json, "w") as file:
                json.dump({"environment": environment(), "tables": self.tables}, file, indent=1)
        if self._options.plot:
            self._plot()

    def _plot(self):
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt

        tables = [table for table in self.tables if "ratio" in table["rows"][0]]
        figure, axes = plt.subplots(
            len(tables), figsize=(8, 1 + 1.6 * len(tables)), squeeze=False, layout="constrained"
        )
        for axis, table in zip(axes.flat, tables, strict=True):
            names = [row["name"] for row in table["rows"]]
            axis.barh(names, [row["ratio"] for row in table["rows"]], color=["C0"] + ["0.7"] * (len(names) - 1))
            axis.invert_yaxis()
            axis.axvline(1, color="black", linewidth=0.8)
            axis.set_title(table["title"], fontsize="medium", loc="left")
            axis.set_xlabel("time / ours")
        figure.savefig(self._options.plot, dpi=150)
