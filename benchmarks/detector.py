"""How well does the outlier detector find anomalies, compared with common detectors, and how long does it take?

    pip install . isotree pyod
    python benchmarks/detector.py --data FOLDER --part confirm --jobs 2
    python benchmarks/detector.py --kinds digits synthetic              # scikit-learn's own data: no folder needed

FOLDER (or SKL_SAE_DATA) holds tables/*.npz (X_train, X_test, y_test), adbench/*.npz and embeddings/*.npz (X, y) and
mnist.npz. ``_detector_tasks.py`` makes the tasks, ``_detector_peers.py`` the detectors. Every detector has one setting
for all tasks; features are standardised for detectors that depend on their units.

AUROC and average precision (AP) are on the test rows, in percent: means over the tasks of a data set, then over the
data sets. Differences are paired; the number after ± is their standard error over the data sets. Times are CPU seconds
with one thread, the mean and the longest. A data set with a task on which a detector fails counts as failed and is left
out of that detector's figures. ``--records`` saves the figures of every task.
"""

import json
import sys
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from _detector_peers import DETECTORS, FOREST, NEIGHBOURS, OURS, warm_up
from _detector_tasks import PARTS, TASKS, data_folder, load_tasks, part_of, set_names
from _harness import MarkdownReport, parser
from joblib import Parallel, delayed, parallel_config
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

FIGURES = ["AUROC", "AP", "fit", "score"]


def measure(detector, task, seed):
    """Return AUROC and average precision in percent, and the CPU seconds to fit and to score."""
    model = detector.make(seed)
    start = time.process_time()
    model.fit(task.train)
    fitted = time.process_time()
    scores = -model.score_samples(task.test)
    scored = time.process_time()
    if np.isnan(scores).any():
        raise ValueError("scores are NaN")
    scores = np.nan_to_num(scores)  # infinite scores are legitimate
    auroc, precision = roc_auc_score(task.labels, scores), average_precision_score(task.labels, scores)
    return 100 * auroc, 100 * precision, fitted - start, scored - fitted


def measure_task(name, task):
    """Return the figures of a detector on a task, or why there are none."""
    detector = DETECTORS[name]
    try:
        figures = np.mean([measure(detector, task, seed) for seed in detector.seeds], axis=0)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        return {"error": f"{type(error).__name__}: {reason:.100}"}
    return dict(zip(FIGURES, figures.tolist(), strict=True))


def measure_set(folder, kind, data_set, detectors):
    """Return a record for each task of a data set and each detector."""
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        warm_up(*detectors)
        return [
            {"set": data_set, "group": task.group, "variant": variant, "detector": name}
            | {"rows": len(task.train), "features": task.train.shape[1]}
            | measure_task(name, task)
            for variant, task in enumerate(load_tasks(folder, kind, data_set))
            for name in detectors
        ]


