"""
Filters of handwritten digits
=============================

An autoencoder with 64 hidden units learns scikit-learn's handwritten digits, 1797 images of 8 × 8
pixels. Four pictures show how it was trained and what it has learned.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skl_sae import SparseAutoencoderTransformer
from skl_sae.metrics import explained_variance_scorer, population_sparsity
from skl_sae.plotting import (
    ActivationDisplay,
    FilterDisplay,
    ReconstructionDisplay,
    TrainingDisplay,
)

X = load_digits().data / 16
sae = SparseAutoencoderTransformer(64, rho=0.05, beta=3.0, alpha=3e-3, random_state=0).fit(X)
print(f"explained variance {explained_variance_scorer(sae, X):.3f}")
print(f"sparsity of the codes {population_sparsity(sae.transform(X)):.3f} (Hoyer)")

# %%
# The filters are the weights of the hidden units, drawn as images. A unit is active where an
# image looks like its filter.

FilterDisplay.from_estimator(sae)

# %%
# Below each digit is its reconstruction from the code.

ReconstructionDisplay.from_estimator(sae, X[:12])

# %%
# Most activations are close to 0, and the mean activation of every unit is close to ``rho``.

ActivationDisplay.from_estimator(sae, X)

# %%
# The training: the loss and its three terms, and the mean activation.

TrainingDisplay.from_estimator(sae)
plt.show()
