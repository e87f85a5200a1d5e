import dataclasses
import json
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from click.testing import CliRunner, Result

from jspsr_cli.commands import weights as command
from jspsr_cli.commands.weights import cli
from jspsr_cli.main import cli as jspsr
from jspsr_models import WeightsError, identity_checkpoint, load_network, to_released, weights
from jspsr_models.registry import REGISTRY, WeightsEntry


def run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mine.pt"
    torch.save({"state_dict": to_released(identity_checkpoint().state_dict())}, path)
    return path


@pytest.fixture
def pulled(cache: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small entry in the registry, whose file is in the cache."""
    info = dataclasses.replace(REGISTRY["jspsr-8m-image"].info, name="tiny", num_feature=4)
    registry = MappingProxyType({"tiny": WeightsEntry(info=info, drive_id="x", rmse=1.0)})
    for module in (weights, command):
        monkeypatch.setattr(module, "REGISTRY", registry)
    cache.mkdir(parents=True)
    (cache / "tiny.pt").write_bytes(checkpoint.read_bytes())
    return "tiny"


def test_list() -> None:
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "GUIDES", "METRES", "RMSE", "HERE", "LICENCE"]
    assert lines[-3].split()[:7] == ["jspsr-8m-image-mask", "image+mask", "8", "1.0741", "no", "no", "licence"]
    assert len({line[: lines[0].index("GUIDES")].rstrip() for line in lines}) == len(lines)  # columns stay apart
    assert len(lines) == 1 + len(REGISTRY)
    listed = json.loads(run("list", "--json").stdout)
    assert list(listed) == list(REGISTRY)
    assert listed["jspsr-3m-image"]["height_range"] == [-80, 933]
    assert listed["jspsr-3m-image"]["path"] is None


def test_list_shows_what_is_here(pulled: str, cache: Path) -> None:
    assert run("list").stdout.splitlines()[1].split()[4] == "yes"
    assert json.loads(run("list", "--json").stdout)[pulled]["path"] == str(cache / "tiny.pt")


def test_show_a_name_and_a_file(checkpoint: Path) -> None:
    assert "not redistributed" in run("show", "jspsr-8m-image").stdout
    assert json.loads(run("show", "jspsr-8m-image", "--json").stdout)["sha256"] is None
    shown = json.loads(run("show", checkpoint, "--json").stdout)
    assert (shown["inputs"], shown["num_feature"], shown["resolution"]) == (["image"], 4, None)
    assert shown["sha256"] == load_network(checkpoint)[1].sha256


def test_pull_of_what_is_here_writes_the_path_and_nothing_else(pulled: str, cache: Path) -> None:
    result = run("pull", pulled)
    assert (result.stdout, result.stderr) == (f"{cache / 'tiny.pt'}\n", "")
    assert json.loads(run("pull", pulled, "--json").stdout)["path"] == str(cache / "tiny.pt")


def test_pull_says_what_licence_the_weights_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "pull", lambda name, progress: progress(1, 2) or progress(3, None) or tmp_path / name)
    result = run("pull", "jspsr-8m-image")
    assert result.stdout == f"{tmp_path / 'jspsr-8m-image'}\n"
    assert "no licence published" in result.stderr
    assert run("pull", "jspsr-8m-image", "--quiet").stderr == ""


def test_errors_are_left_to_the_edge(tmp_path: Path) -> None:
    new = tmp_path / "x.safetensors"
    for arguments in (("pull", "nope"), ("show", "nope"), ("verify", "nope"), ("convert", "nope", new)):
        assert isinstance(run(*arguments, code=1).exception, WeightsError)


def test_a_wrong_name_ends_with_2_and_a_failed_download_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSPSR_WEIGHTS_URL", "http://127.0.0.1:9/{id}")
    monkeypatch.setenv("no_proxy", "*")
    for name, code, message in (("nope", 2, "no weights are called nope"), ("jspsr-8m-image", 1, "127.0.0.1:9")):
        result = CliRunner().invoke(jspsr, ["weights", "pull", name])
        assert result.exit_code == code
        assert message in result.stderr


def test_verify(pulled: str, checkpoint: Path, cache: Path) -> None:
    sha256 = load_network(checkpoint)[1].sha256
    assert run("verify", pulled, checkpoint).stdout == f"ok  {sha256}  tiny\nok  {sha256}  {checkpoint}\n"
    assert (cache / "tiny.pt.sha256").exists()
    with (cache / "tiny.pt").open("ab") as file:
        file.write(b"x")
    result = run("verify", checkpoint, pulled, "--json", code=1)
    verdicts = json.loads(result.stdout)
    assert verdicts[str(checkpoint)] == {"ok": True, "sha256": sha256, "error": None}
    assert not verdicts[pulled]["ok"]
    assert verdicts[pulled]["error"] == str(result.exception)
    assert "as recorded" in verdicts[pulled]["error"]
    assert run("verify", pulled, code=1).stdout == "BAD  -  tiny\n"


def test_convert(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.safetensors"
    options = ("--resolution", "3", "--name", "mine", "--licence", "CC0", "--trained-on", "noise", "--simulated")
    converted = json.loads(run("convert", checkpoint, target, *options, "--json").stdout)
    info = load_network(target)[1]
    assert converted["sha256"] == info.sha256
    assert (info.name, info.resolution, info.height_range) == ("mine", 3.0, (-80.0, 933.0))
    assert (info.licence, info.trained_on, info.simulated) == ("CC0", "noise", True)
    assert "overwrite" in str(run("convert", checkpoint, target, code=1).exception)
    run("convert", checkpoint, target, "--overwrite", "--not-simulated")
    assert load_network(target)[1].simulated is False
