"""Drawn photographs of handwritten digits: a seed and a number in; a picture and its text out.

They measure `edge_mnist.vision` on what MNIST lacks: pens, paper, light, cameras and file formats.
`CONDITIONS` lists what varies. Its ranges were estimated for real paper, and reduced where a person
could not read the digit. `vision` was tuned on seed 1; published figures are of seed 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from . import page_rendering as render
from .page_rendering import Floats, Rng, Shape

Picture: TypeAlias = bytes | Image.Image
Range: TypeAlias = tuple[float, float]

COUNT = 1100  # pictures in the published set
NAME = "paper-test"  # the published set, as reports name it


class Drawn(NamedTuple):
    """A picture, encoded or as a PIL image, and the digits on it from left to right."""

    condition: str
    text: str
    picture: Picture


def pictures(count: int = COUNT, *, seed: int = 0) -> Iterator[Drawn]:
    """Yield pictures of one digit each. All conditions take turns, and all digits within each.

    Args:
        count: of pictures.
        seed: a picture depends only on the seed, its number and its condition.
    """
    for number in range(count):
        name = list(CONDITIONS)[number % len(CONDITIONS)]
        digit = number // len(CONDITIONS) % 10
        rng = np.random.default_rng([seed, number])
        yield Drawn(name, str(digit), CONDITIONS[name].draw(digit, rng))


def strings(count: int, *, seed: int = 0, length: int | None = None) -> Iterator[Drawn]:
    """Yield pictures of several digits in a row, such as a postcode.

    Args:
        count: of pictures.
        seed: a picture depends only on the seed, its number and `length`.
        length: digits per picture; 2 to 8 at random by default.
    """
    pages = (("plain", render.paper), ("ruled", _ruled_page), ("shadowed", _shadowed_page))
    for number in range(count):
        rng = np.random.default_rng([seed, number, 1])
        digits = rng.integers(0, 10, length or int(rng.integers(2, 9)))
        mask = _row_mask(digits, rng)
        name, page = pages[number % len(pages)]
        written = _write(mask, page(mask.shape, rng), rng)
        picture = render.to_image(render.camera(written, rng, noise=3))
        yield Drawn(name, "".join(map(str, digits)), picture)


def _row_mask(digits: NDArray[np.integer], rng: Rng) -> Floats:
    """Draw digits side by side, at least a fifth of their height apart: a mask (h, w)."""
    height = float(rng.uniform(60, 110))
    width = height * float(rng.uniform(0.06, 0.11))
    cells = []
    for digit in digits:
        cell = render.stroke_mask(
            (int(1.6 * height), int(1.8 * height)),
            int(digit),
            rng,
            height=height * float(rng.uniform(0.9, 1.1)),
            width=width,
            centre=(0.5 + float(rng.normal(0, 0.02)), 0.5),
        )
        columns = np.flatnonzero(cell.any(axis=0))
        gap = np.zeros((len(cell), int(height * rng.uniform(0.2, 0.5))), np.float32)
        cells += [cell[:, columns[0] : columns[-1] + 1], gap]
    return np.pad(np.hstack(cells[:-1]), int(height * rng.uniform(0.5, 1.5)))


def _random_shape(rng: Rng) -> Shape:
    """Return a portrait, landscape or square picture's height and width in pixels."""
    long, short = int(rng.integers(300, 480)), int(rng.integers(220, 300))
    return ((long, short), (short, long), (short, short))[int(rng.integers(3))]


def _add_specks(mask: Floats, rng: Rng) -> Floats:
    """Add dirt, crumbs and stray dots."""
    canvas = render.to_image(mask * 255)
    height, width = mask.shape
    count = int(rng.integers(15, 120))
    render.draw_discs(canvas, rng.uniform((0, 0, 0.4), (width, height, 2.5), (count, 3)))
    return render.to_mask(canvas)


def _crop_to_border(mask: Floats, rng: Rng) -> Floats:
    """Crop so closely that the digit touches one edge, or all four."""
    rows, columns = (np.flatnonzero(mask.max(axis=axis) > 0.5) for axis in (1, 0))
    low, high = np.array([rows[0], columns[0]]), np.array([rows[-1], columns[-1]]) + 1
    margin = (rng.uniform(0, 0.5, (2, 2)) * (high - low).max()).astype(int)
    if rng.random() < 0.3:
        margin[:] = 0
    margin[int(rng.integers(2)), int(rng.integers(2))] = 0
    (top, left), (bottom, right) = np.maximum(low - margin[0], 0), high + margin[1]
    return mask[top:bottom, left:right]


