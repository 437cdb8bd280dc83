"""What the benchmarks compare with: the same model in NumPy and SciPy and in PyTorch, and scikit-learn's MLPRegressor.

The listing is the usual script, corrected: one flat vector of parameters, the analytic gradient with respect to every
parameter (including b') in NumPy, and SciPy's L-BFGS-B; always in float64, with sigmoid code and output.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.neural_network import MLPRegressor


def unpack(theta, m, d):
    """Return W (m, d), the transpose of W' (m, d), b (m,) and b' (d,) from the flat vector."""
    W, V = theta[: 2 * m * d].reshape(2, m, d)
    return W, V, theta[2 * m * d : -d], theta[-d:]


def listing(theta, X, m, rho, beta, alpha):
    """Return L and its gradient."""
    n, d = X.shape
    W, V, b, c = unpack(theta, m, d)
    H = expit(X @ W.T + b)
    Y = expit(H @ V + c)
    mean = H.mean(axis=0)
    error = Y - X
    kl = rho * np.log(rho / mean) + (1 - rho) * np.log((1 - rho) / (1 - mean))
    loss = np.sum(error**2) / n + beta * kl.sum() + alpha * (np.sum(W**2) + np.sum(V**2))
    output = 2 / n * error * Y * (1 - Y)
    code = (output @ V.T + beta / n * ((1 - rho) / (1 - mean) - rho / mean)) * H * (1 - H)
    dW, dV = code.T @ X + 2 * alpha * W, H.T @ output + 2 * alpha * V
    return loss, np.concatenate([dW.ravel(), dV.ravel(), code.sum(axis=0), output.sum(axis=0)])


def start(X, m, rho, seed):
    """Return the initial parameters of skl_sae for this seed: Glorot's weights, biases that centre both layers."""
    d = X.shape[1]
    bound = np.sqrt(6 / (d + m))
    W, V = np.random.RandomState(seed).uniform(-bound, bound, size=(2, m, d))
    mean = X.mean(axis=0)
    b, c = logit(rho) - W @ mean, logit(np.clip(mean, 1e-3, 1 - 1e-3)) - rho * V.sum(axis=0)
    return np.concatenate([W.ravel(), V.ravel(), b, c])


def fit_listing(X, m, *, rho, beta, alpha, iterations, until=-np.inf, seed=0):
    """Return SciPy's result after this many iterations of L-BFGS, or as soon as L is at most ``until``."""

    def callback(intermediate_result):
        if intermediate_result.fun <= until:
            raise StopIteration

    settings = {"maxiter": iterations, "maxfun": 10**9, "ftol": 0, "gtol": 0}
    arguments = X, m, rho, beta, alpha
    theta = start(X, m, rho, seed)
    return minimize(listing, theta, arguments, "L-BFGS-B", jac=True, callback=callback, options=settings)


class ListingEstimator(BaseEstimator):
    """The listing as an estimator for GridSearchCV."""

    def __init__(self, n_components=100, *, rho=0.1, beta=3.0, alpha=1e-3, max_iter=100, random_state=0):
        self.n_components = n_components
        self.rho = rho
        self.beta = beta
        self.alpha = alpha
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y=None):
        penalties = dict(rho=self.rho, beta=self.beta, alpha=self.alpha)
        found = fit_listing(X, self.n_components, **penalties, iterations=self.max_iter, seed=self.random_state)
        self.parameters_ = unpack(found.x, self.n_components, X.shape[1])
        self.loss_ = found.fun
        return self

    def score(self, X, y=None):
        """Return minus the squared reconstruction error, summed over features and averaged over rows."""
        W, V, b, c = self.parameters_
        return -np.mean(np.sum((expit(expit(X @ W.T + b) @ V + c) - X) ** 2, axis=1))


def pytorch_fit(X, m, *, rho, beta, alpha, output, batch_size, epochs, fused):
    """Fit with Adam from PyTorch's own initial weights; return L over all rows, evaluated once at the end."""
    import torch

    data = torch.from_numpy(X)
    d = X.shape[1]
    final = torch.sigmoid if output == "sigmoid" else torch.nn.Identity()
    torch.manual_seed(0)
    encoder, decoder = torch.nn.Linear(d, m), torch.nn.Linear(m, d)

    def loss(rows):
        code = torch.sigmoid(encoder(rows))
        mean = code.mean(0)
        kl = rho * torch.log(rho / mean) + (1 - rho) * torch.log((1 - rho) / (1 - mean))
        decay = encoder.weight.square().sum() + decoder.weight.square().sum()
        error = (final(decoder(code)) - rows).square().sum(1).mean()
        return error + beta * kl.sum() + alpha * decay

    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=fused)
    for _ in range(epochs):
        for batch in torch.randperm(len(data)).split(batch_size):
            adam.zero_grad()
            loss(data[batch]).backward()
            adam.step()
    with torch.no_grad():
        return float(loss(data))


def mlp_fit(X, m, *, alpha, batch_size, epochs):
    """Fit MLPRegressor X -> X: logistic code, linear output, no sparsity term, and a loss on another scale."""
    MLPRegressor(
        hidden_layer_sizes=(m,), activation="logistic", batch_size=batch_size, max_iter=epochs, tol=0,
        n_iter_no_change=epochs + 1, alpha=alpha, random_state=0,
    ).fit(X, X)  # fmt: skip
