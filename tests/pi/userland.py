"""A Raspberry Pi's userland on another machine: Debian's packages, run by qemu's user mode.

Raspberry Pi OS bookworm is Debian 12, and trixie is Debian 13. Debian's packages are unpacked into
a folder, a root, and its Python is run with that folder in place of /. The processor that qemu
plays is the least of those meant, so that an instruction which a Raspberry Pi 3 does not have ends
a process here as there.

The Zero, Zero W and 1 have an ARMv6 processor. Raspberry Pi OS builds its own armhf for it, which
no Debian mirror has. Debian's armel is for ARMv5T with floating point in software, so an ARMv6
processor runs it. Debian 12 is the last with a complete armel.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# python3-venv is what a user installs; the libraries are those that wheels expect of a system.
PACKAGES = ("python3", "python3-venv", "python3-numpy", "python3-pil", "libatomic1", "zlib1g")
_BUILD_LIMIT_S = 300


class UnavailableError(Exception):
    """A root cannot be had here; the message says what is missing."""


@dataclass(frozen=True)
class System:
    """An operating system and the least processor it is tried on."""

    suite: str
    python: str  # of that suite
    architecture: str  # Debian's word
    triplet: str
    qemu: str
    processor: str  # qemu's word
    machine: str  # as `uname -m` says
    cpuinfo: str  # of one of the four cores

    @property
    def recipe(self) -> str:
        """All that the root is made of."""
        return repr((self, PACKAGES, Path(__file__).read_text(encoding="utf-8")))


# What /proc/cpuinfo says on a board of the kind: ONNX Runtime reads it to choose its kernels, and
# dies of finding another processor's there. The 32-bit processor is that of the Raspberry Pi 2;
# the 64-bit one that of the 3 and the Zero 2 W. The 4 has the same instructions, the 5 more. The
# ARMv6 processor is that of the 1, Zero and Zero W.
_CORTEX_A7 = (
    "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae "
    "evtstrm\nCPU implementer\t: 0x41\nCPU architecture: 7\nCPU variant\t: 0x0\n"
    "CPU part\t: 0xc07\nCPU revision\t: 5\n"
)
_CORTEX_A53 = (
    "Features\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
    "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd03\nCPU revision\t: 4\n"
)
_ARM1176 = (
    "Features\t: half thumb fastmult vfp edsp java tls\nCPU implementer\t: 0x41\n"
    "CPU architecture: 7\nCPU variant\t: 0x0\nCPU part\t: 0xb76\nCPU revision\t: 7\n"
)
_ARMHF = ("armhf", "arm-linux-gnueabihf", "qemu-arm-static", "cortex-a7", "armv7l", _CORTEX_A7)
_ARM64 = (
    *("arm64", "aarch64-linux-gnu", "qemu-aarch64-static"),
    *("cortex-a53", "aarch64", _CORTEX_A53),
)
_ARMEL = ("armel", "arm-linux-gnueabi", "qemu-arm-static", "arm1176", "armv6l", _ARM1176)
SYSTEMS = {
    "bookworm armhf": System("bookworm", "3.11", *_ARMHF),
    "bookworm arm64": System("bookworm", "3.11", *_ARM64),
    "bookworm armel": System("bookworm", "3.11", *_ARMEL),
    "trixie armhf": System("trixie", "3.13", *_ARMHF),
}


def cache() -> Path:
    """Return the folder where roots and wheels stay between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "edge-mnist-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key(recipe: str) -> str:
    """Return a name that changes with the recipe."""
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def missing_commands() -> list[str]:
    """Return the commands needed that this machine lacks."""
    wanted = ["mmdebstrap", "tar", *(system.qemu for system in SYSTEMS.values())]
    return [command for command in wanted if shutil.which(command) is None]


def root(system: System) -> Path:
    """Return the system's root, built unless the cache has it: it is there whole or not at all.

    Raises:
        UnavailableError: no mirror of this machine's own apt sources gives this Debian.
    """
    place = cache() / f"{system.suite}-{system.architecture}-{key(system.recipe)}"
    if place.is_dir():
        return place
    _sweep()
    with tempfile.TemporaryDirectory(prefix=".build-", dir=cache()) as scratch:
        build = Path(scratch) / "root"
        build.mkdir()
        _bootstrap(system, Path(scratch) / "root.tar", build)
        _finish(system, build, place)
        try:
            build.rename(place)
        except OSError:
            if not place.is_dir():  # Another run may have been faster.
                raise
    return place


