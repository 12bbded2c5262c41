"""Archives of arrays that the fuzzing campaign found to end in an error of another kind."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import DataError, datasets

IMAGES = np.zeros((6, 8, 8), np.uint8)


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _of_shape(shape: str) -> bytes:
    return _header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n")


# A character above the last of Unicode, as numpy stores text.
NO_CHARACTER = np.array([0x7FFFFFFF, 0x41, 0x42], np.uint32).view("U1")
HOSTILE: dict[str, dict[str, bytes]] = {
    "64 GiB": {"images": _of_shape("(68719476736,)")},
    "an overflow of shapes": {"images": _of_shape("(9223372036854775807, 9)")},
    "a broken header": {"images": _header("{'descr': ('\n")},
    "no array": {"labels": b"text"},
    "no axes": {"images": _npy(np.uint8(7))},
    "no classes": {"labels": _npy(np.zeros((6, 0)))},
    "no numbers": {"labels": _npy(np.zeros((6, 3), "V4"))},
    "no characters": {"classes": _npy(NO_CHARACTER)},
    "a thousand names": {"classes": _npy(np.zeros(1000, np.int64))},
    "a long name": {"a" * 3000: _npy(IMAGES), "images": b"", "labels": b""},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    members = {"images": _npy(IMAGES), "labels": _npy(np.arange(6) % 3)} | HOSTILE[name]
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        for member, content in members.items():
            archive.writestr(f"{member}.npy" if content != b"text" else member, content)
    with pytest.raises(DataError) as raised:
        source = datasets.find(str(tmp_path / "own.npz"), own=True)
        datasets.load(source, "test", shape=datasets.image_shape(source))
    message = str(raised.value)
    assert message.startswith("Expected ") and "\n" not in message and len(message) < 1000
