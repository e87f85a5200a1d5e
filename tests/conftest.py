"""How all tests run."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.test_enhance_command import Scene
    from tests.torture.forked import Forks

# The networks of the tests are tiny: threads that wait for each other on a busy machine cost more than they save.
# Before torch is imported, and for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Where PROJ keeps the grids that a user has fetched: the tests of vertical datums bring their own. PROJ looks once.
os.environ["PROJ_USER_WRITABLE_DIRECTORY"] = os.path.join(tempfile.gettempdir(), "jspsr-tests-have-no-grids")

# Shells let what runs in the background ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: machines are noisy and GDAL warms up. Examples overwrite the files of the one before in `tmp_path`.
settings.register_profile("jspsr", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("jspsr")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Those of `save_weights`, which no test changes."""
    from tests.test_enhance_command import save_weights  # imports torch, which looks at the environment above

    return save_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Forks"]:
    """Runs commands in processes of their own that need not import everything again."""
    if sys.platform == "win32":
        pytest.skip("no forks")
    from tests.torture.forked import Forks

    with Forks(tmp_path_factory.mktemp("streams")) as forks:
        yield forks


@pytest.fixture
def scene(tmp_path: Path, weights: dict[str, Path]) -> "Scene":
    """A DEM and guides, and the commands on them."""
    from tests.test_enhance_command import Scene

    return Scene(tmp_path, weights)
