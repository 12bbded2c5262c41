"""The descriptions of both distributions on a package index, and the install lines they print."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.conftest import DEVICE_SOURCES, HOST_SOURCES, REPOSITORY, UV, copy_sources, make_venv

ADDRESS = "https://github.com/edge-mnist/edge-mnist"
PICTURES = "https://raw.githubusercontent.com/edge-mnist/edge-mnist/main/"
# A Markdown link or picture, and the target.
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
PYPROJECTS = [REPOSITORY / "pyproject.toml", REPOSITORY / "export" / "pyproject.toml"]


@pytest.fixture(params=["wheel", "host_wheel"])
def metadata(request: pytest.FixtureRequest) -> Message:
    """The METADATA of a distribution's wheel."""
    with zipfile.ZipFile(request.getfixturevalue(request.param)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        licence = name.replace("METADATA", "licenses/LICENSE")
        assert archive.read(licence).startswith(b"MIT License")
        return BytesParser().parsebytes(archive.read(name))


@pytest.mark.install
def test_a_wheel_describes_itself(metadata: Message) -> None:
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "mnist" in metadata["Keywords"].split(",")
    classifiers = metadata.get_all("Classifier", [])
    # PEP 639: the expression replaces the classifier of the licence.
    assert classifiers and not [one for one in classifiers if one.startswith("License")]
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))
    assert set(urls) == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert [url for url in urls.values() if not url.startswith(ADDRESS)] == []


@pytest.mark.install
def test_every_link_of_a_description_is_absolute_and_leads_to_a_file(metadata: Message) -> None:
    links = LINK.findall(str(metadata.get_payload()))
    assert links
    for picture, target in links:
        assert target.startswith("https://"), target
        base = PICTURES if picture else f"{ADDRESS}/blob/main/"
        if target.startswith((ADDRESS, PICTURES)):
            path = target.removeprefix(base).partition("#")[0]
            assert (REPOSITORY / path).exists(), target


def test_the_repository_has_one_address() -> None:
    for pyproject in PYPROJECTS:
        text = pyproject.read_text(encoding="utf-8")
        found = re.findall(
            r"https://(?:raw\.githubusercontent|github)\.com/([^/\"']+/[^/\"']+)", text
        )
        assert set(found) == {"edge-mnist/edge-mnist"}, pyproject
        for name, url in tomllib.loads(text)["project"]["urls"].items():
            path = re.sub(r"^/(blob|tree)/main/", "", url.removeprefix(ADDRESS))
            exists = path in ("", "/issues") or (REPOSITORY / path).exists()
            assert exists, f"{name} of {pyproject}: {url}"
    # The files in the repository link to each other, so that they can be read without a network.
    for readme in ("README.md", "export/README.md"):
        assert ADDRESS not in (REPOSITORY / readme).read_text(encoding="utf-8")


def test_both_distributions_have_the_same_licence() -> None:
    licences = {(pyproject.parent / "LICENSE").read_bytes() for pyproject in PYPROJECTS}
    assert len(licences) == 1


@pytest.mark.install
@pytest.mark.parametrize(
    ("fixture", "sources"), [("wheel", DEVICE_SOURCES), ("host_wheel", HOST_SOURCES)]
)
def test_a_second_build_is_the_same_to_the_byte(
    fixture: str, sources: tuple[Path, ...], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Elsewhere, later, of other file times and modes, with another locale; the wheel by itself
    and by way of the source distribution."""
    source = copy_sources(tuple(reversed(sources)), tmp_path / "a" / "deeper folder")
    for number, path in enumerate(sorted(source.rglob("*"), reverse=True)):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1_000_000_000 + 86_400 * number,) * 2)

    def build(out: Path, *arguments: str | Path, **environment: str) -> dict[str, bytes]:
        command = [*UV, "build", "--quiet", "--out-dir", out, *arguments]
        subprocess.run(command, check=True, env={**os.environ, **environment}, umask=0o077)
        return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}

    wheel: Path = request.getfixturevalue(fixture)
    built = build(tmp_path / "1", source, TZ="Asia/Tokyo", LC_ALL="C")
    assert sorted(name.rpartition(".")[2] for name in built) == ["gz", "whl"]
    assert built[wheel.name] == wheel.read_bytes()
    assert built == build(tmp_path / "2", copy_sources(sources, tmp_path / "b"), PYTHONHASHSEED="1")


@pytest.mark.install
def test_the_printed_install_lines_work(wheel: Path, host_wheel: Path, tmp_path: Path) -> None:
    """Word for word, with --dry-run, in an environment that has the device package alone."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for built in (wheel, host_wheel):
        shutil.copy(built, folder)
    make_venv(tmp_path / "venv")
    binaries = tmp_path / "venv" / "bin"

    def shell(command: str, *, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        settings = {"capture_output": True, "text": True, "check": False}
        return subprocess.run(["sh", "-c", command], cwd=cwd, env=environment, **settings)

    def would_install(line: str, *options: str, cwd: Path = tmp_path) -> str:
        assert line.startswith("pip install ")
        dry = line.replace("install", " ".join(("install", "--dry-run", *options)), 1)
        done = shell(dry, cwd=cwd)
        assert done.returncode == 0, f"{dry}\n{done.stderr}"
        return done.stdout.splitlines()[-1].lower()

    installed = shell(f"pip install {wheel}")
    assert installed.returncode == 0, installed.stderr
    runtimes = json.loads(shell("edge-mnist doctor --json").stdout)["runtimes"]
    litert = next(row["advice"] for row in runtimes if row["backend"] == "litert")
    assert "ai-edge-litert-" in would_install(litert.removeprefix("not installed; "))
    serve = shell("edge-mnist serve").stderr.strip()
    assert "starlette-" in would_install(serve.rpartition("install with: ")[2])

    train = shell("edge-mnist train").stderr
    clone, wheels = re.findall(r"pip install [^(]+(?= \()", train)
    # Without what they need: the other line finds that.
    found = would_install(clone, "--no-deps", cwd=REPOSITORY)
    assert "edge-mnist-0" in found and "edge-mnist-export-" in found
    # pip would download TensorFlow's wheel of 600 MB to read what it needs. uv reads that alone.
    dry = wheels.replace("FOLDER", str(folder)).replace("install", "install --dry-run", 1)
    done = shell(f"{shlex.join(UV)} {dry} --python {binaries}/python")
    found = set(re.findall(r"^ \+ ([\w-]+)==", done.stderr, re.M))
    assert {"edge-mnist-export", "tensorflow"} <= found and "edge-mnist" not in found, done.stderr
