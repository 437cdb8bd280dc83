"""A top-k autoencoder in plain NumPy, written to be read: the oracle of its kernels."""

import numpy as np


def largest(z, k):
    """The places of the k largest positive numbers of a row, in order; of equal ones the first."""
    order = np.lexsort((np.arange(z.size), -z))[:k]
    return np.sort(order[z[order] > 0])


def largest_of_batch(Z, n_wanted):
    """A mask of the largest numbers of all rows together, of equal ones the first."""
    mask = np.zeros(Z.shape, bool)
    mask.ravel()[largest(Z.ravel(), n_wanted)] = True
    return mask


class Model:
    """Parameters W, V (m, d), b (m,), c (d,), and how many units are active."""

    def __init__(self, W, V, b, c, k, by_batch=False):
        self.W, self.V, self.b, self.c, self.k, self.by_batch = W, V, b, c, k, by_batch

    @classmethod
    def random(cls, rng, d=7, m=12, k=3, by_batch=False, dtype=np.float64):
        V = rng.normal(size=(m, d))
        V /= np.linalg.norm(V, axis=1, keepdims=True)
        parts = rng.normal(size=(m, d)), V, rng.normal(size=m) / 5, rng.normal(size=d) / 5
        return cls(*(part.astype(dtype) for part in parts), k, by_batch)

    @classmethod
    def of(cls, estimator):
        """The fitted parameters of an estimator, in float64."""
        W, b, V, c = (
            part.astype(np.float64)
            for part in (
                estimator.encoder_coef_,
                estimator.encoder_intercept_,
                estimator.components_,
                estimator.decoder_intercept_,
            )
        )
        return cls(W, V, b, c, estimator.k)

    @property
    def theta(self):
        return np.concatenate([part.ravel() for part in (self.W, self.V, self.b, self.c)])

    def at(self, theta):
        m, d = self.W.shape
        W, V, b, c = np.split(theta, np.cumsum([m * d, m * d, m]))
        return Model(W.reshape(m, d), V.reshape(m, d), b, c, self.k, self.by_batch)

    def mask(self, X):
        """Which units are active."""
        Z = X @ self.W.T + self.b
        if self.by_batch:
            return largest_of_batch(Z, self.k * len(X))
        mask = np.zeros(Z.shape, bool)
        for row, z in zip(mask, Z, strict=True):
            row[largest(z, self.k)] = True
        return mask

    def encode(self, X):
        return np.where(self.mask(X), X @ self.W.T + self.b, 0)

    def decode(self, H):
        return H @ self.V + self.c

    def loss(self, X, weights):
        """Of one batch, for weights of the rows that sum to one."""
        return weights @ ((self.decode(self.encode(X)) - X) ** 2).sum(axis=1)

    def gradient(self, X, weights):
        """One flat vector; of the atoms, the part that is tangential to the sphere."""
        H = self.encode(X)
        delta = 2 * weights[:, None] * (self.decode(H) - X)
        slope = np.where(H > 0, delta @ self.V.T, 0)
        dV = H.T @ delta
        dV -= np.sum(dV * self.V, axis=1, keepdims=True) * self.V
        return np.concatenate([(slope.T @ X).ravel(), dV.ravel(), slope.sum(axis=0), delta.sum(axis=0)])
