"""How fast are top-k autoencoders, compared with PyTorch, HypotheSAEs, SAELens and the encoder's product alone?

    pip install ".[bench]"
    pip install --no-deps hypothesaes tqdm    # for its row
    pip install sae-lens                      # for its row
    python benchmarks/topk.py --threads 1
    python benchmarks/topk.py --threads 2
    OPENBLAS_CORETYPE=Haswell python benchmarks/topk.py --threads 1    # AVX2 kernels

Epochs of 20000 rows, float32, for six shapes. PyTorch trains the same model with the same loss and batches, with fused
Adam and atoms of norm 1, from the same start, in two ways: "dense" multiplies the dense code with the decoder, "bag"
reads the active atoms only (embedding_bag); each with its best number of threads, at most ``--threads``. The floor is
the product X W' by itself, in batches, written to memory that is already allocated. "transform" gives CSR codes of all
rows. In a round the contenders take turns, each after a run to warm up, PyTorch in a process of its own, which is
stopped otherwise; figures are medians over the rounds, and ratios are taken within a round.

Then whole fits, with everything included, in the setting of HypotheSAEs' authors (20000 texts, 1536 features, 256
units, k = 8): its `fit` and SAELens' trainer, each with its defaults, and ours for ``--epochs`` epochs of batches of
512, and ours for 60. The trainer of sparsify (`eai-sparsify`) is missing: it needs a language model and its tokens.
"""

import contextlib
import functools
import importlib.util
import statistics
import time
import warnings

import numpy as np
import torch
from _harness import REST, Elsewhere, Report, parser
from _topk import PyTorch, batches_of, hypothesaes, planted, saelens, use_best_threads
from threadpoolctl import threadpool_limits

from skl_sae import TopKAutoencoderTransformer
from skl_sae._crew import Crew
from skl_sae._kernels.jit import aligned_copy
from skl_sae._kernels.structs import AdamState
from skl_sae._model import unpack
from skl_sae._objectives.topk import TopKObjective
from skl_sae._rows import as_rows
from skl_sae._topk_model import Code, Frame, architecture, encode, initial_parameters

# Features, units, active units, rows of a batch.
SHAPES = [
    (384, 1536, 32, 512), (384, 3072, 64, 512), (768, 3072, 32, 1024), (1536, 256, 8, 512), (1536, 1024, 16, 512),
    (784, 1024, 32, 512),
]  # fmt: skip


class Ours:
    """An epoch, and codes, without the rest of a fit."""

    def __init__(self, X, m, k, batch_size, learning_rate=4e-3, by_batch=False):
        self.X, self.rows, rng = X, as_rows(X), np.random.RandomState(0)
        weights, arch, code = np.ones(len(X)), architecture(X.shape[1], m), Code(k, by_batch)
        mean, variance = self.rows.moments(weights)
        self.frame = Frame.of(mean, variance)
        theta = initial_parameters(arch, self.rows, weights, self.frame, code, "whitened", rng)
        self.start = [part.copy() for part in unpack(theta, arch)[1:]]  # W, V, b, c for normalized rows
        self.theta, (first, second) = aligned_copy(theta), (aligned_copy(np.zeros_like(theta)) for _ in range(2))
        self.state = AdamState(first, second, 0, learning_rate, 0.9, 0.999, 1e-8)
        problem = self.rows, weights, arch, code, self.frame, variance.sum()
        self.network = None
        self.objective = TopKObjective(*problem, batch_size=batch_size, revives=False, rng=rng, crew=Crew())

    def epoch(self, order):
        self.objective.adam_epoch(self.theta, self.state, order)
        self.state = self.state._replace(n_steps=self.state.n_steps + self.objective.n_batches)

    def transform(self):
        if self.network is None:
            self.network = self.objective.network(self.theta)
        return encode(self.network, self.rows)


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@functools.cache
def peer(shape, n, bag, threads):
    """Return the model of PyTorch with its best number of threads, and the rows as it sees them."""
    (d, m, k, batch_size), n_some = shape, 4
    X, _ = planted(n, d, 2 * d, k, 0.1, seed=0)
    ours = Ours(X, m, k, batch_size)
    W, V, b, c = ours.start
    rows, model = torch.from_numpy(ours.frame.normalized(X)), PyTorch((W, b, V, c), k, 2e-3, bag)
    some = batches_of(np.arange(n), ours.objective.n_batches)[:n_some]
    return model, rows, use_best_threads(threads, lambda: model.epoch(rows, some)), some


