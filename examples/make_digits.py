"""Draw the pictures in examples/digits: one per digit, dark on light paper."""

from pathlib import Path

import numpy as np
from PIL import Image

from edge_mnist.datasets import synthetic

SIZE = 160  # pixels a side
PAPER, INK = 232.0, 45.0  # grey levels

folder = Path(__file__).with_name("digits")
rng = np.random.default_rng(0)
for digit, drawn in enumerate(synthetic.draw(np.arange(10), seed=1)):
    enlarged = Image.fromarray(drawn).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    page = PAPER + np.asarray(enlarged) / 255 * (INK - PAPER) + rng.normal(0, 2, (SIZE, SIZE))
    picture = Image.fromarray(np.clip(page, 0, 255).astype(np.uint8))
    # 16 grey levels keep the files small.
    picture.quantize(16).save(folder / f"{digit}.png", optimize=True)
