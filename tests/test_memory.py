"""Contract 6: peak memory does not grow with the height of the raster."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import re, sys
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from jspsr_cli import pipeline
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.request import EnhanceOptions
from jspsr_models import WeightsInfo

folder, width, height, cache = Path(sys.argv[1]), *map(int, sys.argv[2:])
place = {"crs": "EPSG:32632", "width": width, "height": height, "count": 1}
tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256}
# Never written, its tiles read as 0 m of canopy: a guide of any size that costs no time to make.
with rasterio.open(
    folder / "canopy.tif", "w", dtype="uint8", transform=Affine(8, 0, 5e5, 0, -8, 5e6), sparse_ok=True, **place, **tiles
):
    pass
place.update(width=width // 4, height=height // 4)
with rasterio.open(
    folder / "dem.tif", "w", dtype="float32", transform=Affine(32, 0, 5e5, 0, -32, 5e6), **place, **tiles
) as dem:
    for (_, column), window in dem.block_windows(1):
        rows = window.row_off + np.arange(window.height)[:, None]
        dem.write((100 + 20 * np.sin(rows / 30) + np.arange(window.width) / 50).astype("float32"), 1, window=window)
if cache:
    GDAL_OPTIONS.update(GDAL_CACHEMAX=cache, VSI_CACHE="FALSE")
info = WeightsInfo(name="identity", sha256="0" * 64, inputs=("canopy",), num_feature=4, resolution=8.0, window=256)
report = pipeline.enhance(
    folder / "dem.tif", canopy=[folder / "canopy.tif"], output=folder / "out.tif", weights=(lambda dem, **_: dem, info)
)
assert report.pixels_written == width * height
# Not getrusage: a child's ru_maxrss starts at the peak of the process that started it, here pytest with torch.
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""

FLOAT32 = 4

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak from /proc")


def peaks(tmp_path: Path, *, width: int, heights: tuple[int, int], cache: int | None) -> list[int]:
    """Peak resident bytes of `enhance` on rasters of these sizes in pixels, run side by side.

    `cache` bounds GDAL's cache in bytes; None leaves all as the command has it.
    """
    children = []
    for height in heights:
        folder = tmp_path / str(height)
        folder.mkdir()
        arguments = [sys.executable, "-c", CHILD, str(folder), str(width), str(height), str(cache or 0)]
        children.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
    said = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    return [int(re.fullmatch(r"(\d+)\n", text)[1]) * 1024 for text in said]  # type: ignore[index]


def test_peak_memory_does_not_grow_with_height(tmp_path: Path) -> None:
    # GDAL's caches are bounded, but grow with the file until they are full: bounded to little, they are full in both.
    small, large = peaks(tmp_path, width=2048, heights=(2048, 8192), cache=4 * 2**20)
    # Both measure about 390 MB, most of it torch. One float32 copy of the output is 50 MB (13 %) more at four times
    # the height; an implementation with arrays of the whole (DEM, guide, sum, weights, output: 28 bytes a pixel)
    # 350 MB (90 %).
    copy = FLOAT32 * 2048 * (8192 - 2048)
    assert large < 1.1 * small
    assert large - small < copy / 2


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_height_as_the_command_runs(tmp_path: Path) -> None:
    # Outputs of 268 MB and 1 GB. Beside the cache itself this sees what its turnover leaves of the heap: cached tiles
    # of one size do not fit where tiles of another were.
    small, large = peaks(tmp_path, width=2048, heights=(32_768, 131_072), cache=None)
    assert large < 1.1 * small
