"""Scorers for labels that mark anomalies.

scikit-learn's detectors give inliers the high values and the label +1, so its built-in scorers, such as
``scoring="roc_auc"``, are right for labels +1 (normal) and -1 (anomaly). Most data sets of the field mark anomalies by
1 and normal rows by 0: with these the built-in scorers would measure how well anomalies are *missed*, and the scorers
here are the ones to use. They take any detector with a ``decision_function``.
"""

import numpy as np
from sklearn.metrics import average_precision_score, make_scorer, roc_auc_score
from sklearn.utils import column_or_1d

__all__ = ["anomaly_average_precision_scorer", "anomaly_roc_auc_scorer"]


def _anomalies(y_true):
    """True where a label marks an anomaly; the labels are 0 and 1, or False and True."""
    y_true = column_or_1d(y_true)
    labels = np.unique(y_true)
    if not np.isin(labels, [0, 1]).all():
        raise ValueError(
            f"Labels must be 1 (anomaly) and 0 (normal), got {labels[:5].tolist()}. For labels -1 (anomaly) and +1 "
            "(normal) use scikit-learn's own scorers, such as scoring='roc_auc'."
        )
    return y_true == 1


def _roc_auc(y_true, decision):
    return roc_auc_score(_anomalies(y_true), -decision)


def _average_precision(y_true, decision):
    return average_precision_score(_anomalies(y_true), -decision)


#: Area under the ROC curve, for labels 1 (anomaly) and 0 (normal).
anomaly_roc_auc_scorer = make_scorer(_roc_auc, response_method="decision_function")

#: Average precision, for labels 1 (anomaly) and 0 (normal).
anomaly_average_precision_scorer = make_scorer(_average_precision, response_method="decision_function")
