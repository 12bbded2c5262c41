"""Decoding: every kind of picture is read, and a bad one is refused with one line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier, ImageError
from edge_mnist.vision.decode import count_pixels
from edge_mnist.vision.preprocess import preprocess
from tests.errors import raises

from .drawing import encoded, photo


def test_widened_pixels_are_what_they_were(digit: np.ndarray) -> None:
    page = np.asarray(photo(digit))
    for dtype in (np.int16, np.int32, np.int64):
        assert np.array_equal(preprocess(page.astype(dtype)), preprocess(page))


def test_exif_rotation_is_obeyed(digit: np.ndarray, classifier: Classifier) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: show it turned by 90° clockwise
    turned = photo(digit).transpose(Image.Transpose.ROTATE_90)
    assert classifier.predict(encoded(turned, "JPEG", exif=exif)).digit == 3


def bomb() -> bytes:
    """Return the header of a PNG of 31,623² (10⁹) pixels, without the pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 31623, 31623, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"Expected a picture .*got an empty file"),
        (b"not a picture at all", r"Expected a picture .*got another kind of file"),
        (b"\0\0\0\x18ftypheic" + bytes(100), r"got a broken HEIC or AVIF file: 112 bytes"),
        (b"\0\0\0\x18ftypisom" + bytes(100), r"got another kind of file: 112 bytes"),
        (bomb(), r"at most 50 megapixels"),
        (
            encoded(Image.new("L", (8000, 7000))),
            r"at most 50 megapixels, got .* \(8000×7000\); make it smaller",
        ),
        (
            encoded(Image.new("RGB", (5100, 5000)), "WEBP"),
            r"at most 25 megapixels, got .* \(5100×5000\); make it smaller",
        ),
        (encoded(Image.new("L", (100, 100), 255)), r"got no ink: contrast 0.00 of 1; write"),
    ],
    ids=["empty", "text", "HEIC", "video", "bomb", "huge", "WebP", "blank"],
)
def test_bad_bytes_are_named(content: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        preprocess(content)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "BMP"])
def test_a_truncated_picture_is_named(format: str, digit: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "cut"
    content = encoded(photo(digit), format)
    file.write_bytes(content[: len(content) // 2])
    with raises("image-broken", "picture", "ted"):
        preprocess(file)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((28, 28, 2), np.uint8), r"shape \(h, w\), .*got \(28, 28, 2\) uint8"),
        (np.zeros((0, 5)), r"got \(0, 5\) float64"),
        (np.full((5, 5), 3.0), r"float64 pixels in \[0, 1\], got 3 to 3; scale them first"),
        (np.full((5, 5), np.nan), r"float64 pixels in \[0, 1\]"),
        (np.zeros((5, 5), complex), r"complex128"),
        (7, r"a path, bytes, a PIL image or an array, got int"),
        ("nul\0byte.png", r"Expected a picture at nul\x00byte.png, got: embedded null byte"),
        (
            np.zeros((3, 5), np.uint8),
            r"7 pixels or more a side, got the array \(5×3\)",
        ),
        ("no/such/file.png", r"Expected a picture at no/such/file.png, got: No such file"),
    ],
)
def test_bad_values_are_named(value: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        preprocess(value)  # type: ignore[arg-type]


def test_errors_have_a_code_for_scripts() -> None:
    codes = {}
    for value in (b"", b"text", bomb(), np.zeros((3, 5)), np.full((9, 9), 3.0), 7, "no/file.png"):
        with pytest.raises(ImageError) as caught:
            preprocess(value)  # type: ignore[arg-type]
        codes[str(value)[:4]] = caught.value.code
    assert list(codes.values()) == [
        "image-format",
        "image-format",
        "image-too-large",
        "image-too-small",
        "image-range",
        "image-type",
        "image-missing",
    ]


def test_pixels_are_counted_from_the_header_alone() -> None:
    assert count_pixels(encoded(Image.new("L", (30, 20)))[:60]) == 600
    with raises("image-format", "another kind of file", "4 bytes"):
        count_pixels(b"text")
