"""Pictures of every kind, made from one drawn digit, must come out as that digit."""

from __future__ import annotations

import io
import itertools
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge_mnist import Classifier, ImageError, NoDigitError
from edge_mnist.datasets import synthetic
from edge_mnist.evaluation import classify_pictures
from edge_mnist.vision.normalization import stroke_width
from edge_mnist.vision.preprocess import preprocess
from edge_mnist_export.data import drawn_photographs, page_rendering


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
        (
            encoded(Image.new("RGB", (5100, 5000)), "WEBP"),
            r"at most 25 megapixels, got .* \(5100×5000\); make it smaller",
        ),
        (encoded(Image.new("L", (100, 100), 255)), r"got no ink: contrast 0.00 of 1; write"),
    ],
    ids=["empty", "text", "bomb", "huge", "WebP", "blank"],
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


def page(*, size: int = 240, paper: int = 225, seed: int = 0) -> np.ndarray:
    """Paper with a camera's noise, (size, size) float."""
    return paper + 3 * np.random.default_rng(seed).standard_normal((size, size))


def shot(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def test_empty_paper_is_no_digit(classifier: Classifier) -> None:
    prediction = classifier.predict(shot(np.full((100, 100), 255.0)))
    assert (prediction.digit, prediction.label, prediction.confidence) == (None, None, 0.0)
    assert prediction.reason == "no ink: contrast 0.00 of 1"
    assert not prediction.probabilities.any()
    noisy = classifier.predict(shot(page()))
    assert noisy.digit is None
    assert noisy.reason is not None
    assert noisy.reason.startswith(("no ink: ", "no stroke: "))


def test_the_reason_of_no_digit_is_an_error_of_preprocess() -> None:
    with pytest.raises(NoDigitError, match=r"^Expected a digit, got no ink: contrast 0\.00 of 1; "):
        preprocess(np.full((60, 60), 200, np.uint8))


def test_noise_a_disc_and_a_tangle_are_no_digits(classifier: Classifier) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (160, 160)).astype(np.uint8)
    assert classifier.predict(noise).digit is None
    disc, tangle = shot(page()), shot(page())
    ImageDraw.Draw(disc).ellipse((60, 60, 180, 180), fill=30)
    assert classifier.predict(disc).reason == "no stroke: a blob as wide as it is long"
    points = np.random.default_rng(4).integers(30, 210, (25, 2))
    ImageDraw.Draw(tangle).line([(int(x), int(y)) for x, y in points], fill=30, width=5)
    reason = classifier.predict(tangle).reason
    assert reason is not None
    assert re.fullmatch(r"no digit: a line \d+\.\d times as long as it is tall", reason)


def test_an_unsure_answer_is_no_digit_and_keeps_its_probabilities(classifier: Classifier) -> None:
    grey = np.zeros((28, 28), np.uint8)
    prediction = classifier.predict(grey)
    assert prediction.digit is None
    assert prediction.confidence == prediction.probabilities.max() > 0
    threshold = classifier.spec.threshold
    expected = f"unsure: {prediction.confidence:.2f}, below {threshold:.2f}"
    assert prediction.reason == expected
    assert classifier.predict_batch(grey[np.newaxis]).shape == (1,)


def test_ruled_lines_are_taken_out_and_strokes_stay_whole(digit: np.ndarray) -> None:
    plain = preprocess(photo(digit))
    ruled = np.array(photo(digit), np.int16)
    for row in range(12, 400, 45):
        ruled[row : row + 2] = np.minimum(ruled[row : row + 2], 150)
    difference = np.abs(preprocess(ruled.astype(np.uint8)).astype(int) - plain)
    # The rule's own width in a picture of 400 is a tenth of a pixel here.
    assert difference.mean() < 4


def test_a_shadow_across_the_paper_takes_no_part(digit: np.ndarray) -> None:
    plain = preprocess(photo(digit))
    light = np.where(np.arange(400) < 190, 1.0, 0.45)[:, np.newaxis]
    shadowed = np.asarray(photo(digit)) * light
    difference = np.abs(preprocess(shot(shadowed)).astype(int) - plain)
    assert difference.mean() < 4


def test_specks_are_dropped_and_a_broken_stroke_is_one_digit(digit: np.ndarray) -> None:
    plain = preprocess(photo(digit))
    broken = np.array(photo(digit))
    broken[20 + 96 : 20 + 104] = 220  # a gap of eight rows, four hundredths of the height
    for x, y in np.random.default_rng(1).integers(0, 398, (60, 2)):
        if not (10 < y < 230 and 50 < x < 270):
            broken[y : y + 2, x : x + 2] = 40
    result = preprocess(broken)
    assert np.abs(result.astype(int) - plain).mean() < 12
    assert np.ptp(np.nonzero(result)[0]) + 1 == 20


@pytest.mark.parametrize("width", [2, 60])
def test_a_hairline_and_a_marker_become_a_pen_that_mnist_knows(width: int) -> None:
    drawn = Image.new("L", (500, 700), 240)
    ImageDraw.Draw(drawn).line([(120, 90), (380, 90), (220, 620)], fill=30, width=width)
    ink = preprocess(drawn) / np.float32(255)
    assert 1.5 < stroke_width(ink) < 4


