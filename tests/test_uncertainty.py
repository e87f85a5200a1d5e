"""`enhance --uncertainty`: closed forms of the spread, and the contracts of the DEM held by two files."""

import errno
import itertools
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.shutil import copy as gdal_copy

from jspsr_cli import EnhanceOptions, enhance, estimate_enhance
from jspsr_cli.errors import OtherWork, OutputExists, WriteFailed
from jspsr_cli.predict import WindowInput, WindowPredictor
from jspsr_cli.raster import products, writer
from jspsr_cli.raster.samples import write_layer
from jspsr_cli.scaling import HeightScale
from jspsr_cli.simulate.canopymap import canopy_map
from jspsr_cli.simulate.fields import averaged, stream
from jspsr_cli.simulate.radar import elevation_models
from jspsr_cli.simulate.scene import CANOPY_MAP, RADAR
from jspsr_cli.simulate.views import Simulation
from jspsr_cli.spread import ORIENTATIONS, Uncertainty, oriented, predicted_planes, spread_of, turned_back
from jspsr_cli.tiling.blend import Blender
from jspsr_cli.tiling.windows import Lattice
from jspsr_models.calibration import CALIBRATIONS, Calibration
from jspsr_models.registry import REGISTRY
from tests.interrupted import OPTIONS, Lifted, break_off, folder_of
from tests.mistakes import Mistake, check_mistake
from tests.scenes import Array, heights_of, terrain, weights_info
from tests.test_enhance_command import Scene, invoke
from tests.test_output import COPERNICUS, FABDEM, Job, guide_at, old_job, tags_of
from tests.test_output_once import names, never

SIDE = 32
COPERNICUS_NAME = products.COPERNICUS.name
SCALE = HeightScale(-80.0, 929.0)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    plain = old_job(tmp_path)
    return replace(plain, options=replace(OPTIONS, uncertainty=second(plain)))


def second(job: Job) -> Path:
    return job.output.with_name("sigma.tif")


def plain(job: Job) -> Job:
    return replace(job, options=replace(job.options, uncertainty=None))


def leaning(dem: torch.Tensor, *, image: torch.Tensor) -> torch.Tensor:
    """A network that sees what lies to the west of a pixel."""
    return dem + 0.01 * image.mean(dim=1, keepdim=True).roll(1, -1)


def contents(job: Job) -> tuple[bytes, bytes]:
    return job.output.read_bytes(), second(job).read_bytes()


def spreads(job: Job) -> Array:
    return heights_of(second(job))


# The spread of one window


@given(st.integers(0, ORIENTATIONS - 1), st.integers(1, 3), st.integers(1, 5))
def test_every_orientation_is_another_and_goes_back(orientation: int, bands: int, size: int) -> None:
    values: Array = np.arange(bands * size**2, dtype=np.float32).reshape(bands, size, size)
    assert np.array_equal(turned_back(oriented(values, orientation), orientation), values)
    assert np.array_equal(oriented(turned_back(values, orientation), orientation), values)
    same = [
        other for other in range(ORIENTATIONS) if np.array_equal(oriented(values, other), oriented(values, orientation))
    ]
    assert same == ([orientation] if size > 1 else list(range(ORIENTATIONS)))


def window() -> WindowInput:
    """A window whose canopy is 1 at its first pixel, and 0 elsewhere."""
    x, y = np.meshgrid(np.arange(SIDE) * 8.0, np.arange(SIDE) * 8.0)
    heights, canopy = terrain(x, y).astype(np.float32)[None], np.zeros((1, SIDE, SIDE), dtype=np.float32)
    canopy[0, 0, 0] = 68  # 1 in the range of the network
    return WindowInput(col=0, heights=heights, base=float(heights.min()), guides={"canopy": canopy})


