"""The C program on Cortex-M processors, emulated by QEMU, without an operating system."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_mnist_export.standalone.c_files import known_bytes
from edge_mnist_export.standalone.c_resources import CORES, find_compiler, resources
from tests.export.standalone.programs import HERE, WARNINGS, compiled, run, write_files
from tests.export.standalone.test_c import MODELS, Subject, subject
from tests.int8.graphs import ZOO

BARE = HERE / "bare"
IMAGES = 10


@dataclass(frozen=True)
class Board:
    """An emulated board: QEMU's name, the addresses of flash and RAM, the clock in MHz."""

    machine: str
    core: str
    flash: int
    ram: int
    clock_mhz: float


BOARDS = [
    Board("microbit", "Cortex-M0", 0, 0x20000000, 16),
    Board("mps2-an385", "Cortex-M3", 0, 0x20000000, 25),
    Board("mps2-an386", "Cortex-M4", 0, 0x20000000, 25),
    Board("mps2-an505", "Cortex-M33", 0x10000000, 0x38000000, 20),
    Board("mps3-an547", "Cortex-M55", 0, 0x20000000, 32),
]


def emulated(board: Board, model: Subject, folder: Path, count: int) -> tuple[int, int, int]:
    """Run images; return how many differ, the stack in bytes, the instructions of one image."""
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("needs arm-none-eabi-gcc: Debian's package gcc-arm-none-eabi")
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("needs qemu-system-arm: Debian's package of that name")
    write_files(model.files, folder)
    places = f"-Wl,--defsym=FLASH={board.flash},--defsym=RAM={board.ram}"
    program = compiled(
        [*compiler.command(CORES[board.core]), "-O2", "-std=gnu99", *WARNINGS, "-Wno-pedantic"],
        folder,
        ["-nostartfiles", "-T", BARE / "link.ld", places, *map(str, program_sources(folder))],
        "program.elf",
    )
    images, expected = model.images[:count], model.expected[:count]
    (folder / "images.bin").write_bytes(images.tobytes())
    # One instruction is one nanosecond of the board's time.
    options = "-icount shift=0 -semihosting-config enable=on,target=native "
    options += "-display none -serial none -monitor none"
    command = ["qemu-system-arm", "-M", board.machine, "-kernel", str(program)]
    run([*command, *options.split()], cwd=folder)
    outputs = np.fromfile(folder / "outputs.bin", np.uint8).reshape(expected.shape)
    stack, ticks = np.fromfile(folder / "figures.bin", "<u4").tolist()
    wrong = int((outputs != expected).any(axis=1).sum())
    return wrong, stack, round(ticks * 1000 / board.clock_mhz / count)


def program_sources(folder: Path) -> tuple[Path, Path]:
    return folder / "src" / "digit.c", BARE / "start.c"


@functools.cache
def needs(name: str) -> dict[str, dict[str, int]]:
    found = resources(subject(name).files)
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.core)
@pytest.mark.parametrize("name", MODELS)
def test_a_cortex_m_gives_the_same_bytes(name: str, board: Board, tmp_path: Path) -> None:
    model = subject(name)
    wrong, stack, instructions = emulated(board, model, tmp_path, IMAGES)
    assert wrong == 0
    known = needs(name)
    # The stack of QEMU's run holds the caller's frame too.
    assert stack <= known[board.core]["stack_bytes"] + 64
    # 2.4 to 8.2 as measured: docs/how-to/microcontroller.md.
    assert 2 < instructions / model.graph.multiply_adds < 9


@pytest.mark.slow
@pytest.mark.parametrize("board", (BOARDS[0], BOARDS[2]), ids=lambda board: board.core)
@pytest.mark.parametrize("name", ZOO)
def test_a_cortex_m_runs_every_operator(name: str, board: Board, tmp_path: Path) -> None:
    assert emulated(board, subject(name), tmp_path, 50)[0] == 0


@pytest.mark.slow
def test_flash_and_ram_are_those_of_the_document() -> None:
    """Flash holds the constants and 1.5 to 4.5 kB of code; RAM is the scratch memory."""
    if find_compiler() is None:
        pytest.skip("needs arm-none-eabi-gcc: Debian's package gcc-arm-none-eabi")
    for name in MODELS:
        known = known_bytes(subject(name).graph, subject(name).spec)
        for core in CORES:
            found = needs(name)[core]
            assert found["ram_bytes"] == known["scratch_bytes"]
            assert 1500 < found["flash_bytes"] - known["constant_bytes"] < 4500


def test_without_a_compiler_there_are_no_resources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resources(subject("nano").files) is None
