"""The files of a C library in, its flash, RAM and stack on each Cortex-M out."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Options of GCC. The last three have a unit for float32; the first two compute it in software.
CORES: dict[str, tuple[str, ...]] = {
    "Cortex-M0": ("-mcpu=cortex-m0",),
    "Cortex-M3": ("-mcpu=cortex-m3",),
    "Cortex-M4": ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    "Cortex-M33": ("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
    "Cortex-M55": ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
}
INSTALL = "arm-none-eabi-gcc (Debian: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi)"
_LIMIT_S = 120
# Flags of a section: it has a place in memory; its type if it has no bytes in the file.
_ALLOC, _WRITE, _NOBITS = 2, 1, 8


@dataclass(frozen=True)
class Compiler:
    """A C compiler for Cortex-M."""

    path: str

    def command(self, options: Sequence[str]) -> list[str]:
        """Return the start of a command that compiles for a core."""
        sections = ("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
        return [self.path, "-mthumb", *options, *sections]


def find_compiler() -> Compiler | None:
    """Return the compiler of this machine, or None."""
    path = shutil.which("arm-none-eabi-gcc")
    return None if path is None else Compiler(path)


def resources(files: Mapping[str, str]) -> dict[str, dict[str, int]] | None:
    """Return what a C library needs on each core, compiled with -O2.

    Args:
        files: of `c_files`.

    Returns:
        By core: `flash_bytes` of code, constants and what the compiler adds, `ram_bytes` of static
        memory, `stack_bytes`: an upper bound, the sum of all its functions' frames. None without a
        compiler and its C library; `INSTALL` names them.
    """
    compiler = find_compiler()
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name in ("digit.h", "digit.c"):
            Path(folder, name).write_text(files[f"src/{name}"], encoding="utf-8")
        try:
            return {core: _compiled(compiler, CORES[core], Path(folder)) for core in CORES}
        except subprocess.SubprocessError:
            # A compiler without its C library, in most cases.
            return None


def _compiled(compiler: Compiler, core: Sequence[str], folder: Path) -> dict[str, int]:
    command = [*compiler.command(core), "-O2", "-std=c99"]
    program = folder / "digit.elf"
    for options in (
        ("-fstack-usage", "-c", "digit.c", "-o", "digit.o"),
        ("-nostartfiles", "-Wl,-e,digit_predict", "digit.o", "-o", str(program)),
    ):
        subprocess.run(
            [*command, *options], cwd=folder, check=True, capture_output=True, timeout=_LIMIT_S
        )
    frames = [line.split("\t") for line in (folder / "digit.su").read_text().splitlines()]
    return {**_sections(program.read_bytes()), "stack_bytes": sum(int(f[1]) for f in frames)}


def _sections(elf: bytes) -> dict[str, int]:
    """Return the bytes in flash and in RAM of a 32-bit little-endian ELF program."""
    (start,) = struct.unpack_from("<I", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 46)
    flash = ram = 0
    for index in range(count):
        _, kind, flags, _, _, length = struct.unpack_from("<6I", elf, start + index * size)
        if flags & _ALLOC:
            flash += length if kind != _NOBITS else 0
            ram += length if flags & _WRITE else 0
    return {"flash_bytes": flash, "ram_bytes": ram}
