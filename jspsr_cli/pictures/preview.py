"""The story of `preview`: rasters -> shared ground -> heights on few pixels -> colours and light -> a picture."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import rasterio

from jspsr_cli.checks import before_work
from jspsr_cli.errors import InvalidOption
from jspsr_cli.limits import DEFAULT_PREVIEW_SIZE, LARGEST_PREVIEW_SIZE, SMALLEST_PREVIEW_SIZE
from jspsr_cli.pictures.asked import check_picture
from jspsr_cli.pictures.ground import shared_grid
from jspsr_cli.pictures.shown import Preview, Shown
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.inputs import open_dem, open_image
from jspsr_cli.raster.sources import inspect_raster, short_name
from jspsr_cli.raster.writer import written_through
from jspsr_cli.types import Bounds, Progress

# A raster with as many bands is a photo: heights have one.
PHOTO_BANDS = 3


def preview(
    rasters: Sequence[str | Path] = (),
    *,
    output: str | Path | None = None,
    difference: tuple[str | Path, str | Path] | None = None,
    bounds: Bounds | None = None,
    size: int = DEFAULT_PREVIEW_SIZE,
    progress: Progress | None = None,
) -> Preview:
    """Draw rasters side by side on the ground that they share, with the same colours and light.

    Args:
        rasters: heights of one band, or photos; any CRS. Without any, those of the `difference`.
        output: PNG to write, over an earlier picture of ours; by default the first raster's name with .png, in the
            current folder.
        difference: two elevation models: one panel more shows the first minus the second.
        bounds: ground to show: degrees where all four could be, else in the CRS of the first raster.
        size: pixels of the picture's longer side, at the most.
        progress: called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before any work, 1 after; see `jspsr_cli.errors`.
    """
    shown, pair = [str(path) for path in rasters or difference or ()], [str(path) for path in difference or ()]
    if not shown:
        raise InvalidOption("There is nothing to show: name a raster, or two with --difference.")
    if not SMALLEST_PREVIEW_SIZE <= size <= LARGEST_PREVIEW_SIZE:
        raise InvalidOption(f"A picture of {size} pixels cannot be drawn: choose {SMALLEST_PREVIEW_SIZE} to "
                            f"{LARGEST_PREVIEW_SIZE}.")  # fmt: skip
    path = written_through(Path(output or f"{Path(short_name(shown[0])).stem}.png"))
    check_picture(path)
    with rasterio.Env(**GDAL_OPTIONS):
        titles = _titles([*shown, *pair])
        panels = [_opened(raster, titles[raster]) for raster in shown]
        apart = [Shown(titles[raster], open_dem([raster])) for raster in pair]
        files = [file for panel in (*panels, *apart) for file in panel.files]
        from jspsr_cli.pictures.drawing import draw_panels  # matplotlib, which only pictures need

        with before_work():
            return draw_panels(panels, shared_grid(files, bounds), path, apart=apart, size=size, progress=progress)


def _titles(paths: Sequence[str]) -> dict[str, str]:
    """File names by path, those of one name in several folders with their folder."""
    names = {path: short_name(path) for path in paths}
    times = Counter(names.values())
    return {path: f"{Path(path).parent.name}/{name}" if times[name] > 1 else name for path, name in names.items()}


def _opened(path: str, title: str) -> Shown:
    if len(inspect_raster(path).bands) >= PHOTO_BANDS:
        return Shown(title, open_image([path]), photo=True)
    return Shown(title, open_dem([path]))
