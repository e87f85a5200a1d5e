"""What is said of mistaken and broken inputs of `jspsr prepare`, and when."""

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from jspsr_cli.errors import OtherWork, OutputExists, OutputNotWritable
from jspsr_cli.training import making
from jspsr_cli.training.journal import Record, SampleJournal
from jspsr_cli.training.prepare import prepare
from tests.training.prepared import Scene
from tests.training.test_prepare import run


def test_a_file_that_breaks_off_is_one_bad_file(scene: Scene, tmp_path: Path) -> None:
    path = scene.files["terrain"][0]
    os.truncate(path, path.stat().st_size // 2)
    out = tmp_path / "set"
    report = scene.run(out, size=16)
    omitted = json.loads((out / "prepare" / "Here.json").read_text())["omitted"]
    assert len(omitted) == 30
    assert len({why for *_, why in omitted}) > 1  # it breaks off elsewhere for other samples
    assert len(report.bad_files) == len([text for text in report.warnings if "broke off" in text]) == 1
    assert report.bad_files[0].startswith(str(path))
    page = (out / "summary.html").read_text()
    assert "<p>Files left out:</p><ul><li>" + report.bad_files[0][:40] in page
    with Path(str(report.omissions)).open(newline="") as file:
        assert [row["sample"] for row in csv.DictReader(file)].count("") == 1


def test_unknown_land_use_names_the_sample(source: Path, tmp_path: Path) -> None:
    for city, id_ in (("Angers", "1"), ("Brest", "2")):
        with rasterio.open(source / city / "UA2012" / f"{id_}_UA2012.tif", "r+") as dataset:
            dataset.write(np.full((200, 200), 99, dtype=np.uint16), 1)
    report = prepare(tmp_path / "data", source=source)
    said = "{}_UA2012.tif holds the land use value 99"
    assert [text.split(", which")[0] for text in report.bad_files] == [
        f"Angers/1: {said.format(1)}",
        f"Brest/2: {said.format(2)}",
    ]


def test_a_layer_in_another_place_is_a_bad_file(source: Path, tmp_path: Path) -> None:
    path = source / "Brest" / "COP30" / "2_COP30.tif"
    with rasterio.open(path, "r+") as dataset:
        dataset.crs = "EPSG:32631"
    report = prepare(tmp_path / "data", source=source)
    assert report.left_out == {"bad file": 1}
    assert report.bad_files == (f"Brest/2: {path} lies off the terrain model of its sample: check its CRS",)


def test_the_same_model_twice_is_doubted(scene: Scene, tmp_path: Path) -> None:
    scene.write("dem", scene.terrain()[::4, ::4], 8)
    report = scene.run(tmp_path / "set", terrain=[tmp_path / "dem.tif"], dem=[tmp_path / "dem.tif"])
    assert report.rmse == pytest.approx(0, abs=0.05)
    assert "all but the same" in report.warnings[-1]
    assert not any("all but the same" in text for text in scene.run(tmp_path / "other").warnings)


@pytest.mark.parametrize("far", [0, 300])
def test_a_terrain_that_is_like_no_terrain_is_doubted(scene: Scene, tmp_path: Path, far: float) -> None:
    """Canopy begins at 0 m; terrain in another datum, however far, does not."""
    trees = np.random.default_rng(1).integers(0, 25, (128, 320)).astype(np.float32)
    scene.write("trees", trees, 4)
    scene.write("dtm", scene.terrain() + far, 2, nodata=-1)
    for terrain, doubted in ((scene.files["terrain"], False), ([tmp_path / "trees.tif"], True)):
        said: list[str] = []
        files: dict[str, Any] = scene.files | {"terrain": terrain}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jspsr_cli.training.prepare.make_sample", stop)
            with pytest.raises(KeyboardInterrupt):
                prepare(tmp_path / terrain[0].stem, **files, on_warning=said.append)
        assert any("begins at 0 m, far from the DEM" in text for text in said) == doubted


def stop(*_: Any) -> Record:
    raise KeyboardInterrupt


@pytest.mark.parametrize("content", [b"\xff\n", b"[]\n", b"{}\n{}\n", b"nonsense\n"])
def test_a_damaged_journal_is_no_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "Here.jsonl"
    path.write_bytes(content)
    with pytest.raises(OtherWork, match="is damaged: --restart"), SampleJournal(path, {"the version": "1"}):
        pass
    assert path.read_bytes() == content


def test_warnings_are_said_when_they_are_known_and_once(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [f"--{'guide' if role == 'image' else role}={paths[0]}" for role, paths in scene.files.items()]
    command = ("prepare", *files, "-o", tmp_path / "set", "--size", 32)
    monkeypatch.setattr("jspsr_cli.training.prepare.make_sample", stop)
    assert "--match-datum" in run(*command, code=130).stderr
    monkeypatch.setattr("jspsr_cli.training.prepare.make_sample", making.make_sample)
    result = run(*command, "--json")
    warnings = json.loads(result.stdout)["warnings"]
    assert warnings
    assert re.findall("jspsr: warning: (.*)\n", result.stderr) == warnings


def test_a_set_never_goes_where_it_cannot_or_must_not(source: Path, scene: Scene, tmp_path: Path) -> None:
    before = sorted(source.rglob("*"))
    with pytest.raises(OutputExists, match="give another --output"):
        prepare(source / "Brest" / "..", source=source)
    assert sorted(source.rglob("*")) == before
    (tmp_path / "afile").write_text("")
    for where in (tmp_path / "afile" / "x", Path("/proc/x")):
        with pytest.raises(OutputNotWritable, match="cannot be written"):
            scene.run(where)
