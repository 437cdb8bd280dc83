"""Does the remedy that a warning names end the warning?

    python benchmarks/remedies.py                     # thirteen sets of scikit-learn: about two minutes
    python benchmarks/remedies.py --adbench FOLDER    # thirteen others, on which no choice was made
    python benchmarks/remedies.py --texts             # TF-IDF of texts: about five minutes

Each line is a fault of ``tests/remedies.py``, tried on 300 standardised rows of every set: on how many sets the fault
brings the warning with this remedy, and on how many of these the warning is gone after it. The second table counts the
sets on which fits with defaults warn at all, the third the dead and saturated units on raw data.

``--texts`` fits defaults to the TF-IDF of up to 1500 texts and applies the remedy: the docstrings of NumPy, SciPy and
scikit-learn, on which the thresholds were chosen, then those of the standard library and Python's help topics, which
had no part in that.
"""

import inspect
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from _harness import MarkdownReport, parser
from _sets import adbench_sets, standard_sets
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer, TopKAutoencoderTransformer
from skl_sae.metrics import explained_variance_scorer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from remedies import CASES

MODULES = {
    "scientific": "numpy numpy.linalg numpy.fft scipy.stats scipy.signal scipy.optimize scipy.special scipy.linalg "
    "scipy.sparse sklearn.metrics sklearn.linear_model sklearn.datasets sklearn.ensemble sklearn.preprocessing",
    "standard library": "argparse ast asyncio collections concurrent.futures configparser csv ctypes datetime "
    "decimal difflib email.message enum fractions ftplib functools http.client http.cookiejar "
    "imaplib inspect io itertools json logging logging.handlers mailbox multiprocessing os "
    "pathlib pickle pdb random re shutil smtplib socket sqlite3 ssl statistics string "
    "subprocess tarfile tempfile textwrap threading tokenize turtle typing unittest "
    "urllib.parse urllib.request uuid weakref xml.dom.minidom xml.etree.ElementTree zipfile",
}
VECTORIZERS = {
    "1000 words": TfidfVectorizer(max_features=1000),
    "words in two texts or more": TfidfVectorizer(min_df=2),
    "100 words": TfidfVectorizer(max_features=100),
    "three letters": TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), max_features=2000),
}


def docstrings(modules):
    texts = set()
    for name in modules.split():
        module = import_module(name)
        for member in vars(module).values():
            for thing in [member, *(vars(member).values() if inspect.isclass(member) else [])]:
                text = inspect.getdoc(thing) if callable(thing) else None
                if text and len(text) > 150:
                    texts.add(text)
    return sorted(texts)


def collections():
    """Return collections of texts, up to 1500 of each."""
    found = {f"docstrings, {name}": docstrings(modules) for name, modules in MODULES.items()}
    paragraphs = [part for topic in topics.values() for part in re.split(r"\n\s*\n", topic) if len(part) > 150]
    found["help topics, paragraphs"] = sorted(set(paragraphs))
    rng = np.random.default_rng(0)
    return {name: [texts[i] for i in rng.permutation(len(texts))[:1500]] for name, texts in found.items()}


def fit_defaults(X):
    """Return the messages of a fit with defaults, and the variance that it explains, in percent."""
    sae = SparseAutoencoderTransformer(random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sae.fit(X)
    return [str(one.message) for one in caught], 100 * explained_variance_scorer(sae, X)


def try_text(X):
    """Fit with defaults and follow the message."""
    messages, explained = fit_defaults(X)
    factor = re.search(r"Multiply X by ([\d.e+]+):", " ".join(messages))
    row = {"words": X.shape[1], "factor": float(factor[1]) if factor else "no warning", "explained %": explained}
    if factor:
        messages, explained = fit_defaults(float(factor[1]) * X)
        row |= {"after %": explained, "warnings after": len(messages)}
    return row


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
    options.add_argument("--texts", action="store_true", help="TF-IDF of texts instead of everything else")
    options = options.parse_args()
    report, sets = MarkdownReport(options), []
    if options.texts:
        for name, texts in collections().items():
            rows = [{"name": how} | try_text(way.fit_transform(texts)) for how, way in VECTORIZERS.items()]
            report.add(f"TF-IDF: {name}, {len(texts)} texts", rows)
        report.close()
        return
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
