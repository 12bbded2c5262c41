"""Kills, full disks, read-only disks and I/O errors, at chosen and at random instants.

`python -m tests.faults --help` runs the campaign; `test_faults.py` is its short form.
"""
