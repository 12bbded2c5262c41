"""Vary training images the way hands do: turn, size, slant, place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Half-ranges, chosen to stay within what MNIST's own writers do: a 6 turned by more than
# 15 degrees starts to be somebody's 0.
_ROTATION = np.deg2rad(12)
_SCALE = 0.12
_SHEAR = 0.15
_SHIFT = 2.0
_CHUNK = 2048


def augment(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return each image (n, h, w) uint8 under an affine map of its own, bilinear, black outside."""
    return np.concatenate(
        [_warp(images[i : i + _CHUNK], rng) for i in range(0, len(images), _CHUNK)]
    )


def _warp(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    count, height, width = images.shape
    matrices, shifts = _affine_maps(count, rng)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    centre = np.array([(height - 1) / 2, (width - 1) / 2], np.float32)
    grid = np.stack([rows.ravel(), columns.ravel()]) - centre[:, None]
    # For every output pixel, the place in the input that it comes from.
    places = matrices @ grid + centre[None, :, None] + shifts[:, :, None]
    # One pixel of black around makes whatever lies outside read as background.
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1))).astype(np.float32)
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
    warped = upper * (1 - down) + lower * down
    return np.rint(warped).astype(np.uint8).reshape(images.shape)


def _affine_maps(
    count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return matrices (n, 2, 2) and shifts (n, 2) in pixels, in (row, column) order."""
    angle = rng.uniform(-_ROTATION, _ROTATION, count)
    shear = rng.uniform(-_SHEAR, _SHEAR, count)
    scale = rng.uniform(1 - _SCALE, 1 + _SCALE, (count, 2))
    rotation = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1)
    slant = np.stack([np.ones(count), np.zeros(count), shear, np.ones(count)], 1)
    matrices = rotation.reshape(-1, 2, 2) @ slant.reshape(-1, 2, 2) * scale[:, None, :]
    shifts = rng.uniform(-_SHIFT, _SHIFT, (count, 2))
    return matrices.astype(np.float32), shifts.astype(np.float32)
