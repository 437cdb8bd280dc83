"""Errors and warnings of the package's own."""


class DivergenceError(ValueError):
    """The loss became infinite or NaN during a fit; the message says what to change."""


class HiddenUnitWarning(UserWarning):
    """Some hidden units carry no information: dead, saturated, or constant over the training rows."""


class DataRangeWarning(UserWarning):
    """The training data leave the range of the output activation, so they cannot be reconstructed."""
