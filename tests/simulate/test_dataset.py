"""`jspsr simulate`: the folder, going on, and training on it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result

from jspsr_cli import __version__
from jspsr_cli.errors import EmptyRaster, InvalidOption, NoOverlap, OutputExists
from jspsr_cli.main import cli
from jspsr_cli.simulate import dataset
from jspsr_cli.simulate.dataset import simulate
from jspsr_cli.simulate.real import FIRST_VALID, RealGround, divides, validates
from jspsr_cli.simulate.request import SimulateOptions
from jspsr_cli.simulate.scene import Scene
from jspsr_cli.simulate.views import SimulatedSample, Simulation, _majority
from jspsr_cli.training.crops import Crops
from jspsr_cli.training.dfc30 import SampleSet, find_samples
from jspsr_cli.training.reading import read_config
from tests.scenes import Array, write_raster

SIZE, SCENES = 32, 3


def make(out: Path, **options: Any) -> dataset.SimulateReport:
    return simulate(out, options=SimulateOptions(**{"scenes": SCENES, "size": SIZE, **options}))


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def digests(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob("*.tif")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set, never to be changed."""
    out = tmp_path_factory.mktemp("simulated")
    make(out)
    return out


def test_files_are_what_samples_made_on_the_fly_are(made: Path) -> None:
    config, warnings = read_config(made / "config.yaml")
    assert (config.dataset, config.simulated, warnings) == ("SIM", True, ())
    found = find_samples(config, [*config.train_set, *config.valid_set], others=True)
    assert sorted(int(sample.id) for sample in found.samples) == list(range(SCENES))
    for sample in found.samples:
        stored, fresh = sample.read(), SimulatedSample(Simulation(size=SIZE), int(sample.id), others=("FABDEM",)).read()
        for layer in ("dem", "truth"):
            assert getattr(stored, layer).tobytes() == getattr(fresh, layer).tobytes()
        for layers in ("guides", "others"):
            assert {name: values.tobytes() for name, values in getattr(stored, layers).items()} == {
                name: values.tobytes() for name, values in getattr(fresh, layers).items()
            }


def test_training_takes_samples_on_the_fly(made: Path) -> None:
    config, _ = read_config(made / "config.yaml")
    found = find_samples(config, config.valid_set)
    stored = Crops(found, config, training=False)[0, 0]
    fresh: Any = SimulatedSample(Simulation(size=SIZE), 1, guides=config.inputs)
    made_now = Crops(SampleSet((fresh,), SIZE, ()), config, training=False)[0, 0]
    for name in ("dem", "target", "canopy"):
        assert stored[name].equal(made_now[name])


def test_training_takes_photos_from_the_same_folder(made: Path, tmp_path: Path) -> None:
    text = (made / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("canopy: 1", "image: 3"))
    config, _ = read_config(tmp_path / "config.yaml")
    found = find_samples(config, config.train_set)
    assert config.inputs == ("image",)
    for stored in found.samples:
        fresh = SimulatedSample(Simulation(size=SIZE), int(stored.id), guides=config.inputs).read().guides["image"]
        assert fresh.shape == (3, SIZE, SIZE)
        assert stored.read().guides["image"].tobytes() == fresh.tobytes()
    scaled = Crops(found, config, training=False)[0, 0]["image"]
    assert 0 <= scaled.min() < scaled.max() <= 1


def test_land_use_is_that_of_most_of_a_pixel() -> None:
    sample = SimulatedSample(Simulation(size=SIZE), 0, guides=("mask",))
    mask = sample.read().guides["mask"]
    assert mask.shape == (1, SIZE, SIZE)
    assert set(np.unique(mask)) <= set(range(15))
    classes = np.array([[1, 1, 5, 7], [1, 2, 7, 5]], dtype=np.uint8)
    assert _majority(classes, 2).tolist() == [[1, 5]]


def test_files_say_that_they_are_simulated(made: Path) -> None:
    for path in made.rglob("*.tif"):
        with rasterio.open(path) as file:
            tags = file.tags()
        said = json.loads(tags["JSPSR_SIMULATED"])
        assert (said["seed"], said["number"]) == (0, int(path.name.split("_")[0]))
        assert tags["JSPSR_VERSION"] == __version__


