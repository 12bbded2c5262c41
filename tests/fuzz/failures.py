"""Inputs that once failed, by target: seed and number, and what happened.

A row stays valid as long as its target's mutator and sound files do. What can be made by hand has a
test of its own, such as those of tests/datasets/test_hostile_npz.py and tests/serve/test_finite.py.
"""

FAILURES: dict[str, list[tuple[int, int, str]]] = {
    "parse-tflite": [(1, 90, "the int8 reader: ValueError for a softmax of two inputs")],
    "numpy": [
        (1, 56, "the int8 reader: a warning of numpy for a scale of 0"),
        (22, 12, "the same, for one of 1e30"),
    ],
    "manifest": [
        (1, 212, "the notebook's table: AttributeError for a text in place of an object"),
        (1, 273, "the same, for a number"),
    ],
    "picture": [
        (1, 0, "a warning of Pillow on stderr for broken EXIF data, while the picture is decoded"),
        (1, 1, "the same, while its header is read"),
    ],
    "onnx-listed": [(777, 323, "ONNX Runtime crashed on a zero point of no elements")],
    "array": [(1, 25, "a warning of numpy for a signalling NaN")],
}
