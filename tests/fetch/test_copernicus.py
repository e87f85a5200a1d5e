"""Pixels: where they come from and where they lie, over tiles, bands, turns, gaps and the sea."""

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from jspsr_cli.errors import (
    InputError,
    InvalidOption,
    NotPublic,
    OtherWork,
    OutputExists,
    OutputNotWritable,
)
from jspsr_cli.fetch.index import shipped_index
from jspsr_cli.fetch.plan import FetchPlan, plan_fetch
from jspsr_cli.fetch.request import FetchOptions, area_of, buffered
from jspsr_cli.fetch.tiles import GLO90, Tile
from jspsr_cli.limits import DEFAULT_BUFFER, DEFAULT_RESOLUTION, DEFAULT_WINDOW
from jspsr_cli.raster.align import MARGIN
from jspsr_cli.raster.inputs import open_dem
from jspsr_cli.raster.products import inherited, vertical_datum
from tests.fetch.archive import BUCKETS, Server, ground, tile_name
from tests.fetch.conftest import COAST, CORNER, MINUS_FIFTY, SEVENTY, SIXTY, Fetch
from tests.scenes import Array, bicubic, centres, guide_over, heights_of, vector, write_raster
from tests.test_strange_areas import check, run


def inner(box: tuple[float, ...], share: float = 0.3) -> tuple[float, ...]:
    """The middle of a box."""
    west, south, east, north = box
    dx, dy = (east - west) * share, (north - south) * share
    return west + dx, south + dy, east - dx, north - dy


def tile_pixels(archive: Path, south: int, west: int, x: Array, y: Array) -> Array:
    """Pixels of a tile at places, NaN beyond it."""
    name = tile_name(south, west)
    with rasterio.open(archive / BUCKETS[30] / name / f"{name}.tif") as dataset:
        values = dataset.read(1)
        col, row = ~dataset.transform * (x, y)
    assert np.abs(col - np.floor(col) - 0.5).max() < 1e-6 > np.abs(row - np.floor(row) - 0.5).max()
    col, row = np.floor(col).astype(int), np.floor(row).astype(int)
    inside = (col >= 0) & (row >= 0) & (col < values.shape[1]) & (row < values.shape[0])
    found = np.full(x.shape, np.nan, np.float32)
    found[inside] = values[row[inside], col[inside]]
    return found


# One band of latitude: pixels are copied


def test_four_tiles_are_one_without_seam_or_shift(archive: Path, fetch: Fetch, tmp_path: Path, server: Server) -> None:
    report = fetch(inner(CORNER))
    x, y, crs = centres(tmp_path / "out.tif")
    heights = heights_of(tmp_path / "out.tif")
    parts = [tile_pixels(archive, south, west, x, y) for south in (44, 45) for west in (6, 7)]
    assert (np.isfinite(parts).sum(axis=0) == 1).all()
    assert np.array_equal(heights, np.nansum(parts, axis=0, dtype=np.float32))
    assert np.abs(heights - ground(x, y)).max() < 1e-4
    assert (report.width, report.height) == heights.shape[::-1] == (145, 145)
    assert report.tiles == tuple(tile_name(south, west) for south in (45, 44) for west in (6, 7))
    assert (report.sea_tiles, report.notes, report.warnings) == (0, (), ())
    assert pyproj.CRS.from_wkt(crs).to_epsg() == 4326
    # Of each tile the header and the blocks under the corner, and nothing else.
    assert len(server.requests) == 8
    assert server.sent == report.bytes_fetched
    partly = [request for request in server.requests if tile_name(44, 6) in request.path]
    name = f"{tile_name(44, 6)}/{tile_name(44, 6)}.tif"
    sizes = (archive / BUCKETS[30] / name).stat().st_size
    assert sum(request.last - request.first + 1 for request in partly) < 0.3 * sizes


