"""Classify pictures of digits: python classify.py PICTURE..."""

import sys

from edge_mnist import Classifier, EdgeMnistError

try:
    classifier = Classifier()  # or Classifier("bundle/"), a .tflite or an .onnx
    for path in sys.argv[1:]:
        prediction = classifier.predict(path)
        digit = "no digit" if prediction.digit is None else prediction.digit
        print(f"{path}: {digit} ({prediction.reason or f'{prediction.confidence:.1%}'})")
except EdgeMnistError as error:
    sys.exit(str(error))
