"""Graphs of dask tasks, and what is sent to the workers.

Imported only where rows come as a dask array. Everything goes through `persist` and `compute`, so it runs on the client
of a cluster, where there is one, and otherwise on dask's own schedulers. Whatever a task needs is in its graph, or was
persisted from a graph of its own: if a worker dies, dask makes it again elsewhere.
"""

import functools
import operator
import sys
import uuid
from typing import NamedTuple

import cloudpickle
import numpy as np
from dask.base import compute, persist
from dask.delayed import Delayed, delayed

# How many parts of a sum are added at a time.
FAN_IN = 4

# Bytes of each part of what is sent. A graph is one message, and dask warns of one above 10 MB.
PART = 2**22


class Graph:
    """Tasks to be computed together, in addition to given ones."""

    def __init__(self, tasks=()):
        self._tasks, self._name = dict(tasks), uuid.uuid4().hex

    def use(self, thing):
        """Return the key of a delayed or sent object, which becomes part of the graph; anything else unchanged."""
        if isinstance(thing, Sent):
            return self.call("sent", _unpack, [self.use(part) for part in thing.parts])
        if isinstance(thing, Delayed):
            self._tasks.update(thing.dask)
            return thing.key
        return thing

    def call(self, name, function, *arguments):
        """Return the key of a call; arguments are keys, delayed objects, lists of keys, or small things."""
        key = f"{name}-{self._name}", len(self._tasks)
        self._tasks[key] = function, *map(self.use, arguments)
        return key

    def each(self, name, function, *arguments):
        """Return the keys of one call for each entry of the arguments, which are sequences."""
        return [self.call(name, function, *one) for one in zip(*arguments, strict=True)]

    def tree(self, keys, combine):
        """Return the key of ``combine(list of parts)`` in a tree of fixed shape, whichever worker does what."""
        while len(keys) > 1:
            groups = (keys[start : start + FAN_IN] for start in range(0, len(keys), FAN_IN))
            keys = [self.call("sum", combine, group) if len(group) > 1 else group[0] for group in groups]
        return keys[0]

    def compute(self, *keys):
        """Return the results of the keys."""
        return compute(*(Delayed(key, self._tasks) for key in keys))

    def persist(self, keys):
        """Return delayed objects for the keys, computed where the workers are."""
        return persisted(Delayed(key, self._tasks) for key in keys)


def persisted(parts):
    """Return delayed objects that are computed, stay where they are, and are known to the scheduler.

    A graph may overtake one that was sent before it; if it needs results of that one, it is lost.
    """
    parts = list(persist(*parts))
    if "distributed" in sys.modules:
        from distributed import futures_of, wait

        futures = futures_of(parts)
        if futures:
            wait(futures)
    return parts


def futures_in(collection):
    """Return the part of a collection's graph that was persisted: `to_delayed` leaves it out when it optimises."""
    if "distributed" not in sys.modules:
        return {}
    from distributed import Future

    return {key: task for key, task in collection.__dask_graph__().items() if isinstance(task, Future)}


def release(parts):
    """Make a cluster drop what it keeps for delayed objects, even if somebody still has the objects themselves."""
    if "distributed" in sys.modules:
        from distributed import futures_of

        for future in futures_of(parts):
            future.release()


class Sent(NamedTuple):
    """A pickled object of this process, on its way in parts."""

    parts: list


def sent(objects):
    """Return objects of this process for a graph; large ones go ahead, each part in a message of its own."""
    packed = [np.frombuffer(cloudpickle.dumps(thing), np.uint8) for thing in objects]
    parts = [[one[start : start + PART] for start in range(0, len(one), PART)] for one in packed]
    if sum(map(len, packed)) > PART:
        parts = [[persisted([delayed(part, pure=False)])[0] for part in one] for one in parts]
    return list(map(Sent, parts))


def _unpack(parts):
    return cloudpickle.loads(b"".join(parts))


def add(parts):
    """Return the sum of arrays or numbers; of tuples of these, entry by entry."""
    if isinstance(parts[0], tuple):
        return tuple(map(add, zip(*parts, strict=True)))
    return functools.reduce(operator.add, parts)


def call(function, *arguments):
    """Call a function that is itself part of a graph."""
    return function(*arguments)