def test_what_the_output_says_of_itself(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    fetch(inner(CORNER))
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.nodata, dataset.dtypes, dataset.units) == (-9999.0, ("float32",), ("metre",))
        tags = dataset.tags()
        # Half a pixel off the whole degrees: posts lie on them.
        assert dataset.transform.c * 3600 % 1 == pytest.approx(0.5, abs=1e-6)
    assert tags["AREA_OR_POINT"] == "Point"
    assert json.loads(tags["JSPSR_TILES"])[0] == tile_name(45, 6)
    assert tags["JSPSR_SOURCE"] == server.url
    (file,) = open_dem([str(tmp_path / "out.tif")])
    datum = vertical_datum(file)
    assert datum is not None
    assert datum.name == "EGM2008 height (EPSG:3855)"
    licences, attributions = inherited([file])
    assert licences == ["Copernicus DEM: free of charge, with attribution"]
    assert "DLR e.V." in attributions[0]


def test_southern_rows_and_columns(archive: Path, fetch: Fetch, tmp_path: Path) -> None:
    fetch((-70.05, -49.99, -69.95, -49.95))
    x, y, _ = centres(tmp_path / "out.tif")
    heights = heights_of(tmp_path / "out.tif")
    assert np.abs(heights - ground(x, y)).max() < 1e-4
    assert np.isfinite(tile_pixels(archive, -50, -70, x, y)).mean() == pytest.approx(0.5, abs=0.01)


# Several bands


@pytest.mark.parametrize(
    ("box", "finer", "start"), [(SIXTY, (59, 10), 60), (MINUS_FIFTY, (-50, -70), 50), (SEVENTY, (69, 179), 70)]
)
def test_across_a_band_the_finer_pixels_stay_and_no_edge_shows(
    archive: Path, fetch: Fetch, tmp_path: Path, box: tuple[float, ...], finer: tuple[int, int], start: int
) -> None:
    report = fetch(inner(box))
    x, y, _ = centres(tmp_path / "out.tif")
    heights, truth = heights_of(tmp_path / "out.tif"), ground(x, y)
    own = tile_pixels(archive, *finer, x, y)
    held = np.isfinite(own)
    assert held.mean() > 0.2
    assert np.array_equal(heights[held], own[held])
    # Bicubic between columns of up to 57 m on hills of some hundred: no edge along the band, nor between tiles.
    assert np.abs(heights - truth).max() < 2
    poleward = np.abs(y) > start + 0.001
    assert np.abs(heights - truth)[poleward].max() > 0
    (note,) = report.notes
    assert f"crosses {start} degrees" in note
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags()["JSPSR_RESAMPLED"] == note


def test_poleward_pixels_are_the_exact_bicubic_ones(archive: Path, fetch: Fetch, tmp_path: Path) -> None:
    fetch(inner(SIXTY))
    x, y, crs = centres(tmp_path / "out.tif")
    name = tile_name(60, 10)
    expected = bicubic(archive / BUCKETS[30] / name / f"{name}.tif", x, y, crs)
    within = np.isfinite(expected)
    assert within.mean() > 0.4
    assert np.abs(heights_of(tmp_path / "out.tif") - expected)[within].max() < 1e-3


# Turns


def test_across_the_antimeridian_however_it_is_written(fetch: Fetch, tmp_path: Path) -> None:
    west, south, east, north = inner((179.9, 69.9, 180.1, 69.99))
    found = []
    for box in [(west, south, east, north), (west, south, east - 360, north), (west - 360, south, east - 360, north)]:
        report = fetch(box, overwrite=True)
        assert np.abs(heights_of(tmp_path / "out.tif") - ground(*centres(tmp_path / "out.tif")[:2])).max() < 1e-4
        found.append((report.bounds[1:4:2], report.tiles, report.width))
        assert report.bounds[0] < report.bounds[2] < 181 + report.bounds[0]
    assert found[0] == found[1] == found[2]


