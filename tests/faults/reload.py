"""A server whose bundle is replaced while it loads it again, and which is killed in between."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import REPOSITORY, SHIPPED

from .campaign import SIGNALS, Report

_DIGIT = (REPOSITORY / "examples" / "digits" / "7.png").read_bytes()
_BUNDLES = (SHIPPED, SHIPPED.with_name("nano"))


def kill(root: Path, report: Report, times: int, chance: random.Random) -> None:
    """Replace the bundle of a server and send SIGHUP; then kill it, `times` times by each signal.

    Each new server must answer. Until it is killed, the old one must, too: with either bundle.
    """
    root.mkdir()
    signals = [number for number in SIGNALS for _ in range(times)]
    chance.shuffle(signals)
    for number in signals:
        process, port = _start(root)
        for _ in range(chance.randint(1, 5)):
            _replace(root, chance)
            process.send_signal(signal.SIGHUP)
            time.sleep(chance.uniform(0, 0.05))
            answer = _ask(port)
            _check(answer == 7, report, number, f"{answer} instead of 7")
        process.send_signal(signal.SIGHUP)
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        expected = -number if number == signal.SIGKILL else 0
        _check(process.returncode == expected, report, number, f"status {process.returncode}")
        _check("Traceback" not in said, report, number, said)
        left = {path.name for path in root.iterdir()} - {"bundle", "bundle.new"}
        _check(not left, report, number, f"left {left}")
        report.counts[f"serve {signal.Signals(number).name}"] += 1
    shutil.rmtree(root)


def _check(holds: bool, report: Report, number: int, text: str) -> None:
    if not holds:
        report.failures.append(f"serve, {signal.Signals(number).name}: {text}")
        report.say(f"FAILED {report.failures[-1]}")


def _replace(root: Path, chance: random.Random) -> None:
    """Move the link to a bundle to the other one, or to a broken one that is no bundle."""
    new = root / "bundle.new"
    new.unlink(missing_ok=True)
    new.symlink_to(chance.choice((*_BUNDLES, root)))
    new.replace(root / "bundle")


def _start(root: Path) -> tuple[subprocess.Popen[str], int]:
    link = root / "bundle"
    link.unlink(missing_ok=True)
    link.symlink_to(_BUNDLES[0])
    command = [Path(sys.executable).with_name("edge-mnist"), "serve", "-q", "--port", "0"]
    env = {**os.environ, "HOME": str(root), "TMPDIR": str(root)}
    env.pop("LD_PRELOAD", None)
    process = subprocess.Popen(
        [*command, "--model", link],
        cwd=root,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    found = re.search(r":(\d+)/", process.stdout.readline())
    assert found, process.communicate()
    return process, int(found[1])


def _ask(port: int) -> object:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/predict", _DIGIT, {"Content-Type": "image/png"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["predictions"][0]["digit"] if "predictions" in answer else answer
