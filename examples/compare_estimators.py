"""
Three estimators, one data set
==============================

What each of the three estimators returns for scikit-learn's handwritten digits: two kinds of
code, and scores.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skl_sae import (
    SparseAutoencoderOutlierDetector,
    SparseAutoencoderTransformer,
    TopKAutoencoderTransformer,
)

X, y = load_digits(return_X_y=True)
seen = X[y != 4]  # the digit 4 will be new to the detector
rows = np.concatenate(
    [np.flatnonzero(y == digit)[:4] for digit in range(10)]
)  # four images of each digit, to look at

# %%
# **SparseAutoencoderTransformer** gives activations between 0 and 1, small for most units.
# **TopKAutoencoderTransformer** gives k activations per row; all others are 0. In both
# pictures, rows of the same digit look alike.

dense = (
    SparseAutoencoderTransformer(40, rho=0.05, random_state=0).fit(X / 16).transform(X[rows] / 16)
)
sparse = TopKAutoencoderTransformer(40, k=4, random_state=0).fit(X).transform(X[rows]).toarray()

# %%
# **SparseAutoencoderOutlierDetector** gives every row a score. Here it was trained without the
# digit 4.

detector = SparseAutoencoderOutlierDetector(random_state=0).fit(seen)
normal, unseen = -detector.score_samples(X[y != 4]), -detector.score_samples(X[y == 4])

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for axis, code, title in (axes[0], dense, "sparse code"), (axes[1], sparse, "top-k code, k = 4"):
    axis.imshow(code, cmap="Blues", aspect="auto", vmin=0, vmax=np.quantile(code[code > 0], 0.98))
    axis.set(title=title, xlabel="hidden unit", ylabel="image of the digit")
    axis.set_yticks(np.arange(1.5, 40, 4), range(10))
bins = np.linspace(0, np.quantile(unseen, 0.99), 40)
axes[2].hist(normal, bins, density=True, color="0.7", label="digits that were seen")
axes[2].hist(
    unseen, bins, density=True, color="#D55E00", alpha=0.7, label="the digit 4, never seen"
)
axes[2].set(title="anomaly scores", xlabel="score", yticks=[])
axes[2].margins(y=0.25)  # room for the legend
axes[2].legend(frameon=False)
plt.show()
