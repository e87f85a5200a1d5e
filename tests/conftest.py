"""How all tests run."""

import os

from hypothesis import HealthCheck, settings

# The networks of the tests are tiny: threads that wait for each other on a busy machine cost more than they save.
# Before torch is imported, and for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: machines are noisy and GDAL warms up. Examples overwrite the files of the one before in `tmp_path`.
settings.register_profile("jspsr", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("jspsr")