def planes_of(predictor: Any) -> Array:
    device = torch.device("cpu")
    known = WindowPredictor(predictor, scale=SCALE, device=device, precision="float32")
    first, again = predicted_planes(known, [window(), window()])
    assert np.array_equal(first, again)
    assert np.array_equal(first[0], known.heights([window()])[0])
    return first


def smoothed(dem: torch.Tensor, *, canopy: torch.Tensor) -> torch.Tensor:
    """Knows no direction: the mean of 3 x 3 pixels, and what the canopy is on the whole."""
    return torch.nn.functional.avg_pool2d(dem, 3, 1, 1) + canopy.mean()


def test_a_network_that_knows_no_direction_has_no_spread() -> None:
    planes = planes_of(smoothed)
    assert np.abs(planes[1]).max() > 1  # metres: it did something
    assert spread_of(planes).max() < 1e-3


def test_a_network_that_knows_one_has_the_spread_of_two_in_eight() -> None:
    """It adds 0.01 where the guide's mark is in the north-west, as it is in two orientations of eight."""
    planes = planes_of(lambda dem, *, canopy: dem + 0.01 * canopy[..., :1, :1])
    added = (window().heights[0] - window().base + 80.0) * (1009**0.01 - 1)
    assert planes[0] == pytest.approx(window().heights[0] + added, abs=1e-2)
    assert planes[1] == pytest.approx(added / 4, abs=1e-2)
    assert spread_of(planes) == pytest.approx(np.sqrt(3) / 4 * added, abs=1e-2)


def test_what_a_network_does_at_a_place_is_brought_back_there() -> None:
    """What it adds at a place of the turned window comes to that place of the window."""
    ramp = torch.arange(SIDE) / SIDE / 100
    planes = planes_of(lambda dem, **_: dem + ramp)
    x = np.arange(SIDE) / SIDE / 100
    places = [np.broadcast_to(values, (SIDE, SIDE)) for values in (x, x[:, None], x[::-1], x[::-1, None])]
    added = [(window().heights[0] - window().base + 80.0) * (1009**place - 1) for place in places]
    assert planes[1] == pytest.approx(np.mean(added, axis=0), abs=1e-2)
    assert spread_of(planes) == pytest.approx(np.std(added, axis=0), abs=1e-2)


# Between windows


@settings(max_examples=20)
@given(st.sampled_from([(32, 16), (40, 16), (32, 24)]), st.integers(-40, 40), st.integers(0, 2**32 - 1))
def test_predictions_are_one_sample_with_the_weights_of_their_windows(
    sides: tuple[int, int], top: int, seed: int
) -> None:
    lattice, rng = Lattice(*sides), np.random.default_rng(seed)
    rows, cols = range(top, top + 50), range(7, 47)
    weights = np.outer(lattice.weights, lattice.weights)
    blender = Blender(lattice, rows=rows, cols=cols, planes=(3,))
    total = np.zeros((3, len(rows) + 200, len(cols) + 200))  # of weights, of residuals and of their squares
    parts = []
    for row in lattice.starts(rows.start, rows.stop):
        for col in lattice.starts(cols.start, cols.stop):
            residuals = rng.normal(rng.normal(), 1, (ORIENTATIONS, *weights.shape))
            blender.add(col, np.stack([residuals[0], residuals.mean(axis=0), (residuals**2).mean(axis=0)]))
            down, across = (slice(a + 100, a + 100 + lattice.size) for a in (row - rows.start, col - cols.start))
            total[:, down, across] += [weights * (residuals**power).mean(axis=0) for power in range(3)]
        parts.append(blender.finish(row)[1])
    _, mean, square = total[:, 100 : 100 + len(rows), 100 : 100 + len(cols)] / total[0, 100:-100, 100:-100]
    assert spread_of(np.concatenate(parts, axis=1)) ** 2 == pytest.approx(square - mean**2, abs=1e-12)


