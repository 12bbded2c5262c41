"""LiteRT, from the package ai-edge-litert."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from ._interpreter import InterpreterSession


def load(
    content: bytes, *, name: str, threads: int, path: Path | None = None
) -> InterpreterSession:
    """Load a `.tflite` file's bytes; it has no weights elsewhere, so `path` is not used."""
    return InterpreterSession(Interpreter, content, name=name, threads=threads)
