"""Pictures of digits as people take them, drawn here: strokes, paper, a camera's faults.

1.  A digit is one of synthetic.py's pen paths, jittered, bent and slanted, inked at the size of
    the picture, never as 28×28.
2.  A condition gives it a pen, a ground and what a camera, a scanner or a program does to it.

What a picture looks like depends on `seed`, its number and its condition only. The ranges here
were set by thinking of paper, and some made milder where a person could not read the digit.
`preprocess` was tuned on seed 1; figures are of seed 0.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edge_mnist.datasets import synthetic

Floats: TypeAlias = NDArray[np.float32]
Rng: TypeAlias = np.random.Generator

COUNT = 1100
NAME = "paper-test"
# Ink is drawn this many times as large, and reduced: smooth edges.
_OVERSAMPLING = 2


class Drawn(NamedTuple):
    """A picture, encoded or as a PIL image, with the digits on it from left to right."""

    condition: str
    text: str
    picture: bytes | Image.Image


def pictures(count: int = COUNT, *, seed: int = 0) -> Iterator[Drawn]:
    """Yield pictures of one digit each: the conditions in turn, every digit in each of them."""
    names = list(CONDITIONS)
    for number in range(count):
        condition = names[number % len(names)]
        digit = number // len(names) % 10
        rng = np.random.default_rng([seed, number])
        yield Drawn(condition, str(digit), CONDITIONS[condition](digit, rng))


def strings(count: int, *, seed: int = 0, length: int | None = None) -> Iterator[Drawn]:
    """Yield pictures of several digits in a row, such as a postcode; 2 to 8, or `length`."""
    grounds = (_plain_page, _ruled_page, _shadowed_page)
    for number in range(count):
        rng = np.random.default_rng([seed, number, 1])
        digits = rng.integers(0, 10, length or int(rng.integers(2, 9)))
        ink = _row(digits, rng)
        ground = grounds[number % len(grounds)]
        text = "".join(map(str, digits))
        page = ground(ink.shape, rng)
        picture = _image(_camera(_lay(ink, page, _pen_grey(rng)), rng, noise=3))
        yield Drawn(ground.__name__.strip("_").removesuffix("_page"), text, picture)


# --- ink -------------------------------------------------------------------------------------


def _paths(digit: int, rng: Rng) -> list[Floats]:
    """One way to write a digit: strokes (m, 2) of x, y, the digit's height being 1."""
    pens = synthetic._pens()
    way = pens.first[digit] + int(rng.integers(pens.ways[digit]))
    latents = [rng.standard_normal((1, synthetic._LATENTS[k])) for k in ("jitter", "bend", "place")]
    jitter, bend, place = (part.astype(np.float32) for part in latents)
    path = synthetic._path(
        pens.knots[way][np.newaxis],
        pens.weights[way][np.newaxis],
        0.5 * jitter,
        0.7 * bend,
        0.7 * place,
    )[0]
    low, high = path.min(axis=0), path.max(axis=0)
    path = (path - (low + high) / 2) / max(float((high - low)[1]), 0.6 * float((high - low)[0]))
    lifts = np.flatnonzero(pens.down[way] == 0) + 1
    return [stroke.astype(np.float32) for stroke in np.split(path, lifts) if len(stroke) > 1]


def _ink(
    shape: tuple[int, int],
    digit: int,
    rng: Rng,
    *,
    height: float,
    width: float,
    at: tuple[float, float] = (0.5, 0.5),
    gaps: float = 0.0,
) -> Floats:
    """Ink (h, w) in [0, 1] of a digit `height` pixels tall, `width` wide strokes, about `at`.

    `gaps` is the share of the path where the pen leaves nothing.
    """
    size = _OVERSAMPLING
    canvas = Image.new("L", (shape[1] * size, shape[0] * size))
    draw = ImageDraw.Draw(canvas)
    centre = np.array([at[1] * shape[1], at[0] * shape[0]], np.float32)
    for stroke in _paths(digit, rng):
        points = (stroke * (height - width) + centre) * size
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        along = np.concatenate([[0], np.cumsum(steps)])
        places = np.arange(0, along[-1] + 1, max(width * size / 5, 1))
        xs, ys = (np.interp(places, along, points[:, axis]) for axis in (0, 1))
        press = np.interp(places, np.linspace(0, along[-1], 6), rng.normal(1, 0.12, 6))
        radii = np.clip(press, 0.6, 1.5) * width * size / 2
        skipped = _skipped(places, gaps, rng, width * size)
        for x, y, radius, skip in zip(xs, ys, radii, skipped, strict=True):
            if not skip:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    reduced = canvas.reduce(size)
    return np.asarray(reduced, np.float32) / np.float32(255)


