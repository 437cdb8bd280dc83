"""How well do top-k autoencoders reconstruct, do their units stay alive, and do they find planted atoms?

    pip install ".[bench]"
    python benchmarks/topk_quality.py --data FOLDER

FOLDER holds mnist.npz (see CONTRIBUTING.md); without it the rows on MNIST are left out, and without its subfolder
embeddings (NAME.npz with an array X) those on embeddings. Float32; FVU is the share of the variance of the training
rows that is not explained. Images of MNIST and planted rows had no part in the choice of the defaults, breast cancer
none in that of the step size and of when units start anew.

- same start: ten epochs of skl_sae and of PyTorch's dense autoencoder (the loss, fused Adam, atoms of norm 1), from the
  same start, over the same batches, with the same step sizes. skl_sae leaves inactive units as they are, PyTorch's Adam
  moves them on.
- defaults: ten epochs of skl_sae with its defaults, and of PyTorch from random atoms with constant step sizes; "ratio"
  is the FVU of skl_sae divided by the lowest of PyTorch's.
- dead: units that are never active on the training rows, after a fit with the defaults.
- planted: how well the atoms of a dictionary are found: the mean over the true atoms of the best absolute cosine.
- dictionary: MiniBatchDictionaryLearning with as many atoms, and codes of as many non-zeros (OMP), on 5000 images.
"""

import time
import warnings
from pathlib import Path

import numpy as np
import torch
from _harness import Report, parser
from _topk import PyTorch, batches_of, mnist, planted, random_parts
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import MiniBatchDictionaryLearning
from topk import Ours

from skl_sae import TopKAutoencoderTransformer

NO_STOP = dict(tol=0, n_iter_no_change=10**6)


def fit(X, m, k, epochs, seed, **settings):
    return TopKAutoencoderTransformer(m, k, max_iter=epochs, random_state=seed, **NO_STOP | settings).fit(X)


def data_sets(options):
    """Return the data of the comparisons: rows, units, active units."""
    images = {} if options.mnist is None else {"MNIST": (mnist(options.mnist, slice(40000, 60000)), 1024, 32)}
    return images | {"planted": (planted(20000, 384, 1536, 20, 0.05, seed=1001)[0], 1536, 20)}


def same_start(report, options):
    rows = []
    for name, (X, m, k) in data_sets(options).items():
        ours, rng = Ours(X, m, k, 512, learning_rate=options.learning_rate), np.random.RandomState(3)
        W, V, b, c = ours.start
        peer = PyTorch((W, b, V, c), k, options.learning_rate, bag=False, falling=True)
        n_batches = ours.objective.n_batches
        normalized = ours.frame.normalized(X)
        data = torch.from_numpy(normalized)
        for _ in range(options.epochs):
            order = rng.permutation(len(X))
            ours.epoch(order)
            peer.epoch(data, batches_of(order, n_batches))
        found, (theirs, dead) = ours.objective.evaluate(ours.theta), peer.evaluate(normalized)
        row = {"name": name, "ours": found.fvu, "PyTorch": theirs, "ratio": found.fvu / theirs}
        rows.append(row | {"dead, ours": found.dead_fraction, "dead, PyTorch": dead})
    report.add(f"FVU from the same start, {options.epochs} epochs, step size {options.learning_rate}", rows)


