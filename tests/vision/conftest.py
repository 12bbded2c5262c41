"""What the tests of this room share: one drawn digit, and the classifier that reads it."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist.datasets import synthetic


@pytest.fixture(scope="session")
def digit() -> np.ndarray:
    """A 3, (28, 28) uint8, as MNIST would have it."""
    image: np.ndarray = synthetic.draw(np.array([3]), seed=5)[0]
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The bundle that ships with the package."""
    return Classifier()
