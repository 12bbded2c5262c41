"""Real MNIST digits composed into pictures: touching pairs, single digits, pages and forms.

They measure what reads several digits in a picture. `vision` was tuned on MNIST's validation images
(`validation.hold_out`); published figures are of its test images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from edge_mnist.datasets import Split

from . import page_rendering as render
from .page_rendering import Floats, Rng

# How two digits touch: `kissing` curves meet; `overlapping` ones share a stroke's width; `leaning`
# digits are slanted; the second of `shifted` ones stands higher or lower; `joined` ones have a
# stroke between them; `underlined` ones stand on one.
TOUCHING = ("kissing", "overlapping", "leaning", "shifted", "joined", "underlined")
# Single digits that are easily split: `wide` ones are stretched, `broken` ones have a gap.
SINGLES = ("plain", "wide", "broken")
FORMS = ("table", "boxes", "photograph")


class Composed(NamedTuple):
    """A picture of a kind, and its digits: lines of a page; cells of a form, "" where empty."""

    kind: str
    rows: list[list[str]]
    picture: Image.Image

    @property
    def text(self) -> str:
        """The digits of all rows."""
        return "".join("".join(row) for row in self.rows)


def touching_pairs(split: Split, count: int, *, seed: int = 0) -> Iterator[Composed]:
    """Yield pictures of two digits that touch. All kinds take turns."""
    for number in range(count):
        rng = np.random.default_rng([seed, number, 2])
        kind = TOUCHING[number % len(TOUCHING)]
        height = float(rng.uniform(60, 120))
        slant = float(rng.uniform(0.15, 0.45)) if kind == "leaning" else 0.0
        text, masks = _draw_digits(split, 2, height, rng, slant=slant)
        mask = _touch(masks, kind, height, rng)
        yield Composed(kind, [[text]], _on_paper(np.pad(mask, int(0.6 * height)), rng))


def singles(split: Split, count: int, *, seed: int = 0) -> Iterator[Composed]:
    """Yield pictures of one digit, which must stay whole. All kinds take turns."""
    for number in range(count):
        rng = np.random.default_rng([seed, number, 3])
        kind = SINGLES[number % len(SINGLES)]
        height = float(rng.uniform(60, 120))
        text, (mask,) = _draw_digits(split, 1, height, rng)
        if kind == "wide":
            size = (int(mask.shape[1] * rng.uniform(1.2, 1.5)), mask.shape[0])
            mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR))
        elif kind == "broken":
            middle, angle = rng.uniform(0.25, 0.75, 2) * mask.shape, rng.uniform(0, np.pi)
            y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
            across = (y - middle[0]) * np.sin(angle) + (x - middle[1]) * np.cos(angle)
            mask = np.where(np.abs(across) < 0.02 * height, np.float32(0), mask)
        yield Composed(kind, [[text]], _on_paper(np.pad(mask, int(0.6 * height)), rng))


def pages(split: Split, count: int, *, seed: int = 0) -> Iterator[Composed]:
    """Yield pages of three to ten ruled lines; digits stand on them, and some cross them."""
    for number in range(count):
        rng = np.random.default_rng([seed, number, 4])
        height, length = float(rng.uniform(36, 60)), int(rng.integers(4, 10))
        pitch, width = 1.7 * height, int((length + 2) * 1.1 * height)
        rows = []
        ink = np.zeros((int((rng.integers(3, 11) + 1) * pitch), width), np.float32)
        rules = np.zeros_like(ink)
        for line in np.arange(pitch, len(ink) - 0.3 * height, pitch):
            rules[int(line) : int(line) + int(rng.integers(1, 3))] = rng.uniform(0.25, 0.5)
            text, masks = _draw_digits(split, int(rng.integers(2, length + 1)), height, rng)
            left = float(rng.uniform(0.3, 1)) * height
            for mask in masks:
                bottom = int(line + rng.normal(0, 0.05) * height)
                _paste(ink, mask, bottom - mask.shape[0], int(left))
                left += mask.shape[1] + float(rng.uniform(0.15, 0.5)) * height
            rows.append([text])
        yield Composed("ruled", rows, _on_paper(ink, rng, rules, angle=float(rng.normal(0, 0.7))))


def forms(split: Split, count: int, *, seed: int = 0) -> Iterator[Composed]:
    """Yield forms with a grid of cells, turned by up to 3 degrees; some digits cross their lines.

    A `table` has lines between its cells, `boxes` have gaps; a `photograph` is either of them in
    uneven light, out of focus, with a little perspective.
    """
    for number in range(count):
        rng = np.random.default_rng([seed, number, 5])
        kind = FORMS[number % len(FORMS)]
        height = float(rng.uniform(30, 60))
        gap = 0.0 if rng.random() < 0.5 else float(rng.uniform(0.15, 0.6)) * height
        gap = {"table": 0.0, "boxes": max(gap, 0.15 * height)}.get(kind, gap)
        rows, ink, rules = _draw_form(split, height, gap, rng)
        angle = float(rng.uniform(-3, 3))
        photograph = kind == "photograph"
        yield Composed(kind, rows, _on_paper(ink, rng, rules, angle=angle, photograph=photograph))


def _draw_form(
    split: Split, height: float, gap: float, rng: Rng
) -> tuple[list[list[str]], Floats, Floats]:
    """Return the text of a form's cells, the digits and the printed lines, both (h, w)."""
    widths = rng.choice([1.0, 1.0, 2.6], int(rng.integers(3, 9))) * 1.5 * height
    cell_height, count = 1.55 * height, int(rng.integers(2, 9))
    size = int(count * (cell_height + gap)), int((widths + gap).sum())
    margin = int(1.2 * height)
    ink = np.zeros((size[0] + 2 * margin, size[1] + 2 * margin), np.float32)
    rules = np.zeros_like(ink)
    line, level = int(rng.integers(2, 5)), float(rng.uniform(0.5, 1))
    rows: list[list[str]] = []
    for row in range(count):
        rows.append([])
        top = margin + row * (cell_height + gap)
        left = float(margin)
        for width in widths:
            _draw_box(rules, (left, top, left + width, top + cell_height), line, level)
            longest = 3 if width > 2 * height else 1
            length = 0 if rng.random() < 0.15 else int(rng.integers(1, longest + 1))
            text, masks = _draw_digits(split, length, height, rng)
            rows[-1].append(text)
            used = sum(mask.shape[1] for mask in masks) + 0.2 * height * (length - 1)
            x = left + (width - used) / 2 + float(rng.normal(0, 0.08)) * height
            for mask in masks:
                y = top + (cell_height - mask.shape[0]) / 2 + float(rng.normal(0, 0.12)) * height
                _paste(ink, mask, int(y), int(x))
                x += mask.shape[1] + 0.2 * height
            left += width + gap
    return rows, ink, rules


