"""What is known of rows before there is an autoencoder: views of the rows alone."""

import functools
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from .._log import logger
from .._rows import DenseRows
from .._scoring import take_reference
from . import OF_PLACES, OF_PLAUSIBILITY, OF_ROWS, VIEWS, choose_views, is_wide
from .base import LIMIT, Explain, Fitting
from .kept import KeptRows, Place
from .surprise import Surprise

# Rows that views see at a time: they need many arrays of this size.
PART = 256

# No training row counts less than this, so that weights never vanish.
LEAST_PLAUSIBLE = 1e-6

# The unit of a feature is at least this fraction of its standard deviation over all rows.
LEAST_SPREAD = 0.01


class RowViews:
    """Views of the rows alone.

    Parameters
    ----------
    explain : Explain
        It needs no autoencoder.
    views, surprises : dicts of `View` and `Surprise` by the name of the view
    """

    def __init__(self, explain, views, surprises):
        self.explain, self.views, self.surprises = explain, views, surprises

    def look(self, rows):
        """Return surprises (n, n_views) of rows of any kind, and which kept row each row is (n,), or -1."""
        raw, own = _look_at(rows, self.explain, self.views)
        surprises = [surprise(raw[name]) for name, surprise in self.surprises.items()]
        return np.column_stack(surprises), own


class FirstLook(NamedTuple):
    """What training rows say before there is an autoencoder."""

    names: Any  # of the views that make up a score
    wide: Any  # whether rows are too few, or features too many, for a covariance
    scaled: Any  # the distinct training rows as the autoencoder takes them, of any kind
    fitting: Any  # Fitting, without an autoencoder
    views: Any  # dict of the `View`s of the score that need none
    surprises: Any  # dict of their `Surprise`s
    found: Any  # dict of the surprises (r,) of the rows of the reference
    own_share: Any  # (r,), `Place.own_share` of these rows

    @classmethod
    def at(cls, rows, weights, rng, scaling):
        """Look at training rows of any kind; ``scaling`` says whether to scale features for the autoencoder."""
        wide = is_wide(weights.sum(), rows.shape[1])
        names = choose_views(wide)
        logger.debug("views: %s", ", ".join(names))
        reference, rows, weights = take_reference(rows, weights, rng)
        kept = KeptRows.of(reference)
        views = {name: VIEWS[name].fit(Fitting(reference, kept, rng)) for name in OF_PLACES}
        raw, own = _look_at(reference.rows, Explain(kept), views)
        surprises, found = rank(raw, views, reference)
        of_reference = plausible = _plausibility([found[name] for name in OF_PLAUSIBILITY])
        if not reference.complete:
            some = ({name: part[name] for name in OF_PLAUSIBILITY} for part in (views, surprises))
            plausible = _plausibility(RowViews(Explain(kept), *some).look(rows)[0].T)
        used = weights * plausible
        shares = np.minimum(reference.weights, 1) * of_reference / used.sum()
        kept = kept.with_shares(shares[reference.kept])

        centre, spread = _location(reference, of_reference)
        unit, limit = reference.span if wide else np.hypot(spread, reference.deviation), LIMIT
        if scaling is None:
            limit = min(float(np.max(np.abs(centre) + LIMIT * unit)), float(np.finfo(rows.dtype).max))
            unit = np.ones_like(unit)
        origin = np.zeros_like(centre) if scaling is None else centre
        unit = np.maximum(unit, np.finfo(rows.dtype).tiny)  # a smaller one would be 0 in this dtype
        scaled = rows.map_rows(functools.partial(_standardize, origin, unit, limit))

        n_effective = used.sum() ** 2 / (used @ plausible)
        explain = Explain(kept, origin, unit, limit)
        fitting = Fitting(reference, kept, None, explain, rows, used, centre, spread, n_effective)
        own_share = kept.share_of(own)
        others = fit_views([name for name in names if name in OF_ROWS and name not in views], fitting, own_share)
        parts = (chosen(names, *both) for both in zip((views, surprises, found), others, strict=True))
        return cls(names, wide, scaled, fitting, *parts, own_share)


def fit_views(names, fitting, own_share):
    """Fit views that look for no neighbours; return them, their `Surprise`s and those of the reference, by name."""
    views, rows = {name: VIEWS[name].fit(fitting) for name in names}, fitting.reference.rows
    raw = {}
    for name, view in views.items():
        look = functools.partial(raw_given_share, fitting.explain, view)
        raw[name] = np.concatenate(list(rows.map(look, own_share)))
    return views, *rank(raw, views, fitting.reference)


def rank(raw, views, reference):
    """Return the `Surprise` of each view, and the surprises (r,) of the reference, from its raw scores (r,)."""
    surprises = {name: Surprise.fit(raw[name], reference.weights, view.floor) for name, view in views.items()}
    return surprises, {name: surprise(raw[name]) for name, surprise in surprises.items()}


def chosen(names, *parts):
    """Return one dictionary with the entries of several that have one of the names, in the order of the names."""
    return {name: part[name] for name in names for part in parts if name in part}


def _look_at(rows, explain, views):
    """Return raw scores of rows of any kind (name: (n,)), and which kept row each row is (n,), or -1."""
    raw, own = map(np.concatenate, zip(*rows.map(functools.partial(_look_at_block, explain, views)), strict=True))
    return dict(zip(views, raw.T, strict=True)), own


def _look_at_block(explain, views, rows):
    seen = []
    for part in gen_batches(len(rows), PART):
        inputs = explain(rows[part])
        seen.append((np.column_stack([view.raw(inputs) for view in views.values()]), inputs.place.own))
    return tuple(map(np.concatenate, zip(*seen, strict=True)))


def raw_given_share(explain, view, rows, own_share):
    """Return the raw scores (n,) of a block of rows by a view that looks for no neighbours."""
    raw = []
    for part in gen_batches(len(rows), PART):
        inputs = explain.without_place(rows[part])._replace(place=Place(own_share=own_share[part]))
        raw.append(view.raw(inputs))
    return np.concatenate(raw)


def _plausibility(surprises):
    """Return how plausible it is that rows are normal: over the views, the smallest share of training rows as rare."""
    return np.maximum(np.exp(-np.max(surprises, axis=0)), LEAST_PLAUSIBLE)


def _standardize(centre, unit, limit, rows):
    return rows.standardized(centre, unit, rows.dtype.type(limit))


def _location(reference, plausible):
    """Return the centre and the spread (d,) of each feature over the plausible rows, without wild values."""
    X, weights = reference.clipped, reference.weights
    centre, variance = DenseRows(X).moments(weights * plausible)
    _, whole = DenseRows(X).moments(weights)
    whole = np.where((X[0] == X).all(axis=0), 1, whole)
    return centre, np.sqrt(np.maximum(variance, LEAST_SPREAD**2 * whole))
