"""The weights in the package: whole, small, and honest about what they are."""

import shutil
from pathlib import Path

import pytest
import torch

from jspsr_models import WeightsError, WeightsInfo, load_network, save_network
from jspsr_models.errors import WeightsNotWritten
from jspsr_models.info import NOT_STATED
from jspsr_models.registry import REGISTRY, WeightsEntry
from jspsr_models.saving import is_halved
from jspsr_models.weights import locate, starter_for
from tests.models.conftest import FillNetwork

STARTERS = [entry for entry in REGISTRY.values() if entry.package_file]

MOST_BYTES = 6_000_000


def test_there_are_some() -> None:
    names = {entry.info.name for entry in STARTERS}
    assert names == {f"starter-{side}m-{guides}" for side in (8, 3) for guides in ("canopy", "image-canopy", "image")}


@pytest.mark.parametrize("entry", STARTERS, ids=lambda entry: entry.info.name)
def test_file(entry: WeightsEntry) -> None:
    network, info = load_network(entry.info.name)
    assert info == entry.info
    assert info.name == entry.path.stem == f"starter-{info.resolution:g}m-{'-'.join(info.inputs)}"
    assert (network.inputs, network.num_feature) == (info.inputs, 8)
    assert entry.path.stat().st_size <= MOST_BYTES
    # Nobody may take them for trained on real DEMs, nor for somebody else's.
    assert info.simulated
    assert "simulated" in info.trained_on.lower()
    assert NOT_STATED not in (info.licence, info.attribution, info.accuracy)
    assert info.window == 128
    assert [path.name for path in entry.path.parent.glob("*.sha256")] == []


def test_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = STARTERS[0]
    changed = tmp_path / entry.path.name
    content = bytearray(entry.path.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    monkeypatch.setattr(WeightsEntry, "path", changed)
    with pytest.raises(WeightsError, match="was changed or damaged since it was installed: install jspsr again"):
        load_network(entry.info.name)


@pytest.mark.parametrize("resolution", [3.0, 8.0])
@pytest.mark.parametrize("guides", [("canopy",), ("image", "canopy"), ("image",)])
def test_the_one_that_fits(guides: tuple[str, ...], resolution: float) -> None:
    entry = starter_for(guides, resolution)
    assert entry is not None
    assert (entry.info.inputs, entry.info.resolution) == (guides, resolution)
    assert locate(entry.info.name) == (entry.path, entry)
    assert starter_for(["mask"], 8.0) is None


def test_nearest_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = STARTERS[0]
    fine = WeightsEntry(
        info=WeightsInfo(name="fine", sha256="", inputs=coarse.info.inputs, num_feature=8, resolution=3.0),
        package_file="fine",
    )
    monkeypatch.setattr("jspsr_models.weights.REGISTRY", {"fine": fine, coarse.info.name: coarse})
    for resolution, expected in ((1.0, fine), (4.0, fine), (5.5, coarse), (30.0, coarse)):
        assert starter_for(coarse.info.inputs, resolution) is expected


def test_half_precision(fill_network: FillNetwork, tmp_path: Path) -> None:
    """Large convolutions are rounded, and nothing else is."""
    network = fill_network(num_feature=8)
    info = WeightsInfo(name="small", sha256="", inputs=("image",), num_feature=8)
    save_network(network, tmp_path / "single.safetensors", info)
    saved = save_network(network, tmp_path / "half.safetensors", info, half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("single", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert not any(
        is_halved(name, tensor) for name, tensor in network.state_dict().items() if name.startswith("output")
    )
    loaded, said = load_network(shutil.copy(tmp_path / "half.safetensors", tmp_path / "copy.safetensors"))
    assert said == saved
    for name, before in network.state_dict().items():
        after = loaded.state_dict()[name]
        assert after.dtype == before.dtype
        assert torch.equal(after, before.half().float() if is_halved(name, before) else before), name


def test_weights_that_half_precision_does_not_hold(fill_network: FillNetwork, tmp_path: Path) -> None:
    large = fill_network(num_feature=8)
    with torch.no_grad():
        large.get_parameter("encoder.levels.3.dem.0.conv2.weight")[0, 0, 0, 0] = 1e5
    info = WeightsInfo(name="large", sha256="", inputs=("image",), num_feature=8)
    with pytest.raises(WeightsNotWritten, match="a weight is too large for half precision"):
        save_network(large, tmp_path / "large.safetensors", info, half=True)
    assert list(tmp_path.iterdir()) == []
