"""C files and images in, the bytes that a compiled program answers out."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
Array = NDArray[np.uint8]
LIMIT_S = 300
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


def write_files(files: Mapping[str, str], folder: Path) -> Path:
    """Write files into a folder, and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def compiled(
    command: Sequence[str], folder: Path, sources: Sequence[str | Path], name: str
) -> Path:
    """Compile sources with the library of a folder; a warning is an error."""
    out = folder / name
    texts = [str(source) for source in sources]
    done = run([*command, f"-I{folder / 'src'}", *texts, "-o", str(out)])
    assert done.stderr == b"", done.stderr.decode()
    return out


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command; a failure shows what it printed."""
    done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr.decode()[-2000:]}"
    return done


def answers(command: Sequence[str], images: Array, classes: int) -> Array:
    """Return the outputs (n, classes) of a program that reads images and writes outputs."""
    done = run(command, input=images.tobytes())
    return np.frombuffer(done.stdout, np.uint8).reshape(len(images), classes)
