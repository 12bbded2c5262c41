"""A Keras model in, the bytes of TFLite and ONNX files out."""
