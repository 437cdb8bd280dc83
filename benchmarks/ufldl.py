"""The three MNIST exercises of UFLDL [1]_ with sparse autoencoders, compared with the published figures.

    python benchmarks/ufldl.py --data mnist.npz --plot filters.png         # all three: about twenty minutes
    python benchmarks/ufldl.py --data mnist.npz --exercise self-taught stacked --beta 1

- filters: 196 units on the first 10000 images, 400 iterations of L-BFGS; --plot draws the filters (pen strokes).
- self-taught: 200 units on the images of 5 to 9, without labels; softmax regression on the codes of 0 to 4, one half
  for training, the other for testing.
- stacked: 200 units, then 200 units on their standardised codes, trained one after the other as steps of a Pipeline;
  softmax regression on the second codes; all 60000 training and 10000 test images. The second layer has an identity
  output, rho = 0.3, beta = 0.1 and alpha = 1e-2.

All other settings are UFLDL's: sigmoid code and output, rho = 0.1, lambda = 3e-3, beta = 3, which in the units of
skl_sae are alpha = 3e-3 and beta = 6; float32; L-BFGS, after 30 epochs of Adam if there are more than 10000 images.
--beta changes the beta of the first layer in the last two exercises. That beta and the settings of the second layer
were chosen by the accuracy on the last 10000 training images after training on the others; the regularisation of the
softmax regression (scikit-learn's) is chosen by cross-validation on the training images. Without --data, MNIST comes
from openml.org.

.. [1] A. Ng, J. Ngiam, C. Y. Foo, Y. Mai and C. Suen, "UFLDL tutorial", Stanford University, 2011.
"""

import time
import warnings

import numpy as np
from _harness import Report, parser
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skl_sae import SparseAutoencoderTransformer

SETTINGS = dict(rho=0.1, beta=6.0, alpha=3e-3, output_activation="sigmoid", batch_size=256)


def load_mnist(path):
    """Return X, y, X_test, y_test: images as float32 in [0, 1] (n, 784), pixels in UFLDL's order, and labels."""
    if path is None:
        from sklearn.datasets import fetch_openml

        X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
        images, y = X.reshape(-1, 28, 28), y.astype(int)
        parts = images[:60000], y[:60000], images[60000:], y[60000:]
    else:
        with np.load(path) as data:
            parts = tuple(data[name] for name in ["X_train", "y_train", "X_test", "y_test"])
    flat = [part.transpose(0, 2, 1).reshape(len(part), -1).astype(np.float32) / 255 for part in parts[::2]]
    return flat[0], parts[1], flat[1], parts[3]


def autoencoder(units, seed, **parameters):
    return SparseAutoencoderTransformer(units, random_state=seed, **(SETTINGS | parameters))


def long_autoencoder(seed, options, **parameters):
    """Return an autoencoder with 200 units whose L-BFGS takes all of its iterations."""
    settings = dict(adam_start=30, max_iter=options.iterations, tol=0, n_iter_no_change=1000)
    return autoencoder(200, seed, **settings, **parameters)


def softmax(H, y):
    """Fit a multinomial logistic regression, C by cross-validation, in float64: in float32 it stops early."""
    search = GridSearchCV(LogisticRegression(max_iter=300, tol=1e-5), {"C": [1.0, 3.0, 10.0]}, cv=3, n_jobs=2)
    return search.fit(H.astype(np.float64), y)


def accuracy(model, H, y):
    return 100 * model.score(H.astype(np.float64), y)


def timed(function, *arguments):
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def filters(report, data, options):
    rows = []
    for seed in options.seeds:
        sae = autoencoder(196, seed, max_iter=400, tol=0, n_iter_no_change=1000)
        _, seconds = timed(sae.fit, data[0][:10000])
        dead = sae.dead_fraction_
        rows.append({"name": f"seed {seed}", "objective": sae.loss_, "seconds": seconds, "dead units": dead})
    report.add("Filters: 784-196-784, 10000 images, 400 iterations (UFLDL: 15 to 20 minutes)", rows)
    if options.plot:
        from skl_sae.plotting import FilterDisplay

        sae.encoder_coef_ = sae.encoder_coef_.reshape(-1, 28, 28).transpose(0, 2, 1).reshape(-1, 784)  # upright
        FilterDisplay.from_estimator(sae).figure_.savefig(options.plot, dpi=100)


def self_taught(report, data, options):
    X, y = data[:2]
    rows = []
    for seed in options.seeds:
        sae = long_autoencoder(seed, options, beta=options.beta)
        _, seconds = timed(sae.fit, X[y >= 5])
        small = np.flatnonzero(y <= 4)
        train, test = train_test_split(small, test_size=0.5, random_state=seed)
        pixels = softmax(X[train], y[train])
        codes = softmax(sae.transform(X[train]), y[train])
        rows.append({"name": f"seed {seed}", "codes": accuracy(codes, sae.transform(X[test]), y[test]),
                     "pixels": accuracy(pixels, X[test], y[test]), "C": codes.best_params_["C"],
                     "fit seconds": seconds, "objective": sae.loss_})  # fmt: skip
    report.add("Self-taught learning: accuracy in percent (published 98.3 on codes, 96 on pixels)", rows)


def stacked(report, data, options):
    X, y, X_test, y_test = data
    rows = []
    for seed in options.seeds:
        first = long_autoencoder(seed, options, beta=options.beta)
        second = long_autoencoder(seed, options, rho=0.3, beta=0.1, alpha=1e-2, output_activation="identity")
        layers = make_pipeline(first, StandardScaler(), second)
        _, seconds = timed(layers.fit, X)
        for name, encoder in {"one layer": layers[:1], "two layers": layers}.items():
            model, probe_seconds = timed(softmax, encoder.transform(X), y)
            score = accuracy(model, encoder.transform(X_test), y_test)
            rows.append({"name": f"seed {seed}, {name}", "accuracy": score, "C": model.best_params_["C"],
                         "fit seconds": seconds, "softmax seconds": probe_seconds})  # fmt: skip
    report.add("Stacked, no fine-tuning: accuracy in percent (published 87.7 before, 97.6 after fine-tuning)", rows)


EXERCISES = {"filters": filters, "self-taught": self_taught, "stacked": stacked}


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--data", help="mnist.npz with X_train (n, 28, 28), y_train, X_test, y_test")
    options.add_argument("--exercise", nargs="+", choices=EXERCISES, default=list(EXERCISES))
    options.add_argument("--iterations", type=int, default=400)
    options.add_argument(
        "--beta", type=float, default=SETTINGS["beta"], help="beta of the first layer, except for filters"
    )
    options.add_argument("--seeds", nargs="+", type=int, default=[0])
    options.add_argument("--activation", choices=["sigmoid", "relu"], default="sigmoid", help="activation of the code")
    options = options.parse_args()
    SETTINGS["activation"] = options.activation
    warnings.simplefilter("ignore")
    report, data = Report(options), load_mnist(options.data)
    for name in options.exercise:
        EXERCISES[name](report, data, options)
    options.plot = None
    report.close()


if __name__ == "__main__":
    main()