def _write(mask: Floats, page: Floats, rng: Rng) -> Floats:
    """Write on a page with a pen of a random dark grey."""
    return render.write_on(page, mask, float(rng.uniform(15, 90)))


def _choose_colour(rng: Rng, *colours: tuple[int, int, int]) -> Floats:
    return np.array(colours[int(rng.integers(len(colours)))], np.float32)


def _shadowed_page(shape: Shape, rng: Rng) -> Floats:
    light = render.light_falloff(shape, rng, depth=float(rng.uniform(0.2, 0.55)))
    if rng.random() < 0.7:
        light = light * render.cast_shadow(shape, rng)
    return render.paper(shape, rng) * light


def _ruled_page(shape: Shape, rng: Rng) -> Floats:
    page = render.paper(shape, rng, low=195)
    return page * (1 - np.float32(rng.uniform(0.1, 0.35)) * render.lines(shape, rng, squared=False))


def _dim_page(shape: Shape, rng: Rng) -> Floats:
    return render.paper(shape, rng) * render.light_falloff(shape, rng, depth=0.3)


def _squared(mask: Floats, rng: Rng) -> Floats:
    """Draw a blue or black pen on paper with blue or grey squares."""
    squares = render.lines(mask.shape, rng, squared=True)[..., np.newaxis]
    page = np.repeat(render.paper(mask.shape, rng, low=200)[..., np.newaxis], 3, axis=2)
    rule = _choose_colour(rng, (150, 175, 215), (165, 165, 165))
    ink = _choose_colour(rng, (25, 40, 120), (35, 35, 40))
    page = page + float(rng.uniform(0.6, 1)) * squares * (rule - page)
    return page + mask[..., np.newaxis] * (ink - page)


def _pencil(mask: Floats, rng: Rng) -> Floats:
    """Draw a faint stroke through which the grain of the paper shows."""
    grain = rng.uniform(0.45, 1, mask.shape).astype(np.float32)
    page = render.paper(mask.shape, rng, low=195) * render.light_falloff(mask.shape, rng, depth=0.2)
    return page - mask * grain * np.float32(rng.uniform(45, 100))


def _chalk(mask: Floats, rng: Rng) -> Floats:
    board = render.paper(mask.shape, rng, low=35, high=75)
    board = board + 9 * render.smooth_noise(mask.shape, rng, cells=6)
    chalk = mask * rng.uniform(0.25, 1, mask.shape).astype(np.float32)
    return board + chalk * (225 - board)


def _whiteboard(mask: Floats, rng: Rng) -> Floats:
    """Draw a coloured marker under a lamp's glare."""
    marker = _choose_colour(rng, (30, 60, 160), (180, 40, 40), (25, 110, 60), (40, 40, 45))
    light = render.light_falloff(mask.shape, rng, depth=0.35)[..., np.newaxis]
    page = (np.float32(215) + mask[..., np.newaxis] * (marker - 215)) * light
    return page + render.glare(mask.shape, rng)[..., np.newaxis] * 0.75 * (255 - page)


def _salt_and_pepper(mask: Floats, rng: Rng) -> Floats:
    """Turn single pixels black or white."""
    page = _write(mask, render.paper(mask.shape, rng), rng)
    hit = rng.random(page.shape)
    return np.where(hit < 0.01, 0, np.where(hit > 0.99, 255, page)).astype(np.float32)


def _transparent(mask: Floats, rng: Rng) -> Floats:
    """Draw one colour on a transparent layer: (h, w, 4)."""
    layer = np.zeros((*mask.shape, 4), np.float32)
    everywhere = rng.random() < 0.5
    layer[everywhere | (mask > 0), :3] = rng.integers(0, 256, 3)
    layer[..., 3] = mask * 255
    return layer


def _scan(mask: Floats, rng: Rng) -> Floats:
    """Draw grey grain, with the digit on the paper's other side showing through."""
    page = render.paper(mask.shape, rng, low=190) + 5 * rng.standard_normal(mask.shape, np.float32)
    back_digit, height = int(rng.integers(10)), mask.shape[0] * 0.5
    back = render.stroke_mask(mask.shape, back_digit, rng, height=height, width=5)
    blurred = render.to_image(back * 255).filter(ImageFilter.GaussianBlur(2))
    page = page - np.float32(12 / 255) * np.asarray(blurred, np.float32)
    return _write(mask, page, rng)


