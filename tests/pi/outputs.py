"""Write the raw outputs of bundles in every runtime here, before dequantization.

python outputs.py IMAGES.npy COUNT OUT.npz BUNDLE...
"""

import sys

import numpy as np

from edge_mnist.backends.selection import pairs
from edge_mnist.bundle import find_artifacts
from edge_mnist.classifier import Classifier

_, source, count, out, *bundles = sys.argv
images = np.load(source)[: int(count)]
outputs = {}
for bundle in bundles:
    for artifact, runtime in pairs(find_artifacts(bundle), None):
        classifier = Classifier.from_artifact(artifact, runtime)
        parts = [classifier.session.run(classifier.encode(image[np.newaxis])) for image in images]
        name = f"{artifact.path.parent.name} {artifact.path.name} {runtime.backend}"
        outputs[name] = np.concatenate(parts)
np.savez(out, **outputs)
