"""What loads, and what is known about it then."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from jspsr_models import (
    JSPSR,
    WeightsError,
    WeightsInfo,
    convert_weights,
    default_height_range,
    load_network,
    save_network,
    to_released,
)
from jspsr_models.errors import UnusableTarget, WeightsNotWritten
from jspsr_models.inputs import VALID_INPUTS

FillNetwork = Callable[..., JSPSR]
State = dict[str, Any]
Refused = Callable[[Path, str], None]
Layout = Callable[[State], dict[str, Any]]

INFO = WeightsInfo(
    name="small",
    sha256="",
    inputs=("image",),
    num_feature=4,
    resolution=3.0,
    height_range=(-80.0, 933.0),
    window=64,
    licence="CC0",
    attribution="nobody",
    trained_on="noise",
    simulated=True,
)


def same(first: JSPSR, second: JSPSR) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


# What loads


@pytest.mark.parametrize("inputs", VALID_INPUTS)
def test_structure_is_read_from_the_tensors(
    layout: Layout, inputs: tuple[str, ...], fill_network: FillNetwork, path: Path
) -> None:
    network = fill_network(inputs=inputs, num_feature=5)
    torch.save(layout(to_released(network.state_dict())), path)
    loaded, info = load_network(path)
    assert (info.inputs, info.num_feature, info.propagation) == (inputs, 5, True)
    assert same(loaded, network)
    assert not loaded.training
    assert (info.name, info.resolution, info.height_range, info.simulated) == ("weights", None, None, None)


def test_without_propagation(path: Path) -> None:
    network = JSPSR(num_feature=4, propagation=False)
    torch.save(to_released(network.state_dict()), path)
    loaded, info = load_network(path)
    assert not info.propagation
    assert same(loaded, network)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("released", [True, False])
def test_names_may_be_either_and_prefixed(network: JSPSR, path: Path, prefix: str, released: bool) -> None:
    tensors = to_released(network.state_dict()) if released else network.state_dict()
    torch.save({prefix + name: tensor for name, tensor in tensors.items()}, path)
    assert same(load_network(str(path))[0], network)


def test_the_old_container_and_any_extension_load(layout: Layout, state: State, network: JSPSR, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    torch.save(layout(state), path, _use_new_zipfile_serialization=False)
    assert same(load_network(path)[0], network)


def test_parameters_train_after_loading(state: State, path: Path) -> None:
    torch.save(state, path)
    loaded = load_network(path)[0]
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in loaded.parameters())
    loaded.train()(torch.rand(2, 1, 16, 16), image=torch.rand(2, 3, 16, 16)).mean().backward()


def test_tensors_that_share_memory_become_separate(state: State, path: Path) -> None:
    first, second = "layer1_dem.0.bn1.weight", "layer1_dem.0.bn2.weight"
    state[second] = state[first]
    torch.save(state, path)
    loaded = dict(load_network(path)[0].named_parameters())
    weights = [loaded[f"encoder.levels.0.dem.0.norm{i}.weight"] for i in (1, 2)]
    assert weights[0].data_ptr() != weights[1].data_ptr()


@pytest.mark.parametrize(
    ("resolution", "height_range"), [(3.0, (-80.0, 933.0)), (8, (-80.0, 929.0)), (30.0, (-80.0, 929.0))]
)
def test_resolution_of_the_caller_fills_a_gap(
    state: State, path: Path, resolution: float, height_range: tuple[float, float]
) -> None:
    torch.save(state, path)
    info = load_network(path, resolution=resolution)[1]
    assert (info.resolution, info.height_range) == (resolution, height_range)
    assert default_height_range(resolution) == height_range


def test_saved_weights_come_back_with_all_that_is_known(network: JSPSR, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    saved = save_network(network, path, dataclasses.replace(INFO, num_feature=99))
    loaded, info = load_network(path, resolution=8)
    assert same(loaded, network)
    assert info == saved == dataclasses.replace(INFO, sha256=info.sha256)
    assert len(info.sha256) == 64
    assert save_network(network, path, INFO).sha256 == info.sha256
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_may_carry_the_same_metadata(layout: Layout, state: State, path: Path) -> None:
    torch.save(layout(state) | {"jspsr": INFO.to_json()}, path)
    info = load_network(path)[1]
    assert info == dataclasses.replace(INFO, sha256=info.sha256)


def test_saving_into_nowhere_leaves_nothing(network: JSPSR, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotWritten, match="cannot be written"):
        save_network(network, tmp_path / "missing" / "small.safetensors", INFO)
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsNotWritten, match="cannot be written"):
        save_network(network, tmp_path / "folder", INFO)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_converting_keeps_the_values_and_an_existing_file(
    layout: Layout, state: State, network: JSPSR, tmp_path: Path
) -> None:
    source, target = tmp_path / "a.pt", tmp_path / "b.safetensors"
    torch.save(layout(state), source)
    info = convert_weights(source, target, resolution=3.0, name="mine", simulated=True, licence=None)
    assert (info.name, info.simulated, info.licence) == ("mine", True, "not stated")
    assert info.height_range == (-80.0, 933.0)
    assert same(load_network(target)[0], network)
    with pytest.raises(UnusableTarget, match="overwrite"):
        convert_weights(source, target)
    with pytest.raises(UnusableTarget, match="create it first"):
        convert_weights(tmp_path / "missing.pt", tmp_path / "missing" / "b.safetensors")
    with pytest.raises(UnusableTarget, match="let its name end with"):
        convert_weights(source, tmp_path / "b.pt")
    assert convert_weights(source, target, overwrite=True).name == "a"


# Metadata


def with_metadata(network: JSPSR, path: Path, text: str) -> None:
    import safetensors.torch

    safetensors.torch.save_file(network.state_dict(), path, metadata={"jspsr": text})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": ["image", "mask"]}, r"inputs = \('image',\), but its metadata says \('image', 'mask'\)"),
        ({"num_feature": 8}, "num_feature = 4, but its metadata says 8"),
        ({"propagation": False}, "propagation = True, but its metadata says False"),
        ({"inputs": "image"}, "inputs an impossible value"),
        ({"num_feature": True}, "num_feature an impossible value"),
        ({"resolution": -8}, "resolution an impossible value"),
        ({"resolution": float("nan")}, "resolution an impossible value"),
        ({"resolution": "8"}, "resolution an impossible value"),
        ({"height_range": [929, -80]}, "height_range an impossible value"),
        ({"height_range": [0, float("inf")]}, "height_range an impossible value"),
        ({"height_range": ["a", "b"]}, "height_range an impossible value"),
        ({"window": 100}, "window an impossible value"),
        ({"window": 128.0}, "window an impossible value"),
        ({"licence": 3}, "licence an impossible value"),
        ({"simulated": "no"}, "simulated an impossible value"),
        ({"name": ["x"]}, "name an impossible value"),
    ],
)
def test_metadata_must_be_possible_and_agree(
    refused: Refused, network: JSPSR, path: Path, changes: dict[str, object], message: str
) -> None:
    with_metadata(network, path, json.dumps(json.loads(INFO.to_json()) | changes))
    refused(path, message)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "[" * 100_000])
def test_metadata_must_be_an_object(refused: Refused, network: JSPSR, path: Path, text: str) -> None:
    with_metadata(network, path, text)
    refused(path, "metadata of .* is not")


def test_metadata_of_later_versions_and_gaps_are_read(network: JSPSR, path: Path) -> None:
    with_metadata(network, path, '{"colour": "red", "resolution": 8, "window": null}')
    info = load_network(path)[1]
    assert (info.resolution, info.window, info.height_range) == (8.0, None, (-80.0, 929.0))


def test_safetensors_without_metadata_load(network: JSPSR, path: Path) -> None:
    import safetensors.torch

    released: dict[str, Tensor] = to_released(network.state_dict())
    safetensors.torch.save_file(released, path)
    assert same(load_network(path)[0], network)


# Checksums


def test_a_recorded_checksum_is_checked(refused: Refused, state: State, path: Path) -> None:
    torch.save(state, path)
    sha256 = load_network(path)[1].sha256
    record = path.with_name("weights.pt.sha256")
    record.write_text(f"{sha256.upper()}  weights.pt\n")
    assert load_network(path)[1].sha256 == sha256
    record.write_text("0" * 64)
    refused(path, "not 000000000000… as recorded")
    for content, message in ((b"nothing", "holds no sha256"), (b"\xff" * 64, "cannot be read")):
        record.write_bytes(content)
        with pytest.raises(WeightsError, match=message):
            load_network(path)
