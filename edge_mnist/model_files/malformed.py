"""Errors of the checks of a model file that nobody vouches for."""

from __future__ import annotations

# Upper bound on a model's tensors, in bytes: the memory of a Raspberry Pi Zero 2. Tensors are
# added up as if all were in memory at once.
MOST_BYTES = 512 << 20


class Malformed(ValueError):  # noqa: N818 - the name describes the file
    """A file is broken or harmful.

    `str` of it is a noun phrase for "got FILE with …". `remedy` says what to do.
    """

    remedy = "copy it again, or export it again."


class TooLarge(Malformed):
    """A sound file that is too large for a small device."""

    remedy = "use a smaller model."
