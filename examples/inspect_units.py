"""
Units to trust and to name
==========================

Which units does a refit find again, what do they stand for, and how are they related to the digit?

A top-k autoencoder is trained on half of scikit-learn's handwritten digits, without their labels.
So few images do not determine 48 units: few of them come back in most refits, although all are
related to the digit, and four principal components predict it slightly better than four units do.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skl_sae import TopKAutoencoderTransformer
from skl_sae.inspection import (
    feature_report,
    feature_stability,
    frozen_random,
    select_features,
    sparse_probe,
)
from skl_sae.plotting import StabilityDisplay, UnitDisplay

X, y = load_digits(return_X_y=True)
X, X_test, _, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
sae = TopKAutoencoderTransformer(48, k=6, random_state=0).fit(X)

# %%
# Which units come back? The autoencoder is trained five more times, with other seeds, and units
# are matched by their atoms and activations. The grey band is what matching finds by chance.

stability = feature_stability(sae, X, random_state=1)
print(stability)
StabilityDisplay(stability).plot()

# %%
# How are they related to the digit? The second half of the images chooses the class of each unit
# and tests it.

codes = sae.transform(X_test)
selected = select_features(codes, y_test, random_state=0)
print(selected)

# %%
# What do they stand for? A name should fit the rows with typical activations, not only those with
# the highest.

report = feature_report(sae, X_test, names=[f"a {digit}" for digit in y_test], random_state=0)
report.label(
    lambda unit: max(set(unit.middle), key=unit.middle.count) if unit.middle else "never active"
)
print(report)
first, second = (int(unit) for unit in selected.selected_[:2])
UnitDisplay.from_estimator(sae, X_test, first, label=report.labels_[first])

# %%
UnitDisplay.from_estimator(sae, X_test, second, label=report.labels_[second])
plt.show()

# %%
# Do four units predict the digit better than four pixels, four principal components or four units
# with random weights?

baselines = {
    "pixels": X_test,
    "PCA": PCA(48).fit(X).transform(X_test),
    "frozen random": frozen_random(sae, X, random_state=2).transform(X_test),
}
print(sparse_probe(codes, y_test, 4, baselines=baselines, random_state=0))