def test_what_does_not_differ_has_no_spread(job: Job) -> None:
    with rasterio.open(job.dem, "r+") as dataset:
        values = dataset.read()
        values[:, 8:11, 5:9] = -1
        dataset.nodata = -1
        dataset.write(values)
    job.run()
    heights, spread = heights_of(job.output), spreads(job)
    assert np.isnan(heights).any()
    assert np.array_equal(np.isnan(spread), np.isnan(heights))
    assert np.nanmax(spread) < 1e-3


@pytest.mark.parametrize("batch", [1, 5])
def test_neither_batches_nor_areas_show(job: Job, batch: int) -> None:
    job.run(leaning)
    whole = spreads(job)
    with rasterio.open(job.output) as dataset:
        west, north = dataset.transform * (30, 50)
    box = (west, north - 320, west + 240, north)
    replace(job, options=replace(job.options, batch_size=batch, bounds=box, overwrite=True)).run(leaning)
    inner = whole[50:90, 30:60]
    assert np.nanmedian(inner) > 0.1
    assert np.abs(spreads(job) - inner).max() < 2e-5 * 200


# Two files


def test_heights_are_those_without_it_to_the_last_byte(job: Job) -> None:
    report = job.run(leaning)
    assert (report.uncertainty, names(job.output.parent)) == (str(second(job)), ["out.tif", "sigma.tif"])
    both = contents(job)
    assert (job.run(never).already_done, contents(job)) == (True, both)
    job.output.unlink()
    assert plain(job).run(leaning).uncertainty is None
    assert contents(job) == both


def test_a_finished_dem_gets_its_uncertainty_and_is_left_alone(job: Job) -> None:
    plain(job).run(leaning)
    before = job.output.stat()
    assert not job.run(leaning).already_done
    after = job.output.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert np.nanmax(spreads(job)) > 0.01
    assert job.run(never).already_done


def test_the_same_command_goes_on_with_both(job: Job) -> None:
    job.run(Lifted())
    both = contents(job)
    for path in (job.output, second(job)):
        path.unlink()
    break_off(job, 120)
    assert names(job.output.parent) == ["out.tif.partial"]
    with pytest.raises(OtherWork, match="--uncertainty was not calibrated and is not given"):
        plain(job).run(never)
    assert 0.2 < job.run(Lifted()).resumed_at < 1
    assert contents(job) == both
    assert not folder_of(job).exists()


def test_work_without_it_does_not_go_on_with_it(job: Job) -> None:
    break_off(plain(job), 15)
    with pytest.raises(OtherWork, match="--uncertainty was not given and is not calibrated"):
        job.run(never)


