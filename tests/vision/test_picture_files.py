"""Arguments of the command line name files, folders and standard input."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from edge_mnist.vision.decode import MAX_PICTURE_BYTES
from edge_mnist.vision.picture_files import list_pictures, read_standard_input
from tests.errors import raises


class Zeros(io.RawIOBase):
    """A stream without end that keeps nothing."""

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= MAX_PICTURE_BYTES + 1
        return bytes(size)


def test_folders_are_listed_by_name_and_files_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", "phone.HEIC"):
        (tmp_path / name).touch()
    names = [*(str(tmp_path / name) for name in ("a.jpg", "b.PNG", "phone.HEIC")), "no/such.file"]
    assert list(list_pictures([str(tmp_path), "no/such.file"])) == [(name, name) for name in names]


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with raises("image-none", "pictures") as caught:
        list(list_pictures([str(tmp_path)]))
    assert caught.value.code == "image-none"


def test_a_minus_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"picture")))
    assert list(list_pictures(["-"])) == [("-", b"picture")]
    monkeypatch.setattr(sys, "stdin", None)
    with raises("image-stdin"):
        list(list_pictures(["-"]))


def test_standard_input_without_end_is_refused() -> None:
    with raises("image-too-large", "150") as caught:
        read_standard_input(Zeros())
    assert caught.value.code == "image-too-large"
