"""The short form of the campaign, for CI: real kills, full, read-only and failing disks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("command", "times"), [("predict", 3), ("download", 2), ("serve", 2)])
def test_the_short_campaign_has_no_failures(command: str, times: int) -> None:
    campaign = [sys.executable, "-m", "tests.faults", "--times", str(times), "--steps", "3"]
    done = subprocess.run(
        [*campaign, command],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if skipped := [line for line in done.stdout.splitlines() if line.startswith("Skipped")]:
        pytest.skip("; ".join(skipped))
    assert " 0 failures" in done.stdout
