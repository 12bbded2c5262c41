"""Any picture in, a (28, 28) uint8 image of its digit out, as MNIST holds it.

`preprocess` decodes a picture, locates its digit and normalizes it; `multi_digit` reads several.
Constants of this room whose comment names no other source were tuned on drawn photographs and
composed pictures of seed 1 (`edge_mnist_export.data`); reported figures are of seed 0.
"""
