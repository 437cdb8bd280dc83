"""A search as a walk: every autoencoder starts from the weights of the nearest one that is finished."""

import contextlib
import copy
import functools
import hashlib
import itertools
import operator
import os
import pickle
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._validation import _fit_and_score
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_info, threadpool_limits

from ._base import BaseAutoencoder
from ._callbacks import DURING_FIT, FROM_SEARCH
from ._types import Problems
from .exceptions import DivergenceError

# What fits each of its estimators once, so that "the autoencoder" of a fit has a meaning.
CONTAINERS = Pipeline, ColumnTransformer, FeatureUnion, TransformedTargetRegressor

# Attributes of an autoencoder that say which share of its units tells nothing about a row. Large penalties make units
# constant even in fits from random weights, where dead and saturated ones are rare.
BROKEN, CONSTANT = ("dead_fraction_", "saturated_fraction_"), ("constant_fraction_",)

# A walk starts over from random weights where the share of broken units exceeds that at its start by more than the
# first number, or the share of units that tell nothing exceeds the second.
NEWLY_BROKEN, MOSTLY_USELESS = 0.1, 0.5

# Most results that fits on a path share: those of training and test rows, and a few more if a scorer sees other rows.
MOST_RESULTS = 8


class Stop(NamedTuple):
    """A setting of the autoencoder on a path."""

    values: tuple[float, ...]  # of the path's parameters
    start: int | None  # position of the stop whose weights this one starts from, None for random ones
    candidates: list[int]  # indices of those with this setting, which differ only in other steps


class Path(NamedTuple):
    """Settings of the autoencoder, in the order of visits, that differ only in parameters a warm start can follow."""

    route: str | None  # parameter name of the autoencoder, "" if it is the estimator, None if there is no autoencoder
    names: tuple[str, ...]
    stops: list[Stop]
    is_random: bool = False  # whether the autoencoder has random_state=None

    def draw_seed(self):
        """Return a seed for all fits of a walk that have none: fits with different seeds could not share anything."""
        if not self.is_random or len(self.stops) == 1:
            return None
        return check_random_state(None).randint(np.iinfo(np.int32).max)

    def divide(self, n_parts):
        """Return at most ``n_parts`` lists of stops, by their positions, with about as many candidates each.

        Branches of the tree stay together as far as possible, since a process that takes a part has to train the stops
        on the way to it as well.
        """
        ways: list[list[int]] = []
        for i, stop in enumerate(self.stops):
            ways.append([*([] if stop.start is None else ways[stop.start]), i])
        order = sorted(range(len(ways)), key=ways.__getitem__)
        last = np.cumsum([len(self.stops[i].candidates) for i in order])
        number = (last - 1) * n_parts // last[-1]
        return [sorted(order[k] for k in np.flatnonzero(number == part)) for part in np.unique(number)]


# -- planning --------------------------------------------------------------------------------------


def plan(estimator, candidates):
    """Return the paths that lead through all candidates, dictionaries of parameters."""
    groups: dict[Any, dict[tuple[float, ...], list[int]]] = {}
    others = []
    for index, parameters in enumerate(candidates):
        configured = clone(estimator).set_params(**clone(parameters, safe=False))
        route = find_autoencoder(configured)
        if route is None:
            others.append(Path(None, (), [Stop((), None, [index])]))
            continue
        named = _named(configured)
        model = named[route]
        names = tuple(name for name in model._followed if _is_number(getattr(model, name)))
        prefix = f"{route}__" if route else ""
        free = {prefix + name for name in names}
        fixed = [
            (name, _identity(value))
            for name, value in sorted(parameters.items())
            if name not in free and not _comes_later(name, route, named)
        ]
        settings = groups.setdefault((route, type(model), names, tuple(fixed), model.random_state is None), {})
        values = tuple(float(getattr(model, name)) for name in names)
        settings.setdefault(values, []).append(index)
    if not groups:
        raise ValueError(
            f"PathSearchCV found no autoencoder of skl_sae in estimator={estimator!r}. Use GridSearchCV for other "
            "estimators."
        )
    return [
        Path(route, names, arrange(names, settings), is_random)
        for (route, _, names, _, is_random), settings in groups.items()
    ] + others