def test_what_was_fetched_is_what_enhance_takes(fetch: Fetch, tmp_path: Path) -> None:
    """Across the antimeridian and a change of columns at once."""
    fetch(inner(SEVENTY))
    dem = tmp_path / "out.tif"
    guide = guide_over(tmp_path / "guide.tif", dem, crs="EPSG:32601", resolution=15, share=0.4)
    run(tmp_path / "enhanced.tif", [dem], [guide])
    check(tmp_path / "enhanced.tif", dem, share=0.98)
    with rasterio.open(tmp_path / "enhanced.tif") as dataset:
        assert dataset.tags()["JSPSR_VERTICAL_DATUM"] == "EGM2008 height (EPSG:3855)"
        assert "DLR e.V." in dataset.tags()["JSPSR_ATTRIBUTION"]


# Gaps and the sea


def test_glo_90_stands_in_for_what_is_not_public(fetch: Fetch, tmp_path: Path) -> None:
    report = fetch(inner(COAST))
    x, y, _ = centres(tmp_path / "out.tif")
    off = np.abs(heights_of(tmp_path / "out.tif") - ground(x, y))
    assert off[x < 43 - 1 / 3600].max() < 1e-4  # GLO-30 as it is
    assert 0.01 < off[x > 43.001].max() < 3
    assert off.max() < 3  # at the edge between them too
    assert report.notes == ("GLO-30 is not public at N40E043: GLO-90 is resampled (bicubic) in its place",)
    assert tile_name(40, 43, 90) in report.tiles


def test_strict_refuses_glo_90(fetch: Fetch, server: Server) -> None:
    with pytest.raises(NotPublic, match="N40E043"):
        fetch(inner(COAST), strict=True)
    assert not server.requests


def planned(area: tuple[float, ...], tmp_path: Path) -> FetchPlan:
    options, output = FetchOptions(), tmp_path / "out.tif"
    return plan_fetch(area, output=output, index=shipped_index(), source="", options=options)  # type: ignore[arg-type]


def test_gaps_beside_the_area_are_no_sea(tmp_path: Path) -> None:
    """Pixels that only the kernel at the edge sees."""
    plan = planned((43.2, 40.2, 43.9997, 40.8), tmp_path)
    assert plan.gaps == {Tile(40, 43)}
    assert Tile(40, 44) in {part.tile for part in plan.void(plan.windows[0])}


@pytest.mark.parametrize("west", [-330, -180, 0, 40])
def test_gaps_are_found_in_every_turn(tmp_path: Path, west: int) -> None:
    plan = planned((west, 40.2, west + 360, 40.8), tmp_path)
    coarse = plan.windows[-1]
    assert (len(plan.gaps), len(plan.fetched(coarse)), coarse.series) == (8, 8, GLO90)


@pytest.mark.parametrize("sea", ["0", "nodata"])
def test_the_sea(fetch: Fetch, tmp_path: Path, server: Server, sea: str) -> None:
    report = fetch((-30.01, 0.01, -29.99, 0.02), sea=sea)
    heights = heights_of(tmp_path / "out.tif")
    assert np.isnan(heights).all() if sea == "nodata" else (heights == 0).all()
    assert (report.tiles, report.sea_tiles, server.requests) == ((), 2, [])
    assert "no land" in report.warnings[0]


def test_sea_beside_land(fetch: Fetch, tmp_path: Path) -> None:
    """The tile north of the land is not in the list."""
    report = fetch((7.1, 45.99, 7.12, 46.01), sea="nodata")
    _, y, _ = centres(tmp_path / "out.tif")
    assert np.array_equal(np.isnan(heights_of(tmp_path / "out.tif")), y > 46 + 1e-9)
    assert (report.sea_tiles, report.warnings) == (1, ())


# Another CRS


