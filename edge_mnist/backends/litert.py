"""LiteRT, from the package ai-edge-litert."""

from __future__ import annotations

from ai_edge_litert.interpreter import Interpreter

from ._interpreter import InterpreterSession


def load(content: bytes, *, name: str, threads: int) -> InterpreterSession:
    """Load a `.tflite` file's bytes."""
    return InterpreterSession(Interpreter, content, name=name, threads=threads)