def find_autoencoder(estimator):
    """Return the parameter name of the only autoencoder: "" for the estimator itself, None if there is none."""
    named = _named(estimator)
    found = [
        name
        for name, value in named.items()
        if isinstance(value, BaseAutoencoder)
        and not any(isinstance(named[outer], FrozenEstimator) for outer in _ancestors(name))
    ]
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(
            f"PathSearchCV walks over the parameters of one autoencoder, but found {len(found)}: {', '.join(found)}. "
            "Use GridSearchCV, or fit all but one beforehand and wrap them in FrozenEstimator."
        )
    (route,) = found
    for name in _ancestors(route):
        if not isinstance(named[name], CONTAINERS):
            kind = type(named[name]).__name__
            raise ValueError(
                f"PathSearchCV found the autoencoder {route!r} inside a {kind}, which may fit it any number of times. "
                f"It can look only into {', '.join(container.__name__ for container in CONTAINERS)}. Use GridSearchCV, "
                f"or put the PathSearchCV inside the {kind}."
            )
    return route


def _named(estimator):
    return {"": estimator, **estimator.get_params()}


def _ancestors(route):
    """Return the parameter names of what contains an estimator, the outermost first."""
    parts = route.split("__") if route else []
    return ["__".join(parts[:depth]) for depth in range(len(parts))]


def _next_within(outer, route):
    """Return the name of the part of a container that is or holds the autoencoder."""
    return route.removeprefix(f"{outer}__" if outer else "").split("__")[0]


def _names_within(container):
    """Return the names of what a container fits, in order."""
    if isinstance(container, Pipeline):
        return [name for name, _ in container.steps]
    if isinstance(container, FeatureUnion):
        return [name for name, _ in container.transformer_list]
    if isinstance(container, ColumnTransformer):
        return [name for name, *_ in container.transformers]
    return ["regressor"]


def _comes_later(name, route, named):
    """Whether a parameter belongs to a step that the autoencoder does not depend on: one after it or beside it."""
    for outer in _ancestors(route):
        prefix, inner = f"{outer}__" if outer else "", _next_within(outer, route)
        others = _names_within(named[outer])
        if isinstance(named[outer], Pipeline):
            others = others[others.index(inner) + 1 :]
        if any(f"{name}__".startswith(f"{prefix}{other}__") for other in others if other != inner):
            return True
    return False


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_) and value == value  # not NaN


def _identity(value):
    """Return what tells values of a parameter apart; other objects are equal only to themselves.

    5, 5.0 and True are apart, since a parameter may take one of them and refuse the others.
    """
    if isinstance(value, tuple):
        return tuple(map(_identity, value))
    if value is None or isinstance(value, str | Real):
        return isinstance(value, bool), isinstance(value, Integral), value
    return "object", id(value)


def arrange(names, settings):
    """Return the stops of a path through ``settings``, a dictionary from values to candidates.

    The path starts in the middle and then goes, again and again, to the setting that is nearest to a finished one: a
    minimum spanning tree, by Prim's algorithm [1]_. Distances are steps in the grid. A step of a parameter that comes
    later in ``names`` is longer, because it takes more iterations.

    References
    ----------
    .. [1] R. C. Prim, "Shortest connection networks and some generalizations", Bell System Technical Journal 36, 1957.
    """
    nodes = sorted(settings)
    steps = np.zeros((len(nodes), len(names)), dtype=int)
    middle = np.zeros(len(names), dtype=int)
    for axis, name in enumerate(names):
        levels, steps[:, axis] = np.unique([node[axis] for node in nodes], return_inverse=True)
        # From a loose tolerance to a tight one: the other way round there would be nothing left to do.
        middle[axis] = len(levels) - 1 if name == "tol" else (len(levels) - 1) // 2
    lengths = 1 + np.arange(len(names))
    root = int(np.argmin(np.abs(steps - middle) @ lengths))
    order, start = [root], {}
    distance, nearest = np.abs(steps - steps[root]) @ lengths, np.zeros(len(nodes), dtype=int)
    is_left = np.arange(len(nodes)) != root
    while is_left.any():
        closest = is_left & (distance == distance[is_left].min())
        node = int(np.argmin(np.where(closest, nearest, len(nodes))))
        start[node], is_left[node] = int(nearest[node]), False
        order.append(node)
        lengths_to = np.abs(steps - steps[node]) @ lengths
        closer = lengths_to < distance
        distance[closer], nearest[closer] = lengths_to[closer], len(order) - 1
    return [Stop(nodes[node], start.get(node), settings[nodes[node]]) for node in order]


