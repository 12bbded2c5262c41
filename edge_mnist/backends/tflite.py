"""TensorFlow Lite, from the package tflite-runtime, which has wheels for 32-bit ARM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

# tflite-runtime 2.14 was built against numpy 1. Under numpy 2 its import fails with a page of
# advice; its metadata does not exclude numpy 2.
if int(np.__version__.split(".")[0]) >= 2:
    raise ImportError(f"tflite-runtime needs numpy 1, and numpy {np.__version__} is installed")

from tflite_runtime.interpreter import Interpreter

from .interpreter import InterpreterPart, InterpreterSession

if TYPE_CHECKING:
    from ..bundle import File


def load(
    content: bytes, *, name: str, threads: int, path: File | None = None
) -> InterpreterSession:
    """Load a model from its bytes. `path` is unused: a `.tflite` file holds all its weights."""
    return InterpreterSession(Interpreter, content, name=name, threads=threads)


def load_part(content: bytes) -> InterpreterPart:
    """Load a part of a model; see `registry.load_part`."""
    return InterpreterPart(Interpreter, content)
