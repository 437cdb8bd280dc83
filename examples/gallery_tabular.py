"""
Anomalies in a table with named columns
=======================================

The table is scikit-learn's wine data set: 13 measurements of wines of three cultivars. The
detector learns from half of the wines of the first two cultivars. The other half and ten wines of
the third, the anomalies, are new to it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from skl_sae import SparseAutoencoderOutlierDetector
from skl_sae.metrics import anomaly_roc_auc_scorer
from skl_sae.plotting import AnomalyDisplay, FilterDisplay

data = load_wine()
rows = np.concatenate([np.flatnonzero(data.target < 2), np.flatnonzero(data.target == 2)[:10]])
X, anomaly = data.data[rows], data.target[rows] == 2
detector = SparseAutoencoderOutlierDetector(random_state=0).fit(X[~anomaly][::2])
print(f"AUROC {anomaly_roc_auc_scorer(detector, X, anomaly):.3f}")

# %%
# On the left are the scores of all wines and the threshold of ``predict``, on the right the
# contribution of each measurement to the score of the strangest wine.

row = int(np.argmax(np.where(anomaly, -detector.score_samples(X), 0)))
AnomalyDisplay.from_estimator(detector, X, anomaly, row=row, feature_names=data.feature_names)

# %%
# The detector has an autoencoder inside. Its units combine measurements that belong together.

FilterDisplay.from_estimator(detector, feature_names=data.feature_names, components=range(8))
plt.show()
