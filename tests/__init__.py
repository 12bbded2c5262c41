"""Tests, by room.

Before numpy is imported: one thread of OpenBLAS a process. Its threads wait by spinning; with two
processes on two processors, numpy's int8 arithmetic took ten times the processor time.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
