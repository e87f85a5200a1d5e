"""Networks with known values in all their tensors."""

import csv
import dataclasses
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jspsr_models import JSPSR, WeightsError, load_network, to_released, weights
from jspsr_models.convert import released_name
from jspsr_models.registry import REGISTRY, WeightsEntry

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, far slower where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


FillNetwork = Callable[..., JSPSR]


def fill(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Values of the tensor with a released name in the parity files, from numpy's frozen legacy stream."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(1)
    stream = np.random.RandomState((zlib.crc32(name.encode()) ^ seed) & 0xFFFFFFFF)
    if name.endswith("running_var"):
        return torch.from_numpy(np.float32(0.5 + stream.random_sample(shape)))
    scale, shift = 0.1, 0.0
    if name == "postprocessor.w":
        scale, shift = 0.2, 1.0
    elif name == "postprocessor.b":
        scale = 0.05
    elif name == "generator.conv_offset.conv.0.weight":
        scale = 2.0 / np.sqrt(shape[1])
    elif len(shape) == 4:
        scale = np.sqrt(1.6 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        shift = 1.0
    return torch.from_numpy(np.asarray(shift + scale * stream.standard_normal(shape), dtype=np.float32))


@pytest.fixture(scope="session")
def fill_network() -> FillNetwork:
    """Return a function from structure and seed to a network with those values, in evaluation mode."""

    def make(*, seed: int = 5, inputs: tuple[str, ...] = ("image",), num_feature: int = 4) -> JSPSR:
        network = JSPSR(inputs=inputs, num_feature=num_feature)
        state = network.state_dict()
        network.load_state_dict({k: fill(released_name(k), tuple(v.shape), seed) for k, v in state.items()})
        return network.eval()

    return make


@pytest.fixture(scope="session")
def released_tensors() -> Mapping[str, Mapping[str, tuple[str, str]]]:
    """Shape and dtype of every tensor of the released networks (F = 32), by guides and name, in their order."""
    with (DATA / "released_tensors.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    columns = [column for column in rows[0] if column not in ("name", "dtype")]
    return {
        column: {row["name"]: (row[column], row["dtype"]) for row in rows if row[column] != "-"} for column in columns
    }


@pytest.fixture(scope="module")
def network(fill_network: FillNetwork) -> JSPSR:
    return fill_network()


@pytest.fixture
def state(network: JSPSR) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in to_released(network.state_dict()).items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pt"


@pytest.fixture
def layout() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return a function from a state dict to the layout of the released checkpoints."""
    return lambda state: {
        "state_dict": state,
        "optimizer": {"state": {}},
        "scheduler": {},
        "epoch": 1,
        "best_result": {"RMSE": 1.0},
    }


@pytest.fixture
def refused() -> Callable[[Path, str], None]:
    """Return a check that a file is refused in one sentence that names it and matches a pattern."""

    def check(path: Path, message: str) -> None:
        with pytest.raises(WeightsError, match=message) as caught:
            load_network(path)
        text = str(caught.value)
        assert str(path) in text
        assert text.endswith(".")
        assert "\n" not in text

    return check


@pytest.fixture(scope="module")
def checkpoint(fill_network: FillNetwork, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("server") / "weights.pt"
    torch.save({"state_dict": to_released(fill_network().state_dict()), "epoch": 3}, path)
    return path.read_bytes()


@pytest.fixture
def entry() -> WeightsEntry:
    info = dataclasses.replace(REGISTRY["jspsr-8m-image"].info, name="tiny", num_feature=4)
    return WeightsEntry(info=info, drive_id="drive-id")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: WeightsEntry) -> Path:
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "REGISTRY", MappingProxyType({"tiny": entry}))
    return tmp_path / "weights"
