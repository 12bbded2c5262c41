"""Grey picture in, hypotheses of its foreground out, every component scored as a digit.

Strokes can be dark or light, thin or thick, strong or faint. A hypothesis is one polarity, one
background window and one threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats, Grey, Mask
from .connected_components import Components, label_components
from .foreground import gradient_magnitude, strongest, top_hat
from .line_removal import find_ruled_lines

# Foreground differs from the background by at least this share of its brightness. Pencil has 0.15.
MIN_CONTRAST = 0.06
# Background window sizes, as fractions of the longer side: for pens, markers and close crops.
_WINDOWS = (0.05, 0.15, 0.45)
# The strokes of one polarity differ from the paper by so many times the other's to be tried alone.
_MIN_POLARITY_RATIO = 1.5
# Pixels of the smallest component; share of the picture's longer side of the smallest digit.
_MIN_AREA, _MIN_SIDE = 8, 0.02
# Strokes wider than this share of the window have partly become background.
_MAX_STROKE_IN_WINDOW = 0.4


@dataclass(frozen=True)
class Hypothesis:
    """One possible foreground: its polarity, top-hat response and scored components.

    Attributes:
        dark: strokes are darker than their background.
        response: (h, w), of the top-hat transform, in [0, 1].
        ruled_lines: (h, w), pixels left out of the components.
        scores: (n,), one for each component; higher is more like the digit that was meant.
    """

    dark: bool
    response: Floats
    ruled_lines: Mask
    components: Components
    scores: Floats


def generate_hypotheses(grey: Grey, polarities: tuple[bool, ...]) -> Iterator[Hypothesis]:
    """Yield the hypotheses of a picture (h, w); a polarity is True for dark strokes."""
    gradient = gradient_magnitude(grey)
    for dark in polarities:
        ruled_lines = np.zeros(grey.shape, bool)
        for number, fraction in enumerate(_WINDOWS):
            response, noise = top_hat(grey, _window(grey, fraction), dark=dark)
            low = max(noise, MIN_CONTRAST)
            mask = response > low
            if number == 0:
                ruled_lines = find_ruled_lines(mask, response)
            strong = response[mask & ~ruled_lines]
            if strong.size < _MIN_AREA:
                continue
            # Scores favour Otsu's threshold by 10 %, and each smaller window by 4 %.
            for threshold, trust in ((low, 0.9), (max(_otsu_threshold(strong), low), 1.0)):
                mask = (response > threshold) & ~ruled_lines
                components = label_components(mask, gradient, min_area=_MIN_AREA)
                scores = _score(components, grey.shape) * np.float32(trust * (1 - 0.04 * number))
                if number < len(_WINDOWS) - 1:
                    widest = _MAX_STROKE_IN_WINDOW * fraction * max(grey.shape)
                    scores[_stroke_widths(components) > widest] *= 0.5
                yield Hypothesis(dark, response, ruled_lines, components, scores)


def likeliest_hypothesis(grey: Grey) -> Hypothesis | None:
    """Return the one that is best for most pictures (h, w): Otsu's threshold, the middle window.

    Its polarity is that of the pixels that differ most from the paper; None if that is not clear.
    """
    window = _window(grey, _WINDOWS[1])
    paper = float(np.median(grey[::2, ::2]))
    by_polarity = {dark: top_hat(grey, window, dark=dark) for dark in (True, False)}
    # The hole of a 0 responds like a light stroke, but it is as light as the paper.
    steps = {dark: _step(grey, one.response, paper, dark=dark) for dark, one in by_polarity.items()}
    dark = steps[True] > steps[False]
    if steps[dark] < _MIN_POLARITY_RATIO * steps[not dark]:
        return None
    response, noise = by_polarity[dark]
    low = max(noise, MIN_CONTRAST)
    strong = response[response > low]
    if strong.size < _MIN_AREA:
        return None
    mask = response > max(_otsu_threshold(strong), low)
    components = label_components(mask, gradient_magnitude(grey), min_area=_MIN_AREA)
    if not len(components):
        return None
    scores = _score(components, grey.shape)
    return Hypothesis(dark, response, np.zeros(grey.shape, bool), components, scores)


def strongest_response(grey: Grey, *, dark: bool) -> float:
    """Return the strongest response of strokes in a picture (h, w), in [0, 1]."""
    return float(top_hat(grey, _window(grey, _WINDOWS[1]), dark=dark).response.max())


def _step(grey: Grey, response: Floats, paper: float, *, dark: bool) -> float:
    """Return by how many grey levels the pixels of a strong response are darker than the paper.

    Lighter, if not `dark`.
    """
    strong = grey[response > 0.5 * strongest(response)]
    step = paper - float(strong.mean()) if strong.size else 0.0
    return step if dark else -step


def _window(grey: Grey, fraction: float) -> int:
    """Return the odd side of a background window, in pixels."""
    return int(max(grey.shape) * fraction) | 1


def _score(components: Components, shape: tuple[int, ...]) -> Floats:
    """Return how much each component is like a digit: the strength of its edges, penalized."""
    # A component that ends without an edge is a piece of something wider, or a shadow.
    steepness = components.gradient_sum / np.maximum(components.perimeter, 1)
    scores = components.gradient_sum * components.sharp**3 * np.sqrt(steepness)
    for penalty in _position_penalties(components, shape) + _shape_penalties(components, shape):
        scores = scores * penalty
    return scores.astype(np.float32)


def _position_penalties(
    components: Components, shape: tuple[int, ...]
) -> list[NDArray[np.float64]]:
    """Return factors in [0, 1] for contact with the border, and for distance from the middle."""
    height, width = shape
    contact = components.border_contact / np.maximum(components.perimeter, 1)
    boxes = components.boxes.astype(np.float32)
    # A component with 45 % of its outline on the border gets 0, one at the border's middle 0.6.
    x = (boxes[:, 0] + boxes[:, 2]) / width - 1
    y = (boxes[:, 1] + boxes[:, 3]) / height - 1
    return [np.clip(1 - 2.2 * contact, 0, 1) ** 2, 1 - 0.4 * np.minimum(np.hypot(x, y), 1)]


def _shape_penalties(components: Components, shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Return factors in [0, 1] for what no digit has: thick, flat, filled or tiny shapes."""
    boxes, sides = components.boxes.astype(np.float32), components.longer_sides
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    # A pen's line is thinner than a third of the digit, and no digit is four times wider than tall.
    thick = np.where(_stroke_widths(components) / sides > 0.33, 0.5, 1.0)
    flat = np.where(widths > 4 * heights, 0.1, 1.0)
    # The paper between two ruled lines runs across the picture: 98 % of its width.
    flat[(widths > 0.98 * shape[1]) & (widths > 1.5 * heights)] *= 0.05
    # A stroke fills at most 36 % of its box with a margin of 15 %; background between strokes more.
    margin = 2 * (0.15 * sides)
    filled = np.where(components.area > 0.36 * (widths + margin) * (heights + margin), 0.25, 1.0)
    tiny = np.where(sides < _MIN_SIDE * max(shape), 0.0, 1.0)
    return [thick, flat, filled, tiny]


def _stroke_widths(components: Components) -> NDArray[np.float64]:
    """Return the mean stroke width of each component in pixels: 2 × area / perimeter."""
    widths: NDArray[np.float64] = 2 * components.area / np.maximum(components.perimeter, 1)
    return widths


def _otsu_threshold(values: Floats) -> float:
    """Return the threshold that best splits values in two (Otsu 1979: between-class variance)."""
    counts, edges = np.histogram(values, bins=64)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centres)
    means_below = sums[:-1] / np.maximum(below, 1)
    means_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    variance = below * above * (means_below - means_above) ** 2
    return float(edges[1:-1][variance.argmax()])
