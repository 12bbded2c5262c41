"""The data room, against real files, real HTTP servers on 127.0.0.1 and real processes."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from edge_mnist.datasets import Source, download, find, load, mnist
from edge_mnist.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "mnist"
TEST_IMAGES, TEST_LABELS = mnist.FILES["test"]
TRAIN_IMAGES, TRAIN_LABELS = mnist.FILES["train"]


# --- what the tests stand on ---------------------------------------------------------------


class Mirror(ThreadingHTTPServer):
    """A mirror that serves `content` by archive name, with the faults a test gives it."""

    daemon_threads = True

    def __init__(
        self,
        content: dict[str, bytes],
        *,
        ranges: bool = True,
        delay_s: float = 0,  # before it answers HEAD
        break_at: int = 2**30,  # bytes of a body after which the line goes dead, `breaks` times
        breaks: int = 1,
        end: Literal["close", "stall", "dribble"] = "close",
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.ranges, self.delay_s = content, ranges, delay_s
        self.break_at, self.breaks, self.end = break_at, breaks, end
        self.requests: list[tuple[str, str, str | None]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    @property
    def gets(self) -> list[tuple[str, str | None]]:
        return [(path, span) for method, path, span in self.requests if method == "GET"]

    def handle_error(self, *_: object) -> None:
        """A client that hangs up early is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_HEAD(self) -> None:
        time.sleep(self.server.delay_s)
        self._answer()

    def do_GET(self) -> None:
        body = self._answer()
        stop = self.server.break_at
        if not self.server.breaks or len(body) <= stop:
            self.wfile.write(body)
            return
        self.server.breaks -= 1
        self.wfile.write(body[:stop])
        if self.server.end == "stall":
            time.sleep(3)
        if self.server.end == "dribble":
            for byte in body[stop : stop + 30]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)

    def _answer(self) -> bytes:
        span = self.headers.get("Range")
        self.server.requests.append((self.command, self.path[1:], span))
        body = self.server.content.get(self.path[1:])
        if body is None:
            self.send_error(404)
            return b""
        start = int(span[6:-1]) if span and self.server.ranges else 0
        if start and start >= len(body):
            self.send_error(416)
            return b""
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        return body[start:]

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, no EDGE_MNIST_DATA, no proxy and, until a test says so, no mirror."""
    for name in ("EDGE_MNIST_DATA", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "MIRRORS", ())
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(home / ".cache"))
    return mnist.cache_folder()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Mirror]]:
    """Start a mirror; the data room tries it after those started before."""
    running: list[Mirror] = []

    def start(content: dict[str, bytes], **faults: Any) -> Mirror:
        running.append(Mirror(content, **faults))
        monkeypatch.setattr(download, "MIRRORS", tuple(mirror.url for mirror in running))
        return running[-1]

    yield start
    for mirror in running:
        mirror.shutdown()
        mirror.server_close()


_AT_START = os.environ.get("EDGE_MNIST_DATA")


@pytest.fixture(scope="session")
def real() -> Path:
    """A folder with MNIST's four .gz files."""
    for folder in (Path(_AT_START) if _AT_START else SHARED, SHARED):
        if all((folder / file.archive).is_file() for file in mnist.ALL_FILES):
            return folder
    pytest.skip(f"needs MNIST's four .gz files in $EDGE_MNIST_DATA or {SHARED}")


