"""Train a Keras CNN on MNIST or images of your own, and export it as a verified bundle.

    import edge_mnist_export as host

    run = host.train("edge", epochs=3)
    bundle = host.export(run, int8=True)

Importing this package loads neither TensorFlow nor Keras.
"""

from edge_mnist.bundle import Bundle

from .api import export, train
from .runs import Run

__all__ = ["Bundle", "Run", "export", "train"]
__version__ = "0.1.0"
