"""What the units of an autoencoder do, whether another fit finds them again, and which have to do with y.

The functions take a fitted `TopKAutoencoderTransformer` or `SparseAutoencoderTransformer`, or a Pipeline that ends in
one; those that take ``codes`` also work for codes from elsewhere.
"""

from ._inspection.matching import DictionarySimilarity, dictionary_similarity
from ._inspection.probing import SparseProbe, frozen_random, sparse_probe
from ._inspection.report import FeatureReport, UnitSummary, feature_report
from ._inspection.selection import SelectedFeatures, select_features
from ._inspection.stability import FeatureStability, feature_stability

__all__ = [
    "DictionarySimilarity",
    "FeatureReport",
    "FeatureStability",
    "SelectedFeatures",
    "SparseProbe",
    "UnitSummary",
    "dictionary_similarity",
    "feature_report",
    "feature_stability",
    "frozen_random",
    "select_features",
    "sparse_probe",
]