def _draw_box(
    rules: Floats, box: tuple[float, float, float, float], line: int, level: float
) -> None:
    left, top, right, bottom = map(round, box)
    for y in (top, bottom):
        rules[y : y + line, left : right + line] = level
    for x in (left, right):
        rules[top : bottom + line, x : x + line] = level


def _draw_digits(
    split: Split, count: int, height: float, rng: Rng, *, slant: float = 0.0
) -> tuple[str, list[Floats]]:
    """Return the labels of random digits, and their masks, cut out closely.

    A mask has a longer side of about `height` pixels, and edges 2 pixels wide.
    """
    chosen = rng.integers(0, len(split.images), count)
    masks = []
    for index in chosen:
        image = Image.fromarray(split.images[index].reshape(28, 28))
        scale = height / 20 * float(rng.uniform(0.92, 1.08))
        side = round(28 * scale)
        large = image.resize((side, side), Image.Resampling.BICUBIC)
        if slant:
            matrix = (1, slant, -slant * side / 2, 0, 1, 0)
            large = large.transform(
                large.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
            )
        soft = render.to_mask(large.filter(ImageFilter.GaussianBlur(0.4 * scale)))
        mask = np.clip((soft - 0.4) * scale + 0.5, 0, 1)
        rows, columns = (np.flatnonzero((mask > 0.5).any(axis=axis)) for axis in (1, 0))
        masks.append(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return "".join(str(split.labels[index]) for index in chosen), masks


def _touch(masks: list[Floats], kind: str, height: float, rng: Rng) -> Floats:
    """Return two digits that touch, as one mask."""
    left, right = masks
    shift = float(rng.normal(0, 0.04))
    if kind == "shifted":
        shift = float(rng.choice([-1, 1]) * rng.uniform(0.15, 0.3))
    # Both stand on a baseline, the second one `shift` above or below it.
    side = int(1.8 * height)
    canvas = np.zeros((side, left.shape[1] + right.shape[1] + side), np.float32)
    other = np.zeros_like(canvas)
    base = int(1.45 * height)
    _paste(canvas, left, base - left.shape[0], 0)
    _paste(other, right, base - right.shape[0] + int(shift * height), 0)
    ends = np.where(canvas > 0.5, np.arange(canvas.shape[1]), -1).max(axis=1)
    starts = np.where(other > 0.5, np.arange(canvas.shape[1]), 10**6).min(axis=1)
    # Columns by which `other` moves until both meet in some row.
    contact = int(np.max(ends - starts)) + 1
    stroke = height / 8
    if kind in ("joined", "underlined"):
        contact += int(height * rng.uniform(0.1, 0.25))
    else:
        contact -= int(rng.uniform(0.5, 1.1) * stroke if kind == "overlapping" else 2)
    contact = max(contact, 0)
    pair = np.maximum(canvas, np.pad(other, ((0, 0), (contact, 0)))[:, : canvas.shape[1]])
    if kind in ("joined", "underlined"):
        pair = _link(pair, left.shape[1], contact, kind, (base, height), rng)
    rows, columns = (np.flatnonzero((pair > 0.5).any(axis=axis)) for axis in (1, 0))
    return pair[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _link(
    pair: Floats, end: int, start: int, kind: str, place: tuple[int, float], rng: Rng
) -> Floats:
    """Draw a stroke between two digits, or below both."""
    base, height = place
    image = render.to_image(np.pad(pair, ((0, 0), (20, 0))) * 255)
    width = max(int(height * rng.uniform(0.05, 0.09)), 2)
    if kind == "underlined":
        y = base + int(rng.uniform(-0.03, 0.01) * height)
        last = int(np.flatnonzero(pair.max(axis=0) > 0.5)[-1])
        ends = (20 - rng.uniform(0, 15), y), (20 + last + rng.uniform(0, 15), y + rng.normal(0, 2))
    else:
        # From the lowest or highest place at the first digit's right edge to the other one's left.
        points = []
        for near in (pair[:, max(end - 12, 0) : end], pair[:, start : start + 12]):
            rows, columns = np.nonzero(near > 0.5)
            index = int(rng.integers(len(rows)))
            points.append((int(rows[index]), int(columns[index])))
        ends = (
            (20 + max(end - 12, 0) + points[0][1], points[0][0]),
            (20 + start + points[1][1], points[1][0]),
        )
    ImageDraw.Draw(image).line(ends, fill=255, width=width)
    return render.to_mask(image)


def _paste(canvas: Floats, mask: Floats, top: int, left: int) -> None:
    """Draw a mask on a larger one, cut off at its borders."""
    x0, y0 = max(-left, 0), max(-top, 0)
    part = canvas[max(top, 0) : top + mask.shape[0], max(left, 0) : left + mask.shape[1]]
    np.maximum(part, mask[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]], out=part)


def _on_paper(
    ink: Floats,
    rng: Rng,
    rules: Floats | None = None,
    *,
    angle: float = 0.0,
    photograph: bool = False,
) -> Image.Image:
    """Write on paper with printed lines, turn it by `angle` degrees, and take a picture of it."""
    page = render.paper(ink.shape, rng, low=190)
    if rules is not None:
        page = render.write_on(page, rules, 60)
    page = render.write_on(page, ink, float(rng.uniform(15, 90)))
    if photograph:
        page = page * render.light_falloff(page.shape, rng, depth=float(rng.uniform(0.1, 0.4)))
    image = render.to_image(page)
    fill = int(np.median(page))
    image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=fill)
    if photograph:
        image = _perspective(image, rng, fill)
    blur = float(rng.uniform(0.4, 1)) if photograph else 0.0
    noise = float(rng.uniform(1, 4))
    return render.to_image(
        render.camera(np.asarray(image, np.float32), rng, noise=noise, blur=blur)
    )


def _perspective(image: Image.Image, rng: Rng, fill: int) -> Image.Image:
    """Tilt a picture: its corners move by up to 2 % of its sides."""
    width, height = image.size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    moved = corners + rng.uniform(-0.02, 0.02, (4, 2)) * (width, height)
    rows, values = [], []
    for (x, y), (u, v) in zip(corners.tolist(), moved.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    matrix = np.linalg.solve(np.array(rows), np.array(values)).tolist()
    method = Image.Transform.PERSPECTIVE
    return image.transform(image.size, method, matrix, Image.Resampling.BICUBIC, fillcolor=fill)
