"""Choose rho and beta on scikit-learn's handwritten digits, by the accuracy of a classifier on the code.

    pip install ".[plot]"
    python examples/search_rho_beta.py search_rho_beta.png

The search trains one autoencoder from random weights in each fold and starts all others from finished ones. The picture
shows the scores, what the fits reached and how long they took. It takes less than a minute.
"""

import sys

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer
from skl_sae.model_selection import PathSearchCV
from skl_sae.plotting import SearchDisplay


def main():
    X, y = load_digits(return_X_y=True)
    steps = [
        ("scale", MinMaxScaler()),
        ("code", SparseAutoencoderTransformer(50, random_state=0)),
        ("standardise", StandardScaler()),
        ("classify", LogisticRegression(max_iter=1000)),
    ]
    grid = {"code__rho": [0.02, 0.05, 0.1, 0.2, 0.3], "code__beta": [0, 0.1, 0.3, 1.0, 3.0, 10.0]}
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    search = PathSearchCV(Pipeline(steps), grid, cv=cv).fit(X, y)
    print(f"accuracy {search.best_score_:.4f} with", search.best_params_)
    n_iter = search.path_results_["n_iter"].mean(axis=1)
    cold = (search.path_results_["start"] == -1).all(axis=1)
    print(f"iterations: {n_iter[cold].mean():.0f} from random weights, {n_iter[~cold].mean():.0f} from a neighbour")
    display = SearchDisplay.from_search(search)
    display.figure_.savefig(sys.argv[1] if len(sys.argv) > 1 else "search_rho_beta.png", dpi=100)


if __name__ == "__main__":
    main()
