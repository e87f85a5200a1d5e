"""`jspsr prepare`: from rasters, or a folder of samples, to a training set."""

import csv
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import yaml
from affine import Affine
from click.testing import CliRunner, Result
from pyproj import datadir

from jspsr_cli.errors import CoarseGuide, InvalidOption, OutputExists, RunMismatch, UnknownDatum, UnreadableRaster
from jspsr_cli.main import cli
from jspsr_cli.raster.grid import Grid
from jspsr_cli.training import making
from jspsr_cli.training.dfc30 import find_samples
from jspsr_cli.training.ground import CHANGED, FLAT, unsuitable
from jspsr_cli.training.journal import Record
from jspsr_cli.training.prepare import PrepareOptions, prepare
from jspsr_cli.training.reading import read_config
from jspsr_cli.training.results import PrepareReport
from jspsr_cli.training.split import split
from tests.geoids import EGM2008, GEOIDS, write_geoid
from tests.scenes import Array, bicubic, centres, damaged, heights_of, write_raster

UTM = "EPSG:32631"

#: a sample of the scene: 32 pixels of 8 m; its first one begins on the lattice, at longitude 3 and latitude 47
SIDE, PIXEL = 32, 8.0
CELL = SIDE * PIXEL
WEST, SOUTH = 1951 * CELL, 20_332 * CELL
COLUMNS, ROWS = 5, 2


def plane(x: Array, y: Array) -> Array:
    heights: Array = 100 + 0.02 * (x - WEST) + 0.03 * (y - SOUTH)
    return heights


def mesh(west: float, north: float, size: float, columns: int, rows: int) -> tuple[Array, Array]:
    x, y = np.meshgrid(west + size * (np.arange(columns) + 0.5), north - size * (np.arange(rows) + 0.5))
    return x, y


@dataclass
class Scene:
    """Rasters of 5 x 2 samples: a plane under a wavy DEM, and guides whose averages are known."""

    folder: Path

    @property
    def files(self) -> dict[str, list[Path]]:
        names = {"terrain": "dtm", "dem": "cop30", "image": "ortho", "mask": "use", "canopy": "chm"}
        return {role: [self.folder / f"{name}.tif"] for role, name in names.items()}

    def run(self, out: Path, **options: Any) -> PrepareReport:
        files = self.files | {role: options.pop(role) for role in self.files if role in options}
        return prepare(out, **files, options=PrepareOptions(**{"name": "Here", "size": SIDE, **options}))

    def write(self, name: str, values: Array, size: float, *, west: float = WEST, **profile: Any) -> Path:
        north = SOUTH + ROWS * CELL
        return write_raster(
            self.folder / f"{name}.tif", values, crs=UTM, transform=Affine(size, 0, west, 0, -size, north), **profile
        )

    def terrain(self) -> Array:
        x, y = mesh(WEST, SOUTH + ROWS * CELL, 2, int(COLUMNS * CELL / 2), int(ROWS * CELL / 2))
        return plane(x, y).astype(np.float32)

    def cell(self, values: Array, column: int, row_from_north: int) -> Array:
        side = values.shape[-1] // COLUMNS
        return values[..., row_from_north * side : (row_from_north + 1) * side, column * side : (column + 1) * side]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.write("dtm", made.terrain(), 2, nodata=-1)
    step = 1 / 3600
    to_map = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    lon, lat = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(WEST, SOUTH + ROWS * CELL)
    west, north = lon - 20 * step, lat + 20 * step
    lons, lats = np.meshgrid(west + step * (np.arange(110) + 0.5), north - step * (np.arange(60) + 0.5))
    x, y = to_map.transform(lons, lats)
    heights = (plane(x, y) + 2 + np.sin(x / 70) + np.cos(y / 50)).astype(np.float32)
    write_raster(tmp_path / "cop30.tif", heights, crs="EPSG:4326", transform=Affine(step, 0, west, 0, -step, north))
    shape = (int(ROWS * CELL / 4), int(COLUMNS * CELL / 4))
    even = np.indices(shape).sum(axis=0) % 2
    corner = (np.indices(shape) % 2 == 0).all(axis=0)
    made.write("ortho", np.stack([10 + 20 * even, 100 + 0 * even, 40 + even]).astype(np.uint8), 4)
    made.write("use", np.where(corner, 7, 10).astype(np.uint8), 4)
    made.write("chm", (10 * even).astype(np.uint8), 4)
    return made


