"""A format's converter, a precision and a target in, a converted file out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec

from ..frameworks import converting
from ..quantization.ranges import Range
from ..quantization.search import Quantizer
from .targets import Needs, Target, loads_in

Report = Callable[[str], None]
# Returns the bytes of a file; `compatible=True` asks for the form of `FALLBACKS`.
Make = Callable[..., bytes]


class Converter(Protocol):
    """The interface of the modules `tflite` and `onnx`."""

    @property
    def FALLBACKS(self) -> Mapping[str, str]:  # noqa: N802, a constant of the modules
        """The effect of `compatible=True`, by precision."""

    def trace(self, model: Any) -> AbstractContextManager[Any]:
        """Yield the float32 graph of a model, from which every precision is made.

        Args:
            model: a Keras model from images (n, h, w, c) to probabilities (n, classes).
        """

    def convert(self, graph: Any, *, precision: str, compatible: bool = False) -> bytes:
        """Return a file with input `image` and output `probabilities`.

        Args:
            graph: from `trace`.
            precision: float32, float16 or dynamic.
            compatible: apply the fallback of `FALLBACKS`, so that older runtimes load the file.
        """

    def Quantizer(  # noqa: N802, a class of the modules
        self, graph: Any, images: NDArray[np.float32], counts: Sequence[int], input_range: Range
    ) -> Quantizer:
        """Measure the activations of the float model.

        Args:
            graph: from `trace`.
            images: calibration images (n, h, w, c), as the model takes them.
            counts: the numbers of images that schemes may ask for.
            input_range: the values that pixels 0 and 255 become.
        """

    def finish(self, content: bytes, spec: ModelSpec, *, batch: int | None = None) -> bytes:
        """Return the file with its labels, and with a fixed batch if the format has one."""

    def needs(self, content: bytes) -> Needs:
        """Return what a runtime must have to load the file."""

    def requirements(self, content: bytes) -> dict[str, Any]:
        """Return the file's fields on requirements in the manifest."""


@dataclass(frozen=True)
class ConvertedFile:
    """One model file in memory; `requirements` are the manifest's fields on its runtimes."""

    format: str
    precision: str
    content: bytes
    requirements: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The file's name in a bundle."""
        return f"model-{self.precision}.{self.format}"


def load_converter(format: str) -> Converter:
    """Import the converter of one format, which takes seconds."""
    if format == "tflite":
        from . import tflite

        return tflite
    from . import onnx

    return onnx


def requirements(format: str, content: bytes) -> dict[str, Any]:
    """Return the manifest's fields on the runtimes of a file that no converter here made."""
    from . import onnx_needs, tflite_needs

    module = {"onnx": onnx_needs, "tflite": tflite_needs}[format]
    return {**module.requirements(content), "loads_in": loads_in(format, module.needs(content))}


def convert_for(
    target: Target, format: str, precision: str, make: Make, *, report: Report
) -> ConvertedFile:
    """Convert a model so that the target loads the file.

    Args:
        target: the kind of device.
        format: tflite or onnx.
        precision: float32, float16, dynamic or int8.
        make: converts the model to that format and precision.
        report: takes lines on fallbacks and on runtimes that cannot load the file.

    Raises:
        ModelError: the model cannot be converted, or the target cannot load any form of it.
    """
    converter, fallback = load_converter(format), None
    name = f"model-{precision}.{format}"
    with converting(name):
        content = make()
        reason = target.incompatibility(format, converter.needs(content))
        if reason and (fallback := converter.FALLBACKS.get(precision)):
            report(f"{name} {reason}: for {target.name} it gets {fallback}")
            content = make(compatible=True)
    needs = converter.needs(content)
    target.check(name, format, needs)
    oldest = loads_in(format, needs)
    for runtime, release in oldest.items():
        if release is None:
            report(f"{name} loads in no release of {runtime}; for devices with it, see --target")
    requirements = {**converter.requirements(content), "loads_in": oldest}
    if fallback:
        requirements["given_up"] = fallback
    return ConvertedFile(format, precision, content, requirements)
