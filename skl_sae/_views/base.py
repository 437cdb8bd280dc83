"""What all views share: what they see of a row, and what they are fitted to."""

from typing import Any, NamedTuple

import numpy as np

from .._rows import DenseRows

# Features are clipped at this many times their unit, so that a wild value neither ruins the training nor overflows.
LIMIT = 100.0


class Inputs(NamedTuple):
    """What views see of n rows, in float64; the last three are None while they cannot be computed."""

    X: Any  # (n, d) features
    kept: Any  # KeptRows
    place: Any  # Place among the kept rows
    scaled: Any = None  # (n, d)
    residual: Any = None  # (n, d)
    code: Any = None  # (n, m)


class Explain:
    """Turns rows into `Inputs`, given the kept rows, the scale of the features and an autoencoder.

    Parameters
    ----------
    kept : KeptRows
    centre, unit : ndarrays of shape (d,), optional
        None while they are not known.
    limit : float
        At which scaled features are clipped.
    network : Network, optional
        In float64; None while there is none.
    """

    def __init__(self, kept, centre=None, unit=None, limit=LIMIT, network=None):
        self.kept, self.centre, self.unit, self.limit, self.network = kept, centre, unit, limit, network

    def by(self, network):
        """Return the same with another autoencoder, or with None for no autoencoder."""
        return Explain(self.kept, self.centre, self.unit, self.limit, network)

    def __call__(self, rows):
        inputs = self.without_place(rows)
        return inputs._replace(place=self.kept.place(inputs.X))

    def without_place(self, rows):
        """Return the `Inputs` without a search for neighbours, which takes longer than everything else."""
        X = rows.toarray().astype(np.float64)
        inputs = Inputs(X, self.kept, None)
        if self.unit is None:
            return inputs
        scaled = DenseRows(X).standardized(self.centre, self.unit, self.limit)
        inputs = inputs._replace(scaled=scaled.toarray())
        if self.network is None:
            return inputs
        code = self.network.encode(scaled)
        return inputs._replace(residual=inputs.scaled - self.network.decode(code), code=code)

    def onnx(self, node, X, network):
        """Return the `Inputs` in a graph; ``network(tensor)`` gives codes and reconstructions of scaled rows."""
        scaled = node("Div", node("Sub", X, self.centre), self.unit)
        scaled = node("Clip", scaled, np.array(-self.limit), np.array(self.limit))
        code, reconstruction = network(scaled)
        residual = node("Sub", scaled, reconstruction)
        return Inputs(X, self.kept, self.kept.onnx(node, X), scaled, residual, code)


class Fitting(NamedTuple):
    """What a view may be fitted to; from ``explain`` on, None for the views in `OF_PLACES`."""

    reference: Any  # Reference: distinct training rows, or a sample of them
    kept: Any  # KeptRows of these
    rng: Any
    explain: Any = None
    rows: Any = None  # the rows that the autoencoder is trained on, before scaling, of any kind
    weights: Any = None  # of these rows, times their plausibility
    centre: Any = None  # (d,), the mean of each feature over plausible rows
    spread: Any = None  # (d,), the standard deviation of each feature over plausible rows
    n_effective: Any = None  # how many equally plausible rows would say as much about a covariance


class View:
    """One way to look at a row; subclasses are listed in `VIEWS`.

    `fit` returns a view; `raw` gives every row a score from 0 upwards, the higher the stranger, whatever the other rows
    are; `terms` gives what each feature adds to it. The attributes are arrays and numbers.
    """

    #: Raw scores below this are rounding errors of zero.
    floor = 1e-12

    def __init__(self, **state):
        vars(self).update(state)

    @classmethod
    def fit(cls, fitting):
        """Return the view, fitted to a `Fitting`."""
        raise NotImplementedError

    def onnx(self, node, tensors):
        """Return raw scores (n, 1) in an ONNX graph.

        ``tensors`` are `Inputs` of tensors; ``node`` is described in `graph`.
        """
        raise NotImplementedError

    def check(self, check_numbers, d, m, k):
        """Refuse attributes that no fit leaves, for d features, m units and k kept rows: a file may come from anywhere.

        ``check_numbers(name, numbers, shape)`` refuses numbers that are not finite, or of another shape.
        """
        raise NotImplementedError

    def raw(self, inputs):
        """Return raw scores (n,) of `Inputs`."""
        return self.terms(inputs).sum(axis=1)

    def terms(self, inputs):
        """Return the part (n, d) of each feature in the raw scores."""
        raise NotImplementedError
