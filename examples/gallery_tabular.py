"""Pictures of the outlier detector on a table with named columns: scores, an explanation and the filters of the units.

    pip install ".[plot]"
    python examples/gallery_tabular.py FOLDER       # writes two PNG files

The table is scikit-learn's wine data set. Ten wines of the third cultivar are the anomalies among all wines of the
first two, of which the detector has seen half of the normal ones.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine

from skl_sae import SparseAutoencoderOutlierDetector
from skl_sae.metrics import anomaly_roc_auc_scorer
from skl_sae.plotting import AnomalyDisplay, FilterDisplay


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    data = load_wine()
    rows = np.concatenate([np.flatnonzero(data.target < 2), np.flatnonzero(data.target == 2)[:10]])
    X, anomaly = data.data[rows], data.target[rows] == 2
    detector = SparseAutoencoderOutlierDetector(random_state=0).fit(X[~anomaly][::2])
    row = int(np.argmax(np.where(anomaly, -detector.score_samples(X), 0)))
    scores = AnomalyDisplay.from_estimator(detector, X, anomaly, row=row, feature_names=data.feature_names)
    scores.figure_.savefig(folder / "wine_anomalies.png", dpi=100)
    units = FilterDisplay.from_estimator(detector, feature_names=data.feature_names, components=range(8))
    units.figure_.savefig(folder / "wine_units.png", dpi=100)
    print(f"AUROC {anomaly_roc_auc_scorer(detector, X, anomaly):.3f}")


if __name__ == "__main__":
    main()