# -- walking ---------------------------------------------------------------------------------------


class Fit(NamedTuple):
    """A finished autoencoder."""

    attributes: dict[str, Any]
    broken_at_start: float  # share of broken units where the walk last started from random weights
    record: dict[str, float]
    problems: Problems


class Walk:
    """Some stops of a path on one set of training rows: finished autoencoders, fitted steps before them, and a memo.

    Parameters
    ----------
    path : Path
    stops : list of int
        Positions of the stops that will be visited, in increasing order. Those on the way to them are trained as well.
    seed : int or None
        Random seed for autoencoders that have none.
    n_processors : int
        Number of processors to train on.
    """

    def __init__(self, path, stops, seed=None, n_processors=1):
        self.path, self.fits, self._before = path, {}, {}
        self._once, self._sharing, self._visited = Memo(), [], -1
        self._seed, self._n_processors = seed, n_processors
        self._last_use: dict[int, int] = {}  # of each fit: the last visit at which one starts from it
        known: set[int] = set()
        for i in stops:
            self._last_use[i] = j = i
            while j is not None and j not in known:
                known.add(j)
                j = path.stops[j].start
                if j is not None:
                    self._last_use[j] = i

    @contextlib.contextmanager
    def joined(self, estimator, i):
        """Make the next fit of an estimator that of stop i; its parameters may still change before it."""
        self._visited = i
        estimator.fit = functools.partial(self._fit, estimator, i)
        try:
            yield
        finally:
            vars(estimator).pop("fit", None)
            for model in self._sharing:
                vars(model).pop("_once", None)
            self._sharing.clear()

    def record(self, i):
        """Return what is known of the autoencoder of stop i; nothing if its fit has failed, or if there is none."""
        return {} if self.fits.get(i) is None else self.fits[i].record

    def problems(self, i):
        """Return what to warn of after the fit of stop i."""
        return [] if self.fits.get(i) is None else self.fits[i].problems

    def leave(self, i):
        """Forget autoencoders from which no stop after the i-th starts."""
        for j in sorted(self.fits, reverse=True):
            if self.fits[j] is None:
                self._pass_by(j)
            if self._last_use[j] <= i:
                del self.fits[j]

    def _pass_by(self, j):
        """Return from where others start because the fit of stop j has failed: where it would have started."""
        start = self.path.stops[j].start
        if start is not None:
            self._last_use[start] = max(self._last_use[start], self._last_use[j])
        return start

    def _fit(self, estimator, i, *data, **params):
        """Fit an estimator whose autoencoder is at stop i."""
        del estimator.fit
        if self.path.route is None:
            return estimator.fit(*data, **params)
        named = _named(estimator)
        model = named[self.path.route]
        lent = {name: self._lend(name, named[name]) for name in _ancestors(self.path.route)}
        model.fit = functools.partial(self._train, model, i)
        model.__sklearn_clone__ = lambda: model  # ColumnTransformer clones what it fits
        try:
            estimator.fit(*data, **params)
        finally:
            vars(model).pop("fit", None)
            vars(model).pop("__sklearn_clone__", None)
            for name, values in lent.items():
                vars(named[name]).update(values)
        if i not in self.fits:
            raise RuntimeError(
                f"What contains the autoencoder {self.path.route!r} did not fit it. Does a ColumnTransformer select no "
                "columns for it?"
            )
        for name, fitted in self._fitted_along(estimator):
            vars(fitted).update(lent.get(name, {}))
        return estimator

    def _lend(self, name, container):
        """Change parameters of what contains the autoencoder for one fit; return their values."""
        changed: dict[str, Any] = {}
        if isinstance(container, Pipeline):
            changed = {"memory": Before(self._before.setdefault(name, {}), self._count_before(name, container))}
        elif hasattr(container, "n_jobs"):
            changed = {"n_jobs": 1}  # other processes are out of reach
        values = {key: getattr(container, key) for key in changed}
        vars(container).update(changed)
        return values

    def _count_before(self, name, pipeline):
        """Return the number of steps before the autoencoder that do something."""
        steps = pipeline.steps[: _names_within(pipeline).index(_next_within(name, self.path.route))]
        return sum(step not in (None, "passthrough") for _, step in steps)

    def _fitted_along(self, estimator):
        """Yield what contains the autoencoder, fitted, with its parameter name."""
        for name in _ancestors(self.path.route):
            yield name, estimator
            inner = _next_within(name, self.path.route)
            if isinstance(estimator, ColumnTransformer):
                estimator = estimator.named_transformers_[inner]
            elif isinstance(estimator, TransformedTargetRegressor):
                estimator = estimator.regressor_
            else:
                parts = estimator.steps if isinstance(estimator, Pipeline) else estimator.transformer_list
                estimator = dict(parts)[inner]

    def _train(self, model, i, *data, **params):
        """Do what ``model.fit`` would do, at stop i."""
        vars(model).pop("fit", None)
        vars(model).pop("__sklearn_clone__", None)
        model._once = self._once
        self._sharing.append(model)
        if self.fits.get(i) is None:
            self.fits[i] = None  # if this raises, others must not try to start from here
            start = self._start(model, i, data, params)
            with threads_on(self._n_processors):
                self.fits[i] = self._learn(model, start, data, params)
            if start is not None and self._last_use[start] <= self._visited:
                del self.fits[start]
        vars(model).update(self.fits[i].attributes)
        if not model.warm_start:
            vars(model).pop("_training", None)
        return model

    def _start(self, model, i, data, params):
        """Return the position of the nearest finished stop on the way to the i-th; None if there is none.

        Stops on the way that will not be visited are fitted here.
        """
        stops = self.path.stops
        missing, j = [], stops[i].start
        while j is not None and j not in self.fits:
            missing.append(j)
            j = stops[j].start
        for j in reversed(missing):
            values = dict(zip(self.path.names, stops[j].values, strict=True))
            values["random_state"] = copy.deepcopy(model.random_state)  # as each candidate has its own
            try:
                self._train(_twin(model, **values), j, *data, **params)
            except Exception:  # as in a walk over all stops, where it counts as a failed fit
                self.fits[j] = None
        j = stops[i].start
        while j is not None and self.fits[j] is None:
            j = self._pass_by(j)
        return j

    def _learn(self, model, j, data, params):
        """Fit a model, from the weights at stop j or from random ones; return a `Fit`."""
        problems: Problems = []
        model._warn = functools.partial(operator.setitem, problems, slice(None))  # keeps those of the last fit
        before = set(vars(model))
        parameters = {name: getattr(model, name) for name in ("warm_start", "random_state")}
        try:
            if len(self.path.stops) > 1:
                model.warm_start = True  # what solvers remember is kept only then
                model.random_state = self._seed if model.random_state is None else model.random_state
            collapsed = j is not None and not self._continue(model, self.fits[j], data, params)
            fitted = model
            if collapsed:
                for name in vars(model).keys() - before:
                    delattr(model, name)
                fitted = _twin(model)  # one task of callbacks is one fit
            if j is None or collapsed:
                type(fitted).fit(fitted, *data, **params)
        finally:
            vars(model).update(parameters)
            del model._warn
        unfitted = before | set(DURING_FIT) | set(model.get_params(deep=False))
        attributes = {name: value for name, value in vars(fitted).items() if name not in unfitted}
        cold = j is None or collapsed
        broken = _share(fitted, BROKEN) if cold else self.fits[j].broken_at_start
        record = {
            "start": -1 if cold else self.path.stops[j].candidates[0],
            "collapsed": collapsed,
            "n_iter": fitted.n_iter_,
            "loss": fitted.loss_,
            "mean_activation": float(np.mean(getattr(fitted, "mean_activation_", np.nan))),
            "dead_fraction": fitted.dead_fraction_,
        }
        return Fit(attributes, broken, record, problems)

    def _continue(self, model, start, data, params):
        """Fit a model from the weights of a finished one; return whether it is as sound as that."""
        empty = {name: np.empty(0) for name in start.attributes["history_"]}  # so that the history is that of this fit
        vars(model).update(start.attributes | {"history_": empty})
        try:
            type(model).fit(model, *data, **params)
        except DivergenceError:
            return False
        judged = model.history_.get("validation_loss", model.history_["loss"])  # by which the weights were kept
        return (
            _share(model, BROKEN) <= start.broken_at_start + NEWLY_BROKEN
            and _share(model, BROKEN + CONSTANT) <= MOSTLY_USELESS
            and judged[-1] <= judged[0]
        )


