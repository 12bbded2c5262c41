"""Sessions of ONNX Runtime, from the package onnxruntime."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from onnxruntime import OrtValue
from onnxruntime.capi import onnxruntime_pybind11_state as state

from ..errors import ModelError
from ..model_files.onnx_file import has_external_data, quantization
from .session import NotSupportedError, Tensor, check_one_input, choose_output, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import generic
    from numpy.typing import NDArray

    from ..bundle import File
    from .session import Run, Shape

# ONNX Runtime's exceptions have no base class of their own.
_ERRORS: tuple[type[Exception], ...] = (
    # Raised if bytes of a corrupt file are taken for text.
    UnicodeDecodeError,
    # Raised by `run_with_iobinding`, where `run` raises one of its own.
    RuntimeError,
    *(
        value
        for value in vars(state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ),
)
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    **{f"tensor({name})": name for name in ("int16", "uint16", "int32", "int64")},
}

# Messages of ONNX Runtime 1.10 to 1.32, and what the file needs.
_UNKNOWN = {
    r"Unsupported model IR version: (\d+)": r"IR version \1",
    r"Opset (\d+) is under development": r"opset \1",
    r"No Op registered for (\w+) with domain_version of (\d+)": r"\1 of opset \2",
    r"Could not find an implementation for .*?(\w+)\((\d+)\)": r"\1 version \2",
}
_CUSTOM_OP = r"Fatal error: (\S+?)(?:\(-?\d+\))? is not a registered function/op"


class OnnxSession:
    """An `.onnx` model with one input, and one output that is used.

    ONNX has no field for the quantization of an integer input or output. `export` writes it into
    the file's metadata, `<tensor>.scale` and `<tensor>.zero_point`. In other files it is read from
    the first and the last nodes of the graph.
    """

    def __init__(self, content: bytes, *, name: str, threads: int, path: File | None) -> None:
        if path is None and has_external_data(content):
            raise ModelError(
                f"Expected the weights inside {name}, got some in other files, which no manifest "
                f"vouches for; save it as one file.",
                code="model-external-weights",
            )
        self._name = name
        try:
            # ONNX Runtime finds weights beside the file only from its path.
            self._session = onnxruntime.InferenceSession(
                str(path) if path and b"location" in content else content,
                _options(threads),
                providers=["CPUExecutionProvider"],
                # The fallback prints to stdout, tries the same again and loses the reason.
                enable_fallback=0,
            )
        except _ERRORS as error:
            _raise_if_not_supported(error)
            raise ModelError(
                f"Expected an ONNX model that this runtime can load, got {name}: "
                f"{first_line(error)}",
                code="model-refused",
            ) from error
        try:
            self._describe(content, name)
        except UnicodeDecodeError as error:
            raise ModelError(
                f"Expected names in UTF-8, got other bytes in {name}; export the model again.",
                code="model-names",
            ) from error

    def _describe(self, content: bytes, name: str) -> None:
        """Set the input, and the output that is used."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        check_one_input([argument.name for argument in inputs], name)
        metadata = self._session.get_modelmeta().custom_metadata_map
        # Classic classifiers also output maps and sequences, which are no tensors.
        usable = [argument for argument in outputs if argument.type in _DTYPES] or outputs
        tensors = [_tensor(argument, metadata, name) for argument in usable]
        self.input = _tensor(inputs[0], metadata, name)
        self.output = tensors[choose_output(tensors, name)]
        self.input = _quantized(self.input, content, output=False)
        self.output = _quantized(self.output, content, output=True)
        self._output_names = [self.output.name]

    def run(self, values: NDArray[generic]) -> NDArray[generic]:
        """Run the model once; see `Session.run`."""
        try:
            output: NDArray[generic] = self._session.run(
                self._output_names, {self.input.name: values}
            )[0]
        except _ERRORS as error:
            raise self._refused(values, error) from error
        return output

    def bind(self, shape: Shape, output: Shape) -> tuple[NDArray[generic], Run]:
        """Allocate an input once; see `Session.bind`. No call copies input or output."""
        bound = np.zeros(shape, self.input.dtype)
        result: NDArray[generic] = np.zeros(output, self.output.dtype)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self.input.name, OrtValue.ortvalue_from_numpy(bound))
        binding.bind_ortvalue_output(self.output.name, OrtValue.ortvalue_from_numpy(result))
        run_bound = self._session.run_with_iobinding

        def run(values: NDArray[generic]) -> NDArray[generic]:
            if values is not bound:
                bound[...] = values
            try:
                run_bound(binding)
            except _ERRORS as error:
                raise self._refused(values, error) from error
            return result

        return bound, run

    def _refused(self, values: NDArray[generic], error: Exception) -> ModelError:
        return ModelError(
            f"Expected {self._name} to take an image of shape {values.shape}, got: "
            f"{first_line(error)}",
            code="model-run",
        )


