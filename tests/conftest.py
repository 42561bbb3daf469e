"""Settings of all tests."""

import os

# On a busy machine OpenBLAS's threads wait for each other a hundred times longer than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
