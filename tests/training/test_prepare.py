"""`jspsr prepare`: from rasters to a training set, once, all of it, and nothing that cannot be learned from."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from click.testing import CliRunner, Result

from jspsr_cli.errors import CoarseGuide, InvalidOption, NothingKept, OtherWork, OutputExists, UnreadableRaster
from jspsr_cli.main import cli
from jspsr_cli.training import making
from jspsr_cli.training.journal import Record
from jspsr_cli.training.limits import Beyond
from jspsr_cli.training.prepare import prepare
from jspsr_cli.training.reading import read_config
from tests.scenes import bicubic, centres, damaged, heights_of
from tests.training.prepared import CELL, COLUMNS, PIXEL, ROWS, SIDE, WEST, Scene, ids, layer, plane


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_layers_are_those_of_enhance(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    report = scene.run(out, valid_share=0)
    assert (report.kept, report.left_out, report.cities) == (10, {}, {"Here": 10})
    # The id counts squares from the origin of the CRS.
    assert ids(out, "Here") == [f"e{1951 + c}n{20_332 + r}" for c in range(COLUMNS) for r in range(ROWS)]
    path = layer(out, "e1952n20333", "RGEALTI")
    x, y, crs = centres(path)
    assert (x.shape, x[0, 0], y[-1, 0]) == ((SIDE, SIDE), 1952 * CELL + PIXEL / 2, 20_333 * CELL + PIXEL / 2)
    np.testing.assert_allclose(heights_of(path), plane(x, y), atol=1e-3)  # the average of a plane
    expected = bicubic(scene.files["dem"][0], x, y, crs)
    np.testing.assert_allclose(heights_of(layer(out, "e1952n20333", "COP30")), expected, atol=1e-3)
    known = {"BDORTHO": [[20], [100], [40]], "UA2012": [[10]], "CHM": [[5]]}
    for name, values in known.items():
        with rasterio.open(layer(out, "e1952n20333", name)) as dataset:
            np.testing.assert_allclose(
                dataset.read().reshape(len(values), -1), np.broadcast_to(values, (len(values), SIDE**2)), atol=0.5
            )
            assert dataset.dtypes[0] == ("float32" if name == "CHM" else "uint8")
    above = [heights_of(layer(out, id_, "COP30")) - heights_of(layer(out, id_, "RGEALTI")) for id_ in ids(out, "Here")]
    assert report.rmse == pytest.approx(np.sqrt(np.mean(np.square(above))), abs=1e-4)
    assert report.bias == pytest.approx(np.mean(above), abs=1e-4)


def spoil(scene: Scene) -> None:
    """A void in the first sample of the north, a dam on the second, the sea in the third."""
    ground = scene.terrain()
    scene.cell(ground, 0, 0)[10:20, 10:20] = -1
    scene.cell(ground, 1, 0)[:64] += 40
    scene.cell(ground, 2, 0)[:] = 50
    scene.write("dtm", ground, 2, nodata=-1)


def test_what_cannot_be_learned_from_is_left_out_and_counted(scene: Scene, tmp_path: Path) -> None:
    spoil(scene)
    out = tmp_path / "set"
    report = scene.run(out)
    assert report.left_out == {"voids": 1, "flat water": 1, "changed ground": 1}
    assert report.kept == 7
    kept = ids(out, "Here") + ids(out, "Here_valid")
    assert not {f"e{1951 + c}n20333" for c in range(3)} & set(kept)
    page = (out / "summary.html").read_text()
    share = re.search("Here/e1952n20333: COP30 is 3[0-9] m below the terrain in ([0-9]+)%", page)
    assert share
    assert 35 < int(share[1]) <= 50  # at the dam's steep side more is explained
    assert "Here/e1951n20333: RGEALTI has no data in 0.4%" in page  # of whole pixels
    assert page.count("data:image/png;base64,") == 6 * (3 + 1)


def test_voids_that_are_allowed_stay_voids_of_the_truth_only(scene: Scene, tmp_path: Path) -> None:
    ground = scene.terrain()
    scene.cell(ground, 0, 0)[:64] = -1
    scene.write("dtm", ground, 2, nodata=-1)
    with rasterio.open(scene.files["image"][0], "r+") as dataset:
        dataset.nodata = 0
        values = dataset.read()
        scene.cell(values, 0, 0)[:, :, :32] = 0
        dataset.write(values)
    out = tmp_path / "set"
    assert scene.run(out, valid_share=0).left_out == {"voids": 1}
    assert scene.run(out, valid_share=0, voids=0.5, restart=True).left_out == {}
    truth = heights_of(layer(out, "e1951n20333", "RGEALTI"))
    quarter = np.zeros((SIDE, SIDE), dtype=bool)
    quarter[16:, 16:] = True
    np.testing.assert_array_equal(~np.isnan(truth), quarter)
    path = layer(out, "e1951n20333", "COP30")
    x, y, crs = centres(path)
    np.testing.assert_allclose(heights_of(path), bicubic(scene.files["dem"][0], x, y, crs), atol=1e-3)
    with rasterio.open(layer(out, "e1951n20333", "BDORTHO")) as dataset:
        assert (dataset.read(1) == 20).all()


def test_squares_over_the_edge_are_told_from_voids(scene: Scene, tmp_path: Path) -> None:
    scene.write("dtm", scene.terrain()[:, 64:], 2, west=WEST + 128)
    assert scene.run(tmp_path / "set").left_out == {"at the edge": 2}


def test_training_and_validation_are_two_pieces(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    report = scene.run(out, valid_share=0.4)
    assert report.cities == {"Here": 6, "Here_valid": 4}
    assert {id_[:5] for id_ in ids(out, "Here_valid")} == {"e1954", "e1955"}
    # Another share moves samples and makes none.
    again = scene.run(out, valid_share=1)
    assert (again.made, again.cities, again.config) == (0, {"Here_valid": 10}, None)
    assert not (out / "own_8m" / "Here").exists()
    assert "no config.yaml yet, for lack of samples to train on" in again.warnings[-1]


def test_places_are_gathered_in_one_training_file(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    scene.run(out, valid_share=0)
    report = scene.run(out, name="There", valid_share=1, canopy=[], simulated=True)
    config, _ = read_config(str(report.config))
    assert (config.train_set, config.valid_set) == (("Here",), ("There_valid",))
    assert config.input_data == {"COP30": 1, "image": 3, "mask": 15}  # what both have
    assert config.simulated
    assert "Copernicus" in (config.attribution or "")
    assert config.train_batch_size == 4


def test_the_same_command_makes_nothing_twice(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    first = scene.run(out)
    times = {path: path.stat().st_mtime_ns for path in (out / "own_8m").rglob("*.tif")}
    again = scene.run(out)
    assert (first.made, again.made) == (10, 0)
    assert {path: path.stat().st_mtime_ns for path in (out / "own_8m").rglob("*.tif")} == times
    layer(out, "e1952n20333", "COP30").unlink()
    assert scene.run(out).made == 1
    scene.write("chm", np.zeros((10, 10), dtype=np.uint8), 200)
    with pytest.raises(CoarseGuide):
        scene.run(out)
    scene.write("chm", np.zeros((128, 320), dtype=np.uint8), 4)
    with pytest.raises(OtherWork, match=r"other inputs or options \(file 1 of CHM was chm.tif, .* --restart"):
        scene.run(out)
    with pytest.raises(OtherWork, match=r"--voids was 0.0 and is 0.5"):
        scene.run(out, voids=0.5)
    half = scene.write("half", scene.terrain()[:, :320], 2)
    with pytest.raises(OtherWork, match=r"file 1 of RGEALTI was dtm.tif, [^;]* and is half.tif"):
        scene.run(out, terrain=[half])
    assert scene.run(out, restart=True).made == 10
    for name in ("Here.jsonl", "Here.json"):
        (out / "prepare" / name).write_text("nonsense\n")
        with pytest.raises(OtherWork, match=r"is damaged.* --restart"):
            scene.run(out)
        assert scene.run(out, restart=True).made == 10


def test_samples_of_another_version_are_not_taken_up(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "set"
    scene.run(out)
    monkeypatch.setattr("jspsr_cli.training.prepare.__version__", "9.9")
    with pytest.raises(OtherWork, match=r"\(the version was [0-9.]+ and is 9.9\).* --restart"):
        scene.run(out)
    assert scene.run(out, restart=True).made == 10


def test_pixels_beyond_the_network_are_counted(scene: Scene, tmp_path: Path) -> None:
    ground = scene.terrain()
    scene.cell(ground, 1, 0)[:12, :12] = 0  # 9 pixels of the set that are 100 m below the base
    scene.cell(ground, 2, 1)[-8:, :8] = 2000
    scene.write("dtm", ground, 2, nodata=-1)
    trees = np.zeros((128, 320), dtype=np.uint8)
    trees[:4, :6] = 80
    trees[:4, 6:12] = 68
    scene.write("chm", trees, 4)
    out = tmp_path / "set"
    report = scene.run(out)
    assert (report.kept, report.beyond) == (10, Beyond(canopy=6, high=4, low=9))
    said = "6 pixels of canopy above 68 m (taken as 68 m), 4 pixels of DEM or terrain above its heights, 9 pixels of"
    assert [said in text for text in report.warnings] == [False, False, True]
    assert f"<p>Beyond the network&#x27;s range are {said}" in (out / "summary.html").read_text()
    assert scene.run(out).beyond == report.beyond


def test_an_interrupted_run_goes_on(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, real = tmp_path / "set", making.make_sample
    calls = iter(range(100))

    def interrupted(*args: Any, **options: Any) -> Record:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr("jspsr_cli.training.prepare.make_sample", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        scene.run(out)
    assert "the same command goes on" in caught.value.__notes__[0]
    journal = out / "prepare" / "Here.jsonl"
    journal.write_text(journal.read_text()[:-20])  # as a power failure leaves it
    assert scene.run(out).made == 7
    whole = tmp_path / "whole"
    scene.run(whole)
    for path in (whole / "own_8m").rglob("*.tif"):
        assert (out / path.relative_to(whole)).read_bytes() == path.read_bytes()


def test_broken_files_are_named_and_skipped(scene: Scene, tmp_path: Path) -> None:
    ground = scene.terrain()
    half = ground.shape[1] // 2
    west, east = (
        scene.write("west", ground[:, :half], 2),
        scene.write("east", ground[:, half:], 2, west=WEST + 2 * half),
    )
    (tmp_path / "junk.tif").write_text("no raster")
    damaged(east)
    report = scene.run(tmp_path / "set", terrain=[tmp_path / "junk.tif", west, east])
    assert report.bad_files[0].startswith(f"{tmp_path / 'junk.tif'} cannot be read as a raster")
    assert str(east) in report.bad_files[1]
    assert 1 <= report.left_out["bad file"] < 10
    assert report.kept == 10 - report.left_out["bad file"]
    assert all(any(text in warning for warning in report.warnings) for text in report.bad_files)


def test_prepare_then_train_then_validate(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    files = [
        word for role, paths in scene.files.items() for word in (f"--{'guide' if role == 'image' else role}", paths[0])
    ]
    result = run("prepare", *files, "-o", out, "--name", "Here", "--size", SIDE)
    assert result.stdout.startswith("Here: 10 samples (Here 8, Here_valid 2), left out: none; 0 bad files, DEM RMSE ")
    printed = json.loads(run("prepare", *files, "-o", out, "--name", "Here", "--size", SIDE, "--json").stdout)
    assert (printed["kept"], printed["made"], printed["beyond"]) == (10, 0, {"canopy": 0, "high": 0, "low": 0})
    config = yaml.safe_load((out / "config.yaml").read_text())
    config |= {"model_kwargs": {"num_feature": 4}, "epochs": 2, "val_num_visual": 0}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    run("train", tmp_path / "mine.yaml", "-o", tmp_path / "run", "--device", "cpu", "-q")
    weights = tmp_path / "run" / "best.safetensors"
    run(
        "validate", tmp_path / "mine.yaml", "--weights", weights, "-o", tmp_path / "validation", "--device", "cpu", "-q"
    )
    with (tmp_path / "validation" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["place"] for row in rows} >= {"Here_valid"}
    assert len(list((tmp_path / "validation" / "predictions" / "Here_valid").iterdir())) == 2


def test_refusals(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    wrong: dict[str, Any]
    for wrong in ({"dem": []}, {"terrain": []}, {"image": [], "mask": [], "canopy": []}, {"name": "../x"}):
        with pytest.raises(InvalidOption):
            scene.run(out, **wrong)
    with pytest.raises(InvalidOption, match="Give either"):
        prepare(out)
    with pytest.raises(UnreadableRaster):
        scene.run(out, terrain=[tmp_path / "none.tif"])
    with pytest.raises(CoarseGuide, match="choose a --resolution that is no finer"):
        scene.run(out, resolution=1)
    (out / "own_8m" / "Here").mkdir(parents=True)
    with pytest.raises(OutputExists, match="is no work of prepare"):
        scene.run(out)
    (out / "own_8m" / "Here").rmdir()
    with pytest.raises(NothingKept):
        scene.run(out, name="Empty", size=128)
    assert scene.run(out, name="There").config  # a place without samples does not count
    with pytest.raises(OtherWork, match=r"samples was 32 pixels a side and is 40 pixels a side.* --restart"):
        scene.run(out, name="There", size=40)
    scene.run(out)
    with pytest.raises(OutputExists, match=r"Here_valid is of the place Here: give another"):
        scene.run(out, name="Here_valid", valid_share=0)
    with pytest.raises(OtherWork, match="holds own_8m with samples of 32 pixels a side, not own_16m of 32"):
        scene.run(out, name="Else", resolution=16)
