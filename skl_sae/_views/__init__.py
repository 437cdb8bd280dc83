"""Views of a row, from which a detector makes one score, and the rules by which it chooses them.

A view is a class with `fit`, `raw` and `terms` (see `base.View`) and a row in `VIEWS`.
"""

from .error import Error
from .neighbours import Far, Near
from .scatter import CodeScatter, FeatureScatter
from .tails import Tails

VIEWS = {"scatter": FeatureScatter, "code": CodeScatter, "tails": Tails, "far": Far, "near": Near, "error": Error}

# Views of the rows alone that say how plausible a training row is.
OF_PLAUSIBILITY = ("tails", "far")

# All views of the place of a row among the training rows. They are fitted first; the other views see only `own_share`
# of the place of a training row.
OF_PLACES = (*OF_PLAUSIBILITY, "near")

# All views of the rows alone: they need no autoencoder.
OF_ROWS = (*OF_PLACES, "scatter")

# With shrinkage, a covariance of up to ALWAYS_FEATURES features can be estimated from any number of rows. A larger one
# needs ROWS_PER_FEATURE rows for each feature, and above MOST_FEATURES it takes too much time and memory.
ALWAYS_FEATURES, ROWS_PER_FEATURE, MOST_FEATURES = 100, 4, 2048


def is_wide(n_rows, n_features):
    """Whether rows are too few, or features too many, for a covariance."""
    few = n_features > ALWAYS_FEATURES and n_rows < ROWS_PER_FEATURE * n_features
    return few or n_features > MOST_FEATURES


def choose_views(wide):
    """Return the names of the views that make up a score."""
    return ("error", "near") if wide else ("scatter", "code", "tails", "far", "near")
