"""Run a bundle of digit classifiers on a small device, with numpy and one runtime.

from edge_mnist import Classifier

prediction = Classifier().predict("photo.jpg")
print(prediction.digit, prediction.confidence)
"""

from __future__ import annotations

import sys
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
    from .classifier import Cell, Classifier, Detection, Grid, Prediction
    from .system.version import __version__

__all__ = [
    "BackendError",
    "BundleError",
    "Cell",
    "Classifier",
    "DataError",
    "Detection",
    "EdgeMnistError",
    "GateError",
    "Grid",
    "HostError",
    "ImageError",
    "ModelError",
    "NoDigitError",
    "OutputError",
    "Prediction",
    "ServeError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Imported late: `edge-mnist --help` needs no numpy.
    if name in ("Classifier", "Prediction", "Detection", "Grid", "Cell", "Sighting"):
        from . import classifier

        # Detection was called Sighting until 0.1.
        return getattr(classifier, "Detection" if name == "Sighting" else name)
    if name == "__version__":
        from .system.version import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)


class _MovedModule(type(sys)):  # type: ignore[misc]
    """The old name of `vision.preprocess`, which scripts import `preprocess` from."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        from .vision import preprocess

        return getattr(preprocess, name)


sys.modules[f"{__name__}.preprocess"] = _MovedModule(f"{__name__}.preprocess")
