"""Muon beside Adam, and the names that checkpoints refer to."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def keras_on_tensorflow() -> None:
    from edge_mnist_export.frameworks import load_keras

    load_keras("tensorflow")


def test_muon_steps_a_kernel_equally_in_all_directions_and_the_rest_as_adam_does() -> None:
    import keras

    from edge_mnist_export.training import optimizers

    rng = np.random.default_rng(0)
    shapes = (3, 3, 4, 8), (16, 10), (8,)
    gradients = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    steps = {}
    for name in ("adam", "muon"):
        weights = [keras.Variable(np.zeros(shape, np.float32)) for shape in shapes]
        optimizers.build(name, 0.01, weight_decay=0.0).apply(gradients, weights)
        steps[name] = [keras.ops.convert_to_numpy(weight) for weight in weights]
    assert np.allclose(steps["muon"][1], steps["adam"][1], atol=1e-6)
    assert np.allclose(steps["muon"][2], steps["adam"][2], atol=1e-6)
    kernel = steps["muon"][0].reshape(36, 8)
    sizes = np.linalg.svd(kernel, compute_uv=False)
    assert sizes.max() < 2 * sizes.min()  # those of the gradient differ by a factor of three
    assert np.sqrt((kernel**2).mean()) == pytest.approx(0.2 * 0.01, rel=0.2)


def test_names_in_checkpoints_stay_the_same() -> None:
    import keras

    from edge_mnist_export.training import losses, optimizers

    objects = (losses.SoftenedCrossEntropy, losses.accuracy, optimizers.Muon)
    names = [keras.saving.get_registered_name(item) for item in objects]
    assert names == ["edge_mnist>_Softened", "edge_mnist>accuracy", "edge_mnist>Muon"]
    assert losses.accuracy.__name__ == "accuracy"  # the column of history.csv