def _twin(model, **values):
    """Return an unfitted model with the same parameters, but for ``values``, and without callbacks."""
    twin = type(model)(**model.get_params(deep=False) | values)
    vars(twin).update({name: vars(model)[name] for name in FROM_SEARCH if name in vars(model)})
    return twin


def _share(model, names):
    """Return the largest of some shares of units; an autoencoder need not know all of them."""
    return max(getattr(model, name, 0.0) for name in names)


class Before:
    """A Pipeline's memory that fits the first ``n`` steps once."""

    location = None  # then a Pipeline does not clone the steps

    def __init__(self, kept, n):
        self._kept, self._n, self._next = kept, n, 0

    def __sklearn_clone__(self):
        return self

    def cache(self, function, **_):
        """Return the function that fits a step, wrapped; a Pipeline calls this first when it is fitted."""
        self._next = 0

        @functools.wraps(function)
        def fit_step(*args, **kwargs):
            position, self._next = self._next, self._next + 1
            if position >= self._n:
                return function(*args, **kwargs)
            if position not in self._kept:
                self._kept[position] = function(*args, **kwargs)
            return self._kept[position]

        return fit_step


def digest(*contents):
    """Return a digest of objects, without copies of arrays. Equal objects may differ if they were built differently."""
    buffers: list[pickle.PickleBuffer] = []
    result = hashlib.sha256(pickle.dumps(contents, protocol=5, buffer_callback=buffers.append))
    for buffer in buffers:
        result.update(buffer.raw())
    return result.digest()