def _skipped(places: NDArray[np.float64], gaps: float, rng: Rng, width: float) -> NDArray[np.bool_]:
    skipped = np.zeros(len(places), bool)
    if gaps and rng.random() < 0.8:
        start = rng.uniform(0.15, 0.85) * places[-1]
        skipped = np.abs(places - start) < max(gaps * places[-1] / 2, 0.9 * width)
    return skipped


def _row(digits: NDArray[np.integer], rng: Rng) -> Floats:
    """Digits side by side, apart by a fifth of their height and more: ink (h, w)."""
    height = float(rng.uniform(60, 110))
    width = height * float(rng.uniform(0.06, 0.11))
    cells = []
    for digit in digits:
        cell = _ink(
            (int(1.6 * height), int(1.8 * height)),
            int(digit),
            rng,
            height=height * float(rng.uniform(0.9, 1.1)),
            width=width,
            at=(0.5 + float(rng.normal(0, 0.02)), 0.5),
        )
        columns = np.flatnonzero(cell.any(axis=0))
        gap = np.zeros((len(cell), int(height * rng.uniform(0.2, 0.5))), np.float32)
        cells += [cell[:, columns[0] : columns[-1] + 1], gap]
    row = np.hstack(cells[:-1])
    margin = int(height * rng.uniform(0.5, 1.5))
    return np.pad(row, margin)


# --- paper, light, lens ----------------------------------------------------------------------


def _smooth(shape: tuple[int, int], rng: Rng, *, cells: int) -> Floats:
    """Smooth random values (h, w), about normal: stains, waves, grain of paper."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def _paper(shape: tuple[int, int], rng: Rng, *, low: float = 170, high: float = 245) -> Floats:
    page = np.full(shape, rng.uniform(low, high), np.float32)
    return page + np.float32(1.5) * _smooth(shape, rng, cells=40)


def _plain_page(shape: tuple[int, int], rng: Rng) -> Floats:
    return _paper(shape, rng)


def _gradient(shape: tuple[int, int], rng: Rng, *, depth: float) -> Floats:
    """Light (h, w) in [1 - depth, 1] that falls off in some direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    ramp = np.clip((x * np.cos(angle) + y * np.sin(angle)) / 2.6 + 0.5, 0, 1)
    light: Floats = (1 - depth * ramp).astype(np.float32)
    return light


def _shadow(shape: tuple[int, int], rng: Rng) -> Floats:
    """Light (h, w) under the shadow of a hand or a phone, its edge sharp or soft."""
    height, width = shape
    canvas = Image.new("L", (width, height), 255)
    x, y = rng.uniform(-0.2, 0.8) * width, rng.uniform(-0.2, 0.8) * height
    reach = rng.uniform(0.5, 1.2) * max(shape)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radii = reach * rng.uniform(0.5, 1, 7)
    corners = zip(x + radii * np.cos(angles), y + radii * np.sin(angles), strict=True)
    dark = int(255 * rng.uniform(0.45, 0.8))
    ImageDraw.Draw(canvas).polygon([(float(a), float(b)) for a, b in corners], fill=dark)
    canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.01, 0.05)) * max(shape)))
    return np.asarray(canvas, np.float32) / np.float32(255)


def _shadowed_page(shape: tuple[int, int], rng: Rng) -> Floats:
    light = _gradient(shape, rng, depth=float(rng.uniform(0.2, 0.55)))
    if rng.random() < 0.7:
        light = light * _shadow(shape, rng)
    return _paper(shape, rng) * light


