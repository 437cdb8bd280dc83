"""Does the remedy that a warning names end the warning?

    python benchmarks/remedies.py                     # thirteen sets of scikit-learn: about two minutes
    python benchmarks/remedies.py --adbench FOLDER    # thirteen others, on which no choice was made

Each line is a fault of ``tests/remedies.py``, tried on 300 standardised rows of every set: on how many sets the fault
brings the warning with this remedy, and on how many of these the warning is gone after it. The second table counts the
sets on which fits with defaults warn at all, the third the dead and saturated units on raw data.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from _harness import MarkdownReport, parser
from _sets import adbench_sets, standard_sets
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer, TopKAutoencoderTransformer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from remedies import CASES


def count(case, sets):
    seen = gone = 0
    for X in sets:
        messages = [message for message in case.before(X) if case.remedy in message]
        seen += bool(messages)
        gone += bool(messages) and not case.after(X, messages)
    return {"sets with the warning": seen, "gone": gone}


def count_defaults(estimator, sets):
    messages = []
    for X in sets:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator.fit(X)
        messages.append([str(one.message) for one in caught])
    return {"sets with a warning": sum(map(bool, messages)), "sets": len(sets)}


def count_idle(X):
    """Return how many of 100 units are dead or saturated on raw and on standardised rows."""
    idle = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, rows in {"raw": X, "standardised": StandardScaler().fit_transform(X)}.items():
            sae = SparseAutoencoderTransformer(random_state=0).fit(rows)
            idle[name] = round(100 * (sae.dead_fraction_ + sae.saturated_fraction_))
    return idle


def main():
    options = parser(__doc__, rounds=None, threads=True, plot=False)
    options.add_argument("--adbench", help="folder with sets of ADBench, to use instead of the thirteen sets")
    options = options.parse_args()
    report, sets = MarkdownReport(options), []
    for X, _ in (adbench_sets(options.adbench) if options.adbench else standard_sets()).values():
        X = X[np.random.default_rng(0).permutation(len(X))[:300]]
        sets.append(StandardScaler().fit_transform(X[:, X.std(axis=0) > 0]))
    report.add("remedies", [{"name": name, "remedy": case.remedy} | count(case, sets) for name, case in CASES.items()])
    scaled = {"standardised": sets, "in [0, 1]": [MinMaxScaler().fit_transform(X) for X in sets]}
    rows = []
    for estimator in SparseAutoencoderTransformer(random_state=0), TopKAutoencoderTransformer(random_state=0):
        for name, some in scaled.items():
            rows.append({"name": f"{type(estimator).__name__}, {name}"} | count_defaults(estimator, some))
    report.add("fits with defaults", rows)
    raw = {"wine": load_wine, "breast cancer": load_breast_cancer}
    report.add(
        "dead and saturated units of 100", [{"name": name} | count_idle(load().data) for name, load in raw.items()]
    )
    report.close()


if __name__ == "__main__":
    main()
