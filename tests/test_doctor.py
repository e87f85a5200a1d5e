"""`jspsr doctor` tells what is wrong, and how to mend it."""

import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from jspsr_cli import __version__, doctor
from jspsr_cli.main import cli
from jspsr_models import registry
from jspsr_models.registry import WeightsEntry


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments])


def found(name: str) -> dict[str, str]:
    """The finding about `name`."""
    findings = json.loads(run("--json").stdout)["findings"]
    one = next(finding for finding in findings if finding["name"] == name)
    assert isinstance(one, dict)
    return one


def test_a_sound_machine(cache: Path) -> None:
    done = run()
    assert done.exit_code == 0, done.output
    assert "no problem found" in done.stdout
    assert f"ok    versions         jspsr                    {__version__}" in done.stdout
    assert found("cache")["value"].startswith(str(cache))
    assert not cache.exists()


def test_folder_that_cannot_be_written_to(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    cache.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != cache and real(path, mode))
    done = run()
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("BAD"))
    assert f"{cache} cannot be written to" in lines[at]
    assert lines[at + 1].strip() == "Set JSPSR_CACHE to a folder that you may write to."
    assert lines[-1] == "1 problem"


def test_full_disk_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK", float("inf"))
    assert (found("cache")["state"], run().exit_code) == ("note", 0)
    assert "5 GB" in found("cache")["remedy"]


def test_damaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "damaged").write_bytes(b"damaged")
    monkeypatch.setattr(WeightsEntry, "path", tmp_path / "damaged")
    finding = found("starter-8m-canopy")
    assert (finding["state"], finding["value"]) == ("problem", "changed or damaged")
    assert finding["remedy"] == "Install jspsr again."


def test_missing_weights_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "registry.py"))
    finding = found("starter-8m-canopy")
    assert (finding["state"], finding["value"], finding["remedy"]) == ("problem", "not here", "Install jspsr again.")
    assert found("jspsr-8m-image")["state"] == "ok"


def test_record_that_cannot_be_read(cache: Path) -> None:
    (cache / "weights").mkdir(parents=True)
    for name in ("jspsr-8m-image.pt", "jspsr-8m-image.pt.sha256"):
        (cache / "weights" / name).write_bytes(b"nothing")
    assert "holds no sha256" in found("jspsr-8m-image")["value"]
    assert found("jspsr-3m-image")["value"] == "not here"


def test_library_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run()
    assert done.exit_code == 1
    assert "import of torch halted" in done.stdout
    assert "this is a bug" not in done.output


def test_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED_DRIVERS", ("GTiff", "Papyrus"))
    finding = found("Papyrus")
    assert (finding["state"], finding["value"]) == ("problem", "missing")
    assert finding["remedy"]


def test_data_of_another_gis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FOREIGN_VARIABLES", ("ANOTHER_GIS",))
    monkeypatch.setenv("ANOTHER_GIS", "/opt/gis")
    assert found("ANOTHER_GIS") == {
        "topic": "formats", "name": "ANOTHER_GIS", "value": "/opt/gis", "state": "note",
        "remedy": "Unset ANOTHER_GIS if coordinate systems or formats are not found.",
    }  # fmt: skip


def test_grids_are_fetched_with_what_pip_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    """PROJ's own projsync is in no wheel."""
    nothing = SimpleNamespace(transformers=[], best_available=False)
    monkeypatch.setattr("pyproj.transformer.TransformerGroup", lambda *_, **__: nothing)
    finding = found("EGM2008 (COP30, FABDEM)")
    assert finding["remedy"].startswith("For --vertical-crs: pyproj sync --file us_nga_egm08_25.tif")
    assert "pyproj" in {script.name for script in entry_points(group="console_scripts")}


def test_what_fails_to_be_examined_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def _devices() -> Iterator[doctor.Finding]:
        raise RuntimeError("no driver")

    monkeypatch.setattr(doctor, "CHECKS", (_devices, doctor._folders))
    finding = found("examination")
    assert (finding["topic"], finding["value"]) == ("devices", "RuntimeError: no driver")
    assert found("cache")["state"] == "ok"