def _rules(shape: tuple[int, int], rng: Rng, *, squared: bool) -> Floats:
    """How much of a printed rule lies on each pixel: (h, w) in [0, 1]."""
    angle = np.deg2rad(rng.normal(0, 1.5))
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    pitch = rng.uniform(0.09, 0.3 if not squared else 0.18) * max(shape)
    thick = rng.uniform(0.8, 2.6)
    offsets = [(y * np.cos(angle) + x * np.sin(angle), rng.uniform(0, pitch))]
    if squared:
        offsets.append((x * np.cos(angle) - y * np.sin(angle), rng.uniform(0, pitch)))
    lines = np.zeros(shape, np.float32)
    for along, start in offsets:
        off = np.abs((along + start) % pitch - pitch / 2)
        lines = np.maximum(lines, np.clip(thick / 2 - off + 0.5, 0, 1))
    return lines


def _ruled_page(shape: tuple[int, int], rng: Rng) -> Floats:
    page = _paper(shape, rng, low=195)
    return page * (1 - np.float32(rng.uniform(0.1, 0.35)) * _rules(shape, rng, squared=False))


def _lay(ink: Floats, page: Floats, level: float) -> Floats:
    """Ink of a grey of its own on a page: darker where the page is darker, as in shadow."""
    light = page / max(float(page.max()), 1)
    return page + ink * (level * light - page)


def _pen_grey(rng: Rng) -> float:
    return float(rng.uniform(15, 90))


def _camera(
    page: Floats, rng: Rng, *, noise: float = 0.0, blur: float = 0.0, vignette: float = 0.0
) -> Floats:
    """What lens and sensor make of (h, w) or (h, w, 3) in [0, 255]."""
    if vignette:
        y, x = np.mgrid[-1 : 1 : page.shape[0] * 1j, -1 : 1 : page.shape[1] * 1j]
        light = (1 - vignette * (x * x + y * y) / 2).astype(np.float32)
        page = page * (light if page.ndim == 2 else light[..., np.newaxis])
    if blur:
        page = np.asarray(_image(page).filter(ImageFilter.GaussianBlur(blur)), np.float32)
    if noise:
        page = page + noise * rng.standard_normal(page.shape, np.float32)
    return page


def _image(page: Floats) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8))


def _encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _frame(rng: Rng) -> tuple[int, int]:
    """A picture's size: upright, across or square."""
    long, short = int(rng.integers(300, 480)), int(rng.integers(220, 300))
    return ((long, short), (short, long), (short, short))[int(rng.integers(3))]


def _anywhere(rng: Rng, spread: float = 0.12) -> tuple[float, float]:
    return 0.5 + float(rng.uniform(-spread, spread)), 0.5 + float(rng.uniform(-spread, spread))


def _written(
    digit: int,
    rng: Rng,
    *,
    height: tuple[float, float] = (0.3, 0.65),
    width: tuple[float, float] = (0.05, 0.11),
    gaps: float = 0.0,
) -> Floats:
    """A digit somewhere about the middle; height in shares of the picture, width of the digit."""
    shape = _frame(rng)
    tall = float(rng.uniform(*height)) * min(shape)
    pen = max(tall * float(rng.uniform(*width)), 1.4)
    return _ink(shape, digit, rng, height=tall, width=pen, at=_anywhere(rng), gaps=gaps)


# --- conditions ------------------------------------------------------------------------------


def _plain(digit: int, rng: Rng) -> Image.Image:
    ink = _written(digit, rng)
    return _image(_camera(_lay(ink, _paper(ink.shape, rng), _pen_grey(rng)), rng, noise=3))


def _shadowed(digit: int, rng: Rng) -> bytes:
    ink = _written(digit, rng)
    page = _lay(ink, _shadowed_page(ink.shape, rng), _pen_grey(rng))
    return _encoded(_image(_camera(page, rng, noise=4, blur=0.8)), "JPEG", quality=80)


