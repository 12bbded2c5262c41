"""Faults in turn, and what must hold after each of them."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from .commands import FRAMEWORKS, Command, Place
from .process import Ended, Fault, run

# What reading a half-written output raises.
_BROKEN = (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Of the kills, this share at an instant of the clock; the others at a call that changes a file.
_BY_CLOCK = 0.4
_COLD = 0.1
# A folder meets several kills in a row, before the command may finish its work.
_FINISH = 0.4
_HARMLESS = ("Model: ", "edge-mnist: error: ", "edge-mnist: warning: ", "Downloading MNIST from ")
_WARNINGS = ("keeps the finished epochs: the same command continues", "is slower here than float32")


@dataclass
class Report:
    """Counts and failures."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    say: Callable[[str], None] = click.echo

    def check(self, holds: bool, command: Command, fault: object, text: str) -> None:
        """Count a failure unless something holds."""
        if not holds:
            self.failures.append(f"{command.name}, {fault}: {text}")
            self.say(f"FAILED {self.failures[-1]}")


class Campaign:
    """Tries faults on one command.

    Args:
        command: the command.
        place: its folders, made anew for each sequence of faults.
        report: takes counts and failures.
        mirror: the address of MNIST, for the command that downloads it.
    """

    def __init__(
        self, command: Command, place: Place, report: Report, *, mirror: str | None = None
    ) -> None:
        self.command, self.place, self.report, self.mirror = command, place, report, mirror
        self.fresh()
        self.before = self.place.files()
        # Twice: the first one also writes what frameworks keep in the home folder.
        self.undisturbed = self.run(Fault(cold=True))
        self._home = place.root.with_name(f"{place.root.name}-home")
        shutil.rmtree(self._home, ignore_errors=True)
        self._home.mkdir()
        for name in FRAMEWORKS:
            if (place.root / name).exists():
                shutil.copytree(place.root / name, self._home / Path(name).relative_to("home"))
        self.fresh()
        self.undisturbed_copy = self.run(Fault())
        for ended in (self.undisturbed, self.undisturbed_copy):
            assert ended.status == 0, ended
        self.files, self.state = place.files(), command.state(place)
        self.calls = self.undisturbed_copy.calls

    def run(self, fault: Fault) -> Ended:
        """Run the command with a fault."""
        self.found = self.place.files()  # Also what an earlier kill left.
        return run(self.command, self.place, fault, mirror=self.mirror)

    def fresh(self) -> None:
        """Make the folders as they were before the command."""
        for folder in (self.place.work, self.place.home, self.place.temporary):
            if folder.is_mount():
                for one in folder.iterdir():
                    shutil.rmtree(one) if one.is_dir() else one.unlink()
            else:
                shutil.rmtree(folder, ignore_errors=True)
        if hasattr(self, "_home"):
            shutil.copytree(self._home, self.place.home, dirs_exist_ok=True)
        self.command.make(self.place)

    def kill(self, times: int, chance: random.Random) -> None:
        """Kill the command by each signal, `times` times each, and let it finish in between."""
        signals = [number for number in SIGNALS for _ in range(times)]
        chance.shuffle(signals)
        self.fresh()
        for index, number in enumerate(signals):
            fault = self._random_kill(number, chance)
            ended = self.run(fault)
            self.report.counts[f"{self.command.name} {signal.Signals(number).name}"] += 1
            self.check_end(ended, fault, {-number, 128 + number, 0, *self._statuses_when_done()})
            self.check_whole(fault, ended)
            if index == len(signals) - 1 or chance.random() < _FINISH:
                self.finish(fault)
                self.fresh()

    def _random_kill(self, number: signal.Signals, chance: random.Random) -> Fault:
        cold = chance.random() < _COLD
        if cold or chance.random() < _BY_CLOCK or not self.calls:
            usual = self.undisturbed if cold else self.undisturbed_copy
            return Fault(number, after_s=chance.uniform(0, usual.seconds), cold=cold)
        return Fault(number, call=chance.randint(1, self.calls))

    def _statuses_when_done(self) -> set[int]:
        # A killed command may have finished; then a repetition refuses to write over its output.
        return {2} if self.command.done and self.command.state(self.place) == self.state else set()

    def fail(self, fault: Fault, statuses: frozenset[int] = frozenset({2})) -> Ended:
        """Try an error of the disk, on fresh folders; the command then finishes its work."""
        self.fresh()
        ended = self.run(fault)
        self.report.counts[
            f"{self.command.name} {fault.errno and errno.errorcode[fault.errno]}"
        ] += 1
        self.check_end(ended, fault, {0, *statuses})
        self.check_whole(fault, ended)
        self.finish(fault)
        return ended

    def check_end(self, ended: Ended, fault: object, statuses: set[int]) -> None:
        """Check the exit status and the lines on stderr."""
        check = self.report.check
        check(ended.status in statuses, self.command, fault, f"status {ended.status}: {ended.said}")
        foreign = [line for line in ended.said if not _is_harmless(line)]
        check(not foreign, self.command, fault, f"said {foreign}")
        errors = [line for line in ended.said if line.startswith("edge-mnist: error: ")]
        expected = 1 if ended.status > 0 else 0
        check(len(errors) == expected, self.command, fault, f"status {ended.status}: {ended.said}")
        check(not errors or ended.said[-1] == errors[0], self.command, fault, f"{ended.said}")

    def check_whole(self, fault: object, ended: Ended) -> None:
        """Check that outputs are whole, or absent, or as before, and that inputs are untouched."""
        try:
            state = self.command.state(self.place)
        except _BROKEN as error:
            self.report.check(False, self.command, fault, f"half-written output: {error!r}")
            return
        for name, value in state.items():
            whole = value == self.state.get(name)
            self.report.check(whole, self.command, fault, f"{name} is not whole or differs")
        # On a disk that keeps failing nothing can be deleted either.
        broken = isinstance(fault, Fault) and fault.errno and not fault.once
        if ended.status >= 0 and not broken:
            left = self.place.files() - self.before - self.files - self.found
            left = {name for name in left if not name.startswith(self.command.resumable or "//")}
            self.report.check(not left, self.command, fault, f"status {ended.status} left {left}")
        missing = self.before - self.place.files()
        self.report.check(not missing, self.command, fault, f"lost {missing}")

    def finish(self, fault: object) -> None:
        """Let the command finish, and compare everything with the undisturbed run."""
        ended = self.run(Fault())
        done = self.command.done
        refused = ended.status == 2 and done is not None and any(done in s for s in ended.said)
        finished = f"finishing: status {ended.status}: {ended.said}"
        self.report.check(ended.status == 0 or refused, self.command, fault, finished)
        state = self.command.state(self.place)
        same = state == self.state
        differing = sorted(k for k in {*state, *self.state} if state.get(k) != self.state.get(k))
        self.report.check(same, self.command, fault, f"finished with other bytes: {differing}")
        extra = self.place.files() ^ self.files
        self.report.check(not extra, self.command, fault, f"finished with files {extra}")


