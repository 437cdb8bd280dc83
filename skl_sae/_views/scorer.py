"""One score from several views of a row."""

import operator

import numpy as np

from .._scatter import TIED_ROUNDED, rounded
from .._scoring import ScorerFit
from . import OF_ROWS, VIEWS
from .base import Explain
from .kept import KeptRows
from .rows import FirstLook, RowViews, chosen, fit_views, raw_given_share
from .surprise import Surprise


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
            Its attribute ``scaling`` says whether to scale the features for the autoencoder, and its method ``_once``
            calls a function, unless it has been called for the same rows and arguments before.
        learn : callable
            ``learn(rows, weights, wide)`` trains the autoencoder on scaled rows and returns a `Network` in float64.

        Returns
        -------
        ScorerFit
            With the scores of the reference rows.
        """
        first = settings._once(FirstLook.at, rows, weights, rng, settings.scaling)
        network = learn(first.scaled, first.fitting.weights, first.wide)
        fitting = first.fitting._replace(explain=first.fitting.explain.by(network))
        others = fit_views([name for name in first.names if name not in OF_ROWS], fitting, first.own_share)
        both = zip((first.views, first.surprises, first.found), others, strict=True)
        views, surprises, found = (chosen(first.names, *parts) for parts in both)
        scores = _join(list(found.values()))
        return ScorerFit(cls(fitting.explain, views, surprises), scores, fitting.reference, None, TIED_ROUNDED, 0.0)

    # -- using the fit -----------------------------------------------------------------------------

    @property
    def of_rows(self):
        """The views of the rows alone."""
        names = [name for name in self.views if name in OF_ROWS]
        return RowViews(self.explain.by(None), chosen(names, self.views), chosen(names, self.surprises))

    def scores(self, rows, once=operator.call):
        """Return the scores (n,) of rows of any kind; ``once`` calls a function, as ``_once`` in `fit` does."""
        surprises, own = once(self.of_rows.look, rows)
        return np.concatenate(list(rows.map(self._score, surprises, self.explain.kept.share_of(own))))

    def _score(self, rows, surprises, own_share):
        """Return the scores (n,) of a block of rows, from what the views of the rows alone have found."""
        found = dict(zip(self.of_rows.views, surprises.T, strict=True))
        for name, view in self.views.items():
            if name not in found:
                found[name] = self.surprises[name](raw_given_share(self.explain, view, rows, own_share))
        return _join([found[name] for name in self.views])

    def contributions(self, rows):
        """Return contributions (n, d) to the scores of a block of rows."""
        inputs = self.explain(rows)
        raw = [view.raw(inputs) for view in self.views.values()]
        surprises = np.array([surprise(part) for surprise, part in zip(self.surprises.values(), raw, strict=True)])
        score, parts = _join(surprises), np.exp(surprises - np.logaddexp.reduce(surprises, axis=0))
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

    def location_and_precision(self):
        """Return mean and precision of residual and code or, without that view, zeros and ones for squared errors."""
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
            "limit": explain.limit,
            "kept": vars(explain.kept),
            "views": {name: vars(view) for name, view in self.views.items()},
            "surprises": {name: vars(surprise) for name, surprise in self.surprises.items()},
        }

    @classmethod
    def from_state(cls, state, network):
        """Return the scorer of a `state`, with its autoencoder."""
        explain = Explain(KeptRows(**state["kept"]), state["centre"], state["unit"], state["limit"], network)
        views = {name: VIEWS[name](**attributes) for name, attributes in state["views"].items()}
        return cls(explain, views, {name: Surprise(**attributes) for name, attributes in state["surprises"].items()})

    def check(self, check_numbers, d, m):
        """Refuse attributes that no fit leaves, for d features and m units."""
        explain, kept = self.explain, self.explain.kept
        kept.check(check_numbers, d)
        check_numbers("centre of the features", explain.centre, (d,))
        check_numbers("positive unit of the features", np.where(explain.unit > 0, explain.unit, np.nan), (d,))
        check_numbers("limit of the features", np.where(explain.limit > 0, explain.limit, np.nan), ())
        for view in self.views.values():
            view.check(check_numbers, d, m, len(kept.points))
        for surprise in self.surprises.values():
            surprise.check(check_numbers)


def _join(surprises):
    """Return scores (n,) from the surprises (n,) of all views."""
    return rounded(np.logaddexp.reduce(surprises, axis=0) - np.log(len(surprises)))
