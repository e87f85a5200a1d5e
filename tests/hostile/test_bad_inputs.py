"""What somebody made on purpose, given to every command that takes such a file: a sentence, exit code 2, and no more.

Nothing is written, and no address is asked.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path

import pytest
import rasterio

from jspsr_cli.errors import UnreadableRaster
from jspsr_cli.raster import opening
from jspsr_cli.raster.sources import inspect_raster
from tests.hostile import files
from tests.hostile.files import listening
from tests.hostile.taking import TAKING_POLYGONS, TAKING_RASTERS, TAKING_TRAINING_FILES, TAKING_WEIGHTS
from tests.mistakes import check
from tests.test_enhance_command import Scene, invoke

Bad = tuple[Callable[[Scene, str], Path], str]


@pytest.fixture(scope="module")
def web() -> Iterator[tuple[str, list[str]]]:
    with listening() as server:
        yield server


@pytest.fixture
def scene(tmp_path: Path, weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("JSPSR_CACHE", str(tmp_path / "cache"))
    return Scene(tmp_path, weights)


def named(name: str, content: bytes | str | Callable[[Scene, str], bytes | str], sentence: str) -> Bad:
    """A bad file and its sentence; what is made of the scene and of the server's address is made when it is needed."""

    def make(scene: Scene, address: str) -> Path:
        made = content(scene, address) if callable(content) else content
        path = scene.folder / name
        path.write_bytes(made.encode() if isinstance(made, str) else made)
        return path

    return make, sentence


def led(scene: Scene, address: str) -> Path:
    """A guide whose own tag says where its overviews are."""
    path = scene.raster("bad.tif", bands=3)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{address}/o.tif")
    return path


def beside(*endings: str, start: str = "") -> Callable[[Scene, str], Path]:
    """A guide, and beside it plain TIFFs and last, in the place of overviews or a mask, a VRT after `start`."""

    def make(scene: Scene, address: str) -> Path:
        path = scene.raster("bad.tif", bands=3)
        for ending in endings[:-1]:
            shutil.copy(scene.guide, f"{path}{ending}")
        last = path.with_name(f"{path.name}{endings[-1]}")
        last.write_text(start + files.vrt(f"/vsicurl/{address}/o.tif", scene.guide))
        return path

    return make


def stated(ending: str, key: str, value: str) -> Callable[[Scene, str], Path]:
    """A guide with metadata beside it, or beside its mask, that say where overviews are; a VRT lies there, too."""

    def make(scene: Scene, address: str) -> Path:
        path = scene.raster("bad.tif", bands=3)
        shutil.copy(scene.guide, f"{path}.msk") if ending else None
        path.with_name("o.tif").write_text(files.vrt(f"/vsicurl/{address}/o.tif", scene.guide))
        text = f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="{key}">{value}</MDI></Metadata></PAMDataset>'
        path.with_name(f"{path.name}{ending}.aux.xml").write_text(text)
        return path

    return make


WMS = "<GDAL_WMS><Service name='TMS'><ServerUrl>{}/${{z}}</ServerUrl></Service></GDAL_WMS>"
NO_TIFF = "bad.tif cannot be read as a raster: it is no TIFF, as its name says"

RASTERS: dict[str, Bad] = {
    "VRT of a local file": named("bad.tif", lambda s, _: files.vrt("/etc/services", s.guide, raw=True), NO_TIFF),
    "VRT of an address": named("bad.tif", lambda s, a: files.vrt(f"/vsicurl/{a}/x.tif", s.guide), NO_TIFF),
    "2^31 x 2^31": named("bad.tif", files.tiff(2**31 - 1, 2**31 - 1), "blocks of 2147483647 x 1 pixels.*2,147 MB"),
    "overviews elsewhere": (led, "bad.tif says that its overviews lie in another place, /vsicurl/http"),
    "text": named("bad.tif", "hello", NO_TIFF),
    "VRT as PNG": named("bad.png", lambda s, a: files.vrt(f"/vsicurl/{a}/x.tif", s.guide), "bad.png.*it is no PNG"),
    "WMS": named("bad.tif", lambda _, a: WMS.format(a), NO_TIFF),
    "2^32 x 2^32": named("bad.tif", files.tiff(2**32 - 1, 2**32 - 1), "bad.tif cannot be read as a raster"),
    "one tile": named("bad.tif", files.tiff(60_000, 60_000, tile=60_000), "blocks of 60000 x 60000 pixels"),
    "65535 bands": named("bad.tif", files.tiff(30_000, 30_000, bands=65_535), "blocks of 30000 x 1 pixels"),
    "half a header": named("bad.tif", files.tiff(100, 100)[:70], "bad.tif cannot be read as a raster"),
    "overviews are a VRT": (beside(".ovr"), "bad.tif.ovr is no TIFF.*remove it"),
    "overviews are a VRT in capitals": (beside(".Ovr"), "bad.tif.Ovr is no TIFF.*remove it"),
    "overviews begin like a TIFF": (beside(".ovr", start="II"), "bad.tif.ovr is no TIFF.*remove it"),
    "overviews of overviews": (beside(".ovr", ".ovr.ovr"), "bad.tif.ovr.ovr is no TIFF.*remove it"),
    "a mask in capitals": (beside(".MSK"), "bad.tif.MSK is no TIFF.*remove it"),
    "overviews stated in small letters": (stated("", "overview_file", "/etc/o.tif"), "bad.tif says that its overviews"),
    "overviews beside": (stated("", "OVERVIEW_FILE", ":::BASE:::o.tif"), "bad.tif says that its overviews"),
    "overviews of a mask": (stated(".msk", "OVERVIEW_FILE", "/etc/o.tif"), "bad.tif.msk says that its overviews"),
}

