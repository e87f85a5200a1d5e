"""`jspsr prepare` of a folder of samples like DFC30_source."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine

from jspsr_cli.errors import InvalidOption
from jspsr_cli.training.dfc30 import find_samples
from jspsr_cli.training.prepare import prepare
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.request import PrepareOptions
from tests.scenes import bicubic, centres, heights_of, write_raster
from tests.training.prepared import mesh, plane, write_source


def test_a_folder_of_samples(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    report = prepare(out, source=source)
    assert (report.kept, report.left_out, report.cities) == (4, {}, {"Angers": 1, "Brest": 2, "Caen": 1})
    config, _ = read_config(str(report.config))
    assert (config.train_set, config.valid_set) == (("Brest", "Caen"), ("Angers",))
    found = find_samples(config, ["Brest"], others=True)
    assert ([sample.id for sample in found.samples], found.side, found.warnings) == (["2", "10"], 128, ())
    pixels = found.samples[0].read()
    assert (pixels.guides["mask"] == 10).all()  # Urban Atlas 31000 are forests
    assert (pixels.guides["image"] == 77).all()
    assert config.inputs == ("image", "mask")  # a network takes no canopy beside them
    assert set(pixels.others) == {"FATHOM"}
    path = out / "DFC30_8m" / "Brest" / "RGEALTI" / "2_RGEALTI.tif"
    with rasterio.open(path) as dataset:
        assert (dataset.crs.to_epsg(), dataset.bounds[:], dataset.res) == (
            2154, (401_000, 6_699_000, 402_000, 6_700_000), (1000 / 128, 1000 / 128),
        )  # fmt: skip
    x, y, crs = centres(path)
    edges, fine = 1000 / 128 * np.arange(129), 5.0 * np.arange(201)
    shared = np.minimum(edges[1:, None], fine[None, 1:]) - np.maximum(edges[:-1, None], fine[None, :-1])
    weights = np.maximum(shared, 0) * 128 / 1000
    ground = heights_of(source / "Brest" / "RGEALTI" / "2_RGEALTI.tif")
    np.testing.assert_allclose(heights_of(path), weights @ ground @ weights.T, atol=1e-3)
    dem = out / "DFC30_8m" / "Brest" / "COP30" / "2_COP30.tif"
    expected = bicubic(source / "Brest" / "COP30" / "2_COP30.tif", x, y, crs)
    np.testing.assert_allclose(heights_of(dem), expected, atol=1e-3)
    assert prepare(out, source=source).made == 0


def test_bad_samples_of_a_folder_are_named_and_made_once_they_are_repaired(source: Path, tmp_path: Path) -> None:
    (source / "Caen" / "COP30" / "4_COP30.tif").write_text("no raster")
    (source / "Brest" / "CHM" / "2_CHM.tif").unlink()
    path = source / "Brest" / "RGEALTI" / "10_RGEALTI.tif"
    good = path.read_bytes()
    x, y = mesh(402_000, 6_700_000, 5, 150, 150)
    write_raster(path, plane(x, y).astype(np.float32), crs="EPSG:2154", transform=Affine(5, 0, 402_000, 0, -5, 67e5))
    shutil.copy(source / "Angers" / "COP30" / "1_COP30.tif", source / "Angers" / "COP30" / "stray.tif")
    out = tmp_path / "data"
    report = prepare(out, source=source)
    assert (report.kept, report.left_out) == (1, {"bad file": 2, "layer missing": 1})
    assert [text.split("DFC30_source/")[1].split(" ")[0] for text in report.bad_files] == [
        "Angers/COP30/stray.tif", "Brest/RGEALTI/10_RGEALTI.tif", "Caen/COP30/4_COP30.tif",
    ]  # fmt: skip
    path.write_bytes(good)
    again = prepare(out, source=source)
    assert (again.made, again.kept) == (2, 2)  # the other bad one is tried again


def test_a_file_that_could_not_be_read_for_a_while_is_read_by_the_next_run(source: Path, tmp_path: Path) -> None:
    path = source / "Caen" / "COP30" / "4_COP30.tif"
    good, status = path.read_bytes(), path.stat()
    for content, made, kept in ((bytes(len(good)), 4, 3), (good, 1, 4), (good, 0, 4)):
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a share that was away leaves it
        report = prepare(tmp_path / "data", source=source)
        assert (report.made, report.kept) == (made, kept)


def test_cities_that_would_share_a_folder_are_refused(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source / "Caen", source / "Brest_valid")
    with pytest.raises(InvalidOption, match=r"holds Brest and Brest_valid, .*: rename one"):
        prepare(tmp_path / "data", source=source)
    shutil.rmtree(source / "Brest")
    assert prepare(tmp_path / "data", source=source).kept == 3


def test_samples_whose_files_are_gone_leave_the_set(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    cities = out / "DFC30_8m"
    prepare(out, source=source)
    for path in {*source.glob("Brest/*/2_*.tif"), *source.glob("*/FATHOM/*")}:
        path.unlink()
    shutil.rmtree(source / "Caen")
    report = prepare(out, source=source)
    assert (report.kept, report.gone, report.cities) == (2, 2, {"Angers": 1, "Brest": 1})
    assert "2 samples left the set, since their files are gone: Brest/2, Caen/4" in report.warnings
    assert sorted(path.name for path in cities.glob("*/*/*")) == [
        f"{id_}_{layer}.tif" for id_ in ("10", "1") for layer in ("BDORTHO", "CHM", "COP30", "RGEALTI", "UA2012")
    ]
    assert [path.name for path in cities.iterdir() if path.name != "Angers"] == ["Brest"]
    assert yaml.safe_load(Path(str(report.config)).read_text())["train_set"] == ["Brest"]
    assert (prepare(out, source=source).gone, prepare(out, source=source).made) == (0, 0)


def test_restart_removes_cities_that_are_gone(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    prepare(out, source=source)
    shutil.rmtree(source / "Caen")
    prepare(out, source=source, options=PrepareOptions(restart=True))
    assert sorted(path.name for path in (out / "DFC30_8m").iterdir()) == ["Angers", "Brest"]


def test_all_that_is_left_out_is_in_a_list(source: Path, tmp_path: Path) -> None:
    for number in range(6):
        (source / "Angers" / "CHM" / f"stray{number}.tif").write_text("")
    (source / "Brest" / "CHM" / "2_CHM.tif").unlink()
    report = prepare(tmp_path / "data", source=source)
    left_out = [text for text in report.warnings if text.startswith("left out: ")]
    assert len(left_out) == 6
    assert left_out[-1] == f"left out: 2 more, which {tmp_path / 'data' / 'left_out.csv'} lists"
    assert f"(see {report.omissions})" in report.summary
    with Path(str(report.omissions)).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["what"].split(" is not")[0] for row in rows[:6]] == [
        str(source / "Angers" / "CHM" / f"stray{number}.tif") for number in range(6)
    ]
    assert rows[6:] == [
        {"place": "DFC30_source", "sample": "Brest/2", "reason": "layer missing", "what": "CHM missing"}
    ]
    write_source(source, "Brest", "2", 1)
    for number in range(6):
        (source / "Angers" / "CHM" / f"stray{number}.tif").unlink()
    assert prepare(tmp_path / "data", source=source).omissions is None
    assert not (tmp_path / "data" / "left_out.csv").exists()
