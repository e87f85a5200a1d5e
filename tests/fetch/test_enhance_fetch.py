"""`jspsr enhance --fetch`: what is not given is fetched, once, and then it is `enhance` as ever."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner, Result
from filelock import FileLock

from jspsr_cli import fetch_inputs, plan_inputs
from jspsr_cli.errors import FetchFailed
from jspsr_cli.fetch.ahead import AHEAD, Ahead, pixels_of_blocks, room_for
from jspsr_cli.fetch.inputs import InputsPlan
from jspsr_cli.fetch.report import CanopyReport
from jspsr_cli.fetch.sources import SOURCES, Place, Source
from jspsr_cli.limits import DEFAULT_BUFFER
from jspsr_cli.locked import LOCK
from jspsr_cli.main import cli
from jspsr_cli.pipeline import enhance
from jspsr_cli.raster.grid import WGS84, project_bounds
from jspsr_cli.request import EnhanceOptions
from jspsr_cli.types import Bounds, Progress
from jspsr_models import WeightsInfo, identity_checkpoint, save_network
from tests.fetch import others
from tests.fetch.archive import Server, status, tile_name
from tests.interrupted import Lifted
from tests.scenes import bicubic, centres, heights_of, identity, vector, weights_info, write_raster
from tests.test_enhance_command import CRS
from tests.test_output import tags_of

#: Within CORNER, whose four tiles meet in its middle.
BOX = (6.997, 44.997, 7.003, 45.003)
FOUR = [tile_name(south, west) for south in (45, 44) for west in (6, 7)]


#: Of the canopy map, in degrees.
PIXEL = 6e-5

#: What is fetched where no stand-in is.
CANOPY = SOURCES["canopy"]

UTM = rasterio.crs.CRS.from_string(CRS)


class CanopyArchive:
    """Stands in for the archive of canopy heights: 7 m everywhere. `error` is raised instead."""

    def __init__(self) -> None:
        self.asked: list[Place] = []
        self.error: BaseException | None = None

    def fetch(self, path: Path, place: Place, progress: Progress) -> CanopyReport:
        self.asked.append(place)
        if self.error:
            raise self.error
        west, south, east, north = place.bounds
        margin = place.buffer / 60_000
        height, width = (int((side + 2 * margin) / PIXEL) for side in (north - south, east - west))
        corner = Affine(PIXEL, 0, west - margin, 0, -PIXEL, north + margin)
        write_raster(path, np.full((height, width), 7, dtype=np.uint8), crs="EPSG:4326", transform=corner)
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(JSPSR_TILES='["q1", "q2"]', JSPSR_ATTRIBUTION="Tolan et al.", JSPSR_LICENCE="CC BY 4.0")
        progress(1.0)
        return CanopyReport(
            output=str(path), crs="EPSG:4326", bounds=place.bounds, width=width, height=height, tiles=("q1", "q2"),
            bytes_fetched=9, already_done=False, seconds=1.5, notes=("a pixel is the mean of some",), warnings=(),
            resolution=7.0, missing_tiles=0,
        )  # fmt: skip


@pytest.fixture
def canopy(server: Server, monkeypatch: pytest.MonkeyPatch) -> CanopyArchive:
    assert server
    archive = CanopyArchive()
    monkeypatch.setitem(SOURCES, "canopy", Source("canopy.tif", archive.fetch))
    return archive


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights, never to be changed."""
    folder = tmp_path_factory.mktemp("networks")
    for guides in (("image",), ("canopy",), ("image", "canopy")):
        name = "-".join(guides)
        info = WeightsInfo(
            name=name, sha256="", inputs=guides, num_feature=4, resolution=8.0, window=64, licence="none"
        )
        save_network(identity_checkpoint(guides), folder / f"{name}.safetensors", info)
    return folder


