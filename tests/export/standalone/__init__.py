"""Programs without a runtime: the bytes that they answer, on several processors."""