def _out_of_focus(mask: Floats, rng: Rng) -> Floats:
    page = _write(mask, render.paper(mask.shape, rng), rng)
    return render.camera(page, rng, blur=float(rng.uniform(1.5, 4)), vignette=0.4)


def _page_edge(mask: Floats, rng: Rng) -> Floats:
    """Lay the paper on a table, which shows at one to four sides."""
    height, width = mask.shape
    level = rng.uniform(30, 120) if rng.random() < 0.7 else rng.uniform(225, 255)
    table = np.full(mask.shape, level, np.float32)
    table = table + 10 * render.smooth_noise(mask.shape, rng, cells=12)
    sides = rng.random(4) < 0.5
    sides[int(rng.integers(4))] = True
    left, top, right, bottom = np.where(sides, rng.uniform(0.02, 0.12, 4), -0.5)
    tilt = rng.normal(0, 0.02, 4)
    corners = [
        (left + tilt[0], top + tilt[1]),
        (1 - right + tilt[2], top - tilt[1]),
        (1 - right - tilt[2], 1 - bottom + tilt[3]),
        (left - tilt[0], 1 - bottom - tilt[3]),
    ]
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).polygon([(x * width, y * height) for x, y in corners], fill=255)
    sheet = _write(mask, render.paper(mask.shape, rng, low=170, high=215), rng)
    page = table + render.to_mask(canvas) * (sheet - table)
    return page * render.light_falloff(mask.shape, rng, depth=0.3)


def _coloured(mask: Floats, rng: Rng) -> Floats:
    """Draw a felt pen on coloured paper that may be as bright as the pen."""
    pairs = (
        ((250, 235, 130), (200, 60, 60)),
        ((170, 210, 245), (190, 50, 120)),
        ((120, 190, 120), (170, 30, 30)),
        ((250, 190, 200), (40, 70, 160)),
        ((40, 60, 110), (240, 210, 60)),
    )
    ground, ink = np.array(pairs[int(rng.integers(len(pairs)))], np.float32)
    light = render.light_falloff(mask.shape, rng, depth=0.25)[..., np.newaxis]
    return (ground + mask[..., np.newaxis] * (ink - ground)) * light


def _tablet(mask: Floats, rng: Rng) -> Floats:
    """Draw with a finger, white on black or black on white."""
    return 255 * (mask if rng.random() < 0.5 else 1 - mask)


def _as_image(page: Floats, rng: Rng) -> Picture:
    return render.to_image(page)


def _as_jpeg(page: Floats, rng: Rng, *, quality: int) -> Picture:
    return render.encode(render.to_image(page), "JPEG", quality=quality)


def _as_poor_jpeg(page: Floats, rng: Rng) -> Picture:
    return _as_jpeg(page, rng, quality=int(rng.integers(15, 50)))


def _as_rotated_jpeg(page: Floats, rng: Rng) -> Picture:
    """Encode a picture that lies on its side, which its EXIF orientation says."""
    orientation, transpose = (
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    )[int(rng.integers(3))]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return render.encode(render.to_image(page).transpose(transpose), "JPEG", quality=85, exif=exif)


def _as_rgb_or_cmyk_jpeg(page: Floats, rng: Rng) -> Picture:
    mode = "CMYK" if rng.random() < 0.4 else "RGB"
    return render.encode(render.to_image(page).convert(mode), "JPEG", quality=90)


def _as_png(page: Floats, rng: Rng) -> Picture:
    return render.encode(render.to_image(page), "PNG", compress_level=1)


def _as_16_bit_png(page: Floats, rng: Rng) -> Picture:
    """Encode a scan that uses a part of the 16-bit range."""
    black, step = float(rng.uniform(0, 8000)), float(rng.uniform(30, 220))
    deep = np.clip(np.rint(black + page * step), 0, 65535).astype(np.uint16)
    return render.encode(Image.fromarray(deep), "PNG", compress_level=1)


def _as_bilevel_or_palette(page: Floats, rng: Rng) -> Picture:
    image, mode = render.to_image(page), int(rng.integers(3))
    if mode == 0:
        return image.point(lambda value: 255 * (value > 130)).convert("1")
    return image.quantize(12) if mode == 1 else image


