"""`jspsr preview` and `enhance --preview`: what is read for the eye, what is drawn, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS

from jspsr_cli import EnhanceOptions, enhance, extras, preview
from jspsr_cli.errors import InvalidOption, MissingExtra, OutputExists
from jspsr_cli.main import cli
from jspsr_cli.pictures.layout import SCREEN, layout_of
from jspsr_cli.pictures.panels import STRIPE, TERRAIN, VOID, alike, on_void, span
from jspsr_cli.pictures.relief import greys, light
from jspsr_cli.pictures.views import read_photo, read_view, shown_grid
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import open_dem, open_image
from jspsr_cli.raster.reader import RasterReader
from tests.scenes import (
    Array,
    bicubic,
    centres,
    cop30,
    damaged,
    guide_over,
    heights_of,
    identity,
    terrain,
    weights_info,
    write_raster,
)

UTM = "EPSG:32632"
WEST, NORTH, SIDE = 500_000.0, 4_983_000.0, 8.0
PLACE = Affine(SIDE, 0, WEST, 0, -SIDE, NORTH)


def ground(rows: int = 120, cols: int = 160) -> Array:
    y, x = np.mgrid[:rows, :cols] * SIDE
    return terrain(x, y).astype(np.float32)


def raster(path: Path, values: Array | None = None, *, place: Affine = PLACE, **profile: Any) -> Path:
    return write_raster(path, ground() if values is None else values, crs=UTM, transform=place, **profile)


def grid_of(height: int, width: int, side: float) -> Grid:
    return Grid(CRS.from_string(UTM), Affine(side, 0, WEST, 0, -side, NORTH), width, height)


def seen(path: Path, grid: Grid) -> Array:
    with RasterReader() as reader:
        return read_view(open_dem([str(path)]), grid, reader=reader)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["preview", *map(str, arguments)])


# Reading


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 1000), st.sampled_from([(2.0, 2.0), (30.0, 20.0)]))
def test_what_is_shown_is_the_same_ground_and_never_finer(
    width: int, height: int, most: int, resolution: tuple[float, float]
) -> None:
    across, down = resolution
    grid = Grid(CRS.from_string(UTM), Affine(across, 0, WEST, 0, -down, NORTH), width, height)
    shown = shown_grid(grid, most=most)
    side = shown.resolution[0]
    assert shown.resolution == (side, side)
    assert max(shown.width, shown.height) <= most
    assert side >= max(resolution)
    assert (shown.transform.c, shown.transform.f) == (WEST, NORTH)
    for end, other in zip(shown.bounds, grid.bounds, strict=True):
        assert abs(end - other) <= side


@pytest.mark.parametrize("tiled", [True, False], ids=["tiles", "rows"])
def test_a_finer_raster_is_averaged_over_its_known_pixels(
    tmp_path: Path, tiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jspsr_cli.raster.reader.PIXELS_AT_ONCE", 1)  # many parts
    heights = ground()
    heights[10:40, 20:50] = -9999
    heights[70, :] = -9999
    layout: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 32} if tiled else {"blockysize": 4}
    path = raster(tmp_path / "dem.tif", heights, nodata=-9999, **layout)
    known = np.where(heights == -9999, np.nan, heights).astype(np.float64)
    blocks = known.reshape(12, 10, 16, 10)
    counts = np.isfinite(blocks).sum(axis=(1, 3))
    found = seen(path, grid_of(12, 16, 10 * SIDE))
    assert (np.isnan(found) == (counts == 0)).all()
    whole = counts == 100
    assert found[whole] == pytest.approx(blocks.mean(axis=(1, 3))[whole], abs=1e-3)
    assert (found[~np.isnan(found)] > 100).all()


def test_overviews_are_taken_where_there_are_some(tmp_path: Path) -> None:
    path = raster(tmp_path / "dem.tif", tiled=True, blockxsize=32, blockysize=32)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([4])
        dataset.write(np.zeros((1, 120, 160), dtype=np.float32))  # which the overview does not know
    assert (seen(path, grid_of(12, 16, 10 * SIDE)) > 100).all()
    assert (seen(path, grid_of(120, 160, SIDE)) == 0).all()


def test_a_coarser_raster_is_sampled_as_the_network_gets_it(tmp_path: Path) -> None:
    path = cop30(tmp_path / "dem.tif", lon=9.0, lat=45.0, size=40)
    grid = grid_of(30, 30, SIDE)
    cols, rows = np.meshgrid(np.arange(30) + 0.5, np.arange(30) + 0.5)
    expected = bicubic(path, WEST + cols * SIDE, NORTH - rows * SIDE, UTM)
    assert np.isfinite(expected).all()
    assert seen(path, grid) == pytest.approx(expected, abs=1e-3)


def test_photos_are_averaged_and_their_transparent_pixels_void(tmp_path: Path) -> None:
    values = np.zeros((4, 80, 80), dtype=np.uint8)
    values[:3, :, ::2] = 200
    values[3, :40] = 255
    path = raster(
        tmp_path / "photo.tif", values, place=Affine(1, 0, WEST, 0, -1, NORTH), photometric="RGB", alpha="yes"
    )
    with RasterReader() as reader:
        photo = read_photo(open_image([str(path)]), grid_of(10, 10, 8.0), reader=reader, stretch=None)
    assert photo[:, :5] == pytest.approx(np.full((3, 5, 10), 100), abs=0.5)
    assert np.isnan(photo[:, 5:]).all()


# Layout and colours


@given(st.integers(1, 12), st.floats(0.01, 100), st.integers(400, 4000), st.integers(1, 2))
def test_panels_lie_apart_and_within_the_picture(count: int, ratio: float, size: int, lines: int) -> None:
    layout = layout_of(count, ratio=ratio, size=size, lines=lines)
    boxes = [(*layout.corner(number), layout.width, layout.height) for number in range(count)]
    for number, (left, top, width, height) in enumerate(boxes):
        assert left >= 0
        assert left + width <= layout.page
        assert top >= layout.title
        assert top + height <= layout.bottom
        for other_left, other_top, *_ in boxes[:number]:
            beside = abs(left - other_left) >= width
            assert beside or abs(top - other_top) >= height + layout.title
    if ratio > 0.1 and count * ratio < 20:
        assert layout.bottom <= max(size, size / SCREEN) + layout.em


@pytest.mark.parametrize(
    ("count", "ratio", "columns"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 1, 2), (5, 1, 3), (3, 5, 1), (5, 0.3, 5)]
)
def test_panels_fill_a_screen(count: int, ratio: float, columns: int) -> None:
    assert layout_of(count, ratio=ratio, size=1600, lines=1).columns == columns


def test_colours_get_lighter_with_height() -> None:
    red, green, blue = TERRAIN(np.linspace(0, 1, 256))[:, :3].T
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert (np.diff(116 * np.cbrt(luminance)) > 0.1).all()


def test_heights_that_meet_share_their_colours() -> None:
    low, high = ground(), ground() + 400
    canopy = np.full_like(low, 10)
    assert alike({0: high, 1: canopy, 2: high + 5, 4: low}) == [[0, 2], [1], [4]]
    assert alike({0: low, 1: np.full_like(low, 1e6)}) == [[0], [1]]
    assert alike({0: low, 1: low[::-1, ::-1] / 2}) == [[0], [1]]  # a canopy by the sea
    assert alike({0: low, 1: low + 0.01, 2: low + 5}) == [[0, 1, 2]]


def test_level_ground_spans_a_metre() -> None:
    assert span([np.full((4, 4), 7.0)]) == pytest.approx((6.5, 7.5))


def test_level_ground_is_neither_black_nor_white() -> None:
    lights = light(np.full((5, 5), 3.0), SIDE)
    dark, spread = greys([lights])
    assert (lights - dark) / spread == pytest.approx(np.full((5, 5), 0.5))


@pytest.mark.parametrize("zoom", [1.5, 8])
def test_voids_are_striped(zoom: float) -> None:
    known = np.ones((20, 30), dtype=bool)
    known[:, 15:] = False
    colours = np.full((20, 30, 3), (10, 200, 30), dtype=np.uint8)
    width = int(30 * zoom)
    drawn = on_void(colours, known, (int(20 * zoom), width))
    assert drawn.shape == (int(20 * zoom), width, 3)
    void = drawn[:, width // 2 + 1 :]
    assert set(np.unique(void)) == {STRIPE, VOID}
    assert (drawn[:, : width // 2 - 1] == (10, 200, 30)).all()


# The command


def test_rasters_side_by_side_on_the_ground_that_they_share(tmp_path: Path) -> None:
    raster(tmp_path / "dtm.tif")
    raster(tmp_path / "higher.tif", ground()[20:, 40:] + 3, place=PLACE * Affine.translation(40, 20))
    both = [tmp_path / "higher.tif", tmp_path / "dtm.tif"]
    picture = tmp_path / "out.png"
    done = invoke(*both, "--difference", *both, "-o", picture, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    with Image.open(picture) as drawn:
        assert drawn.size == (told["width"], told["height"])
        assert drawn.info["Software"].startswith("jspsr ")
    assert max(drawn.size) <= 1600
    assert told["crs"] == UTM
    assert told["ground"] == pytest.approx([120 * SIDE, 100 * SIDE])
    assert told["resolution"] == pytest.approx(SIDE)
    assert told["difference"]["mean"] == pytest.approx(3, abs=1e-3)
    assert told["difference"]["rms"] == pytest.approx(3, abs=1e-3)
    names = [panel["name"] for panel in told["panels"]]
    assert names == ["higher.tif", "dtm.tif", "higher.tif \N{MINUS SIGN} dtm.tif"]
    assert told["panels"][0]["heights"] == told["panels"][1]["heights"]


def test_red_is_above_and_blue_below(tmp_path: Path) -> None:
    change = np.zeros((120, 160), dtype=np.float32)
    change[:, :80], change[:, 80:] = 4, -4
    after, before = raster(tmp_path / "after.tif", ground() + change), raster(tmp_path / "before.tif")
    preview([after], output=tmp_path / "out.png", difference=(after, before))
    pixels = np.asarray(Image.open(tmp_path / "out.png").convert("RGB")).astype(int)
    right = pixels[:, pixels.shape[1] // 2 :]
    middle = right[right.shape[0] // 2]
    assert (middle[150] - middle[150][::-1])[0] > 60
    assert (middle[-150] - middle[-150][::-1])[0] < -60


def test_the_same_rasters_give_the_same_picture_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dem = cop30(tmp_path / "cop.tif", lon=9.1, lat=45.0)
    photo = guide_over(tmp_path / "photo.tif", dem, crs=UTM, resolution=10)
    first = preview([dem, photo])
    assert first.output == "cop.png"
    assert first.crs == UTM
    assert [panel.heights is None for panel in first.panels] == [False, True]
    before = (tmp_path / "cop.png").read_bytes()
    assert invoke(dem, photo).exit_code == 0
    assert (tmp_path / "cop.png").read_bytes() == before
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("lat", [0.0, 45.0, 71.0, -80.0])
def test_degrees_become_metres(tmp_path: Path, lat: float) -> None:
    drawn = preview([cop30(tmp_path / "cop.tif", lon=179.99, lat=lat)], output=tmp_path / "cop.png")
    columns = round(drawn.ground[0] / (60 * 111_320 * math.cos(math.radians(lat))) * 3600, 6)
    assert drawn.ground[1] == pytest.approx(60 / 3600 * 111_320, rel=0.01)
    assert columns == pytest.approx({0.0: 1, 45.0: 1, 71.0: 3, -80.0: 5}[lat], rel=0.01)


def test_bounds_show_a_part(tmp_path: Path) -> None:
    dem = raster(tmp_path / "dem.tif")
    box = f"{WEST + 80},{NORTH - 480},{WEST + 480},{NORTH - 80}"
    told = json.loads(invoke(dem, "--bounds", box, "-o", tmp_path / "a.png", "--json").stdout)
    assert told["ground"] == pytest.approx([400, 400], abs=1e-3)
    lonlat = ",".join(map(str, told["bounds"]))
    again = json.loads(invoke(dem, "--bounds", lonlat, "-o", tmp_path / "b.png", "--json").stdout)
    assert again["ground"] == pytest.approx([400, 400], abs=2)


def test_what_spoils_the_comparison_is_said(tmp_path: Path) -> None:
    dem = raster(tmp_path / "dem.tif")
    for name, vertical in (("old.tif", 5773), ("new.tif", 3855)):
        write_raster(tmp_path / name, ground(), crs=f"{UTM}+{vertical}", transform=PLACE)
    empty = raster(tmp_path / "empty.tif", ground() * 0 - 9999, nodata=-9999)
    done = invoke(dem, tmp_path / "old.tif", tmp_path / "new.tif", empty, "-o", tmp_path / "out.png")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "jspsr: warning: heights of new.tif are in EGM2008 height (EPSG:3855) and those of old.tif in EGM96 height "
        "(EPSG:5773): their distance is part of what the picture shows",
        "jspsr: warning: empty.tif has no data on the ground shown",
    ]


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raster(Path("dem.tif"))
    raster(Path("far.tif"), place=PLACE * Affine.translation(5000, 0))
    raster(Path("void.tif"), ground() * 0 - 9999, nodata=-9999)
    raster(Path("two.tif"), np.stack([ground()] * 2))
    Path("text.tif").write_text("no raster")
    damaged(raster(Path("broken.tif")))
    Path("mine.png").write_bytes(b"my own picture")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for arguments, says in (
        (["text.tif"], "text.tif cannot be read as a raster"),
        (["two.tif"], "two.tif has 2 bands"),
        (["dem.tif", "far.tif"], "dem.tif and far.tif do not overlap"),
        (["dem.tif", "--difference", "dem.tif", "far.tif"], "do not overlap"),
        (["void.tif"], "No pixel of void.tif has data"),
        (["dem.tif", "--difference", "dem.tif", "void.tif"], "dem.tif and void.tif have no data on the same ground"),
        (["dem.tif", "-o", "dem.jpg"], "give it a name that ends with .png"),
        (["dem.tif", "-o", "mine.png"], "mine.png exists and is no picture of jspsr"),
        (["dem.tif", "-o", "no/dem.png"], "The folder no does not exist"),
        (["dem.tif", "--bounds", "0,0,1,1"], "--bounds do not overlap"),
        (["broken.tif"], "broken.tif broke off while being read"),
        ([], "There is nothing to show"),
    ):
        done = invoke(*arguments)
        assert done.exit_code == 2, arguments
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
    assert "8000 is not in the range 400<=x<=5000" in invoke("dem.tif", "--size", 8000).stderr
    monkeypatch.setitem(extras.EXTRAS, "report", ("no_such_module",))
    assert "pip install 'jspsr[report]'" in invoke("dem.tif").stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# Beside an output


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    dem = cop30(tmp_path / "dem.tif", size=30, lon=9.1, lat=45.0)
    guide = guide_over(tmp_path / "guide.tif", dem, crs=UTM, resolution=8, share=0.5)
    return {"dem": dem, "image": [guide], "output": tmp_path / "out.tif", "weights": (identity, weights_info("image"))}


def test_enhance_draws_before_after_and_change(job: dict[str, Any]) -> None:
    picture = job["output"].with_suffix(".png")
    done = enhance(**job, options=EnhanceOptions(preview=True))
    assert done.preview == str(picture)
    assert done.summary.endswith(", preview in out.png")
    drawn = picture.read_bytes()
    picture.unlink()
    assert enhance(**job).preview is None
    assert not picture.exists()
    again = enhance(**job, options=EnhanceOptions(preview=True))
    assert (again.already_done, again.preview) == (True, str(picture))
    assert picture.read_bytes() == drawn


def test_another_picture_of_ours_is_not_taken_for_that_of_the_output(job: dict[str, Any]) -> None:
    """`jspsr preview out.tif` writes to the same name, later than the output, and shows less."""
    picture = job["output"].with_suffix(".png")
    enhance(**job, options=EnhanceOptions(preview=True))
    drawn = picture.read_bytes()
    preview([job["output"]], output=picture)
    assert picture.read_bytes() != drawn
    assert enhance(**job, options=EnhanceOptions(preview=True)).already_done
    assert picture.read_bytes() == drawn


def test_links_of_pictures_are_written_through(job: dict[str, Any]) -> None:
    picture, real = job["output"].with_suffix(".png"), job["output"].with_name("real.png")
    picture.symlink_to(real.name)
    assert enhance(**job, options=EnhanceOptions(preview=True)).preview == str(real)
    drawn = real.read_bytes()
    preview([job["output"]], output=picture)
    assert picture.is_symlink()
    assert real.read_bytes() != drawn


def test_fetching_does_not_begin_where_the_preview_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jspsr_cli.fetch.inputs._fetch", lambda *_: pytest.fail("fetched"))
    (tmp_path / "out.png").write_bytes(b"my own picture")
    arguments = ["enhance", "--fetch", "--bounds", "9,45,9.01,45.01", "-o", str(tmp_path / "out.tif"), "--preview"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert "out.png exists and is no picture of jspsr" in done.stderr


def test_what_enhance_draws_is_the_dem_that_the_network_got(job: dict[str, Any], tmp_path: Path) -> None:
    enhance(**job)
    drawn = preview([job["output"]], output=tmp_path / "a.png", difference=(job["output"], job["dem"]))
    assert drawn.difference is not None
    assert drawn.difference.rms < 1e-3  # the network returns its DEM
    x, _, _ = centres(job["output"])
    assert drawn.resolution == pytest.approx(x[0, 1] - x[0, 0])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "out.png cannot be written: No space left on device"),
        (RuntimeError("of matplotlib"), "RuntimeError: of matplotlib"),
    ],
    ids=["disk", "library"],
)
def test_a_preview_that_fails_does_not_take_the_output_away(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    done = enhance(**job, options=EnhanceOptions(preview=True))
    assert done.preview is None
    (warning,) = (warning for warning in done.warnings if warning.startswith("there is no preview: "))
    assert warning.endswith(said)
    assert np.isfinite(heights_of(job["output"])).any()
    assert sorted(path.name for path in job["output"].parent.iterdir()) == ["dem.tif", "guide.tif", "out.tif"]


def test_a_preview_that_cannot_be_is_refused_before_the_work(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EnhanceOptions(preview=True)
    picture = job["output"].with_suffix(".png")
    picture.write_bytes(b"my own picture")
    with pytest.raises(OutputExists, match=r"is no picture of jspsr"):
        enhance(**job, options=options)
    picture.unlink()
    drawn = preview([job["dem"]], output=picture).output
    with pytest.raises(OutputExists, match=r"out\.png is one of the inputs"):
        enhance(**{**job, "image": [drawn]}, options=options)
    picture.unlink()
    with pytest.raises(InvalidOption, match=r"end with \.tif"):
        enhance(**{**job, "output": picture}, options=options)
    monkeypatch.setitem(extras.EXTRAS, "report", ("no_such_module",))
    with pytest.raises(MissingExtra, match=r"jspsr\[report\]"):
        enhance(**job, options=options)
    assert not job["output"].exists()
