"""A sparse autoencoder in plain NumPy, written to be read: the oracle that every kernel is compared with.

A new activation needs a row in `FORWARD`, `DERIVATIVE` and `ROUNDINGS`, and in `DIVERGENCE` if hidden units may have
it; a new penalty needs a row in `PENALTY`.
"""

from collections import namedtuple

import numpy as np
from scipy.special import expit

FORWARD = {
    "identity": lambda z: z,
    "sigmoid": expit,
    "relu": lambda z: np.maximum(z, 0),
}
DERIVATIVE = {
    "identity": lambda y: np.ones_like(y),
    "sigmoid": lambda y: y * (1 - y),
    "relu": lambda y: (y > 0).astype(y.dtype),
}
# How far a value of the kernels may be off, relative to it and in units of eps / 2; most of it is the exponential.
ROUNDINGS = {"identity": 0, "sigmoid": 8, "relu": 0}

Terms = namedtuple("Terms", "loss reconstruction sparsity weight_decay")


def bernoulli(rho, p):
    return rho * np.log(rho / p) + (1 - rho) * np.log((1 - rho) / (1 - p))


def bernoulli_slope(rho, p):
    return -rho / p + (1 - rho) / (1 - p)


def poisson(rho, p):
    return rho * np.log(rho / p) - rho + p


def poisson_slope(rho, p):
    return 1 - rho / p


# The penalty on a mean activation and its derivative, as functions of rho and the mean.
DIVERGENCE = {"sigmoid": (bernoulli, bernoulli_slope), "relu": (poisson, poisson_slope)}
PENALTY = {
    "kl": lambda activation: DIVERGENCE[activation],
    "l1": lambda activation: (lambda rho, p: p, lambda rho, p: np.ones_like(p)),
}


def scales(name):
    """Whether f(s z) = s f(z) for every positive s."""
    z = np.linspace(-3, 3, 50)
    return np.allclose(FORWARD[name](5 * z), 5 * FORWARD[name](z))


def degree(penalty, activation):
    """The power of s by which a penalty grows when mean activation and rho grow s-fold."""
    value, _ = PENALTY[penalty](activation)
    ratio = value(np.array(0.2), np.array(0.6)) / value(np.array(0.1), np.array(0.3))
    return round(np.log2(ratio))


class Model:
    """Parameters W (m, d), b (m,), Wd (d, m), c (d,) and the formulas of the objective."""

    def __init__(self, W, b, Wd, c, *, activation, output, rho, beta, alpha, penalty="kl", tied=False):
        self.W, self.b, self.Wd, self.c = W, b, Wd, c
        self.activation, self.output, self.tied = activation, output, tied
        self.rho, self.beta, self.alpha, self.penalty = rho, beta, alpha, penalty

    @classmethod
    def of(cls, estimator):
        """The fitted weights of an estimator, in float64."""
        weights = (
            estimator.encoder_coef_,
            estimator.encoder_intercept_,
            estimator.decoder_coef_,
            estimator.decoder_intercept_,
        )
        return cls(
            *(w.astype(np.float64) for w in weights),
            activation=estimator.activation,
            output=estimator.output_activation,
            rho=estimator.rho,
            beta=estimator.beta,
            alpha=estimator.alpha,
            penalty=estimator.penalty,
            tied=estimator.tied_weights,
        )

    def encode(self, X):
        return FORWARD[self.activation](X @ self.W.T + self.b)

    def decode(self, H):
        return FORWARD[self.output](H @ self.Wd.T + self.c)

    def squared_error(self, X):
        return (X - self.decode(self.encode(X))) ** 2

    def terms(self, X, weights=None):
        weights = np.full(len(X), 1 / len(X)) if weights is None else weights / weights.sum()
        mean = weights @ self.encode(X)
        reconstruction = weights @ self.squared_error(X).sum(axis=1)
        sparsity = self.beta * PENALTY[self.penalty](self.activation)[0](self.rho, mean).sum()
        weight_decay = self.alpha * (np.sum(self.W**2) + np.sum(self.Wd**2))
        return Terms(reconstruction + sparsity + weight_decay, reconstruction, sparsity, weight_decay)

    def gradient(self, X, weights=None, inputs=None):
        """dW, db, dWd, dc; tied: dW holds both. ``inputs`` differ from X where the input is corrupted."""
        weights = np.full(len(X), 1 / len(X)) if weights is None else weights / weights.sum()
        inputs = X if inputs is None else inputs
        H = self.encode(inputs)
        Y = self.decode(H)
        error = 2 * weights[:, None] * (Y - X) * DERIVATIVE[self.output](Y)
        slope = self.beta * PENALTY[self.penalty](self.activation)[1](self.rho, weights @ H)
        delta = (error @ self.Wd + weights[:, None] * slope) * DERIVATIVE[self.activation](H)
        dW = delta.T @ inputs + 2 * self.alpha * self.W
        dWd = error.T @ H + 2 * self.alpha * self.Wd
        if self.tied:
            dW = dW + dWd.T
        return dW, delta.sum(axis=0), dWd, error.sum(axis=0)

    # -- one flat vector, in the order of the package ----------------------------------------------

    def flatten(self, W, b, Wd, c):
        weights = [W.ravel()] if self.tied else [W.ravel(), Wd.T.ravel()]
        return np.concatenate([*weights, b, c])

    @property
    def theta(self):
        return self.flatten(self.W, self.b, self.Wd, self.c)

    @theta.setter
    def theta(self, theta):
        m, d = self.W.shape
        n_weights = (1 if self.tied else 2) * m * d
        self.W = theta[: m * d].reshape(m, d)
        self.Wd = theta[n_weights - m * d : n_weights].reshape(m, d).T
        self.b, self.c = theta[n_weights : n_weights + m], theta[n_weights + m :]

    def loss_and_gradient(self, theta, X):
        self.theta = theta
        return self.terms(X).loss, self.flatten(*self.gradient(X))


def adam_step(theta, gradient, first, second, t, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Algorithm 1 of Kingma and Ba (2015)."""
    first = beta_1 * first + (1 - beta_1) * gradient
    second = beta_2 * second + (1 - beta_2) * gradient**2
    step = learning_rate * (first / (1 - beta_1**t)) / (np.sqrt(second / (1 - beta_2**t)) + epsilon)
    return theta - step, first, second
