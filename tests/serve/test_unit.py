"""The systemd unit of docs/edge-mnist.service."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Cli

UNIT = REPOSITORY / "docs" / "edge-mnist.service"


def test_systemd_takes_the_unit_and_finds_it_closed(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze from Debian's package systemd")
    # The unit's command is installed on a Pi, but not on this machine.
    here = Path(sys.executable).with_name("edge-mnist")
    text = UNIT.read_text(encoding="utf-8").replace("/opt/edge-mnist/bin/edge-mnist", str(here))
    unit = tmp_path / "edge-mnist.service"
    unit.write_text(text, encoding="utf-8")
    options = {"capture_output": True, "text": True, "check": False}
    done = subprocess.run(["systemd-analyze", "verify", unit], **options)  # type: ignore[call-overload]
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not ours and done.returncode == 0, done.stderr
    limit = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit]
    done = subprocess.run(limit, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout[-500:]


def test_what_it_starts_is_what_there_is(cli: Cli) -> None:
    (start,) = re.findall(r"^ExecStart=\S+ serve (.*)$", UNIT.read_text("utf-8"), re.MULTILINE)
    known = cli("serve", "--help").stdout
    assert all(word in known for word in start.split() if word.startswith("--"))
