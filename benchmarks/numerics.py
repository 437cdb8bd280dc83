"""How accurate are loss and gradient, and do they stay accurate in very long training?

    python benchmarks/numerics.py

The first table has the errors after fits of 100000 iterations, whose weight decay is so small that they do not settle
earlier, compared with a plain NumPy evaluation at the final weights; the second the largest relative errors of the loss
and of the gradient in each precision, and the bounds that the tests check (tests/rounding.py); the third the
warnings of each solver about data in the wrong units.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from _harness import MarkdownReport, parser
from sklearn.datasets import load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from skl_sae import SparseAutoencoderTransformer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import reference
import rounding
import test_numerics as numerics


def long_fits(report, iterations):
    rows = []
    X = load_wine().data / load_wine().data.max(axis=0)
    settings = dict(beta=0.01, alpha=1e-8, tol=0, n_iter_no_change=10**9, max_iter=iterations, random_state=0)
    for solver in ("lbfgs", "adam"):
        for activation in ("sigmoid", "relu"):
            sae = SparseAutoencoderTransformer(8, solver=solver, activation=activation, **settings).fit(X)
            model, history = reference.Model.of(sae), sae.history_
            terms = model.terms(X)._asdict()
            off = max(abs(history[name][-1] - value) / max(abs(value), 1e-9) for name, value in terms.items())
            mean = np.abs(sae.mean_activation_ / model.encode(X).mean(axis=0) - 1).max()
            rise = np.diff(history["loss"][:-1]).max(initial=-np.inf)
            rows.append({"name": f"{solver}, {activation}", "iterations": sae.n_iter_, "loss": sae.loss_,
                         "terms off by": off, "mean activations": mean, "largest rise": max(rise, 0)})  # fmt: skip
    report.add("after long fits: relative errors of the last history entry, and the largest rise of the loss", rows)


def rounding_errors(report, seeds):
    rows = []
    for dtype in (np.float32, np.float64):
        for name, gram in {"direct": False, "Gram": True}.items():
            losses, gradients = [], []
            for names in numerics.MODELS:
                if gram and names[1] != "identity":
                    continue
                for seed in range(seeds):
                    model, X, weights = numerics.problem(names, numerics.LARGE, dtype, seed)
                    if not model.encode(X.astype(float)).any(axis=0).all():
                        continue  # a unit that is never active has no divergence
                    way = "sparse" if gram else None
                    evaluation, gradient, _ = numerics.evaluate(model, X, weights, dtype, way)
                    terms, slopes = rounding.objective(model, X, weights, dtype, gram)
                    loss = sum(term.value for term in terms)
                    losses.append((abs(evaluation.loss - loss) / loss, sum(term.error for term in terms) / loss))
                    flat = [np.concatenate([np.ravel(part) for part in parts]) for parts in zip(*slopes, strict=True)]
                    found = np.concatenate([np.ravel(part) for part in gradient])
                    norm = np.linalg.norm(flat[0].astype(float))
                    off = np.linalg.norm((found - flat[0]).astype(float)) / norm
                    gradients.append((off, np.linalg.norm(flat[1].astype(float)) / norm))
            (loss, loss_bound), (slope, slope_bound) = np.max([losses, gradients], axis=1).astype(float)
            rows.append({"name": f"{np.dtype(dtype).name}, {name}", "loss": loss, "bound of the loss": loss_bound,
                         "gradient": slope, "bound of the gradient": slope_bound, "models": len(losses)})  # fmt: skip
    report.add("largest relative errors of loss and gradient", rows)


def wrong_units(report):
    rows = []
    for load in (load_digits, load_wine):
        X = StandardScaler().fit_transform(load().data)
        for solver in ("lbfgs", "adam"):
            for scale in (1e-6, 1e-3, 1.0, 1e3, 1e6):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    SparseAutoencoderTransformer(20, solver=solver, random_state=0).fit(scale * X)
                said = "; ".join(str(one.message).split(":")[0].split(",")[0] for one in caught)
                name = f"{load.__name__.removeprefix('load_')} times {scale:g}, {solver}"
                rows.append({"name": name, "warning": said or "none"})
    report.add("standardised data in other units", rows)


def main():
    options = parser(__doc__, rounds=None, plot=False)
    options.add_argument("--iterations", type=int, default=100_000)
    options.add_argument("--seeds", type=int, default=5, help="random models of each kind")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report = MarkdownReport(options)
    long_fits(report, options.iterations)
    rounding_errors(report, options.seeds)
    wrong_units(report)
    report.close()


if __name__ == "__main__":
    main()
