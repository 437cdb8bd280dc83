"""
Which measurements make a tumour unusual?
=========================================

The detector sees all 357 benign tumours of scikit-learn's breast cancer data and 20 malignant
ones, without labels. It scores how unusual each row is and shows how much each measurement adds to
the score.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from skl_sae import SparseAutoencoderOutlierDetector

TOP_ROWS, TOP_FEATURES = 5, 4

data = load_breast_cancer()
benign, malignant = np.flatnonzero(data.target == 1), np.flatnonzero(data.target == 0)
rows = np.concatenate([benign, np.random.default_rng(0).permutation(malignant)[:20]])
names, X, malignant = data.feature_names, data.data[rows], data.target[rows] == 0

detector = SparseAutoencoderOutlierDetector(random_state=0).fit(X)
scores, contributions = -detector.score_samples(X), detector.score_contributions(X)
flagged = detector.predict(X) == -1
print(f"AUROC of the scores for malignant tumours: {roc_auc_score(malignant, scores):.3f}")
found = f"{malignant[flagged].sum()} of {malignant.sum()} malignant ones"
print(f"flagged {flagged.sum()} of {len(X)} rows, {found}")

# %%
# The contributions of all features sum to the score. These are the rows with the highest scores
# and the features that contribute most to them:

kinds = np.where(malignant, "malignant", "benign")
median, spread = np.median(X, axis=0), X.std(axis=0)
top = np.argsort(-scores)[:TOP_ROWS]
for row in top:
    print(f"row {row}, {kinds[row]}, score {scores[row]:.1f}")
    for k in np.argsort(-contributions[row])[:TOP_FEATURES]:
        share, deviation = contributions[row, k] / scores[row], (X[row, k] - median[k]) / spread[k]
        where = f"{deviation:+.1f} standard deviations from the median"
        print(f"  {share:5.0%}  {names[k]:<24}{X[row, k]:10.4g}   {where}")

# %%
# The same as a picture, with the share of all other features together:

figure, axes = plt.subplots(TOP_ROWS, figsize=(8, 7), sharex=True, layout="constrained")
for axis, row in zip(axes, top, strict=True):
    order = np.argsort(-contributions[row])[:TOP_FEATURES]
    shares = 100 * contributions[row, order] / scores[row]
    labels, colors = [*names[order], "all others"], ["0.4"] * TOP_FEATURES + ["0.8"]
    axis.barh(labels, [*shares, 100 - shares.sum()], color=colors)
    axis.invert_yaxis()
    axis.set_title(f"row {row}, {kinds[row]}, score {scores[row]:.1f}", loc="left", fontsize=10)
axes[-1].set_xlabel("share of the score in percent")
plt.show()