@pytest.fixture(scope="session")
def test_archives(real: Path) -> dict[str, bytes]:
    return {file.archive: (real / file.archive).read_bytes() for file in mnist.FILES["test"]}


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> str:
    """A mirror at a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    monkeypatch.setattr(download, "MIRRORS", (url,))
    return url


def idx(file: mnist.MnistFile, fill: int = 0) -> bytes:
    """Content with `file`'s header and size, but not MNIST's."""
    return file.header + bytes([fill]) * (file.size_bytes - len(file.header))


def write_idx(folder: Path, file: mnist.MnistFile, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file.name
    path.write_bytes(content)
    return path


def in_cache(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


# --- what is accepted ----------------------------------------------------------------------


def plain(source: Path, to: Path) -> None:
    for file in mnist.FILES["test"]:
        write_idx(to, file, gzip.decompress((source / file.archive).read_bytes()))


def dotted(source: Path, to: Path) -> None:
    to.mkdir()
    for file in mnist.FILES["test"]:
        shutil.copy(source / file.archive, to / file.archive.replace("-idx", ".idx"))


def checkout(source: Path, to: Path) -> None:
    shutil.copytree(source, to / "mnist", ignore=shutil.ignore_patterns("train*"))


def torchvision(source: Path, to: Path) -> None:
    plain(source, to / "MNIST" / "raw")


def keras(source: Path, to: Path) -> None:
    to.mkdir()
    images, labels = mnist.load(source, "test")
    np.savez_compressed(to / "mnist.npz", x_test=images, y_test=labels)


def decompressed_by_a_browser(source: Path, to: Path) -> None:
    plain(source, to)
    for file in mnist.FILES["test"]:
        (to / file.name).rename(to / file.archive)


@pytest.mark.parametrize(
    "layout", [plain, dotted, checkout, torchvision, keras, decompressed_by_a_browser]
)
def test_a_folder_in_every_layout_gives_the_same_split(
    layout: Callable[[Path, Path], None], real: Path, tmp_path: Path
) -> None:
    layout(real, tmp_path / "data")
    source = find(str(tmp_path / "data"), splits=("test",))
    split = load(source, "test")
    assert source == Source("mnist", tmp_path / "data", 0)
    assert split.name == "mnist-test"
    assert split.images.shape == (10000, 28, 28) and split.images.dtype == np.uint8
    assert split.labels[:5].tolist() == [7, 2, 1, 0, 4]
    content = split.images.tobytes() + split.labels.tobytes()
    assert split.sha256 == hashlib.sha256(content).hexdigest()


def test_the_training_split_is_whole_and_a_limit_keeps_its_first_images(real: Path) -> None:
    source = find(str(real))
    split = load(source, "train")
    content = split.images.tobytes() + split.labels.tobytes()
    assert split.sha256 == hashlib.sha256(content).hexdigest()
    limited = load(source, "train", limit=7)
    assert limited.labels.tolist() == [5, 0, 4, 1, 9, 2, 1]
    assert limited.images.shape == (7, 28, 28)
    assert (limited.name, limited.sha256) == ("mnist-train", split.sha256)


@pytest.mark.parametrize("name", [file.name for file in mnist.FILES["test"]])
def test_a_file_brings_its_sibling(name: str, real: Path, tmp_path: Path) -> None:
    plain(real, tmp_path / "data")
    source = find(str(tmp_path / "data" / name), splits=("test",))
    assert load(source, "test").labels[0] == 7


def test_an_npz_of_any_name_is_accepted(real: Path, tmp_path: Path) -> None:
    keras(real, tmp_path / "data")
    npz = (tmp_path / "data" / "mnist.npz").rename(tmp_path / "digits.NPZ")
    assert load(find(str(npz), splits=("test",)), "test").labels[0] == 7


def test_the_test_split_is_read_without_a_look_at_the_training_images(
    real: Path, tmp_path: Path
) -> None:
    plain(real, tmp_path)
    for file in mnist.FILES["train"]:
        write_idx(tmp_path, file, b"not MNIST")
    assert load(find(str(tmp_path), splits=("test",)), "test").labels[0] == 7
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        load(Source("mnist", tmp_path, 0), "train")


def test_the_environment_variable_comes_before_the_cache(
    real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_MNIST_DATA", str(real))
    assert find("auto", splits=("test",)).path == real
    assert find("mnist", splits=("test",)).path == real


def test_a_file_changed_after_find_is_checked_again(real: Path, tmp_path: Path) -> None:
    plain(real, tmp_path)
    source = find(str(tmp_path), splits=("test",))
    write_idx(tmp_path, TEST_LABELS, idx(TEST_LABELS, fill=3))
    with pytest.raises(DataError, match="other content of the same size"):
        load(source, "test")


# --- what is refused -----------------------------------------------------------------------


def refusal(path: Path, file: mnist.MnistFile) -> str:
    """The message for `file` at `path`, a single line that names the path and the remedy."""
    with pytest.raises(DataError) as caught:
        mnist._read(path, file)
    message = str(caught.value)
    assert message.startswith(f"Expected MNIST's {file.name} in {path}, got ")
    assert message.endswith("; replace the file with a fresh download")
    assert "\n" not in message
    return message


BAD: dict[str, tuple[mnist.MnistFile, bytes, str]] = {
    "truncated gzip": (
        TEST_LABELS,
        gzip.compress(idx(TEST_LABELS))[:-20],
        "an archive that ends early",
    ),
    "gzip header only": (TEST_LABELS, b"\x1f\x8b", "an archive that ends early"),
    "corrupt gzip": (
        TEST_LABELS,
        gzip.compress(idx(TEST_LABELS))[:-8] + bytes(8),
        "a damaged archive (CRC check failed",
    ),
    "truncated": (TEST_LABELS, idx(TEST_LABELS)[:5000], "only the first 5000 of 10008 bytes"),
    "empty": (TEST_LABELS, b"", "only the first 0 of 10008 bytes"),
    "oversized": (TEST_LABELS, idx(TEST_LABELS) + b"x", "more than the 10008 bytes"),
    "foreign": (TEST_LABELS, b"<html>captive portal", "a foreign file that begins with b'<html>ca"),
    "fashion": (TEST_LABELS, idx(TEST_LABELS), "other content of the same size, SHA-256"),
    "images as labels": (
        TEST_LABELS,
        idx(TEST_IMAGES),
        "MNIST's t10k-images-idx3-ubyte by its header, under a wrong name",
    ),
    "test as train": (
        TRAIN_LABELS,
        idx(TEST_LABELS),
        "MNIST's t10k-labels-idx1-ubyte by its header, under a wrong name",
    ),
    "train as test": (
        TEST_LABELS,
        gzip.compress(idx(TRAIN_LABELS)),
        "MNIST's train-labels-idx1-ubyte by its header, under a wrong name",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_idx_file_is_named_and_never_used(case: str, tmp_path: Path) -> None:
    file, content, got = BAD[case]
    assert f"got {got}" in refusal(write_idx(tmp_path, file, content), file)


def test_a_gzip_bomb_is_left_after_the_expected_size(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(64 * 2**20))
    path = write_idx(tmp_path, TEST_LABELS, TEST_LABELS.header + bytes(99999))
    path.write_bytes(gzip.compress(TEST_LABELS.header) + bomb)
    script = (
        "import resource, sys; from pathlib import Path; from edge_mnist.datasets import mnist\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: mnist._read(Path(sys.argv[1]), mnist.FILES['test'][1])\n"
        "except mnist.DataError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    pytest.importorskip("resource", reason="needs getrusage to see the memory")
    out = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "more than the 10008 bytes it should hold" in out[0]
    assert int(out[1]) < 16, "MB more for a file of 10 KB"


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def npz_with(header: bytes) -> bytes:
    """A .npz whose y_test has this header and no data."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(
            "y_test.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        )
    return stream.getvalue()


