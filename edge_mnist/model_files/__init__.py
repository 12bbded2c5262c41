"""The bytes of a `.tflite` or `.onnx` file in, its tensors and operators out; no offset trusted."""
