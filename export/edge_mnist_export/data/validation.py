"""Training images in, a training split and a validation split out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_mnist.datasets import Split


def hold_out(split: Split) -> tuple[Split, Split]:
    """Return the training split and the validation split.

    The validation split is a twelfth of the images: 5,000 of MNIST's 60,000. The selection
    depends only on the number of images. An export therefore finds the validation images of its
    training run again, and a teacher has never learned those of its students.
    """
    order = np.random.default_rng(0).permutation(len(split.images))
    validation, training = np.split(order, [len(order) // 12])
    return _select(split, training), _select(split, validation)


def _select(split: Split, indices: NDArray[np.intp]) -> Split:
    return replace(split, images=split.images[indices], labels=split.labels[indices])
