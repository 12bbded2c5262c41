"""Draw the form in examples/form.jpg: two rows of six cells with drawn digits."""

from pathlib import Path

import numpy as np

from edge_mnist.datasets import Split, synthetic
from edge_mnist_export.data import composed_digits

labels = np.arange(400, dtype=np.uint8) % 10
digits = Split("drawn", synthetic.draw(labels.astype(np.intp), seed=3), labels, "")
form = next(composed_digits.forms(digits, 1, seed=55))
form.picture.save(Path(__file__).with_name("form.jpg"), quality=60)
