"""A file of options that vary in; a run folder for each trial, a table and a plot out."""
