"""Vary training images the way hands, pens, paper and cameras do.

`augment` is for hands and pens: every image is turned, scaled, slanted, shifted and bent (Simard et
al. 2003, elastic distortion), and some get thicker or thinner lines. `photograph` leaves on some
what a photograph leaves when it has been prepared as MNIST was: blur, hard or soft edges, pale ink,
grain, a gap where the pen failed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rng = np.random.Generator

# The farthest, chosen to stay within what MNIST's own writers do: a 6 turned by more than
# 15 degrees starts to be somebody's 0. How far an image may go is drawn for each, so that most
# stay nearer.
_ROTATION = np.deg2rad(12)
_SCALE = 0.12
_SHEAR = 0.15
_SHIFT = 2.0
# Largest standard deviation of the bend, and how far it reaches, in pixels.
_BEND, _REACH = 0.9, 5.0
# Shares of the images that get other lines, and the marks of a camera.
_THICKNESS, _CAMERA = 0.3, 0.2
# Of those with the marks of a camera: the share with grain on the background too, and the largest
# standard deviation of it.
_GRAINY, _GRAIN = 0.3, 75
# A pixel and those beside it, for thicker and thinner lines.
_CROSS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_CHUNK = 2048


def augment(images: Images, rng: Rng) -> Images:
    """Return each image (n, h, w) uint8, white on black, in a variation of its own."""
    varied = [_vary(images[i : i + _CHUNK], rng) for i in range(0, len(images), _CHUNK)]
    return np.concatenate(varied)


def _vary(images: Images, rng: Rng) -> Images:
    varied = _warp(images.astype(np.float32), rng)
    some = rng.random(len(images)) < _THICKNESS
    varied[some] = _with_other_lines(varied[some], rng)
    return np.rint(varied).astype(np.uint8)


def _warp(images: Floats, rng: Rng) -> Floats:
    """Move every pixel by an affine map and a smooth random field; bilinear, black outside."""
    count, height, width = images.shape
    matrices, shifts = _affine_maps(count, rng)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    centre = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
    grid = np.stack([rows.ravel(), columns.ravel()]) - centre[:, None]
    # For every output pixel, the place in the input that it comes from.
    places = matrices @ grid + centre[None, :, None] + shifts[:, :, None]
    places += _bends(count, height, width, rng)
    # One pixel of black around makes whatever lies outside read as background.
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    y = np.clip(places[:, 0] + 1, 0, height + 0.999)
    x = np.clip(places[:, 1] + 1, 0, width + 0.999)
    top, left = y.astype(np.int32), x.astype(np.int32)
    down, right = y - top, x - left
    flat = padded.reshape(count, -1)
    index = top * (width + 2) + left
    take = np.take_along_axis
    upper = take(flat, index, 1) * (1 - right) + take(flat, index + 1, 1) * right
    index += width + 2
    lower = take(flat, index, 1) * (1 - right) + take(flat, index + 1, 1) * right
    warped: Floats = upper * (1 - down) + lower * down
    return warped.reshape(images.shape)


def _affine_maps(count: int, rng: Rng) -> tuple[Floats, Floats]:
    """Return matrices (n, 2, 2) and shifts (n, 2) in pixels, in (row, column) order."""
    reach = rng.random(count)
    angle = reach * rng.uniform(-_ROTATION, _ROTATION, count)
    shear = reach * rng.uniform(-_SHEAR, _SHEAR, count)
    scale = 1 + reach[:, None] * rng.uniform(-_SCALE, _SCALE, (count, 2))
    rotation = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1)
    slant = np.stack([np.ones(count), np.zeros(count), shear, np.ones(count)], 1)
    matrices = rotation.reshape(-1, 2, 2) @ slant.reshape(-1, 2, 2) * scale[:, None, :]
    shifts = reach[:, None] * rng.uniform(-_SHIFT, _SHIFT, (count, 2))
    return matrices.astype(np.float32), shifts.astype(np.float32)


def _bends(count: int, height: int, width: int, rng: Rng) -> Floats:
    """Return smooth displacements (n, 2, h * w) in pixels, of each image's own strength."""
    knots = [np.arange(0, size + _REACH, _REACH) for size in (height, width)]
    along_y, along_x = (
        np.exp(-0.5 * ((np.arange(size)[:, None] - at) / _REACH) ** 2)
        for size, at in zip((height, width), knots, strict=True)
    )
    basis = np.einsum("ya,xb->abyx", along_y, along_x).reshape(-1, height * width)
    basis /= np.linalg.norm(basis, axis=0)
    strength = _BEND * rng.random((count, 1, 1), np.float32)
    waves = rng.standard_normal((count, 2, len(basis)), np.float32)
    bends: Floats = strength * (waves @ basis.astype(np.float32))
    return bends


def _with_other_lines(images: Floats, rng: Rng) -> Floats:
    """Thicker lines, by up to a pixel around, or thinner ones, by half of it."""
    crosses = _crosses(images)
    change = rng.uniform(-0.5, 1, (len(images), 1, 1)).astype(np.float32)
    thick = np.maximum.reduce(crosses) - images
    thin = images - np.minimum.reduce(crosses)
    return images + np.where(change > 0, thick, thin) * change


def _crosses(images: Floats) -> list[Floats]:
    """Return the images and, moved by a pixel, what lies on the four sides of every pixel."""
    around = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return [np.roll(around, shift, (1, 2))[:, 1:-1, 1:-1] for shift in _CROSS]


def photograph(images: Images, rng: Rng) -> Images:
    """Return the images (n, h, w) uint8, some with the marks of a camera."""
    marked = images.copy()
    some = rng.random(len(images)) < _CAMERA
    marked[some] = np.rint(_photographed(images[some].astype(np.float32), rng))
    return marked


def _photographed(images: Floats, rng: Rng) -> Floats:
    """A gap in the ink, blur, another steepness of the edges, grain, paler ink."""

    def uniform(low: float, high: float) -> Floats:
        return rng.uniform(low, high, (len(images), 1, 1)).astype(np.float32)

    images = _with_gaps(images, rng)
    images = images + uniform(0, 0.6) * (np.mean(_crosses(images)[1:], axis=0) - images)
    gain = np.exp(uniform(np.log(0.7), np.log(3)))
    level = uniform(90, 150)
    images = np.clip((images - level) * gain + level, 0, 255) * (images > 0)
    everywhere = uniform(0, _GRAIN) * (uniform(0, 1) < _GRAINY)
    deviation = np.maximum(uniform(0, 25) * (images > 0), everywhere)
    grain = rng.standard_normal(images.shape, np.float32) * deviation
    pale: Floats = np.clip(images + grain, 0, 255) * uniform(0.6, 1)
    return pale


def _with_gaps(images: Floats, rng: Rng) -> Floats:
    """Take the ink from a spot somewhere on it, in a third of the images."""
    count, height, width = images.shape
    flat = images.reshape(count, height * width)
    inked = (rng.random(flat.shape, np.float32) * (flat > 127)).argmax(axis=1)
    y, x = inked // width, inked % width
    rows, columns = np.mgrid[:height, :width]
    away = (rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2
    radius = rng.uniform(0.6, 2, (count, 1, 1)) * (rng.random((count, 1, 1)) < 1 / 3)
    kept: Floats = images * (away >= radius**2)
    return kept
