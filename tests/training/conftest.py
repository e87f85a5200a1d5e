"""Training sets, and a run on one of them, made once for all tests here."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from jspsr_cli.training.config import TrainingConfig
from jspsr_cli.training.folder import TrainReport
from jspsr_cli.training.loop import train
from jspsr_cli.training.reading import read_config
from tests.training.dataset import make_set, write_config
from tests.training.prepared import Scene, make_scene, write_source
from tests.training.running import CPU, Run


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, far slower where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both resolutions of the small set, never to be changed."""
    root = tmp_path_factory.mktemp("set")
    make_set(root, resolution=8)
    return make_set(root, resolution=3, samples=1)


@pytest.fixture(scope="session")
def first_epoch(tmp_path_factory: pytest.TempPathFactory, small_set: Path) -> Path:
    """The folder of a run of one epoch that came to its end, never to be changed."""
    folder = tmp_path_factory.mktemp("first")
    train(write_config(folder / "config.yaml", small_set, epochs=1), output=folder / "run", hardware=CPU)
    return folder / "run"


@pytest.fixture
def begun(tmp_path: Path, first_epoch: Path) -> Path:
    """A copy of it, where `run` looks for its own: as after `run(epochs=1)`, which takes longer."""
    return Path(shutil.copytree(first_epoch, tmp_path / "run"))


@pytest.fixture
def config(tmp_path: Path, small_set: Path) -> Callable[..., TrainingConfig]:
    """Return a function from keys to a configuration for the small set, or for another at `root`."""
    return lambda root=small_set, **keys: read_config(write_config(tmp_path / "c.yaml", root, **keys))[0]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Rasters of ten samples, for `prepare`."""
    return make_scene(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of four samples in three cities, like DFC30_source."""
    root = tmp_path / "DFC30_source"
    for number, (city, id_) in enumerate([("Angers", "1"), ("Brest", "2"), ("Brest", "10"), ("Caen", "4")]):
        write_source(root, city, id_, number)
    return root


@pytest.fixture
def run(tmp_path: Path, small_set: Path) -> Run:
    """Return a function that trains on the small set; keywords of `train`, and `keys` of the training file."""

    def start(folder: str = "run", *, keys: dict[str, Any] | None = None, **options: Any) -> TrainReport:
        config = write_config(tmp_path / "config.yaml", small_set, **(keys or {}))
        return train(config, **{"output": tmp_path / folder, "hardware": CPU, **options})

    return start
