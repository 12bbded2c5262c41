"""Data sets: a name or path in; images (n, 28, 28) uint8 and their labels out.

    source = find("auto", splits=("test",))  # locates the files, downloads and checks them
    split = load(source, "test")             # reads one split into memory

Importing this package loads neither numpy nor networking.
"""

from .catalog import find, image_shape, load
from .split import Source, Split, SplitName

__all__ = ["Source", "Split", "SplitName", "find", "image_shape", "load"]