@dataclass(frozen=True)
class Condition:
    """The making of a picture: a digit's mask, on a page, through a camera, into a file.

    Attributes:
        height: of the digit, as a fraction of the picture's shorter side.
        width: of the stroke, as a fraction of the digit's height; at least 1.4 pixels.
        offset: of the digit from the picture's centre, as a fraction of its size, at most.
        gap: the fraction of the path where the pen fails.
        shape: of the picture (h, w) in pixels; random by default.
        change: changes the mask.
        page: the empty page on which a grey pen writes.
        compose: draws page and digit instead of `page` and a grey pen.
        noise, blur: of the camera, as `page_rendering.camera` takes them.
        encode: turns the page into an image or a file.
    """

    height: Range = (0.3, 0.65)
    width: Range = (0.05, 0.11)
    offset: float = 0.12
    gap: float = 0.0
    shape: Shape | None = None
    change: Callable[[Floats, Rng], Floats] | None = None
    page: Callable[[Shape, Rng], Floats] = render.paper
    compose: Callable[[Floats, Rng], Floats] | None = None
    noise: float = 3
    blur: float = 0
    encode: Callable[[Floats, Rng], Picture] = _as_image

    def draw(self, digit: int, rng: Rng) -> Picture:
        """Draw a picture of a digit of 0 to 9."""
        mask = self._mask(digit, rng)
        if self.change:
            mask = self.change(mask, rng)
        if self.compose:
            page = self.compose(mask, rng)
        else:
            page = _write(mask, self.page(mask.shape, rng), rng)
        return self.encode(render.camera(page, rng, noise=self.noise, blur=self.blur), rng)

    def _mask(self, digit: int, rng: Rng) -> Floats:
        shape = self.shape or _random_shape(rng)
        height = float(rng.uniform(*self.height)) * min(shape)
        width = max(height * float(rng.uniform(*self.width)), 1.4)
        row, column = (0.5 + rng.uniform(-self.offset, self.offset, 2)).tolist()
        return render.stroke_mask(
            shape, digit, rng, height=height, width=width, centre=(row, column), gap=self.gap
        )


_jpeg_80, _jpeg_85 = partial(_as_jpeg, quality=80), partial(_as_jpeg, quality=85)
CONDITIONS: dict[str, Condition] = {
    "plain": Condition(),
    "shadow": Condition(page=_shadowed_page, noise=4, blur=0.8, encode=_jpeg_80),
    "ruled": Condition(page=_ruled_page),
    "squared": Condition(compose=_squared, blur=0.6),
    "pencil": Condition(width=(0.025, 0.06), compose=_pencil, blur=0.6),
    "hairline": Condition(height=(0.5, 0.8), width=(0.004, 0.02), noise=2),
    "marker": Condition(height=(0.6, 0.85), width=(0.13, 0.2)),
    "chalk": Condition(width=(0.06, 0.12), compose=_chalk, noise=4, blur=0.8),
    "whiteboard": Condition(width=(0.06, 0.12), compose=_whiteboard, blur=0.7, encode=_jpeg_85),
    "specks": Condition(change=_add_specks),
    "salt and pepper": Condition(compose=_salt_and_pepper, noise=0),
    "tiny": Condition((0.05, 0.1), (0.06, 0.11), 0.42, shape=(900, 1200), page=_dim_page, noise=4),
    "border": Condition(change=_crop_to_border),
    "EXIF": Condition(encode=_as_rotated_jpeg),
    "transparent": Condition(height=(0.5, 0.85), compose=_transparent, noise=0, encode=_as_png),
    "16-bit": Condition(noise=2, encode=_as_16_bit_png),
    "scan": Condition(compose=_scan, noise=0, encode=_as_bilevel_or_palette),
    "blurred JPEG": Condition(compose=_out_of_focus, noise=5, encode=_as_poor_jpeg),
    "page edge": Condition(height=(0.3, 0.5), compose=_page_edge, blur=0.7, encode=_jpeg_80),
    "colour, CMYK": Condition(compose=_coloured, encode=_as_rgb_or_cmyk_jpeg),
    "tablet": Condition(height=(0.5, 0.9), width=(0.05, 0.18), compose=_tablet, noise=0),
    "gaps": Condition(gap=0.06),
}
