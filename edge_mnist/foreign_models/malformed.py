"""What the checks of a bare model file raise."""

from __future__ import annotations

# A Raspberry Pi Zero 2 has this much; what a model takes is added up as if all were there at once.
MOST_BYTES = 512 << 20


class Malformed(ValueError):  # noqa: N818 - it says what a file is
    """A file is not what it should be: `str` of it says how, after "got FILE with"."""

    remedy = "copy it again, or export it again."


class TooLarge(Malformed):
    """A file that is sound, but takes more than is meant for a small device."""

    remedy = "use a smaller model."
