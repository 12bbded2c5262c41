"""An integer graph in, the files of a C library out: sources, self-test, CMake, Arduino, README."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.int8 import Graph

from .c_program import Array, Call, Constant, c_program, real
from .c_program import Program as CProgram
from .pixel_graph import expected_outputs, pixel_graph

# In the order in which C needs them; a file is emitted if a call needs it.
_FRAGMENTS = (
    *("nearest", "clip", "requantize", "window", "gather", "pool_bounds", "convolution"),
    *("depthwise", "add", "multiply", "max_pool", "average_pool", "mean", "pad", "table"),
    "softmax",
)
_NEEDS = {
    "requantize": ("nearest", "clip"),
    "gather": ("window",),
    "pool_bounds": ("window", "clip"),
    "convolution": ("requantize", "gather"),
    "depthwise": ("requantize", "gather"),
    "add": ("clip",),
    "multiply": ("requantize",),
    "max_pool": ("pool_bounds",),
    "average_pool": ("pool_bounds",),
    "mean": ("requantize",),
    "softmax": ("nearest",),
}
_URL = "https://github.com/edge-mnist/edge-mnist"
_LINE = 96  # columns


def c_files(
    graph: Graph, spec: ModelSpec, *, images: NDArray[np.uint8], title: str
) -> dict[str, str]:
    """Return the files of a C library that computes a model.

    Args:
        graph: the model's operators, of `read_graph`.
        spec: the model spec of the same file.
        images: (k, h, w[, c]) uint8 pixels for the self-test; about 8.
        title: one line about the model, for comments.

    Returns:
        The text by relative path.

    Raises:
        ModelError: an input, an output, a size or a sum that C cannot have here.
    """
    graph = pixel_graph(graph, spec)
    program = c_program(graph)
    title = " ".join(title.replace("*/", "").split())
    outputs = expected_outputs(graph, images)
    names = _names(graph, program, spec, title) | {
        "COUNT": str(len(images)),
        "IMAGES": _rows(images.reshape(len(images), -1)),
        "OUTPUTS": _rows(outputs),
    }
    return {
        "README.md": _filled("README.md", names),
        "CMakeLists.txt": _filled("CMakeLists.txt", names),
        "library.properties": _filled("library.properties", names),
        "library.json": _filled("library.json", names),
        "src/digit.h": _filled("digit.h", names),
        "src/digit.c": _source(graph, program, spec, names),
        "src/digit_vectors.h": _filled("digit_vectors.h", names),
        "examples/main.c": _filled("main.c", names),
        "examples/self_test/self_test.ino": _filled("self_test.ino", names),
    }


def known_bytes(graph: Graph, spec: ModelSpec) -> dict[str, int]:
    """Return what is known without a compiler: bytes of weights and tables, and of scratch."""
    program = c_program(pixel_graph(graph, spec))
    return {"constant_bytes": _constant_bytes(program), "scratch_bytes": program.memory.size}


def _constant_bytes(program: CProgram) -> int:
    return sum(constant.size_bytes for call in program.calls for constant in call.constants)


def _names(graph: Graph, program: CProgram, spec: ModelSpec, title: str) -> dict[str, str]:
    """Return what replaces the @NAMES@ of the files."""
    height, width, channels = spec.size
    image = f"{height} rows of {width} pixels"
    if channels > 1:
        image += f" of {channels} channels"
    threshold = math.ceil(spec.threshold * 256)
    multiply_adds = f"{graph.multiply_adds:,}"
    return {
        "TITLE": title,
        "TITLE_JSON": json.dumps(title),
        "URL": _URL,
        "SUMMARY": f"{len(spec.labels)} classes, {multiply_adds} multiply-adds for one image.",
        "IMAGE": image,
        "INK": ", white digits on black" if spec.digits else "",
        "HEIGHT": str(height),
        "WIDTH": str(width),
        "CHANNELS": str(channels),
        "INPUT": str(height * width * channels),
        "CLASSES": str(len(spec.labels)),
        "SCRATCH": str(program.memory.size),
        "FLASH": f"{_constant_bytes(program):,}",
        "THRESHOLD": str(threshold),
        "ANSWER": "output[best] < DIGIT_THRESHOLD ? -1 : best" if threshold else "best",
    }


def _source(graph: Graph, program: CProgram, spec: ModelSpec, names: dict[str, str]) -> str:
    """Return digit.c: kernels, constants, the calls."""
    parts = [_filled("head.c", names)]
    parts += [_text(f"{name}.c") for name in _fragments(program)]
    for call in program.calls:
        parts.append(f"/* {call.comment} */\n" + "".join(map(_declared, call.constants)))
    parts.append(_labels(spec.labels))
    parts.append(_main(program))
    parts.append(_filled("predict.c", names))
    return "\n".join(parts)


def _fragments(program: CProgram) -> list[str]:
    """Return the names of the kernels that a program calls, and of what they need."""

    def needs(name: str) -> Iterator[str]:
        yield name
        for other in _NEEDS.get(name, ()):
            yield from needs(other)

    used = {name for call in program.calls for name in needs(call.kernel)}
    return [name for name in _FRAGMENTS if name in used]


def _main(program: CProgram) -> str:
    """Return the function that makes the calls."""
    lines = [
        "void digit_probabilities(const uint8_t image[DIGIT_INPUT_SIZE], "
        "uint8_t output[DIGIT_CLASSES])",
        "{",
    ]
    if program.memory.size:
        lines += ["    DIGIT_STORAGE uint8_t scratch[DIGIT_SCRATCH_SIZE];", ""]
    for index, call in enumerate(program.calls):
        lines += [f"    /* {call.comment} */", f"    {_called(program, index, call)};"]
    return "\n".join([*lines, "}", ""])


def _called(program: CProgram, index: int, call: Call) -> str:
    column = [] if call.column is None else [program.columns.get(index, "0")]
    images = [program.places[value] for value in call.images]
    return f"{call.kernel}({', '.join([*call.before, *images, *column])})"


def _labels(labels: tuple[str, ...]) -> str:
    text = ", ".join(map(_string, labels))
    return f"const char *const digit_labels[DIGIT_CLASSES] = {{\n{_wrapped(text)}\n}};\n"


def _string(text: str) -> str:
    """Return a C string; other bytes than letters, digits and blanks are octal."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_."
    characters = (chr(b) if b in plain else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(characters)}"'


def _declared(constant: Constant) -> str:
    if isinstance(constant.value, str):
        return f"static const {constant.declaration} = {constant.value};\n"
    return f"static const {constant.declaration} = {{\n{_numbers(constant.value)}\n}};\n"


def _numbers(array: Array) -> str:
    write: Any = real if array.dtype.kind == "f" else str
    return _wrapped(", ".join(map(write, array.tolist())))


def _rows(array: Array) -> str:
    return ",\n".join(f"    {{\n{_numbers(row)}\n    }}" for row in array)


def _wrapped(text: str) -> str:
    """Return text in lines, broken after commas."""
    lines, line = [], "   "
    for part in text.split(", "):
        if len(line) + len(part) + 2 > _LINE:
            lines.append(line)
            line = "   "
        line += f" {part},"
    return "\n".join([*lines, line.rstrip(",")])


def _filled(name: str, names: dict[str, str]) -> str:
    text = _text(name)
    for key, value in names.items():
        text = text.replace(f"@{key}@", value)
    return text


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath("c", name).read_text(encoding="utf-8")
