"""Artifacts and a Keras model in; parity, latency, the gate's verdict and a threshold out."""
