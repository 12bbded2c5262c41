"""Render handwriting, paper, light and a camera's faults: random numbers in, float arrays out.

A mask is (h, w) in [0, 1], 1 where the pen wrote. A page is (h, w) or (h, w, 3) in [0, 255].
"""

from __future__ import annotations

import io
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edge_mnist.datasets import pen

Floats: TypeAlias = NDArray[np.float32]
Rng: TypeAlias = np.random.Generator
Shape: TypeAlias = tuple[int, int]

_OVERSAMPLING = 2  # masks are drawn at twice the size and reduced, which smooths their edges


def stroke_mask(
    shape: Shape,
    digit: int,
    rng: Rng,
    *,
    height: float,
    width: float,
    centre: tuple[float, float] = (0.5, 0.5),
    gap: float = 0.0,
) -> Floats:
    """Draw a digit `height` pixels tall, in strokes `width` pixels wide, as a mask of `shape`.

    Args:
        centre: of the digit, row and column as fractions of `shape`.
        gap: the fraction of the path where the pen fails, in 4 of 5 digits.
    """
    scale = _OVERSAMPLING
    canvas = Image.new("L", (shape[1] * scale, shape[0] * scale))
    middle = np.array([centre[1] * shape[1], centre[0] * shape[0]], np.float32)
    for stroke in _strokes(digit, rng):
        _draw_stroke(canvas, (stroke * (height - width) + middle) * scale, width * scale, gap, rng)
    return to_mask(canvas.reduce(scale))


def _strokes(digit: int, rng: Rng) -> list[Floats]:
    """Return the strokes (m, 2) of a random glyph as x, y about its middle, the height being 1."""
    descriptions = pen.DIGIT_GLYPHS[digit]
    glyphs = pen.parse_glyphs((descriptions[int(rng.integers(len(descriptions)))],))
    jitter, bend, placement = (
        rng.standard_normal((1, size)).astype(np.float32)
        for size in (pen.JITTER, pen.BEND, pen.PLACEMENT)
    )
    path = pen.distort(glyphs, 0.5 * jitter, 0.7 * bend, 0.7 * placement)[0]
    low, high = path.min(axis=0), path.max(axis=0)
    path = (path - (low + high) / 2) / max(float((high - low)[1]), 0.6 * float((high - low)[0]))
    lifts = np.flatnonzero(glyphs.pen_down[0] == 0) + 1
    return [stroke.astype(np.float32) for stroke in np.split(path, lifts) if len(stroke) > 1]


def _draw_stroke(canvas: Image.Image, points: Floats, width: float, gap: float, rng: Rng) -> None:
    """Draw a stroke (m, 2) in pixels as overlapping discs whose radius follows the pressure."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    places = np.arange(0, along[-1] + 1, max(width / 5, 1))
    xs, ys = (np.interp(places, along, points[:, axis]) for axis in (0, 1))
    pressure = np.interp(places, np.linspace(0, along[-1], 6), rng.normal(1, 0.12, 6))
    radii = np.clip(pressure, 0.6, 1.5) * width / 2
    discs = np.column_stack([xs, ys, radii])
    if gap and rng.random() < 0.8:
        start = rng.uniform(0.15, 0.85) * places[-1]
        discs = discs[np.abs(places - start) >= max(gap * places[-1] / 2, 0.9 * width)]
    draw_discs(canvas, discs)


def draw_discs(canvas: Image.Image, discs: NDArray[np.float64]) -> None:
    """Draw white discs (n, 3), each x, y and radius in pixels, on a grey image."""
    draw = ImageDraw.Draw(canvas)
    for x, y, radius in discs:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def to_mask(image: Image.Image) -> Floats:
    """Return a grey image as a mask (h, w) in [0, 1]."""
    return np.asarray(image, np.float32) / np.float32(255)


def smooth_noise(shape: Shape, rng: Rng, *, cells: int) -> Floats:
    """Return noise (h, w), about standard normal, with `cells` independent values a side."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def paper(shape: Shape, rng: Rng, *, low: float = 170, high: float = 245) -> Floats:
    """Return an empty page (h, w) of one random grey level in [low, high], with a fine grain."""
    page = np.full(shape, rng.uniform(low, high), np.float32)
    return page + np.float32(1.5) * smooth_noise(shape, rng, cells=40)


