"""A seed in, drawn pictures without a digit out, to measure rejection with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

# Pictures of each kind, and the side of a picture in pixels.
_PER_KIND = 40
_SIDE = 160
# Grey level of the pen, on paper of 190 to 250.
_PEN = 40
Rng = np.random.Generator
Draw = Callable[[ImageDraw.ImageDraw, Rng], None]


def draw(seed: int) -> dict[str, list[NDArray[np.uint8]]]:
    """Return pictures (160, 160) uint8 by kind, 40 of each."""
    pictures = {
        kind: [
            _paper(draw_kind, np.random.default_rng([seed, number, index]))
            for number in range(_PER_KIND)
        ]
        for index, (kind, draw_kind) in enumerate(_KINDS.items())
    }
    generators = (np.random.default_rng([seed, number, 99]) for number in range(_PER_KIND))
    pictures["noise"] = [
        rng.integers(0, 256, (_SIDE, _SIDE)).astype(np.uint8) for rng in generators
    ]
    return pictures


def _paper(draw_kind: Draw, rng: Rng) -> NDArray[np.uint8]:
    canvas = Image.new("L", (_SIDE, _SIDE), int(rng.integers(190, 250)))
    draw_kind(ImageDraw.Draw(canvas), rng)
    paper = np.asarray(canvas, np.float32) + 3 * rng.standard_normal((_SIDE, _SIDE))
    return np.clip(np.rint(paper), 0, 255).astype(np.uint8)


def _point(rng: Rng) -> tuple[int, int]:
    x, y = rng.integers(15, _SIDE - 15, 2)
    return int(x), int(y)


def _specks(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    for _ in range(60):
        x, y = _point(rng)
        draw.ellipse((x, y, x + 1, y + 1), fill=_PEN)


def _lines(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    for _ in range(int(rng.integers(3, 7))):
        draw.line([_point(rng), _point(rng)], fill=_PEN, width=int(rng.integers(2, 8)))


def _scribble(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    points = [_point(rng) for _ in range(int(rng.integers(8, 20)))]
    draw.line(points, fill=_PEN, width=int(rng.integers(2, 8)), joint="curve")


def _blob(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    x, y = (int(v) for v in rng.integers(20, 80, 2))
    width, height = (int(v) for v in rng.integers(30, 70, 2))
    draw.ellipse((x, y, x + width, y + height), fill=_PEN)


# Letters of straight strokes: A, E, H, K, M, N, W, X and #. Strokes are separated by |, their
# points are x,y on a grid of 8 by 9.
_LETTERS = (
    "0,9 4,0 8,9|2,5 6,5", "8,0 0,0 0,9 8,9|0,4 6,4", "0,0 0,9|8,0 8,9|0,4 8,4",
    "0,0 0,9|8,0 0,4 8,9", "0,9 1,0 4,6 7,0 8,9", "0,9 0,0 8,9 8,0",
    "0,0 2,9 4,3 6,9 8,0", "0,0 8,9|8,0 0,9", "2,0 2,9|6,0 6,9|0,3 8,3|0,6 8,6",
)  # fmt: skip


def _letter(draw: ImageDraw.ImageDraw, rng: Rng) -> None:
    scale, (x, y) = int(rng.integers(6, 11)), (int(v) for v in rng.integers(20, 50, 2))
    for stroke in _LETTERS[int(rng.integers(len(_LETTERS)))].split("|"):
        pairs = [point.split(",") for point in stroke.split()]
        jitter = rng.normal(0, 2, (len(pairs), 2))
        points = [
            (x + scale * int(a) + dx, y + scale * int(b) + dy)
            for (a, b), (dx, dy) in zip(pairs, jitter, strict=True)
        ]
        draw.line(points, fill=_PEN, width=int(rng.integers(3, 9)), joint="curve")


_KINDS: dict[str, Draw] = {
    "empty paper": lambda draw, rng: None,
    "specks": _specks,
    "lines": _lines,
    "scribbles": _scribble,
    "blobs": _blob,
    "shapes": _letter,
}
