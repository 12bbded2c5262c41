"""A drawn clip of a hand-held page: digits and a seed in, the frames of a camera out.

The page drifts, turns and trembles, the light changes, and between two digits the page is changed.
It measures `edge-mnist camera`; `examples/make_clip.py` writes it as a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from . import page_rendering as render
from .page_rendering import Floats, Rng

SIZE = (640, 480)  # width and height in pixels, as most webcams send them
RATE = 25  # frames a second that the movements are made for
_SHEET = (360, 440)  # width and height of the page in pixels of a frame
_PAPER, _INK, _DESK = (238.0, 234.0, 222.0), (32.0, 38.0, 78.0), (112.0, 84.0, 62.0)
# Share of a digit's frames in which the page comes, and as many in which it goes.
_CHANGE = 0.12


def frames(
    digits: Sequence[int] = tuple(range(10)), *, seconds: float = 2.0, seed: int = 0
) -> Iterator[Image.Image]:
    """Yield the frames of a clip, RGB of `SIZE`.

    Args:
        digits: one on each page.
        seconds: for each page.
        seed: two clips of a seed are equal.
    """
    rng = np.random.default_rng(seed)
    desk = _desk(rng)
    phases = rng.uniform(0, 2 * math.pi, 9)
    count = max(round(seconds * RATE), 1)
    for place, digit in enumerate(digits):
        sheet = _sheet(digit, rng)
        for step in range(count):
            time_s = (place * count + step) / RATE
            corners = _corners(time_s, phases, rng) + _entry(step / count)
            scene = _lay(sheet, desk, corners)
            noise = 2.5 * rng.standard_normal((SIZE[1], SIZE[0], 1), np.float32)
            yield render.to_image(np.asarray(scene) * _light(time_s, phases) + noise)


def _desk(rng: Rng) -> Image.Image:
    """Return a wooden desk: its grain is noise stretched along the boards."""
    width, height = SIZE
    grain = np.asarray(
        Image.fromarray(rng.standard_normal((height // 3, 6)).astype(np.float32)).resize(
            SIZE, Image.Resampling.BICUBIC
        )
    )
    tone = 7 * grain + 8 * render.smooth_noise((height, width), rng, cells=5)
    return render.to_image(np.array(_DESK, np.float32) + tone[..., np.newaxis])


def _sheet(digit: int, rng: Rng) -> Image.Image:
    """Return a page with a digit in blue pen."""
    width, height = _SHEET
    tall = float(rng.uniform(0.42, 0.55)) * height
    mask = render.stroke_mask(
        (height, width), digit, rng, height=tall, width=tall * float(rng.uniform(0.07, 0.1))
    )
    paper = np.array(_PAPER, np.float32) + 1.5 * render.smooth_noise(
        (height, width), rng, cells=40
    ).reshape(height, width, 1)
    return render.to_image(paper + mask[..., np.newaxis] * (np.array(_INK, np.float32) - paper))


def _corners(time_s: float, phases: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """Return the page's corners (4, 2) in pixels: it drifts, turns, tilts and trembles."""
    drift = np.array([26 * _wave(0.23, time_s, phases[0]), 14 * _wave(0.31, time_s, phases[1])])
    angle = 0.12 * _wave(0.17, time_s, phases[2])
    scale = 0.92 + 0.07 * _wave(0.13, time_s, phases[3])
    tilt = 0.05 * _wave(0.19, time_s, phases[4])
    half = np.array(_SHEET) / 2 * scale
    corners = half * np.array([[-1 + tilt, -1], [1 - tilt, -1], [1 + tilt, 1], [-1 - tilt, 1]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array(SIZE) / 2 + drift + rng.normal(0, 0.6, 2)
    moved: NDArray[np.float64] = corners @ turn.T + centre
    return moved


def _entry(progress: float) -> NDArray[np.float64]:
    """Return the shift of a page that comes from the right and goes to the left, at a fraction."""
    away = 0.0
    if progress < _CHANGE:
        away = (1 - progress / _CHANGE) ** 2
    elif progress > 1 - _CHANGE:
        away = -(((progress - 1 + _CHANGE) / _CHANGE) ** 2)
    return np.array([away * 1.4 * SIZE[0], 0.0])


def _wave(hertz: float, time_s: float, phase: float) -> float:
    return math.sin(2 * math.pi * hertz * time_s + phase)


def _light(time_s: float, phases: NDArray[np.float64]) -> Floats:
    """Return the light (h, w, 1): its brightness changes, and so does the side it comes from."""
    width, height = SIZE
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, np.newaxis]
    gain = np.float32(0.86 + 0.2 * _wave(0.11, time_s, phases[5]))
    side = np.float32(0.25 * _wave(0.07, time_s, phases[6]))
    vignette = 1 - (x * x + y * y) / 8
    light = gain * (1 + side * x + y / 10) * vignette
    return light[..., np.newaxis].astype(np.float32)


def _lay(sheet: Image.Image, desk: Image.Image, corners: NDArray[np.float64]) -> Image.Image:
    """Lay the page on the desk, with its shadow."""
    # Drawn at a quarter of the size, and blurred by the enlargement too.
    small = Image.new("L", (SIZE[0] // 4, SIZE[1] // 4))
    ImageDraw.Draw(small).polygon([((x + 6) / 4, (y + 9) / 4) for x, y in corners], fill=110)
    shadow = small.filter(ImageFilter.BoxBlur(1.5)).resize(SIZE, Image.Resampling.BICUBIC)
    scene = Image.composite(Image.new("RGB", SIZE, (20, 14, 10)), desk, shadow)
    shape = Image.new("L", SIZE)
    ImageDraw.Draw(shape).polygon([(x, y) for x, y in corners], fill=255)
    turned = sheet.transform(
        SIZE, Image.Transform.PERSPECTIVE, _perspective(corners), Image.Resampling.BILINEAR
    )
    scene.paste(turned, mask=shape.filter(ImageFilter.BoxBlur(1)))
    return scene


def _perspective(corners: NDArray[np.float64]) -> list[float]:
    """Return Pillow's eight coefficients, from pixels of a frame to those of the page."""
    width, height = _SHEET
    rows, values = [], []
    targets = ((0, 0), (width, 0), (width, height), (0, height))
    for (x, y), (u, v) in zip(corners, targets, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(one) for one in np.linalg.solve(np.array(rows), np.array(values))]