def _ruled(digit: int, rng: Rng) -> Image.Image:
    ink = _written(digit, rng)
    return _image(_camera(_lay(ink, _ruled_page(ink.shape, rng), _pen_grey(rng)), rng, noise=3))


def _squared(digit: int, rng: Rng) -> Image.Image:
    """Blue or black pen on paper with blue or grey squares, in colour."""
    ink = _written(digit, rng)
    lines = _rules(ink.shape, rng, squared=True)[..., np.newaxis]
    page = np.repeat(_paper(ink.shape, rng, low=200)[..., np.newaxis], 3, axis=2)
    rule = np.array(((150, 175, 215), (165, 165, 165))[int(rng.integers(2))], np.float32)
    pen = np.array(((25, 40, 120), (35, 35, 40))[int(rng.integers(2))], np.float32)
    page = page + float(rng.uniform(0.6, 1)) * lines * (rule - page)
    page = page + ink[..., np.newaxis] * (pen - page)
    return _image(_camera(page, rng, noise=3, blur=0.6))


def _pencil(digit: int, rng: Rng) -> Image.Image:
    """Faint and thin, with the grain of the paper showing through."""
    ink = _written(digit, rng, width=(0.025, 0.06))
    grain = rng.uniform(0.45, 1, ink.shape).astype(np.float32)
    page = _paper(ink.shape, rng, low=195) * _gradient(ink.shape, rng, depth=0.2)
    faint = page - ink * grain * np.float32(rng.uniform(45, 100))
    return _image(_camera(faint, rng, noise=3, blur=0.6))


def _hairline(digit: int, rng: Rng) -> Image.Image:
    ink = _written(digit, rng, height=(0.5, 0.8), width=(0.004, 0.02))
    return _image(_camera(_lay(ink, _paper(ink.shape, rng), _pen_grey(rng)), rng, noise=2))


def _marker(digit: int, rng: Rng) -> Image.Image:
    ink = _written(digit, rng, height=(0.6, 0.85), width=(0.13, 0.2))
    return _image(_camera(_lay(ink, _paper(ink.shape, rng), _pen_grey(rng)), rng, noise=3))


def _chalk(digit: int, rng: Rng) -> Image.Image:
    ink = _written(digit, rng, width=(0.06, 0.12))
    board = _paper(ink.shape, rng, low=35, high=75) + 9 * _smooth(ink.shape, rng, cells=6)
    rubbed = ink * rng.uniform(0.25, 1, ink.shape).astype(np.float32)
    return _image(_camera(board + rubbed * (225 - board), rng, noise=4, blur=0.8))


def _whiteboard(digit: int, rng: Rng) -> bytes:
    """A coloured marker; a lamp's glare."""
    ink = _written(digit, rng, width=(0.06, 0.12))[..., np.newaxis]
    colours = ((30, 60, 160), (180, 40, 40), (25, 110, 60), (40, 40, 45))
    pen = np.array(colours[int(rng.integers(4))], np.float32)
    light = _gradient(ink.shape[:2], rng, depth=0.35)[..., np.newaxis]
    page = (np.float32(215) + ink * (pen - 215)) * light
    y, x = np.mgrid[0 : 1 : page.shape[0] * 1j, 0 : 1 : page.shape[1] * 1j]
    off = np.hypot(y - rng.uniform(0, 1), (x - rng.uniform(0, 1)) * 1.3) / rng.uniform(0.06, 0.2)
    glare = np.exp(-(off**2)).astype(np.float32)[..., np.newaxis]
    page = page + glare * 0.75 * (255 - page)
    return _encoded(_image(_camera(page, rng, noise=3, blur=0.7)), "JPEG", quality=85)


def _specks(digit: int, rng: Rng) -> Image.Image:
    """Dirt, crumbs and stray dots."""
    ink = _written(digit, rng)
    canvas = Image.fromarray(np.rint(ink * 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(15, 120))):
        x, y = rng.uniform(0, ink.shape[1]), rng.uniform(0, ink.shape[0])
        radius = rng.uniform(0.4, 2.5)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    dirty = np.asarray(canvas, np.float32) / np.float32(255)
    return _image(_camera(_lay(dirty, _paper(ink.shape, rng), _pen_grey(rng)), rng, noise=3))


