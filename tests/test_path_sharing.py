"""What the fits of a path share: it is computed once, and equals what each would compute by itself."""

import functools
import operator
import pickle
from collections import Counter

import numpy as np
import pytest
from fits import assert_same_fit, quiet
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from searches import assert_same_results, search
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skl_sae import SparseAutoencoderOutlierDetector
from skl_sae._path import MOST_RESULTS, Memo
from skl_sae._rows import DenseRows
from skl_sae._views import rows

pytestmark = quiet

GRID = {"alpha": [0.03, 0.1], "rho": [0.05, 0.1]}


def detector(**parameters):
    return SparseAutoencoderOutlierDetector(**{"n_components": 2, "max_iter": 3, "random_state": 0} | parameters)


def labelled(seed, n=420, d=3):
    """Rows, some of them equal and enough for a threshold by their own scores, and their labels."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, d)), np.arange(n) % 5 == 0
    X[y, 0] += 3 * X[y, 1]
    X[10:14] = X[:4]
    return X, np.where(y, -1, 1)


def found_by(estimator, X, y, **params):
    options = {"scoring": "roc_auc", "return_train_score": True, "refit": lambda _: 3}
    return search(estimator, GRID, **options).fit(X, y, **params)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from(["dense", "float32", "sparse", "a sample of the rows", "wide"]),
    weighted=st.booleans(),
    parameters=st.sampled_from(
        [
            {},
            {"scaling": None},
            {"solver": "adam"},
            {"early_stopping": True},
            {"scoring": "squared_error"},
            {"random_state": np.random.RandomState(0)},
        ]
    ),
)
def test_a_search_has_the_bits_of_one_in_which_nothing_is_shared(seed, kind, weighted, parameters):
    X, y = labelled(seed, n=80, d=110) if kind == "wide" else labelled(seed)
    X = X.astype("f4") if kind == "float32" else sparse.csr_array(np.where(X < 0, 0, X)) if kind == "sparse" else X
    params = {"sample_weight": np.arange(len(y)) % 3 + 0.5} if weighted else {}
    with pytest.MonkeyPatch.context() as patch:
        if kind == "a sample of the rows":
            patch.setattr("skl_sae._scoring.MOST_ROWS", 200)
        ours = found_by(detector(**parameters), X, y, **params)
        patch.setattr("skl_sae._path.Memo", lambda: operator.call)
        theirs = found_by(detector(**parameters), X, y, **params)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert_same_results(ours.path_results_, theirs.path_results_)
    assert_same_fit(ours.best_estimator_, theirs.best_estimator_)
    np.testing.assert_array_equal(ours.score_samples(X), theirs.score_samples(X))
    assert ours.best_estimator_.offset_ == theirs.best_estimator_.offset_


@pytest.mark.plain
@pytest.mark.parametrize("random_state", [0, None])
def test_training_rows_and_test_rows_are_looked_at_once_in_a_fold(monkeypatch, random_state):
    calls = Counter()
    for name in "take_reference", "_look_at":
        function = getattr(rows, name)
        counted = functools.partial(
            lambda name, function, *args: calls.update([name]) or function(*args), name, function
        )
        monkeypatch.setattr(rows, name, counted)
    X, y = labelled(0)
    estimator = make_pipeline(StandardScaler(), detector(random_state=random_state))
    grid = {f"sparseautoencoderoutlierdetector__{name}": values for name, values in GRID.items()}
    search(estimator, grid, scoring="roc_auc", refit=False).fit(X, y)
    assert calls == {"take_reference": 2, "_look_at": 2 * 2}


@pytest.mark.plain
def test_other_rows_are_looked_at_anew(monkeypatch):
    """An estimator may fit twice in one fit, the second time to some of the rows."""

    class Twice(SparseAutoencoderOutlierDetector):
        def fit(self, X, y=None, sample_weight=None):
            scores = super().fit(X).score_samples(X)
            return super().fit(X[scores > np.quantile(scores, 0.2)])

    X, y = labelled(0)
    ours = found_by(Twice(max_iter=3, random_state=0), X, y)
    monkeypatch.setattr("skl_sae._path.Memo", lambda: operator.call)
    theirs = found_by(Twice(max_iter=3, random_state=0), X, y)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert_same_fit(ours.best_estimator_, theirs.best_estimator_)


@pytest.mark.plain
def test_nothing_is_left_in_the_estimator():
    X, y = labelled(0)

    def scorer(estimator, X, y):
        assert "_once" in vars(estimator)
        copies = pickle.loads(pickle.dumps(estimator)), clone(estimator)
        assert not any("_once" in vars(copy) for copy in copies)
        np.testing.assert_array_equal(copies[0].score_samples(X), estimator.score_samples(X))
        return 0.0

    found = search(detector(), GRID, scoring=scorer).fit(X, y)
    assert "_once" not in vars(found.best_estimator_)
    assert found.best_estimator_.score_samples(X).shape == y.shape


# -- the memo --------------------------------------------------------------------------------------


def look(rows, factor, rng):
    return factor * rows.toarray().sum() + rng.uniform()


@pytest.mark.plain
def test_a_memo_gives_what_a_call_would_give(rng):
    memo = Memo()
    for _ in range(300):
        X = np.full((2, rng.integers(1, 3)), rng.integers(3), rng.choice(["f4", "f8"]))
        seed, factor = rng.integers(3, size=2).tolist()
        one, other = np.random.RandomState(seed), np.random.RandomState(seed)
        assert memo(look, DenseRows(X), factor, one) == look(DenseRows(X), factor, other)
        assert one.uniform() == other.uniform()
    assert len(memo._results) == MOST_RESULTS


@pytest.mark.plain
def test_a_memo_forgets_what_was_not_used_for_longest():
    memo = Memo()

    def results_for(value):
        """Two results for the same rows are one object only if it was kept."""
        return memo(DenseRows.toarray, DenseRows(np.full((1, 1), float(value))))

    first, second, *_ = (results_for(value) for value in range(MOST_RESULTS))
    assert results_for(0) is first
    results_for(MOST_RESULTS)
    assert results_for(0) is first
    assert results_for(1) is not second