@pytest.fixture
def here(canopy: CanopyArchive, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with weights and an orthophoto; what is tried out ahead is so for a moment only."""
    assert canopy
    folder = Path(shutil.copytree(networks, tmp_path / "here"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr("jspsr_cli.trial.TRIAL_SECONDS", 1e-9)
    photo("ortho.tif", BOX)
    return folder


def photo(name: str, box: Bounds, *, bands: int = 3) -> Path:
    """An orthophoto, or a map of one band, over `box` in longitude and latitude."""
    west, south, east, north = project_bounds(box, WGS84, UTM)
    shape = (bands, int((north - south) / 8), int((east - west) / 8))
    values = np.random.default_rng(1).integers(0, 30, shape).astype(np.uint8)
    return write_raster(Path(name), values, crs=CRS, transform=Affine(8, 0, west, 0, -8, north))


def typed(*words: object, weights: str | None = "image") -> Result:
    named = ["--weights", f"{weights}.safetensors"] if weights else []
    return CliRunner().invoke(cli, ["enhance", "--fetch", "-o", "dem.tif", *named, *map(str, words)])


def result_of(*words: object, weights: str = "image") -> dict[str, Any]:
    done = typed(*words, "--json", weights=weights)
    assert done.exit_code == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def words(box: Bounds = BOX) -> list[str]:
    return ["--bounds", ",".join(map(str, box))]


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*")}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}


# What is fetched


def test_with_an_orthophoto_the_dem(here: Path, canopy: CanopyArchive) -> None:
    """The output is that of the two commands one after the other."""
    result = result_of("--guide", "ortho.tif")
    assert (list(result["fetched"]), canopy.asked) == (["dem"], [])
    assert result["fetched"]["dem"]["tiles"] == FOUR
    assert not result["fetched"]["dem"]["already_done"]
    alone = ["fetch-copernicus", "--like", "ortho.tif", "-o", "cop30.tif"]
    assert CliRunner().invoke(cli, alone).exit_code == 0
    plain = ["enhance", "cop30.tif", "--guide", "ortho.tif", "--weights", "image.safetensors", "-o", "plain.tif"]
    assert CliRunner().invoke(cli, plain).exit_code == 0
    np.testing.assert_allclose(heights_of(here / "dem.tif"), heights_of(here / "plain.tif"), atol=1e-3)
    tags = tags_of(here / "dem.tif")
    assert json.loads(tags["JSPSR_TILES_DEM"]) == FOUR
    assert "Airbus Defence and Space" in tags["JSPSR_ATTRIBUTION"]
    assert tags["JSPSR_VERTICAL_DATUM"] == "EGM2008 height (EPSG:3855)"
    assert str(here) not in str(tags)
    assert ".inputs" not in str(tags)


def test_with_an_area_both(here: Path) -> None:
    """No pixel of it is without data, and those at its edge have the ground beyond it."""
    result = result_of(*words(), weights="canopy")
    assert list(result["fetched"]) == ["dem", "canopy"]
    assert (result["crs"], result["warnings"]) == (CRS, [])
    heights = heights_of(here / "dem.tif")
    x, y, crs = centres(here / "dem.tif")
    truth = bicubic(here / "dem.tif.inputs" / "cop30.tif", x, y, crs)
    assert np.abs(heights - truth).max() < 1e-3
    tags = tags_of(here / "dem.tif")
    assert (tags["JSPSR_TILES_CANOPY"], tags["JSPSR_INPUT_CANOPY"]) == ('["q1", "q2"]', '["canopy.tif"]')
    assert "Tolan et al." in tags["JSPSR_ATTRIBUTION"]
    assert "CC BY 4.0" in tags["JSPSR_LICENCE"]


def test_with_the_canopy_map_itself(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stand-in: 7 m of trees around BOX, in a tile of the true layout."""
    monkeypatch.setitem(SOURCES, "canopy", CANOPY)
    monkeypatch.setenv("JSPSR_CANOPY_URL", str(here / "map"))
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(7.0, 45.0)
    col, row = int((others.HALF + x) / others.METRES), int((others.HALF - y) / others.METRES)
    trees = np.full((5_000, 5_000), 7, dtype=np.uint8)
    others.save_canopy(here / "map", col >> 16, row >> 16, trees, row=row - 2_500, col=col - 2_500)
    told = result_of(*words(), "--dry-run", weights="canopy")
    made = result_of(*words(), weights="canopy")
    assert told["fetch"]["canopy"]["tiles"] == made["fetched"]["canopy"]["tiles"]
    assert (told["bounds"], made["guide_gaps"], made["warnings"]) == (made["bounds"], 0, [])
    fetched = heights_of(here / "dem.tif.inputs" / "canopy.tif")
    assert (fetched.min(), fetched.max()) == (7, 7)
    assert result_of(*words(), weights="canopy")["already_done"]
    assert "Tolan et al. 2024" in tags_of(here / "dem.tif")["JSPSR_ATTRIBUTION"]


def test_with_an_area_alone_the_weights_of_the_package(here: Path) -> None:
    done = typed(*words(), weights=None)
    assert done.exit_code == 0, done.output
    assert "starter-8m-canopy is used, as no --weights are given" in done.stderr
    assert tags_of(here / "dem.tif")["JSPSR_WEIGHTS"] == "starter-8m-canopy"


def test_no_weights_for_the_guides_is_told_before_anything_is_fetched(here: Path, server: Server) -> None:
    done = typed("--mask", "ortho.tif", weights=None)
    assert done.exit_code == 2
    assert "No weights for --mask come with jspsr" in done.stderr
    assert not (here / "dem.tif.inputs").exists()
    assert server.requests == []


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((179.99, -17, -179.99, -16.99), "crosses the antimeridian"),
        ((10, 86, 10.01, 86.01), "ends at 85 degrees"),
        ((-30, 30, -29.99, 30.01), "no land in the area"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_where_the_canopy_map_has_nothing_nothing_is_fetched(
    here: Path, server: Server, box: Bounds, message: str, more: list[str]
) -> None:
    done = typed(*words(box), *more, weights="canopy")
    assert done.exit_code == 2
    assert message in done.stderr
    assert server.requests == []
    assert not (here / "dem.tif.inputs").exists()


def test_an_area_can_be_given_in_many_ways(here: Path) -> None:
    """All of them are the same ground, to the rounding of the grid."""
    photo("like.tif", BOX)
    vector(here / "area.gpkg", [shapely.box(*BOX)])
    plain = plan_inputs(output=here / "x.tif", options=EnhanceOptions(bounds=BOX))
    for options in (
        EnhanceOptions(geometry="area.gpkg"),
        EnhanceOptions(like="like.tif"),
        EnhanceOptions(bounds=project_bounds(BOX, WGS84, UTM), crs=CRS),
        EnhanceOptions(bounds=BOX, geometry="area.gpkg"),
        EnhanceOptions(bounds=(BOX[0] - 360, BOX[1], BOX[2] - 360, BOX[3])),
    ):
        plan = plan_inputs(output=here / "x.tif", options=options)
        assert plan.missing == ("dem", "canopy")
        assert (plan.grid.crs, plan.options.crs) == (UTM, None if options.like else CRS)
        assert np.abs(np.subtract(plan.grid.bounds, plain.grid.bounds)).max() <= 16
        assert np.abs(np.subtract(plan.place.bounds, plain.place.bounds)).max() < 3e-4


@pytest.mark.usefixtures("here")
def test_with_a_dem_the_canopy(canopy: CanopyArchive, server: Server) -> None:
    assert CliRunner().invoke(cli, ["fetch-copernicus", ",".join(map(str, BOX)), "--buffer", "0"]).exit_code == 0
    before = len(server.requests)
    result = result_of("cop30.tif", weights="canopy")
    assert (list(result["fetched"]), len(canopy.asked), len(server.requests)) == (["canopy"], 1, before)
    assert (result["crs"], result["guide_gaps"]) == (CRS, 0)


def test_with_all_nothing(here: Path, canopy: CanopyArchive, server: Server) -> None:
    photo("canopy.tif", BOX, bands=1)
    result = result_of("--guide", "ortho.tif", "--canopy", "canopy.tif", weights="image-canopy")
    assert (list(result["fetched"]), canopy.asked) == (["dem"], [])
    shutil.move(here / "dem.tif.inputs" / "cop30.tif", here / "cop30.tif")
    shutil.rmtree(here / "dem.tif.inputs")
    before = len(server.requests)
    result = result_of("cop30.tif", "--guide", "ortho.tif", "--overwrite")
    assert (result["fetched"], len(server.requests)) == ({}, before)
    assert not (here / "dem.tif.inputs").exists()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"image": ["ortho.tif"]}, "ortho_bare_earth.tif"),
        ({"dem": "like.tif", "image": ["ortho.tif"]}, "like_bare_earth.tif"),
        ({"options": EnhanceOptions(like="ortho.tif")}, "ortho_bare_earth.tif"),
        ({"options": EnhanceOptions(bounds=BOX)}, "bare_earth.tif"),
    ],
)
def test_the_output_has_a_name_by_default(here: Path, given: dict[str, Any], name: str) -> None:
    photo("like.tif", BOX, bands=1)
    weights: Any = (identity, weights_info("image" if "image" in given else "canopy"))
    plan = plan_inputs(weights=weights, **given)
    assert (plan.output, plan.folder.absolute()) == (Path(name), here / f"{name}.inputs")