def light_falloff(shape: Shape, rng: Rng, *, depth: float) -> Floats:
    """Return light (h, w) that falls linearly from 1 to `1 - depth` in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = _grid(shape, -1)
    ramp = np.clip((x * np.cos(angle) + y * np.sin(angle)) / 2.6 + 0.5, 0, 1)
    light: Floats = (1 - depth * ramp).astype(np.float32)
    return light


def cast_shadow(shape: Shape, rng: Rng) -> Floats:
    """Return light (h, w) in [0, 1] under the shadow of a hand or a phone, its edge blurred."""
    height, width = shape
    x, y = rng.uniform(-0.2, 0.8) * width, rng.uniform(-0.2, 0.8) * height
    reach = rng.uniform(0.5, 1.2) * max(shape)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radii = reach * rng.uniform(0.5, 1, 7)
    corners = zip(x + radii * np.cos(angles), y + radii * np.sin(angles), strict=True)
    dark = int(255 * rng.uniform(0.45, 0.8))
    canvas = Image.new("L", (width, height), 255)
    ImageDraw.Draw(canvas).polygon([(float(a), float(b)) for a, b in corners], fill=dark)
    blur = ImageFilter.GaussianBlur(float(rng.uniform(0.01, 0.05)) * max(shape))
    return to_mask(canvas.filter(blur))


def lines(shape: Shape, rng: Rng, *, squared: bool) -> Floats:
    """Return a mask (h, w) of printed lines, or of squares, rotated by a degree or two."""
    angle = np.deg2rad(rng.normal(0, 1.5))
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    pitch = rng.uniform(0.09, 0.18 if squared else 0.3) * max(shape)
    thickness = rng.uniform(0.8, 2.6)
    families = [(y * np.cos(angle) + x * np.sin(angle), rng.uniform(0, pitch))]
    if squared:
        families.append((x * np.cos(angle) - y * np.sin(angle), rng.uniform(0, pitch)))
    mask = np.zeros(shape, np.float32)
    for across, start in families:
        distance = np.abs((across + start) % pitch - pitch / 2)
        mask = np.maximum(mask, np.clip(thickness / 2 - distance + 0.5, 0, 1))
    return mask


def glare(shape: Shape, rng: Rng) -> Floats:
    """Return a mask (h, w) of a lamp's reflection."""
    y, x = _grid(shape, 0)
    distance = np.hypot(y - rng.uniform(0, 1), (x - rng.uniform(0, 1)) * 1.3)
    spot: Floats = np.exp(-((distance / rng.uniform(0.06, 0.2)) ** 2)).astype(np.float32)
    return spot


def write_on(page: Floats, mask: Floats, level: float) -> Floats:
    """Write on a page (h, w) in the grey `level`, which a shadow on the page darkens too."""
    light = page / max(float(page.max()), 1)
    return page + mask * (level * light - page)


def camera(
    page: Floats, rng: Rng, *, noise: float = 0.0, blur: float = 0.0, vignette: float = 0.0
) -> Floats:
    """Add the faults of a lens and a sensor to a page.

    Args:
        noise: standard deviation in grey levels.
        blur: standard deviation in pixels.
        vignette: the fraction of light lost in the corners.
    """
    if vignette:
        y, x = _grid(page.shape[:2], -1)
        light = (1 - vignette * (x * x + y * y) / 2).astype(np.float32)
        page = page * (light if page.ndim == 2 else light[..., np.newaxis])
    if blur:
        page = np.asarray(to_image(page).filter(ImageFilter.GaussianBlur(blur)), np.float32)
    if noise:
        page = page + noise * rng.standard_normal(page.shape, np.float32)
    return page


def to_image(page: Floats) -> Image.Image:
    """Round a page to 8 bits a channel."""
    return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8))


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    """Return an image as a file's bytes."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _grid(shape: tuple[int, ...], start: int) -> NDArray[np.float64]:
    """Return y and x (2, h, w), each from `start` to 1."""
    return np.mgrid[start : 1 : shape[0] * 1j, start : 1 : shape[1] * 1j]