def test_the_same_command_goes_on_where_it_was_ended(made: Path, tmp_path: Path) -> None:
    assert make(tmp_path, scenes=2).made == 2
    gone = tmp_path / "SIM_8m" / "Simulated" / "RGEALTI" / "0_RGEALTI.tif"
    gone.unlink()
    (tmp_path / "SIM_8m" / "Simulated_valid" / "COP30" / ".1_COP30.tif.x.part").write_bytes(b"left by a killed one")
    assert make(tmp_path).made == 2
    assert make(tmp_path).made == 0
    assert digests(tmp_path) == digests(made)


def test_processes_make_the_same_bytes(made: Path, tmp_path: Path) -> None:
    assert make(tmp_path, workers=2).made == SCENES
    assert digests(tmp_path) == digests(made)


@pytest.mark.parametrize("other", [{"seed": 1}, {"canopy_map": "exact"}, {"bias": False}, {"size": 40}])
def test_samples_of_another_simulation_are_refused_or_replaced(tmp_path: Path, other: dict[str, Any]) -> None:
    make(tmp_path, scenes=2)
    before = digests(tmp_path)
    with pytest.raises(OutputExists, match="no sample of this simulation"):
        make(tmp_path, scenes=2, **other)
    assert digests(tmp_path) == before
    assert make(tmp_path, scenes=2, overwrite=True, **other).made == 2
    assert digests(tmp_path).keys() == before.keys()
    assert digests(tmp_path) != before


def test_places_are_added_to_a_set(tmp_path: Path) -> None:
    make(tmp_path, scenes=2)
    report = make(tmp_path, scenes=2, name="Second", seed=1)
    assert report.cities == {"Second": 1, "Second_valid": 1, "Simulated": 1, "Simulated_valid": 1}
    config, _ = read_config(tmp_path / "config.yaml")
    assert config.train_set == ("Second", "Simulated")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "../up"}, "no name of a folder"),
        ({"name": "Here_valid"}, "no name of a folder"),
        ({"resolution": 30.0}, "2 to 12 m"),
    ],
)
def test_options_that_cannot_work_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        make(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path: Path) -> None:
    said = json.loads(run("simulate", tmp_path, "--scenes", 2, "--size", SIZE, "--resolution", 3, "--json").stdout)
    assert (said["made"], said["cities"]) == (2, {"Simulated": 1, "Simulated_valid": 1})
    assert Path(said["sheet"]).read_bytes().startswith(b"\x89PNG")
    with rasterio.open(tmp_path / "SIM_3m" / "Simulated" / "COP30" / "0_COP30.tif") as file:
        assert (file.res, file.shape, file.crs.is_projected) == ((3, 3), (SIZE, SIZE), True)
    assert "0 made now" in run("simulate", tmp_path, "--scenes", 2, "--size", SIZE, "--resolution", 3).stdout
    assert "terrain model" in run("simulate", tmp_path, "--surface", said["sheet"], code=2).stderr


# Real ground: a plane at 2 m with a wood and a house, 600 x 300 m.
UTM, WEST, NORTH, STEP = "EPSG:32630", 500_000.0, 4_800_000.0, 2.0


def plane(x: Array, y: Array) -> Array:
    heights: Array = 100 + 0.05 * (x - WEST) - 0.03 * (y - NORTH)
    return heights


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Path]:
    x, y = np.meshgrid(WEST + STEP * (np.arange(300) + 0.5), NORTH - STEP * (np.arange(150) + 0.5))
    terrain = plane(x, y).astype(np.float32)
    canopy, house = (np.zeros_like(terrain) for _ in range(2))
    canopy[:, :100], house[60:80, 200:230] = 14, 9
    layers = {"terrain": terrain, "surface": terrain + canopy + house, "canopy": canopy}
    transform = Affine(STEP, 0, WEST, 0, -STEP, NORTH)
    return {
        name: write_raster(tmp_path / f"{name}.tif", values, crs=UTM, transform=transform, nodata=-9999)
        for name, values in layers.items()
    }