NOT_ITSELF = "cannot be read as a vector file: it is not what its name says"

POLYGONS: dict[str, Bad] = {
    "CRS by link": named(
        "bad.geojson", lambda _, a: files.polygons(crs=files.link(f"{a}/x.prj")), "bad.geojson names ano"
    ),
    "CRS by escaped link": named(
        "bad.json",
        lambda _, a: files.polygons(crs=files.link(a)).replace('"link", "p', '"\\u004cink", "p'),
        "type link",
    ),
    "CRS in a file": named("bad.geojson", files.polygons(crs=files.link("/etc/passwd")), "another place to read from"),
    "command": named(
        "bad.geojson",
        lambda _, a: json.dumps({"type": "gdal_streamed_alg", "command_line": f"gdal vector read /vsicurl/{a}/x"}),
        "type gdal_streamed_alg",
    ),
    "OGR VRT": named(
        "bad.geojson",
        lambda _, a: f"<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>{a}</SrcDataSource></OGRVRTLayer>",
        NOT_ITSELF,
    ),
    "text as GeoPackage": named("bad.gpkg", "hello", NOT_ITSELF),
    "text as shapefile": named("bad.shp", "hello", NOT_ITSELF),
    "nested": named(
        "bad.geojson", '{"type":"Polygon","coordinates":' + "[" * 200_000, "it is no JSON .maximum recursion"
    ),
    "cut": named("bad.geojson", files.polygons()[:90], "it is no JSON"),
}

WEIGHTS: dict[str, Bad] = {
    "compressed": named("w.pt", lambda *_: files.packed(files.checkpoint(), grown=2**22), "data.* is compressed"),
    "on two disks": named("w.pt", lambda *_: files.of_disks(files.checkpoint(), 2), "w.pt is a damaged checkpoint"),
    "tuples in tuples": named("w.pt", files.pickled(b"\x80\x02" + b"(" * 9_000 + b"t" * 9_000 + b"."), "holds a tuple"),
    "a text without end": named(
        "w.pt", files.pickled(b"\x80\x04\x8d" + bytes([255] * 5) + bytes(3) + b"1."), "not loaded"
    ),
    "escape codes": named("w.pt", lambda *_: files.checkpoint({files.ESCAPES: 1}), r"\\x1b\]0;mine\\x07\\x1b\[2J"),
    "10,001 tensors": named("w.safetensors", files.header_of_many(10_001), "holds 10,001 tensors"),
    "resolution of 401 digits": named(
        "w.safetensors",
        lambda s, _: files.stating(s.folder, resolution=10**400),
        "gives resolution an impossible value",
    ),
    "heights of 401 digits": named(
        "w.safetensors", lambda s, _: files.stating(s.folder, height_range=[-(10**400), 10**400]), "gives height_range"
    ),
    "infinite heights": named(
        "w.safetensors", lambda s, _: files.stating(s.folder, height_range=[-1e308, 1e308]), "gives height_range"
    ),
    "a window of 31 digits": named(
        "w.safetensors", lambda s, _: files.stating(s.folder, window=8 * 10**30), "gives window"
    ),
    "a name of a megabyte": named(
        "w.safetensors", lambda s, _: files.stating(s.folder, name="n" * 2**20), "gives name an"
    ),
}