@pytest.mark.parametrize(("window", "reach"), [(64, 1.0), (128, 1.0), (256, 2.0)])
def test_larger_windows_see_further(here: Path, window: int, reach: float) -> None:
    weights: Any = (identity, weights_info("image"))
    options = EnhanceOptions(window=window)
    plan = plan_inputs(weights=weights, image=["ortho.tif"], output=here / "x.tif", options=options)
    assert plan.place.buffer == reach * DEFAULT_BUFFER


def test_across_the_antimeridian(here: Path) -> None:
    assert here
    x, y = pyproj.Transformer.from_crs(4326, 32601, always_xy=True).transform(180, 70.0015)
    x, y = round(x / 8) * 8, round(y / 8) * 8
    trees = np.full((14, 10), 7, dtype=np.uint8)
    write_raster(Path("trees.tif"), trees, crs="EPSG:32601", transform=Affine(8, 0, x - 40, 0, -8, y + 56))
    weights: Any = (identity, weights_info("canopy"))
    plan = plan_inputs(weights=weights, output="far.tif", canopy=["trees.tif"])
    report = fetch_inputs(plan).reports["dem"]
    assert report["tiles"] == [tile_name(south, west) for south in (70, 69) for west in (179, -180)]
    assert np.isfinite(heights_of(enhanced(plan))).all()