def layer(out: Path, id_: str, name: str, *, city: str = "Here") -> Path:
    return out / "own_8m" / city / name / f"{id_}_{name}.tif"


def ids(out: Path, city: str, name: str = "RGEALTI") -> list[str]:
    return sorted(path.name.removesuffix(f"_{name}.tif") for path in (out / "own_8m" / city / name).iterdir())


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
    assert config.train_batch_size == 2


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
    with pytest.raises(RunMismatch, match=r"other inputs or options \(CHM was chm.tif of .* --restart"):
        scene.run(out)
    with pytest.raises(RunMismatch, match=r"--voids was 0.0 and is 0.5"):
        scene.run(out, voids=0.5)
    assert scene.run(out, restart=True).made == 10
    (out / "prepare" / "Here.jsonl").write_text("nonsense\n")
    with pytest.raises(RunMismatch, match="is damaged: --restart"):
        scene.run(out)


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
    assert (printed["kept"], printed["made"]) == (10, 0)
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


# --- a folder like DFC30_source ------------------------------------------------------------------------------


def write_source(root: Path, city: str, id_: str, number: int) -> None:
    west, north = 400_000.0 + 1000 * number, 6_700_000.0
    x, y = mesh(west, north, 5, 200, 200)
    wide_x, wide_y = mesh(west - 60, north + 60, 30, 38, 38)
    ground = (plane(x, y) - plane(np.array(west), np.array(north))).astype(np.float32)
    dem = plane(wide_x, wide_y) - plane(np.array(west), np.array(north)) + np.sin(wide_x / 90)
    layers: dict[str, tuple[Array, float, float]] = {
        "RGEALTI": (ground, 5, 0), "COP30": (dem.astype(np.float32), 30, 60),
        "FATHOM": (dem.astype(np.float32), 30, 60),
        "BDORTHO": (np.full((3, 250, 250), 77, dtype=np.uint8), 4, 0),
        "UA2012": (np.full((200, 200), 31_000, dtype=np.uint16), 5, 0),
        "CHM": (np.full((500, 500), 9, dtype=np.uint8), 2, 0),
    }  # fmt: skip
    for name, (values, size, beyond) in layers.items():
        path = root / city / name / f"{id_}_{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        transform = Affine(size, 0, west - beyond, 0, -size, north + beyond)
        write_raster(path, values, crs="EPSG:2154", transform=transform)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "DFC30_source"
    for number, (city, id_) in enumerate([("Angers", "1"), ("Brest", "2"), ("Brest", "10"), ("Caen", "4")]):
        write_source(root, city, id_, number)
    return root


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
    assert (again.made, again.kept) == (1, 2)


# --- rules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("above", "use", "reason"),
    [
        (3, None, None),
        (40, None, None),  # a forest, or houses
        (40, 10, None),
        (40, 7, CHANGED),  # on a pasture
        (70, None, CHANGED),
        (-20, None, CHANGED),
        (-5, None, None),
    ],
)
def test_ground_that_changed(above: float, use: int | None, reason: str | None) -> None:
    grid = Grid(rasterio.CRS.from_string(UTM), Affine(8, 0, 0, 0, -8, 0), 64, 64)
    truth = np.tile(np.arange(64, dtype=np.float32), (1, 64, 1))
    dem = truth.copy()
    dem[0, :20, :20] += above
    pixels = {"RGEALTI": truth, "COP30": dem} | ({} if use is None else {"UA2012": np.full((1, 64, 64), float(use))})
    found = unsuitable(pixels, grid, dem="COP30")
    assert (found and found[0]) == reason
    dem[0] = truth[0]
    dem[0, :8, :8] += above  # 1.6 % of the sample
    assert unsuitable(pixels, grid, dem="COP30") is None


