"""C sources and images in; whether the compiled program answers the arithmetic's bytes, out."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.errors import GateError
from edge_mnist.int8 import Graph

from ..standalone.pixel_graph import expected_outputs

_COMPILERS = ("cc", "gcc", "clang")
_TIMEOUT_S = 600
# Reads images from standard input, and writes the output bytes of each.
_HARNESS = """
#include <stdio.h>
#include "digit.h"

int main(void)
{
    static uint8_t image[DIGIT_INPUT_SIZE], output[DIGIT_CLASSES];
    while (fread(image, sizeof image, 1, stdin) == 1) {
        digit_probabilities(image, output);
        fwrite(output, sizeof output, 1, stdout);
    }
    return 0;
}
"""


def verify(
    files: Mapping[str, str],
    graph: Graph,
    images: NDArray[np.uint8],
    *,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Compile the sources for this machine, and compare all outputs with the arithmetic.

    Args:
        files: the sources by relative path, from `standalone.c.c_files`.
        graph: the model, of raw pixels.
        images: (n, …) uint8 of the model's size.
        report: takes one line if there is no compiler.

    Returns:
        The manifest's fields: the compiler, the number of images that were compared, and the hash
        of the outputs. Empty without a compiler.

    Raises:
        GateError: the sources do not compile, or an output differs.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        report(
            f"The C program was not compiled and compared: Expected a C compiler "
            f"({', '.join(_COMPILERS)}), got none; install one, such as Debian's gcc."
        )
        return {}
    expected = expected_outputs(graph, images)
    with tempfile.TemporaryDirectory() as folder:
        program = _compile(compiler, files, Path(folder))
        done = subprocess.run(
            [program], input=images.tobytes(), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    found = np.frombuffer(done.stdout, np.uint8)
    if found.size != expected.size:
        raise GateError(
            f"Expected {expected.size} output bytes of the compiled C program, got {found.size}, "
            f"and exit status {done.returncode}; report this as a bug.",
            code="gate-c",
        )
    steps = np.abs(found.reshape(expected.shape).astype(np.int16) - expected).max(axis=1)
    if steps.any():
        raise GateError(
            f"Expected the compiled C program to equal the arithmetic to the byte, got "
            f"{np.count_nonzero(steps)} of {len(images)} images that differ, by at most "
            f"{steps.max()} steps, with {compiler}; try another compiler.",
            code="gate-c",
        )
    return {"compared_images": len(images), "compiler": _version(compiler)}


def _compile(compiler: str, files: Mapping[str, str], folder: Path) -> Path:
    for name, text in {**files, "harness.c": _HARNESS}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    source = next(path for path in folder.rglob("digit.c"))
    program = folder / "program"
    arguments = ["-std=c99", "-O2", f"-I{source.parent}", str(source), str(folder / "harness.c")]
    done = subprocess.run(
        [compiler, *arguments, "-o", str(program)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise GateError(
            f"Expected the C sources to compile with {compiler}, got: {reason}", code="gate-c"
        )
    return program


def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [compiler])[0]