class OnnxPart:
    """A part of an `.onnx` model, with any outputs; see `session.Part`."""

    def __init__(self, content: bytes) -> None:
        self._session = onnxruntime.InferenceSession(
            content, _options(1), providers=["CPUExecutionProvider"], enable_fallback=0
        )
        self._results: list[OrtValue] = []

    def bind(self, values: NDArray[generic]) -> Callable[[], object]:
        """Set the input once; see `Part.bind`."""
        (argument,) = self._session.get_inputs()
        self._names = [output.name for output in self._session.get_outputs()]
        value = OrtValue.ortvalue_from_numpy(values)
        self._results = self._session.run_with_ort_values(self._names, {argument.name: value})
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(argument.name, value)
        for name, result in zip(self._names, self._results, strict=True):
            binding.bind_ortvalue_output(name, result)
        run = self._session.run_with_iobinding
        return lambda: run(binding)

    def outputs(self) -> list[Tensor]:
        """Return the outputs; see `Part.outputs`."""
        return [
            Tensor(name, tuple(result.shape()), _DTYPES.get(result.data_type(), "unknown"))
            for name, result in zip(self._names, self._results, strict=True)
        ]


def load(content: bytes, *, name: str, threads: int, path: File | None = None) -> OnnxSession:
    """Load a model from its bytes; from `path` if weights lie beside it."""
    return OnnxSession(content, name=name, threads=threads, path=path)


def load_part(content: bytes) -> OnnxPart:
    """Load a part of a model; see `registry.load_part`."""
    return OnnxPart(content)


def _raise_if_not_supported(error: Exception) -> None:
    for pattern, meaning in _UNKNOWN.items():
        if found := re.search(pattern, str(error)):
            raise NotSupportedError(found.expand(meaning)) from error
    if found := re.search(_CUSTOM_OP, str(error)):
        raise NotSupportedError(f"the custom op {found[1]}", custom=True) from error


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Log fatal errors only: the others are raised as exceptions.
    options.log_severity_level = 4
    # Idle threads would spin, which costs a small device a core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not _has_vnni():
        # For files with int8 weights, of other tools and of older exports: AVX2 kernels saturate
        # the sum of two products of uint8 by int8 at 16 bits. VNNI kernels do not; for them the
        # option would only choose a slower kernel. It changes nothing in files with uint8 weights.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _has_vnni() -> bool:
    """Return whether Linux lists a VNNI feature, which sums int8 products in 32 bits."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return "vnni" in next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False


def _tensor(argument: Any, metadata: dict[str, str], name: str) -> Tensor:
    if argument.type not in _DTYPES:
        raise ModelError(
            f"Expected a tensor of {', '.join(_DTYPES.values())}, got {argument.type} "
            f"for {argument.name!r} in {name}.",
            code="model-dtype",
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    try:
        scale = float(metadata.get(f"{argument.name}.scale", 0.0))
        zero_point = int(metadata.get(f"{argument.name}.zero_point", 0))
        if not 0 <= scale < math.inf or not -128 <= zero_point <= 255:
            raise ValueError(f"scale {scale}, zero point {zero_point}")
    except ValueError as error:
        raise ModelError(
            f"Expected the scale and zero point of {argument.name!r} in the metadata of {name} "
            f"to be such, got {error}; export the model again.",
            code="model-quantization",
        ) from error
    return Tensor(argument.name, shape, _DTYPES[argument.type], scale, zero_point)


def _quantized(tensor: Tensor, content: bytes, *, output: bool) -> Tensor:
    if tensor.scale or tensor.dtype not in ("uint8", "int8"):
        return tensor
    scale, zero_point = quantization(content, tensor.name, output=output) or (0.0, 0)
    return tensor._replace(scale=scale, zero_point=zero_point)