def test_slopes_explain_more_and_the_sea_is_no_land() -> None:
    grid = Grid(rasterio.CRS.from_string(UTM), Affine(8, 0, 0, 0, -8, 0), 64, 64)
    steep = np.tile(8 * np.arange(64, dtype=np.float32), (1, 64, 1))  # 45 degrees
    assert unsuitable({"RGEALTI": steep, "COP30": steep - 20}, grid, dem="COP30") is None
    found = unsuitable({"RGEALTI": 0 * steep, "COP30": 0 * steep}, grid, dem="COP30")
    assert found
    assert found[0] == FLAT


def records(*cities: str, count: int = 10) -> list[Record]:
    return [Record(city=city, id=str(i), x=1.0 * (i % 5), y=10.0 * (i // 5)) for city in cities for i in range(count)]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_the_split_is_one_end_of_the_longer_side(share: float) -> None:
    folders, validation = split(records("A"), share)
    north = [record.id for record in sorted(records("A"), key=lambda r: (r.y, r.x))]
    count = round(10 * share)
    assert [id_ for id_ in north if folders["A", id_] == "A_valid"] == north[10 - count :]
    assert validation == {"A_valid"}


def test_the_split_of_a_small_place_and_of_the_paper() -> None:
    assert set(split(records("A", count=2), 0.1)[0].values()) == {"A", "A_valid"}
    assert split(records("A", count=1), 0.4) == ({("A", "0"): "A"}, set())
    assert split(records("A", "Vannes"), None)[1] == {"Vannes"}
    assert split(records("Vannes"), None)[1] == {"Vannes_valid"}


def test_vertical_datums(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert "terrain not stated, DEM EGM2008 height (EPSG:3855)" in scene.run(out).warnings[0]
    assert scene.run(out, terrain_datum="EPSG:3855").warnings == ()
    assert "in NAVD88 height (EPSG:5703) and the DEM in" in scene.run(out, terrain_datum="EPSG:5703").warnings[0]
    with pytest.raises(UnknownDatum, match=r"dtm.tif does not say .*: --terrain-datum"):
        scene.run(out, match_datum=True)


def test_the_terrain_comes_to_the_datum_of_the_dem(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "grids").mkdir()
    write_geoid(tmp_path / "grids" / EGM2008)
    before, out = datadir.get_data_dir(), tmp_path / "set"
    datadir.set_data_dir(f"{before}{os.pathsep}{tmp_path / 'grids'}")
    try:
        report = scene.run(out, terrain_datum="EPSG:4979", match_datum=True, valid_share=0)
    finally:
        datadir.set_data_dir(before)
    assert report.kept == 10
    assert report.datums.startswith("terrain WGS 84 ellipsoidal height (EPSG:4979), DEM EGM2008 height (EPSG:3855), ")
    for id_ in ids(out, "Here"):
        path = layer(out, id_, "RGEALTI")
        x, y, crs = centres(path)
        lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
        np.testing.assert_allclose(heights_of(path), plane(x, y) - GEOIDS[EGM2008](lon, lat), atol=1e-3)


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
    empty = scene.run(out, name="Empty", size=128)
    assert (empty.kept, empty.config) == (0, None)
    assert "choose a smaller --size, or allow --voids" in empty.warnings[-1]
    assert scene.run(out, name="There").config  # a place without samples does not count
    with pytest.raises(RunMismatch, match=r"samples was 32 pixels a side and is 40 pixels a side.* --restart"):
        scene.run(out, name="There", size=40)
    with pytest.raises(RunMismatch, match="holds own_8m with samples of 32 pixels a side, not own_16m of 32"):
        scene.run(out, name="Else", resolution=16)