def measure_all(folder, sets, detectors, jobs):
    """Return the records of all data sets, given as pairs of kind and name."""
    records = []
    with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        results = Parallel(return_as="generator_unordered")(
            delayed(measure_set)(folder, kind, name, detectors) for kind, name in sets
        )
        for done, found in enumerate(results, start=1):
            records += found
            print(f"\r{done} of {len(sets)} data sets", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return sorted(records, key=lambda record: (record["group"], record["set"], record["variant"]))


def by_set(records):
    """Return the mean figures of every detector on every data set: group -> detector -> set -> figures.

    A set with a task on which the detector failed has None.
    """
    tasks = defaultdict(list)
    for record in records:
        tasks[record["group"], record["detector"], record["set"]].append(record)
    groups = defaultdict(lambda: defaultdict(dict))
    for (group, detector, name), found in tasks.items():
        failed = any("error" in record for record in found)
        means = None if failed else np.mean([[record[key] for key in FIGURES] for record in found], axis=0)
        groups[group][detector][name] = means
    return groups


def known(figures):
    """Return the figures of the sets without failures as an array (sets, figures)."""
    return np.array([values for values in figures.values() if values is not None]).reshape(-1, len(FIGURES))


def difference(figures, others, column):
    """Return the mean of the paired differences, with its standard error, as text."""
    pairs = [(figures[name], others[name]) for name in figures]
    gaps = np.array([a[column] - b[column] for a, b in pairs if a is not None and b is not None])
    if len(gaps) < 2:
        return f"{gaps.mean():+.1f}" if len(gaps) else ""
    return f"{gaps.mean():+.1f} ± {gaps.std(ddof=1) / np.sqrt(len(gaps)):.1f}"


def group_row(name, detectors):
    """Return the row of a detector in the table of a group."""
    figures = detectors[name]
    values = known(figures)
    row = {"name": name, "sets": str(len(values)), "failed": str(len(figures) - len(values))}
    if not len(values):
        return row
    auroc, precision, fit, score = values.mean(axis=0)
    row |= {"AUROC": f"{auroc:.1f}", "AP": f"{precision:.1f}"}
    for other in (FOREST, NEIGHBOURS):
        for column in (0, 1) if other in detectors and other != name else ():
            row[f"{FIGURES[column]} − {other}"] = difference(figures, detectors[other], column)
    times = {"fit, s": fit, "longest fit, s": values[:, 2].max(), "score, s": score}
    return row | {key: f"{seconds:.2g}" for key, seconds in times.items()}


def add_summary(report, groups, detectors):
    """Add a table with AUROC and AP of every detector in every group."""
    rows = []
    for group, found in groups.items():
        row = {"name": f"{group} ({len(found[OURS])})"}
        for name in detectors:
            values = known(found[name])
            if len(values):
                mark = "" if len(values) == len(found[name]) else " *"
                row[name] = "{:.1f} / {:.1f}".format(*values.mean(axis=0)[:2]) + mark
        rows.append(row)
    report.add(
        "AUROC / AP in percent by group (and its number of data sets; * without the sets on which the detector failed)",
        rows,
    )


def add_worst(report, groups, records, most=10):
    """Add a table of the data sets on which ours is furthest behind the forest."""
    sizes = {(record["group"], record["set"]): record for record in records}
    rows = []
    for group, found in groups.items():
        for name, ours in found[OURS].items():
            forest = found[FOREST][name]
            if ours is not None and forest is not None:
                size = f"{sizes[group, name]['rows']} × {sizes[group, name]['features']}"
                figures = {OURS: ours[0], FOREST: forest[0], "difference": ours[0] - forest[0]}
                rows.append({"name": name, "group": group, "rows × features": size, **figures})
    rows = sorted(rows, key=lambda row: row["difference"])
    behind = sum(row["difference"] < 0 for row in rows)
    title = f"Largest deficits in AUROC to {FOREST} (behind in {behind} of {len(rows)} pairs of set and group)"
    if behind:
        report.add(title, rows[: min(most, behind)])


def add_failures(report, records):
    """Add a table of the tasks on which detectors failed, with the most frequent reason."""
    reasons = defaultdict(Counter)
    for record in records:
        if "error" in record:
            reasons[record["detector"]][record["error"]] += 1
    total = Counter(record["detector"] for record in records)
    rows = [
        {"name": name, "failed": f"{sum(found.values())} of {total[name]}", "most often": found.most_common(1)[0][0]}
        for name, found in reasons.items()
    ]
    if rows:
        report.add("Tasks on which a detector failed", rows)


def chosen_detectors(options):
    """Return the names of the detectors to run, ours first, and those left out for want of a package."""
    names = [OURS, *(name for name in DETECTORS if name in options.peers and name != OURS)]
    if not options.slow:
        names = [name for name in names if not DETECTORS[name].slow]
    absent = {name: missing for name in names if (missing := DETECTORS[name].missing())}
    return [name for name in names if name not in absent], absent


def chosen_sets(options, folder):
    """Return the data sets of the chosen part as pairs of kind and name."""
    sets = [(kind, name) for kind in options.kinds for name in set_names(folder, kind) if part_of(name) == options.part]
    if options.sets:
        sets = [(kind, name) for kind, name in sets if name in options.sets]
    if not sets:
        raise SystemExit("none of these data sets is in this part")
    return sets


def parse_options():
    options = parser(__doc__, rounds=None, plot=False)
    options.add_argument("--data", help="folder with the data (default: SKL_SAE_DATA)")
    options.add_argument("--part", choices=PARTS, default=PARTS[0], help="half of the data sets")
    options.add_argument("--kinds", nargs="+", choices=list(TASKS), default=list(TASKS))
    options.add_argument("--sets", nargs="+", help="use only these data sets")
    options.add_argument("--peers", nargs="*", choices=list(DETECTORS), default=list(DETECTORS), metavar="PEER",
                         help=f"compare with these only, of {', '.join(DETECTORS)}")  # fmt: skip
    options.add_argument("--slow", action="store_true", help="also run peers that take very long")
    options.add_argument("--jobs", type=int, default=1, help="processes")
    options.add_argument("--records", help="write the figures of every task to this file")
    return options.parse_args()


def main():
    options = parse_options()
    folder = data_folder(options.data)
    sets = chosen_sets(options, folder)
    detectors, absent = chosen_detectors(options)
    report = MarkdownReport(options)
    for name, packages in absent.items():
        print(f"\n{name}: not run, {' and '.join(packages)} not installed")

    records = measure_all(folder, sets, detectors, options.jobs)
    groups = by_set(records)
    add_summary(report, groups, detectors)
    for group, found in groups.items():
        report.add(f"{group} ({options.part})", [group_row(name, found) for name in detectors])
    if FOREST in detectors:
        add_worst(report, groups, records)
    add_failures(report, records)
    report.close()
    if options.records:
        Path(options.records).write_text(json.dumps(records))


if __name__ == "__main__":
    main()
