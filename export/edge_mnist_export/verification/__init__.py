"""Artifacts and a Keras model in; parity, latency and the verdict of the gate out."""
