"""Names that file systems allow and nobody expects, and paths of any depth."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jspsr_cli.raster.writer import LONGEST_PATH
from tests.mistakes import check
from tests.test_enhance_command import Scene, invoke

LONGEST = 255

NAMES = {
    "spaces, quotes, newlines": " a  b 'c' \"d\" `e`\nf\r\n\tg\a",
    "shell": "$(rm) *?[a] {b,c} ~ ; & | < > ! #",
    "GDAL and URLs": "a:b,c=%20+&x?y\\z",
    "markup": "<a href='x'>&amp;<b>[bold]c[blink]",
    "option": "-rf",
    "dots": "...",
    "alphabets": "e\u0301\u00e9\u05d0\u202e\u0645🗻𠀀",
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A current folder that a test may leave."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def works(scene: Scene, dem: Path, guide: Path, output: Path) -> None:
    """It is written, once, and only it is left in its folder."""
    before = set(output.absolute().parent.iterdir())
    done = invoke(scene.arguments("--", dem=dem, guide=guide, output=output))
    assert done.exit_code == 0, done.output
    assert set(output.absolute().parent.iterdir()) - before == {output.absolute()}
    assert "\x1b" not in done.output
    again = invoke(scene.arguments(dem=dem, guide=guide, output=output))
    assert "is there already" in again.stdout


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_and_folders(scene: Scene, name: str) -> None:
    plain = NAMES[name]
    folder = scene.folder / plain
    folder.mkdir()
    dem, guide = scene.dem.rename(folder / f"{plain}.tif"), scene.guide.rename(folder / f"{plain}2.tif")
    works(scene, dem, guide, folder / f"out{plain}.tif")


@pytest.mark.parametrize("letter", ["n", "高"])
def test_names_as_long_as_can_be(scene: Scene, letter: str) -> None:
    def name(start: str, length: int) -> str:
        letters = (length - len(start) - len(".tif")) // len(letter.encode())
        return f"{start}{letter * letters}".ljust(length - len(letter.encode() * letters) + letters - 4, "_") + ".tif"

    longest = LONGEST - len(".partial")
    dem = scene.dem.rename(scene.folder / name("dem", LONGEST))
    guide = scene.guide.rename(scene.folder / name("guide", LONGEST))
    assert {len(os.fsencode(path.name)) for path in (dem, guide)} == {LONGEST}
    works(scene, dem, guide, scene.folder / name("out", longest))
    before = scene.listing()
    for length in (longest + 1, LONGEST, LONGEST + 1, 3 * LONGEST):
        output = scene.folder / name("out", length)
        check(invoke(scene.arguments(dem=dem, guide=guide, output=output)), rf"{length - longest} bytes too long")
        check(invoke(["fetch-copernicus", "9", "45", "9.1", "45.1", "-o", str(output)]), r"bytes too long")
    assert scene.listing() == before


def deep(length: int) -> Path:
    """Go to a folder whose path has so many bytes, and return that path."""
    while (left := length - len(os.getcwd())) > 1:
        part = "d" * (min(left - 1, 200) if not 201 < left < 204 else 100)
        Path(part).mkdir()
        os.chdir(part)
    return Path.cwd()


@pytest.mark.parametrize("length", [1900, 3900])
def test_a_folder_deep_down(scene: Scene, here: Path, length: int) -> None:
    assert here == scene.folder
    folder = deep(length)
    assert len(str(folder)) == length
    dem, guide = (path.rename(folder / path.name) for path in (scene.dem, scene.guide))
    works(scene, dem, guide, Path("out.tif"))
    if length < LONGEST_PATH:
        works(scene, dem, guide, folder / "out2.tif")
        return
    before = set(folder.iterdir())
    check(invoke(scene.arguments(dem=dem, guide=guide, output=folder / "out2.tif")), "too long for GDAL.*go to its")
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("spare", [0, -1])
def test_the_longest_path_that_is_taken(scene: Scene, here: Path, spare: int) -> None:
    """Whatever lies beside an output on the way is within GDAL's bounds, and what is refused is so beforehand."""
    assert here == scene.folder
    ending = len("/out.tif.partial/heights.projected.vrt.aux.xml")
    folder = deep(LONGEST_PATH - ending - spare)
    done = invoke(scene.arguments(output=folder / "out.tif"))
    if spare:
        check(done, r"1 bytes too long")
    else:
        assert done.exit_code == 0, done.output
    assert [path.name for path in folder.iterdir()] == ["out.tif"] * (not spare)


def test_paths_that_no_system_call_takes(scene: Scene) -> None:
    endless = scene.folder / "/".join(["d" * 200] * 30)
    check(invoke(scene.arguments(output=endless / "out.tif")), "too long")
    check(invoke(scene.arguments(dem=endless / "dem.tif")), "File name too long")


@pytest.mark.parametrize("ending", [".png", ".PNG", ".vrt", ".img", ".nc", ".asc", ".gpkg"])
def test_names_of_other_formats(scene: Scene, ending: str) -> None:
    """A GeoTIFF by such a name would be taken for what it is not."""
    before, output = scene.listing(), scene.folder / f"out{ending}"
    for arguments in (
        scene.arguments(output=output),
        scene.arguments("--uncertainty", output),
        ["fetch-copernicus", "9", "45", "9.1", "45.1", "-o", str(output)],
        ["fetch-fabdem", "9", "45", "9.1", "45.1", "-o", str(output)],
        ["fetch-canopy", "9", "45", "9.1", "45.1", "-o", str(output)],
    ):
        check(invoke(arguments), rf"out{ending} is to be a GeoTIFF, and its name says .*: let it end with \.tif")
    assert scene.listing() == before


@pytest.mark.parametrize("name", ["out", "out.TIF", "out.tiff", "out.v2", "out.2026-01", "png"])
def test_names_that_promise_no_other_format(scene: Scene, name: str) -> None:
    works(scene, scene.dem, scene.guide, scene.folder / name)
