"""Write the raw outputs of the shipped bundle in every runtime here, before dequantization.

python outputs.py IMAGES.npy OUT.npz
"""

import sys

import numpy as np

from edge_mnist.bundle import find_artifacts
from edge_mnist.classifier import Classifier
from edge_mnist.evaluation import pairs

_, source, out = sys.argv
images = np.load(source)
outputs = {}
for artifact, runtime in pairs(find_artifacts(), None):
    classifier = Classifier.from_artifact(artifact, runtime)
    parts = [classifier.session.run(classifier.encode(image[np.newaxis])) for image in images]
    outputs[f"{artifact.path.name} {runtime.backend}"] = np.concatenate(parts)
np.savez(out, **outputs)