TRAINING_FILES: dict[str, Bad] = {
    "a class of Python": named("c.yaml", "name: !!python/name:os.system\n", "could not determine a constructor"),
    "a call of Python": named("c.yaml", "!!python/object/apply:os.system ['true']\n", "could not determine a constr"),
    "a tag": named("c.yaml", "name: !mine x\n", "could not determine a constructor for the tag '!mine'"),
    "aliases of aliases": named(
        "c.yaml",
        "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{f'*{a}, ' * 9}]\n" for a, b in pairwise("abcdefghij")),
        "no key a|key name is missing",
    ),
    "itself": named("c.yaml", "&x {name: *x}\n", "name = "),
    "nested": named("c.yaml", "[" * 1200, "nested too deeply"),
    "a hexadecimal number without end": named("c.yaml", f"resolution: 0x{'f' * 9000}\n", "a number is too large"),
    "a number without end": named("c.yaml", f"resolution: 1{':59' * 3000}\n", "a number is too large"),
    "a day that is none": named("c.yaml", "name: 2001-99-99\n", "month must be in"),
    "a megabyte": named("c.yaml", "#" * 2**20, "it has more than 256 kB"),
    "escape codes": named("c.yaml", '"\\e]0;mine\\a": 1\n', r"\\x1b\]0;mine\\x07|missing"),
}

KINDS = (
    (TAKING_RASTERS, RASTERS),
    (TAKING_POLYGONS, POLYGONS),
    (TAKING_WEIGHTS, WEIGHTS),
    (TAKING_TRAINING_FILES, TRAINING_FILES),
)

TABLE = {
    f"{command}: {kind}": (take, bad)
    for commands, kinds in KINDS
    for (command, take), (kind, bad) in product(commands.items(), kinds.items())
}

#: each bad file for the first command that takes it, and the first two for all: the others take minutes together
QUICK = {
    f"{command}: {kind}"
    for commands, kinds in KINDS
    for (i, command), (j, kind) in product(enumerate(commands), enumerate(kinds))
    if i == 0 or j < 2
}


@pytest.mark.parametrize("row", [row if row in QUICK else pytest.param(row, marks=pytest.mark.slow) for row in TABLE])
def test_bad_input(scene: Scene, web: tuple[str, list[str]], row: str) -> None:
    take, (make, sentence) = TABLE[row]
    address, asked = web
    arguments = [str(argument) for argument in take(scene, make(scene, address))]
    before = {name: what for name, what in scene.listing().items() if not name.startswith("cache")}
    check(invoke(arguments), sentence)
    assert {name: what for name, what in scene.listing().items() if not name.startswith("cache")} == before
    assert asked == []


def test_what_lies_beside_a_raster_among_many_files(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their list is too long to be read for each raster of a mosaic."""
    monkeypatch.setattr(opening, "MOST_LISTED", 2)
    for endings in ((".OVR",), (".msk",), (".ovr", ".ovr.ovr")):
        path = beside(*endings)(scene, "x")
        with pytest.raises(UnreadableRaster, match=rf"bad\.tif{endings[-1]} is no TIFF"):
            inspect_raster(str(path))
        for ending in endings:
            path.with_name(path.name + ending).unlink()
    assert inspect_raster(str(path)).width


def test_what_lies_beside_a_raster_in_an_archive_is_not_read(scene: Scene, web: tuple[str, list[str]]) -> None:
    """Nor on a server: GDAL would look for it there by itself."""
    address, asked = web
    path = beside(".ovr", ".msk")(scene, address)
    archive = scene.folder / "bad.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for name in ("bad.tif", "bad.tif.ovr", "bad.tif.msk"):
            content.write(scene.folder / name, name)
    found = inspect_raster(f"/vsizip/{archive}/bad.tif")
    assert (found.overviews, found.masked) == ((), False)
    assert found.width == inspect_raster(str(scene.guide)).width
    with pytest.raises(UnreadableRaster):
        inspect_raster(str(path))
    assert asked == []


@pytest.mark.parametrize(
    "name", ["{web}/x.geojson", "{web}/x.json?a=1", "/vsicurl/{web}/x.gpkg", "/vsizip/x.zip/x.shp"]
)
def test_polygons_that_cannot_be_looked_into(scene: Scene, web: tuple[str, list[str]], name: str) -> None:
    """A server may send an OGR VRT that reads a local file in the place of any of them."""
    address, asked = web
    check(invoke([str(a) for a in scene.arguments("--geometry", name.format(web=address))]), "cannot be looked into")
    assert asked == []