def test_another_crs_is_one_bicubic_step(fetch: Fetch, tmp_path: Path) -> None:
    """Pixels have 30.3 m there, so they are not averaged."""
    box = (-70.05, -50.08, -69.95, -50.03)
    fetch(box, crs="EPSG:32719", output="utm.tif")
    fetch((-70.07, -50.1, -69.93, -50.01))
    x, y, crs = centres(tmp_path / "utm.tif")
    expected = bicubic(tmp_path / "out.tif", x, y, crs)
    assert np.isfinite(expected).all()
    assert np.abs(heights_of(tmp_path / "utm.tif") - expected).max() < 1e-3
    with rasterio.open(tmp_path / "utm.tif") as dataset:
        assert dataset.res == (30, 30)
        assert dataset.transform.c % 30 == 0
        assert dataset.tags()["AREA_OR_POINT"] == "Area"
        assert dataset.tags()["JSPSR_RESAMPLED"] == "all is resampled to EPSG:32719 at 30 m"


@pytest.mark.parametrize(("box", "crs"), [(CORNER, "EPSG:32632"), (SIXTY, "EPSG:32632"), (COAST, "EPSG:32638"),
                                          (SEVENTY, "EPSG:32660")])  # fmt: skip
def test_another_crs_across_all_edges(fetch: Fetch, tmp_path: Path, box: tuple[float, ...], crs: str) -> None:
    fetch(inner(box), crs=crs)
    x, y, _ = centres(tmp_path / "out.tif")
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    assert np.abs(heights_of(tmp_path / "out.tif") - ground(lon, lat)).max() < 3


@pytest.mark.parametrize("crs", [None, "EPSG:32632"])
def test_the_vertical_datum_in_the_crs(fetch: Fetch, tmp_path: Path, crs: str | None) -> None:
    fetch(inner(CORNER), crs=crs, compound_crs=True)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        whole = pyproj.CRS.from_wkt(dataset.crs.to_wkt())
    assert [part.to_epsg() for part in whole.sub_crs_list] == [int((crs or "EPSG:4326")[5:]), 3855]
    assert fetch(inner(CORNER), crs=crs, compound_crs=True).already_done
    assert np.array_equal(heights_of(tmp_path / "out.tif"), heights_of(tmp_path / "out.tif"))


# The area


def test_like_and_geometry(fetch: Fetch, tmp_path: Path) -> None:
    bounds = fetch(inner(CORNER)).bounds
    x, y = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform(7.0, 45.0)
    place = rasterio.transform.from_origin(x - 1000, y + 1000, 10, 10)
    like = write_raster(tmp_path / "like.tif", np.ones((200, 200), np.uint8), crs="EPSG:32632", transform=place)
    found = fetch(like=str(like), output="like_out.tif").bounds
    to_utm = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform_bounds(*found)
    assert all(v < w for v, w in zip(to_utm[:2], (x - 1000, y - 1000), strict=True))
    assert all(v > w for v, w in zip(to_utm[2:], (x + 1000, y + 1000), strict=True))
    assert found[2] - found[0] < 2200 / 78_000
    polygon = vector(tmp_path / "area.gpkg", [shapely.box(*inner(CORNER))])
    assert fetch(geometry=str(polygon), output="polygon.tif").bounds == pytest.approx(bounds)


def test_the_buffer_is_what_the_network_sees_beyond_the_edge() -> None:
    assert DEFAULT_BUFFER >= DEFAULT_WINDOW * DEFAULT_RESOLUTION + MARGIN * 31


