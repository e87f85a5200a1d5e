"""A raster of 100,000 x 100,000 pixels, most of which is a hole in its file: only what is asked for is looked at."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from tests.scenes import Array, terrain
from tests.torture.forked import Ended, Forks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="reads from /proc what was read"),
]

SIDE = 100_000
METRES = 8
#: Of the DEM, which has pixels of 32 m.
COARSER = 4
WEST, NORTH = 4_000_000, 3_500_000
EPSG = 3035

#: The part that is asked for: rows and columns of the output.
ROW, COL, PART = 60_000, 30_000, 200

#: Bytes that reading all of the canopy map takes, and a tenth of that.
ALL = SIDE**2


def raw(path: Path, dtype: str, side: int, metres: int, *, west: int = WEST, north: int = NORTH) -> Array:
    """A raster of zeros in a file without content, as the format of ENVI has it, to be written to."""
    codes = {"uint8": 1, "float32": 4}
    wkt = CRS.from_epsg(EPSG).to_wkt()
    path.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {side}\nlines = {side}\nbands = 1\nheader offset = 0\nfile type = ENVI Standard\n"
        f"data type = {codes[dtype]}\ninterleave = bsq\nbyte order = 0\n"
        f"map info = {{Arbitrary, 1, 1, {west}, {north}, {metres}, {metres}, 0, North}}\n"
        f"coordinate system string = {{{wkt}}}\n"
    )
    return np.memmap(path, dtype=dtype, mode="w+", shape=(side, side))


def ground(col: int, row: int, side: int) -> Array:
    """Heights of the DEM from a column and a row on."""
    cols, rows = np.meshgrid(np.arange(col, col + side), np.arange(row, row + side))
    heights: Array = terrain(cols * METRES * COARSER / 20, rows * METRES * COARSER / 20).astype(np.float32)
    return heights


@pytest.fixture
def vast(tmp_path: Path) -> Path:
    """A folder with a canopy map and a DEM of it all, and with crops of both around the part, in a folder of theirs."""
    canopy = raw(tmp_path / "canopy.img", "uint8", SIDE, METRES)
    dem = raw(tmp_path / "dem.img", "float32", SIDE // COARSER, METRES * COARSER)
    around, trees = 256 // COARSER, np.random.default_rng(1).integers(0, 30, (PART + 512, PART + 512))
    first = (ROW // COARSER - around, COL // COARSER - around)
    heights = ground(first[1], first[0], PART // COARSER + 2 * around)
    (tmp_path / "crop").mkdir()
    side, west, north = len(heights), WEST + (COL - 256) * METRES, NORTH - (ROW - 256) * METRES
    crops = tmp_path / "crop"
    canopy[ROW - 256 : ROW + PART + 256, COL - 256 : COL + PART + 256] = trees
    raw(crops / "canopy.img", "uint8", PART + 512, METRES, west=west, north=north)[:] = trees
    dem[first[0] : first[0] + side, first[1] : first[1] + side] = heights
    raw(crops / "dem.img", "float32", side, METRES * COARSER, west=west, north=north)[:] = heights
    # What is looked at of the rest, to tell whether it is a DEM, is not all the same.
    for place in range(0, SIDE // COARSER, 512):
        dem[place, ::512] = place % 97 + 1
    del canopy, dem
    assert sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir()) < ALL / 20
    return tmp_path


def run(forks: Forks, folder: Path, weights: Path, *more: str) -> Ended:
    arguments = ["enhance", str(folder / "dem.img"), "--canopy", str(folder / "canopy.img"), "--json", *more]
    return forks.run([*arguments, "--weights", str(weights), "-o", str(folder / "out.tif")])


def test_a_part_is_all_that_is_read(vast: Path, forks: Forks, weights: dict[str, Path]) -> None:
    west, north = WEST + COL * METRES, NORTH - ROW * METRES
    box = f"{west},{north - PART * METRES},{west + PART * METRES},{north}"
    crop = run(forks, vast / "crop", weights["canopy"], "--bounds", box)
    whole = run(forks, vast, weights["canopy"], "--bounds", box)
    assert (crop.code, whole.code) == (0, 0), crop.err + whole.err
    heights = [rasterio.open(folder / "out.tif").read(1) for folder in (vast, vast / "crop")]
    assert heights[0].shape == (PART, PART)
    assert np.array_equal(*heights)
    print(f"the crop: {crop.read / 1e6:.0f} MB read, {crop.seconds:.1f} s")
    print(f"the part: {whole.read / 1e6:.0f} MB read, {whole.seconds:.1f} s")
    assert whole.read - crop.read < ALL / 20
    assert whole.seconds < 3 * crop.seconds + 10


def test_a_dry_run_is_instant(vast: Path, forks: Forks, weights: dict[str, Path]) -> None:
    if shutil.disk_usage(vast).free < 40e9:
        pytest.skip("needs a disk that the output would fit on")
    before = {path.name for path in vast.iterdir()}
    crop = run(forks, vast / "crop", weights["canopy"], "--resolution", "16", "--dry-run")
    whole = run(forks, vast, weights["canopy"], "--resolution", "16", "--dry-run")
    assert (crop.code, whole.code) == (0, 0), crop.err + whole.err
    assert whole.result["width"] * whole.result["height"] > 2e9
    print(f"the crop: {crop.read / 1e6:.0f} MB read, {crop.seconds:.1f} s")
    print(f"all of it: {whole.read / 1e6:.0f} MB read, {whole.seconds:.1f} s")
    assert whole.read - crop.read < ALL / 20
    assert whole.seconds < 3 * crop.seconds + 10
    assert {path.name for path in vast.iterdir()} == before
