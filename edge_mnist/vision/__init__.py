"""Any picture in, one digit out: a (28, 28) uint8 image as MNIST holds it."""
