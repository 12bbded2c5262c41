"""A Keras model in, the bytes of a .tflite or .onnx file out."""
