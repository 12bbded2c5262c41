"""Training images in, variations of handwriting and of photography out.

`augment` varies handwriting: affine maps, elastic distortion (Simard et al. 2003) and stroke width.
`add_camera_artifacts` adds what preprocessing leaves of a photograph: blur, other edge contrast,
pale strokes, noise and gaps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rng = np.random.Generator

# Largest rotation in radians, change of scale, shear, and shift in pixels: the range of MNIST's
# writers. A 6 that is rotated by more than 15 degrees begins to look like a 0. The range of each
# image is drawn too, so that most images stay well within these bounds.
_ROTATION = np.deg2rad(12)
_SCALE = 0.12
_SHEAR = 0.15
_SHIFT = 2.0
# Elastic distortion: largest standard deviation and correlation length, in pixels.
_BEND, _BEND_LENGTH = 0.9, 5.0
# Fractions of the images whose stroke width changes, and that get camera artifacts.
_STROKE_WIDTH, _CAMERA = 0.3, 0.2
# Of the images with camera artifacts: the fraction with noise on the background too, and the
# largest standard deviation of that noise, in grey levels.
_BACKGROUND_NOISE, _NOISE = 0.3, 75
# Of the images with camera artifacts: the fraction with a gap in a stroke.
_GAP = 1 / 3
# A pixel and its four neighbours, as (row, column) shifts.
_CROSS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_CHUNK = 2048  # images processed at once; bounds the memory


def augment(images: Images, rng: Rng) -> Images:
    """Return images (n, h, w), white on black, each in a new variation."""
    chunks = [_augment_chunk(images[i : i + _CHUNK], rng) for i in range(0, len(images), _CHUNK)]
    return np.concatenate(chunks)


def _augment_chunk(images: Images, rng: Rng) -> Images:
    varied = _warp(images.astype(np.float32), rng)
    selected = rng.random(len(images)) < _STROKE_WIDTH
    varied[selected] = _change_stroke_width(varied[selected], rng)
    return np.rint(varied).astype(np.uint8)


def _warp(images: Floats, rng: Rng) -> Floats:
    """Resample by an affine map and elastic distortion: bilinear, black outside."""
    count, height, width = images.shape
    matrices, shifts = _affine_maps(count, rng)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    centre = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
    grid = np.stack([rows.ravel(), columns.ravel()]) - centre[:, None]
    # The input position of every output pixel.
    positions = matrices @ grid + centre[None, :, None] + shifts[:, :, None]
    positions += _displacements(count, height, width, rng)
    return _sample(images, positions)


def _sample(images: Floats, positions: Floats) -> Floats:
    """Interpolate images (n, h, w) at positions (n, 2, h * w) in (row, column) order."""
    count, height, width = images.shape
    # A border of one black pixel makes every position outside the image black.
    flat = np.pad(images, ((0, 0), (1, 1), (1, 1))).reshape(count, -1)
    y = np.clip(positions[:, 0] + 1, 0, height + 0.999)
    x = np.clip(positions[:, 1] + 1, 0, width + 0.999)
    top, left = y.astype(np.int32), x.astype(np.int32)
    down, right = y - top, x - left
    index = top * (width + 2) + left
    take = np.take_along_axis
    upper = take(flat, index, 1) * (1 - right) + take(flat, index + 1, 1) * right
    index += width + 2
    lower = take(flat, index, 1) * (1 - right) + take(flat, index + 1, 1) * right
    sampled: Floats = upper * (1 - down) + lower * down
    return sampled.reshape(images.shape)


def _affine_maps(count: int, rng: Rng) -> tuple[Floats, Floats]:
    """Return matrices (n, 2, 2) and shifts (n, 2) in pixels, in (row, column) order."""
    strength = rng.random(count)
    angle = strength * rng.uniform(-_ROTATION, _ROTATION, count)
    shear = strength * rng.uniform(-_SHEAR, _SHEAR, count)
    scale = 1 + strength[:, None] * rng.uniform(-_SCALE, _SCALE, (count, 2))
    rotation = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1)
    slant = np.stack([np.ones(count), np.zeros(count), shear, np.ones(count)], 1)
    matrices = rotation.reshape(-1, 2, 2) @ slant.reshape(-1, 2, 2) * scale[:, None, :]
    shifts = strength[:, None] * rng.uniform(-_SHIFT, _SHIFT, (count, 2))
    return matrices.astype(np.float32), shifts.astype(np.float32)


def _displacements(count: int, height: int, width: int, rng: Rng) -> Floats:
    """Return smooth random fields (n, 2, h * w) in pixels, of a different strength per image."""
    bases = []
    for size in (height, width):
        knots = np.arange(0, size + _BEND_LENGTH, _BEND_LENGTH)
        distance = (np.arange(size)[:, None] - knots) / _BEND_LENGTH
        bases.append(np.exp(-0.5 * distance**2))
    basis = np.einsum("ya,xb->abyx", *bases).reshape(-1, height * width)
    basis /= np.linalg.norm(basis, axis=0)
    strength = _BEND * rng.random((count, 1, 1), np.float32)
    coefficients = rng.standard_normal((count, 2, len(basis)), np.float32)
    fields: Floats = strength * (coefficients @ basis.astype(np.float32))
    return fields


def _change_stroke_width(images: Floats, rng: Rng) -> Floats:
    """Blend with the dilated image, up to fully, or with the eroded one, up to a half."""
    neighbours = _neighbours(images)
    change = rng.uniform(-0.5, 1, (len(images), 1, 1)).astype(np.float32)
    growth = np.maximum.reduce(neighbours) - images
    loss = images - np.minimum.reduce(neighbours)
    return images + np.where(change > 0, growth, loss) * change


def _neighbours(images: Floats) -> list[Floats]:
    """Return the images, and the images shifted by one pixel in the four directions."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return [np.roll(padded, shift, (1, 2))[:, 1:-1, 1:-1] for shift in _CROSS]


