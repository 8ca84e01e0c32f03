"""For programs of scikit-learn: ``from metaray.sklearn import FewShotClassifier``."""

from metaray.platform.api.sklearn import FewShotClassifier

__all__ = ["FewShotClassifier"]
