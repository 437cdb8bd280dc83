"""One score from several views of a row."""

import functools

import numpy as np
from sklearn.utils import gen_batches

from .._log import logger
from .._rows import DenseRows
from .._scatter import TIED_ROUNDED, rounded
from .._scoring import ScorerFit, take_reference
from . import OF_PLAUSIBILITY, OF_ROWS, VIEWS, choose_views, is_wide
from .base import LIMIT, Explain, Fitting, Inputs
from .kept import KeptRows, Place
from .surprise import Surprise

# Rows that views see at a time: they need many arrays of the size of these.
PART = 256

# No training row counts less than this, so that weights never vanish.
LEAST_PLAUSIBLE = 1e-6

# The unit of a feature is this part of its standard deviation over all rows at least.
LEAST_SPREAD = 0.01


class ViewScorer:
    r"""Scores rows by the harmonic mean of tail probabilities of several views.

    With :math:`t_v` the surprise of view v (see `Surprise`), the score is :math:`\log \frac{1}{V} \sum_v e^{t_v}`:
    minus the log of the harmonic mean [1]_ of the probabilities that a normal row looks as strange in each view.

    Parameters
    ----------
    explain : Explain
    views, surprises : dicts of `View` and `Surprise` by the name of the view

    References
    ----------
    .. [1] D. J. Wilson, "The harmonic mean p-value for combining dependent tests", PNAS 116, 2019.
    """

    def __init__(self, explain, views, surprises):
        self.explain, self.views, self.surprises = explain, views, surprises

    # -- fitting -----------------------------------------------------------------------------------

    @classmethod
    def fit(cls, rows, weights, rng, settings, learn):
        """Fit to rows of any kind.

        Parameters
        ----------
        rows : Rows
        weights : ndarray of shape (n,)
        rng : RandomState
        settings : object
            Its attribute ``scaling`` says whether to scale the features for the autoencoder.
        learn : callable
            ``learn(rows, weights, wide)`` trains the autoencoder on scaled rows and returns a `Network` in float64.

        Returns
        -------
        ScorerFit
            With the scores of the reference rows.
        """
        wide = is_wide(weights.sum(), rows.shape[1])
        reference, rows, weights = take_reference(rows, weights, rng)
        logger.debug("views: %s", ", ".join(choose_views(wide)))
        kept = KeptRows.of(reference)
        early = Fitting(reference, kept, rng)
        views = {name: VIEWS[name].fit(early) for name in OF_ROWS}
        raw, own = _look_at(reference, kept, views)
        rarity, of_reference = _Rarity.fit(views, raw, reference, kept)
        plausible = of_reference if reference.complete else rarity.of_rows(rows)
        used = weights * plausible
        shares = np.minimum(reference.weights, 1) * of_reference / used.sum()
        kept = kept.with_shares(shares[reference.kept])

        centre, spread = _location(reference, of_reference)
        unit = reference.span if wide else np.hypot(spread, reference.deviation)
        if settings.scaling is None:
            centre, unit = np.zeros_like(centre), np.ones_like(unit)
        unit = np.maximum(unit, np.finfo(rows.dtype).tiny)  # which would be 0 there
        network = learn(rows.map_rows(functools.partial(_standardize, centre, unit)), used, wide)

        explain = Explain(centre, unit, network, kept)
        n_effective = used.sum() ** 2 / (used @ plausible)
        late = Fitting(reference, kept, rng, explain, rows, used, spread, n_effective)
        names = choose_views(wide)
        views = {name: views[name] if name in views else VIEWS[name].fit(late) for name in names}
        others = {name: view for name, view in views.items() if name not in raw}
        parts = reference.rows.map(functools.partial(_raw_given_share, explain, others), kept.share_of(own))
        raw |= zip(others, np.hstack(list(parts)), strict=True)
        surprises = {name: Surprise.fit(raw[name], reference.weights, views[name].floor) for name in names}
        scorer = cls(explain, views, surprises)
        scores = scorer._join([raw[name] for name in names])
        return ScorerFit(scorer, scores, reference, None, TIED_ROUNDED, 0.0)

    # -- using the fit -----------------------------------------------------------------------------

    def score(self, rows):
        """Return the scores (n,) of a block of rows."""
        return self._join(_raw(self.explain, self.views, rows))

    def contributions(self, rows):
        """Return contributions (n, d) to the scores of a block of rows."""
        inputs = self.explain(rows)
        raw = [view.raw(inputs) for view in self.views.values()]
        surprises = self._surprises(raw)
        score, parts = self._join(raw), np.exp(surprises - np.logaddexp.reduce(surprises, axis=0))
        total = np.zeros(inputs.X.shape)
        for view, part in zip(self.views.values(), parts, strict=True):
            terms = view.terms(inputs)
            sums = terms.sum(axis=1, keepdims=True)
            shares = np.divide(terms, sums, out=np.full(terms.shape, 1 / terms.shape[1]), where=sums > view.floor)
            total += (score * part)[:, None] * shares
        return total

    def residuals(self, rows):
        """Return the residuals (n, d) of a block of rows, in scaled units."""
        return self.explain.without_place(rows).residual

    def reconstruct(self, rows):
        """Return the reconstructions (n, d) of a block of rows, in the units of X."""
        return rows.toarray() - self.explain.unit * self.residuals(rows)

    def _surprises(self, raw):
        return np.array([surprise(part) for surprise, part in zip(self.surprises.values(), raw, strict=True)])

    def _join(self, raw):
        surprises = self._surprises(raw)
        return rounded(np.logaddexp.reduce(surprises, axis=0) - np.log(len(surprises)))

    def location_and_precision(self):
        """Return the moments behind the code, or what weighs the squared errors in their place."""
        if "code" in self.views:
            return self.views["code"].mean, self.views["code"].precision
        return np.zeros_like(self.explain.centre), np.ones_like(self.explain.centre)

    # -- ONNX --------------------------------------------------------------------------------------

    def onnx(self, node, X, network):
        """Return scores (n, 1) in a graph; ``network(tensor)`` gives codes and reconstructions of scaled rows."""
        tensors = self.explain.onnx(node, X, network)
        surprises = [self.surprises[name].onnx(node, view.onnx(node, tensors)) for name, view in self.views.items()]
        highest = node("Max", *surprises)
        total = node("Exp", node("Sub", surprises[0], highest))
        for surprise in surprises[1:]:
            total = node("Add", total, node("Exp", node("Sub", surprise, highest)))
        return node("Add", highest, node("Log", node("Div", total, np.array([float(len(surprises))]))))

    # -- saving ------------------------------------------------------------------------------------

    def state(self):
        """Return arrays and numbers from which `from_state` makes this scorer."""
        explain = self.explain
        return {
            "centre": explain.centre,
            "unit": explain.unit,
            "kept": vars(explain.kept),
            "views": {name: vars(view) for name, view in self.views.items()},
            "surprises": {name: vars(surprise) for name, surprise in self.surprises.items()},
        }

    @classmethod
    def from_state(cls, state, network):
        """Return the scorer of a `state`, with its autoencoder."""
        explain = Explain(state["centre"], state["unit"], network, KeptRows(**state["kept"]))
        views = {name: VIEWS[name](**attributes) for name, attributes in state["views"].items()}
        return cls(explain, views, {name: Surprise(**attributes) for name, attributes in state["surprises"].items()})

    def check(self, check_numbers, d, m):
        """Refuse attributes that no fit leaves, for d features and m units."""
        explain, kept = self.explain, self.explain.kept
        kept.check(check_numbers, d)
        check_numbers("centre of the features", explain.centre, (d,))
        check_numbers("positive unit of the features", np.where(explain.unit > 0, explain.unit, np.nan), (d,))
        for view in self.views.values():
            view.check(check_numbers, d, m, len(kept.points))
        for surprise in self.surprises.values():
            surprise.check(check_numbers)


