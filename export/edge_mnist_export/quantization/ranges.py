"""The range of every activation, from what it was on calibration images.

- min-max: the least and the greatest value.
- percentile: all but 0.01 % of the values, half of that cut off at either end.
- entropy: the threshold of |x| at which the quantized distribution tells the most of the float
  one, by Kullback-Leibler divergence (S. Migacz, "8-bit Inference with TensorRT", GTC 2017).

A narrower range has finer steps for the many values inside, and cuts off the few outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METHODS = ("min-max", "percentile", "entropy")
_CUT = 1e-4
# Even, so that zero lies between two bins; a hundred bins a quantized step are plenty.
_BINS = 4096

Range = tuple[float, float]
Run = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Statistics:
    """The values of one tensor on some images.

    `counts` (4096,) is their histogram over [-peak, peak], peak being the greatest absolute value
    on all images; `low` and `high` are the least and the greatest value on these.
    """

    low: float
    high: float
    peak: float
    counts: NDArray[np.int64]

    def range(self, method: str) -> Range:
        """Return the range that a method of `METHODS` gives."""
        if method == "min-max" or self.peak == 0:
            return self.low, self.high
        low, high = self._percentile() if method == "percentile" else self._entropy()
        return max(low, self.low), min(high, self.high)

    def _percentile(self) -> Range:
        shares = np.cumsum(self.counts) / self.counts.sum()
        edges = np.linspace(-self.peak, self.peak, _BINS + 1)
        first = int(np.searchsorted(shares, _CUT / 2, side="right"))
        last = int(np.searchsorted(shares, 1 - _CUT / 2, side="left"))
        return float(edges[first]), float(edges[last + 1])

    def _entropy(self) -> Range:
        half = _BINS // 2
        absolute = (self.counts[half:] + self.counts[half - 1 :: -1]).astype(np.float64)
        # Zeros are exact whatever the range is; as the commonest value of all behind a ReLU they
        # would outweigh everything else.
        absolute[0] = absolute[1]
        levels = 256 if self.low >= 0 else 128
        ends = range(levels, half + 1, levels // 16)
        divergences = [_divergence(absolute, end, levels) for end in ends]
        threshold = self.peak * ends[int(np.argmin(divergences))] / half
        return -threshold, threshold


def _divergence(counts: NDArray[np.float64], end: int, levels: int) -> float:
    """Return KL(p || q): p cut off at bin `end`, q what `levels` steps can tell of that."""
    inside = counts[:end]
    p = inside.copy()
    p[-1] += counts[end:].sum()
    step = np.arange(end) * levels // end
    filled = inside > 0
    share = np.bincount(step, inside, levels) / np.maximum(np.bincount(step, filled, levels), 1)
    q = np.where(filled, share[step], 0)
    if not q.sum():
        return np.inf
    p, q = p / p.sum(), q / q.sum()
    # What q says cannot be, though it was, would make the divergence infinite.
    known = p > 0
    return float(np.sum(p[known] * np.log(p[known] / np.maximum(q[known], 1e-9))))


def observe(
    run: Run, images: NDArray[np.float32], counts: Sequence[int]
) -> dict[int, dict[str, Statistics]]:
    """Return, for the first `count` images of each of `counts`, the statistics of every tensor.

    `run` returns all tensors by name for one image (1, h, w, c).
    """
    lows: dict[str, list[float]] = {}
    highs: dict[str, list[float]] = {}
    for image in images:
        for name, values in run(image[np.newaxis]).items():
            lows.setdefault(name, []).append(float(values.min()))
            highs.setdefault(name, []).append(float(values.max()))
    peaks = {name: max(-min(lows[name]), max(highs[name])) for name in lows}
    totals = {name: np.zeros(_BINS, np.int64) for name in lows}
    found = {}
    # Bins of equal width for all images: a second pass, for nothing is kept of the first.
    for number, image in enumerate(images, start=1):
        for name, values in run(image[np.newaxis]).items():
            span = (-peaks[name], peaks[name])
            totals[name] += np.histogram(values, _BINS, span)[0] if peaks[name] else 0
        if number in counts:
            found[number] = {
                name: Statistics(
                    min(lows[name][:number]),
                    max(highs[name][:number]),
                    peaks[name],
                    totals[name].copy(),
                )
                for name in totals
            }
    return found
