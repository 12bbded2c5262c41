"""ONNX Runtime, from the package onnxruntime."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as state

from ..errors import ModelError
from . import NotSupportedError, Tensor, _first_line

if TYPE_CHECKING:
    from numpy import generic
    from numpy.typing import NDArray

# ONNX Runtime's exceptions share no base class but Exception.
_ERRORS = tuple(
    value
    for value in vars(state).values()
    if isinstance(value, type) and issubclass(value, Exception)
)
_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}

# What ONNX Runtime says, from 1.10 to 1.32, and what it means.
_UNKNOWN = {
    r"Unsupported model IR version: (\d+)": r"IR version \1",
    r"Opset (\d+) is under development": r"opset \1",
    r"No Op registered for (\w+) with domain_version of (\d+)": r"\1 of opset \2",
    r"Could not find an implementation for .*?(\w+)\((\d+)\)": r"\1 version \2",
}
_CUSTOM_OP = re.compile(r"Fatal error: (\S+?)(?:\(-?\d+\))? is not a registered function/op")


class OnnxSession:
    """An `.onnx` model with one input and one output.

    ONNX has no place for the quantization of an integer input or output, so export writes
    it into the file's metadata: `<tensor>.scale` and `<tensor>.zero_point`.
    """

    def __init__(self, content: bytes, *, name: str, threads: int) -> None:
        try:
            self._session = onnxruntime.InferenceSession(
                content, _options(threads), providers=["CPUExecutionProvider"]
            )
        except _ERRORS as error:
            _raise_if_not_supported(error)
            raise ModelError(
                f"Expected an ONNX model that this runtime can load, got {name}: "
                f"{_first_line(error)}"
            ) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"Expected one input and one output, got {len(inputs)} and {len(outputs)} "
                f"in {name}."
            )
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.input = _tensor(inputs[0], metadata, name)
        self.output = _tensor(outputs[0], metadata, name)
        self._output_names = [self.output.name]

    def run(self, values: NDArray[generic]) -> NDArray[generic]:
        """Return the raw output (n, …) for `values` (n, …) of the input's dtype."""
        feed = {self.input.name: values}
        output: NDArray[generic] = self._session.run(self._output_names, feed)[0]
        return output


def load(content: bytes, *, name: str, threads: int) -> OnnxSession:
    """Load an `.onnx` file's bytes."""
    return OnnxSession(content, name=name, threads=threads)


def _raise_if_not_supported(error: Exception) -> None:
    for pattern, meaning in _UNKNOWN.items():
        if found := re.search(pattern, str(error)):
            raise NotSupportedError(found.expand(meaning)) from error
    if found := _CUSTOM_OP.search(str(error)):
        raise NotSupportedError(f"the custom op {found[1]}", custom=True) from error


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A small device has better uses for a core than to wait for the next picture at full speed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _tensor(argument: Any, metadata: dict[str, str], name: str) -> Tensor:
    if argument.type not in _DTYPES:
        raise ModelError(
            f"Expected a tensor of {', '.join(_DTYPES.values())}, got {argument.type} "
            f"for {argument.name!r} in {name}."
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    scale = float(metadata.get(f"{argument.name}.scale", 0.0))
    zero_point = int(metadata.get(f"{argument.name}.zero_point", 0))
    return Tensor(argument.name, shape, _DTYPES[argument.type], scale, zero_point)