# Once


def test_the_same_command_does_nothing(here: Path, server: Server, canopy: CanopyArchive) -> None:
    first = result_of(*words(), weights="canopy")
    before, requests = listing(here), len(server.requests)
    again = result_of(*words(), weights="canopy")
    assert (again["already_done"], len(server.requests), len(canopy.asked)) == (True, requests, 1)
    assert listing(here) == before
    for role in ("dem", "canopy"):
        now = first["fetched"][role] | {"already_done": True, "bytes_fetched": 0, "seconds": 0.0}
        assert again["fetched"][role] == now


def test_the_folder_may_be_removed(here: Path, server: Server) -> None:
    """What is fetched again, from the cache, is not taken for other inputs than the output was made of."""
    result_of("--guide", "ortho.tif")
    shutil.rmtree(here / "dem.tif.inputs")
    requests, content = len(server.requests), (here / "dem.tif").read_bytes()
    assert result_of("--guide", "ortho.tif")["already_done"]
    assert (len(server.requests), (here / "dem.tif").read_bytes()) == (requests, content)


@pytest.mark.parametrize("removed", [False, True])
def test_unfinished_work_goes_on(here: Path, server: Server, removed: bool) -> None:
    options = EnhanceOptions(window=32, overlap=0.5, batch_size=2)
    whole = planned(Lifted(), options)
    fetch_inputs(whole)
    content = enhanced(whole).read_bytes()
    for path in (here / "dem.tif", here / "dem.tif.inputs"):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    requests = len(server.requests)
    plan = planned(Lifted(12, KeyboardInterrupt()), options)
    fetch_inputs(plan)
    with pytest.raises(KeyboardInterrupt):
        enhanced(plan)
    if removed:
        shutil.rmtree(here / "dem.tif.inputs")
    plan = planned(Lifted(), options)
    assert fetch_inputs(plan).reports["dem"]["already_done"] != removed
    report = enhance(**plan.arguments)
    assert 0 < report.resumed_at < 1
    assert (here / "dem.tif").read_bytes() == content
    assert len(server.requests) == requests


def test_another_area_takes_the_place_of_the_first(here: Path) -> None:
    assert result_of("--guide", "ortho.tif")
    photo("ortho.tif", (6.995, 44.995, 7.001, 45.001))
    content = (here / "dem.tif.inputs" / "cop30.tif").read_bytes()
    refused = typed("--guide", "ortho.tif")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "exists and is not what this command makes" in refused.stderr
    assert (here / "dem.tif.inputs" / "cop30.tif").read_bytes() == content
    result_of("--guide", "ortho.tif", "--overwrite")
    assert np.isfinite(heights_of(here / "dem.tif")).mean() > 0.95
    assert (here / "dem.tif.inputs" / "cop30.tif").read_bytes() != content


