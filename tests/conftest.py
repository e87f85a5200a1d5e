"""How all tests run."""

import os
import tempfile

from hypothesis import HealthCheck, settings

# The networks of the tests are tiny: threads that wait for each other on a busy machine cost more than they save.
# Before torch is imported, and for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Where PROJ keeps the grids that a user has fetched: the tests of vertical datums bring their own. PROJ looks once.
os.environ["PROJ_USER_WRITABLE_DIRECTORY"] = os.path.join(tempfile.gettempdir(), "jspsr-tests-have-no-grids")

# No deadline: machines are noisy and GDAL warms up. Examples overwrite the files of the one before in `tmp_path`.
settings.register_profile("jspsr", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("jspsr")
