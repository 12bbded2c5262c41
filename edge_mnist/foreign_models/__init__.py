"""A model file without a manifest in; whether it is safe, and how it takes its pixels, out."""