def _salted(digit: int, rng: Rng) -> Image.Image:
    """Single pixels gone black or white."""
    ink = _written(digit, rng)
    page = _lay(ink, _paper(ink.shape, rng), _pen_grey(rng))
    hit = rng.random(page.shape)
    return _image(np.where(hit < 0.01, 0, np.where(hit > 0.99, 255, page)).astype(np.float32))


def _tiny(digit: int, rng: Rng) -> Image.Image:
    """A large photograph, the digit a fifteenth of it, in any corner."""
    shape = (900, 1200)
    tall = float(rng.uniform(45, 90))
    width = tall * float(rng.uniform(0.06, 0.11))
    at = _anywhere(rng, 0.42)
    ink = _ink(shape, digit, rng, height=tall, width=width, at=at)
    page = _paper(shape, rng) * _gradient(shape, rng, depth=0.3)
    return _image(_camera(_lay(ink, page, _pen_grey(rng)), rng, noise=4))


def _border(digit: int, rng: Rng) -> Image.Image:
    """Cut out so closely that the ink touches one edge, or all four."""
    ink = _written(digit, rng)
    rows, columns = (np.flatnonzero(ink.max(axis=axis) > 0.5) for axis in (1, 0))
    low, high = np.array([rows[0], columns[0]]), np.array([rows[-1], columns[-1]]) + 1
    room = (rng.uniform(0, 0.5, (2, 2)) * (high - low).max()).astype(int)
    if rng.random() < 0.3:
        room[:] = 0
    room[int(rng.integers(2)), int(rng.integers(2))] = 0
    (top, left), (bottom, right) = np.maximum(low - room[0], 0), high + room[1]
    ink = ink[top:bottom, left:right]
    return _image(_camera(_lay(ink, _paper(ink.shape, rng), _pen_grey(rng)), rng, noise=3))


def _turned(digit: int, rng: Rng) -> bytes:
    """The camera lay on its side; its EXIF data says so."""
    image = _plain(digit, rng)
    orientation, back = (
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    )[int(rng.integers(3))]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _encoded(image.transpose(back), "JPEG", quality=85, exif=exif)


def _transparent(digit: int, rng: Rng) -> bytes:
    """A drawing program's layer: ink of some colour on nothing."""
    ink = _written(digit, rng, height=(0.5, 0.85))
    pixels = np.zeros((*ink.shape, 4), np.uint8)
    if rng.random() < 0.5:
        pixels[..., :3] = rng.integers(0, 256, 3)
    else:
        pixels[ink > 0, :3] = rng.integers(0, 256, 3)
    pixels[..., 3] = np.rint(ink * 255)
    return _encoded(Image.fromarray(pixels), "PNG", compress_level=1)


def _deep(digit: int, rng: Rng) -> bytes:
    """A 16-bit scan that uses a part of its range."""
    ink = _written(digit, rng)
    page = _camera(_lay(ink, _paper(ink.shape, rng), _pen_grey(rng)), rng, noise=2)
    bottom, step = float(rng.uniform(0, 8000)), float(rng.uniform(30, 220))
    deep = np.clip(np.rint(bottom + page * step), 0, 65535).astype(np.uint16)
    return _encoded(Image.fromarray(deep), "PNG", compress_level=1)


def _scan(digit: int, rng: Rng) -> Image.Image:
    """Grey grain, the other side showing through, one bit or a palette."""
    ink = _written(digit, rng)
    page = _paper(ink.shape, rng, low=190) + 5 * rng.standard_normal(ink.shape, np.float32)
    behind = _ink(ink.shape, int(rng.integers(10)), rng, height=ink.shape[0] * 0.5, width=5)
    behind = np.asarray(_image(behind * 255).filter(ImageFilter.GaussianBlur(2)), np.float32)
    image = _image(_lay(ink, page - np.float32(12 / 255) * behind, _pen_grey(rng)))
    way = int(rng.integers(3))
    if way == 0:
        return image.point(lambda value: 255 * (value > 130)).convert("1")
    return image.quantize(12) if way == 1 else image


