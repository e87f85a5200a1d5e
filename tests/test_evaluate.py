"""`jspsr evaluate`: everything on the pixels of the reference, and what is said of it."""

import json
import math
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from click.testing import CliRunner

from jspsr_cli import Evaluation, evaluate, extras
from jspsr_cli.assess import counting, evaluation, offset
from jspsr_cli.assess.bootstrap import FEWEST_BLOCKS
from jspsr_cli.assess.evaluated import Assessed, Offset
from jspsr_cli.assess.metrics import compare, sample_metrics
from jspsr_cli.assess.telling import NAME
from jspsr_cli.main import cli
from jspsr_cli.scaling import HeightScale
from tests.mistakes import check
from tests.scenes import Array, bicubic, centres, cop30, terrain, write_raster

CRS = "EPSG:32632"
WEST, NORTH = 500_000.0, 4_983_000.0
SHAPE = (150, 130)
SIDE = 8.0


def ground(shape: tuple[int, int] = SHAPE, *, side: float = SIDE, east: float = 0.0) -> Array:
    """Heights of the scene's terrain, which lies `east` metres further east."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    return terrain(cols * side - east, rows * side)


def raster(path: Path, values: Array, *, side: float = SIDE, crs: str | None = CRS, **profile: Any) -> Path:
    place = Affine(side, 0, WEST, 0, -side, NORTH)
    return write_raster(path, values.astype(np.float32), crs=crs, transform=place, nodata=-9999, **profile)


class Scene:
    """A reference, a prediction on its pixels with known errors and voids, a baseline, land use and canopy."""

    def __init__(self, folder: Path) -> None:
        self.folder, random = folder, np.random.default_rng(4)
        self.truth = ground().astype(np.float32)
        self.heights = {
            "dem.tif": self.truth + random.normal(0.3, 1, SHAPE).astype(np.float32),
            "cop.tif": self.truth + random.normal(2, 3, SHAPE).astype(np.float32),
        }
        for values, rows in ((self.truth, 20), (self.heights["dem.tif"], 40), (self.heights["cop.tif"], 60)):
            values[rows : rows + 3, 10:90] = np.nan
        self.classes = random.integers(0, 15, SHAPE).astype(np.uint8)
        self.canopy = random.integers(0, 30, SHAPE).astype(np.uint8)
        place = Affine(SIDE, 0, WEST, 0, -SIDE, NORTH)
        for name, values in {"dtm.tif": self.truth, **self.heights}.items():
            raster(folder / name, np.where(np.isnan(values), -9999, values))
        for name, codes in {"classes.tif": self.classes, "canopy.tif": self.canopy}.items():
            write_raster(folder / name, codes, crs=CRS, transform=place)

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def evaluate(self, **choices: Any) -> Evaluation:
        given: dict[str, Any] = {"reference": self["dtm.tif"], "baselines": [self["cop.tif"]], **choices}
        return evaluate(self["dem.tif"], **given)


@pytest.fixture
def offsets() -> None:
    """For tests of offsets, which the others do without: each fit takes a while."""
    pytest.importorskip("xdem")


@pytest.fixture(autouse=True)
def _no_offsets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "offsets" not in request.fixturenames:
        monkeypatch.setattr(evaluation, "offset_of", lambda *_: None)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])


def check_figures(line: Assessed, errors: Array) -> None:
    """By numpy."""
    figures, errors = line.figures, errors.astype(np.float64)
    absolute, median = np.abs(errors), np.median(errors)
    assert line.pixels == errors.size
    # Alignment is exact to its tolerance, a millionth of a pixel.
    assert figures.rmse == pytest.approx(math.sqrt(np.mean(errors**2)), abs=1e-4)
    assert (figures.mae, figures.mean) == pytest.approx((absolute.mean(), errors.mean()), abs=1e-4)
    assert (figures.median, figures.nmad) == pytest.approx(
        (median, 1.4826 * np.median(np.abs(errors - median))), abs=2e-3
    )
    assert (figures.le90, figures.le95) == pytest.approx(tuple(np.percentile(absolute, [90, 95])), abs=2e-3)
    for name, value in figures.percentiles.items():
        assert value == pytest.approx(np.percentile(errors, int(name[1:])), abs=2e-3)


# Figures


def test_figures_are_those_of_numpy_where_all_have_data(scene: Scene) -> None:
    found = scene.evaluate(classes=[scene["classes.tif"]], canopy=[scene["canopy.tif"]])
    errors = {name: heights - scene.truth for name, heights in scene.heights.items()}
    known = ~np.isnan(errors["dem.tif"] + errors["cop.tif"])
    assert found.sources == ("dem.tif", "cop.tif")
    assert found.pixels == known.sum() == np.prod(SHAPE) - 3 * 240
    assert (found.width, found.height, found.resolution, found.crs) == (SHAPE[1], SHAPE[0], SIDE, CRS)
    assert found.covered["dem.tif"] == pytest.approx(1 - 240 / (np.prod(SHAPE) - 240))
    for line in found.overall:
        check_figures(line, errors[line.source][known])
    edges = {"0 to 2 m": (0, 2), "2 to 5 m": (2, 5), "5 to 10 m": (5, 10), "10 to 20 m": (10, 20)}
    by_ground = {(line.partition, line.ground, line.source): line for line in found.grounds}
    for name, values in errors.items():
        check_figures(by_ground["classes", "forests", name], values[known & (scene.classes == 10)])
        check_figures(by_ground["canopy", "20 m and more", name], values[known & (scene.canopy >= 20)])
        for ground_name, (low, high) in edges.items():
            here = known & (scene.canopy >= low) & (scene.canopy < high)
            check_figures(by_ground["canopy", ground_name, name], values[here])
    assert len([key for key in by_ground if key[0] == "classes"]) == 2 * 15
    slopes = sum(line.share for line in found.grounds if line.partition == "slope" and line.source == "dem.tif")
    assert 0.9 < slopes < 1  # the edge and what lies beside voids has no slope


def test_the_difference_to_a_baseline_has_intervals_of_its_own(scene: Scene) -> None:
    found = scene.evaluate()
    (difference,), (prediction, baseline) = found.differences, found.overall
    assert difference.baseline == "cop.tif"
    for name, (low, high) in difference.intervals.items():
        apart = getattr(prediction.figures, name) - getattr(baseline.figures, name)
        assert difference.figures[name] == pytest.approx(apart)
        assert low < apart < high
    assert difference.intervals["rmse"][1] < 0  # it is better, and that is no chance
    assert found.blocks == difference.blocks == 16  # 1200 x 1040 m


def test_so_has_that_on_each_kind_of_ground(scene: Scene) -> None:
    found = scene.evaluate(canopy=[scene["canopy.tif"]])
    lines = {(line.ground, line.source): line for line in found.grounds}
    by_ground = {difference.ground: difference for difference in found.ground_differences}
    assert by_ground.keys() == {ground for ground, _ in lines}
    for name, difference in by_ground.items():
        prediction, baseline = lines[name, "dem.tif"], lines[name, "cop.tif"]
        rmse = prediction.figures.rmse - baseline.figures.rmse
        assert (difference.partition, difference.baseline) == (prediction.partition, "cop.tif")
        assert difference.figures["rmse"] == pytest.approx(rmse)
        assert difference.blocks <= 16
        assert (difference.blocks >= FEWEST_BLOCKS) == bool(difference.intervals) == bool(prediction.intervals)
    low, high = by_ground["0 to 2 m"].intervals["rmse"]
    assert low < by_ground["0 to 2 m"].figures["rmse"] < high < 0


def test_the_result_does_not_depend_on_strips(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scene.evaluate(classes=[scene["classes.tif"]])
    monkeypatch.setattr(counting, "FEWEST_ROWS", 1)
    monkeypatch.setattr(counting, "STRIP_PIXELS", 7 * SHAPE[1])
    seen: list[float] = []
    cut = scene.evaluate(classes=[scene["classes.tif"]], progress=seen.append)
    assert len(seen) == math.ceil(SHAPE[0] / 7)
    assert (seen == sorted(seen), seen[-1]) == (True, 1.0)
    for a, b in zip((*whole.overall, *whole.grounds), (*cut.overall, *cut.grounds), strict=True):
        assert (a.ground, a.pixels) == (b.ground, b.pixels)
        assert (a.figures.rmse, a.figures.median) == pytest.approx((b.figures.rmse, b.figures.median), abs=1e-3)


def test_a_dem_in_degrees_is_compared_as_enhance_would_align_it(tmp_path: Path) -> None:
    dem = cop30(tmp_path / "cop30.tif", lon=9.0066, lat=44.9946, size=80)
    reference = raster(tmp_path / "dtm.tif", ground())
    found = evaluate(dem, reference=reference)
    assert found.pixels == np.prod(SHAPE)
    check_figures(found.overall[0], bicubic(dem, *centres(reference)) - ground().astype(np.float32))


def test_tiles_are_one_reference_and_one_in_degrees_is_brought_to_metres(scene: Scene, tmp_path: Path) -> None:
    whole = scene.evaluate(baselines=[])
    for name, rows in (("north.tif", slice(0, 70)), ("south.tif", slice(70, None))):
        place = Affine(SIDE, 0, WEST, 0, -SIDE, NORTH - SIDE * rows.start)
        write_raster(tmp_path / name, scene.truth[rows], crs=CRS, transform=place, nodata=math.nan)
    tiles = scene.evaluate(baselines=[], reference=[tmp_path / "north.tif", tmp_path / "south.tif"])
    assert tiles.pixels == whole.pixels
    assert tiles.overall[0].figures.rmse == pytest.approx(whole.overall[0].figures.rmse, abs=1e-6)
    fine = cop30(tmp_path / "cop30.tif", lon=9.0, lat=45.0, size=50)
    degrees = evaluate(fine, reference=fine)
    assert (degrees.crs, round(degrees.resolution)) == (CRS, 26)
    assert degrees.overall[0].figures.rmse == 0
    assert f"the reference is in EPSG:4326, so all was brought to {CRS}" in degrees.notes
    assert not any("brought" in note for note in whole.notes)


# Offsets and datums


@pytest.mark.usefixtures("offsets")
def test_coregister_takes_an_offset_out(tmp_path: Path) -> None:
    lying_off = raster(tmp_path / "off.tif", ground(east=10.0) + 4.0)
    reference = raster(tmp_path / "dtm.tif", ground())
    before = evaluate(lying_off, reference=reference)
    after = evaluate(lying_off, reference=reference, coregister=True)
    for found in (before, after):
        assert found.offsets["off.tif"].east == pytest.approx(10, abs=0.3)
        assert found.offsets["off.tif"].up == pytest.approx(4, abs=0.1)
    assert not before.warnings
    assert [text for text in after.warnings if "the vertical one too, was taken out" in text]
    assert before.overall[0].figures.rmse > 4
    assert after.overall[0].figures.rmse < 0.2


@pytest.mark.parametrize(
    ("datums", "warned", "noted"),
    [
        (("3855", "3855"), False, False),
        (("3855", "5773"), True, False),
        ((None, "3855"), False, True),
        (("3855", None), False, True),
    ],
)
def test_other_datums_are_noticed(
    scene: Scene, tmp_path: Path, datums: tuple[str | None, str | None], warned: bool, noted: bool
) -> None:
    for name, values, datum in zip(("dem.tif", "dtm.tif"), (ground() + 1, ground()), datums, strict=True):
        raster(tmp_path / name, values, crs=CRS + f"+{datum}" * (datum is not None))
    told: list[str] = []
    found = scene.evaluate(baselines=[], on_warning=told.append)
    assert tuple(told) == found.warnings
    assert any("bring one to the other first" in text for text in told) == warned
    assert any("does not say what its heights are counted from" in text for text in found.notes) == noted


# The paper's protocol


def test_per_sample_is_what_validate_computes(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    shape, random = (256, 300), np.random.default_rng(9)  # two samples of 128 pixels along each axis, and a rest
    truth = ground(shape).astype(np.float32)
    predicted = truth + random.normal(0.2, 1, shape).astype(np.float32)
    start = truth + 2
    for name, values in (("dem.tif", predicted), ("dtm.tif", truth), ("cop.tif", start)):
        raster(tmp_path / name, values)
    found = evaluate(tmp_path / "dem.tif", reference=tmp_path / "dtm.tif", baselines=[tmp_path / "cop.tif"],
                     per_sample=True)  # fmt: skip
    scale, expected = HeightScale(-80, 929), []
    for row, col in ((0, 0), (0, 128), (128, 0), (128, 128)):
        part = (slice(row, row + 128), slice(col, col + 128))
        base = float(start[part].min())
        expected.append(
            sample_metrics(compare(scale.scale(predicted[part], base), scale.scale(truth[part], base), scale=scale))
        )
    (network, baseline), n = found.samples, len(expected)
    assert (network.source, network.samples, baseline.samples) == ("dem.tif", n, n)
    for name in ("rmse", "median", "nmad", "le95", "psnr"):
        mean = sum(getattr(metrics, name) for metrics in expected) / n
        assert getattr(network.metrics, name) == pytest.approx(mean, abs=1e-3), name
    assert baseline.metrics.rmse == pytest.approx(2, abs=1e-3)
    assert 0.9 < network.ssim < baseline.ssim <= 1


# The command


def test_a_canopy_map_without_data_is_said_to_tell_nothing(scene: Scene, tmp_path: Path) -> None:
    canopy = raster(tmp_path / "void.tif", np.full(SHAPE, -9999))
    found = scene.evaluate(canopy=[canopy])
    assert any(warning.startswith("void.tif has no data where the others have some") for warning in found.warnings)
    assert {line.partition for line in found.grounds} == {"slope"}


def test_the_table_fits_a_terminal_and_json_has_all(scene: Scene) -> None:
    arguments = (scene["dem.tif"], "--reference", scene["dtm.tif"], "--baseline", scene["cop.tif"], "--canopy",
                 scene["canopy.tif"])  # fmt: skip
    text, done = invoke(*arguments), invoke(*arguments, "--json")
    assert (text.exit_code, done.exit_code) == (0, 0), text.output + done.output
    assert max(map(len, text.stdout.splitlines())) <= 80
    result = json.loads(done.stdout)
    assert {line["partition"] for line in result["grounds"]} == {"slope", "canopy"}
    assert result["overall"][0]["intervals"]["nmad"][0] < result["overall"][0]["figures"]["nmad"]
    rmse = f"{result['overall'][0]['figures']['rmse']:.3f}"
    assert any(line.startswith("dem.tif") and rmse in line for line in text.stdout.splitlines())
    assert "warning: cop.tif has no data on 1% of the reference" in text.stderr


@pytest.mark.parametrize(("block", "said"), [(20_000, "1 block of 20000 m is too few"), (150, "2.5 % to 97.5 %")])
def test_the_last_line_counts_blocks(tmp_path: Path, block: int, said: str) -> None:
    for name, up in (("dtm.tif", 0.0), ("dem.tif", 1.0)):
        raster(tmp_path / name, ground() + up)
    done = invoke(tmp_path / "dem.tif", "--reference", tmp_path / "dtm.tif", "--block", block)
    assert done.exit_code == 0, done.output
    assert any(line.startswith(said) for line in done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize("far", [12.0, 123.4, 7000.0])
def test_columns_stay_apart_however_far_off_heights_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: float
) -> None:
    for name, up in (("dtm.tif", far), ("dem.tif", 0.0), ("cop.tif", 1.1 * far)):
        raster(tmp_path / name, ground() + up)
    monkeypatch.setattr(evaluation, "offset_of", lambda *_: Offset(-far, -far, -far, 0.5))
    done = invoke(tmp_path / "dem.tif", "--reference", tmp_path / "dtm.tif", "--baseline", tmp_path / "cop.tif",
                  "--block", 150)  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if re.match(r"(dem|cop|- cop|  dem|  2.5 %|  97.5 %)", line)]
    assert len(rows) > 10
    assert all(re.fullmatch(r"( +(-?\d+(\.\d+)?|-))+", row[NAME:]) for row in rows), "\n".join(rows)
    assert any("1 SIGMA: standard error" in line for line in lines)


def of(name: str, values: Array, **place: Any) -> Callable[[Scene], list[str]]:
    """The plain command with another raster in place of `name`."""

    def arguments(scene: Scene) -> list[str]:
        raster(scene.folder / name, values, **place)
        return [scene["dem.tif"], "--reference", scene["dtm.tif"]]

    return arguments


def with_option(*options: str) -> Callable[[Scene], list[str]]:
    return lambda scene: [scene["dem.tif"], "--reference", scene["dtm.tif"], *options]


def far(scene: Scene) -> list[str]:
    return [str(cop30(scene.folder / "far.tif", lon=20.0, lat=45.0, size=20)), "--reference", scene["dtm.tif"]]


def canopy_elsewhere(scene: Scene) -> list[str]:
    elsewhere = cop30(scene.folder / "far.tif", lon=20.0, lat=45.0, size=20)
    return [scene["dem.tif"], "--reference", scene["dtm.tif"], "--canopy", str(elsewhere)]


def in_degrees(scene: Scene) -> list[str]:
    dem = cop30(scene.folder / "cop30.tif", lon=9.0, lat=45.0, size=40)
    return [str(dem), "--reference", scene["dtm.tif"], "--per-sample"]


def strange_classes(scene: Scene) -> list[str]:
    codes = np.full(SHAPE, 77, dtype=np.uint8)
    place = Affine(SIDE, 0, WEST, 0, -SIDE, NORTH)
    path = write_raster(scene.folder / "landuse.tif", codes, crs=CRS, transform=place)
    return [scene["dem.tif"], "--reference", scene["dtm.tif"], "--classes", str(path)]


COARSE = (SHAPE[0] // 2, SHAPE[1] // 2)
MISTAKES: dict[str, tuple[Callable[[Scene], list[str]], str]] = {
    "elsewhere": (far, "dtm.tif and far.tif do not overlap"),
    "canopy elsewhere": (canopy_elsewhere, "dtm.tif and far.tif do not overlap"),
    "no data in the prediction": (of("dem.tif", np.full(SHAPE, -9999)), "dem.tif has no data where dtm.tif has some"),
    "no data in the reference": (of("dtm.tif", np.full(SHAPE, -9999)), "dtm.tif has no data where the others are"),
    "reference in feet": (of("dtm.tif", ground() / 0.3048), "dtm.tif has 3.2. times the relief of dem.tif.*in feet"),
    "prediction in feet": (of("dem.tif", ground() / 0.3048), "dem.tif has 3.2. times.*-scale 0.3048"),
    "prediction in decimetres": (of("dem.tif", ground() * 10), "dem.tif has .*in decimetres.*-scale 0.1"),
    "prediction in millimetres": (of("dem.tif", ground() * 1000), "dem.tif has no data .*or out of range"),
    "reference coarser": (of("dtm.tif", ground(COARSE, side=16), side=16), "dtm.tif has pixels of 16 m .*of 8 m"),
    "reference without CRS": (of("dtm.tif", ground(), crs=None), "dtm.tif has no CRS"),
    "no reference": (lambda s: [s["dem.tif"]], "Missing option '--reference'"),
    "samples in degrees": (in_degrees, "cop30.tif is in EPSG:4326.*--per-sample"),
    "land use unknown": (strange_classes, "land use value 77"),
    "block of nothing": (with_option("--block", "0"), "--block"),
    "block without end": (with_option("--block", "inf"), "block of inf m"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_sentence(scene: Scene, mistake: str) -> None:
    arguments, sentence = MISTAKES[mistake]
    if mistake == "samples in degrees":
        pytest.importorskip("xdem")
    check(invoke(*arguments(scene)), sentence)


@pytest.mark.usefixtures("offsets")
def test_no_offset_can_be_taken_out_of_flat_ground(scene: Scene) -> None:
    for name in ("dem.tif", "dtm.tif"):
        raster(scene.folder / name, np.full(SHAPE, 12.0))
    check(invoke(*with_option("--coregister")(scene)), "cannot be told.*leave --coregister away")
    assert "cannot be told" in invoke(*with_option()(scene)).stderr


def test_without_the_extra_offsets_are_left_out_and_what_needs_it_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(extras.EXTRAS, "evaluate", ("not_there",))
    found = scene.evaluate()
    assert found.offsets == {}
    assert any("pip install 'jspsr[evaluate]'" in note for note in found.notes)
    for option in ("--per-sample", "--coregister"):
        check(invoke(*with_option(option)(scene)), r"not_there is not installed.*jspsr\[evaluate\]")


def test_memory_does_not_grow_with_the_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "STRIP_PIXELS", 1)
    monkeypatch.setattr(offset, "SQUARE", 8)
    peaks = []
    for height in (512, 2048):
        values = ground((height, 256))
        dem, dtm = (raster(tmp_path / name, values + up) for name, up in (("dem.tif", 1.0), ("dtm.tif", 0.0)))
        tracemalloc.start()
        evaluate(dem, reference=dtm, block=height * SIDE / 4)  # as many blocks in both
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    copy = 4 * 256 * (2048 - 512)
    assert peaks[1] - peaks[0] < copy / 4, peaks