def _sweep() -> None:
    """Remove what builds left that were killed, and what was built long ago."""
    for left in cache().iterdir():
        hours = (time.time() - left.stat().st_mtime) / 3600
        if hours > (1 if left.name.startswith(".build-") else 30 * 24):
            shutil.rmtree(left, ignore_errors=True)


def _bootstrap(system: System, archive: Path, build: Path) -> None:
    said = []
    for mirror in mirrors(Path("/etc/apt")):
        command = [
            *("mmdebstrap", "--quiet", "--variant=extract"),
            *(f"--architectures={system.architecture}", f"--include={','.join(PACKAGES)}"),
            *(system.suite, archive, mirror),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_BUILD_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            said.append(f"no end after {_BUILD_LIMIT_S} s")
            continue
        if done.returncode == 0:
            # An archive, as only root could take a folder from mmdebstrap as it is.
            extract = ["tar", "-xf", archive, "-C", build, "--no-same-owner", "--exclude=./dev"]
            subprocess.run(extract, check=True, capture_output=True)
            return
        said.append((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    raise UnavailableError(
        f"needs a Debian mirror with {system.suite} for {system.architecture} in this machine's "
        f"apt sources: {'; '.join(said) or 'they name none'}"
    )


def mirrors(apt: Path) -> list[str]:
    """Return the mirrors that apt's sources name, Debian's before the rest.

    A Debian mirror has every suite, whichever of them the sources name.
    """
    wanted = {system.suite for system in SYSTEMS.values()}
    found: dict[str, bool] = {}
    for uri, suites in _sources(apt):
        if uri.startswith(("http://", "https://", "file:/")):
            found[uri] = found.get(uri, False) or not wanted.isdisjoint(suites)
    return sorted(found, key=lambda uri: not found[uri])


def _sources(apt: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (address, suites) of both formats that apt reads; see sources.list(5)."""
    parts = sorted((apt / "sources.list.d").glob("*"))
    for path in (apt / "sources.list", *parts):
        if not path.is_file():
            continue
        text = re.sub(r"^#.*\n?", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if path.suffix == ".list":
            for line in text.splitlines():
                found = re.match(r"deb\s+(?:\[.*?\]\s+)?(\S+)\s+(\S+)", line)
                if found:
                    yield found[1], [found[2]]
        elif path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                # A field's value goes on in lines that begin with a space.
                fields = dict(re.findall(r"^([\w-]+):((?:.*\n?)(?:[ \t].*\n?)*)", stanza, re.M))
                if "deb" in fields.get("Types", "").split() and not _off(fields):
                    for uri in fields.get("URIs", "").split():
                        yield uri, fields.get("Suites", "").split()


def _off(fields: dict[str, str]) -> bool:
    return fields.get("Enabled", "").strip().lower() in ("no", "false", "off", "0")


def _finish(system: System, build: Path, place: Path) -> None:
    """Do what the packages' own scripts would have done, and put the launcher in Python's place."""
    if not (build / "lib").exists():  # Debian 13 has all libraries in /usr.
        (build / "lib").symlink_to("usr/lib")
    libraries = build / "usr" / "lib" / system.triplet
    for library in ("blas", "lapack"):
        name = f"lib{library}.so.3"
        if not (libraries / name).exists():
            (libraries / name).symlink_to(f"{library}/{name}")
    cores = "".join(
        f"processor\t: {core}\nBogoMIPS\t: 38.40\n{system.cpuinfo}\n" for core in range(4)
    )
    (build / "proc").mkdir(exist_ok=True)
    (build / "proc" / "cpuinfo").write_text(cores, encoding="utf-8")
    processors = build / "sys" / "devices" / "system" / "cpu"
    processors.mkdir(parents=True)
    for name in ("possible", "present"):
        (processors / name).write_text("0-3\n", encoding="utf-8")
    python = build / "usr" / "bin" / f"python{system.python}"
    python.rename(program(system, build))
    python.write_text(launcher(system, place), encoding="utf-8")
    python.chmod(0o755)


def program(system: System, root: Path) -> Path:
    """Return the ARM program that a root's launcher of Python runs."""
    return root / "usr" / "bin" / f"python{system.python}.elf"


def launcher(system: System, place: Path) -> str:
    """Return a script that runs the root's Python under the name it was called by.

    Python starts others of itself by that name (doctor and benchmark do), and this machine can
    start a script where it could not start an ARM program. A venv links to it.
    """
    python = shlex.quote(str(program(system, place)))
    return (
        f"#!/bin/sh\nexport QEMU_CPU={system.processor}\n"
        f'exec {system.qemu} -0 "${{ARGV0:-$0}}" -L {shlex.quote(str(place))} {python} "$@"\n'
    )
