"""Kill `install` and `rollback` at every system call that writes, and look at what is left.

    python -m tests.store.power_cut            every point, which takes some minutes
    python -m tests.store.power_cut --every 7  every seventh

A process is forked for each point. strace attaches to it and sends SIGKILL at the N-th call of a
name. Afterwards the old or the new bundle is current, with every hash; the same command succeeds
and leaves nothing else behind.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from edge_mnist.bundle import MANIFEST, sha256
from edge_mnist.store import Store, copying, install, rollback
from tests.store.conftest import EDGE, NANO, variant

CALLS = (
    *("openat", "open", "creat", "write", "pwrite64", "writev", "ftruncate", "fallocate", "close"),
    *("mkdir", "mkdirat", "rmdir", "rename", "renameat", "renameat2", "link", "linkat"),
    *("symlink", "symlinkat", "unlink", "unlinkat", "fchmod", "chmod", "fchmodat", "fsync"),
    *("fdatasync", "utimensat", "copy_file_range", "sendfile"),
)
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)


class Scenario(NamedTuple):
    """A store as it is before, and a command."""

    name: str
    prepare: Callable[[Store, Path], object]
    act: Callable[[Store], object]


def _install_three(store: Store, bundles: Path) -> None:
    for number in range(3):
        _install(store, bundles / str(number))


def _rolled_back(store: Store, bundles: Path) -> None:
    _install_three(store, bundles)
    rollback(store)


def _install(store: Store, bundle: Path = EDGE, *, keep: int = 3) -> None:
    install(bundle, store=store, keep=keep, backend="numpy")


SCENARIOS = (
    Scenario("first install", lambda store, bundles: None, _install),
    Scenario("install", _install_three, _install),
    Scenario("install, keep 1", _install_three, lambda store: _install(store, keep=1)),
    Scenario("install after a rollback", _rolled_back, _install),
    Scenario("rollback", _install_three, rollback),
)


class Point(NamedTuple):
    """The `number`-th call of a name, counted from 1."""

    call: str
    number: int


class Harness:
    """Prepared stores, and commands run on copies of them under strace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._outcomes: dict[str, tuple[str | None, str | None]] = {}
        for number in range(3):
            variant(folder / "bundles" / str(number), number, of=NANO)

    def prepare(self, scenario: Scenario) -> Path:
        """Return the store of a scenario, as it is before its command."""
        path = self.folder / "prepared" / scenario.name
        if not path.exists():
            scenario.prepare(Store(path), self.folder / "bundles")
            path.mkdir(parents=True, exist_ok=True)
        return path

    def after(self, scenario: Scenario) -> Path:
        """Return a place for the store of a scenario as it is after its command."""
        path = self.folder / "after" / scenario.name
        path.parent.mkdir(exist_ok=True)
        return path

    def fresh(self, scenario: Scenario) -> Store:
        """Return a copy of that store, always in the same place."""
        path = self.folder / "store"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.prepare(scenario), path, symlinks=True)
        return Store(path)

    def trace(self, scenario: Scenario) -> list[str]:
        """Run a command to its end; return strace's log."""
        self.outcomes(scenario)  # What is imported late, a forked process has then, too.
        store, log = self.fresh(scenario), self.folder / "log"
        status = self._run(scenario, store, ("-y", "-s", "0", "-o", str(log)))
        assert status == 0, scenario
        return log.read_text().splitlines()

    def points(self, scenario: Scenario) -> list[Point]:
        """Return every call of a command that writes to the store."""
        counts: Counter[str] = Counter()
        found = []
        store = str(self.folder / "store")
        for line in self.trace(scenario):
            if not (match := _CALL.match(line)):
                continue
            call, arguments, _ = match.groups()
            counts[call] += 1
            reads = (call.startswith("open") and "O_CREAT" not in arguments) or (
                call == "close" and "/incoming/" not in arguments
            )
            if store in arguments and not reads:
                found.append(Point(call, counts[call]))
        return found

    def outcomes(self, scenario: Scenario) -> tuple[str | None, str | None]:
        """Return the hash of the current bundle before and after a command."""
        if scenario.name not in self._outcomes:
            before = Store(self.prepare(scenario)).current()
            store = self.fresh(scenario)
            scenario.act(store)
            self._outcomes[scenario.name] = before and before.sha256, current(store)
        return self._outcomes[scenario.name]

    def kill(self, scenario: Scenario, point: Point) -> Store:
        """Kill a command at a point; return the store that is left."""
        store = self.fresh(scenario)
        kill = f"inject={point.call}:signal=SIGKILL:when={point.number}"
        status = self._run(scenario, store, ("-o", "/dev/null", "-e", kill), only=point.call)
        assert os.WIFSIGNALED(status), (scenario.name, point, status)
        return store

    def _run(
        self, scenario: Scenario, store: Store, options: tuple[str, ...], only: str = ""
    ) -> int:
        """Run a command in a forked process under strace; return its wait status."""
        ready, go = os.pipe()
        child = os.fork()
        if not child:
            # Where only descendants may be traced (Yama).
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
            os.close(go)
            os.read(ready, 1)
            try:
                scenario.act(store)
                os._exit(0)
            finally:
                os._exit(1)
        calls = only or ",".join(f"?{call}" for call in CALLS)
        command = ["strace", "-p", str(child), "-e", f"trace={calls}", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as strace:
            assert strace.stderr
            line = strace.stderr.readline()
            assert b"attached" in line, line
            os.close(ready)
            os.close(go)  # Reading ends.
            status = os.waitpid(child, 0)[1]
            strace.stderr.read()
        return status


def current(store: Store) -> str | None:
    """Return the hash of the current bundle, after checking that it is whole."""
    if not os.path.lexists(store.folder / "current"):
        return None
    generation = store.current()
    assert generation is not None, "the link leads to no generation"
    copying.verify(generation.folder, trust=False)
    digest = sha256((generation.folder / MANIFEST).read_bytes())
    assert digest == generation.folder.name
    return digest


def check(harness: Harness, scenario: Scenario, point: Point) -> bool:
    """Kill a command at a point and check the store; return whether the new bundle was current."""
    expected = harness.outcomes(scenario)
    store = harness.kill(scenario, point)
    found = current(store)
    assert found in expected, f"{scenario.name}, {point}: {found}"
    scenario.act(store)
    if scenario.act is not rollback or found == expected[0]:
        assert current(store) == expected[1], f"{scenario.name}, {point}: not installed again"
    assert_tidy(store)
    return found == expected[1]


def assert_tidy(store: Store) -> None:
    """Expect nothing in a store but its generations and the versions that they need."""
    names = {path.name for path in store.folder.iterdir()}
    assert names == {"current", "generations", "lock", "versions"}, names
    needed = {generation.folder.name for generation in store.generations()}
    assert needed == {path.name for path in store.versions.iterdir()}
    for generation in store.generations():
        copying.verify(generation.folder, trust=False)


def run(folder: Path, every: int) -> Iterator[tuple[Scenario, int, int]]:
    """Check every n-th point; yield the number of points, and after how many the new is current."""
    harness = Harness(folder)
    for scenario in SCENARIOS:
        points = harness.points(scenario)[::every]
        new = sum(check(harness, scenario, point) for point in points)
        yield scenario, len(points), new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    every = parser.parse_args().every
    start, total = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        for scenario, count, new in run(Path(folder), every):
            total += count
            line = f"{scenario.name}: {count} points; {new} left the new bundle\n"
            sys.stdout.write(line)
    sys.stdout.write(f"{total} points in {time.monotonic() - start:.0f} s\n")


if __name__ == "__main__":
    # One thread: a forked process has no other.
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "tests.store.power_cut", *sys.argv[1:]])
    main()
