"""Planted dictionaries, word vectors and digits for `inspection.py`."""

import os
from pathlib import Path

import numpy as np

PLANTED = {"n": 12000, "m": 200, "d": 128, "active": 6}


def planted(seed, noise=0.05):
    """Return rows that are sums of ``active`` of m atoms, the atoms, and how much of each is in a row."""
    rng, (n, m, d, active) = np.random.default_rng(seed), PLANTED.values()
    atoms = directions(rng.standard_normal((m, d)))
    amounts = rng.uniform(0.5, 1.5, size=(n, m)) * (rng.random((n, m)).argsort(axis=1) < active)
    rows = amounts @ atoms + noise * rng.standard_normal((n, d))
    return rows.astype(np.float32), atoms, amounts


def noise(seed):
    """Return Gaussian noise in the shape of the planted rows."""
    return np.random.default_rng(seed).standard_normal((PLANTED["n"], PLANTED["d"])).astype(np.float32)


def directions(atoms):
    """Return the atoms, scaled to length 1."""
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def load(folder, name):
    """Return a file of arrays in a folder, or None if it is not there."""
    folder = folder or os.environ.get("SKL_SAE_DATA")
    path = Path(folder) / name if folder else None
    return np.load(path) if path is not None and path.exists() else None


def mean_cosine(X, groups):
    """Return the mean cosine between different rows of X within each group, an array of indices; -1 for none.

    NaN for a group of fewer than two rows.
    """
    means = np.full(len(groups), np.nan)
    for j, rows in enumerate(groups):
        members = X[rows[rows >= 0]]
        if len(members) > 1:
            n = len(members)
            means[j] = (np.square(members.sum(axis=0)).sum() - np.square(members).sum()) / (n * (n - 1))
    return means


def fitting(X, top, middle):
    """Return which middle rows fit their top rows: a mean cosine above that of 99 % of random rows; and the cosines."""
    rng = np.random.default_rng(0)
    both = np.array([np.einsum("ij,kj->", X[a[a >= 0]], X[b[b >= 0]]) / max(1, (a >= 0).sum() * (b >= 0).sum())
                     for a, b in zip(top, middle, strict=True)])  # fmt: skip
    chance = [
        np.mean(X[a[a >= 0]] @ X[rng.choice(len(X), middle.shape[1], replace=False)].T)
        for a in top
        for _ in range(10)
        if (a >= 0).any()
    ]
    return both > np.quantile(chance, 0.99), both
