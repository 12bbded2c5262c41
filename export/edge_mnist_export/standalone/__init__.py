"""An integer graph in; a program that needs no runtime out: C99 sources, or one HTML page."""

from .c_files import c_files, known_bytes
from .c_resources import resources

__all__ = ["c_files", "known_bytes", "resources"]
