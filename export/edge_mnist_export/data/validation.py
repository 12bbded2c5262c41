"""The images that training never sees: what is chosen by measuring is chosen on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_mnist.datasets import Split


def hold_out(split: Split) -> tuple[Split, Split]:
    """Return the images to train on, and a twelfth held out (5,000 of MNIST's 60,000).

    Which images these are depends on their number alone: an export finds those of its training
    run again, and a teacher has seen none that its students are measured on.
    """
    order = np.random.default_rng(0).permutation(len(split.images))
    held, kept = np.split(order, [len(order) // 12])
    return _chosen(split, kept), _chosen(split, held)


def _chosen(split: Split, indices: NDArray[np.intp]) -> Split:
    return replace(split, images=split.images[indices], labels=split.labels[indices])