class Memo:
    """Calls functions of rows, and returns a kept result where function and arguments have the same content.

    Rows of a cluster are not compared: their functions are called each time.
    """

    def __init__(self):
        self._results = {}

    def __call__(self, function, rows, *args):
        if not rows.is_local:
            return function(rows, *args)
        key, generators = digest(function, rows, args), [x for x in args if isinstance(x, np.random.RandomState)]
        if key in self._results:
            result, states = self._results.pop(key)
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
        else:
            result = function(rows, *args)
            states = [generator.get_state() for generator in generators]
        self._results[key] = result, states
        if len(self._results) > MOST_RESULTS:
            del self._results[next(iter(self._results))]  # the least recently used
        return result


@contextlib.contextmanager
def threads_on(n_processors):
    """Let autoencoders use processors that other processes leave idle; no bit of a fit depends on their number."""
    if n_processors == 1:
        yield
        return
    granted = max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)
    with threadpool_limits(granted * n_processors, user_api="blas"):
        yield


def share_processors(n_tasks, n_processes):
    """Return how many processors each task can have: the last tasks also get those that are left over."""
    n_last = n_tasks % n_processes
    return [1] * (n_tasks - n_last) + [n_processes // n_last for _ in range(n_last)]


class Share(NamedTuple):
    """A piece of work for one process: to visit stops of a path on one fold."""

    path: Path
    stops: list[int]  # by their positions
    split: int
    seed: int | None
    n_processors: int


def share_walks(paths, n_splits, n_processes):
    """Return a list of `Share`: the last walks are divided among processes that would be idle.

    If a walk has fewer stops than processors, each stop is trained on several threads.
    """
    walks, shares = list(itertools.product(paths, range(n_splits))), []
    for (path, split), n_processors in zip(walks, share_processors(len(walks), n_processes), strict=True):
        parts, seed = path.divide(n_processors), path.draw_seed()
        shares += [Share(path, stops, split, seed, n_processors // len(parts)) for stops in parts]
    return shares


class Visit(NamedTuple):
    """What the fit of a candidate on one fold leaves."""

    candidate: int
    outcome: dict[str, Any]  # of scikit-learn's `_fit_and_score`
    record: dict[str, float]  # of the autoencoder, empty if there is none
    problems: Problems  # of its fit


def walk_fold(path, stops, estimator, X, y, candidates, tasks, *, seed, n_processors, process, **options):
    """Visit stops of a path on one fold: fit and score their candidates. Return a list of `Visit`.

    ``tasks`` has the arguments that differ between candidates; ``process`` is the id of the process that searches.
    """
    walk, visits = Walk(path, stops, seed, n_processors if process != os.getpid() else 1), []
    for i in stops:
        for index in path.stops[i].candidates:
            one, progress = clone(estimator), (index, len(candidates))
            with walk.joined(one, i):
                outcome = _fit_and_score(
                    one, X, y, parameters=candidates[index], candidate_progress=progress, **tasks[index], **options
                )
            visits.append(Visit(index, outcome, walk.record(i), walk.problems(i)))
        walk.leave(i)
    return visits