def defaults(report, options):
    rows = []
    for name, (X, m, k) in data_sets(options).items():
        normalized, found = Ours(X[:], m, k, 512).frame.normalized(X), {}
        data = torch.from_numpy(normalized)
        for rate in 1e-3, 2e-3, 4e-3:
            peer, rng = PyTorch(random_parts(X.shape[1], m, 5), k, rate, bag=False), np.random.RandomState(3)
            for _ in range(options.epochs):
                peer.epoch(data, batches_of(rng.permutation(len(X)), -(-len(X) // 512)))
            found[rate] = peer.evaluate(normalized)
        fvu, row = fit(X, m, k, options.epochs, seed=7).history_["fvu"], {"name": name}
        best = min(theirs for theirs, _ in found.values())
        row |= {"ours": fvu[-1], "best PyTorch": best, "ratio": fvu[-1] / best}
        for rate, (theirs, dead_share) in found.items():
            as_good = np.flatnonzero(fvu <= theirs)
            row |= {f"PyTorch {rate:g}": theirs, f"ratio {rate:g}": fvu[-1] / theirs, f"dead {rate:g}": dead_share}
            row[f"as good after {rate:g}"] = float(as_good[0] + 1) if len(as_good) else np.nan
        rows.append(row)
    report.add(f"FVU with our defaults and PyTorch's from random atoms, {options.epochs} epochs", rows)


def dead(report, options):
    cancer = load_breast_cancer().data
    cases = {
        "digits, 256 units, k=8": (load_digits().data.astype(np.float32), 256, None, 300, {}),
        "breast cancer, 256 units, k=8": (((cancer - cancer.mean(0)) / cancer.std(0)).astype("f"), 256, None, 300, {}),
    }
    for path in sorted(Path(options.data or "missing").glob("embeddings/*.npz")):
        cases[f"{path.stem}, 256 units, k=8"] = (np.load(path)["X"].astype(np.float32), 256, None, 300, {})
    if options.mnist is not None:
        X = mnist(options.mnist, slice(40000, 60000))
        cases["MNIST, 256 units, k=8"] = (X, 256, None, 300, {})
        cases["MNIST, 1024 units, k=32, 10 epochs"] = (X, 1024, 32, 10, NO_STOP)
        cases["MNIST, 2048 units, k=16, 20 epochs"] = (X, 2048, 16, 20, NO_STOP)
    X, _ = planted(20000, 384, 1536, 20, 0.05, seed=1001)
    cases["planted, 256 units, k=8"] = (X, 256, None, 300, {})
    cases["planted, 1536 units, k=20, 10 epochs"] = (X, 1536, 20, 10, NO_STOP)
    rows = []
    for name, (X, m, k, epochs, settings) in cases.items():
        sae = TopKAutoencoderTransformer(m, k, max_iter=epochs, random_state=7, **settings).fit(X)
        row = {"name": name, "rows": len(X), "epochs": sae.n_iter_, "FVU": sae.history_["fvu"][-1]}
        rows.append(row | {"dead %": 100 * sae.dead_fraction_})
    report.add("units that are never active", rows)


def atoms(report, options):
    rows = []
    for seed in options.seeds:
        X, true = planted(20000, 384, 1536, 20, 0.05, seed=1000 + seed)
        start = time.perf_counter()
        sae = fit(X, 1536, 20, 60, seed=seed)
        best = np.abs(true @ sae.components_.T).max(axis=1)
        row = {"name": f"seed {seed}", "mean cosine": best.mean(), "above .9, %": 100 * np.mean(best > 0.9)}
        rows.append(row | {"FVU": sae.history_["fvu"][-1], "seconds": time.perf_counter() - start})
    report.add("planted: 1536 atoms in 384 dimensions, 20 active, noise .05, 60 epochs", rows)


def dictionary(report, options):
    if options.mnist is None:
        return
    X, m, k = mnist(options.mnist, slice(40000, 45000)), 256, 8
    rows = []
    for name, model in {
        "skl_sae": TopKAutoencoderTransformer(m, k, max_iter=60, random_state=7, **NO_STOP),
        "MiniBatchDictionaryLearning": MiniBatchDictionaryLearning(
            m, alpha=0.5, max_iter=options.epochs, batch_size=512, transform_algorithm="omp",
            transform_n_nonzero_coefs=k, random_state=7, tol=0, max_no_improvement=None,
        ),
    }.items():  # fmt: skip
        mean, start = X.mean(axis=0), time.perf_counter()
        model.fit(X - mean)
        fitted, H = time.perf_counter(), model.transform(X - mean)
        row = {"name": name, "fit s": fitted - start, "transform s": time.perf_counter() - fitted}
        error = X - mean - H @ model.components_ - getattr(model, "decoder_intercept_", 0)
        rows.append(row | {"FVU": np.square(error).sum() / np.square(X - mean).sum()})
    report.add(f"5000 images of MNIST, {m} atoms, {k} non-zeros", rows)


PARTS = {"same start": same_start, "defaults": defaults, "dead": dead, "planted": atoms, "dictionary": dictionary}


def main():
    options = parser(__doc__, rounds=None, threads=True, plot=False)
    options.add_argument("--data", help="folder with mnist.npz and embeddings")
    options.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--learning-rate", type=float, default=4e-3, help="of the fits from the same start")
    options.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="of the planted dictionaries")
    options = options.parse_args()
    path = Path(options.data or "missing") / "mnist.npz"
    options.mnist = path if path.exists() else None
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads or torch.get_num_threads())
    report = Report(options)
    for name in options.only:
        PARTS[name](report, options)
    report.close()


if __name__ == "__main__":
    main()
