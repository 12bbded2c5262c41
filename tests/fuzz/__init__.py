"""Mutated files, pictures, arrays and requests: each is answered, or refused in one line."""