def test_what_is_damaged_is_fetched_again(here: Path) -> None:
    plan = planned(identity, EnhanceOptions())
    fetch_inputs(plan)
    journal, cop30 = here / "dem.tif.inputs" / "fetched.json", here / "dem.tif.inputs" / "cop30.tif"
    known, content = journal.read_text(), cop30.read_bytes()
    assert not plan.missing
    for damage in ("[]", "{", '{"dem": 5}', '{"dem": {"made_for": {}}}', known.replace("bounds", "box")):
        journal.write_text(damage)
        assert plan.missing == ("dem",), damage
    journal.write_text(known)
    middle = len(content) // 2
    for damaged in (content[:-9], content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]):
        cop30.write_bytes(damaged)
        assert plan.missing == ("dem",)
        fetch_inputs(plan)
        assert (cop30.read_bytes(), len(plan.missing)) == (content, 0)


# What goes wrong


def test_a_failed_fetch_leaves_nothing(here: Path, server: Server) -> None:
    before, server.always = listing(here), status(403)
    done = typed("--guide", "ortho.tif")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("jspsr: error: Copernicus_DSM_COG_10_N4")
    assert listing(here) == before
    server.always = None
    assert typed("--guide", "ortho.tif").exit_code == 0


@pytest.mark.parametrize(("error", "code"), [(FetchFailed("It does not answer."), 1), (KeyboardInterrupt(), 130)])
def test_what_was_fetched_before_is_kept(
    here: Path, server: Server, canopy: CanopyArchive, error: BaseException, code: int
) -> None:
    canopy.error = error
    assert (typed(*words(), weights="canopy").exit_code, (here / "dem.tif").exists()) == (code, False)
    requests, canopy.error = len(server.requests), None
    result = result_of(*words(), weights="canopy")
    assert {role: report["already_done"] for role, report in result["fetched"].items()} == {
        "dem": True,
        "canopy": False,
    }
    assert len(server.requests) == requests


def busy(here: Path) -> Any:
    (here / "dem.tif.inputs").mkdir()
    lock = FileLock(here / "dem.tif.inputs" / LOCK)
    lock.acquire()
    return lock


def owned(here: Path) -> Any:
    (here / "dem.tif.inputs").mkdir()
    (here / "dem.tif.inputs" / "cop30.tif").write_text("mine")


def other_output(here: Path) -> Any:
    shutil.copy(here / "ortho.tif", here / "dem.tif")


MISTAKES: dict[str, tuple[list[str], str, str]] = {
    "no place": ([], "image", "no place to fetch for"),
    "metres without a CRS": (words((330_000, 4_980_000, 331_000, 4_981_000)), "canopy", "add --crs"),
    "other weights": (words(), "image", "were trained with --guide, not with --canopy"),
    "no such weights": (words(), "nothing", "nothing.safetensors"),
    "no such device": ([*words(), "--device", "cuda:7"], "canopy", "cuda:7"),
    "reversed": (["--geometry", "ortho.tif"], "canopy", "cannot be read as a vector file"),
    "the world": (words((-180, -60, 180, 80)), "canopy", "MB free|ends within the area"),
    "the uncertainty is the guide": (
        ["--guide", "ortho.tif", "--uncertainty", "ortho.tif"],
        "image",
        "ortho.tif is one",
    ),
    "the uncertainty is there": (
        ["--guide", "ortho.tif", "--uncertainty", "canopy.safetensors"],
        "image",
        "canopy.safetensors exists and is not what this command makes",
    ),
    "the output is the guide": (["--guide", "dem.tif", "-o", "dem.tif"], "image", "dem.tif"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_before_anything_is_fetched(here: Path, server: Server, mistake: str) -> None:
    given, weights, sentence = MISTAKES[mistake]
    before = listing(here)
    done = typed(*given, weights=weights)
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    assert re.search(sentence, done.stderr.strip().splitlines()[-1]), done.stderr
    assert (server.requests, listing(here)) == ([], before)


@pytest.mark.parametrize(("vertical_crs", "sentence"), [("EPSG:5736", "EPSG:5736"), (CRS, "has no heights")])
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_vertical_datum_that_cannot_work(
    here: Path, server: Server, vertical_crs: str, sentence: str, more: list[str]
) -> None:
    """It is that of another continent, or none."""
    before = listing(here)
    done = typed("--guide", "ortho.tif", "--vertical-crs", vertical_crs, *more)
    assert (done.exit_code, sentence in done.stderr) == (2, True), done.stderr
    assert (server.requests, listing(here)) == ([], before)


def test_the_disk_has_to_hold_what_is_fetched_too(here: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    need = result_of(*words(), "--dry-run", weights="canopy")["disk_bytes"]
    alone = result_of("--guide", "ortho.tif", "--dry-run")["disk_bytes"]
    trees = AHEAD["canopy"](plan_inputs(output=here / "x.tif", options=EnhanceOptions(bounds=BOX)).place)
    assert need > trees.disk_working > 10 * 1000**2 > alone
    usage = shutil.disk_usage(here)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=need - 1))
    before = listing(here)
    for more in ([], ["--dry-run"]):
        done = typed(*words(), *more, weights="canopy")
        assert (done.exit_code, "MB free" in done.stderr) == (2, True), done.stderr
    assert (server.requests, listing(here)) == ([], before)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=need))
    assert typed(*words(), weights="canopy").exit_code == 0


