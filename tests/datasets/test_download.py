"""Downloads from real HTTP servers on 127.0.0.1, in real processes, with faults."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_mnist.datasets import Source, download, find, idx, load
from edge_mnist.system.temporary import locked
from tests.datasets.support import (
    TEST_IMAGES,
    TEST_LABELS,
    Mirror,
    foreign_content,
    in_cache,
)
from tests.errors import raises

CHILD = (
    "import signal, sys; from edge_mnist.datasets import download, find, mnist\n"
    # A background process of a shell without job control ignores Ctrl-C.
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "download.MIRRORS = (sys.argv[1],)\n"
    "print(find('mnist', splits=('test',)).path)"
)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of a mirror that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(download, "MIRRORS", (url,))
        yield url


@pytest.mark.slow
def test_a_mirror_that_never_answers_ends_within_15_s(
    silent: str, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert find("auto").kind == "synthetic"
    assert time.monotonic() - began < 10
    assert f"tried {silent}: no answer within 8 s" in capfd.readouterr().err


def test_a_name_server_that_never_answers_holds_up_neither_find_nor_the_exit() -> None:
    # The process replaces getaddrinfo, because a test cannot stop the system's name server.
    script = (
        "import socket, time; from edge_mnist.datasets import download, find, mnist\n"
        "socket.getaddrinfo = lambda *a, **k: time.sleep(60)\n"
        "download.ANSWER_S = 1.0; download.MIRRORS = ('http://mirror.invalid/',)\n"
        "print(find('auto').kind)"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "synthetic\n")
    assert "no answer within 1 s" in done.stderr
    assert time.monotonic() - began < 10


def test_a_download_fetches_only_the_split_and_is_made_once(
    mirrors: Callable[..., Mirror],
    test_archives: dict[str, bytes],
    cache: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    mirror = mirrors(test_archives)
    for _ in range(2):
        source = find("auto", splits=("test",))
        assert source == Source("mnist", cache, 0)
        assert load(source, "test").labels[0] == 7
    assert [path for path, _ in mirror.gets] == [TEST_IMAGES.archive, TEST_LABELS.archive]
    assert in_cache(cache) == [TEST_IMAGES.archive, TEST_LABELS.archive]
    assert capfd.readouterr().err == f"Downloading MNIST from {mirror.url} to {cache}\n"


def test_a_broken_connection_is_gone_on_from(
    mirrors: Callable[..., Mirror], test_archives: dict[str, bytes], cache: Path
) -> None:
    mirror = mirrors(test_archives, break_at=700_000)
    assert find("mnist", splits=("test",)).path == cache
    assert mirror.gets[:2] == [
        (TEST_IMAGES.archive, None),
        (TEST_IMAGES.archive, "bytes=700000-"),
    ]


def test_a_server_without_range_is_asked_for_the_whole(
    mirrors: Callable[..., Mirror], test_archives: dict[str, bytes], cache: Path
) -> None:
    mirrors(test_archives, break_at=700_000, ranges=False)
    assert find("mnist", splits=("test",)).path == cache
    assert (cache / TEST_IMAGES.archive).read_bytes() == test_archives[TEST_IMAGES.archive]


def test_a_later_run_goes_on_from_what_an_earlier_one_left(
    mirrors: Callable[..., Mirror], test_archives: dict[str, bytes], cache: Path
) -> None:
    mirror = mirrors(test_archives, break_at=300_000, breaks=99, ranges=False)
    with raises("data-unavailable", "the connection broke after 300000 of"):
        find("mnist", splits=("test",))
    (part,) = in_cache(cache)
    assert part.endswith(".part"), "nothing under the final name"
    mirror.breaks, mirror.ranges = 0, True
    mirror.requests.clear()
    assert find("mnist", splits=("test",)).path == cache
    assert mirror.gets[0] == (TEST_IMAGES.archive, "bytes=300000-")
    assert in_cache(cache) == [TEST_IMAGES.archive, TEST_LABELS.archive]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "reason"), [("stall", "timed out"), ("dribble", "slower than 1024 bytes a second")]
)
def test_a_transfer_that_comes_to_a_crawl_goes_on_at_the_next_mirror(
    end: str,
    reason: str,
    mirrors: Callable[..., Mirror],
    test_archives: dict[str, bytes],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(download, "STALL_S", 0.5)
    monkeypatch.setattr(download, "TRIES", 2)
    first = mirrors(test_archives, break_at=500, breaks=99, end=end)
    second = mirrors(test_archives, delay_s=0.3)
    assert find("auto", splits=("test",)).path == cache
    assert f"{first.url} failed: {TEST_IMAGES.archive}: {reason}" in capfd.readouterr().err
    path, span = second.gets[0]
    assert path == TEST_IMAGES.archive
    assert span is not None and int(span[6:-1]) >= 500


def test_an_interrupted_process_leaves_a_part_for_the_next(
    mirrors: Callable[..., Mirror], test_archives: dict[str, bytes], cache: Path
) -> None:
    mirror = mirrors(test_archives, break_at=400_000, end="stall")
    child = subprocess.Popen([sys.executable, "-c", CHILD, mirror.url], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not any((cache / name).stat().st_size for name in in_cache(cache)):
        assert time.monotonic() < deadline, "no part file"
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    child.wait(timeout=20)
    (part,) = in_cache(cache)
    assert part.endswith(".part")
    kept = (cache / part).stat().st_size
    assert find("mnist", splits=("test",)).path == cache
    assert mirror.gets[1] == (TEST_IMAGES.archive, f"bytes={kept}-")


@pytest.mark.parametrize("size", [5_000, 1_800_000], ids=["other beginning", "longer than whole"])
def test_a_bad_part_file_is_begun_again(
    size: int, mirrors: Callable[..., Mirror], test_archives: dict[str, bytes], cache: Path
) -> None:
    cache.mkdir(parents=True)
    (cache / f"{TEST_IMAGES.archive}.part").write_bytes(b"x" * size)
    mirror = mirrors(test_archives)
    assert find("mnist", splits=("test",)).path == cache
    spans = [span for path, span in mirror.gets if path == TEST_IMAGES.archive]
    assert spans == [f"bytes={size}-", None]


def test_a_part_in_use_is_left_to_its_process(
    mirrors: Callable[..., Mirror], test_archives: dict[str, bytes], cache: Path
) -> None:
    cache.mkdir(parents=True)
    busy = cache / f"{TEST_IMAGES.archive}.0a1b2c3d.part"
    dead = cache / f"{TEST_IMAGES.archive}.99999999.part"
    busy.write_bytes(test_archives[TEST_IMAGES.archive][:1000])
    dead.write_bytes(test_archives[TEST_IMAGES.archive][:2000])
    mirror = mirrors(test_archives)
    with locked(busy):
        assert find("mnist", splits=("test",)).path == cache
    assert mirror.gets[0] == (TEST_IMAGES.archive, "bytes=2000-")
    assert busy.exists() and not dead.exists()


def test_foreign_content_leads_to_the_next_mirror(
    mirrors: Callable[..., Mirror],
    test_archives: dict[str, bytes],
    cache: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    portal = mirrors(dict.fromkeys(test_archives, b"<html>please log in</html>"))
    fashion = mirrors(
        {name: gzip.compress(foreign_content(TEST_IMAGES)) for name in test_archives}, delay_s=0.3
    )
    mirrors(test_archives, delay_s=0.6)
    assert find("auto", splits=("test",)).path == cache
    err = capfd.readouterr().err
    assert f"{portal.url} failed: {TEST_IMAGES.archive}: a foreign file that begins with" in err
    assert f"{fashion.url} failed: {TEST_IMAGES.archive}: other content of the same size" in err
    assert in_cache(cache) == [TEST_IMAGES.archive, TEST_LABELS.archive]


def test_foreign_content_everywhere_is_never_used(
    mirrors: Callable[..., Mirror], cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mirrors({file.archive: b"<html>" for file in idx.ALL_FILES})
    mirrors({file.archive: bytes(file.size_bytes + 5000) for file in idx.FILES["test"]})
    mirrors({})
    assert find("auto", splits=("test",)).kind == "synthetic"
    err = capfd.readouterr().err
    assert "a foreign file that begins with b'<html>'" in err
    assert "more than the 7840016 bytes of t10k-images-idx3-ubyte" in err
    assert "HTTP 404 Not Found" in err
    assert in_cache(cache) == []


def test_two_processes_at_once_share_the_cache(
    mirrors: Callable[..., Mirror], test_archives: dict[str, bytes], cache: Path
) -> None:
    mirror = mirrors(test_archives, delay_s=0.2)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, mirror.url], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [child.communicate(timeout=30)[0] for child in children] == [f"{cache}\n"] * 2
    assert in_cache(cache) == [TEST_IMAGES.archive, TEST_LABELS.archive]


def test_a_terminal_gets_a_progress_bar(
    mirrors: Callable[..., Mirror], test_archives: dict[str, bytes]
) -> None:
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", CHILD, mirrors(test_archives).url]
    subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, timeout=30, check=True)
    os.close(theirs)
    seen = os.read(ours, 2**16).decode()
    os.close(ours)
    assert "100%" in seen and TEST_IMAGES.archive in seen
