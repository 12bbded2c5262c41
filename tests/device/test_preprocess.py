"""Pictures of every kind, made from one drawn digit, must come out as that digit."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier, ImageError
from edge_mnist.datasets import synthetic
from edge_mnist.preprocess import preprocess


@pytest.fixture(scope="module")
def digit() -> np.ndarray:
    """A 3, (28, 28) uint8, as MNIST would have it."""
    return synthetic.draw(np.array([3]), seed=5)[0]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


def photo(digit: np.ndarray, *, paper: int = 220, ink: int = 40, size: int = 400) -> Image.Image:
    """Dark ink on light paper, off-centre, many times as large."""
    alpha = np.asarray(Image.fromarray(digit).resize((size // 2, size // 2), Image.BICUBIC)) / 255
    page = np.full((size, size), paper, np.float64)
    page[20 : 20 + size // 2, 60 : 60 + size // 2] += alpha * (ink - paper)
    return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def rgba(digit: np.ndarray, colour: int) -> Image.Image:
    """The digit in one colour on a transparent ground."""
    pixels = np.full((28, 28, 4), colour, np.uint8)
    pixels[..., 3] = digit
    return Image.fromarray(pixels).resize((200, 200))


def test_a_28x28_picture_is_left_alone(digit: np.ndarray) -> None:
    assert np.array_equal(preprocess(Image.fromarray(digit)), digit)
    assert np.array_equal(preprocess(encoded(Image.fromarray(digit))), digit)


def test_a_28x28_negative_is_turned_back(digit: np.ndarray) -> None:
    assert np.array_equal(preprocess(255 - digit[:, :, np.newaxis]), digit)


def test_every_kind_of_picture_is_read(digit: np.ndarray, classifier: Classifier) -> None:
    page = photo(digit)
    grey = np.asarray(page)
    pictures = {
        "dark on light": page,
        "light on dark": photo(digit, paper=30, ink=230),
        "faint": photo(digit, paper=200, ink=150),
        "JPEG": encoded(page, "JPEG", quality=60),
        "palette": page.convert("P"),
        "CMYK": page.convert("RGB").convert("CMYK"),
        "one bit": page.convert("1", dither=Image.Dither.NONE),
        "transparent, dark ink": rgba(digit, 0),
        "transparent, light ink": rgba(digit, 255),
        "16 bit": Image.fromarray(grey.astype(np.uint16) * 100),
        "array uint8": grey,
        "array uint16": grey.astype(np.uint16) * 257,
        "array float": grey / 255,
        "array bool": grey < 128,
        "array colour": np.stack([grey] * 3, axis=-1),
    }
    read = {name: classifier.predict(picture).digit for name, picture in pictures.items()}
    assert read == dict.fromkeys(pictures, 3)


def test_widened_pixels_are_what_they_were(digit: np.ndarray) -> None:
    page = np.asarray(photo(digit))
    for dtype in (np.int16, np.int32, np.int64):
        assert np.array_equal(preprocess(page.astype(dtype)), preprocess(page))


def test_exif_rotation_is_obeyed(digit: np.ndarray, classifier: Classifier) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: show it turned by 90° clockwise
    turned = photo(digit).transpose(Image.Transpose.ROTATE_90)
    assert classifier.predict(encoded(turned, "JPEG", exif=exif)).digit == 3


def test_ink_is_centred_by_mass_in_a_box_of_20(digit: np.ndarray) -> None:
    result = preprocess(photo(digit))
    rows, columns = np.nonzero(result)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    weights = result / result.sum()
    centre = (weights.sum(1) @ np.arange(28), weights.sum(0) @ np.arange(28))
    # Placed at whole pixels: the centre of mass is off 14 by half a pixel at most.
    assert np.abs(np.array(centre) - 14).max() <= 0.51


def bomb() -> bytes:
    """A PNG header that promises 31,623² (10⁹) pixels, and nothing behind it."""

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
        (bomb(), r"at most 50 megapixels"),
        (
            encoded(Image.new("L", (8000, 7000))),
            r"at most 50 megapixels, got .* \(8000×7000\); make it smaller",
        ),
        (encoded(Image.new("L", (100, 100), 255)), r"blank picture \(contrast 0.00 of 1\)"),
    ],
    ids=["empty", "text", "bomb", "huge", "blank"],
)
def test_bad_bytes_are_named(content: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        preprocess(content)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "BMP"])
def test_a_truncated_picture_is_named(format: str, digit: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "cut"
    content = encoded(photo(digit), format)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"Expected a whole picture, got a (truncated or )?broken"):
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
