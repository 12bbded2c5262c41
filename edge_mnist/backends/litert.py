"""LiteRT, from the package ai-edge-litert."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_edge_litert.interpreter import Interpreter

from .interpreter import InterpreterSession

if TYPE_CHECKING:
    from ..bundle import File


def load(
    content: bytes, *, name: str, threads: int, path: File | None = None
) -> InterpreterSession:
    """Load a `.tflite` file's bytes; it has no weights elsewhere, so `path` is not used."""
    return InterpreterSession(Interpreter, content, name=name, threads=threads)
