"""Inputs that once failed, by target: seed and number, and what happened.

A row stays valid as long as its target's mutator and sound files do; what it stands for has a test
of its own where the file can be made by hand.
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
    "array": [(1, 25, "a warning of numpy for a signalling NaN")],
    "npz": [
        (1, 17, "MemoryError for a header of 64 GiB"),
        (1, 29, "a message with the name of each of a thousand classes"),
        (1, 51, "AttributeError for a member that is no array"),
        (2, 0, "TokenError of numpy for a broken header"),
        (4, 102, "a warning of numpy for a shape whose product overflows"),
        (4, 177, "TypeError for one-hot labels of no numbers"),
        (4, 414, "TypeError for images without axes"),
        (3, 488, "ValueError for one-hot labels of no class"),
        (3, 1184, "SystemError of numpy for characters that Unicode does not have"),
    ],
    "http": [
        (1, 133, "OverflowError for an infinite size: an internal error instead of a refusal"),
        (1, 190, "KeyError for a tensor without a name: the same"),
    ],
}