class _Rarity:
    """How plausible it is that rows are normal, by views of the rows alone."""

    def __init__(self, views, surprises, kept):
        self.views, self.surprises, self.kept = views, surprises, kept

    @classmethod
    def fit(cls, views, raw, reference, kept):
        """Return it, and the plausibility of the rows of the reference, whose raw scores are given."""
        views = {name: views[name] for name in OF_PLAUSIBILITY}
        surprises = [Surprise.fit(raw[name], reference.weights, view.floor) for name, view in views.items()]
        rarity = cls(views, surprises, kept)
        return rarity, rarity._plausibility([raw[name] for name in views])

    def of_rows(self, rows):
        """Return the plausibility (n,) of rows: the smallest of the shares of training rows that are as rare."""
        return np.concatenate(list(rows.map(self)))

    def __call__(self, rows):
        return self._plausibility(_raw(functools.partial(_without_model, self.kept), self.views, rows))

    def _plausibility(self, raw):
        surprises = [surprise(part) for surprise, part in zip(self.surprises, raw, strict=True)]
        return np.maximum(np.exp(-np.max(surprises, axis=0)), LEAST_PLAUSIBLE)


def _without_model(kept, rows):
    """Return the `Inputs` of rows for views of the rows alone."""
    X = rows.toarray().astype(np.float64)
    return Inputs(X, kept, kept.place(X))


def _raw(explain, views, rows):
    """Return the raw scores (n_views, n) of a block of rows."""
    parts = (explain(rows[part]) for part in gen_batches(len(rows), PART))
    return np.hstack([np.array([view.raw(inputs) for view in views.values()]) for inputs in parts])


def _look_at(reference, kept, views):
    """Return raw scores by views of the rows alone (name: (r,)), and which kept row each row is (r,), or -1."""
    own = []

    def explain(rows):
        inputs = _without_model(kept, rows)
        own.append(inputs.place.own)
        return inputs

    parts = reference.rows.map(functools.partial(_raw, explain, views))
    return dict(zip(views, np.hstack(list(parts)), strict=True)), np.concatenate(own)


def _raw_given_share(explain, views, rows, own_share):
    """Return the raw scores (n_views, n) of training rows by views that look for no neighbours."""
    raw = []
    for part in gen_batches(len(rows), PART):
        inputs = explain.without_place(rows[part])._replace(place=Place(own_share=own_share[part]))
        raw.append(np.array([view.raw(inputs) for view in views.values()]))
    return np.hstack(raw)


def _standardize(centre, unit, rows):
    return rows.standardized(centre, unit, rows.dtype.type(LIMIT))


def _location(reference, plausible):
    """Return the centre and the spread (d,) of each feature over the plausible rows, without wild values."""
    X, weights = reference.clipped, reference.weights
    centre, variance = DenseRows(X).moments(weights * plausible)
    _, whole = DenseRows(X).moments(weights)
    whole = np.where((X[0] == X).all(axis=0), 1, whole)
    return centre, np.sqrt(np.maximum(variance, LEAST_SPREAD**2 * whole))
