"""The command line: parse, call, write. Nothing is computed here."""

import os

# Products of points with 3 x 3 matrices are all the BLAS that planning asks for: a second thread only waits. Set before
# numpy loads; a value that the user set stays.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from liverplan.cli.main import main

__all__ = ["main"]
