"""What the fetching commands share around an output: whether it is there, what its tags say, and its pixels."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from jspsr_cli import __version__
from jspsr_cli.errors import OutputExists, ReadFailed
from jspsr_cli.fetch.archive import Job
from jspsr_cli.fetch.download import shown
from jspsr_cli.fetch.store import Store
from jspsr_cli.fetch.tiles import Part
from jspsr_cli.raster.canvas import Canvas
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.products import ATTRIBUTION_TAG, LICENCE_TAG, TILES_TAG, Product
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import inspect_raster
from jspsr_cli.raster.writer import is_output_of
from jspsr_cli.types import FloatArray, Progress
from jspsr_cli.unfinished import Journal, UnfinishedWork

# Pixels that are copied or resampled at a time: 8 MB.
AT_ONCE = 2 * 2**20


def is_done(output: Path, grid: Grid, tags: Mapping[str, str], *, overwrite: bool) -> bool:
    """Whether `output` is there, made by the same command.

    Raises:
        OutputExists: something else is there.
    """
    if not output.exists() or overwrite:
        return False
    if not is_output_of(output, grid, tags, made_of=()):
        raise OutputExists(f"{output} exists and is not what this command makes: see --overwrite.")
    return True


def work_on(output: Path, grid: Grid, *, command: str) -> UnfinishedWork:
    """The folder in which `output` is made."""
    journal = Journal(decides={"the command": command}, machine={})
    return UnfinishedWork(output, journal, carry_shape=(1, grid.width), restart=False)


def stated(product: Product, source: str) -> dict[str, str]:
    """Tags of an output made of tiles of `product` at `source`."""
    return {
        "TIFFTAG_SOFTWARE": f"jspsr {__version__}",
        "JSPSR_VERSION": __version__,
        LICENCE_TAG: f"{product.name}: {product.licence}",
        ATTRIBUTION_TAG: product.attribution,
        "JSPSR_SOURCE": "" if source.startswith("file:") else shown(source),
    }


def tiles_in(output: Path) -> tuple[str, ...]:
    """Names of the tiles that `output`, one of ours, was made of."""
    with rasterio.open(output, driver="GTiff") as dataset:
        return tuple(json.loads(dataset.tags().get(TILES_TAG, "[]")))


def strips(height: int, width: int) -> Iterator[range]:
    """Rows 0 to `height` in strips that fit the memory."""
    step = max(1, AT_ONCE // width)
    for first in range(0, height, step):
        yield range(first, min(first + step, height))


def paint_void(part: Part, canvas: Canvas) -> None:
    """Leave no data where `part` is."""
    for rows in strips(part.source.height, part.source.width):
        nothing = np.full((len(rows), part.source.width), np.nan, dtype=np.float32)
        canvas.paint(nothing, row=part.row + rows.start, col=part.col)


def copy_tiles(
    store: Store[Job],
    jobs: Sequence[Job],
    folder: Path,
    *,
    canvas: Callable[[Job], Canvas],
    prepare: Callable[[FloatArray], FloatArray] = lambda heights: heights,
    progress: Progress,
) -> list[Job]:
    """Put the pixels of each job on its canvas, with heights as `prepare` leaves them; returns jobs without a tile.

    Raises:
        FetchFailed, MissingTile, WrongTile: see `Store.fetch`.
    """
    without = []
    with closing(store.fetch(jobs, folder, progress=progress)) as fetched:
        for job, path in fetched:
            if path is None:
                without.append(job)
                continue
            try:
                _copy(job.part, path, canvas(job), prepare)
            except ReadFailed as error:
                raise store.refused(job) from error
            path.unlink()
    return without


def _copy(part: Part, path: Path, canvas: Canvas, prepare: Callable[[FloatArray], FloatArray]) -> None:
    source, file = part.source, inspect_raster(str(path))  # its name ends in .tif, so it is read as that only
    with RasterReader() as reader:
        for rows in strips(source.height, source.width):
            window = Window(source.col_off, source.row_off + rows.start, source.width, len(rows))
            canvas.paint(prepare(reader.read(file, window)[0]), row=part.row + rows.start, col=part.col)
