"""Any picture in, an image of (28, 28) uint8 as MNIST holds it out."""
