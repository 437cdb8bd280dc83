"""Does the autoencoder find edges in natural images? Filters of 8x8 patches, and how many of them are Gabor functions.

    python benchmarks/natural_images.py --data natural_images_whitened.npz --plot filters.png    # two minutes

The file holds whitened grey images [1]_ as ``images`` (n, height, width). Settings of UFLDL's first exercise [2]_:
patches minus their mean, clipped at three standard deviations, scaled to [0.1, 0.9]; sigmoid code and output, rho =
0.01, lambda = 1e-4, beta = 3 (in skl_sae alpha = 1e-4, beta = 6), 25 units on 10000 patches; then 192 units, three
times as many as pixels, on 50000. Training takes 50 epochs of Adam and 200 iterations of L-BFGS: from a random start,
400 iterations of L-BFGS leave the 192 units unfinished.

A Gabor function, a plane wave under an elliptic Gaussian [3]_, is fitted to every filter by least squares, from several
starts. R² is the fraction of the filter's sum of squares that it explains. Filters of noise and the principal
components of the patches show which R² a poor filter reaches.

.. [1] B. A. Olshausen and D. J. Field, "Emergence of simple-cell receptive field properties by learning a sparse code
   for natural images", Nature 381, 1996.
.. [2] A. Ng, J. Ngiam, C. Y. Foo, Y. Mai and C. Suen, "UFLDL tutorial", Stanford University, 2011.
.. [3] J. G. Daugman, "Uncertainty relation for resolution in space, spatial frequency, and orientation optimized by
   two-dimensional visual cortical filters", JOSA A 2, 1985.
"""

import itertools
import time
import warnings

import numpy as np
from _harness import Report, parser
from joblib import Parallel, delayed
from scipy.optimize import least_squares
from sklearn.decomposition import PCA

from skl_sae import SparseAutoencoderTransformer

SIDE = 8
SETTINGS = dict(rho=0.01, beta=6.0, alpha=1e-4, output_activation="sigmoid", tol=0, n_iter_no_change=1000)
START = dict(adam_start=50, batch_size=256)
Y, X = np.mgrid[:SIDE, :SIDE].astype(float)


def sample_patches(images, n, rng):
    which = rng.integers(len(images), size=n)
    top, left = (rng.integers(images.shape[axis] - SIDE + 1, size=n) for axis in (1, 2))
    rows, columns = np.arange(SIDE)[:, None], np.arange(SIDE)
    patches = images[which[:, None, None], top[:, None, None] + rows, left[:, None, None] + columns]
    patches = patches.reshape(n, -1).astype(np.float64)
    patches -= patches.mean(axis=1, keepdims=True)
    limit = 3 * patches.std()
    return 0.5 + 0.4 * np.clip(patches, -limit, limit) / limit


def gabor_basis(parameters):
    """Return the cosine and the sine phase (pixels, 2) of a Gabor function."""
    x0, y0, angle, frequency, log_width, log_length = parameters
    along = (X - x0) * np.cos(angle) + (Y - y0) * np.sin(angle)
    across = -(X - x0) * np.sin(angle) + (Y - y0) * np.cos(angle)
    envelope = np.exp(-0.5 * ((along / np.exp(log_width)) ** 2 + (across / np.exp(log_length)) ** 2))
    wave = 2 * np.pi * frequency * along
    return np.stack([envelope * np.cos(wave), envelope * np.sin(wave)], axis=-1).reshape(-1, 2)


def unexplained(parameters, values):
    """Return what remains of a filter after subtracting both phases with their best amplitudes."""
    basis = gabor_basis(parameters)
    return values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]


def gabor_r2(values):
    """Return R² of the best Gabor function for a filter of SIDE x SIDE values."""
    values = values / np.linalg.norm(values)
    energy = (values**2).reshape(SIDE, SIDE)
    spectrum = np.abs(np.fft.rfft2(values.reshape(SIDE, SIDE), (32, 32)))
    starts = []
    centres = [((energy * X).sum(), (energy * Y).sum()), np.unravel_index(energy.argmax(), energy.shape)[::-1]]
    for _ in range(2):  # the two strongest waves
        fy, fx = np.unravel_index(spectrum.argmax(), spectrum.shape)
        spectrum[max(fy - 4, 0) : fy + 5, max(fx - 4, 0) : fx + 5] = 0
        fy, fx = (fy - 32 if fy > 16 else fy) / 32, fx / 32
        for centre, width in itertools.product(centres, [0.0, 0.8]):
            starts.append([*centre, np.arctan2(fy, fx), min(np.hypot(fx, fy), 0.6), width, width])
    low, high = [-1, -1, -7, 0, -0.7, -0.7], [SIDE, SIDE, 7, 0.7, 2, 2]
    fits = [least_squares(unexplained, np.clip(s, low, high), bounds=(low, high), args=(values,), max_nfev=60)
            for s in starts]  # fmt: skip
    return 1 - 2 * min(fit.cost for fit in fits)


def row(name, filters, **figures):
    r2 = np.array(Parallel(n_jobs=-1)(delayed(gabor_r2)(values) for values in filters))
    return {
        "name": name,
        "filters": len(filters),
        "R² >= 0.7, %": 100 * np.mean(r2 >= 0.7),
        "median R²": np.median(r2),
        **figures,
    }


def fit(patches, units, options, seed):
    sae = SparseAutoencoderTransformer(units, max_iter=options.iterations, random_state=seed, **SETTINGS, **START)
    start = time.perf_counter()
    sae.fit(patches.astype(np.float32))
    return sae, time.perf_counter() - start


def main():
    options = parser(__doc__, threads=True)
    options.add_argument("--data", required=True, help="npz with whitened images (n, height, width)")
    options.add_argument("--iterations", type=int, default=200)
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument("--activation", choices=["sigmoid", "relu"], default="sigmoid", help="activation of the code")
    options = options.parse_args()
    SETTINGS["activation"] = options.activation
    warnings.simplefilter("ignore")
    report = Report(options)
    with np.load(options.data) as data:
        images = data["images"].astype(np.float32)
    rows, pictures = [], {}
    for seed, (units, n) in itertools.product(options.seeds, [(25, 10000), (192, 50000)]):
        patches = sample_patches(images, n, np.random.default_rng(seed))
        sae, seconds = fit(patches, units, options, seed)
        weights = sae.encoder_coef_.astype(np.float64)
        rows.append(
            row(
                f"{units} units, seed {seed}",
                weights,
                **{"fit seconds": seconds, "mean activation": sae.mean_activation_.mean(), "dead": sae.dead_fraction_},
            )
        )
        pictures.setdefault(units, sae)
    rows.append(row("noise", np.random.default_rng(0).normal(size=(64, SIDE**2))))
    rows.append(row("principal components", PCA().fit(patches).components_[:63]))
    report.add("Filters that are Gabor functions", rows)
    if options.plot:
        draw(pictures, options.plot)
        options.plot = None
    report.close()


def draw(pictures, path):
    from matplotlib.figure import Figure

    from skl_sae.plotting import FilterDisplay

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    for axis, (units, sae) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        FilterDisplay.from_estimator(sae, image_shape=(SIDE, SIDE), ax=axis)
        axis.set_title(f"{units} units")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
