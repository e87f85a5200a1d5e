"""What is refused, and that nothing in a file is ever run."""

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jspsr_models import JSPSR, WeightsError, WeightsInfo, load_network, save_network

State = dict[str, Any]
Refused = Callable[[Path, str], None]
Layout = Callable[[State], dict[str, Any]]


def drop(state: State) -> None:
    del state["layer3_img.1.bn2.running_var"]


def drop_counter(state: State) -> None:
    del state["layer3_img.1.bn2.num_batches_tracked"]


def add(state: State) -> None:
    state["layer5_img.weight"] = torch.zeros(1)


def add_unknown_guide(state: State) -> None:
    state["conv_aux.conv.0.weight"] = torch.zeros(4, 7, 5, 5)


def drop_guide(state: State) -> None:
    del state["conv_img.conv.0.weight"]


def bend(state: State) -> None:
    state["postprocessor.b"] = torch.zeros(1, 1)


def bend_stem(state: State) -> None:
    state["conv_dem.conv.0.weight"] = torch.zeros(4)


def bend_image(state: State) -> None:
    state["conv_img.conv.0.weight"] = torch.zeros(4, 4, 5, 5)


def widen(state: State) -> None:
    state["conv_dem.conv.0.weight"] = torch.zeros(1, 1, 5, 5).expand(100_000, 1, 5, 5)


def disagree_on_width(state: State) -> None:
    state["conv_dem.conv.0.weight"] = torch.zeros(8, 1, 5, 5)


def halve_statistics(state: State) -> None:
    state["conv0.conv.bn.running_var"] = state["conv0.conv.bn.running_var"].half()


def double(state: State) -> None:
    state["postprocessor.w"] = state["postprocessor.w"].double()


def sparsify(state: State) -> None:
    state["postprocessor.w"] = state["postprocessor.w"].to_sparse()


def evaporate(state: State) -> None:
    state["postprocessor.w"] = state["postprocessor.w"].to("meta")


def diverge(state: State) -> None:
    state["conv0.conv.bn.running_var"][3] = float("nan")


def overflow(state: State) -> None:
    state["conv0.conv.bn.weight"][0] = float("inf")


def put_a_number(state: State) -> None:
    state["postprocessor.b"] = 0.0


def put_a_number_as_name(state: State) -> None:
    state[5] = state["postprocessor.b"]  # type: ignore[index]


def put_twice(state: State) -> None:
    state["module.postprocessor.b"] = state["postprocessor.b"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop, r"lacks the tensor layer3_img\.1\.bn2\.running_var"),
        (drop_counter, r"lacks the tensor layer3_img\.1\.bn2\.num_batches_tracked"),
        (add, r"holds the tensor layer5_img\.weight"),
        (add_unknown_guide, r"holds the tensor conv_aux\.conv\.0\.weight"),
        (drop_guide, "guides of the network in"),
        (bend, r"postprocessor\.b in .* has the shape \(1, 1\), not \(1,\)"),
        (bend_stem, r"conv_dem\.conv\.0\.weight in .* has the shape \(4,\)"),
        (bend_image, r"conv_img\.conv\.0\.weight in .* has the shape \(4, 4, 5, 5\), not \(4, 3, 5, 5\)"),
        (widen, "width 100000"),
        (disagree_on_width, r"conv_dem\.conv\.0\.bias in .* has the shape \(4,\), not \(8,\)"),
        (halve_statistics, r"conv0\.conv\.bn\.running_var in .* is torch\.float16"),
        (double, r"postprocessor\.w in .* is torch\.float64"),
        (sparsify, r"postprocessor\.w in .* is .*sparse"),
        (evaporate, r"postprocessor\.w in .* is .*meta"),
        (diverge, r"conv0\.conv\.bn\.running_var in .* not finite"),
        (overflow, r"conv0\.conv\.bn\.weight in .* not finite"),
        (put_a_number, r"postprocessor\.b in .* is a float, not a tensor"),
        (put_a_number_as_name, "5 in .* not a tensor"),
        (put_twice, r"tensor postprocessor\.b twice"),
    ],
)
def test_a_wrong_tensor_is_named(
    layout: Layout, refused: Refused, state: State, path: Path, damage: Callable[[State], None], message: str
) -> None:
    damage(state)
    torch.save(layout(state), path)
    refused(path, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        (torch.zeros(3), "holds a Tensor"),
        ({"state_dict": [1]}, "state_dict of .* is a list"),
        ({}, "lacks the tensor conv_dem"),
        ({"state_dict": {}}, "lacks the tensor conv_dem"),
        ({"epoch": 3}, "epoch in .* is a int, not a tensor"),
        ({"fc.weight": torch.zeros(2, 2)}, "holds no JSPSR network"),
    ],
)
def test_other_contents_are_refused(refused: Refused, path: Path, content: object, message: str) -> None:
    torch.save(content, path)
    refused(path, message)


