"""`jspsr export`: an ONNX file that predicts what the network does, and says how it is used."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import numpy_helper

from jspsr_cli import __version__, export, exported, extras
from jspsr_cli.main import cli
from jspsr_cli.scaling import HeightScale, scale_canopy, scale_classes, scale_image
from jspsr_models import JSPSR, WeightsInfo, save_network
from jspsr_models.graph import onnx_graph
from jspsr_models.info import METADATA_KEY
from jspsr_models.inputs import VALID_INPUTS

INFO = WeightsInfo(
    name="mine", sha256="", inputs=("canopy",), num_feature=3, resolution=3.0, height_range=(-80.0, 933.0), window=64,
    licence="CC0", attribution="nobody", trained_on="noise", simulated=True, accuracy="none",
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> JSPSR:
    """Random weights, whose batch norm does something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = JSPSR(inputs=("canopy",), num_feature=3)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture(scope="module")
def graph(network: JSPSR) -> bytes:
    """Made once: it takes seconds."""
    content: bytes = onnx_graph(network).SerializeToString()
    return content


@pytest.fixture
def weights(tmp_path: Path, network: JSPSR, graph: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the network, whose graph is made already and compared in small windows."""
    monkeypatch.setattr(export, "onnx_graph", lambda _network: onnx.ModelProto.FromString(graph))
    monkeypatch.setattr(export, "CHECKED", ((2, 16, 24), (1, 24, 16)))
    path = tmp_path / "mine.safetensors"
    save_network(network, path, INFO)
    return path


def run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["export", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def refused(sentence: str, *arguments: str | Path, code: int = 2) -> None:
    """One sentence, and the folder of the last argument as it was."""
    folder = Path(arguments[1]).parent
    before = {path: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
    result = run(*arguments, code=code)
    assert sentence in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert ({path: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}) == before


def test_windows_of_any_number_and_size(network: JSPSR, graph: bytes) -> None:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["dem", "canopy"]
    assert [one.name for one in session.get_outputs()] == ["bare_earth"]
    for windows, rows, columns in ((1, 8, 8), (1, 16, 24), (3, 40, 16)):
        dem, canopy = torch.rand(2, windows, 1, rows, columns)
        (got,) = session.run(None, {"dem": dem.numpy(), "canopy": canopy.numpy()})
        with torch.inference_mode():
            expected = network(dem, canopy=canopy).numpy()
        np.testing.assert_allclose(got, expected, atol=1e-5)
        assert np.abs(expected - dem.numpy()).max() > 1e-2  # the network does something


def test_batch_norm_is_folded_and_no_path_is_told(graph: bytes) -> None:
    assert not {"BatchNormalization", "InstanceNormalization"} & {
        node.op_type for node in onnx.ModelProto.FromString(graph).graph.node
    }
    assert b".py" not in graph


def test_a_file_with_what_it_needs(weights: Path, tmp_path: Path, network: JSPSR) -> None:
    target = tmp_path / "mine.onnx"
    report = json.loads(run(weights, target, "--json").stdout)
    assert (report["path"], report["size"]) == (str(target), target.stat().st_size)
    assert list(report["differences"]) == ["0", "100", "900"]
    assert all(0 < report["differences"][relief] <= limit for relief, limit in report["limits"].items())
    # What is reported is what another reader of the file finds.
    assert export.compare(target, network, HeightScale(-80, 933)) == report["differences"]
    onnx.checker.check_model(target)
    stated = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert stated["sha256"] == report["sha256"]
    assert stated["jspsr_version"] == __version__
    for field, value in json.loads(INFO.to_json()).items():
        assert (stated[field] if isinstance(value, str) else json.loads(stated[field])) == value, field
    assert METADATA_KEY not in stated  # nothing is said twice


def test_the_formulas_are_those_of_the_program() -> None:
    def value(formula: str, **names: Any) -> Any:
        return eval(formula, {"__builtins__": {}} | {n: getattr(np, n) for n in ("log", "exp", "clip", "where")}, names)

    heights, scale = np.array([210.0, 333.3, 1100.0]), HeightScale(-80.0, 929.0)
    for inputs in VALID_INPUTS:
        stated = exported.properties(dataclasses.replace(INFO, inputs=inputs), scale)
        scaled = value(stated["dem_scaling"], z=heights, base=200.0)
        np.testing.assert_allclose(scaled, scale.scale(heights, 200.0), rtol=1e-6)
        np.testing.assert_allclose(value(stated["bare_earth_scaling"], s=scaled, base=200.0), heights)
        assert {name for name in ("image", "mask", "canopy") if name in stated} == set(inputs)
    numbers = np.array([0.0, 3.5, 70.0, 255.0], dtype=np.float32)
    image = exported.properties(dataclasses.replace(INFO, inputs=("image", "mask")), scale)
    np.testing.assert_allclose(value(image["image_scaling"], value=numbers), scale_image(numbers))
    classes = np.arange(15, dtype=np.float32)[None, None]
    stack = [value(image["mask_scaling"], land_use=classes[0], band=band) for band in range(15)]
    np.testing.assert_allclose(np.stack(stack), scale_classes(classes))
    canopy = exported.properties(INFO, scale)["canopy_scaling"]
    np.testing.assert_allclose(value(canopy, metres=numbers), scale_canopy(numbers), rtol=1e-6)


def test_a_file_is_replaced_only_if_asked(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.onnx"
    target.write_bytes(b"old")
    refused("exists; give another name, or --overwrite", weights, target)
    run(weights, target, "--overwrite")
    onnx.checker.check_model(target)
    refused("let its name end with .onnx", weights, weights, "--overwrite")
    refused("does not exist; create it first", weights, tmp_path / "missing" / "mine.onnx")
    refused("no weights file", tmp_path / "none", tmp_path / "other.onnx")


@pytest.mark.parametrize("spoilt", [1e-3, math.nan])
def test_a_file_that_predicts_otherwise_is_not_written(
    weights: Path, tmp_path: Path, graph: bytes, monkeypatch: pytest.MonkeyPatch, spoilt: float
) -> None:
    broken = onnx.ModelProto.FromString(graph)
    (tensor,) = (tensor for tensor in broken.graph.initializer if tensor.name == "output.step.bias")
    values = numpy_helper.to_array(tensor) + np.float32(spoilt)  # 0.6 m at the base
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    monkeypatch.setattr(export, "onnx_graph", lambda _network: broken)
    target = tmp_path / "mine.onnx"
    refused("was not written", weights, target, code=1)
    target.write_bytes(b"old")
    refused("was not written", weights, target, "--overwrite", code=1)


def test_weights_that_cannot_be_exported(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "mine.onnx"
    monkeypatch.setattr(export, "LARGEST", 1000)
    refused("narrower network", weights, target)
    monkeypatch.undo()
    silent = tmp_path / "silent.safetensors"
    with torch.random.fork_rng(devices=[]):
        save_network(JSPSR(num_feature=3), silent, WeightsInfo(name="", sha256="", inputs=("image",), num_feature=3))
    refused("give --resolution", silent, target)


def test_what_is_not_installed_is_named(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxscript" else name)
    refused("pip install 'jspsr[export]'", weights, tmp_path / "mine.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["starter-8m-canopy", "starter-8m-image-canopy"])
def test_the_starter_weights(name: str, tmp_path: Path) -> None:
    target = tmp_path / "starter.onnx"
    result = run(name, target, "--json")
    assert result.stderr == ""
    assert json.loads(result.stdout)["simulated"] is True
    onnx.checker.check_model(target)
