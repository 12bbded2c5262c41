"""TensorFlow Lite, from the package tflite-runtime: the one with wheels for 32-bit ARM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

# tflite-runtime 2.14 was built against numpy 1; under numpy 2 its import prints a page of
# advice and fails. Its metadata does not say so.
if int(np.__version__.split(".")[0]) >= 2:
    raise ImportError(f"tflite-runtime needs numpy 1, and numpy {np.__version__} is installed")

from tflite_runtime.interpreter import Interpreter

from .interpreter import InterpreterSession

if TYPE_CHECKING:
    from ..bundle import File


def load(
    content: bytes, *, name: str, threads: int, path: File | None = None
) -> InterpreterSession:
    """Load a `.tflite` file's bytes; it has no weights elsewhere, so `path` is not used."""
    return InterpreterSession(Interpreter, content, name=name, threads=threads)
