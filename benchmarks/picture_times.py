"""From an encoded picture to a digit: `Classifier.predict` beside a plain pipeline.

    python benchmarks/picture_times.py [--rounds 10] [--json FILE]

Both decode the same bytes and run the same model, in turn, picture by picture. The plain pipeline
is what a user would write: Pillow, one global threshold, the bounding box scaled to 20 pixels,
placed by its centre of mass. It fails on many of the hard pictures; there it only tells the time.
Decoding in full size is timed alone. Times are medians over the pictures of a kind.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_mnist import Classifier
from edge_mnist_export.data import drawn_photographs, page_rendering

Grey = NDArray[np.uint8]
CLEAN_SIDES = (28, 56, 64, 200, 400, 1000)
PICTURES = 20  # of each kind
HARD = tuple(drawn_photographs.CONDITIONS)


class Kind(NamedTuple):
    """Pictures of a kind, encoded, and the digit on each."""

    name: str
    pictures: list[bytes]
    digits: list[int]


def plain_pipeline(content: bytes, classify: Callable[[Grey], int]) -> int:
    """Read the digit in an encoded picture; return -1 if nothing is darker than half way."""
    grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    level = (int(grey.min()) + int(grey.max())) / 2
    mask = grey < level
    if mask.mean() > 0.5:
        mask, grey = ~mask, 255 - grey
    if not mask.any():
        return -1
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    crop = 255 - grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    crop = np.where(crop > 255 - level, crop, 0).astype(np.uint8)
    scale = 20 / max(crop.shape)
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    small = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BOX))
    total = max(float(small.sum()), 1.0)
    y = round(14 - float(small.sum(axis=1) @ np.arange(small.shape[0])) / total)
    x = round(14 - float(small.sum(axis=0) @ np.arange(small.shape[1])) / total)
    top, left = (
        min(max(offset, 0), 28 - length) for offset, length in zip((y, x), small.shape, strict=True)
    )
    image = np.zeros((28, 28), np.uint8)
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    return classify(image)


def clean(side: int) -> Kind:
    """Draw dark digits on light paper: JPEG files, `side` pixels a side."""
    pictures, digits = [], []
    for number in range(PICTURES):
        rng = np.random.default_rng([3, side, number])
        height = side * float(rng.uniform(0.5, 0.75))
        mask = page_rendering.stroke_mask(
            (side, side), number % 10, rng, height=height, width=max(0.1 * height, 1.4)
        )
        page = page_rendering.write_on(
            page_rendering.paper((side, side), rng, low=215), mask, float(rng.uniform(15, 60))
        )
        image = page_rendering.to_image(page_rendering.camera(page, rng, noise=2))
        pictures.append(page_rendering.encode(image, "JPEG", quality=90))
        digits.append(number % 10)
    return Kind(f"clean, {side} px", pictures, digits)


def hard() -> Iterator[Kind]:
    """Yield the drawn photographs of each condition, as files."""
    drawn = list(drawn_photographs.pictures(PICTURES * len(HARD), seed=0))
    for condition in HARD:
        chosen = [one for one in drawn if one.condition == condition]
        pictures = [
            one.picture
            if isinstance(one.picture, bytes)
            else page_rendering.encode(one.picture, "PNG", compress_level=1)
            for one in chosen
        ]
        yield Kind(condition, pictures, [int(one.text) for one in chosen])


def decode(content: bytes) -> None:
    """Decode a picture to grey pixels, in full size, as the plain pipeline does."""
    Image.open(io.BytesIO(content)).convert("L")


def measure(kind: Kind, works: list[Callable[[bytes], object]], rounds: int) -> list[float]:
    """Return the median time of each work in microseconds; all take turns on each picture."""
    times = np.empty((rounds, len(kind.pictures), len(works)))
    for row in times:
        for index, content in enumerate(kind.pictures):
            for column, work in enumerate(works):
                start = time.perf_counter_ns()
                work(content)
                row[index, column] = (time.perf_counter_ns() - start) / 1000
    # The median over rounds leaves out interruptions; pictures of a kind count alike.
    return [float(value) for value in np.median(np.median(times, axis=0), axis=0)]


def correct(kind: Kind, read: Callable[[bytes], object]) -> int:
    """Return how many pictures are read right."""
    return sum(
        read(picture) == digit for picture, digit in zip(kind.pictures, kind.digits, strict=True)
    )


@click.command()
@click.option("--rounds", default=10, show_default=True)
@click.option("--model", help="As for `edge-mnist predict`.")
@click.option("--json", "json_file", type=Path, help="Write the figures to this file.")
def main(rounds: int, model: str | None, json_file: Path | None) -> None:
    """Print the table of times."""
    classifier = Classifier(model)
    array = np.zeros((28, 28), np.uint8)

    def classify(image: Grey) -> int:
        return int(classifier.predict_probabilities(image[np.newaxis]).argmax())

    def plain(content: bytes) -> int:
        return plain_pipeline(content, classify)

    def predict(content: bytes) -> int | None:
        return classifier.predict(content).digit

    start = time.perf_counter()
    for _ in range(1000):
        classifier.predict(array)
    click.echo(f"predict of an array: {1e3 * (time.perf_counter() - start):.1f} µs")
    click.echo(
        f"{'':18}{'decode':>8}{'plain':>8}{'predict':>9}{'beyond decoding':>17}{'of 20 right':>16}"
    )
    rows = []
    for kind in [*map(clean, CLEAN_SIDES), *hard()]:
        decoding, plain_us, predict_us = measure(kind, [decode, plain, predict], rounds)
        ratio = (predict_us - decoding) / (plain_us - decoding)
        right = correct(kind, plain), correct(kind, predict)
        click.echo(
            f"{kind.name:18}{decoding:8.0f}{plain_us:8.0f}{predict_us:9.0f}"
            f"{ratio:12.1f} times{right[0]:10}{right[1]:5}",
        )
        rows.append(
            {
                "kind": kind.name,
                "decode_us": decoding,
                "plain_us": plain_us,
                "predict_us": predict_us,
                "ratio": ratio,
                "right": dict(zip(("plain", "predict"), right, strict=True)),
            }
        )
    if json_file:
        json_file.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
