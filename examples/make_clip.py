"""Write a clip of a hand-held page as Motion JPEG: make_clip.py FILE [DIGITS] [SECONDS].

Needs the host package, which draws it.
"""

import sys
from pathlib import Path

from edge_mnist_export.data.drawn_clip import frames

file, digits, seconds, *_ = (*sys.argv[1:], "0123456789", "2")
with Path(file).open("wb") as clip:
    for frame in frames(tuple(map(int, digits)), seconds=float(seconds)):
        frame.save(clip, "JPEG", quality=80)
