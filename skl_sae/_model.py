"""The model: the layout of its parameters, where training starts, and what fitted parameters compute."""

from typing import NamedTuple

import numpy as np

from ._kernels.activations import ACTIVATIONS
from ._kernels.jit import as_readonly
from ._kernels.penalties import PENALTIES
from ._kernels.structs import Architecture, Parameters, Regularization
from ._rows import decode


def architecture(settings, n_features, n_components):
    """Return the `Architecture` that the parameters of an estimator describe."""
    return Architecture(
        n_features=int(n_features),
        n_components=int(n_components),
        tied=bool(settings.tied_weights),
        activation=ACTIVATIONS[settings.activation].kind,
        output=ACTIVATIONS[settings.output_activation].kind,
    )


def regularization(settings):
    """Return the `Regularization` that the parameters of an estimator describe."""
    return Regularization(
        penalty=PENALTIES[settings.penalty].kind(ACTIVATIONS[settings.activation]),
        rho=float(settings.rho),
        beta=float(settings.beta),
        alpha=float(settings.alpha),
    )


# -- parameters as one flat vector ---------------------------------------------------------------------


def count_weights(arch):
    """Return the length of the beginning of the flat vector, which holds W and, if untied, V."""
    return arch.n_components * arch.n_features * (1 if arch.tied else 2)


def count_parameters(arch):
    """Return the length of the flat vector."""
    return count_weights(arch) + arch.n_components + arch.n_features


def unpack(theta, arch):
    """Return the parts of a flat vector, as views."""
    size = arch.n_components * arch.n_features
    shape = (arch.n_components, arch.n_features)
    end = count_weights(arch)
    W = theta[:size].reshape(shape)
    V = theta[end - size : end].reshape(shape)
    return Parameters(theta, W, V, theta[end : end + arch.n_components], theta[end + arch.n_components :])


def initial_parameters(arch, mean, dtype, activation, output, rho, rng):
    """Return the parameters to start from, one flat vector; ``mean`` (d,) is the mean row of the data.

    Weights are uniform in ±sqrt(6 / (d + m)) [1]_. The biases centre both layers on the data, in the spirit of [2]_:
    the mean row gives every unit the activation ``rho``, and the code with every unit at ``rho`` gives the mean row. So
    training starts with the sparsity term near its minimum and the error near the variance of the data, and no ReLU
    unit starts dead on data that are all positive.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
       2010, equation 16.
    .. [2] T. Salimans and D. P. Kingma, "Weight normalization", NeurIPS 2016, section 3.
    """
    n_weights = count_weights(arch)
    bound = np.sqrt(6 / (arch.n_features + arch.n_components))
    theta = np.zeros(count_parameters(arch), dtype=dtype)
    theta[:n_weights] = rng.uniform(-bound, bound, size=n_weights)
    _, W, V, b, c = unpack(theta, arch)
    with np.errstate(over="ignore", invalid="ignore"):  # the first evaluation reports what is not finite
        b[:] = activation.inverse(rho) - W @ mean
        c[:] = output.inverse(np.clip(mean, output.low, output.high)) - rho * V.sum(axis=0)
    return theta


def span_basis(rows):
    """Return an orthonormal basis (d, rank) of the space that few dense rows span, in their dtype."""
    X = rows.toarray().astype(np.float64)
    values, vectors = np.linalg.eigh(X @ X.T)
    kept = values > len(X) * np.finfo(rows.dtype).eps * max(values[-1], np.finfo(np.float64).tiny)
    if not kept.any():  # all rows are zero
        return np.eye(rows.shape[1], 1, dtype=rows.dtype)
    return (X.T @ (vectors[:, kept] / np.sqrt(values[kept]))).astype(rows.dtype)


# -- fitted parameters ---------------------------------------------------------------------------------


class NotFiniteError(ValueError):
    """Results hold infinity or NaN, which would pass unnoticed; if the rows are finite, the results overflowed."""

    def __init__(self, what, dtype):
        super().__init__(f"X is so large that {what} overflow {dtype}. Scale X like the rows that trained the model.")


def check_overflow(values, what):
    """Return ``values`` if they are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(values.sum()) and not np.isfinite(values).all():
            raise NotFiniteError(what, values.dtype)
    return values


class Network(NamedTuple):
    """Fitted parameters in the dtype of the rows that they are used on, read-only."""

    W: np.ndarray
    b: np.ndarray
    V: np.ndarray
    c: np.ndarray
    activation: int
    output: int

    def astype(self, dtype):
        """Return the network for rows of another dtype."""
        return self._replace(**{name: as_readonly(getattr(self, name).astype(dtype, copy=False)) for name in "WbVc"})

    def encode(self, rows):
        """Return the codes (n, m) of rows."""
        H = np.empty((len(rows), len(self.W)), rows.dtype)
        if not rows.encode(self.W, self.b, self.activation, H):
            raise NotFiniteError("the codes", H.dtype)
        return H

    def decode(self, H):
        """Return the reconstructions (n, d) of an array of codes."""
        X = np.empty((len(H), len(self.c)), H.dtype)
        if not decode(H, self.V, self.c, self.output, X):
            raise NotFiniteError("the reconstructions", X.dtype)
        return X

    def squared_errors(self, rows, per_feature=False):
        """Return the squared errors of rows, (n,) or ``per_feature`` (n, d), in the dtype of the rows."""
        if not per_feature:
            return check_overflow(rows.square_errors(self), "the squared errors")
        errors_of = rows.errors_of(self.V, self.c, self.output)
        errors = np.empty(rows.shape, rows.dtype)
        for block in rows.blocks():
            part = rows[block]
            H = np.empty((len(part), len(self.W)), rows.dtype)
            part.encode(self.W, self.b, self.activation, H)
            with np.errstate(over="ignore", invalid="ignore"):
                errors[block] = np.square(errors_of.differences(part, H))
        return check_overflow(errors, "the squared errors")
