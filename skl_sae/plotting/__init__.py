"""Plots of models and their training, in the style of scikit-learn's displays. Needs matplotlib (extra ``plot``)."""

from ._activations import ActivationDisplay
from ._anomalies import AnomalyDisplay
from ._filters import FilterDisplay
from ._reconstructions import ReconstructionDisplay
from ._searches import SearchDisplay
from ._training import TrainingDisplay
from ._units import StabilityDisplay, UnitDisplay

__all__ = [
    "ActivationDisplay",
    "AnomalyDisplay",
    "FilterDisplay",
    "ReconstructionDisplay",
    "SearchDisplay",
    "StabilityDisplay",
    "TrainingDisplay",
    "UnitDisplay",
]
