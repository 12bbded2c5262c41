"""Measure what a prediction costs on this machine, and compare two measurements."""
