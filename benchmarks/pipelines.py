"""Does an autoencoder in front of a linear model help? Nested cross-validation on scikit-learn's small data sets.

    python benchmarks/pipelines.py            # about ten minutes

Digits, breast cancer and wine with logistic regression (accuracy), diabetes with ridge regression (R²). The linear
model gets the standardised features, the autoencoder's code of them (standardised again), or both side by side. The
strength of its penalty, the number of units, rho and beta are chosen by 3-fold cross-validation inside each of 5 outer
folds; the figure is the mean over the outer folds, and the difference from the linear model alone has its standard
error.
"""

import warnings

import numpy as np
from _harness import Report, parser
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skl_sae import SparseAutoencoderTransformer

SETS = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}
UNITS, RHO, BETA = [30, 100], [0.05, 0.2], [1.0, 3.0]


def searches(regression):
    """Yield searches over the linear model alone, on the code, and on code and features."""
    linear = Ridge() if regression else LogisticRegression(max_iter=1000)
    penalty = {"linear__alpha": [0.1, 1.0, 10.0, 100.0]} if regression else {"linear__C": [0.01, 0.1, 1.0, 10.0]}
    code = make_pipeline(SparseAutoencoderTransformer(random_state=0), StandardScaler())
    features = {
        "linear model": ("passthrough", None),
        "on the code": (code, "features__"),
        "on code and features": (make_union(code, FunctionTransformer()), "features__pipeline__"),
    }
    for name, (step, prefix) in features.items():
        grid = dict(penalty)
        if prefix:
            names = {"n_components": UNITS, "rho": RHO, "beta": BETA}
            grid |= {f"{prefix}sparseautoencodertransformer__{key}": values for key, values in names.items()}
        steps = Pipeline([("scale", StandardScaler()), ("features", step), ("linear", linear)], memory=None)
        yield name, GridSearchCV(steps, grid, cv=3)


def main():
    options = parser(__doc__).parse_args()
    warnings.simplefilter("ignore")
    report = Report(options)
    for name, load in SETS.items():
        X, y = load(return_X_y=True)
        regression = name == "diabetes"
        folds = (KFold if regression else StratifiedKFold)(5, shuffle=True, random_state=0)
        rows, baseline = [], None
        for label, search in searches(regression):
            scores = 100 * cross_val_score(search, X, y, cv=folds, n_jobs=2)
            baseline = scores if baseline is None else baseline
            difference = scores - baseline
            rows.append({"name": label, "score, %": scores.mean(), "difference": difference.mean(),
                         "standard error": difference.std(ddof=1) / np.sqrt(len(scores))})  # fmt: skip
        report.add(f"{name}, {X.shape[0]} x {X.shape[1]}, {'R²' if regression else 'accuracy'}", rows)
    report.close()


if __name__ == "__main__":
    main()