@pytest.mark.parametrize("lat", [0.0, 45, -60, 85, 89])
def test_a_buffer_reaches_that_far_on_the_ground(lat: float) -> None:
    geod = pyproj.Geod(ellps="WGS84")
    west, south, east, north = buffered((10, lat, 10.001, lat + 0.001), 1500)
    for x, y, from_x, from_y in [(west, lat, 10, lat), (east, lat, 10.001, lat), (10, south, 10, lat),
                                 (10, north, 10, lat + 0.001)]:  # fmt: skip
        assert 1500 <= geod.inv(x, y, from_x, from_y)[2] < 1700


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((10, 89.99, 10.1, 90), (-169.95, 89.976, 190.05, 90)),
        ((-180, -90, 180, 90), (-180, -90, 180, 90)),
        ((190, 0, 191, 1), (-170.0135, -0.0136, -168.986, 1.0136)),
    ],
)
def test_areas_at_the_poles_and_round_the_world(bounds: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert area_of(bounds, None, None, buffer=1500) == pytest.approx(expected, abs=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bounds",
    [(0, 0, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1), (0, 0, 1, 91), (0, -90.1, 1, 0), (600_000, 5e6, 601_000, 5.1e6),
     (0, 0, float("nan"), 1), (-180, 0, 360, 1)],
)  # fmt: skip
def test_areas_that_are_none(fetch: Fetch, bounds: tuple[float, ...]) -> None:
    with pytest.raises(InvalidOption, match=r"order"):
        fetch(bounds)


def test_one_area_is_needed(fetch: Fetch) -> None:
    for given in ({}, {"bounds": CORNER, "like": "x.tif"}):
        with pytest.raises(InvalidOption, match="One area"):
            fetch(**given)


# Once, and all or nothing


def test_the_same_command_again_does_nothing(fetch: Fetch, tmp_path: Path, server: Server) -> None:
    for options in ({}, {"crs": "EPSG:32632"}):
        fetch(inner(CORNER), overwrite=True, **options)
        before, asked = (tmp_path / "out.tif").stat().st_mtime_ns, len(server.requests)
        assert fetch(inner(CORNER), **options).already_done
        assert (tmp_path / "out.tif").stat().st_mtime_ns == before
        assert len(server.requests) == asked


@pytest.mark.parametrize(
    "change", [{"sea": "nodata"}, {"compound_crs": True}, {"buffer": 100.0}, {"crs": "EPSG:32632"}]
)
def test_another_command_needs_overwrite(fetch: Fetch, tmp_path: Path, change: dict[str, object]) -> None:
    fetch(inner(CORNER))
    before = (tmp_path / "out.tif").read_bytes()
    with pytest.raises(OutputExists, match="--overwrite"):
        fetch(inner(CORNER), **change)
    assert (tmp_path / "out.tif").read_bytes() == before


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(143), OSError(28, "No space left on device")], ids=repr
)
def test_an_interrupted_run_leaves_nothing_but_what_it_fetched(
    fetch: Fetch, tmp_path: Path, server: Server, error: BaseException
) -> None:
    def stop(share: float) -> None:
        if share > 0.5:
            raise error

    with pytest.raises((KeyboardInterrupt, SystemExit, Exception)):
        fetch(inner(SIXTY), progress=stop)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("out.tif")]
    before = len(server.requests)
    fetch(inner(SIXTY))
    paths = [(request.path, request.first) for request in server.requests]
    assert len(set(paths[:before]) & set(paths[before:])) == 0


def test_unfinished_work_of_enhance_is_not_thrown_away(fetch: Fetch, tmp_path: Path) -> None:
    folder = tmp_path / "out.tif.partial"
    folder.mkdir()
    (folder / "jspsr.lock").touch()
    (folder / "journal.json").write_text('{"decides": {"the network": "mine"}, "machine": {}}')
    (folder / "state.npz").write_bytes(b"precious")
    with pytest.raises(OtherWork, match="another command"):
        fetch(inner(CORNER))
    assert (folder / "state.npz").read_bytes() == b"precious"


def test_outputs_that_cannot_be_written(fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputNotWritable, match="does not exist"):
        fetch(inner(CORNER), output="nowhere/out.tif")
    monkeypatch.setattr("jspsr_cli.raster.writer.DISK_BYTES_PER_PIXEL", 1e15)
    with pytest.raises(OutputNotWritable, match="MB free"):
        fetch(inner(CORNER))
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("crs", ["EPSG:4258", "EPSG:2263", "EPSG:3857", "nonsense"])
def test_crs_that_cannot_work(fetch: Fetch, crs: str) -> None:
    box = inner(SEVENTY) if crs == "EPSG:3857" else inner(CORNER)
    with pytest.raises(InputError, match=r"CRS|--crs"):
        fetch(box, crs=crs)