def add_camera_artifacts(images: Images, rng: Rng) -> Images:
    """Return images (n, h, w), white on black, a fifth of them with camera artifacts."""
    changed = images.copy()
    selected = rng.random(len(images)) < _CAMERA
    changed[selected] = np.rint(_photograph(images[selected].astype(np.float32), rng))
    return changed


def _photograph(images: Floats, rng: Rng) -> Floats:
    """Add gaps, blur, another edge contrast, noise and paleness."""

    def uniform(low: float, high: float) -> Floats:
        return rng.uniform(low, high, (len(images), 1, 1)).astype(np.float32)

    images = _add_gaps(images, rng)
    images = images + uniform(0, 0.6) * (np.mean(_neighbours(images)[1:], axis=0) - images)
    contrast = np.exp(uniform(np.log(0.7), np.log(3)))
    threshold = uniform(90, 150)
    images = np.clip((images - threshold) * contrast + threshold, 0, 255) * (images > 0)
    background = uniform(0, _NOISE) * (uniform(0, 1) < _BACKGROUND_NOISE)
    deviation = np.maximum(uniform(0, 25) * (images > 0), background)
    noise = rng.standard_normal(images.shape, np.float32) * deviation
    pale: Floats = np.clip(images + noise, 0, 255) * uniform(0.6, 1)
    return pale


def _add_gaps(images: Floats, rng: Rng) -> Floats:
    """Erase a disc around a random stroke pixel, in a third of the images."""
    count, height, width = images.shape
    flat = images.reshape(count, height * width)
    pixel = (rng.random(flat.shape, np.float32) * (flat > 127)).argmax(axis=1)
    y, x = pixel // width, pixel % width
    rows, columns = np.mgrid[:height, :width]
    distance_2 = (rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2
    radius = rng.uniform(0.6, 2, (count, 1, 1)) * (rng.random((count, 1, 1)) < _GAP)
    erased: Floats = images * (distance_2 >= radius**2)
    return erased
