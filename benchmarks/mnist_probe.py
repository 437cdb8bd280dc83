"""How good are features of MNIST for a linear classifier, compared with those of scikit-learn's other methods?

    python benchmarks/mnist_probe.py --data mnist.npz --plot training.png     # about fifteen minutes

784 -> 256 for every method, all 60000 training images in [0, 1] without labels. The autoencoder has a sigmoid code, rho
= 0.1, beta = 3, Adam with batches of 100, and defaults otherwise, trained once until its own stopping rule and once for
30 epochs; two more have a sigmoid output or a ReLU code. The probe is a logistic regression on standardised features of
the first 20000 training images, with C chosen by 3-fold cross-validation; the accuracy is measured on the 10000 test
images. Without --data, MNIST comes from openml.org.
"""

import time
import warnings

import numpy as np
from _harness import Report, parser
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from ufldl import load_mnist

from skl_sae import SparseAutoencoderTransformer
from skl_sae.metrics import population_sparsity

UNITS, LABELLED = 256, 20000


class RandomSigmoid(TransformerMixin, BaseEstimator):
    """Random weights, and biases that give the mean row the activation 0.1: the autoencoder before training."""

    def fit(self, X, y=None):
        rng, (_, d) = np.random.default_rng(0), X.shape
        self.W_ = rng.uniform(-1, 1, size=(d, UNITS)) * np.sqrt(6 / (d + UNITS))
        self.b_ = np.log(0.1 / 0.9) - X.mean(axis=0) @ self.W_
        return self

    def transform(self, X):
        return expit(X @ self.W_ + self.b_)


def contenders(seed):
    adam = dict(rho=0.1, beta=3.0, solver="adam", batch_size=100, random_state=seed)
    return {
        "sparse autoencoder": SparseAutoencoderTransformer(UNITS, **adam),
        "the same, 30 epochs": SparseAutoencoderTransformer(UNITS, max_iter=30, tol=0, **adam),
        "sigmoid output, 30 epochs": SparseAutoencoderTransformer(
            UNITS, output_activation="sigmoid", max_iter=30, tol=0, **adam
        ),
        "ReLU code, 30 epochs": SparseAutoencoderTransformer(UNITS, activation="relu", max_iter=30, tol=0, **adam),
        "raw pixels": FunctionTransformer(),
        "PCA": PCA(UNITS, random_state=seed),
        "random sigmoid features": RandomSigmoid(),
        "BernoulliRBM": BernoulliRBM(UNITS, random_state=seed),
        "MiniBatchDictionaryLearning": MiniBatchDictionaryLearning(
            UNITS, batch_size=256, max_iter=10, transform_algorithm="lasso_lars", transform_alpha=1.0, random_state=seed
        ),
    }


def probe(H, y, H_test, y_test):
    search = GridSearchCV(LogisticRegression(max_iter=200, tol=1e-3), {"C": [0.003, 0.03, 0.3]}, cv=3, n_jobs=2)
    model = make_pipeline(StandardScaler(), search).fit(H, y)
    return model.score(H_test, y_test), search.best_params_["C"]


def measure(name, encoder, data):
    X, y, X_test, y_test = data
    start = time.perf_counter()
    encoder.fit(X)
    fitted = time.perf_counter()
    H, H_test = encoder.transform(X[:LABELLED]), encoder.transform(X_test)
    transformed = time.perf_counter()
    accuracy, C = probe(H, y[:LABELLED], H_test, y_test)
    row = {"name": name, "accuracy": 100 * accuracy, "C": C, "fit seconds": fitted - start,
           "transform seconds": transformed - fitted, "sparsity": population_sparsity(H_test)}  # fmt: skip
    if hasattr(encoder, "history_"):
        mean = encoder.mean_activation_
        row |= {
            "epochs": encoder.n_iter_,
            "lowest rho": mean.min(),
            "highest rho": mean.max(),
            "dead": encoder.dead_fraction_,
        }
    return row


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--data", help="mnist.npz with X_train (n, 28, 28), y_train, X_test, y_test")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--methods", nargs="+", help="use only these methods")
    options = options.parse_args()
    warnings.simplefilter("ignore")
    report, data = Report(options), load_mnist(options.data)
    encoders = {
        name: encoder for name, encoder in contenders(options.seed).items() if name in (options.methods or [name])
    }
    report.add(f"MNIST, {UNITS} features", [measure(name, encoder, data) for name, encoder in encoders.items()])
    if options.plot and "sparse autoencoder" in encoders:
        from skl_sae.plotting import TrainingDisplay

        TrainingDisplay.from_estimator(encoders["sparse autoencoder"]).figure_.savefig(options.plot, dpi=100)
        options.plot = None
    report.close()


if __name__ == "__main__":
    main()
