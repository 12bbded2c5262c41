"""The values of every activation on calibration images in, its quantization range out.

- min-max: the smallest and the largest value.
- percentile: 99.99 % of the values, with 0.005 % cut off at either end.
- entropy: the threshold on |x| whose quantized distribution has the least Kullback-Leibler
  divergence from the float one (S. Migacz, "8-bit Inference with TensorRT", GTC 2017).

A narrower range gives finer steps to the many values inside, and clips the few outside.

A range is rounded to 10 significant bits, an eighth of a quantized step at the most. The float
models of the formats sum in different orders, so that their values differ in the last bits. Both
formats then have the same scales, and the same outputs to the byte.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METHODS = ("min-max", "percentile", "entropy")
# Fraction of the values that `percentile` cuts off, both ends together.
_CLIPPED_FRACTION = 1e-4
# Histogram bins: an even number, so that zero lies between two bins. 8 to 16 bins per quantized
# step are fine enough for the entropy method.
_BINS = 4096
_SIGNIFICANT_BITS = 10
# Values that are counted at once: a call for each image takes longer than the counting.
_COUNTED_TOGETHER = 1 << 20

Range = tuple[float, float]
Run = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Statistics:
    """The values of one tensor on the first images of a calibration set.

    Attributes:
        low: the smallest value.
        high: the largest value.
        peak: the largest absolute value on all calibration images.
        counts: histogram (4096,) over [-peak, peak].
    """

    low: float
    high: float
    peak: float
    counts: NDArray[np.int64]

    def range(self, method: str) -> Range:
        """Return the range that one of `METHODS` gives, rounded; before, it is in [low, high]."""
        low, high = self.low, self.high
        if method != "min-max" and self.peak:
            clipped = self._percentile if method == "percentile" else self._entropy
            low, high = max(clipped[0], low), min(clipped[1], high)
        return _rounded(low), _rounded(high)

    @functools.cached_property
    def _percentile(self) -> Range:
        cumulative = np.cumsum(self.counts) / self.counts.sum()
        edges = np.linspace(-self.peak, self.peak, _BINS + 1)
        first = int(np.searchsorted(cumulative, _CLIPPED_FRACTION / 2, side="right"))
        last = int(np.searchsorted(cumulative, 1 - _CLIPPED_FRACTION / 2, side="left"))
        return float(edges[first]), float(edges[last + 1])

    # Kept: the search asks for each range with weights per channel, and per tensor.
    @functools.cached_property
    def _entropy(self) -> Range:
        half = _BINS // 2
        absolute = (self.counts[half:] + self.counts[half - 1 :: -1]).astype(np.float64)
        # Zero is exact in every range. Behind a ReLU it is by far the commonest value, and would
        # outweigh all others.
        absolute[0] = absolute[1]
        levels = 256 if self.low >= 0 else 128
        ends = range(levels, half + 1, levels // 16)
        divergences = [_divergence(absolute, end, levels) for end in ends]
        threshold = self.peak * ends[int(np.argmin(divergences))] / half
        return -threshold, threshold


def _rounded(value: float) -> float:
    fraction, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(fraction, _SIGNIFICANT_BITS)), exponent - _SIGNIFICANT_BITS)


def _divergence(counts: NDArray[np.float64], end: int, levels: int) -> float:
    """Return KL(p || q): p is clipped at bin `end`, q is p quantized to `levels` steps."""
    inside = counts[:end]
    p = inside.copy()
    p[-1] += counts[end:].sum()
    step = np.arange(end) * levels // end
    filled = inside > 0
    mean = np.bincount(step, inside, levels) / np.maximum(np.bincount(step, filled, levels), 1)
    q = np.where(filled, mean[step], 0)
    if not q.sum():
        return np.inf
    p, q = p / p.sum(), q / q.sum()
    positive = p > 0
    # The floor of 1e-9 keeps the divergence finite where q is zero and p is not.
    return float(np.sum(p[positive] * np.log(p[positive] / np.maximum(q[positive], 1e-9))))


def observe(
    run: Run, images: NDArray[np.float32], counts: Sequence[int]
) -> dict[int, dict[str, Statistics]]:
    """Collect statistics of every tensor on calibration images.

    Args:
        run: returns all float tensors by name for one image (1, h, w, c).
        images: calibration images (n, h, w, c), as the model takes them.
        counts: the numbers of images to collect statistics for.

    Returns:
        For each count, the statistics on the first `count` images by tensor name.
    """
    lows: dict[str, list[float]] = {}
    highs: dict[str, list[float]] = {}
    for image in images:
        for name, values in run(image[np.newaxis]).items():
            lows.setdefault(name, []).append(float(values.min()))
            highs.setdefault(name, []).append(float(values.max()))
    peaks = {name: max(-min(lows[name]), max(highs[name])) for name in lows}
    histograms = {name: np.zeros(_BINS, np.int64) for name in lows}
    waiting: dict[str, list[NDArray[np.float32]]] = {name: [] for name in lows}
    collected = {}
    # The bins need the peaks of all images. A second pass needs less memory than all activations.
    for number, image in enumerate(images, start=1):
        for name, values in run(image[np.newaxis]).items():
            waiting[name].append(values.ravel())
            if number in counts or len(waiting[name]) * values.size >= _COUNTED_TOGETHER:
                together = np.concatenate(waiting[name])
                waiting[name].clear()
                if peak := peaks[name]:
                    histograms[name] += np.histogram(together, _BINS, (-peak, peak))[0]
        if number in counts:
            collected[number] = {
                name: Statistics(
                    min(lows[name][:number]), max(highs[name][:number]), peaks[name], counted.copy()
                )
                for name, counted in histograms.items()
            }
    return collected
