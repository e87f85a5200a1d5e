"""`jspsr enhance` as its users meet it: what is written where, and how it is called."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from click.testing import CliRunner, Result

from jspsr_cli.main import cli
from jspsr_cli.unfinished import STATE
from jspsr_models import WeightsInfo, identity_checkpoint, save_network
from tests.scenes import cop30, guide_over, heights_of, write_raster
from tests.torture.forked import Ended, Forks

CRS = "EPSG:32632"
PLACE = {"lon": 9.1, "lat": 45.0}


def save_weights(folder: Path) -> dict[str, Path]:
    """Small identity checkpoints by the guide that they want, and "fine", one of 3 m."""
    made = {}
    kinds = (("image", "image", 8.0), ("canopy", "canopy", 8.0), ("mask", "mask", 8.0), ("fine", "image", 3.0))
    for name, guide, resolution in kinds:
        made[name] = folder / f"{name}.safetensors"
        info = WeightsInfo(
            name=name, sha256="", inputs=(guide,), num_feature=4, resolution=resolution, window=64, licence="none",
            simulated=name == "canopy",
        )  # fmt: skip
        save_network(identity_checkpoint((guide,)), made[name], info)
    return made


class Scene:
    """Inputs in one folder, and the command that makes `out.tif` beside them."""

    def __init__(self, folder: Path, weights: dict[str, Path]) -> None:
        self.folder, self.weights = folder, weights
        self.dem = cop30(folder / "dem.tif", size=30, **PLACE)
        self.guide = guide_over(folder / "guide.tif", self.dem, crs=CRS, resolution=8, share=0.5)
        self.output = folder / "out.tif"

    def arguments(self, *more: object, **instead: object) -> list[str]:
        """The plain command; `instead` names other values, None leaves an option away."""
        named = {"dem": self.dem, "guide": self.guide, "weights": self.weights["image"], "output": self.output}
        named |= instead  # type: ignore[arg-type]
        dem = named.pop("dem")
        options = [text for name, value in named.items() if value is not None for text in (f"--{name}", str(value))]
        return ["enhance", str(dem), *options, *map(str, more)]

    def listing(self) -> dict[str, tuple[int, int]]:
        """Everything in the folder, with size and time of the last change."""
        found = {str(p.relative_to(self.folder)): p.stat() for p in self.folder.rglob("*")}
        return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}

    def raster(self, name: str, *, bands: int = 1, crs: str | None = CRS, value: int = 1) -> Path:
        """A raster over the scene for a mistake."""
        with rasterio.open(self.guide) as dataset:
            shape, place = (bands, dataset.height, dataset.width), dataset.transform
        return write_raster(self.folder / name, np.full(shape, value, dtype=np.uint8), crs=crs, transform=place)


def invoke(arguments: list[str]) -> Result:
    return CliRunner().invoke(cli, arguments)


def process(
    arguments: list[str], *, program: tuple[str, ...] = ("-m", "jspsr_cli")
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


# Real processes


def test_result_on_stdout_and_the_rest_on_stderr(scene: Scene) -> None:
    canopy = scene.raster("canopy.tif")
    arguments = scene.arguments("--canopy", canopy, "--json", guide=None, weights=scene.weights["canopy"])
    done = process(arguments)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert result["output"] == str(scene.output)
    assert (result["crs"], result["resolution"], result["already_done"]) == (CRS, 8.0, False)
    assert result["pixels_written"] == np.isfinite(heights_of(scene.output)).sum() > 0
    assert any("simulated" in warning for warning in result["warnings"])
    assert done.stderr == "jspsr: warning: the weights were trained on simulated scenes\n"
    before = scene.listing()
    again = invoke(arguments)
    assert json.loads(again.stdout)["already_done"]
    assert again.exit_code == 0
    assert scene.listing() == before


GRIDS = {"none": (), "8 m": ("--resolution", "8"), "like": ("--like", "guide"), "4 m": ("--resolution", "4")}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_without_weights_those_of_the_package_that_fit(scene: Scene, grid: tuple[str, ...]) -> None:
    name = "starter-3m-canopy" if "4" in grid else "starter-8m-canopy"
    more = [str(scene.guide) if word == "guide" else word for word in grid]
    done = invoke(scene.arguments("--canopy", scene.raster("canopy.tif"), *more, guide=None, weights=None))
    assert done.exit_code == 0, done.output
    chosen = f"jspsr: {name} is used, as no --weights are given: trained on "
    said = done.stderr.splitlines()
    assert [line for line in said if line.startswith(chosen)] == said[:1]
    assert said.count("jspsr: warning: the weights were trained on simulated scenes") == 1
    with rasterio.open(scene.output) as dataset:
        tags = dataset.tags()
    assert tags["JSPSR_WEIGHTS"] == name
    assert tags["JSPSR_NOTICE"] == "the weights were trained on simulated scenes"


def test_a_mistake_is_one_line_and_exit_code_2(scene: Scene, forks: Forks) -> None:
    done = forks.run(scene.arguments(guide=scene.raster("plain.tif")))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("jspsr: error: ")
    assert done.err.count("\n") == 1
    assert not scene.output.exists()


def test_the_last_line_sums_up(scene: Scene) -> None:
    said = invoke(scene.arguments()).stdout
    with rasterio.open(scene.output) as dataset:
        pixels = int((dataset.read_masks(1) > 0).sum())
    start = re.escape(f"out.tif: {pixels * 64 / 1e6:,.2f} km2, {pixels:,} pixels of 8 m, ")
    assert re.fullmatch(
        start + r"[\d.]+% without guide, 0 of \d+ windows with more relief .*, [\d.]+ s, [\d,]+ pixels/s on cpu\n", said
    )
    assert "is there already" in invoke(scene.arguments()).stdout


def test_rio_jspsr_enhance(scene: Scene) -> None:
    rio = ("-c", "from rasterio.rio.main import main_group; main_group()", "jspsr")
    done = process(scene.arguments("-q"), program=rio)
    assert (done.returncode, done.stderr) == (0, "")
    rewritten = scene.output.rename(scene.folder / "rio.tif").read_bytes()
    assert invoke(scene.arguments()).exit_code == 0
    assert scene.output.read_bytes() == rewritten


def test_interrupted(scene: Scene, forks: Forks) -> None:
    """By Ctrl-C, then by SIGTERM where it goes on, each time with some more of it finished."""
    scene.output.write_bytes(b"what was there before")
    dem = cop30(scene.folder / "large.tif", size=60, **PLACE)
    guide = guide_over(scene.folder / "large_guide.tif", dem, crs=CRS, resolution=8, share=0.9)
    arguments = scene.arguments(
        "--overwrite", "--window", "32", "--overlap", "0.5", "--batch-size", "1", dem=dem, guide=guide
    )
    before, state = scene.listing(), scene.folder / "out.tif.partial" / STATE

    def ended_by(number: int) -> Ended:
        earlier = state.stat().st_mtime_ns if state.exists() else None

        def interrupt(process: int) -> None:
            deadline = time.monotonic() + 60
            while not (state.exists() and state.stat().st_mtime_ns != earlier) and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(process, number)

        return forks.run(arguments, meanwhile=interrupt)

    for number, code, word in ((signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")):
        ended = ended_by(number)
        assert ended.code == code
        said = rf"\s*jspsr: {word}\. What is finished is kept in .*: the same command goes on with it\.\s*"
        assert re.fullmatch(said, ended.err)
        after = scene.listing()
        assert {name: after[name] for name in before} == before
    assert 0 < json.loads(invoke([*arguments, "--json"]).stdout)["resumed_at"] < 1
    resumed = scene.output.read_bytes()
    assert invoke(arguments).exit_code == 0
    assert scene.output.read_bytes() == resumed
    assert not state.parent.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_full_disk(scene: Scene) -> None:
    """Stood in for by a limit on the size of files, which fails the same calls."""
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "sys.argv[0] = 'jspsr'; runpy.run_module('jspsr_cli', run_name='__main__')"
    )
    before = scene.listing()
    done = process(scene.arguments(), program=("-c", limited))
    assert (done.returncode, done.stdout) == (1, "")
    assert "out.tif cannot be written" in done.stderr
    assert "bug" not in done.stderr
    assert scene.listing() == before


# How it is called


def test_quiet_and_verbose_do_not_change_the_result(scene: Scene) -> None:
    outputs = []
    for option in ("-q", "-v", "-vv"):
        done = invoke(scene.arguments(option, "--overwrite"))
        assert done.exit_code == 0
        assert "out.tif: " in done.stdout
        assert option != "-q" or done.stderr == ""
        outputs.append(scene.output.read_bytes())
    assert len(set(outputs)) == 1


def test_verbose_says_more(scene: Scene) -> None:
    assert invoke(scene.arguments("-v")).stderr != ""


def test_names_with_spaces_and_letters_of_any_alphabet(scene: Scene) -> None:
    folder = scene.folder / "Höhen und 高さ"
    folder.mkdir()
    dem = scene.dem.rename(folder / "dem (1) ü.tif")
    guide = scene.guide.rename(folder / "photo 写真.tif")
    output = folder / "sortie é.tif"
    done = invoke(scene.arguments("--json", dem=dem, guide=guide, output=output))
    assert (done.exit_code, json.loads(done.stdout)["output"]) == (0, str(output))
    with rasterio.open(output) as dataset:
        assert json.loads(dataset.tags()["JSPSR_INPUT_DEM"]) == [dem.name]


@pytest.mark.parametrize(("name", "resolution"), [("image", 8.0), ("fine", 3.0)])
def test_the_resolution_is_that_of_the_weights(scene: Scene, name: str, resolution: float) -> None:
    guide = guide_over(scene.folder / "fitting.tif", scene.dem, crs=CRS, resolution=resolution, share=0.5)
    result = json.loads(invoke(scene.arguments("--json", guide=guide, weights=scene.weights[name])).stdout)
    assert result["resolution"] == resolution
    assert result["warnings"] == []


def test_the_output_has_a_name_by_default(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = scene.folder / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    done = invoke(scene.arguments("--json", output=None))
    assert json.loads(done.stdout)["output"] == "dem_bare_earth.tif"
    assert [path.name for path in folder.iterdir()] == ["dem_bare_earth.tif"]


def test_bounds_in_degrees_and_in_metres(scene: Scene) -> None:
    with rasterio.open(scene.guide) as dataset:
        west, south, east, north = (
            round(v / 8) * 8 + d for v, d in zip(dataset.bounds, (80, 80, -80, -80), strict=True)
        )
    done = invoke(scene.arguments("--json", "--bounds", f"{west},{south},{east},{north}"))
    assert json.loads(done.stdout)["bounds"] == [west, south, east, north]
    whole = heights_of(scene.output)
    lon, lat = PLACE["lon"], PLACE["lat"]
    degrees = f"{lon - 0.0004},{lat - 0.0004},{lon + 0.0004},{lat + 0.0004}"
    done = invoke(scene.arguments("--json", "--overwrite", "--bounds", degrees))
    box = json.loads(done.stdout)["bounds"]
    xs, ys = rasterio.warp.transform("EPSG:4326", CRS, [lon], [lat])
    assert (box[0] + box[2]) / 2 == pytest.approx(xs[0], abs=8)
    assert (box[1] + box[3]) / 2 == pytest.approx(ys[0], abs=8)
    row, col = round((north - box[3]) / 8), round((box[0] - west) / 8)
    part = heights_of(scene.output)
    np.testing.assert_allclose(part, whole[row:, col:][: part.shape[0], : part.shape[1]], atol=1e-3)


def test_like_takes_the_grid_as_it_is(scene: Scene) -> None:
    with rasterio.open(scene.guide) as dataset:
        west, south, _, _ = dataset.bounds
    place = Affine(7.3, 0, west + 101.7, 0, -6.9, south + 403.3)
    like = write_raster(scene.folder / "like.tif", np.zeros((31, 27), dtype=np.uint8), crs=CRS, transform=place)
    assert invoke(scene.arguments("--like", like)).exit_code == 0
    with rasterio.open(scene.output) as dataset:
        assert (dataset.transform, dataset.shape, dataset.crs.to_string()) == (place, (31, 27), CRS)
    assert np.isfinite(heights_of(scene.output)).all()


class RangeHandler(SimpleHTTPRequestHandler):
    """Files with byte ranges, as object stores serve them."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        asked = self.headers.get("Range")
        if asked:
            first, last = asked.removeprefix("bytes=").split("-")
            content = content[int(first) : int(last) + 1 if last else None]
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(content) - 1}/{path.stat().st_size}")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def url(scene: Scene) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=str(scene.folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_guide_from_the_web(scene: Scene, forks: Forks, url: str) -> None:
    assert invoke(scene.arguments()).exit_code == 0
    local = heights_of(scene.output)
    remote = scene.folder / "remote.tif"
    # In processes of their own: GDAL holds this one's interpreter, and with it the server, while it waits.
    done = forks.run(scene.arguments(guide=f"{url}/guide.tif?token=secret", output=remote))
    assert done.code == 0
    np.testing.assert_array_equal(heights_of(remote), local)
    with rasterio.open(remote) as dataset:
        assert json.loads(dataset.tags()["JSPSR_INPUT_IMAGE"]) == ["guide.tif"]
    missing = forks.run(scene.arguments("--overwrite", guide=f"{url}/nothing.tif"))
    assert missing.code == 2
    assert "404" in missing.err
