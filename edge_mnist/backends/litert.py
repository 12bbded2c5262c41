"""LiteRT, from the package ai-edge-litert."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ai_edge_litert.interpreter import Interpreter

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


def load_inspectable(content: bytes, *, name: str) -> InterpreterSession:
    """Load a model that keeps every tensor of a run, for `InterpreterSession.tensor`; slower.

    tflite-runtime 2.14 has the same option, but an int8 softmax still overwrites its input.
    """
    keeping = partial(Interpreter, experimental_preserve_all_tensors=True)
    return InterpreterSession(keeping, content, name=name, threads=1)
