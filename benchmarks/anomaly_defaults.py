"""Which settings of the detector score best without "auto", and how well do they do on sets not used to choose them?

    python benchmarks/anomaly_defaults.py --data FOLDER      # sets of ADBench, as for anomaly.py; about 15 minutes

Every combination of the settings below is fitted by the protocol of anomaly.py. The first table gives the mean AUROC
over all sets, for scoring="mahalanobis" with all other parameters at their defaults, and for the best combinations.
For the second, the sets are split into five folds, many times, and the combination that is best on four folds is scored
on the fifth: this is what such a choice achieves on new sets. The third changes one setting at a time.
"""

import itertools
import warnings
from pathlib import Path

import numpy as np
from _harness import Report, parser
from anomaly import load_sets, split
from joblib import Parallel, delayed
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from skl_sae import SparseAutoencoderOutlierDetector

GRID = {
    "scoring": ["mahalanobis", "standardized_error", "squared_error"],
    "scaling": ["standard", None],
    "support_fraction": [0.75, 0.9, 1.0],
    "alpha": [1e-3, 0.03, 0.1, 0.3],
    "n_components": ["auto", "half"],
}
CANDIDATES = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
# Settings that had no part in the choice, changed one at a time from the defaults.
SINGLE = [{"rho": 0.05}, {"rho": 0.25}, {"beta": 0.0}, {"beta": 1.0}, {"beta": 10.0}, {"activation": "relu"},
          {"tied_weights": True}, {"tol": 1e-3}, {"support_fraction": 0.5}]  # fmt: skip


def label(parameters):
    return ", ".join(f"{name}={value}" for name, value in parameters.items()) or "defaults"


def auroc(parameters, X, y, seed):
    warnings.simplefilter("ignore")
    parameters = {"scoring": "mahalanobis"} | parameters
    if parameters.get("n_components") == "half":
        parameters["n_components"] = max(1, min(X.shape[1] // 2, 50))
    train, test, labels = split(X, y, seed)
    detector = SparseAutoencoderOutlierDetector(random_state=seed, **parameters).fit(train)
    return 100 * roc_auc_score(labels, -detector.score_samples(test))


def figures(settings, sets, seeds):
    """Return the AUROC by setting and set, averaged over the seeds."""
    jobs = [delayed(auroc)(setting, X, y, seed) for setting in settings for X, y in sets.values() for seed in seeds]
    results = Parallel(n_jobs=-1)(jobs)
    return np.reshape(results, (len(settings), len(sets), len(seeds))).mean(axis=2)


def left_out(table, repetitions=200):
    """Return the mean AUROC of combinations chosen on the other folds, and how often each one was chosen."""
    scores, chosen = [], np.zeros(len(table))
    for repetition in range(repetitions):
        for others, fold in KFold(5, shuffle=True, random_state=repetition).split(table.T):
            best = np.argmax(table[:, others].mean(axis=1))
            chosen[best] += 1 / (5 * repetitions)
            scores.append(table[best, fold].sum())
    return np.sum(scores) / (repetitions * table.shape[1]), chosen


def main():
    options = parser(__doc__)
    options.add_argument("--data", type=Path, help="folder with ADBench's sets")
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    options = options.parse_args()
    report, sets = Report(options), load_sets(options.data)

    table = figures([{}, *CANDIDATES], sets, options.seeds)
    default, table = table[0], table[1:]
    held_out, chosen = left_out(table)
    order = np.argsort(-table.mean(axis=1))[:15]
    rows = [{"name": "defaults", "AUROC": default.mean()}]
    rows += [{"name": label(CANDIDATES[i]), "AUROC": table[i].mean(), "chosen": chosen[i]} for i in order]
    report.add(f"Mean AUROC over {len(sets)} sets; share of the folds for which a combination was chosen", rows)
    report.add("On held-out folds", [{"name": "the best on the other folds", "AUROC": held_out}])

    changes = [{name: value} for name, values in GRID.items() for value in values] + SINGLE
    means = figures(changes, sets, options.seeds).mean(axis=1)
    report.add(
        "One setting changed", [{"name": label(c), "AUROC": mean} for c, mean in zip(changes, means, strict=True)]
    )
    report.close()


if __name__ == "__main__":
    main()