def ground_of(site: dict[str, Path], *roles: str) -> RealGround:
    return RealGround(**{role: (str(site[role]),) for role in ("terrain", "surface", *roles)})


def whole(scenes: list[Scene], layer: str) -> list[Array]:
    return [scene.inside(getattr(scene, layer)) for scene in scenes]


def test_real_ground_stays_where_it_is(site: dict[str, Path]) -> None:
    ground = ground_of(site, "canopy")
    for number in range(6):
        simulation = Simulation(size=16, ground=ground)
        scene = simulation.scene(number)
        layers = simulation.layers(scene, number)
        cols, rows = np.meshgrid(np.arange(16) + 0.5, np.arange(16) + 0.5)
        x, y = scene.grid.transform.c + 8 * cols, scene.grid.transform.f - 8 * rows
        assert layers["RGEALTI"][0] == pytest.approx(plane(x, y), abs=0.01)
        assert "UA2012" not in layers
        assert layers["BDORTHO"].shape == (3, 16, 16)
        wood = x < WEST + 200
        seen = layers["COP30"][0] - plane(x, y)
        deep = x < WEST + 150
        if deep.any():
            assert 14 * 0.5 - 5 < seen[deep].mean() < 14 * 0.9 + 4
        assert not scene.inside(scene.built)[:, : scene.factor * int(wood[0].sum())].any() or not wood.any()


def test_canopy_tells_trees_from_buildings(site: dict[str, Path]) -> None:
    seen = [ground_of(site, *roles).scene(0, n, resolution=8, size=32) for roles in ((), ("canopy",)) for n in (1, 1)]
    without, told = seen[0], seen[2]
    assert told.grid == without.grid
    assert told.built.max() == pytest.approx(9, abs=0.5)
    assert not without.built.any()
    assert without.above == pytest.approx(told.above)
    # A photo without roofs would teach that houses are trees.
    assert "BDORTHO" not in Simulation(size=32, ground=ground_of(site)).kinds


def test_ground_to_validate_on_lies_apart(site: dict[str, Path]) -> None:
    ground = ground_of(site)
    grid = ground.grid(8)
    border = divides(grid, 16)
    assert border is not None
    for number in range(30):
        left = (ground.scene(0, number, resolution=8, size=16).grid.transform.c - grid.transform.c) / 8
        assert (left >= border) if validates(number) else (left + 16 <= border)


def test_ground_ends_anywhere(site: dict[str, Path]) -> None:
    with rasterio.open(site["terrain"]) as file:
        heights, transform = file.read(1), file.transform
    write_raster(site["terrain"], heights[:, :-1], crs=UTM, transform=transform, nodata=-9999)  # not a multiple of 8 m
    scene = ground_of(site).scene(0, FIRST_VALID, resolution=8, size=32)  # at the eastern end, where all of them are
    assert WEST + 600 - 16 < scene.grid.bounds[2] < WEST + 598


def test_ground_that_cannot_be_used_is_refused(site: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NoOverlap, match="smaller --size"):
        ground_of(site).scene(0, 0, resolution=8, size=64)
    with rasterio.open(site["terrain"], "r+") as file:
        heights = file.read(1)
        heights[np.arange(len(heights)) % 20 < 5] = -9999
        file.write(heights, 1)
    with pytest.raises(EmptyRaster, match="without voids"):
        ground_of(site).scene(0, 0, resolution=8, size=16)
    with pytest.raises(InvalidOption, match="--terrain"):
        simulate(tmp_path / "out", terrain=[site["terrain"]])


def test_a_set_of_real_ground(site: dict[str, Path], tmp_path: Path) -> None:
    arguments = ("simulate", tmp_path / "set", "--scenes", 3, "--size", 32, "--name", "Site", "--resolution", 4)
    rasters = ("--terrain", site["terrain"], "--surface", site["surface"])
    report = json.loads(run(*arguments, *rasters, "--json").stdout)
    assert report["cities"] == {"Site": 2, "Site_valid": 1}
    config, _ = read_config(tmp_path / "set" / "config.yaml")
    assert len(find_samples(config, config.train_set).samples) == 2
    site["surface"].touch()
    assert "no sample of this simulation" in run(*arguments, *rasters, code=2).stderr
