"""Benchmarks: one module a unit, each against a peer in the same run.

BLAS reads its number of threads when NumPy is imported, hence here: one, as our kernels use one.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
