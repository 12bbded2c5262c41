"""Fuzz a target that is pure Python with Atheris, guided by coverage.

    python -m tests.fuzz.guided TARGET SECONDS

Atheris is not in the group of test packages: install it beside them. It ends the process itself.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["edge_mnist"]):
    from tests.fuzz.targets import GUIDED, TARGETS, sound_files
    from tests.fuzz.worker import limit_memory, outcome


def main(name: str, seconds: str) -> None:
    """Fuzz one target. An input that fails raises, which Atheris reports with its bytes."""
    assert name in GUIDED
    folder = Path(tempfile.mkdtemp())
    target = TARGETS[name](folder, sound_files(None))

    def one(content: bytes) -> None:
        if (said := outcome(target, content)).startswith("WRONG"):
            raise AssertionError(said)

    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(target.sound):
        (corpus / str(number)).write_bytes(content)
    os.chdir(folder)
    limit_memory()
    options = [
        f"-max_total_time={seconds}",
        "-timeout=10",
        "-max_len=40000",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