def _is_harmless(line: str) -> bool:
    return line.startswith(_HARMLESS) or any(warning in line for warning in _WARNINGS)


def io_errors(campaign: Campaign, times: int, chance: random.Random) -> None:
    """Let calls that change files fail: one, or all from it on; EIO, ENOSPC, EDQUOT and EROFS."""
    for _ in range(times):
        number = chance.choice((errno.EIO, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS))
        call = chance.randint(1, max(campaign.calls, 1))
        once = chance.random() < 0.5
        campaign.fail(Fault(call=call, errno=number, once=once))


def full_disks(campaign: Campaign, steps: int) -> None:
    """Let outputs, home and temporary folder fill, each on a disk that is larger each time."""
    for name in ("work", "home", "tmp"):
        for size_kb in _sizes(campaign, name, steps):
            with _Mounted(campaign, name) as mount:
                campaign.fresh()
                fill(getattr(campaign.place, _FOLDERS[name]), size_kb)
                fault = f"{size_kb} kB free in {name}"
                ended = campaign.run(Fault())
                campaign.report.counts[f"{campaign.command.name} full {name}"] += 1
                campaign.check_end(ended, fault, {0, 2})
                (mount / _BALLAST).unlink()
                campaign.check_whole(fault, ended)
                campaign.finish(fault)