def _blurred(digit: int, rng: Rng) -> bytes:
    """Out of focus, and a JPEG of low quality."""
    ink = _written(digit, rng)
    page = _lay(ink, _paper(ink.shape, rng), _pen_grey(rng))
    page = _camera(page, rng, noise=5, blur=float(rng.uniform(1.5, 4)), vignette=0.4)
    return _encoded(_image(page), "JPEG", quality=int(rng.integers(15, 50)))


def _page_edge(digit: int, rng: Rng) -> bytes:
    """The paper lies on a table, which shows at one side or all around."""
    ink = _written(digit, rng, height=(0.3, 0.5))
    height, width = ink.shape
    dark = rng.random() < 0.7
    table = np.full(ink.shape, rng.uniform(30, 120) if dark else rng.uniform(225, 255), np.float32)
    table = table + 10 * _smooth(ink.shape, rng, cells=12)
    canvas = Image.new("L", (width, height))
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
    ImageDraw.Draw(canvas).polygon([(x * width, y * height) for x, y in corners], fill=255)
    cover = np.asarray(canvas, np.float32) / np.float32(255)
    paper = _paper(ink.shape, rng, low=170, high=215)
    page = table + cover * (_lay(ink, paper, _pen_grey(rng)) - table)
    page = page * _gradient(ink.shape, rng, depth=0.3)
    return _encoded(_image(_camera(page, rng, noise=3, blur=0.7)), "JPEG", quality=80)


def _coloured(digit: int, rng: Rng) -> bytes:
    """A felt pen on coloured paper, which may be as bright; or print, as CMYK."""
    ink = _written(digit, rng)[..., np.newaxis]
    pairs = (
        ((250, 235, 130), (200, 60, 60)),
        ((170, 210, 245), (190, 50, 120)),
        ((120, 190, 120), (170, 30, 30)),
        ((250, 190, 200), (40, 70, 160)),
        ((40, 60, 110), (240, 210, 60)),
    )
    paper, pen = (np.array(one, np.float32) for one in pairs[int(rng.integers(len(pairs)))])
    page = (paper + ink * (pen - paper)) * _gradient(ink.shape[:2], rng, depth=0.25)[..., None]
    image = _image(_camera(page, rng, noise=3))
    mode = "CMYK" if rng.random() < 0.4 else "RGB"
    return _encoded(image.convert(mode), "JPEG", quality=90)


def _tablet(digit: int, rng: Rng) -> Image.Image:
    """Drawn with a finger: a thick even line, black on white or white on black."""
    ink = _written(digit, rng, height=(0.5, 0.9), width=(0.05, 0.18))
    page = 255 * (ink if rng.random() < 0.5 else 1 - ink)
    return _image(page)


def _gapped(digit: int, rng: Rng) -> Image.Image:
    """The pen failed for a moment."""
    ink = _written(digit, rng, gaps=0.06)
    return _image(_camera(_lay(ink, _paper(ink.shape, rng), _pen_grey(rng)), rng, noise=3))


CONDITIONS: dict[str, Callable[[int, Rng], bytes | Image.Image]] = {
    "plain": _plain,
    "shadow": _shadowed,
    "ruled": _ruled,
    "squared": _squared,
    "pencil": _pencil,
    "hairline": _hairline,
    "marker": _marker,
    "chalk": _chalk,
    "whiteboard": _whiteboard,
    "specks": _specks,
    "salt and pepper": _salted,
    "tiny": _tiny,
    "border": _border,
    "EXIF": _turned,
    "transparent": _transparent,
    "16-bit": _deep,
    "scan": _scan,
    "blurred JPEG": _blurred,
    "page edge": _page_edge,
    "colour, CMYK": _coloured,
    "tablet": _tablet,
    "gaps": _gapped,
}