def pytorch_epoch(shape, n, bag, threads, seed):
    """Return seconds of an epoch, and the number of threads."""
    model, rows, best, some = peer(shape, n, bag, threads)
    torch.set_num_threads(best)
    batches = batches_of(np.random.RandomState(seed).permutation(n), -(-n // shape[3]))
    model.epoch(rows, some)
    return seconds(lambda: model.epoch(rows, batches)), best


def epochs(options, elsewhere, shape):
    """Time epochs of all contenders for one shape."""
    (d, m, k, batch_size), n = shape, options.rows
    X, _ = planted(n, d, 2 * d, k, 0.1, seed=0)
    ours = Ours(X, m, k, batch_size)
    W, n_batches = ours.start[0], ours.objective.n_batches
    Z = np.empty((-(-n // n_batches), m), np.float32)

    def floor():
        for batch in batches_of(np.arange(n), n_batches):
            np.matmul(X[batch[0] : batch[-1] + 1], W.T, out=Z[: len(batch)])

    contenders = {
        "ours": lambda seed: ours.epoch(np.random.RandomState(seed).permutation(n)),
        "transform": lambda seed: ours.transform(),
        "floor": lambda seed: floor(),
    }

    def one_round(seed):
        found = {}
        for name, work in contenders.items():
            work(seed)
            found[name] = seconds(lambda work=work: work(seed))
            time.sleep(REST if options.threads > 1 else 0)
        for name in ("dense", "bag"):
            found[name], threads[name] = elsewhere(shape, n, name == "bag", options.threads, seed)
        return found

    threads = {}
    one_round(0)
    rounds = [one_round(seed) for seed in range(1, options.rounds + 1)]
    row = {"name": f"{d} -> {m}, k={k}, batches of {batch_size}"}
    row |= {f"{name} s": statistics.median(found[name] for found in rounds) for name in ("floor", "ours")}
    for one, other in ("dense", "ours"), ("bag", "ours"), ("ours", "floor"), ("transform", "floor"):
        row[f"{one}/{other}"] = statistics.median(found[one] / found[other] for found in rounds)
    return row | {f"{name} threads": number for name, number in threads.items()}


@functools.cache
def peers_of_fits(n, threads):
    """Return functions that train the installed peers on the same rows, and their best numbers of threads, by name."""
    data, contenders = torch.from_numpy(planted(n, 1536, 3072, 8, 0.1, seed=0)[0]), {}
    if (theirs := hypothesaes()) is not None:
        contenders["HypotheSAEs"] = lambda rows, epochs: theirs(1536, 256, 8).fit(
            rows, n_epochs=epochs, show_progress=False
        )
    if importlib.util.find_spec("sae_lens") is not None:
        contenders["SAELens"] = lambda rows, epochs: saelens(rows, 256, 8, epochs)
    best = {
        name: use_best_threads(threads, lambda train=train: train(data[:2048], 1)) for name, train in contenders.items()
    }
    return {name: functools.partial(train, data) for name, train in contenders.items()}, best


def fits_of_peers(n, threads, n_epochs):
    """Return the seconds of a fit of each peer."""
    contenders, best = peers_of_fits(n, threads)
    found = {}
    for name, train in contenders.items():
        torch.set_num_threads(best[name])
        found[name] = seconds(lambda train=train: train(n_epochs))
    return found


def fits(report, options):
    """Time whole fits."""
    X, _ = planted(options.rows, 1536, 3072, 8, 0.1, seed=0)
    settings = dict(n_components=256, k=8, tol=0, n_iter_no_change=10**6, random_state=0)
    few, many = (TopKAutoencoderTransformer(max_iter=epochs, **settings) for epochs in (options.epochs, 60))
    few.fit(X[:2000])
    rounds = []
    with contextlib.closing(Elsewhere(fits_of_peers)) as elsewhere, threadpool_limits(options.threads):
        for _ in range(options.rounds):
            found = {"skl_sae": seconds(lambda: few.fit(X)), "skl_sae, 60 epochs": seconds(lambda: many.fit(X))}
            rounds.append(found | elsewhere(len(X), options.threads, options.epochs))
    missing = {"HypotheSAEs", "SAELens"} - rounds[0].keys()
    if missing:
        print(f"\nnot installed: {', '.join(sorted(missing))}")
    rows = [
        {"name": name, "seconds": statistics.median(found[name] for found in rounds)}
        | {"ratio": statistics.median(found[name] / found["skl_sae"] for found in rounds)}
        for name in rounds[0]
    ]
    report.add(f"fits of {options.epochs} epochs, {len(X)} x 1536 -> 256, k=8", rows)


def main():
    options = parser(__doc__, rounds=5, threads=True, plot=False)
    options.add_argument("--rows", type=int, default=20000)
    options.add_argument("--epochs", type=int, default=20, help="epochs of the fits compared with other packages")
    options.add_argument("--shapes", type=int, nargs="*", default=range(len(SHAPES)), help="only these, 0 to 5")
    options.add_argument("--only", choices=["epochs", "fits"])
    options = options.parse_args()
    warnings.simplefilter("ignore")
    options.threads = options.threads or torch.get_num_threads()
    report = Report(options)
    if options.only != "fits":
        elsewhere = Elsewhere(pytorch_epoch)
        with contextlib.closing(elsewhere), threadpool_limits(options.threads):
            rows = [epochs(options, elsewhere, SHAPES[i]) for i in options.shapes]
        report.add(f"epochs of {options.rows} rows, at most {options.threads} threads", rows)
    if options.only != "epochs":
        fits(report, options)
    report.close()


if __name__ == "__main__":
    main()
