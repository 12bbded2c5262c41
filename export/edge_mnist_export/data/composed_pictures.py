"""Pictures composed of real handwriting: a seed and a number in, a picture and its text out.

They stand in for pictures that nobody here has drawn: photographs of single digits, cells cut from
scanned forms, digits of old postal scans. `SETS` names them and the conditions that take turns.
`edge_mnist.vision` and the rejection threshold are tuned on `tuning_hand`, seed 1; published
figures are of `test_hand`, seed 0: other digits, other fonts, other random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageFilter

from edge_mnist.datasets import Split

from . import ink
from . import page_rendering as render
from .drawn_photographs import Drawn, Picture, Range
from .form_cells import Cell, as_bilevel, as_fax
from .ink import Hand
from .page_rendering import Floats, Rng, Shape
from .pens_and_papers import (
    BALLPOINT,
    BLACK,
    BLUE,
    CHALK,
    FELT_PEN,
    MARKER,
    PENCIL,
    Paper,
    Pen,
    board,
    coloured,
    graph,
    plain,
    ruled,
    whiteboard,
)  # fmt: skip
from .validation import hold_out

Compose: TypeAlias = Callable[[Hand, int, Rng], tuple[str, Picture]]

TUNING_SEED, TEST_SEED = 1, 0
# Sets that are written in fonts.
FONT_SETS = ("fonts", "not digits")
# Pixels: smaller digits are not legible on a photograph.
_MIN_HEIGHT = 18


def tuning_hand(training: Split) -> Hand:
    """Return the validation images of a training file, and the fonts for tuning."""
    held_out = hold_out(training)[1]
    return Hand(held_out.images, held_out.labels, ink.find_fonts(ink.TUNING_FONTS))


def test_hand(test: Split) -> Hand:
    """Return test images and the fonts of the test."""
    return Hand(test.images, test.labels, ink.find_fonts(ink.TEST_FONTS))


test_hand.__test__ = False  # type: ignore[attr-defined]  # Not a test to be collected.


def pictures(
    name: str, hand: Hand, count: int, *, seed: int, sides: Range | None = None
) -> Iterator[Drawn]:
    """Yield pictures of a set. All conditions take turns, and all digits within each.

    Args:
        name: of the set, a key of `SETS`.
        hand: the digits and fonts.
        count: of pictures.
        seed: a picture depends only on the set, the hand, the seed and its number.
        sides: the shorter side of photographs in pixels, from and to, if not as in the set.

    Yields:
        The condition, the digits from left to right ("" if there is none) and the picture.
    """
    conditions = list(SETS[name].items())
    index = list(SETS).index(name)
    for number in range(count):
        condition, compose = conditions[number % len(conditions)]
        if sides and isinstance(compose, Photograph):
            compose = replace(compose, sides=sides)
        rng = np.random.default_rng([seed, index, number])
        text, picture = compose(hand, number // len(conditions) % 10, rng)
        yield Drawn(condition, text, picture)


@dataclass(frozen=True)
class Photograph:
    """The making of a photograph: a pen on paper, under a lamp, through a camera, into a JPEG.

    Attributes:
        pen, paper: what is written with and on.
        sides: the picture's shorter side in pixels, log-uniformly distributed.
        height: of the digit, as a fraction of the picture's shorter side.
        light: the fraction of the light that falls off, at most; above 0.3 with a cast shadow.
        blur: of the camera, as a fraction of the digit's height, at most.
        tilt: rotation in degrees, at most; perspective moves each corner by half as many percent.
        quality: of the JPEG; None for a PNG.
        fonts: whether to write in a font.
    """

    pen: Pen
    paper: Paper
    sides: Range = (56, 1600)
    height: Range = (0.15, 0.8)
    light: float = 0.45
    blur: float = 0.03
    tilt: float = 10.0
    quality: tuple[int, int] | None = (30, 90)
    fonts: bool = False

    def __call__(self, hand: Hand, digit: int, rng: Rng) -> tuple[str, Picture]:
        """Compose a picture of a digit."""
        side = float(np.exp(rng.uniform(*np.log(self.sides))))
        height = max(side * float(rng.uniform(*self.height)), _MIN_HEIGHT)
        if self.fonts:
            mask = hand.print(str(digit), rng, height=height)
        else:
            own = self.pen.width[1] > 0.09 and rng.random() < 0.5
            width = None if own else max(float(rng.uniform(*self.pen.width)), 1.2 / height)
            mask = hand.write(digit, rng, height=height, width=width)
        return str(digit), self.take(mask, side, rng)

    def take(self, mask: Floats, side: float, rng: Rng) -> Picture:
        """Photograph a mask (h, w) on paper, in a picture whose shorter side is `side` or more."""
        stretch = float(rng.choice((1, 1, 4 / 3, 3 / 2)))
        sides = (side * stretch, side) if rng.random() < 0.5 else (side, side * stretch)
        room = 1.12 if self.tilt else 1.0
        shape = (
            round(max(sides[0], 1.15 * mask.shape[0])),
            round(max(sides[1], 1.15 * mask.shape[1])),
        )
        margin = (round(shape[0] * (room - 1)), round(shape[1] * (room - 1)))
        mask = self.pen.breaks(mask, rng)
        written = _place(mask, (shape[0] + 2 * margin[0], shape[1] + 2 * margin[1]), margin, rng)
        page = self.pen.write(self.paper(written.shape, rng), written, rng)
        page = _view(page, shape, margin, rng, tilt=self.tilt)
        page = page * self._lamp(shape, rng)
        blur = float(rng.uniform(0, self.blur)) * mask.shape[0]
        page = render.camera(
            page,
            rng,
            blur=blur,
            noise=float(rng.uniform(0, 5)),
            vignette=float(rng.uniform(0, 0.35)),
        )
        image = render.to_image(page)
        if self.quality is None:
            return render.encode(image, "PNG", compress_level=1)
        return render.encode(image, "JPEG", quality=int(rng.integers(*self.quality)))

    def _lamp(self, shape: Shape, rng: Rng) -> Floats:
        """Return the light (h, w, 3): it falls off, is tinted, and may be shadowed."""
        light = render.light_falloff(shape, rng, depth=float(rng.uniform(0, self.light)))
        if self.light > 0.3 and rng.random() < 0.25:
            light = light * render.cast_shadow(shape, rng)
        warmth = float(rng.uniform(-0.08, 0.12))
        tint = np.array([1, 1 - abs(warmth) / 3, 1 - warmth], np.float32) / max(1, 1 - warmth)
        lamp: Floats = light[..., np.newaxis] * tint * np.float32(rng.uniform(0.75, 1.08))
        return lamp


def _place(mask: Floats, shape: Shape, margin: Shape, rng: Rng) -> Floats:
    """Return a mask of `shape` with another in it, inside the margin, rather in the middle."""
    corner = []
    for side, before, length in zip(shape, margin, mask.shape, strict=True):
        space = side - 2 * before - length
        # A tilted camera cuts off up to 7 % of a side.
        inset = min(0.07 * side, space / 2)
        corner.append(before + round(inset + (space - 2 * inset) * rng.uniform(0, 1, 2).mean()))
    top, left = corner
    placed = np.zeros(shape, np.float32)
    placed[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return placed


def _view(page: Floats, shape: Shape, margin: Shape, rng: Rng, *, tilt: float) -> Floats:
    """Return a page (h, w, 3) without its margin, as a camera at an angle sees it."""
    (height, width), (above, before) = shape, margin
    middle = np.array([before + width / 2, above + height / 2])
    half = np.array([width, height]) / 2
    corners = half * [(-1, -1), (-1, 1), (1, 1), (1, -1)]
    turn = np.deg2rad(rng.uniform(-tilt, tilt)) * 0.7
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = corners @ rotation.T
    corners = corners + rng.uniform(-1, 1, (4, 2)) * (0.005 * tilt * half)
    low, high = (0, 0) - middle, np.array(page.shape[1::-1]) - 1 - middle
    # Shrink the view until its corners lie on the page.
    shrink = min(
        1.0,
        float(np.min(high / np.maximum(corners.max(axis=0), 1e-6))),
        float(np.min(low / np.minimum(corners.min(axis=0), -1e-6))),
    )
    quad = (corners * shrink + middle).ravel().tolist()
    image = render.to_image(page).transform(
        (width, height), Image.Transform.QUAD, quad, resample=Image.Resampling.BICUBIC
    )
    return np.asarray(image, np.float32)


def _low_resolution(hand: Hand, rng: Rng, digit: int) -> Image.Image:
    """Return a digit as old postal scans have it: cut closely, stretched to 16×16, grey, bright."""
    mask = hand.write(digit, rng, height=48, width=float(rng.uniform(0.09, 0.18)))
    side = 16
    width = (
        side
        if mask.shape[1] > 0.5 * mask.shape[0]
        else max(4, round(side * mask.shape[1] / mask.shape[0]))
    )
    image = render.to_image(mask * 255).resize((width, side), Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.6))))
    canvas = Image.new("L", (side, side))
    canvas.paste(image, ((side - width) // 2, 0))
    return canvas


def _postal(
    hand: Hand, digit: int, rng: Rng, *, resample: Image.Resampling | None, dark: bool
) -> tuple[str, Picture]:
    """Compose a 16×16 grey digit, enlarged to 28 to 256 pixels if `resample` is given."""
    image = _low_resolution(hand, rng, digit)
    if resample is not None:
        side = int(np.exp(rng.uniform(np.log(28), np.log(257))))
        image = image.resize((side, side), resample)
    if dark:
        image = image.point(lambda value: 255 - value)
    return str(digit), render.encode(image, "PNG")


def _mnist(
    hand: Hand, digit: int, rng: Rng, *, format: str, resample: Image.Resampling, dark: bool
) -> tuple[str, Picture]:
    """Encode an MNIST image in 28 to 280 pixels, black on white if `dark`."""
    side = 28 * int(rng.integers(1, 11)) if rng.random() < 0.5 else int(rng.integers(28, 281))
    image = Image.fromarray(hand.pick(digit, rng)).resize((side, side), resample)
    if dark:
        image = image.point(lambda value: 255 - value)
    options = {"quality": int(rng.integers(50, 96))} if format == "JPEG" else {}
    return str(digit), render.encode(image, format, **options)


_LETTERS = "AEFHKMNRWXkmnwx#&%@?"


def _not_digit(draw: Callable[[Hand, Rng, float], Floats]) -> Compose:
    """Return the making of a photograph of a mask that is no digit."""

    def compose(hand: Hand, digit: int, rng: Rng) -> tuple[str, Picture]:
        pen, paper = _PAIRS[int(rng.integers(len(_PAIRS)))]
        side = float(np.exp(rng.uniform(np.log(80), np.log(600))))
        mask = draw(hand, rng, side * float(rng.uniform(0.3, 0.75)))
        return "", Photograph(pen, paper).take(mask, side, rng)

    return compose


def _letter(hand: Hand, rng: Rng, height: float) -> Floats:
    return hand.print(_LETTERS[int(rng.integers(len(_LETTERS)))], rng, height=height)


def _curve(points: Floats, height: float, width: float) -> Floats:
    """Return the mask of a smooth line through points (n, 2) in [0, 1]."""
    times = np.linspace(0, len(points) - 1, 40 * len(points))
    smooth = np.stack([np.interp(times, np.arange(len(points)), axis) for axis in points.T])
    kernel = np.ones(31) / 31
    x, y = (np.convolve(np.pad(axis, 15, mode="edge"), kernel, mode="valid") for axis in smooth)
    side = int(height * 1.2) + 8
    canvas = Image.new("L", (side, side))
    radius = np.full(len(x), max(width * height / 2, 0.8))
    render.draw_discs(canvas, np.column_stack([x * height + 4, y * height + 4, radius]))
    return render.to_mask(canvas)


def _scribble(hand: Hand, rng: Rng, height: float) -> Floats:
    points = rng.uniform(0.05, 1, (int(rng.integers(9, 22)), 2)).astype(np.float32)
    return _curve(points, height, float(rng.uniform(0.02, 0.07)))


def _blob(hand: Hand, rng: Rng, height: float) -> Floats:
    side = max(24, int(height))
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    angle, low = np.arctan2(y, x), rng.uniform(0.45, 0.8)
    edge = low + sum(
        rng.normal(0, 0.07) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4, 5)
    )
    return np.clip((edge - np.hypot(x, y)) * side / 4 + 0.5, 0, 1).astype(np.float32)


def _nothing(hand: Hand, rng: Rng, height: float) -> Floats:
    return np.zeros((4, 4), np.float32)


def _texture(hand: Hand, digit: int, rng: Rng) -> tuple[str, Picture]:
    """Compose a picture of wood, cloth or clouds."""
    shape = (int(rng.integers(80, 500)), int(rng.integers(80, 500)))
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    clouds = sum(
        render.smooth_noise(shape, rng, cells=cells) / weight
        for cells, weight in ((4, 1), (9, 2), (19, 3))
    )
    pitch, kind = rng.uniform(5, 30), int(rng.integers(3))
    waves = (
        clouds,
        np.sin(x / pitch * 6.3 + 3 * clouds),
        np.sin(x / pitch * 6.3) + np.sin(y / pitch * 6.3),
    )[kind]
    page = rng.uniform(90, 170) + rng.uniform(15, 45) * np.clip(waves, -2, 2)
    page = page[..., np.newaxis] * rng.uniform(0.75, 1.1, 3)
    image = render.to_image(render.camera(page.astype(np.float32), rng, noise=4))
    return "", render.encode(image, "JPEG", quality=int(rng.integers(40, 90)))


def _noise(hand: Hand, digit: int, rng: Rng) -> tuple[str, Picture]:
    shape = (int(rng.integers(28, 300)), int(rng.integers(28, 300)))
    image = render.to_image(rng.uniform(0, 255, shape).astype(np.float32))
    blurred = image.filter(ImageFilter.GaussianBlur(float(rng.choice((0, 0, 1, 2)))))
    return "", render.encode(blurred, "PNG")


def _several(hand: Hand, digit: int, rng: Rng, *, pen: Pen, paper: Paper) -> tuple[str, Picture]:
    """Compose a photograph of 2 to 6 digits in a row."""
    digits = [digit, *rng.integers(0, 10, int(rng.integers(1, 6))).tolist()]
    height = float(np.exp(rng.uniform(np.log(24), np.log(160))))
    width = max(float(rng.uniform(*pen.width)), 1.2 / height)
    masks = [
        hand.write(one, rng, height=height * float(rng.uniform(0.88, 1.12)), width=width)
        for one in digits
    ]
    tallest = max(len(mask) for mask in masks)
    row = []
    for mask in masks:
        above = int(rng.integers(0, tallest - len(mask) + 1))
        gap = np.zeros((tallest, int(height * rng.uniform(0.12, 0.5))), np.float32)
        row += [np.pad(mask, ((above, tallest - len(mask) - above), (0, 0))), gap]
    mask = np.hstack(row[:-1])
    side = max(mask.shape) * float(rng.uniform(0.7, 1.1))
    photograph = Photograph(pen, paper, tilt=4)
    return "".join(map(str, digits)), photograph.take(mask, side, rng)


_PAIRS: tuple[tuple[Pen, Paper], ...] = (
    (BALLPOINT, plain), (FELT_PEN, ruled), (PENCIL, plain), (BALLPOINT, graph), (CHALK, board),
)  # fmt: skip
_CLEAN = partial(
    Photograph, FELT_PEN._replace(colours=(BLACK, BLUE)), plain,
    height=(0.45, 0.7), light=0.1, blur=0.01, tilt=0.0, quality=(88, 92),
)  # fmt: skip
_RESAMPLE = Image.Resampling
_POLARITIES = (("light on dark", False), ("dark on light", True))

SETS: Mapping[str, Mapping[str, Compose]] = {
    "photographs": {
        "ballpoint, plain": Photograph(BALLPOINT, plain),
        "ballpoint, graph": Photograph(BALLPOINT, graph),
        "ballpoint, ruled": Photograph(BALLPOINT, ruled),
        "felt pen, plain": Photograph(FELT_PEN, plain),
        "felt pen, graph": Photograph(FELT_PEN, graph),
        "felt pen, coloured": Photograph(FELT_PEN, coloured),
        "pencil, plain": Photograph(PENCIL, plain),
        "pencil, ruled": Photograph(PENCIL, ruled),
        "marker, plain": Photograph(MARKER, plain),
        "marker, coloured": Photograph(MARKER, coloured),
        "marker, whiteboard": Photograph(MARKER, whiteboard),
        "chalk, board": Photograph(CHALK, board),
    },
    "form cells": {
        "borders": Cell(),
        "digit touches border": Cell(touch=True),
        "clipped": Cell(borders=(0, 1), clip=0.07),
        "re-binarised": Cell(finish=as_bilevel),
        "ballpoint": Cell(borders=(0, 2), pen=BALLPOINT),
        "fax": Cell(dpi=(180, 240), borders=(0, 2), finish=as_fax),
        "neighbour": Cell(borders=(0, 2), neighbour=True),
        "drop-out colour": Cell(brightness=(200, 245), borders=(2, 4)),
        "no border": Cell(borders=(0, 0), dpi=(100, 200)),
    },
    "low resolution": {
        f"{name}, {polarity}": partial(_postal, resample=resample, dark=dark)
        for name, resample in (
            ("16×16", None), ("bicubic", _RESAMPLE.BICUBIC), ("nearest", _RESAMPLE.NEAREST),
        )
        for polarity, dark in _POLARITIES
    },
    "clean": {f"{side} px": _CLEAN(sides=(side, side)) for side in (56, 200, 400, 1000)},
    "fonts": {
        "ballpoint": Photograph(BALLPOINT, plain, fonts=True),
        "felt pen": Photograph(FELT_PEN, ruled, fonts=True),
        "pencil": Photograph(PENCIL, graph, fonts=True),
        "marker": Photograph(MARKER, coloured, fonts=True),
        "scan": _CLEAN(sides=(40, 300), fonts=True),
    },
    "MNIST": {
        f"{format}, {name}, {polarity}": partial(
            _mnist, format=format, resample=resample, dark=dark
        )
        for format in ("PNG", "JPEG")
        for name, resample in (
            ("nearest", _RESAMPLE.NEAREST), ("bilinear", _RESAMPLE.BILINEAR),
            ("bicubic", _RESAMPLE.BICUBIC), ("Lanczos", _RESAMPLE.LANCZOS),
        )
        for polarity, dark in _POLARITIES
    },
    "not digits": {
        "letters": _not_digit(_letter),
        "scribbles": _not_digit(_scribble),
        "blobs": _not_digit(_blob),
        "empty paper": _not_digit(_nothing),
        "textures": _texture,
        "noise": _noise,
    },
    "several digits": {
        "ballpoint": partial(_several, pen=BALLPOINT, paper=plain),
        "felt pen": partial(_several, pen=FELT_PEN, paper=ruled),
        "graph": partial(_several, pen=BALLPOINT, paper=graph),
        "marker": partial(_several, pen=MARKER, paper=whiteboard),
    },
}  # fmt: skip
