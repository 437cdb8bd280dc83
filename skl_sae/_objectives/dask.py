"""The objective over rows of a dask array. Imported only where rows come as one.

Block s has the share p_s of the weight of all rows, and its own weights sum to one. Given the mean activation of all
rows, L and its gradient are the sums of p_s times what they are for the rows of a block, penalties included.
"""

import functools

import numpy as np

from .._log import logger
from .._rows.dask import widest
from .._rows.graph import Graph, add, sent
from .base import Evaluation, Objective, clip_at_zero
from .full_batch import full_batch_objective


def _block_mean(rows, weights, share, theta, arch, reg):
    return share * full_batch_objective(rows, weights, arch, reg).mean_activation(np.array(theta))


def _block_gradient(rows, weights, share, theta, mean, arch, reg):
    """Return the share of a block in the terms of L and in its gradient."""
    terms, gradient = full_batch_objective(rows, weights, arch, reg).gradient_given(np.array(theta), mean)
    gradient *= gradient.dtype.type(share)
    return share * np.array(terms), gradient


def _block_statistics(rows, weights, share, theta, arch, reg):
    error, mean, square, *ends = Objective(rows, weights, arch, reg).statistics(np.array(theta))
    return (share * error, share * mean, share * square), np.stack(ends)


def _merge_statistics(parts):
    sums, ends = zip(*parts, strict=True)
    return add(sums), widest(ends)


class DaskObjective(Objective):
    """L and its gradient over all rows of DaskRows, in one graph per evaluation.

    The workers encode their blocks and add up the mean activations; given those of all rows, each computes its share of
    the gradient; the shares are added up on the way here. Codes are computed in both passes, since none are kept.
    """

    def __init__(self, rows, weights, arch, reg):
        self.rows, self.weights, self.arch, self.reg = rows, rows.place_weights(weights), arch, reg
        self._make_statistics()
        logger.debug("full batch: %d blocks on dask's workers", len(rows.blocks))

    def _calls(self, graph, name, function, *shared):
        """Return the keys of a call for each block."""
        function, n = functools.partial(function, arch=self.arch, reg=self.reg), len(self.rows.blocks)
        shared = ([one] * n for one in shared)
        return graph.each(name, function, self.rows.blocks, self.weights.blocks, self.weights.shares, *shared)

    def evaluate_gradient(self, theta):
        """Return L at theta and dL/dtheta."""
        graph = Graph()
        theta = graph.use(*sent([theta]))
        mean = graph.tree(self._calls(graph, "mean", _block_mean, theta), add)
        parts = graph.tree(self._calls(graph, "gradient", _block_gradient, theta, mean), add)
        self.mean[:], (terms, gradient) = graph.compute(mean, parts)
        error, *rest = terms.tolist()
        return Evaluation.of((clip_at_zero(error), *rest), self.mean, gradient), gradient

    def statistics(self, theta):
        """Return what `Objective.statistics` does."""
        graph = Graph()
        parts = self._calls(graph, "statistics", _block_statistics, graph.use(*sent([theta])))
        ((sums, ends),) = graph.compute(graph.tree(parts, _merge_statistics))
        return *sums, *ends
