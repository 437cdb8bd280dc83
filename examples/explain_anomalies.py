"""Which measurements make a tumour unusual? The top anomalies in scikit-learn's breast cancer data, by feature name.

    python examples/explain_anomalies.py                    # a table
    python examples/explain_anomalies.py anomalies.png      # also a picture (matplotlib)

The detector sees all 357 benign tumours and 20 malignant ones, without labels.
"""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from skl_sae import SparseAutoencoderOutlierDetector

TOP_ROWS, TOP_FEATURES = 5, 4


def load():
    """Feature names, rows, and whether each row is malignant."""
    data = load_breast_cancer()
    benign, malignant = np.flatnonzero(data.target == 1), np.flatnonzero(data.target == 0)
    rows = np.concatenate([benign, np.random.default_rng(0).permutation(malignant)[:20]])
    return data.feature_names, data.data[rows], data.target[rows] == 0


def print_table(names, X, malignant, scores, contributions, top):
    median, spread = np.median(X, axis=0), X.std(axis=0)
    for row in top:
        print(f"row {row}, {'malignant' if malignant[row] else 'benign'}, score {scores[row]:.1f}")
        for k in np.argsort(-contributions[row])[:TOP_FEATURES]:
            print(
                f"  {contributions[row, k] / scores[row]:5.0%}  {names[k]:<24}{X[row, k]:10.4g}   "
                f"{(X[row, k] - median[k]) / spread[k]:+.1f} standard deviations from the median"
            )


def draw(path, names, malignant, scores, contributions, top):
    """For every row, the shares of the score due to its top features and to all others together."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.5 * len(top)), layout="constrained")
    for axis, row in zip(figure.subplots(len(top), sharex=True), top, strict=True):
        order = np.argsort(-contributions[row])[:TOP_FEATURES]
        shares = 100 * contributions[row, order] / scores[row]
        labels, colors = [*names[order], "all others"], ["0.4"] * TOP_FEATURES + ["0.8"]
        axis.barh(labels, [*shares, 100 - shares.sum()], color=colors)
        axis.invert_yaxis()
        kind = "malignant" if malignant[row] else "benign"
        axis.set_title(f"row {row}, {kind}, anomaly score {scores[row]:.1f}", loc="left", fontsize="medium")
    axis.set_xlabel("share of the score in percent")
    figure.savefig(path, dpi=150)


def main():
    names, X, malignant = load()
    detector = SparseAutoencoderOutlierDetector(random_state=0).fit(X)
    scores, contributions = -detector.score_samples(X), detector.score_contributions(X)
    top = np.argsort(-scores)[:TOP_ROWS]
    print(f"AUROC of the scores for malignant tumours: {roc_auc_score(malignant, scores):.3f}")
    flagged = detector.predict(X) == -1
    print(f"flagged {flagged.sum()} of {len(X)} rows, {malignant[flagged].sum()} of {malignant.sum()} malignant ones\n")
    print_table(names, X, malignant, scores, contributions, top)
    if len(sys.argv) > 1:
        draw(sys.argv[1], names, malignant, scores, contributions, top)


if __name__ == "__main__":
    main()
