"""Pictures composed of real handwriting: a seed and a number in, a picture and its text out.

They stand in for pictures that nobody here has drawn: photographs of single digits, cells cut from
scanned forms, digits of old postal scans. `SETS` names them and the conditions that take turns.
`edge_mnist.vision` and the rejection threshold are tuned on `tuning_hand`, seed 1; published
figures are of `test_hand`, seed 0: other digits, other fonts, other random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from edge_mnist.datasets import Split

from . import ink
from . import page_rendering as render
from .drawn_photographs import Drawn, Picture, Range
from .ink import Hand
from .page_rendering import Floats, Rng, Shape
from .validation import hold_out

Colour: TypeAlias = tuple[float, float, float]
Paper: TypeAlias = Callable[[Shape, Rng], Floats]
Compose: TypeAlias = Callable[[Hand, int, Rng], tuple[str, Picture]]

TUNING_SEED, TEST_SEED = 1, 0
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


def pictures(name: str, hand: Hand, count: int, *, seed: int) -> Iterator[Drawn]:
    """Yield pictures of a set. All conditions take turns, and all digits within each.

    Args:
        name: of the set, a key of `SETS`.
        hand: the digits and fonts.
        count: of pictures.
        seed: a picture depends only on the set, the hand, the seed and its number.

    Yields:
        The condition, the digits from left to right ("" if there is none) and the picture.
    """
    conditions = list(SETS[name].items())
    index = list(SETS).index(name)
    for number in range(count):
        condition, compose = conditions[number % len(conditions)]
        rng = np.random.default_rng([seed, index, number])
        text, picture = compose(hand, number // len(conditions) % 10, rng)
        yield Drawn(condition, text, picture)


class Pen(NamedTuple):
    """A pen.

    Attributes:
        colours: of its ink.
        width: of the stroke, as a fraction of the digit's height.
        density: of the ink, from 0 to 1.
        grain: the fraction of the ink that the grain of the paper keeps off, at most.
        gaps: the number of breaks of the line, at most.
    """

    colours: tuple[Colour, ...]
    width: Range = (0.05, 0.1)
    density: Range = (0.8, 1.0)
    grain: float = 0.1
    gaps: int = 0

    def write(self, page: Floats, mask: Floats, rng: Rng) -> Floats:
        """Write a mask (h, w) on a page (h, w, 3); darker pens dye the paper, chalk covers it."""
        colour = np.array(self.colours[int(rng.integers(len(self.colours)))], np.float32)
        density = np.float32(rng.uniform(*self.density))
        if not mask.any():
            return page
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        inked = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        mask = mask[inked]
        fine = rng.random(mask.shape, np.float32)
        coarse = np.clip(0.5 + 0.4 * render.smooth_noise(mask.shape, rng, cells=24), 0, 1)
        dye = mask * (1 - np.float32(self.grain) * (fine + coarse) / 2) * density
        written = page.copy()
        written[inked] += dye[..., np.newaxis] * (colour - page[inked])
        return written

    def breaks(self, mask: Floats, rng: Rng) -> Floats:
        """Return a mask whose line breaks in some places, as where a ballpoint fails."""
        if not self.gaps or not mask.any():
            return mask
        ys, xs = np.nonzero(mask > 0.5)
        canvas = Image.new("L", mask.shape[::-1])
        height = float(np.ptp(ys))
        for _ in range(int(rng.integers(self.gaps + 1))):
            at = int(rng.integers(len(ys)))
            radius = max(height * self.width[1] * float(rng.uniform(0.3, 0.7)), 0.8)
            angle = rng.uniform(0, np.pi)
            dx, dy = 2 * radius * np.cos(angle), 2 * radius * np.sin(angle)
            line = [(xs[at] - dx, ys[at] - dy), (xs[at] + dx, ys[at] + dy)]
            ImageDraw.Draw(canvas).line(line, fill=255, width=max(1, round(radius)))
        return mask * (1 - render.to_mask(canvas))


_BLUE, _BLACK, _RED, _GREEN = (35.0, 50, 130), (35.0, 35, 40), (175.0, 40, 45), (25.0, 105, 65)
BALLPOINT = Pen((_BLUE, _BLACK, _BLUE), (0.035, 0.08), (0.65, 0.95), 0.35, 2)
FELT_PEN = Pen((_BLACK, _BLUE, _RED, _GREEN), (0.07, 0.13))
PENCIL = Pen(((85.0, 85, 88), (65.0, 65, 70)), (0.03, 0.08), (0.6, 0.95), 0.55)
MARKER = Pen((_BLACK, _BLUE, _RED, _GREEN), (0.12, 0.19), grain=0.05)
CHALK = Pen(((235.0, 235, 228), (235.0, 225, 150)), (0.06, 0.13), (0.8, 1), 0.7)
_SCANNED = Pen((_BLACK,), (0.05, 0.11), (0.9, 1.0), 0.15)


def _sheet(shape: Shape, rng: Rng, low: Colour, high: Colour) -> Floats:
    """Return an empty page (h, w, 3) of one colour between two, with grain and soft stains."""
    page = np.empty((*shape, 3), np.float32)
    bright, tint = rng.uniform(), rng.uniform(0, 1, 3)
    page[:] = np.array(low) + (0.8 * bright + 0.2 * tint) * (np.array(high) - low)
    texture = rng.uniform(1, 3) * rng.standard_normal(shape, np.float32)
    texture = texture + rng.uniform(0.5, 2.5) * render.smooth_noise(shape, rng, cells=9)
    return page + texture[..., np.newaxis].astype(np.float32)


def plain(shape: Shape, rng: Rng) -> Floats:
    """White or yellowish paper."""
    return _sheet(shape, rng, (200, 198, 185), (250, 249, 246))


def _print_lines(shape: Shape, rng: Rng, *, squared: bool) -> Floats:
    page = plain(shape, rng)
    inks: tuple[Colour, ...] = ((150, 175, 215), (170, 170, 175), (190, 160, 190), (140, 190, 200))
    colour = np.array(inks[int(rng.integers(len(inks)))], np.float32)
    mask = render.lines(shape, rng, squared=squared) * np.float32(rng.uniform(0.4, 1))
    return page + mask[..., np.newaxis] * (colour - page)


graph = partial(_print_lines, squared=True)
ruled = partial(_print_lines, squared=False)


def coloured(shape: Shape, rng: Rng) -> Floats:
    """Paper of a light colour, such as a sticky note, or brown wrapping paper."""
    colours = ((250, 235, 140), (175, 215, 245), (165, 215, 160), (250, 195, 205), (200, 165, 120))
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float32)
    return _sheet(shape, rng, tuple(colour - 12), tuple(np.minimum(colour + 12, 252)))


def board(shape: Shape, rng: Rng) -> Floats:
    """Black or green board with wiped chalk."""
    colour = np.array(((42, 46, 46), (38, 72, 58))[int(rng.integers(2))], np.float32)
    page = _sheet(shape, rng, tuple(colour - 10), tuple(colour + 12))
    wiped = np.clip(render.smooth_noise(shape, rng, cells=5), 0, 2)[..., np.newaxis]
    return page + np.float32(rng.uniform(4, 16)) * wiped


def whiteboard(shape: Shape, rng: Rng) -> Floats:
    """White board with the reflection of a lamp."""
    page = _sheet(shape, rng, (200, 205, 205), (230, 232, 235))
    return page + 0.6 * render.glare(shape, rng)[..., np.newaxis].astype(np.float32) * (255 - page)


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
    top, left = (
        margin[axis] + round(room * float(rng.uniform(0.05, 0.95, 2).mean()))
        for axis in (0, 1)
        if (room := shape[axis] - 2 * margin[axis] - mask.shape[axis]) >= 0
    )
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


@dataclass(frozen=True)
class Cell:
    """The making of a cell cut from a scanned form.

    Attributes:
        dpi: of the scan, in pixels an inch. The cell is 6 to 9 mm tall.
        borders: the number of sides at which the printed border is left over.
        clip: the fraction of the digit beyond the edge of the cell, at most.
        touch: whether the digit may touch the border.
        dropout: the brightness of the border; 255 for none left.
        finish: turns the scan (h, w) in [0, 255] into the picture.
        pen: the pen.
    """

    dpi: tuple[int, int] = (100, 300)
    borders: tuple[int, int] = (1, 4)
    clip: float = 0.0
    touch: bool = False
    dropout: Range = (20, 130)
    finish: Callable[[Floats, Rng], Picture] | None = None
    pen: Pen = _SCANNED

    def __call__(self, hand: Hand, digit: int, rng: Rng) -> tuple[str, Picture]:
        """Compose a cell with a digit."""
        dots = float(rng.uniform(*self.dpi)) / 25.4
        cell = float(rng.uniform(6, 9)) * dots
        height = cell * float(rng.uniform(0.5, 0.78))
        own = rng.random() < 0.4
        width = None if own else max(float(rng.uniform(*self.pen.width)), 1.3 / height)
        mask = self.pen.breaks(hand.write(digit, rng, height=height, width=width), rng)
        written, box = self._arrange(mask, cell, rng)
        page = np.full((*written.shape, 3), rng.uniform(225, 254), np.float32)
        page = (
            page
            + float(rng.uniform(0.5, 3))
            * rng.standard_normal(page.shape[:2], np.float32)[..., np.newaxis]
        )
        border = self._border(written.shape, box, dots, rng)
        page = page + border[..., np.newaxis] * (float(rng.uniform(*self.dropout)) - page)
        scan = self.pen.write(page, written, rng).mean(axis=2)
        scan = render.camera(
            scan, rng, blur=float(rng.uniform(0.3, 0.7)), noise=float(rng.uniform(0, 4))
        )
        finish = self.finish or _as_grey_scan
        return str(digit), finish(scan, rng)

    def _arrange(self, mask: Floats, cell: float, rng: Rng) -> tuple[Floats, Floats]:
        """Return the mask in its cell, and the distances of the border from the picture's edges."""
        gap = float(rng.uniform(0, 0.06)) * cell
        border = np.round(rng.uniform(0.02, 0.14, 4) * cell).astype(
            np.float32
        )  # left, top, right, bottom
        room = 0.0 if self.touch else gap + 2
        width = max(cell * float(rng.uniform(0.7, 1)), mask.shape[1] + 2 * room)
        height = max(cell, mask.shape[0] + 2 * room)
        left, top = (
            float(rng.uniform(room, max(room, size - room - side)))
            for size, side in ((width, mask.shape[1]), (height, mask.shape[0]))
        )
        shape = round(height + border[1] + border[3]), round(width + border[0] + border[2])
        placed = np.zeros(shape, np.float32)
        y, x = round(top + border[1]), round(left + border[0])
        part = mask[: shape[0] - y, : shape[1] - x]
        placed[y : y + part.shape[0], x : x + part.shape[1]] = part
        if self.clip:
            return self._clip(placed, rng), border
        return placed, border

    def _clip(self, placed: Floats, rng: Rng) -> Floats:
        """Cut one or two sides into the digit."""
        rows, columns = (np.flatnonzero(placed.max(axis=axis) > 0.5) for axis in (1, 0))
        cut = [int(rng.uniform(0, self.clip) * side) for side in (np.ptp(rows), np.ptp(columns))]
        vertical, horizontal = int(rng.integers(3)), int(rng.integers(3))
        top, bottom, left, right = 0, placed.shape[0], 0, placed.shape[1]
        if vertical == 0:
            top = rows[0] + cut[0]
        elif vertical == 1:
            bottom = rows[-1] + 1 - cut[0]
        if horizontal == 0:
            left = columns[0] + cut[1]
        elif horizontal == 1:
            right = columns[-1] + 1 - cut[1]
        return placed[top:bottom, left:right]

    def _border(self, shape: Shape, box: Floats, dots: float, rng: Rng) -> Floats:
        """Return a mask (h, w) of the printed lines on some sides, askew by a degree or two."""
        height, width = shape
        scale = 4
        canvas = Image.new("L", (width * scale, height * scale))
        draw = ImageDraw.Draw(canvas)
        skew = float(np.tan(np.deg2rad(rng.uniform(-2.5, 2.5))))
        left, top, right, bottom = box[0] / 2, box[1] / 2, width - box[2] / 2, height - box[3] / 2
        dy, dx = skew * width / 2, skew * height / 2
        lines = (
            ((left - dx, -2), (left + dx, height + 2)),
            ((-2, top + dy), (width + 2, top - dy)),
            ((right - dx, -2), (right + dx, height + 2)),
            ((-2, bottom + dy), (width + 2, bottom - dy)),
        )
        thickness = max(1.0, float(rng.uniform(0.15, 0.45)) * dots)
        sides = rng.permutation(4)[: int(rng.integers(self.borders[0], self.borders[1] + 1))]
        for side in sides:
            points = [(x * scale, y * scale) for x, y in lines[side]]
            draw.line(points, fill=255, width=round(thickness * scale))
        return render.to_mask(canvas.reduce(scale))


