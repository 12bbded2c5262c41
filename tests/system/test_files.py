"""Files and folders are written whole or not at all, and a dead process's are cleared."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_mnist.system.files import check_writable, new_folder, replacing, write_atomically
from edge_mnist.system.temporary import clear_abandoned, locked, scratch_folder, temporary_file
from tests.conftest import TRACE, works
from tests.errors import raises

# Holds a half-written folder and file until its stdin ends.
WRITER = """
import sys
from pathlib import Path
from edge_mnist.system.files import new_folder, replacing
with new_folder(Path("bundle")) as folder, replacing(Path("file.json")) as file:
    (folder / "model").write_bytes(b"half")
    file.write_bytes(b"half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing a folder and a file in `tmp_path`."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_what_a_killed_process_left_is_cleared(
    writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert len(names(tmp_path)) == 2
    writer.kill()
    writer.wait()
    with new_folder(tmp_path / "bundle") as folder:
        (folder / "model").write_bytes(b"whole")
    assert names(tmp_path) == {"bundle"}


def test_what_a_living_process_writes_is_left_alone(
    writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    check_writable(tmp_path / "other")
    clear_abandoned(tmp_path)
    assert len(names(tmp_path)) == 2
    writer.communicate()
    assert names(tmp_path) == {"bundle", "file.json"}


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    for path in (tmp_path / ("n" * 255), tmp_path / ("m." + "s" * 253)):
        write_atomically(path, "content")
        assert path.read_text() == "content"
    with new_folder(tmp_path / ("f" * 255)) as folder:
        (folder / "file").touch()
    assert len(names(tmp_path)) == 3


def test_a_temporary_file_has_the_suffix_of_its_final_name(tmp_path: Path) -> None:
    with replacing(tmp_path / "model.keras") as temporary:
        assert temporary.suffix == ".keras"
    assert names(tmp_path) == {"model.keras"}


def test_a_folder_whose_parent_vanishes_is_one_error(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    with raises("output-unwritable"), new_folder(parent / "bundle") as folder:
        folder.rmdir()
        parent.rmdir()


def test_a_link_of_a_temporary_name_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    link = tmp_path / ".edge-mnist-0a1b2c3d.tmp"
    link.symlink_to(other)
    clear_abandoned(tmp_path)
    assert names(other) == {"file"}


def test_a_pipe_of_a_temporary_name_does_not_block(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / ".edge-mnist-0a1b2c3d.tmp")
    clear_abandoned(tmp_path)


def test_a_lock_is_lost_with_the_name(tmp_path: Path) -> None:
    with temporary_file(tmp_path) as path, locked(path) as held:
        assert not held, "this process holds it already"
    (tmp_path / "file").touch()
    with locked(tmp_path / "file") as held:
        assert held


def test_temporary_files_of_children_go_with_the_scratch_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with scratch_folder():
        tempfile.mkdtemp()
        left = "import tempfile; print(tempfile.mkstemp()[1])"
        done = subprocess.run([sys.executable, "-c", left], capture_output=True, text=True)
        assert Path(done.stdout.strip()).parent.parent == tmp_path
    assert names(tmp_path) == set()
    assert tempfile.gettempdir() == str(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_command_line_is_imported_prints_no_traceback(
    number: signal.Signals,
) -> None:
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.endswith('cli.group'): os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from edge_mnist.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -number
    assert done.stderr == ""


def test_an_interrupt_that_cannot_pass_prints_nothing() -> None:
    """As in destructors and in TensorFlow's C++, which print the exception."""
    program = (
        "import os, signal\n"
        "from edge_mnist.system.interruption import interruptible\n"
        "class Blocking:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM); len(())\n"
        "with interruptible(until_exit=True) as interruption:\n"
        "    Blocking()\n"
        "    print(interruption.exit_status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("143\n", "", 0)


def test_an_error_of_another_place_names_it(tmp_path: Path) -> None:
    """Such as the temporary folder of a converter."""
    with raises("output-unwritable", "/elsewhere/file"), new_folder(tmp_path / "bundle"):
        raise OSError(28, "No space left on device", "/elsewhere/file")
    with (
        raises("output-unwritable", str(tmp_path / "bundle")),
        new_folder(tmp_path / "bundle") as f,
    ):
        raise OSError(28, "No space left on device", str(f / "file"))
    assert names(tmp_path) == set()


@pytest.mark.skipif(not works(*TRACE), reason="needs strace: apt-get install strace")
@pytest.mark.parametrize(
    ("fault", "held"),
    [
        ((), True),
        (("-e", "inject=flock:error=EBADF"), None),
        (("-e", "inject=flock:error=EAGAIN"), False),
    ],
)
def test_a_folder_without_locks_is_not_taken_for_a_locked_one(
    fault: tuple[str, ...], held: bool | None, tmp_path: Path
) -> None:
    """NFS refuses to lock a folder: EBADF."""
    code = (
        "import sys; from pathlib import Path; from edge_mnist.system.temporary import locked\n"
        "with locked(Path(sys.argv[1])) as held: print(held)"
    )
    trace = ("strace", "-f", "-e", "trace=flock", "-o", tmp_path.with_suffix(".trace"), *fault)
    command = (*trace, sys.executable, "-c", code, tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{held}\n"
