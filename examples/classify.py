"""Classify pictures of digits on a device: python classify.py PICTURE..."""

import sys

from edge_mnist import Classifier, EdgeMnistError

try:
    classifier = Classifier()  # or Classifier("bundle/"), a .tflite or an .onnx
    for path in sys.argv[1:]:
        prediction = classifier.predict(path)
        print(f"{path}: {prediction.digit} ({prediction.confidence:.1%})")
except EdgeMnistError as error:
    sys.exit(str(error))