@pytest.mark.parametrize(
    ("files", "output", "most"),
    [([], 5, 5), ([(9, 2)], 5, 9), ([(9, 2)], 8, 10), ([(9, 2), (9, 3)], 1, 11), ([(9, 2), (9, 3)], 7, 12)],
)
def test_what_is_finished_takes_less_room(files: list[tuple[int, int]], output: int, most: int) -> None:
    ahead = [Ahead(tiles=(), bytes_at_most=0, disk_working=working, disk_kept=kept) for working, kept in files]
    assert room_for(ahead, output=output) == most


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [(busy, "Another jspsr fetches for"), (owned, "is not ours"), (other_output, "see --overwrite")],
)
def test_nothing_of_others_is_touched(
    here: Path, server: Server, prepare: Callable[[Path], Any], sentence: str
) -> None:
    held = prepare(here)
    before = listing(here)
    done = typed("--guide", "ortho.tif")
    assert (done.exit_code, sentence in done.stderr) == (2, True), done.stderr
    assert (server.requests, listing(here)) == ([], before)
    del held


def test_without_fetch_the_input_is_missing(here: Path) -> None:
    assert here
    done = CliRunner().invoke(cli, ["enhance", "--guide", "ortho.tif"])
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, "Error: Missing argument 'INPUT...'.")


# --dry-run


def test_a_dry_run_fetches_nothing(here: Path, server: Server) -> None:
    before = listing(here)
    told = result_of("--guide", "ortho.tif", "--dry-run")
    assert (server.requests, listing(here)) == ([], before)
    assert told["fetch"]["dem"]["tiles"] == FOUR
    assert "known only when the inputs are there" in told["warnings"][-1]
    assert told["weights"] == "image"
    made = result_of("--guide", "ortho.tif")
    assert 0 < made["fetched"]["dem"]["bytes_fetched"] < told["fetch"]["dem"]["bytes_at_most"]
    for name in ("output", "crs", "resolution", "bounds", "width", "height"):
        assert told[name] == made[name]
    assert result_of("--guide", "ortho.tif", "--dry-run")["already_done"]
    (here / "dem.tif").unlink()
    requests = len(server.requests)
    assert result_of("--guide", "ortho.tif", "--dry-run")["windows_at_most"] > 0
    assert len(server.requests) == requests


def test_a_dry_run_names_the_canopy_tiles_that_the_fetch_reads(here: Path) -> None:
    """A pixel of what is fetched is several of the map: it reaches over the tile's edge where the area does not."""
    assert here
    edge = round((others.HALF + 780_000) / others.METRES / 65_536) * 65_536
    assert edge % 5
    west, north = pyproj.Transformer.from_crs(3857, 4326, always_xy=True).transform(
        (edge + 0.1) * others.METRES - others.HALF, 5_800_000
    )
    place = Place(bounds=(west, north - 0.01, west + 0.01, north), buffer=0)
    assert len(AHEAD["canopy"](place).tiles) == 2


@pytest.mark.parametrize(
    ("window", "blocks"),
    [((0, 0, 1, 1), 1), ((1023, 0, 1, 1), 1), ((1023, 1024, 2, 1024), 2), ((500, 500, 1024, 1024), 4)],
)
def test_pixels_are_those_of_whole_blocks(window: tuple[int, int, int, int], blocks: int) -> None:
    assert pixels_of_blocks([rasterio.windows.Window(*window)] * 3) == 3 * blocks * 1024**2


# Helpers for Python


def planned(network: Any, options: EnhanceOptions) -> InputsPlan:
    return plan_inputs(weights=(network, weights_info("image")), image=["ortho.tif"], output="dem.tif", options=options)


def enhanced(plan: InputsPlan) -> Path:
    return Path(enhance(**plan.arguments).output)
