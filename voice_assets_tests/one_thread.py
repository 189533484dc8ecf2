"""A pytest plugin: matrix products and convolutions in one thread, also in the processes that tests start.

The processes of a test run share the cores. Threads that wait there for each other keep a core busy: the same
convolutions take three times the processor time. Libraries read the variable when they are imported.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
