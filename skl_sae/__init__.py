"""Sparse autoencoders for scikit-learn."""

from .exceptions import DataRangeWarning, DivergenceError, HiddenUnitWarning
from .outlier import SparseAutoencoderOutlierDetector
from .topk import TopKAutoencoderTransformer
from .transformer import SparseAutoencoderTransformer

__version__ = "0.1.0"

__all__ = [
    "DataRangeWarning",
    "DivergenceError",
    "HiddenUnitWarning",
    "SparseAutoencoderOutlierDetector",
    "SparseAutoencoderTransformer",
    "TopKAutoencoderTransformer",
]