_FOLDERS = {"work": "work", "home": "home", "tmp": "temporary"}
_BALLAST, _DISK_KB = ".ballast", 65536


def _sizes(campaign: Campaign, name: str, steps: int) -> list[int]:
    """Return free sizes up to what the command writes, in steps of a page at least."""
    campaign.fresh()
    needed_kb = _written_kb(campaign, name)
    step = max(4, needed_kb // steps // 4 * 4)
    return list(range(0, needed_kb + step, step))


def _written_kb(campaign: Campaign, name: str) -> int:
    """Return the largest size of a folder while the command runs, from a disk's own count."""
    with _Mounted(campaign, name) as mount:
        campaign.fresh()
        before = os.statvfs(mount).f_bavail
        campaign.run(Fault())
        used = (before - os.statvfs(mount).f_bavail) * 4
    # Temporary files are gone by then. 1.5 MB hold those of the export of a small model.
    return max(used, 1500 if name == "tmp" and campaign.command.name in ("train", "export") else 0)


def fill(folder: Path, free_kb: int) -> None:
    """Fill a disk until so much is free."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize // 1024
    with (folder / _BALLAST).open("wb") as file:
        file.write(bytes(max(free - free_kb, 0) * 1024))


class _Mounted:
    """A small disk of its own in place of one of the folders; needs root."""

    def __init__(self, campaign: Campaign, name: str, options: str = "") -> None:
        self._path = campaign.place.root / name
        self._options = f"size={_DISK_KB}k"

    def __enter__(self) -> Path:
        self._path.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", self._options, "faults", str(self._path)]
        subprocess.run(command, check=True)
        return self._path

    def __exit__(self, *_: Any) -> None:
        subprocess.run(["umount", str(self._path)], check=True)


def read_only(campaign: Campaign) -> None:
    """Make outputs, home and temporary folder read-only in turn."""
    for name in ("work", "home", "tmp"):
        with _Mounted(campaign, name) as mount:
            campaign.fresh()
            remount = ["mount", "-o", "remount", str(mount)]
            subprocess.run([*remount[:2], "remount,ro", str(mount)], check=True)
            fault = f"read-only {name}"
            ended = campaign.run(Fault())
            campaign.report.counts[f"{campaign.command.name} read-only {name}"] += 1
            campaign.check_end(ended, fault, {0, 2})
            subprocess.run([*remount[:2], "remount,rw", str(mount)], check=True)
            campaign.check_whole(fault, ended)
            campaign.finish(fault)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a disk."""
    probe = folder / "probe"
    probe.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "faults", str(probe)],
        check=False,
        capture_output=True,
    )
    if not done.returncode:
        subprocess.run(["umount", str(probe)], check=True)
    probe.rmdir()
    return not done.returncode


def odd_places(campaign: Campaign) -> Iterator[tuple[str, Fault]]:
    """Yield unusual environments; in each the command works, or ends with one line.

    Another user needs a Python that everybody may read.
    """
    missing = "/proc/missing"  # Nobody, not even root, can make it.
    yield "HOME unset", Fault(env={"HOME": ""})
    yield "HOME missing", Fault(env={"HOME": missing, "XDG_CACHE_HOME": missing})
    yield "TMPDIR missing", Fault(env={"TMPDIR": missing})
    if not os.getuid() and all(path.stat().st_mode & 1 for path in Path(os.__file__).parents):
        yield "another user", Fault(user=65534)


def environments(campaign: Campaign) -> None:
    """Try unusual environments."""
    for name, fault in odd_places(campaign):
        campaign.fresh()
        ended = campaign.run(fault)
        campaign.report.counts[f"{campaign.command.name} {name}"] += 1
        campaign.check_end(ended, name, {0, 2})
        campaign.check_whole(name, ended)
        campaign.finish(name)