def _as_grey_scan(page: Floats, rng: Rng) -> Picture:
    image = render.to_image(page)
    if rng.random() < 0.5:
        return render.encode(image, "PNG", compress_level=1)
    return render.encode(image, "JPEG", quality=int(rng.integers(40, 90)))


def _as_bilevel(page: Floats, rng: Rng) -> Picture:
    """Binarize a scan again, after it was reduced or enlarged."""
    image = render.to_image(page)
    factor = float(rng.uniform(0.7, 1.4))
    size = max(16, round(image.width * factor)), max(16, round(image.height * factor))
    image = image.resize(size, Image.Resampling.BILINEAR)
    level = int(rng.integers(160, 205))
    return render.encode(image.point(lambda value: 255 * (value > level)).convert("1"), "PNG")


def _as_fax(page: Floats, rng: Rng) -> Picture:
    """Send a scan by fax: half the lines, one bit, specks and lost lines."""
    image = render.to_image(page)
    size = image.size
    grey = np.asarray(
        image.resize((size[0], max(12, size[1] * 2 // 3)), Image.Resampling.BILINEAR), np.float32
    )
    bits = grey > rng.uniform(150, 200)
    hit = rng.random(bits.shape)
    bits = (bits & (hit > 0.008)) | (hit > 0.992)
    if rng.random() < 0.5:
        row = int(rng.integers(1, len(bits)))
        bits[row] = bits[row - 1] if rng.random() < 0.5 else True
    sent = Image.fromarray(bits.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
    return render.encode(sent.convert("1"), "PNG")


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
    Photograph, FELT_PEN._replace(colours=(_BLACK, _BLUE)), plain,
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
        "re-binarised": Cell(finish=_as_bilevel),
        "ballpoint": Cell(borders=(0, 2), pen=BALLPOINT),
        "fax": Cell(dpi=(180, 240), borders=(0, 2), finish=_as_fax),
        "drop-out colour": Cell(dropout=(200, 245), borders=(2, 4)),
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
