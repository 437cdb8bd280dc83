"""
Which topics do docstrings have?
================================

A sparse code of the docstrings of NumPy, SciPy and scikit-learn, unit by unit.

The texts are the docstrings of all public functions and classes. TF-IDF and a truncated SVD turn
them into a matrix of embeddings (latent semantic analysis), and the autoencoder encodes each of
them with 5 of 192 units. For the units with the largest activations, the script prints the words
towards which their atoms point and the functions that activate them most; then the strongest units
of some functions.
"""

import inspect
import warnings
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from skl_sae import TopKAutoencoderTransformer

PACKAGES = "numpy", "scipy", "sklearn"
UNITS, ACTIVE = 192, 5
SHOWN_UNITS, SHOWN_WORDS, SHOWN_FUNCTIONS = 12, 5, 4
EXAMPLES = "numpy.fft.rfft", "scipy.stats.ttest_ind", "sklearn.decomposition.NMF"


def modules(package):
    """Yield the package and its public subpackages."""
    found = import_module(package)
    yield found
    for module in iter_modules(found.__path__, package + "."):
        if module.ispkg and not module.name.split(".")[1].startswith(("_", "test")):
            yield import_module(module.name)


def load():
    """Return names of functions and classes, and their docstrings, each docstring once."""
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some modules are deprecated
        for module in (module for package in PACKAGES for module in modules(package)):
            for name in sorted(getattr(module, "__all__", [])):
                found = vars(module).get(name)
                text = inspect.getdoc(found) if callable(found) else None
                if text and len(text) > 200:
                    names.setdefault(text, f"{module.__name__}.{name}")
    return np.array(list(names.values())), list(names)


def embed(texts):
    """Return embeddings of texts, of norm 1, and a function that gives the words of directions."""
    words = TfidfVectorizer(
        sublinear_tf=True,
        stop_words="english",
        min_df=3,
        max_df=0.2,
        token_pattern=r"(?u)\b[a-z]{3,}\b",
    )
    svd = TruncatedSVD(100, random_state=0)
    X = normalize(svd.fit_transform(words.fit_transform(texts)))

    def words_of(directions):
        order = np.argsort(-directions @ svd.components_, axis=1)[:, :SHOWN_WORDS]
        return [", ".join(row) for row in words.get_feature_names_out()[order]]

    return X, words_of


def main():
    names, texts = load()
    X, words_of = embed(texts)
    sae = TopKAutoencoderTransformer(UNITS, ACTIVE, random_state=0).fit(X)
    H, topics = sae.transform(X), words_of(sae.components_)
    print(f"{len(X)} docstrings, {H.getnnz() / len(X):.1f} active units each, ", end="")
    print(f"{1 - sae.history_['fvu'][-1]:.0%} of the variance explained\n")

    columns, energy = H.tocsc(), H.power(2).sum(axis=0)
    for unit in np.argsort(-np.ravel(energy))[:SHOWN_UNITS]:
        active = columns[:, [unit]].tocoo()
        order = np.argsort(-active.data)[:SHOWN_FUNCTIONS]
        print(f"unit {unit}, active in {active.nnz} docstrings: {topics[unit]}")
        print(f"    {', '.join(names[active.row[order]])}")
    for name in EXAMPLES:
        for row in np.flatnonzero(names == name):
            code = H[[row]].tocoo()
            print(f"\n{name}")
            for unit, value in sorted(
                zip(code.col, code.data, strict=True), key=lambda pair: -pair[1]
            )[:3]:
                print(f"    {value:.2f}  {topics[unit]}")


if __name__ == "__main__":
    main()
