"""A model file that nobody vouches for in; whether it is safe out.

For a file without a manifest, also how it takes its pixels.
"""
