"""Exceptions and warnings of the package."""


class DivergenceError(ValueError):
    """The loss became infinite or NaN during a fit; the message says what to change."""


class HiddenUnitWarning(UserWarning):
    """Hidden units carry no information (dead, saturated, constant on the training rows), or the code is not sparse."""


class DataRangeWarning(UserWarning):
    """The training data exceed the range of the output activation, or the weights of the rows average far below 1."""
