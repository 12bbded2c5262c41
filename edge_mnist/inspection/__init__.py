"""A model in; its layers, the cost of each, and a page about the model out."""
