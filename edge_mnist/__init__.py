"""Run a bundle of digit classifiers on a small device, with numpy and one runtime.

from edge_mnist import Classifier

prediction = Classifier().predict("photo.jpg")
print(prediction.digit, prediction.confidence)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (
    BackendError,
    BundleError,
    DataError,
    EdgeMnistError,
    GateError,
    HostError,
    ImageError,
    ModelError,
    NoDigitError,
    OutputError,
    ServeError,
)

if TYPE_CHECKING:
    from .classifier import Classifier, Detection, Prediction

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BundleError",
    "Classifier",
    "DataError",
    "Detection",
    "EdgeMnistError",
    "GateError",
    "HostError",
    "ImageError",
    "ModelError",
    "NoDigitError",
    "OutputError",
    "Prediction",
    "ServeError",
]


def __getattr__(name: str) -> Any:
    # numpy is needed only by those who classify, not by `edge-mnist --help`.
    if name in ("Classifier", "Prediction", "Detection"):
        from . import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
