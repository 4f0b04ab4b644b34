"""Workers that share the cores take one thread each: OpenMP's spin while they wait for a core."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")
