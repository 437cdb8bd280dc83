"""How do fits to TF-IDF text with a hundred thousand features perform: time, memory, and readable topics?

    python benchmarks/sparse_text.py                # about ten minutes

Every machine has the corpus: docstrings of at least 300 characters from the standard library and all installed
packages. Features are the words and pairs of words that occur in at least 3 of them. Rows have norm 10, because with
TF-IDF's norm of 1 the variance of single features is small compared with the penalties. The script shows

- an evaluation of L and its gradient for the first rows: sparse, by the Gram algebra; sparse, in blocks made dense;
  dense;
- a fit to all rows, which as an array would not fit into memory: time and peak memory, of which L-BFGS takes 28 vectors
  of the length of the parameters;
- the words with the largest weights of some units.
"""

import ast
import sysconfig
import warnings
from pathlib import Path

import numpy as np
from _harness import Report, measured, parser
from sklearn.feature_extraction.text import TfidfVectorizer

from skl_sae import SparseAutoencoderTransformer
from skl_sae._kernels.activations import ACTIVATIONS
from skl_sae._model import architecture, initial_parameters, regularization
from skl_sae._objectives import FullBatchObjective
from skl_sae._objectives.full_batch import SparseGramObjective
from skl_sae._rows import as_rows

SETTINGS = dict(rho=0.05, beta=1.0, alpha=0.01, tol=0, n_iter_no_change=1000, random_state=0)
NODES = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef


def docstrings():
    """Return the distinct long docstrings of the Python files on this machine."""
    seen = {}
    for folder in dict.fromkeys(map(sysconfig.get_path, ["stdlib", "purelib", "platlib"])):
        for path in sorted(Path(folder).rglob("*.py")):
            try:
                tree = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError, RecursionError):  # such as templates and tests of compilers
                continue
            found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, NODES))
            seen |= {text: None for text in found if text and len(text) >= 300}
    return list(seen)


def tf_idf(texts):
    """Return float32 rows of norm 10 in random order, and the words."""
    words = r"(?u)\b[a-zA-Z][a-zA-Z]+\b"
    settings = dict(ngram_range=(1, 2), min_df=3, max_df=0.2, sublinear_tf=True, stop_words="english")
    vectorizer = TfidfVectorizer(token_pattern=words, dtype=np.float32, **settings)
    X = 10 * vectorizer.fit_transform(texts)
    return X[np.random.default_rng(0).permutation(X.shape[0])], vectorizer.get_feature_names_out()


def evaluations(X, m):
    """Return functions that evaluate L and its gradient."""
    sae = SparseAutoencoderTransformer(m, **SETTINGS)
    rows, weights, arch, reg = as_rows(X), np.ones(X.shape[0]), architecture(sae, X.shape[1], m), regularization(sae)
    functions = ACTIVATIONS["sigmoid"], ACTIVATIONS["identity"]
    start = initial_parameters(arch, rows.moments(weights)[0], X.dtype, *functions, 0.05, np.random.RandomState(0))
    objectives = {
        "sparse, Gram algebra": SparseGramObjective(rows, weights, arch, reg),
        "sparse, dense blocks": FullBatchObjective(rows, weights, arch, reg),
        "dense": FullBatchObjective(as_rows(X.toarray()), weights, arch, reg),
    }
    return {
        name: lambda objective=objective: objective.evaluate_gradient(start)[0].loss
        for name, objective in objectives.items()
    }


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--units", type=int, default=50)
    options.add_argument("--rows", type=int, default=2000, help="rows in the comparison with dense data")
    options.add_argument("--iterations", type=int, default=100)
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report = Report(options)
    X, words = tf_idf(docstrings())
    n, d = X.shape
    parameters = 2 * d * options.units + d + options.units
    report.add("Corpus, in float32", [
        {"name": "docstrings", "texts": n, "features": d, "of a text": X.nnz / n, "density, %": 100 * X.nnz / (n * d),
         "as array, GB": n * d * 4 / 1e9, "million parameters": parameters / 1e6},
    ])  # fmt: skip
    report.compare(f"An evaluation, {options.rows} rows, {options.units} units", evaluations(X[: options.rows],
                   options.units), value="L")  # fmt: skip
    sae = SparseAutoencoderTransformer(options.units, max_iter=options.iterations, **SETTINGS)
    seconds, peak, _ = measured(lambda: sae.fit(X))
    row = {
        "name": "fit",
        "iterations": sae.n_iter_,
        "seconds": seconds,
        "L": sae.loss_,
        "dead units": sae.dead_fraction_,
    }
    if peak is not None:
        row |= {"peak MB": peak, "L-BFGS MB": 28 * X.dtype.itemsize * parameters / 1e6}
    report.add(f"Fit, {n} rows, {options.units} units", [row])
    print("\nWords with the largest weights")
    for unit in sae.components_[:12]:
        print("  " + ", ".join(words[np.argsort(-unit)[:8]]))
    report.close()


if __name__ == "__main__":
    main()
