"""One file of MNIST: damaged, foreign and hostile IDX files and .npz archives."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist.datasets import idx
from edge_mnist.errors import DataError
from tests.datasets.support import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_LABELS,
    foreign_content,
    write_idx,
)


def refusal(path: Path, file: idx.MnistFile) -> str:
    """Return the message for `file` at `path`, a single line that names the path and the remedy."""
    with pytest.raises(DataError) as caught:
        idx.read_array(path, file)
    message = str(caught.value)
    assert message.startswith(f"Expected MNIST's {file.name} in {path}, got ")
    assert message.endswith("; replace the file with a fresh download")
    assert "\n" not in message
    return message


FOREIGN = foreign_content(TEST_LABELS)
BAD: dict[str, tuple[idx.MnistFile, bytes, str]] = {
    "truncated gzip": (
        TEST_LABELS,
        gzip.compress(FOREIGN)[:-20],
        "an archive that ends early",
    ),
    "gzip header only": (TEST_LABELS, b"\x1f\x8b", "an archive that ends early"),
    "corrupt gzip": (
        TEST_LABELS,
        gzip.compress(FOREIGN)[:-8] + bytes(8),
        "a damaged archive (CRC check failed",
    ),
    "truncated": (
        TEST_LABELS,
        FOREIGN[:5000],
        "only the first 5000 of 10008 bytes",
    ),
    "empty": (TEST_LABELS, b"", "only the first 0 of 10008 bytes"),
    "oversized": (TEST_LABELS, FOREIGN + b"x", "more than the 10008 bytes"),
    "foreign": (TEST_LABELS, b"<html>captive portal", "a foreign file that begins with b'<html>ca"),
    "fashion": (
        TEST_LABELS,
        FOREIGN,
        "other content of the same size, SHA-256",
    ),
    "images as labels": (
        TEST_LABELS,
        foreign_content(TEST_IMAGES),
        "MNIST's t10k-images-idx3-ubyte by its header, under a wrong name",
    ),
    "test as train": (
        TRAIN_LABELS,
        FOREIGN,
        "MNIST's t10k-labels-idx1-ubyte by its header, under a wrong name",
    ),
    "train as test": (
        TEST_LABELS,
        gzip.compress(foreign_content(TRAIN_LABELS)),
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
        "import resource, sys; from pathlib import Path; from edge_mnist.datasets import idx\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: idx.read_array(Path(sys.argv[1]), idx.FILES['test'][1])\n"
        "except idx.DataError as error: print(error)\n"
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
    """Return an .npz whose y_test has this header and no data."""
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
