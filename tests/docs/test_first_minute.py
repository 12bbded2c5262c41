"""README's commands, word for word, in fresh systems that have Python and venv alone.

There is no pip outside a virtual environment, or it refuses to install (PEP 668). The packages come
from the internet, the systems from Debian's and Ubuntu's own mirrors, as mmdebstrap knows them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs.blocks import read_blocks

# The suite, and the parts of it that hold python3-venv.
SYSTEMS = {
    "Debian 12": ("bookworm", "main"),
    "Debian 13": ("trixie", "main"),
    "Ubuntu 24.04": ("noble", "main,universe"),
}
PACKAGES = "apt,base-files,base-passwd,coreutils,dash,python3,python3-venv,ca-certificates"
# Debian 13's /bin is a link that no package holds.
MERGE_USR = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
LIMIT_S = 300
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Path]]]:
    """The root of every system, all in the making at once: most of the time is a mirror's."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs chroot, which only root may call")
    if shutil.which("mmdebstrap") is None:
        pytest.skip("needs mmdebstrap: apt-get install mmdebstrap")
    with ThreadPoolExecutor() as pool:
        yield {name: pool.submit(_make, name, tmp_path_factory.mktemp("root")) for name in SYSTEMS}


def _make(name: str, folder: Path) -> Path:
    suite, components = SYSTEMS[name]
    root = folder / "root"
    # Unpacked, not configured, which takes half the time and is enough for README's commands.
    options = ("--quiet", "--variant=extract", f"--components={components}")
    command = ["mmdebstrap", *options, f"--include={PACKAGES}", f"--hook-dir={MERGE_USR}"]
    command += [suite, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        pytest.skip(f"needs a mirror of {name} that mmdebstrap trusts: {reason}")
    return root


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest, roots: dict[str, Future[Path]]) -> Path:
    """A fresh system's root, with a copy of the repository in /edge-mnist."""
    root = roots[request.param].result()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            copy = root / "edge-mnist" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, copy)
    # The network's name servers and certificates are this machine's.
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    return root


def run(system: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in the repository's copy, with nothing of this machine's settings."""
    return subprocess.run(
        ["chroot", system, "sh", "-c", f"cd /edge-mnist && {command}"],
        env={
            "HOME": "/root",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "SSL_CERT_FILE": str(CERTIFICATES),
            "PIP_CERT": str(CERTIFICATES),
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def readme_command(part: str) -> str:
    """Return README's one command that contains `part`."""
    commands = [block.text.strip() for block in read_blocks(REPOSITORY / "README.md")]
    (command,) = (text for text in commands if part in text and "\n" not in text)
    return command


@pytest.mark.install
def test_readme_s_commands_work_on_a_bare_system(system: Path) -> None:
    refused = run(system, "python3 -m pip install uv")
    assert refused.returncode != 0  # what README's commands have to work without
    done = run(system, readme_command("'.[litert]'"))
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()[-10:]
    assert [line.rpartition(": ")[2][0] for line in lines] == list("0123456789")
    # Up to TensorFlow, of which the other tests install 600 MB.
    setup, separator, _ = readme_command("quickstart").partition(" run ")
    assert separator
    done = run(system, f"{setup} --version")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith("uv ")
