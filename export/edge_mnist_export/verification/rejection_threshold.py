"""Below which confidence an answer is no digit: chosen on images that training never saw.

The threshold keeps `KEPT` of the held-out digits that the model reads rightly. What it refuses
is told on pictures of nothing, drawn here and prepared as a device prepares them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.datasets import Split
from edge_mnist.errors import NoDigitError
from edge_mnist.vision.preprocess import preprocess

from ..data.model_input import as_input

# At least 0.995 is wanted on MNIST; people's own pictures are read with less confidence.
KEPT = 0.997
_EACH = 40
_SIDE = 160
Rng = np.random.Generator
Draw = Callable[[ImageDraw.ImageDraw, Rng], None]


def choose(model: Any, spec: ModelSpec, held: Split, *, seed: int) -> dict[str, Any]:
    """Return what the manifest says under `refusal`: the threshold, and what it does.

    Nothing where there are no held-out images, or none that the model reads rightly.
    """
    if not len(held.images):
        return {}
    right, confidences = _answers(model, held.images, spec, held.labels)
    own = np.sort(confidences[right].astype(np.float64))
    if not len(own):
        return {}
    # Cut, not rounded: the last bits of a probability are the processor's.
    threshold = float(np.floor(own[int((1 - KEPT) * len(own))] * 1000) / 1000)
    refused = {
        name: _refused(model, spec, images, threshold)
        for name, images in _nothings(spec, seed).items()
    }
    return {
        "threshold": threshold,
        "kept": round(float((own >= threshold).mean()), 4),
        "of": f"{len(own)} held-out images read rightly",
        "refused": refused,
    }


def _answers(
    model: Any, images: NDArray[np.uint8], spec: ModelSpec, labels: NDArray[np.integer]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    probabilities = model.predict(as_input(images, spec.scaling), verbose=0)
    return probabilities.argmax(axis=1) == labels, probabilities.max(axis=1)


def _refused(
    model: Any, spec: ModelSpec, images: list[NDArray[np.uint8] | None], threshold: float
) -> float:
    """The share of pictures refused: None for those in which no stroke was found."""
    drawn = [image for image in images if image is not None]
    unsure = 0
    if drawn:
        probabilities = model.predict(as_input(np.stack(drawn), spec.scaling), verbose=0)
        unsure = int((probabilities.max(axis=1) < threshold).sum())
    return round((len(images) - len(drawn) + unsure) / len(images), 3)


def _nothings(spec: ModelSpec, seed: int) -> dict[str, list[NDArray[np.uint8] | None]]:
    """Pictures of nothing by kind, as the model takes them."""
    kinds: dict[str, Draw] = {
        "empty paper": lambda draw, rng: None,
        "specks": _specks,
        "lines": _lines,
        "scribbles": _scribble,
        "blobs": _blob,
        "shapes": _shape,
    }
    return {
        kind: [
            _prepared(_page(draw, np.random.default_rng([seed, number, place])), spec)
            for number in range(_EACH)
        ]
        for place, (kind, draw) in enumerate(kinds.items())
    } | {
        "noise": [
            _prepared(_noise(np.random.default_rng([seed, number, 99])), spec)
            for number in range(_EACH)
        ]
    }


def _prepared(picture: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8] | None:
    try:
        return preprocess(picture, spec)
    except NoDigitError:
        return None


def _page(draw: Draw, rng: Rng) -> NDArray[np.uint8]:
    canvas = Image.new("L", (_SIDE, _SIDE), int(rng.integers(190, 250)))
    draw(ImageDraw.Draw(canvas), rng)
    page = np.asarray(canvas, np.float32) + 3 * rng.standard_normal((_SIDE, _SIDE))
    return np.clip(np.rint(page), 0, 255).astype(np.uint8)


def _noise(rng: Rng) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (_SIDE, _SIDE)).astype(np.uint8)


def _point(rng: Rng) -> tuple[int, int]:
    x, y = rng.integers(15, _SIDE - 15, 2)
    return int(x), int(y)


def _specks(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    for _ in range(60):
        x, y = _point(rng)
        draw.ellipse((x, y, x + 1, y + 1), fill=40)


def _lines(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    for _ in range(int(rng.integers(3, 7))):
        draw.line([_point(rng), _point(rng)], fill=40, width=int(rng.integers(2, 8)))


def _scribble(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    points = [_point(rng) for _ in range(int(rng.integers(8, 20)))]
    draw.line(points, fill=40, width=int(rng.integers(2, 8)), joint="curve")


def _blob(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    x, y = (int(v) for v in rng.integers(20, 80, 2))
    wide, tall = (int(v) for v in rng.integers(30, 70, 2))
    draw.ellipse((x, y, x + wide, y + tall), fill=40)


def _shape(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    """Letters of straight strokes, about: A, E, H, K, M, N, W, X, #."""
    letters = (
        "0,9 4,0 8,9|2,5 6,5", "8,0 0,0 0,9 8,9|0,4 6,4", "0,0 0,9|8,0 8,9|0,4 8,4",
        "0,0 0,9|8,0 0,4 8,9", "0,9 1,0 4,6 7,0 8,9", "0,9 0,0 8,9 8,0",
        "0,0 2,9 4,3 6,9 8,0", "0,0 8,9|8,0 0,9", "2,0 2,9|6,0 6,9|0,3 8,3|0,6 8,6",
    )  # fmt: skip
    scale, (x, y) = int(rng.integers(6, 11)), (int(v) for v in rng.integers(20, 50, 2))
    for stroke in letters[int(rng.integers(len(letters)))].split("|"):
        pairs = [point.split(",") for point in stroke.split()]
        shake = rng.normal(0, 2, (len(pairs), 2))
        points = [
            (x + scale * int(a) + dx, y + scale * int(b) + dy)
            for (a, b), (dx, dy) in zip(pairs, shake, strict=True)
        ]
        draw.line(points, fill=40, width=int(rng.integers(3, 9)), joint="curve")
