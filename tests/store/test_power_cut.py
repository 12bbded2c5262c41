"""A power cut at any instant of `install` and `rollback` leaves the old or the new bundle whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_mnist.store import Store
from tests.conftest import REPOSITORY
from tests.store.disk import Disk
from tests.store.power_cut import SCENARIOS, Scenario

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace"
)
# `python -m tests.store.power_cut` kills at every point.
EVERY = 12


def test_a_command_killed_at_any_point_leaves_the_old_or_the_new_bundle(tmp_path: Path) -> None:
    """In a process of its own: it forks, so it must have no other threads."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.power_cut", "--every", str(EVERY)],
        cwd=REPOSITORY,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == len(SCENARIOS) + 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the prepared store of each scenario, and strace's log of its command."""
    folder = tmp_path_factory.mktemp("traced")
    program = (
        "import sys, pathlib\n"
        "from tests.store.power_cut import Harness, SCENARIOS\n"
        "harness = Harness(pathlib.Path(sys.argv[1]))\n"
        "for scenario in SCENARIOS:\n"
        "    lines = harness.trace(scenario)\n"
        "    pathlib.Path(sys.argv[1], scenario.name + '.log').write_text('\\n'.join(lines))\n"
        "    pathlib.Path(sys.argv[1], 'store').rename(harness.after(scenario))\n"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=REPOSITORY, env=environment, check=True
    )
    return folder


def power_cuts(folder: Path, scenario: Scenario, *, lost: int = 0) -> Iterator[tuple[bool, str]]:
    """Yield what a power cut leaves: whether the link had been flushed, and the current version.

    Args:
        folder: from the fixture.
        scenario: the command.
        lost: leave out the n-th fsync, counted from 1; 0 for none.
    """
    stores = folder / "prepared" / scenario.name, folder / "after" / scenario.name
    whole = {
        version.name: {path.name for path in version.iterdir()}
        for store in stores
        for version in store.glob("versions/*")
    }
    disk, flushed, moved, count = Disk(stores[0], whole, place=folder / "store"), False, False, 0
    for line in (folder / f"{scenario.name}.log").read_text().splitlines():
        if line.startswith("fsync(") and (count := count + 1) == lost:
            continue
        disk.apply(line)
        moved = moved or line.startswith(f'rename("{folder}/store/current.new"')
        flushed = flushed or (moved and line.startswith("fsync("))
        yield from ((flushed, disk.current(state)) for state in disk.states())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_power_cut_leaves_the_old_or_the_new_bundle(folder: Path, scenario: Scenario) -> None:
    """Everything that was not flushed may be lost, in any order."""
    assert set(power_cuts(folder, scenario)) == allowed(folder, scenario)


def allowed(folder: Path, scenario: Scenario) -> set[tuple[bool, str]]:
    """Return what may be left: the old or the new bundle, and the new one for sure in the end."""
    before, after = (
        Store(folder / kind / scenario.name).current() for kind in ("prepared", "after")
    )
    assert after is not None
    old, new = before.folder.name if before else "none", after.folder.name
    return {(False, old), (False, new), (True, new)}


def test_without_any_one_fsync_a_power_cut_could_leave_something_else(folder: Path) -> None:
    """Each fsync is needed, and this model of a disk sees it."""
    scenario = SCENARIOS[1]
    expected = allowed(folder, scenario)
    log = (folder / f"{scenario.name}.log").read_text().splitlines()
    flushes = [line for line in log if line.startswith("fsync(")]
    needless = [
        flushes[lost - 1]
        for lost in range(1, len(flushes) + 1)
        if set(power_cuts(folder, scenario, lost=lost)) <= expected
    ]
    # This one is for the older generations: none of them has a link to a version that is gone.
    assert needless == [flushes[-1]] and "/generations>" in flushes[-1]
