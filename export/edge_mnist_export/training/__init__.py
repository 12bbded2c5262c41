"""A recipe and a data set in, a run folder with `model.keras` out."""
