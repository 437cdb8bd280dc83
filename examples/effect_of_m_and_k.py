"""
How many units, how many of them active
=======================================

A top-k autoencoder has two numbers to choose: m hidden units (``n_components``), k of which are
active in every row. The pictures show what they cost and gain on scikit-learn's handwritten
digits, measured on images that had no part in the training.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skl_sae import TopKAutoencoderTransformer
from skl_sae.metrics import explained_variance_scorer

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
UNITS, ACTIVE = (32, 64, 128, 256), (4, 8, 16)

unexplained, error = np.empty((2, len(UNITS), len(ACTIVE)))
for i, n_components in enumerate(UNITS):
    for j, k in enumerate(ACTIVE):
        sae = TopKAutoencoderTransformer(n_components, k=k, tol=0.02, random_state=0).fit(X)
        classifier = make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=1000)).fit(
            sae.transform(X), y
        )
        unexplained[i, j] = 1 - explained_variance_scorer(sae, X_test)
        error[i, j] = 1 - classifier.score(sae.transform(X_test), y_test)

# %%
# More active units always reconstruct better but are harder to read. More units reconstruct better
# as long as there are rows to learn them from. The classifier gains little from either beyond a
# point.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for axis, values, title in (
    (axes[0], unexplained, "variance not explained"),
    (axes[1], error, "errors of a classifier"),
):
    for n_components, line, color in zip(
        UNITS, values, plt.cm.viridis(np.linspace(0, 0.85, len(UNITS))), strict=True
    ):
        axis.plot(ACTIVE, 100 * line, "o-", color=color, label=f"m = {n_components}")
    axis.set_xscale("log", base=2)
    axis.set_xticks(ACTIVE, ACTIVE)
    axis.set(xlabel="k, active units per image", ylabel=f"{title} in %", ylim=(0, None))
axes[0].legend(frameon=False)
plt.show()