@pytest.mark.parametrize("ended", [0, 1])
def test_ended_while_they_get_their_names(job: Job, monkeypatch: pytest.MonkeyPatch, ended: int) -> None:
    """Where only one of them has its name, its rows are there still, and the same command gives the other its own."""
    job.run(Lifted())
    both = contents(job)
    for path in (job.output, second(job)):
        path.unlink()
    rename, renamed = os.replace, list[Path]()

    def interrupted(source: Path, target: Path) -> None:
        if Path(source).name.startswith("finished"):
            if len(renamed) == ended:
                raise KeyboardInterrupt
            renamed.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("jspsr_cli.raster.writer.os.replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            job.run(Lifted())
    assert (job.output.exists(), second(job).exists()) == (ended == 1, False)
    assert job.run(never).resumed_at == 1
    assert contents(job) == both
    assert names(job.output.parent) == ["out.tif", "sigma.tif"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")], ids=repr)
def test_wherever_it_ends_nothing_old_lies_beside_what_is_new(
    job: Job, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """With --overwrite, at each file that is removed or gets its name; and the same command goes on from there."""
    job = replace(job, options=replace(job.options, overwrite=True))
    folder = job.output.parent
    old = dict.fromkeys((job.output, second(job)), b"old")
    old |= {folder / f"{path.name}{ending}": b"old" for path in old for ending in writer.SIDECARS}
    rename, unlink, left = os.replace, Path.unlink, [0]

    def step(path: Path) -> None:
        if path.parent == folder:
            if not left[0]:
                raise error
            left[0] -= 1

    def renaming(source: Path, target: Path) -> None:
        step(target)
        rename(source, target)

    def unlinking(path: Path, *, missing_ok: bool = False) -> None:
        step(path)
        unlink(path, missing_ok=missing_ok)

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr("jspsr_cli.raster.writer.os.replace", renaming)
        patch.setattr(Path, "unlink", unlinking)
        for steps in itertools.count():
            for path, content in old.items():
                path.write_bytes(content)
            left[0] = steps
            try:
                job.run(never if steps else Lifted())
                break
            except (KeyboardInterrupt, WriteFailed):
                states = {path: path.read_bytes() == b"old" for path in old if path.exists()}
                assert len(set(states.values())) < 2
                seen.append([states.get(path) for path in (job.output, second(job))])
    assert steps == len(old) + 1  # all of them, and the heights took the place of the old ones
    assert seen[0] == [True, True]
    assert seen[-2:] == [[True, None], [False, None]]
    assert names(folder) == ["out.tif", "sigma.tif"]
    both = contents(job)
    replace(job, output=folder / "new.tif", options=replace(job.options, uncertainty=folder / "s.tif")).run(Lifted())
    assert both == ((folder / "new.tif").read_bytes(), (folder / "s.tif").read_bytes())


def test_neither_appears_where_the_second_cannot(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def full(source: Path, target: Path, **options: Any) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError("No space left on device")
        gdal_copy(source, target, **options)

    monkeypatch.setattr(writer, "gdal_copy", full)
    with pytest.raises(WriteFailed, match=r"sigma\.tif cannot be written: No space left"):
        job.run()
    assert names(job.output.parent) == ["out.tif.partial"]
    assert not list(folder_of(job).glob("finished*"))


def test_links_are_written_through(job: Job) -> None:
    job.output.with_name("there").mkdir()
    second(job).symlink_to(Path("there") / "real.tif")
    job.run()
    assert second(job).is_symlink()
    assert np.nanmax(spreads(job)) < 1e-3
    assert job.run(never).already_done


@pytest.mark.parametrize("which", ["out.tif", "sigma.tif"])
def test_a_file_of_others_is_not_touched(job: Job, which: str) -> None:
    guide_at(job.output.with_name(which))
    before = job.output.with_name(which).read_bytes()
    with pytest.raises(OutputExists, match=rf"{which} exists and is not what this command makes: see --overwrite"):
        job.run(never)
    assert job.output.with_name(which).read_bytes() == before
    replace(job, options=replace(job.options, overwrite=True)).run()
    assert job.run(never).already_done


def test_one_is_not_taken_for_the_other(job: Job) -> None:
    job.run()
    with pytest.raises(OutputExists, match=r"sigma\.tif exists and is not"):
        replace(plain(job), output=second(job)).run(never)


# What the numbers are


def test_no_uncertainty_of_heights_that_are_not_the_networks(job: Job) -> None:
    """Gaps of the guide that are filled from the DEM, and flat water that is kept."""
    with rasterio.open(job.guide, "r+") as dataset:
        dataset.nodata = 0
        dataset.write(np.zeros((3, 20, 96), dtype=np.uint8), window=((0, 20), (0, 96)))
    with rasterio.open(job.dem, "r+") as dataset:
        dataset.write(np.full((1, 8, 8), 120, dtype=np.float32), window=((16, 24), (8, 16)))
    replace(job, options=replace(job.options, guide_gaps="dem")).run(leaning)
    heights, spread = heights_of(job.output), spreads(job)
    assert not np.isnan(heights).any()
    assert np.isnan(spread[:20]).all()
    wet = heights == 120
    assert wet.sum() > 200
    assert np.isnan(spread[wet]).mean() > 0.9
    assert np.isnan(spread[20:]).mean() < 0.2


@given(st.floats(0.01, 3), st.floats(0.1, 9), st.sampled_from([0.5, 1.0]), st.floats(0, 50))
def test_calibration(floor: float, factor: float, power: float, spread: float) -> None:
    known = Uncertainty(Path("s.tif"), calibration(floor, factor, power))
    expected = math.sqrt(floor**2 + (factor * (spread if power == 1 else math.sqrt(spread))) ** 2)
    assert known.of(np.array([spread])) == pytest.approx(expected)
    assert "standard error (1 sigma)" in known.meaning
    assert f"sqrt({floor:g}^2 + ({factor:g} s^{power:g})^2)" in known.meaning
    assert Uncertainty(Path("s.tif"), None).of(np.array([spread])) == spread


def calibration(floor: float, factor: float, power: float, **fields: Any) -> Calibration:
    """That of weights of the job, which are of no product."""
    made = {"fitted_on": "simulated scenes", "resolution": 8.0, "window": 32, "overlap": 0.5, "product": "DEM"}
    return Calibration(floor, factor, power, **{**made, **fields})


def test_all_weights_of_the_package_are_calibrated() -> None:
    """Other weights of the same name are not, so that these cannot be changed and keep theirs."""
    assert set(CALIBRATIONS) == {entry.info.sha256 for entry in REGISTRY.values() if entry.package_file}


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_file_says_what_it_is(job: Job, monkeypatch: pytest.MonkeyPatch, calibrated: bool) -> None:
    known = {"0" * 64: calibration(0.5, 2.0, 0.6)} if calibrated else {}
    monkeypatch.setattr("jspsr_models.calibration.CALIBRATIONS", known)
    report = job.run(leaning)
    heights, tags = tags_of(job.output), tags_of(second(job))
    with rasterio.open(job.output) as dem, rasterio.open(second(job)) as dataset:
        assert (dataset.units, dataset.dtypes, dataset.nodata) == (("metre",), ("float32",), -9999)
        assert (dataset.transform, dataset.shape, dataset.crs) == (dem.transform, dem.shape, dem.crs)
        (title,) = dataset.descriptions
    words = tags.pop("JSPSR_UNCERTAINTY")
    if calibrated:
        assert title == "standard error (1 sigma) of the elevation"
        assert "calibrated on simulated scenes: sqrt(0.5^2 + (2 s^0.6)^2)" in words
        assert np.nanmin(spreads(job)) >= 0.5
    else:
        assert title == "spread of predicted elevations"
        assert words.endswith("not calibrated for stand-in: errors are several times larger")
    assert report.calibrated == calibrated
    said = "standard errors" if calibrated else "spread of predictions"
    assert report.summary.endswith(f", {said} in sigma.tif")
    assert job.run(never).summary.endswith(f"of these inputs, {said} in sigma.tif.")
    assert any("not calibrated for stand-in" in warning for warning in report.warnings) != calibrated
    options = json.loads(tags.pop("JSPSR_OPTIONS"))
    assert options.pop("uncertainty")
    assert options == json.loads(heights.pop("JSPSR_OPTIONS"))
    assert "JSPSR_VERTICAL_DATUM" not in tags
    del heights["JSPSR_VERTICAL_DATUM"]
    assert tags == heights


ONLY = " (only for 32 and 16)"
UNLIKE: dict[str, tuple[dict[str, Any], dict[str, Any], str, str | None]] = {
    "what it was fitted on": ({}, {}, "dem.tif", None),
    "nearly its pixels": ({"resolution": 9.0}, {}, "dem.tif", None),
    "other pixels": ({"resolution": 12.0}, {}, "dem.tif", "pixels of 12 m (only for 8 m)"),
    "other windows": ({"window": 40}, {}, "dem.tif", "windows of 40 pixels that overlap by 24" + ONLY),
    "another overlap": ({"overlap": 0.75}, {}, "dem.tif", "windows of 32 pixels that overlap by 24" + ONLY),
    "its product": ({}, {"product": COPERNICUS_NAME}, COPERNICUS, None),
    "another product": ({}, {"product": COPERNICUS_NAME}, FABDEM, "FABDEM (only for Copernicus DEM)"),
    "two things": (
        {"resolution": 12.0}, {"product": COPERNICUS_NAME}, FABDEM,
        "pixels of 12 m (only for 8 m) and FABDEM (only for Copernicus DEM)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNLIKE)
def test_not_calibrated_where_the_run_is_unlike_those_judged(
    job: Job, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    options, fields, dem, lacking = UNLIKE[name]
    monkeypatch.setattr("jspsr_models.calibration.CALIBRATIONS", {"0" * 64: calibration(0.5, 2.0, 0.6, **fields)})
    renamed = replace(job, dem=job.dem.rename(job.dem.with_name(dem)), options=replace(job.options, **options))
    report = renamed.run(leaning)
    assert report.calibrated == (lacking is None)
    assert [said for said in report.warnings if "calibrated" in said] == ([] if lacking is None else [
        f"the uncertainty is not calibrated for {lacking}: it is the spread of predictions, and errors are several "
        "times larger"
    ])  # fmt: skip
    assert (np.nanmin(spreads(job)) < 0.5) == (lacking is not None)
    assert (f"not calibrated for {lacking}: " in tags_of(second(job))["JSPSR_UNCERTAINTY"]) == (lacking is not None)


def test_a_product_is_known_by_what_a_raster_says_too(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    known = calibration(0.5, 2.0, 0.6, product=COPERNICUS_NAME)
    monkeypatch.setattr("jspsr_models.calibration.CALIBRATIONS", {"0" * 64: known})
    with rasterio.open(job.dem, "r+") as dataset:
        dataset.update_tags(JSPSR_ATTRIBUTION=products.FABDEM.attribution)
    assert not job.run(leaning).calibrated


def test_calibrations_are_of_products_that_are_known() -> None:
    assert {known.product for known in CALIBRATIONS.values()} <= {product.name for product in products.PRODUCTS}


@pytest.mark.slow
def test_shares_of_errors_within_standard_errors(tmp_path: Path) -> None:
    """On simulated scenes that neither weights nor calibration were fitted on, with the shipped numbers."""
    seed = 6_000_000
    simulation, off = Simulation(seed=seed, resolution=8.0, size=256), []
    for number in range(4):
        scene = simulation.scene(number)
        canopy = canopy_map(scene, stream(seed, number, CANOPY_MAP), kind="global")
        dem = elevation_models(scene, stream(seed, number, RADAR), names=["COP30"], biased=False)["COP30"]
        paths = {name: tmp_path / f"{name}{number}.tif" for name in ("dem", "canopy", "out", "sigma")}
        write_layer(paths["dem"], dem.astype(np.float32), grid=scene.grid, heights=True, tags={})
        write_layer(paths["canopy"], canopy, grid=scene.grid, heights=False, tags={})
        options = EnhanceOptions(like=str(paths["dem"]), water="network", uncertainty=paths["sigma"])
        assert enhance(paths["dem"], canopy=[paths["canopy"]], output=paths["out"], options=options).calibrated
        truth = averaged(scene.inside(scene.terrain), scene.factor)
        off.append(np.abs(heights_of(paths["out"]) - truth) / heights_of(paths["sigma"]))
    assert 0.6 < np.mean(np.stack(off) < 1) < 0.9
    assert 0.9 < np.mean(np.stack(off) < 2) < 0.99


# The command


def asking(name: Callable[[Scene], object]) -> Callable[[Scene], list[str]]:
    """The command with this name for the uncertainty, or with a tuple of it and of options more."""

    def arguments(scene: Scene) -> list[str]:
        given = name(scene)
        return scene.arguments("--uncertainty", *(given if isinstance(given, tuple) else (given,)))

    return arguments


REFUSED = {
    "the output": (lambda s: s.output, "cannot be the uncertainty of .*out.tif: give --uncertainty another name"),
    "the output, said otherwise": (lambda s: s.folder / ".." / s.folder.name / "OUT.TIF", "another name"),
    "what GDAL keeps beside it": (lambda s: s.folder / "out.tif.msk", "another name"),
    "the working folder": (lambda s: s.folder / "out.tif.partial", "another name"),
    "a preview": (lambda s: s.folder / "out.png", "out.png is to be a GeoTIFF, and its name says PNG"),
    "the DEM": (lambda s: s.dem, "dem.tif is one of the inputs"),
    "the guide": (lambda s: s.guide, "guide.tif is one of the inputs"),
    "in no folder": (lambda s: s.folder / "none" / "s.tif", "none does not exist"),
    "a folder": (lambda s: s.folder, "is a directory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_are_refused(scene: Scene, name: str) -> None:
    where, sentence = REFUSED[name]
    check_mistake(scene, Mistake(asking(where), sentence))


OTHER_DISK = Path("/dev/shm")


@pytest.mark.skipif(not OTHER_DISK.exists(), reason="no other disk is known")
def test_another_disk_is_refused(scene: Scene) -> None:
    if OTHER_DISK.stat().st_dev == scene.folder.stat().st_dev:
        pytest.skip("it is the same disk")
    check_mistake(scene, Mistake(asking(lambda _: OTHER_DISK / "jspsr.tif"), "different disks.*put them on the same"))


def test_a_second_mount_of_the_same_disk_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number is the same, and yet no file can be moved there."""

    def apart(*_: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (scene.folder / "other").mkdir()
    monkeypatch.setattr("jspsr_cli.raster.writer.os.replace", apart)
    check_mistake(scene, Mistake(asking(lambda s: s.folder / "other" / "s.tif"), "different disks or mounts"))


def test_another_folder_of_the_same_disk_takes_it(job: Job) -> None:
    other = job.output.with_name("other")
    other.mkdir()
    replace(job, options=replace(job.options, uncertainty=other / "s.tif")).run()
    assert names(other) == ["s.tif"]
    assert names(job.output.parent) == ["other", "out.tif"]


def test_the_result_names_the_file(scene: Scene) -> None:
    arguments = scene.arguments("--json", "--uncertainty", scene.folder / "s.tif")
    done = invoke(arguments)
    assert (done.exit_code, json.loads(done.stdout)["uncertainty"]) == (0, str(scene.folder / "s.tif"))
    assert "warning: the uncertainty is not calibrated for image" in done.stderr
    assert json.loads(invoke(arguments).stdout)["already_done"]


def test_the_dry_run_expects_eight_times_the_network(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jspsr_cli.trial.TRIAL_SECONDS", 1e-9)

    def calls(asked: Job) -> tuple[int, Any]:
        predictor: Any = Lifted()
        weights = (predictor, weights_info("image"))
        found = estimate_enhance(
            asked.dem, output=asked.output, image=[asked.guide], weights=weights, options=asked.options
        )
        return predictor.calls, found

    (few, one), (many, both) = calls(plain(job)), calls(job)
    assert many == ORIENTATIONS * few
    assert both.disk_bytes == 2 * one.disk_bytes
    assert both.memory_bytes > one.memory_bytes
    assert (one.uncertainty, both.uncertainty) == (None, str(second(job)))
    assert names(job.output.parent) == []


def test_eight_passes(job: Job) -> None:
    counts = []
    for asked in (plain(job), replace(job, output=job.output.with_name("other.tif"))):
        predictor = Lifted()
        asked.run(predictor)
        counts.append(predictor.calls)
    assert counts[1] == ORIENTATIONS * counts[0]
