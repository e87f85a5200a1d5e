"""Canopy heights: means of the map's pixels without shift or seam, as `enhance` takes them."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from jspsr_cli.errors import FetchFailed, InvalidGrid, InvalidOption, JspsrError, NotPublic, OutputExists, WrongTile
from jspsr_cli.fetch.canopy import fetch_canopy, means
from jspsr_cli.fetch.quadkeys import SIDE
from jspsr_cli.fetch.report import CanopyReport
from jspsr_cli.fetch.request import CanopyOptions
from jspsr_cli.main import cli
from jspsr_cli.raster.inputs import canopy_layer, open_canopy
from jspsr_cli.raster.products import inherited
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.target import TargetRequest, target_of
from tests.fetch import others
from tests.fetch.archive import (
    Fault,
    Server,
    cut,
    garbled,
    good,
    other_range,
    other_total,
    serving,
    spoilt,
    status,
    whole,
)
from tests.fetch.others import HALF, METRES, canopy_path, save_canopy
from tests.scenes import Array, heights_of

Fetch = Callable[..., CanopyReport]

#: Column and row of the tile whose north-west corner is where four tiles meet, at 45.8 N.
X, Y = 279, 182

#: Heights around that corner, and where on the map they begin.
ROW, COL = Y * SIDE - 150, X * SIDE - 150
CANOPY = np.random.default_rng(5).integers(0, 40, (300, 300)).astype(np.uint8)
TILE_COUNT = 4

FACTOR_HERE = 5  # 4 m, where a pixel of the map has 0.83 m


def box(row: int, col: int, height: int, width: int) -> tuple[float, ...]:
    """Longitude and latitude of the inside of pixels of the map."""
    to_degrees = pyproj.Transformer.from_crs(3857, 4326, always_xy=True)
    west, north = to_degrees.transform((col + 0.2) * METRES - HALF, HALF - (row + 0.2) * METRES)
    east, south = to_degrees.transform((col + width - 0.2) * METRES - HALF, HALF - (row + height - 0.2) * METRES)
    return west, south, east, north


CORNER = box(ROW + 50, COL + 50, 200, 200)
ONE = box(ROW + 160, COL + 160, 100, 100)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("canopy")
    for x, y in ((X - 1, Y - 1), (X, Y - 1), (X - 1, Y), (X, Y)):
        save_canopy(root, x, y, CANOPY, row=ROW, col=COL)
    return root


@pytest.fixture
def server(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(archive) as server:
        monkeypatch.setenv("JSPSR_CANOPY_URL", address(server))
        monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr("jspsr_cli.fetch.download.FIRST_WAIT", 0.001)
        yield server


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Fetch:
    assert server

    def run(bounds: Any, *, output: str = "out.tif", **options: Any) -> CanopyReport:
        chosen = CanopyOptions(**{"buffer": 0.0, **options})
        return fetch_canopy(tmp_path / output, bounds=bounds, options=chosen)

    return run


def expected(path: Path, canopy: Array = CANOPY) -> Array:
    """Means of the one array that all tiles were cut from, where the pixels of `path` say they are."""
    with rasterio.open(path) as dataset:
        t, shape = dataset.transform, dataset.shape
    factor = round(t.a / METRES)
    assert t.a == pytest.approx(factor * METRES, rel=1e-12) == -t.e
    left, top = (t.c + HALF) / METRES, (HALF - t.f) / METRES
    assert left % factor == pytest.approx(0, abs=1e-3)
    assert top % factor == pytest.approx(0, abs=1e-3)
    found = np.full(shape, np.nan)
    for row in range(shape[0]):
        for col in range(shape[1]):
            r, c = round(top) + row * factor - ROW, round(left) + col * factor - COL
            found[row, col] = canopy[r : r + factor, c : c + factor].mean()
    return found


# Pixels


@pytest.mark.parametrize(("resolution", "factor"), [(0.5, 1), (2, 2), (4, FACTOR_HERE), (10, 12)])
def test_four_tiles_are_averaged_as_one_array(
    fetch: Fetch, tmp_path: Path, server: Server, resolution: float, factor: int
) -> None:
    """Also by squares of pixels that lie in four tiles: no side of a tile is a multiple of 5."""
    report = fetch(CORNER, resolution=resolution)
    assert np.abs(heights_of(tmp_path / "out.tif") - expected(tmp_path / "out.tif")).max() < 1e-5
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.crs.to_epsg() == 3857
        assert round(dataset.transform.a / METRES) == factor
        assert (dataset.dtypes, dataset.nodata, dataset.units) == (("float32",), -9999.0, ("metre",))
        around = rasterio.warp.transform_bounds(3857, 4326, *dataset.bounds)
    assert all(v <= w for v, w in zip(around[:2], CORNER[:2], strict=True))
    assert all(v >= w for v, w in zip(around[2:], CORNER[2:], strict=True))
    assert report.resolution == pytest.approx(factor * METRES * np.cos(np.radians(CORNER[1])), rel=1e-3)
    assert (len(report.tiles), report.missing_tiles, report.warnings) == (TILE_COUNT, 0, ())
    # Of each tile its header, which takes two requests or three, and the few blocks under the corner.
    assert len(server.requests) <= 4 * TILE_COUNT
    assert server.sent == report.bytes_fetched


def test_any_two_areas_have_one_lattice(fetch: Fetch, tmp_path: Path) -> None:
    fetch(CORNER)
    fetch(box(ROW + 83, COL + 71, 90, 110), output="part.tif")
    with rasterio.open(tmp_path / "part.tif") as part, rasterio.open(tmp_path / "out.tif") as all_of_it:
        window = all_of_it.window(*part.bounds).round_offsets().round_lengths()
        assert np.array_equal(all_of_it.read(1, window=window), part.read(1))


def test_the_result_does_not_depend_on_how_it_was_cut(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(CORNER)
    monkeypatch.setattr("jspsr_cli.fetch.canopy.COLUMNS_AT_ONCE", 64)
    monkeypatch.setattr("jspsr_cli.fetch.output.AT_ONCE", 1000)
    fetch(CORNER, output="cut.tif")
    assert (tmp_path / "cut.tif").read_bytes() == (tmp_path / "out.tif").read_bytes()


@pytest.mark.parametrize("nodata", [None, 255.0])
def test_voids_do_not_count(fetch: Fetch, tmp_path: Path, nodata: float | None) -> None:
    """Tagged or not: 255 m is no tree. Squares of voids only have no data."""
    canopy = CANOPY.copy()
    canopy[160:190, 160:190] = 255
    canopy[200, 200:240] = 255
    save_canopy(tmp_path / "own", X, Y, canopy, row=ROW, col=COL, nodata=nodata)
    fetch(box(ROW + 155, COL + 155, 100, 100), source=str(tmp_path / "own"))
    heights = heights_of(tmp_path / "out.tif")
    truth = expected(tmp_path / "out.tif", np.where(canopy == 255, np.nan, canopy.astype(float)))
    partly = np.isnan(truth) & ~np.isnan(heights)
    assert np.isnan(heights).sum() >= 25
    assert 0 < partly.sum() < 60
    assert np.abs(heights - truth)[~np.isnan(truth)].max() < 1e-5
    assert heights[partly].max() < 40


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.randoms(use_true_random=False))
def test_means(rows: int, cols: int, factor: int, random: Any) -> None:
    values = np.array(
        [random.choice([0, 1, 17, 150, 255, np.nan]) for _ in range(rows * cols * factor**2)], np.float32
    ).reshape(rows * factor, cols * factor)
    found = means(values, factor)
    assert found.dtype == np.float32
    for row in range(rows):
        for col in range(cols):
            square = values[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor].ravel()
            known = [float(v) for v in square if v <= 150]
            assert found[row, col] == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)


def test_enhance_reads_it_in_metres_and_in_its_place(fetch: Fetch, tmp_path: Path) -> None:
    """The layer of `enhance` in UTM against the map itself: no shift, and the right unit."""
    y, x = np.mgrid[0:300, 0:300]
    hills = np.round(20 + 10 * np.sin(x / 25) + 8 * np.cos(y / 20)).astype(np.uint8)
    save_canopy(tmp_path / "own", X, Y, hills, row=Y * SIDE + 600, col=X * SIDE + 600)
    fetch(box(Y * SIDE + 620, X * SIDE + 620, 260, 260), source=str(tmp_path / "own"), resolution=2)
    files = open_canopy([str(tmp_path / "out.tif")])
    grid = target_of(TargetRequest(resolution=3), [files[0].extent], guide=files[0].extent).grid
    assert grid.crs.to_epsg() == 32633
    with RasterReader() as reader:
        layer = canopy_layer(files, grid, reader=reader).read(0, 0, grid.height, grid.width)[0]
    cols, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    e, n = grid.transform.a * cols + grid.transform.c, grid.transform.e * rows + grid.transform.f
    mx, my = pyproj.Transformer.from_crs(32633, 3857, always_xy=True).transform(e, n)
    col, row = (mx + HALF) / METRES - (X * SIDE + 600) - 0.5, (HALF - my) / METRES - (Y * SIDE + 600) - 0.5
    off = layer - (20 + 10 * np.sin(col / 25) + 8 * np.cos(row / 20))
    assert np.isfinite(off).mean() > 0.9
    assert abs(np.nanmean(off)) < 0.05
    assert np.nanmax(np.abs(off)) < 1.5
    # A shift would show as so many slopes: less than a twentieth of a pixel of the map, of which there are two in one.
    for slope in (np.cos(col / 25) * 10 / 25, -np.sin(row / 20) * 8 / 20):
        assert abs(np.nansum(off * slope) / np.nansum(slope**2 * np.isfinite(off))) < 0.05


def test_what_the_output_says_of_itself(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    report = fetch(ONE)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        tags = dataset.tags()
    assert json.loads(tags["JSPSR_TILES"]) == [others.quadkey(X, Y)] == list(report.tiles)
    assert tags["JSPSR_RESAMPLED"] == "a pixel is the mean of 5 x 5 of the map and 4.14 m wide on the ground"
    assert (tags["JSPSR_SOURCE"], tags["AREA_OR_POINT"]) == (address(server), "Area")
    licences, attributions = inherited(open_canopy([str(tmp_path / "out.tif")]))
    assert licences == ["Meta / WRI canopy height: CC BY 4.0"]
    assert "Tolan et al. 2024" in attributions[0]


# Where there is nothing


def test_a_missing_tile_has_no_data_and_is_counted(fetch: Fetch, tmp_path: Path) -> None:
    save_canopy(tmp_path / "own", X, Y, CANOPY, row=ROW, col=COL)
    save_canopy(tmp_path / "own", X - 1, Y - 1, CANOPY, row=ROW, col=COL)
    source = str(tmp_path / "own")
    for _ in range(2):
        report = fetch(CORNER, resolution=0.5, source=source)
        gone = [others.quadkey(X, Y - 1), others.quadkey(X - 1, Y)]
        assert (report.missing_tiles, len(report.tiles)) == (2, 2)
        assert f"no tile {', '.join(gone)}" in report.warnings[0]
        assert "enhance --guide-gaps dem keeps the DEM there" in report.warnings[0]
    heights, half = heights_of(tmp_path / "out.tif"), 100
    assert np.isnan(heights[:half, half:]).all()
    assert np.isnan(heights[half:, :half]).all()
    assert not np.isnan(heights[:half, :half]).any()
    truth = expected(tmp_path / "out.tif")
    assert np.array_equal(heights[half:, half:], truth[half:, half:])


def test_an_area_without_a_tile_is_a_sentence(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    for asked in (1, 1, 2):
        with pytest.raises(
            NotPublic, match=r"no tile in the area at http.*JSPSR_CANOPY_URL or --source, .*fetch-canopy --refresh"
        ):
            fetch((-30.1, 0.1, -30, 0.2), refresh=asked == 2)
        assert len(server.requests) == asked  # what is known to be missing is not asked for again, unless refreshed
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("bounds", [(179.9, 0, 180.1, 1), (179.9, 0, -179.9, 1), (-180.1, 0, -179.9, 1)])
def test_across_the_antimeridian_is_a_sentence(fetch: Fetch, server: Server, bounds: tuple[float, ...]) -> None:
    with pytest.raises(InvalidGrid, match=r"crosses the antimeridian.*both sides"):
        fetch(bounds)
    assert not server.requests


@pytest.mark.parametrize(("lon", "x"), [(179.999, 511), (-179.999, 0)])
def test_a_buffer_ends_at_the_antimeridian(fetch: Fetch, tmp_path: Path, lon: float, x: int) -> None:
    save_canopy(tmp_path / "own", x, 256, np.full((500, 65_536), 7, np.uint8), row=256 * SIDE, col=x * SIDE)
    report = fetch((lon - 5e-4, -0.002, lon + 5e-4, -0.001), buffer=200, source=str(tmp_path / "own"))
    assert max(map(abs, report.bounds[::2])) == pytest.approx(HALF, abs=5 * METRES)
    heights = heights_of(tmp_path / "out.tif")
    assert set(np.unique(heights[~np.isnan(heights)])) <= {7.0, 0.0}
    assert report.missing_tiles <= 1  # the buffer crosses the equator


def test_beyond_the_map_is_a_sentence(fetch: Fetch) -> None:
    with pytest.raises(NotPublic, match=r"85 degrees.*: fetch-copernicus is bare earth there"):
        fetch((10, 86, 11, 87))


@pytest.mark.parametrize("resolution", [0.0, -1, 101, float("nan")])
def test_resolutions_that_cannot_work(resolution: float) -> None:
    with pytest.raises(InvalidOption, match="resolution"):
        CanopyOptions(resolution=resolution)


# Faults

#: One after the other for one range of bytes, then for ranges that come as they should.
TRANSPORT = [status(503), status(429, Retry_After="0"), cut(10), other_range]
FAULTS: dict[str, list[Fault]] = {
    "transport": TRANSPORT,
    "other size": [other_total],
    "garbled": [garbled],
    "spoilt": [spoilt],
}


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass_do_not_show(fetch: Fetch, server: Server, tmp_path: Path, fault: str, place: int) -> None:
    """In the beginning of the header, the rest of it, and the pixels."""
    server.faults = [good] * place + FAULTS[fault]
    fetch(ONE)
    assert not server.faults
    assert np.abs(heights_of(tmp_path / "out.tif") - expected(tmp_path / "out.tif")).max() < 1e-5


def test_a_server_that_ignores_ranges(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    server.always = whole
    fetch(ONE)
    assert np.abs(heights_of(tmp_path / "out.tif") - expected(tmp_path / "out.tif")).max() < 1e-5


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (status(503), FetchFailed, "answers 503.*5 times"),
        (status(403), FetchFailed, "answers 403"),
        (garbled, WrongTile, "damaged"),
        (spoilt, WrongTile, "damaged"),
    ],
)
def test_a_fault_that_stays_is_a_sentence(
    fetch: Fetch, server: Server, tmp_path: Path, fault: Fault, error: type[JspsrError], sentence: str
) -> None:
    server.always = fault
    with pytest.raises(error, match=sentence) as caught:
        fetch(ONE)
    assert f"Canopy tile {others.quadkey(X, Y)}" in str(caught.value)
    assert not list(tmp_path.glob("out*"))
    server.always = None
    fetch(ONE)


def test_pixels_that_gdal_cannot_decode_are_a_sentence(fetch: Fetch, tmp_path: Path) -> None:
    """LZW carries no sum: the damage shows when the pixels are averaged. It is not kept."""
    path = save_canopy(tmp_path / "own", X, Y, CANOPY, row=ROW, col=COL, compress="lzw")
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    content = path.read_bytes()
    path.write_bytes(content[:offset] + bytes([255]) * 500 + content[offset + 500 :])
    with serving(tmp_path / "own") as server:
        with pytest.raises(WrongTile, match=f"{others.quadkey(X, Y)} .* is damaged"):
            fetch(ONE, source=address(server))
        path.write_bytes(content)
        fetch(ONE, source=address(server))
    assert np.abs(heights_of(tmp_path / "out.tif") - expected(tmp_path / "out.tif")).max() < 1e-5


@pytest.mark.parametrize(
    ("x", "profile", "sentence"),
    [
        (X + 1, {}, "lies elsewhere"),
        (X, {"crs": "EPSG:32633"}, "is not in EPSG:3857"),
        (X, {"crs": None}, "is not in EPSG:3857"),
        (X, {"dtype": "int16"}, "has 1 bands of int16 and not one of uint8"),
        (X, {"width": 32_768, "height": 32_768}, "has 32768 x 32768 pixels"),
    ],
)
def test_a_tile_that_is_another_is_a_sentence(
    fetch: Fetch, tmp_path: Path, x: int, profile: dict[str, Any], sentence: str
) -> None:
    made = save_canopy(tmp_path / "own", x, Y, CANOPY, row=Y * SIDE, col=x * SIDE, **profile)
    made.rename(canopy_path(tmp_path / "own", X, Y))
    with pytest.raises(WrongTile, match=sentence):
        fetch(ONE, source=str(tmp_path / "own"))


# Once


def test_the_same_command_again_does_nothing(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    first = fetch(ONE)
    before, asked = (tmp_path / "out.tif").stat().st_mtime_ns, len(server.requests)
    again = fetch(ONE)
    assert (again.already_done, again.tiles, len(server.requests)) == (True, first.tiles, asked)
    assert (tmp_path / "out.tif").stat().st_mtime_ns == before
    for change in ({"resolution": 8.0}, {"buffer": 100.0}):
        with pytest.raises(OutputExists, match="--overwrite"):
            fetch(ONE, **change)


def test_what_was_fetched_needs_no_network(fetch: Fetch, tmp_path: Path, server: Server, archive: Path) -> None:
    """What is known to be missing included."""
    canopy_path(archive, X, Y - 1).rename(tmp_path / "away.tif")
    try:
        fetch(CORNER)
        before = (tmp_path / "out.tif").read_bytes()
        server.always = status(503)
        assert (fetch(CORNER, overwrite=True).bytes_fetched, fetch(CORNER).missing_tiles) == (0, 1)
        assert (tmp_path / "out.tif").read_bytes() == before
    finally:
        (tmp_path / "away.tif").rename(canopy_path(archive, X, Y - 1))
    server.always = None
    assert fetch(CORNER, overwrite=True).missing_tiles == 1
    assert fetch(CORNER, overwrite=True, refresh=True).missing_tiles == 0


def test_three_at_once_fetch_each_byte_once(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    runs = [threading.Thread(target=fetch, args=(CORNER,), kwargs={"output": f"{i}.tif"}) for i in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    for i in range(3):
        assert np.abs(heights_of(tmp_path / f"{i}.tif") - expected(tmp_path / f"{i}.tif")).max() < 1e-5
    asked = [(request.path, request.first) for request in server.requests]
    assert len(asked) == len(set(asked))


# The command


def test_the_command(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server
    monkeypatch.chdir(tmp_path)
    words = ["fetch-canopy", *map(str, ONE), "--buffer", "5", "--resolution", "2"]
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["output"], report["tiles"]) == ("canopy.tif", [others.quadkey(X, Y)])
    assert "mean of 2 x 2" in done.stderr
    assert "is there already" in CliRunner().invoke(cli, words).stdout
    wrong = CliRunner().invoke(cli, ["fetch-canopy", "0", "0", "1", "1", "--resolution", "500"])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "resolution 500" in wrong.stderr


@pytest.mark.network
def test_the_public_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the forest of Fontainebleau trees stand, and some hundred metres of it take some megabytes."""
    monkeypatch.delenv("JSPSR_CANOPY_URL", raising=False)
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    report = fetch_canopy(tmp_path / "out.tif", bounds=(2.64, 48.41, 2.645, 48.415), options=CanopyOptions(buffer=0))
    heights = heights_of(tmp_path / "out.tif")
    assert 5 < np.nanmean(heights) < 40
    assert report.bytes_fetched < 3e7
