"""The compiled epochs of each backend, beside Keras's own `fit`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SIDE_BY_SIDE = """
import importlib, keras, numpy as np
from edge_mnist_export.training import architectures, optimizers
name = "edge_mnist_export.training.epochs_" + keras.backend.backend()
Epochs = importlib.import_module(name).Epochs
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (300, 28, 28)).astype(np.uint8)
labels = rng.integers(0, 10, 300).astype(np.uint8)
models = []
for _ in range(2):
    keras.utils.set_random_seed(0)
    model = architectures.build("pico")
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizers.build("muon", 1e-3, 0.1), loss, metrics=["accuracy"])
    models.append(model)
plain, compiled = models
epochs = Epochs(compiled, keras.metrics.sparse_categorical_accuracy, 128)
for _ in range(2):
    floats = images[..., None] / np.float32(255)
    history = plain.fit(floats, labels, batch_size=128, shuffle=False, verbose=0).history
    row = epochs.fit(images, labels)
    for name, value in row.items():
        assert abs(value - history[name][0]) < 1e-4, (name, value, history)
pairs = zip(plain.get_weights(), compiled.get_weights(), strict=True)
print(max(float(abs(a - b).max()) for a, b in pairs), int(compiled.optimizer.iterations))
"""


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_compiled_epoch_trains_as_keras_does(backend: str) -> None:
    pytest.importorskip(backend, reason=f"needs {backend}: pip install {backend}")
    # On a CPU, where training would not use JAX's: a GPU only changes the order of sums.
    done = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    difference, steps = done.stdout.split()
    assert float(difference) < 1e-3
    assert int(steps) == 2 * 3  # 300 images per epoch: 128 + 128 + 44