BAD_NPZ: dict[str, tuple[bytes, str]] = {
    "wrong shape": (
        npz(y_test=np.zeros(9, np.uint8)),
        "y_test declared as \"{'descr': '|u1', 'fortran_order': False, 'shape': (9,), }\"",
    ),
    "wrong dtype": (
        npz(y_test=np.zeros(10000, np.int64)),
        "y_test declared as \"{'descr': '<i8', 'fortran_order': False, 'shape': (10000,), }\"",
    ),
    "pickle": (npz(y_test=np.array([{}] * 10000)), "y_test declared as \"{'descr': '|O'"),
    "other content": (npz(y_test=np.zeros(10000, np.uint8)), "other content of the same size"),
    "other keys": (npz(images=np.zeros(1)), "an archive without y_test (it begins with ['images"),
    "truncated": (npz(y_test=np.zeros(10000, np.uint8))[:-30], "a damaged archive (File is not"),
    "huge shape": (
        npz_with(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }"),
        "y_test declared as",
    ),
    "no header": (npz_with(b"'''"), "y_test declared as"),
    "long header": (npz_with(b"-" * 9000 + b"1"), "y_test declared as"),
    "no archive": (b"hello", "a damaged archive (File is not a zip file)"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_a_bad_npz_is_named_and_never_used(case: str, tmp_path: Path) -> None:
    content, got = BAD_NPZ[case]
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    assert f"got {got}" in refusal(path, TEST_LABELS)


def test_an_npz_in_fortran_order_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    path.write_bytes(npz(x_test=np.asfortranarray(np.zeros((10000, 28, 28), np.uint8))))
    assert "'fortran_order': True, 'shape': (10000, 28, 28), }\" (expected" in refusal(
        path, TEST_IMAGES
    )


def test_a_missing_path_says_what_else_data_takes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got .*sythetic, which does not exist; .* to --data$"):
        find(str(tmp_path / "sythetic"))


def test_an_empty_folder_names_the_files_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mnist\.npz in .*, got no t10k-images.*, t10k-labels"):
        find(str(tmp_path), splits=("test",))


def test_a_folder_with_half_a_split_names_the_other_half(tmp_path: Path) -> None:
    path = write_idx(tmp_path, TEST_IMAGES, b"")
    with pytest.raises(DataError, match="got no t10k-labels-idx1-ubyte; check the path"):
        find(str(tmp_path), splits=("test",))
    with pytest.raises(DataError, match=r"beside each other, got .* without t10k-labels"):
        find(str(path), splits=("test",))


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digits.csv").write_text("5,0,0\n")
    with pytest.raises(DataError, match=r"Expected an \.npz or one of train-images.*digits\.csv"):
        find(str(tmp_path / "digits.csv"))


@pytest.mark.parametrize("data", ["auto", "mnist"])
def test_an_unusable_environment_variable_is_an_error_and_no_fall_through(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_MNIST_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(
        DataError, match=r"The variable EDGE_MNIST_DATA cannot be used: Expected .*nowhere"
    ):
        find(data)


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(DataError, match=f"Expected a limit of at least 1 image, got {limit}"):
        load(Source("synthetic", None, 0), "test", limit=limit)


# --- the stand-in --------------------------------------------------------------------------


def test_the_stand_in_bears_its_own_name_and_repeats() -> None:
    source = find("synthetic", seed=3)
    split = load(source, "test", limit=50)
    assert source == Source("synthetic", None, 3)
    assert split.name == "synthetic-test"
    assert split.images.shape == (50, 28, 28) and split.images.dtype == np.uint8
    assert split.sha256 == load(source, "test", limit=50).sha256


def test_without_a_network_auto_says_so_and_mnist_raises(
    refused: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert find("auto", seed=4) == Source("synthetic", None, 4)
    out, err = capfd.readouterr()
    assert out == ""
    assert "edge-mnist: warning: MNIST could not be had" in err
    assert "EVERY FIGURE BELOW IS OF SYNTHETIC DIGITS, NOT OF MNIST." in err
    assert f"tried {refused}: Connection refused" in err
    assert "set EDGE_MNIST_DATA or --data to a folder" in err
    with pytest.raises(DataError, match=f"got none .*{refused}: Connection refused.*; connect to"):
        find("mnist")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A mirror that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(download, "MIRRORS", (url,))
        yield url


def test_a_mirror_that_never_answers_ends_within_15_s(
    silent: str, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert find("auto").kind == "synthetic"
    assert time.monotonic() - began < 10
    assert f"tried {silent}: no answer within 8 s" in capfd.readouterr().err


def test_a_name_server_that_never_answers_holds_up_neither_find_nor_the_exit() -> None:
    # The fault is put into the operating system's answer, in a process of its own.
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


# --- downloading ---------------------------------------------------------------------------


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
    with pytest.raises(DataError, match="the connection broke after 300000 of"):
        find("mnist", splits=("test",))
    assert in_cache(cache) == [f"{TEST_IMAGES.archive}.part"], "nothing under the final name"
    mirror.breaks, mirror.ranges = 0, True
    mirror.requests.clear()
    assert find("mnist", splits=("test",)).path == cache
    assert mirror.gets[0] == (TEST_IMAGES.archive, "bytes=300000-")
    assert in_cache(cache) == [TEST_IMAGES.archive, TEST_LABELS.archive]


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
    part = f"{TEST_IMAGES.archive}.part"
    # Interrupted between two renames it may leave another, which grows old and goes.
    assert part in in_cache(cache)
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
    os.utime(dead, (time.time() - 3600,) * 2)
    mirror = mirrors(test_archives)
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
        {name: gzip.compress(idx(TEST_IMAGES)) for name in test_archives}, delay_s=0.3
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
    mirrors({file.archive: b"<html>" for file in mnist.ALL_FILES})
    mirrors({file.archive: bytes(file.size_bytes + 5000) for file in mnist.FILES["test"]})
    mirrors({})
    assert find("auto", splits=("test",)).kind == "synthetic"
    err = capfd.readouterr().err
    assert "a foreign file that begins with b'<html>'" in err
    assert "more than the 7840016 bytes of t10k-images-idx3-ubyte" in err
    assert "HTTP 404 Not Found" in err
    assert in_cache(cache) == []


def test_a_bad_file_in_the_cache_is_named_and_downloaded_anew(
    mirrors: Callable[..., Mirror],
    test_archives: dict[str, bytes],
    cache: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    mirror = mirrors(test_archives)
    cache.mkdir(parents=True)
    (cache / TEST_IMAGES.archive).write_bytes(test_archives[TEST_IMAGES.archive])
    bad = cache / TEST_LABELS.archive
    bad.write_bytes(test_archives[TEST_LABELS.archive][:-100])
    assert load(find("auto", splits=("test",)), "test").labels[0] == 7
    assert (
        f"edge-mnist: warning: bad file in the cache: {bad} is an archive that ends early"
        in capfd.readouterr().err
    )
    assert [path for path, _ in mirror.gets] == [TEST_LABELS.archive]


def test_a_bad_file_in_the_cache_is_not_used_without_a_network(
    refused: str, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir(parents=True)
    (cache / TEST_IMAGES.archive).write_bytes(b"half a fi")
    assert find("auto", splits=("test",)).kind == "synthetic"
    assert f"{cache / TEST_IMAGES.archive} is a foreign file" in capfd.readouterr().err


def test_a_cache_that_cannot_be_made_is_named(cache: Path, refused: str) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=re.escape(str(cache)) + r": cannot be made \("):
        find("mnist")


CHILD = (
    "import signal, sys; from edge_mnist.datasets import download, find, mnist\n"
    # A shell without job control starts what it puts in the background deaf to Ctrl-C.
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "download.MIRRORS = (sys.argv[1],)\n"
    "print(find('mnist', splits=('test',)).path)"
)


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


# --- weight --------------------------------------------------------------------------------


class TestImports:
    HEAVY: ClassVar = ("click", "PIL", "socket", "ssl", "http.client", "urllib.request", "tkinter")

    def loaded(self, statement: str) -> set[str]:
        script = f"import sys\n{statement}\nprint(*sys.modules)"
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        return set(run.stdout.split())

    def test_the_package_is_light(self) -> None:
        loaded = self.loaded("import edge_mnist.datasets")
        assert not loaded & {*self.HEAVY, "numpy"}

    def test_reading_files_needs_no_network_module(self) -> None:
        assert not self.loaded("import edge_mnist.datasets.mnist") & set(self.HEAVY)
