"""An integer graph in; a program that needs no runtime out: C99 sources, or one HTML page."""
