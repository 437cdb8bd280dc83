"""
Search with Optuna
==================

Twenty trials on scikit-learn's handwritten digits, the first with the default parameters. Each is
judged by the cross-validated accuracy of a linear classifier on the code.

The script takes less than a minute, and needs Optuna::

    pip install optuna
    python examples/search_optuna.py
"""

import optuna
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer

DEFAULTS = {
    name: SparseAutoencoderTransformer().get_params()[name]
    for name in ("n_components", "rho", "beta")
}


def search(X, y, n_trials):
    def accuracy(trial):
        sae = SparseAutoencoderTransformer(
            trial.suggest_int("n_components", 20, 100),
            rho=trial.suggest_float("rho", 0.01, 0.3, log=True),
            beta=trial.suggest_float("beta", 0.03, 30, log=True),
            random_state=0,
        )
        model = make_pipeline(
            MinMaxScaler(), sae, StandardScaler(), LogisticRegression(max_iter=1000)
        )
        return cross_val_score(model, X, y, cv=3).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(DEFAULTS)
    study.optimize(accuracy, n_trials)
    return study


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = search(*load_digits(return_X_y=True), n_trials=20)
    for title, trial in ("defaults", study.trials[0]), ("best", study.best_trial):
        values = ", ".join(f"{name} {value:.3g}" for name, value in trial.params.items())
        print(f"{title:<10}{trial.value:.4f}   {values}")


if __name__ == "__main__":
    main()
