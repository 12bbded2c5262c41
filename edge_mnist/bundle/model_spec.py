"""The model spec: the size of a model's images, the scaling of their pixels, and its labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import ModelError

DIGITS = tuple("0123456789")
OUTPUTS = ("probabilities", "logits", "scores")
# Upper bounds on what a manifest may state, so that its numbers alone take little memory.
_MOST_PIXELS, _MOST_LABELS = 1 << 24, 10_000


class _Scaling(NamedTuple):
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Scaling(_Scaling):
    """The map from a pixel in [0, 255] to an input value: `(pixel * scale - mean) / std`.

    Args:
        scale: the factor; 1/255 by default, which gives values in [0, 1].
        mean: one number, or one for each channel.
        std: one number, or one for each channel.

    Raises:
        ModelError: a number is missing or infinite, or `scale` or `std` is 0.
    """

    __slots__ = ()

    def __new__(
        cls,
        scale: float = 1 / 255,
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
    ) -> Scaling:
        made = super().__new__(cls, scale, mean, std)
        if not all(map(math.isfinite, (scale, *mean, *std))) or 0 in (scale, *std):
            raise ModelError(
                f"Expected finite numbers to scale pixels with, and neither a scale nor a "
                f"deviation of 0, got {made.options}.",
                code="model-scaling",
            )
        if not mean or not std:
            raise ModelError(
                "Expected a mean and a deviation, or one for every channel, got none.",
                code="model-scaling",
            )
        return made

    @classmethod
    def given(
        cls,
        scale: float | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> Scaling | None:
        """Return the scaling of these options, with defaults for the others; None without any."""
        if scale is None and mean is None and std is None:
            return None
        default = cls()
        return cls(
            default.scale if scale is None else float(scale),
            default.mean if mean is None else _numbers(mean),
            default.std if std is None else _numbers(std),
        )

    @classmethod
    def between(cls, low: float, high: float) -> Scaling:
        """Return the scaling under which pixel 0 becomes `low` and pixel 255 `high`."""
        # Not -low: that is -0.0 for 0.0, and a manifest would show it.
        return cls((high - low) / 255, (0.0 - low,))

    def then(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Scaling:
        """Return this scaling, of one mean and deviation 1, followed by `(value - mean) / std`."""
        return Scaling(self.scale, tuple(self.mean[0] + m for m in mean), std)

    def inverted(self) -> Scaling:
        """Return the negative: it does to 255 - pixel what this scaling does to pixel."""
        return Scaling(-self.scale, tuple(m - 255 * self.scale for m in self.mean), self.std)

    def value(self, pixel: int, channel: int = 0) -> float:
        """Return the input value of a pixel in [0, 255] of one channel."""
        mean, std = (one[channel % len(one)] for one in (self.mean, self.std))
        return (pixel * self.scale - mean) / std

    @property
    def options(self) -> str:
        """The command-line options that state it exactly."""
        parts = [f"--scale {_text(self.scale)}"]
        if any(self.mean):
            parts.append(f"--mean {','.join(map(_text, self.mean))}")
        if any(one != 1 for one in self.std):
            parts.append(f"--std {','.join(map(_text, self.std))}")
        return " ".join(parts)


class ModelSpec(NamedTuple):
    """The input and the output of a model.

    Pixels are white digits on black, as in MNIST, or as in the pictures the model was trained on.

    Attributes:
        height: the image's height in pixels.
        width: the image's width in pixels.
        channels: 1 for grey, 3 for colour.
        scaling: how pixels become input values.
        labels: the names of the outputs, in order.
        output: the kind of output: "probabilities"; "logits", which a softmax makes probabilities;
            or "scores" of 0 or more, which are divided by their sum.
        threshold: the rejection threshold: below this confidence there is no digit; 0 rejects none.
    """

    height: int = 28
    width: int = 28
    channels: int = 1
    scaling: Scaling = Scaling()
    labels: tuple[str, ...] = DIGITS
    output: str = "probabilities"
    threshold: float = 0.0

    @property
    def range(self) -> tuple[float, float]:
        """The input values of pixel 0 and pixel 255."""
        return self.scaling.value(0), self.scaling.value(255)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image: (h, w), or (h, w, channels) for several channels."""
        size = (self.height, self.width)
        return size if self.channels == 1 else (*size, self.channels)

    @property
    def size(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    @property
    def digits(self) -> bool:
        """Whether it reads grey digits: one channel, and the labels 0 to 9."""
        return self.channels == 1 and self.labels == DIGITS


def spec_from_manifest(manifest: Mapping[str, Any]) -> ModelSpec:
    """Return the model spec that a manifest of schema 1 states.

    `input.range` is what pixel 0 and pixel 255 become. `input.mean` and `input.std` are applied
    after that; they are optional lists of one number, or one a channel. `output` and `refusal` are
    optional.

    Raises:
        KeyError, TypeError, ValueError, ModelError: a field is missing or wrong.
    """
    entry = manifest["input"]
    low, high = (float(value) for value in entry["range"])
    scaling = Scaling.between(low, high)
    if entry.get("polarity") == "black ink on white":
        scaling = scaling.inverted()
    channels = int(entry["channels"])
    mean, std = (_numbers(entry.get(key, one)) for key, one in (("mean", 0.0), ("std", 1.0)))
    labels = tuple(str(label) for label in manifest["labels"])
    spec = ModelSpec(
        int(entry["height"]),
        int(entry["width"]),
        channels,
        scaling.then(mean, std),
        labels,
        str(manifest.get("output", "probabilities")),
        float(manifest.get("refusal", {}).get("threshold", 0)),
    )
    if not 0 <= spec.threshold < 1:
        raise ValueError(f"threshold {spec.threshold!r}")
    fits = channels in (1, 3) and {len(mean), len(std)} <= {1, channels}
    fits = fits and spec.height * spec.width <= _MOST_PIXELS
    if not fits or min(spec.height, spec.width) < 1 or not 2 <= len(labels) <= _MOST_LABELS:
        raise ValueError(f"input {dict(entry)!r} with {len(labels)} labels")
    if spec.output not in OUTPUTS:
        raise ValueError(f"output {spec.output!r}")
    return spec


def number(text: str) -> float:
    """Return "0.5" or "1/255" as a float. Raises ValueError."""
    numerator, slash, denominator = text.partition("/")
    try:
        return float(numerator) / float(denominator) if slash else float(text)
    except ZeroDivisionError as error:
        raise ValueError(text) from error


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)


def _text(value: float) -> str:
    """Return the shortest text from which `number` gives exactly this value."""
    from fractions import Fraction  # Imported late: with decimal it is 10 % of the import time.

    fraction = Fraction(value).limit_denominator(1000) if math.isfinite(value) else Fraction(0)
    short = f"{fraction.numerator}/{fraction.denominator}"
    if fraction.denominator > 1 and float(fraction) == value and len(short) < len(repr(value)):
        return short
    return repr(value).removesuffix(".0")
