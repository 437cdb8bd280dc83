"""One-to-one matches between the units of two dictionaries, and their chance level."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csc_array
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._base import BaseAutoencoder
from .._types import Float64Array
from .models import Inspected, IntArray, check_count, random_atoms, unit_length
from .tables import as_html, as_text


def matched(similarities: Float64Array) -> tuple[IntArray, IntArray]:
    """Return the pairs (rows, columns) of the one-to-one match with the largest sum of similarities."""
    return linear_sum_assignment(similarities, maximize=True)


def cosines(a: Float64Array, b: Float64Array) -> Float64Array:
    """Return the cosines (n, m) between n and m atoms."""
    return np.clip(unit_length(a) @ unit_length(b).T, -1, 1)


def correlations(G: csc_array, H: csc_array) -> Float64Array:
    """Return Pearson's correlations (n, m) between the activations of n and m units; 0 for a constant one."""
    n = G.shape[0]
    G, H = _shifted(G), _shifted(H)
    means, spreads = [], []
    for codes in (G, H):
        mean = np.asarray(codes.sum(axis=0)).ravel() / n
        square = np.asarray(codes.multiply(codes).sum(axis=0)).ravel() / n
        variance = square - mean**2
        means.append(mean)
        spreads.append(np.sqrt(np.where(variance > 1e-12 * square, variance, 0)))
    covariance = (G.T @ H).toarray() / n - np.outer(*means)
    spread = np.outer(*spreads)
    return np.clip(np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0), -1, 1)


def _shifted(codes: csc_array) -> csc_array:
    """Return codes in which units that are active on every row begin at 0, so that constant ones are 0 throughout."""
    counts = np.diff(codes.indptr)
    shifts = np.zeros(len(counts))
    full = counts == codes.shape[0]
    shifts[full] = codes.data[codes.indptr[:-1][full]]
    return csc_array((codes.data - np.repeat(shifts, counts), codes.indices, codes.indptr), shape=codes.shape)


class DictionarySimilarity:
    """How alike two dictionaries are: the result of `dictionary_similarity`.

    Attributes
    ----------
    mean_max_cosine_ : float
        Mean over the atoms of ``a`` of the highest cosine with an atom of ``b``.
    mean_matched_cosine_ : float
        Mean cosine of the matched pairs; each atom belongs to at most one pair.
    chance_max_cosine_, chance_matched_cosine_ : float
        The same with random atoms, which have the mean and covariance of those of ``b``, in place of ``b``.
    max_cosine_ : ndarray of shape (n_atoms_a,)
        The highest cosine of each atom of ``a``.
    pairs_ : ndarray of shape (min(n_atoms_a, n_atoms_b), 2)
        Matched atoms of ``a`` and ``b``.
    matched_cosine_ : ndarray of shape (min(n_atoms_a, n_atoms_b),)
        Their cosines.
    """

    def __init__(self, a: Float64Array, b: Float64Array, n_random: int, rng: np.random.Generator) -> None:
        self.max_cosine_, self.pairs_, self.matched_cosine_ = _compare(a, b)
        self.mean_max_cosine_ = float(self.max_cosine_.mean())
        self.mean_matched_cosine_ = float(self.matched_cosine_.mean())
        by_chance = [_compare(a, random_atoms(b, len(b), rng)) for _ in range(n_random)]
        self.chance_max_cosine_ = float(np.mean([highest.mean() for highest, _, _ in by_chance]))
        self.chance_matched_cosine_ = float(np.mean([values.mean() for *_, values in by_chance]))

    def _table(self) -> tuple[str, dict[str, list[Any]]]:
        return f"{type(self).__name__}: {len(self.pairs_)} pairs", {
            "cosine": ["highest", "matched"],
            "mean": [self.mean_max_cosine_, self.mean_matched_cosine_],
            "by chance": [self.chance_max_cosine_, self.chance_matched_cosine_],
        }

    def __repr__(self) -> str:
        return as_text(*self._table())

    def _repr_html_(self) -> str:
        return as_html(*self._table())


def _compare(a: Float64Array, b: Float64Array) -> tuple[Float64Array, IntArray, Float64Array]:
    similarities = cosines(a, b)
    rows, columns = matched(similarities)
    return similarities.max(axis=1), np.column_stack([rows, columns]), similarities[rows, columns]


def _as_atoms(dictionary: Any, name: str) -> Float64Array:
    if isinstance(dictionary, BaseAutoencoder) or hasattr(dictionary, "steps"):
        return Inspected(dictionary).atoms
    if hasattr(dictionary, "components_"):
        dictionary = dictionary.components_
    elif hasattr(dictionary, "fit"):
        check_is_fitted(dictionary)
        raise TypeError(f"{name} must be atoms or an estimator with components_, got {dictionary!r}.")
    return check_array(dictionary, dtype=np.float64, input_name=name)


def dictionary_similarity(
    a: Any, b: Any, *, n_random: int = 5, random_state: int | np.random.RandomState | None = None
) -> DictionarySimilarity:
    """Compare two dictionaries by the cosines of their atoms, and with chance.

    Parameters
    ----------
    a, b : array-like of shape (n_atoms, n_features), or fitted estimator
        Atoms, or an estimator that has them: a `TopKAutoencoderTransformer` or `SparseAutoencoderTransformer`, alone or
        at the end of a Pipeline (its decoder weights), or any estimator with ``components_``, such as
        `sklearn.decomposition.DictionaryLearning`. Both must refer to the same features.
    n_random : int, default=5
        Number of random dictionaries; their mean similarity to ``a`` is the chance level.
    random_state : int, RandomState instance or None, default=None
        Seed of the random dictionaries.

    Returns
    -------
    similarity : DictionarySimilarity

    Raises
    ------
    ValueError
        If the atoms have different numbers of features, or ``n_random`` is below 1.
    TypeError
        If an autoencoder or Pipeline is of another kind.

    See Also
    --------
    feature_stability : The same for refits of one estimator, unit by unit.

    Notes
    -----
    The mean of the highest cosines (mean max cosine similarity [1]_) lets many atoms of ``a`` point at the same atom of
    ``b``, and is not symmetric. The one-to-one match [2]_ [3]_ is symmetric; with dictionaries of different sizes,
    atoms of the larger one are left over. Both rise with the number of atoms and fall with the number of features, so
    compare them with chance. Signs count: activations are not negative, so an atom and its opposite are two features.

    References
    ----------
    .. [1] L. Sharkey, D. Braun and B. Millidge, "Taking features out of superposition with sparse autoencoders",
       AI Alignment Forum, 2022.
    .. [2] G. Paulo and N. Belrose, "Sparse autoencoders trained on the same data learn different features", 2025.
    .. [3] T. Fel et al., "Archetypal SAE: adaptive and stable dictionary learning for concept extraction in large
       vision models", ICML 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from skl_sae.inspection import dictionary_similarity
    >>> atoms = np.random.default_rng(0).normal(size=(40, 16))
    >>> similarity = dictionary_similarity(atoms, 2 * atoms[::-1], random_state=0)
    >>> round(similarity.mean_matched_cosine_, 6)
    1.0
    >>> similarity.chance_matched_cosine_ < 0.6
    True
    """
    a, b = _as_atoms(a, "a"), _as_atoms(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"The atoms of a have {a.shape[1]} features, those of b {b.shape[1]}.")
    check_count("n_random", n_random)
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31))
    return DictionarySimilarity(a, b, n_random, rng)