def test_missing_files_and_folders(refused: Refused, tmp_path: Path) -> None:
    for name in ("nowhere.pt", "x" * 5000, "nul\0"):
        refused(tmp_path / name, "no weights file")
    refused(tmp_path, "is not a file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>quota</html>", "is a web page"),
        (b"II*\0" + bytes(1000), "neither a safetensors file nor"),
        (b"PK\x03\x04" + bytes(200), "damaged"),
        (b"PK", "damaged"),
        (b"\x80\x02", "damaged"),
        (b"\x80\x04garbage", "damaged"),
        (struct.pack("<Q", 2**62) + b"{}", "damaged safetensors"),
        (struct.pack("<Q", 2) + b"{}", "lacks the tensor"),
        (struct.pack("<Q", 2) + b"{]", "damaged safetensors"),
    ],
)
def test_other_files_are_refused(refused: Refused, path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    refused(path, message)


@pytest.mark.parametrize("container", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
def test_truncated_files_are_refused(
    layout: Layout, refused: Refused, state: State, network: JSPSR, path: Path, container: str, kept: float
) -> None:
    if container == "safetensors":
        save_network(network, path, WeightsInfo(name="small", sha256="", inputs=("image",), num_feature=4))
    else:
        torch.save(layout(state), path, _use_new_zipfile_serialization=container == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    refused(path, "damaged")


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scrambled_files_are_refused_or_loaded_but_never_crash(state: State, path: Path, data: st.DataObject) -> None:
    tensors = {name: state[name] for name in list(state)[:4]}
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=data.draw(st.booleans()))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        load_network(path)


# Nothing is run


class Bomb:
    """Unpickling this runs a shell command."""

    def __init__(self, marker: Path, function: str) -> None:
        self.marker = marker
        self.function = function

    def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
        import os

        if self.function == "system":
            return os.system, (f"touch {self.marker}",)
        if self.function == "open":
            return open, (str(self.marker), "w")
        return eval, (f"open({str(self.marker)!r}, 'w')",)


@pytest.mark.parametrize("function", ["system", "open", "eval"])
@pytest.mark.parametrize("container", ["zip", "legacy", "plain"])
@pytest.mark.parametrize("name", ["evil.pt", "evil.safetensors"])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(
    layout: Layout, refused: Refused, state: State, tmp_path: Path, function: str, container: str, name: str
) -> None:
    marker, path = tmp_path / "marker", tmp_path / name
    content = layout(state) | {"best_result": Bomb(marker, function)}
    if container == "plain":
        path.write_bytes(pickle.dumps(Bomb(marker, function)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    refused(path, "could run code")
    assert not marker.exists()
    # The bomb is live: an ordinary unpickling sets it off.
    if container == "plain":
        opened = pickle.loads(path.read_bytes())
        assert marker.exists()
        if function != "system":
            opened.close()


def test_a_whole_pickled_network_is_refused(refused: Refused, network: JSPSR, path: Path) -> None:
    torch.save(network, path)
    refused(path, "could run code")
