"""The command line: arguments in, text and an exit status out; nothing but options and printing."""

from __future__ import annotations

from .group import benchmark, cli, compare, doctor, evaluate, main, predict, serve

__all__ = ["benchmark", "cli", "compare", "doctor", "evaluate", "main", "predict", "serve"]
