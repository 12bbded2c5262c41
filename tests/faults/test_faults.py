"""The short form of the campaign, for CI: real kills, full, read-only and failing disks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.slow
def test_the_short_campaign_has_no_failures() -> None:
    command = [sys.executable, "-m", "tests.faults", "--times", "4", "--steps", "4"]
    done = subprocess.run(
        [*command, "predict", "download", "serve"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    skipped = [line for line in done.stdout.splitlines() if line.startswith("Skipped")]
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout or skipped, done.stdout
    if skipped:
        pytest.skip("; ".join(skipped))
