"""What the benchmarks of top-k autoencoders share: data, and peers in PyTorch.

HypotheSAEs' autoencoder is a file of its own, which needs nothing but PyTorch and tqdm:

    pip install --no-deps hypothesaes tqdm
    pip install sae-lens
"""

import contextlib
import importlib.util
import io
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import embedding_bag, linear

from skl_sae._kernels.topk_units import STEPS_TO_HALVE


def planted(n, d, m, k, noise, seed):
    """Return rows (n, d), each a mixture of about k of m atoms, and the atoms (m, d), of norm 1."""
    rng = np.random.default_rng(seed)
    atoms = rng.normal(size=(m, d)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    X = noise * rng.standard_normal((n, d), np.float32)
    for _ in range(k):
        X += rng.uniform(0.5, 1.5, size=(n, 1)).astype(np.float32) * atoms[rng.integers(m, size=n)]
    return X, atoms


def mnist(path, rows):
    """Return images of MNIST (n, 784), pixels from 0 to 1."""
    return np.load(path)["X_train"][rows].reshape(-1, 784).astype(np.float32) / 255


def batches_of(order, n_batches):
    """Return the rows of each batch, as skl_sae cuts them."""
    n = len(order)
    return [order[i * n // n_batches : (i + 1) * n // n_batches] for i in range(n_batches)]


class PyTorch:
    """A top-k autoencoder with fused Adam, atoms of norm 1 and gradients on the sphere, from given W, b, V, c.

    ``bag`` decodes with embedding_bag, which reads active atoms only, instead of a product with the dense code. With
    ``falling`` the step size falls as in skl_sae.
    """

    def __init__(self, parts, k, learning_rate, bag, falling=False):
        self.parts = self.W, self.b, self.V, self.c = [torch.tensor(part, requires_grad=True) for part in parts]
        self.k, self.bag, self.learning_rate, self.falling, self.n_steps = k, bag, learning_rate, falling, 0
        self.adam = torch.optim.Adam(self.parts, lr=learning_rate, fused=True)

    def encode(self, X):
        values, units = torch.topk(linear(X, self.W, self.b), self.k, dim=-1)
        return torch.relu(values), units

    def decode(self, values, units):
        if self.bag:
            return embedding_bag(units, self.V, per_sample_weights=values, mode="sum") + self.c
        H = torch.zeros(len(values), len(self.V)).scatter(-1, units, values)
        return torch.addmm(self.c, H, self.V)

    def step(self, X):
        self.n_steps += 1
        if self.falling:
            self.adam.param_groups[0]["lr"] = self.learning_rate / (1 + self.n_steps / STEPS_TO_HALVE) ** 0.5
        self.adam.zero_grad()
        (self.decode(*self.encode(X)) - X).square().sum(1).mean().backward()
        with torch.no_grad():
            self.V.grad -= (self.V.grad * self.V).sum(1, keepdim=True) * self.V
            self.adam.step()
            self.V /= self.V.norm(dim=1, keepdim=True)

    def epoch(self, X, batches):
        for batch in batches:
            self.step(X[torch.from_numpy(batch)])

    def evaluate(self, X):
        """Return the share of the variance that is not explained, and the share of units that are never active."""
        X, error, fired = torch.from_numpy(X), 0.0, torch.zeros(len(self.W), dtype=bool)
        with torch.no_grad():
            for rows in X.split(2048):
                values, units = self.encode(rows)
                error += float((self.decode(values, units) - rows).square().sum())
                fired[units[values > 0]] = True
            return error / float((X - X.mean(0)).square().sum()), 1 - float(fired.float().mean())


def random_parts(d, m, seed):
    """Return W, b, V, c: random atoms V, an encoder with the same directions, and biases of zero."""
    V = np.random.default_rng(seed).normal(size=(m, d)).astype(np.float32)
    V /= np.linalg.norm(V, axis=1, keepdims=True)
    return V.copy(), np.zeros(m, np.float32), V, np.zeros(d, np.float32)


def use_best_threads(most, work):
    """Set PyTorch's number of threads to that, up to ``most``, with which ``work`` is fastest; return it."""
    seconds = {}
    for number in range(1, most + 1):
        torch.set_num_threads(number)
        work()
        start = time.perf_counter()
        work()
        seconds[number] = time.perf_counter() - start
    best = min(seconds, key=seconds.get)
    torch.set_num_threads(best)
    return best


def hypothesaes():
    """Return HypotheSAEs' class, without the rest of the package, which talks to language models; None if missing."""
    found = importlib.util.find_spec("hypothesaes")
    if found is None:
        return None
    spec = importlib.util.spec_from_file_location("hypothesaes_sae", Path(found.origin).parent / "sae.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SparseAutoencoder


def saelens(X, m, k, n_epochs, batch_size=512):
    """Train SAELens' top-k autoencoder on a tensor X (n, d), with its defaults except the batch size; return it.

    Its trainer takes any iterator over batches, here whole epochs of shuffled rows.
    """
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=X.shape[1], d_sae=m, k=k))
    settings = SAETrainerConfig(
        total_training_samples=n_epochs * len(X),
        train_batch_size_samples=batch_size,
        lr_end=SAETrainerConfig.lr,  # it insists on a number, which its constant schedule does not use
    )
    batches = (X[rows] for _ in range(n_epochs) for rows in torch.randperm(len(X)).split(batch_size))
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
        return SAETrainer(settings, sae, batches).fit()