def test_a_digit_is_found_in_any_corner_of_a_large_photograph(
    digit: np.ndarray, classifier: Classifier
) -> None:
    small = photo(digit, size=240).crop((10, 0, 190, 150))
    for corner in ((0, 0), (3820, 0), (0, 2850), (3820, 2850), (1900, 1400)):
        large = Image.new("L", (4000, 3000), 220)
        large.paste(small, corner)
        assert classifier.predict(encoded(large, "JPEG")).digit == 3, corner


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom", "all"])
def test_a_digit_may_touch_the_edge(side: str, digit: np.ndarray, classifier: Classifier) -> None:
    pixels = np.asarray(photo(digit))
    rows, columns = (np.flatnonzero((pixels < 130).any(axis=axis)) for axis in (1, 0))
    box = [0, 0, 400, 400]
    tight = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    for place, name in enumerate(("left", "top", "right", "bottom")):
        if side in (name, "all"):
            box[place] = int(tight[place])
    assert classifier.predict(photo(digit).crop(tuple(box))).digit == 3


@pytest.mark.parametrize("mode", ["dark pen", "light pen"])
def test_a_coloured_pen_as_bright_as_its_paper_is_seen(
    mode: str, digit: np.ndarray, classifier: Classifier
) -> None:
    alpha = np.asarray(photo(digit, paper=0, ink=255))[..., np.newaxis] / 255
    colours = np.array(((200, 80, 60), (60, 140, 90)), float)
    ground, pen = colours if mode == "dark pen" else colours[::-1]
    assert classifier.predict(shot(ground + alpha * (pen - ground))).digit == 3


def test_the_paper_set_is_read() -> None:
    """Seed 0; tuning was on seed 1, but for two faults of rows. See the changelog."""
    counts = classify_pictures(Classifier(), drawn_photographs.pictures(440))
    right = {name: right / count for name, (count, right, _) in counts.items()}
    assert sum(right.values()) / len(right) > 0.96
    assert min(right.values()) > 0.75, right


def test_the_paper_set_is_the_same_every_time() -> None:
    first, again = (list(drawn_photographs.pictures(44)) for _ in range(2))
    assert [one.text for one in first] == ["0"] * 22 + ["1"] * 22
    for one, other in zip(first, again, strict=True):
        same = (
            np.asarray(x.picture) if isinstance(x.picture, Image.Image) else x.picture
            for x in (one, other)
        )
        assert np.array_equal(*same)


def test_a_row_of_digits_is_read_left_to_right(classifier: Classifier) -> None:
    drawn = list(drawn_photographs.strings(12, seed=0))
    detections = [classifier.predict_many(one.picture) for one in drawn]
    read = ["".join(s.prediction.label or "?" for s in row) for row in detections]
    assert sum(a == d.text for a, d in zip(read, drawn, strict=True)) >= 9
    assert sum(len(a) == len(d.text) for a, d in zip(read, drawn, strict=True)) >= 11


def test_many_gives_boxes_of_the_original_and_lines_from_the_top(
    digit: np.ndarray, classifier: Classifier
) -> None:
    large = Image.new("L", (1600, 1200), 220)
    small = photo(digit, size=300).crop((20, 0, 220, 190))
    places = [(200, 150), (700, 170), (1200, 140), (300, 700), (900, 720)]
    for place in places[::-1]:
        large.paste(small, place)
    detections = classifier.predict_many(large)
    assert [detection.prediction.digit for detection in detections] == [3] * 5
    for (x, y), detection in zip(places, detections, strict=True):
        assert detection.box is not None
        left, top, right, bottom = detection.box
        assert x < left < right < x + 200
        assert y < top < bottom < y + 190


def touching(digits: tuple[int, ...], seed: int) -> Image.Image:
    """Digits side by side on plain paper, each slid left until its ink runs into the one before."""
    rng = np.random.default_rng([seed, *digits])
    height = 90
    row = np.zeros((150, 10), np.float32)
    for digit in digits:
        cell = page_rendering.stroke_mask((150, 260), digit, rng, height=height, width=8)
        columns = np.flatnonzero(cell.any(axis=0))
        cell = np.pad(cell[:, columns[0] : columns[-1] + 1], ((0, 0), (row.shape[1], 0)))
        row = np.pad(row, ((0, 0), (0, cell.shape[1] - row.shape[1])))
        while row.any() and not (row * cell > 0.5).any():
            cell = np.roll(cell, -1, axis=1)
        row = np.maximum(row, cell)
    ink = np.pad(row, 60)
    page = page_rendering.write_on(page_rendering.paper(ink.shape, rng), ink, 60)
    return page_rendering.to_image(page)


def test_digits_that_touch_are_taken_apart(classifier: Classifier) -> None:
    # Half of them are: ink runs into ink, one digit leaning over the other.
    pairs = [(a, b) for a in range(10) for b in range(10)][::2]
    detections = [classifier.predict_many(touching(pair, seed=2)) for pair in pairs]
    read = [tuple(one.prediction.digit for one in row) for row in detections]
    assert sum(a == b for a, b in zip(read, pairs, strict=True)) >= 0.4 * len(pairs)
    for row in detections:
        for left, right in itertools.pairwise(row):
            assert left.box is not None and right.box is not None
            assert left.box[0] < right.box[0] and left.box[2] < right.box[2]


def test_a_wide_digit_is_left_whole(digit: np.ndarray, classifier: Classifier) -> None:
    wide = photo(digit, size=300).resize((375, 300))
    assert [one.prediction.digit for one in classifier.predict_many(wide)] == [3]


def test_many_of_nothing_is_nothing(classifier: Classifier) -> None:
    assert classifier.predict_many(shot(np.full((300, 300), 250.0))) == []
