"""`--dry-run` says what the run would be and need, refuses what the run would refuse, and writes nothing."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import torch
from filelock import FileLock

from jspsr_cli import EnhanceEstimate, EnhanceOptions, enhance, estimate_enhance
from jspsr_cli.errors import OtherWork
from jspsr_cli.estimate import WRITING_SECONDS_PER_PIXEL, together
from jspsr_cli.raster.align import AlignedLayer
from jspsr_cli.raster.writer import DISK_BYTES_PER_PIXEL
from jspsr_cli.types import FloatArray
from jspsr_cli.unfinished import partial_folder
from tests.interrupted import OPTIONS as SEVERAL_STRIPS
from tests.interrupted import Lifted, break_off, listing
from tests.mistakes import check
from tests.scenes import cop30, guide_over, identity, weights_info, write_raster
from tests.test_enhance_command import CRS, PLACE, Scene, invoke
from tests.test_enhance_mistakes import MISTAKES
from tests.test_input_mistakes import MISTAKES as INPUT_MISTAKES
from tests.test_output import Job, old_job

TABLE = {**MISTAKES, **INPUT_MISTAKES}

#: What a run reports too.
SHARED = ("output", "crs", "resolution", "bounds", "width", "height", "weights", "trained_on", "device", "already_done")


class Clock:
    """Stands in for the module `time`: only `spend` moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("jspsr_cli.estimate.time", clock)
    monkeypatch.setattr("jspsr_cli.trial.time", clock)
    monkeypatch.setattr("os.cpu_count", lambda: 1000)  # a core is free for aligning
    return clock


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial of two calls."""
    monkeypatch.setattr("jspsr_cli.trial.TRIAL_SECONDS", 1e-9)


def result_of(arguments: list[str]) -> dict[str, Any]:
    done = invoke([*arguments, "--json"])
    assert done.exit_code == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


# What it says


OPTIONS: dict[str, list[str]] = {
    "as it is": [],
    "small windows": ["--window", "32", "--overlap", "0.5", "--batch-size", "7"],
    "5 m": ["--resolution", "5", "--precision", "bfloat16"],
    "a box": ["--bounds", "9.0990,44.9993,9.1011,45.0004", "--window", "40"],
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", OPTIONS)
def test_it_says_what_the_run_will_say(scene: Scene, name: str) -> None:
    arguments = scene.arguments(*OPTIONS[name])
    expected = result_of([*arguments, "--dry-run"])
    run = result_of(arguments)
    assert {key: expected[key] for key in SHARED} == {key: run[key] for key in SHARED}
    assert expected["windows_at_most"] == run["windows"] > 0  # all of them have data
    assert expected["warnings"] == run["warnings"]
    with rasterio.open(scene.output) as dataset:
        options = json.loads(dataset.tags()["JSPSR_OPTIONS"])
    assert [expected[key] for key in ("window", "overlap", "precision")] == [
        options[key] for key in ("window", "overlap", "precision")
    ]
    pixels = run["width"] * run["height"]
    assert expected["area_km2"] == pytest.approx(pixels * run["resolution"] ** 2 / 1e6)
    assert expected["disk_bytes"] == int(pixels * DISK_BYTES_PER_PIXEL)
    assert 0 < expected["seconds"] < 100


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("given", "batch_size"), [([], 16), (["--window", "128"], 4), (["--batch-size", "3"], 3)])
def test_batch_and_device(scene: Scene, given: list[str], batch_size: int) -> None:
    expected = result_of(scene.arguments("--dry-run", "--device", "cpu", *given))
    assert (expected["batch_size"], expected["device"], expected["device_memory_bytes"]) == (batch_size, "cpu", None)


@pytest.mark.usefixtures("quick")
def test_as_text(scene: Scene) -> None:
    arguments = scene.arguments("--dry-run", "--resolution", "16")
    done = invoke(arguments)
    keys = [line.split(":")[0] for line in done.stdout.splitlines()]
    whole = result_of(arguments)
    (warning,) = whole.pop("warnings")
    assert keys == list(whole)
    assert done.stderr == f"jspsr: warning: {warning}\n"


def polygon_at(path: Path, corners: list[tuple[float, float]]) -> Path:
    """A GeoJSON file of one polygon in the CRS of the guide."""
    crs = {"type": "name", "properties": {"name": CRS}}
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [[*corners, corners[0]]], "crs": crs}))
    return path


TRIANGLE = [(0.1, 0.1), (0.9, 0.1), (0.1, 0.9)]


@pytest.mark.usefixtures("quick")
def test_windows_off_the_polygon_do_not_count(scene: Scene) -> None:
    with rasterio.open(scene.guide) as dataset:
        west, south, east, north = dataset.bounds
    corners = [(west + x * (east - west), south + y * (north - south)) for x, y in TRIANGLE]
    area = polygon_at(scene.folder / "area.geojson", corners)
    arguments = scene.arguments("--geometry", area, "--window", "32", "--overlap", "0.5")
    expected, run = result_of([*arguments, "--dry-run"]), result_of(arguments)
    assert expected["area_km2"] == pytest.approx(shapely.Polygon(corners).area / 1e6)
    boxes = 0
    for row in range(-8, 8):
        for col in range(-8, 8):
            x, y = (round(run["bounds"][0] / 128) + col) * 128, (round(run["bounds"][3] / 128) - row) * 128
            # Windows of 256 m every 128 m, their outer 48 m without weight on the output.
            output = shapely.box(*run["bounds"])
            seen = shapely.box(x + 48, y - 256 + 48, x + 256 - 48, y - 48).intersection(output).area > 0
            boxes += seen and shapely.box(x, y - 256, x + 256, y).intersects(shapely.Polygon(corners))
    assert expected["windows_at_most"] == boxes
    assert run["windows"] <= boxes < run["windows"] * 1.3


# What it warns of


def rounded(scene: Scene) -> list[str]:
    """A DEM in whole metres: seen only when its pixels are read."""
    with rasterio.open(scene.dem) as dataset:
        values, place = np.round(dataset.read(1)), dataset.transform
    return scene.arguments(dem=write_raster(scene.folder / "whole.tif", values, crs="EPSG:4326", transform=place))


def of_16_bit(scene: Scene) -> list[str]:
    guide = guide_over(scene.folder / "raw.tif", scene.dem, crs=CRS, resolution=8, share=0.5, dtype="uint16")
    return scene.arguments(guide=guide)


def simulated(scene: Scene) -> list[str]:
    canopy = scene.raster("canopy.tif")
    return scene.arguments("--canopy", canopy, guide=None, weights=scene.weights["canopy"])


WARNINGS: dict[str, tuple[Callable[[Scene], list[str]], str]] = {
    "resolution": (lambda s: s.arguments("--resolution", "16"), "trained at 8 m"),
    "scale": (lambda s: s.arguments("--crs", "EPSG:3857"), "leave --crs away"),
    "stretch": (of_16_bit, "not 8 bit"),
    "simulated": (simulated, "simulated scenes"),
    "whole metres": (rounded, "rounded to 1 m"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", WARNINGS)
def test_it_warns_as_the_run_does(scene: Scene, name: str) -> None:
    arguments, sentence = WARNINGS[name][0](scene), WARNINGS[name][1]
    dry, run = invoke([*arguments, "--dry-run"]), invoke(arguments)
    assert (dry.exit_code, run.exit_code) == (0, 0)
    assert dry.stderr == run.stderr
    assert sentence in dry.stderr


def halved(path: Path, half: slice) -> None:
    with rasterio.open(path, "r+") as dataset:
        values = dataset.read()
        values[:, half] = 0
        dataset.nodata = 0
        dataset.write(values)


@pytest.mark.usefixtures("quick")
def test_an_area_without_data(scene: Scene) -> None:
    with rasterio.open(scene.dem) as dataset:
        middle = dataset.height // 2
    halved(scene.dem, slice(0, middle + 2))  # data in the south only
    with rasterio.open(scene.guide) as dataset:
        middle = dataset.height // 2
    halved(scene.guide, slice(middle, None))  # data in the north only
    expected = result_of(scene.arguments("--dry-run"))
    assert expected["seconds"] is None
    assert any("share no valid pixel" in warning for warning in expected["warnings"])


@pytest.mark.usefixtures("quick")
def test_a_box_beside_the_polygon(scene: Scene) -> None:
    """It lies in the box around the triangle, not in the triangle."""
    with rasterio.open(scene.guide) as dataset:
        west, south, east, north = dataset.bounds
    area = polygon_at(scene.folder / "area.geojson", [(west, south), (east, south), (west, north)])
    box = f"{east - 40},{north - 40},{east - 8},{north - 8}"
    expected = result_of(scene.arguments("--dry-run", "--geometry", area, "--bounds", box, "--window", "40"))
    assert (expected["windows_at_most"], expected["area_km2"], expected["seconds"]) == (0, 0, None)


@pytest.mark.usefixtures("quick")
def test_data_on_one_side_are_found(scene: Scene) -> None:
    guide = guide_over(scene.folder / "wide.tif", scene.dem, crs=CRS, resolution=8, share=0.9)
    with rasterio.open(guide, "r+") as dataset:
        empty = dataset.width * 7 // 8
        dataset.nodata = 0
        dataset.write(np.zeros((3, dataset.height, empty), dtype=np.uint8), window=((0, dataset.height), (0, empty)))
    options = ("--window", "32", "--overlap", "0.5", "--batch-size", "1")
    expected = result_of(scene.arguments("--dry-run", *options, guide=guide))
    assert expected["seconds"] > 0
    assert expected["warnings"] == []


# What it refuses, and what it leaves alone


#: One of each kind that the library finds; the others fail before a command is chosen between.
SOME_MISTAKES = (
    "DEM is text", "guide cut off", "DEM without CRS", "guide of two bands", "guide elsewhere", "bounds elsewhere",
    "polygons are text", "like elsewhere", "CRS in degrees", "no weights for the guides", "weights are text",
    "weights want a canopy", "output is the DEM", "output exists", "output in no folder", "device missing",
    "overlap of a whole window",
)  # fmt: skip


@pytest.mark.parametrize("name", SOME_MISTAKES)
def test_mistake(scene: Scene, name: str) -> None:
    arguments = [*TABLE[name].arguments(scene), "--dry-run"]
    before = scene.listing()
    check(invoke(arguments), TABLE[name].sentence)
    assert scene.listing() == before


@pytest.mark.usefixtures("quick")
def test_nothing_is_written(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scene.listing()
    monkeypatch.chdir(scene.folder)
    for arguments in (scene.arguments(), scene.arguments(output=None)):
        assert invoke([*arguments, "--dry-run"]).exit_code == 0
    assert scene.listing() == before


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["foreign folder", "broken guide", "full disk", "in use"])
def test_what_stops_the_run_stops_the_dry_run(scene: Scene, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = partial_folder(scene.output)
    lock = FileLock(folder / "jspsr.lock")
    if name == "full disk":
        monkeypatch.setattr("jspsr_cli.raster.writer.DISK_BYTES_PER_PIXEL", 1e15)
    elif name == "broken guide":
        content = scene.guide.read_bytes()
        scene.guide.write_bytes(content[: len(content) // 2])
    else:
        folder.mkdir()
        (folder / "mine.txt").touch()
    if name == "in use":
        lock.acquire()
    before = scene.listing()
    dry, run = invoke(scene.arguments("--dry-run")), invoke(scene.arguments())
    lock.release()
    assert (dry.exit_code, dry.stdout) == (run.exit_code, "")
    sentences = {"foreign folder": "not ours", "broken guide": "broke off", "full disk": "MB free", "in use": "Another"}
    assert sentences[name] in dry.stderr
    assert re.sub(r"[\d,]+ MB free", "", dry.stderr) == re.sub(r"[\d,]+ MB free", "", run.stderr)
    assert scene.listing() == before


@pytest.mark.usefixtures("quick")
def test_unfinished_work_counts_and_is_left_as_it_is(tmp_path: Path) -> None:
    job = replace(old_job(tmp_path), options=SEVERAL_STRIPS)
    whole = estimate_of(job)
    break_off(job)
    before = listing(job)
    rest = estimate_of(job)
    assert 0.2 < rest.resumed_at < 1
    assert 0 < rest.windows_at_most < whole.windows_at_most
    assert rest.disk_bytes == whole.disk_bytes - len(before["heights.f32"])
    anew = estimate_of(replace(job, options=replace(SEVERAL_STRIPS, restart=True)))
    assert (anew.resumed_at, anew.windows_at_most) == (0, whole.windows_at_most)
    with pytest.raises(OtherWork, match="--water was keep and is network"):
        estimate_of(replace(job, options=replace(SEVERAL_STRIPS, water="network")))
    assert listing(job) == before
    assert job.run(Lifted()).resumed_at == rest.resumed_at


def estimate_of(job: Job) -> EnhanceEstimate:
    weights: Any = (identity, weights_info("image"))
    return estimate_enhance(job.dem, output=job.output, image=[job.guide], weights=weights, options=job.options)


@pytest.mark.usefixtures("quick")
def test_what_is_done_already(scene: Scene) -> None:
    run = result_of(scene.arguments())
    before = scene.listing()
    expected = result_of(scene.arguments("--dry-run"))
    assert expected["already_done"]
    assert [expected[key] for key in ("windows_at_most", "memory_bytes", "disk_bytes", "seconds")] == [0, 0, 0, 0]
    assert expected["bounds"] == run["bounds"]
    again = result_of(scene.arguments("--dry-run", "--overwrite"))
    assert not again["already_done"]
    assert again["windows_at_most"] == run["windows"]
    check(invoke(scene.arguments("--dry-run", "--water", "network")), "see --overwrite")
    assert scene.listing() == before


# How it estimates


def job(folder: Path, network: Any, **options: Any) -> dict[str, Any]:
    """Arguments of `enhance` on a DEM and two guides, with flat water to be sought."""
    dem = cop30(folder / "dem.tif", size=40, **PLACE)
    guide = guide_over(folder / "guide.tif", dem, crs=CRS, resolution=8, share=0.9)
    canopy = guide_over(folder / "canopy.tif", dem, crs=CRS, resolution=8, share=0.9, values=np.array([12]), bands=1)
    return {
        "dem": dem,
        "image": [guide],
        "canopy": [canopy],
        "output": folder / "out.tif",
        "weights": (network, weights_info("image", "canopy")),
        "options": EnhanceOptions(device="cpu", **options),
    }


@pytest.fixture
def pixels_read(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[int]:
    """Pixels that are aligned at each call, of which each costs a second."""
    read, counted = AlignedLayer.read, []

    def counting(self: AlignedLayer, row: int, col: int, height: int, width: int) -> FloatArray:
        counted.append(height * width)
        clock.spend(height * width)
        return read(self, row, col, height, width)

    monkeypatch.setattr(AlignedLayer, "read", counting)
    return counted


@pytest.mark.parametrize("options", [{}, {"resolution": 5.0}, {"window": 32, "overlap": 0.75}], ids=str)
def test_aligning_costs_what_the_run_reads(
    tmp_path: Path, clock: Clock, pixels_read: list[int], options: dict[str, Any]
) -> None:
    """Every row of every layer once, the margin of the base among them."""

    def network(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        clock.spend(1)
        return dem

    arguments = job(tmp_path, network, **options)
    estimate = estimate_enhance(**arguments)
    pixels_read.clear()
    enhance(**arguments)
    written = estimate.width * estimate.height * WRITING_SECONDS_PER_PIXEL
    assert estimate.seconds == pytest.approx(sum(pixels_read) + written)


@pytest.mark.parametrize("options", [{}, {"batch_size": 2, "window": 40, "overlap": 0.5}, {"overlap": 0.6}], ids=str)
def test_predicting_costs_what_the_windows_cost(tmp_path: Path, clock: Clock, options: dict[str, Any]) -> None:
    """The first call, which sets up threads and memory, does not count."""
    calls = 0

    def network(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        clock.spend(0.25 * len(dem) + 5 * (calls == 1))
        return dem

    arguments = job(tmp_path, network, **options)
    estimate = estimate_enhance(**arguments)
    before = clock.now
    report = enhance(**arguments)
    written = estimate.width * estimate.height * WRITING_SECONDS_PER_PIXEL
    assert estimate.windows_at_most == report.windows
    assert estimate.seconds == pytest.approx(clock.now - before + written, abs=1e-3)


@pytest.mark.parametrize(
    ("device", "cores", "aligning", "seconds"),
    [("cpu", 8, 4, 10), ("cpu", 2, 4, 12), ("cpu", 2, 30, 30), ("cuda", 2, 4, 10), ("cuda", 1, 4, 14)],
)
def test_aligning_ahead_takes_a_free_core_or_its_share(
    monkeypatch: pytest.MonkeyPatch, device: str, cores: int, aligning: float, seconds: float
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    assert together(10, aligning, torch.device(device)) == seconds


def test_it_grows_with_the_pixels(tmp_path: Path, clock: Clock) -> None:
    def network(dem: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        clock.spend(len(dem))
        return dem

    coarse, fine = (
        estimate_enhance(**job(tmp_path, network, window=32, overlap=0.5, resolution=metres)) for metres in (8.0, 4.0)
    )
    assert coarse.seconds
    assert fine.seconds
    assert fine.area_km2 == pytest.approx(coarse.area_km2, rel=0.02)
    assert fine.seconds / coarse.seconds == pytest.approx(4, rel=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_memory_of_a_device_is_measured(tmp_path: Path) -> None:
    arguments = job(tmp_path, lambda dem, **_: dem + 0)
    found = [
        estimate_enhance(**{**arguments, "options": EnhanceOptions(device="cuda", batch_size=size)}) for size in (1, 8)
    ]
    one, eight = (estimate.device_memory_bytes or 0 for estimate in found)
    assert 0 < one < eight


PEAKS = """
import re, sys
from pathlib import Path
from jspsr_cli import enhance, estimate_enhance, trial
from tests.scenes import weights_info
trial.TRIAL_SECONDS = 0.01
folder = Path(sys.argv[1])
arguments = {
    "dem": folder / "dem.tif", "canopy": [folder / "canopy.tif"], "output": folder / "out.tif",
    "weights": (lambda dem, **_: dem, weights_info("canopy")),
}
expected = estimate_enhance(**arguments).memory_bytes
enhance(**arguments)
print(expected, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak from /proc")
def test_memory_is_that_of_the_run(tmp_path: Path) -> None:
    width, height = 4096, 160
    place = {"crs": CRS, "transform": rasterio.Affine(8, 0, 5e5, 0, -8, 5e6)}
    write_raster(tmp_path / "canopy.tif", np.zeros((height, width), dtype=np.uint8), **place)
    heights = 100 + np.random.default_rng(1).random((height // 4, width // 4), dtype=np.float32)
    place["transform"] = rasterio.Affine(32, 0, 5e5, 0, -32, 5e6)
    write_raster(tmp_path / "dem.tif", heights, **place)
    done = subprocess.run([sys.executable, "-c", PEAKS, str(tmp_path)], capture_output=True, text=True, check=True)
    expected, peak = (int(text) for text in done.stdout.split())
    assert 0.95 < expected / (peak * 1024) < 1.4
