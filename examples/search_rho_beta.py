"""
Search for rho and beta
=======================

The score is the accuracy of a linear classifier on the code of scikit-learn's handwritten digits.
In each fold the search trains one autoencoder from random weights and starts all others from
finished ones. This takes less than a minute.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skl_sae import SparseAutoencoderTransformer
from skl_sae.model_selection import PathSearchCV
from skl_sae.plotting import SearchDisplay

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

# %%
# How many iterations did the fits take?

n_iter = search.path_results_["n_iter"].mean(axis=1)
cold = (search.path_results_["start"] == -1).all(axis=1)
print(f"iterations from random weights {n_iter[cold].mean():.0f}, ", end="")
print(f"from a neighbour {n_iter[~cold].mean():.0f}")

# %%
# The score, the mean activation, dead units and the time of every fit. The chosen cell is framed.

SearchDisplay.from_search(search)
plt.show()
