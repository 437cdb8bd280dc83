"""SparseAutoencoderTransformer: learned sparse features as a scikit-learn transformer."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context

from ._base import BaseSparseAutoencoder


class SparseAutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseSparseAutoencoder):
    """TODO."""

    @property
    def components_(self):
        """Encoder weights, ndarray of shape (n_components, n_features): another name of ``encoder_coef_``."""
        return self.encoder_coef_

    @property
    def _n_features_out(self):
        return len(self.encoder_coef_)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train."""
        return self._fit(X)

    def transform(self, X):
        return self._encode(self._validate(X))

    def inverse_transform(self, X):
        return self._decode(self._check_code(X))

    def reconstruction_error(self, X, per_feature=False):
        return self._squared_error(self._validate(X), per_feature)

    def score_samples(self, X):
        return -self.reconstruction_error(X)

    def score(self, X, y=None):
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
