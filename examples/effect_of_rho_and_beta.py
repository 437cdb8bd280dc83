"""
What rho and beta do
====================

``rho`` is the mean activation that every hidden unit should have, ``beta`` the cost of missing
it. The pictures show both on scikit-learn's handwritten digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skl_sae import SparseAutoencoderTransformer
from skl_sae.metrics import explained_variance_scorer, population_sparsity

X, y = load_digits(return_X_y=True)
X = X / 16
RHO, BETA = (0.02, 0.1, 0.3), (0.0, 0.3, 3.0)


def fit(rho, beta):
    return SparseAutoencoderTransformer(36, rho=rho, beta=beta, random_state=0).fit(X)


# %%
# The smaller ``rho``, the sparser the code and the larger the error. With ``beta=0``, on the
# left, ``rho`` only sets where training starts.

figure, axes = plt.subplots(len(RHO), len(BETA), figsize=(9, 7), sharex=True, layout="constrained")
for i, rho in enumerate(RHO):
    for j, beta in enumerate(BETA):
        sae = fit(rho, beta)
        H = sae.transform(X)
        axis = axes[i, j]
        axis.hist(H.ravel(), np.linspace(0, 1, 41), color="#0072B2")
        axis.axvline(H.mean(), color="#D55E00", label=f"mean {H.mean():.2f}")
        axis.set(yscale="log", yticks=[], yticklabels=[])
        axis.margins(y=0.4)  # room for the legend
        axis.minorticks_off()
        explained, sparsity = explained_variance_scorer(sae, X), population_sparsity(H)
        axis.set_title(f"{explained:.0%} explained, Hoyer {sparsity:.2f}", fontsize="medium")
        axis.legend(frameon=False, loc="upper right")
        if i == len(RHO) - 1:
            axis.set_xlabel(f"activation\n\nbeta = {beta:g}")
        if j == 0:
            axis.set_ylabel(f"rho = {rho:g}\n\nactivations (log)")
plt.show()

# %%
# What do the units stand for? Each picture is the mean of the 30 images that activate a unit most,
# with ``beta=3``. With a small ``rho`` most of the 30 show the same digit; with a large one they
# are more mixed. In percent: the share of the most frequent digit, averaged over all units.

figure, axes = plt.subplots(len(RHO), 9, figsize=(9, 3.6), layout="constrained")
for row, rho in zip(axes, RHO, strict=True):
    sae = fit(rho, beta=3.0)
    top = np.argsort(-sae.transform(X), axis=0)[:30]  # for each unit, a column
    share = np.mean([np.bincount(digits).max() / 30 for digits in y[top].T])
    for axis, images in zip(row, top.T, strict=False):
        axis.imshow(X[images].mean(axis=0).reshape(8, 8), cmap="gray_r")
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(f"rho = {rho:g}\n{share:.0%}")
plt.show()
