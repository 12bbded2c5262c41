"""Names for the array types of this room. h and w are height and width in pixels."""

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]  # (h, w), 0 black to 255 white
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Ints = NDArray[np.intp]
Box = tuple[
    float, float, float, float
]  # left, top, right, bottom in pixels; right, bottom excluded
