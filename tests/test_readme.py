"""What the README tells a newcomer to type works as it stands there."""

import dataclasses
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from jspsr_cli.main import cli
from jspsr_models import WeightsInfo, identity_checkpoint, save_network, to_released, weights
from jspsr_models.registry import REGISTRY
from tests.scenes import cop30, guide_over, heights_of

README = Path(__file__).parents[1] / "README.md"
CRS = "EPSG:32631"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files that the README speaks of, and a server with small weights of the names that it has."""
    served, here = tmp_path / "served", tmp_path / "here"
    for folder in (served, here):
        folder.mkdir()
    torch.save({"state_dict": to_released(identity_checkpoint().state_dict())}, served / "weights.pt")
    monkeypatch.setattr(
        weights,
        "REGISTRY",
        MappingProxyType(
            {
                name: dataclasses.replace(entry, info=dataclasses.replace(entry.info, num_feature=4))
                if entry.drive_id
                else entry
                for name, entry in REGISTRY.items()
            }
        ),
    )
    dem = cop30(here / "cop30.tif", lon=3.0, lat=48.5, size=40)
    guide_over(here / "ortho.tif", dem, crs=CRS, resolution=4)
    guide_over(here / "chm.tif", dem, crs=CRS, resolution=4, bands=1, values=np.array([7]))
    for copy, original in {"N48E002.tif": dem, "west.tif": here / "ortho.tif"}.items():
        shutil.copy(original, here / copy)
    cop30(here / "N48E003.tif", lon=3.005, lat=48.5, size=40)
    guide_over(here / "east.tif", here / "N48E003.tif", crs=CRS, resolution=4)
    info = WeightsInfo(name="mine", sha256="", inputs=("canopy",), num_feature=4, resolution=8.0, licence="none")
    save_network(identity_checkpoint(("canopy",)), here / "mine.safetensors", info)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served))
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("jspsr_cli.trial.TRIAL_SECONDS", 1e-9)
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JSPSR_WEIGHTS_URL", f"http://127.0.0.1:{server.server_port}/weights.pt?{{id}}")
    monkeypatch.chdir(here)
    yield here
    server.shutdown()
    server.server_close()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_commands(newcomer: Path) -> None:
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    typed = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("jspsr ")]
    # Training takes hours as it is written there; tests/training runs it on a small set, tests/fetch what fetches;
    # what compares with a terrain model, or is exported, has tests of its own.
    fetching = {"fetch-copernicus", "fetch-fabdem", "fetch-canopy", "--fetch"}
    left_out = fetching | {"prepare", "train", "validate", "evaluate", "preview", "export"}
    commands = [command for command in typed if not left_out & {command[0], *command[1:2]}]
    assert len(commands) > 5
    for command in commands:
        (newcomer / "dem.tif").unlink(missing_ok=True)  # each stands for itself
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, (command, done.output)
        assert (newcomer / "dem.tif").exists() == (command[0] == "enhance" and "--dry-run" not in command)


def test_python(newcomer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert CliRunner().invoke(cli, ["weights", "pull", "jspsr-8m-image"]).exit_code == 0
    scope = {"dem": torch.rand(1, 1, 64, 64), "image": torch.rand(1, 3, 64, 64)}
    for block in blocks("python"):
        exec(block, scope)
    assert "dem.tif: " in capsys.readouterr().out
    assert np.isfinite(heights_of(newcomer / "dem.tif")).any()
    assert scope["scaled"].shape == (1, 1, 64, 64)
