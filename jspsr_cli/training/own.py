"""The user's own rasters as a place: cut on a lattice that lies where the most whole samples fit."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from jspsr_cli.checks import SIZE_SLACK, before_work, check_pixels, check_terrain
from jspsr_cli.errors import CoarseGuide, InputError, UnreadableRaster
from jspsr_cli.guides import Stretch
from jspsr_cli.plan import extent_of
from jspsr_cli.raster.align import AlignedLayer, pixel_size
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import image_stretch
from jspsr_cli.raster.mosaic import group_mosaics
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.target import TargetRequest, target_of
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.datums import Datums
from jspsr_cli.training.dfc30 import TRUTH
from jspsr_cli.training.lattice import lattice_start
from jspsr_cli.training.places import (
    KIND_OF_LAYER,
    Candidate,
    Place,
    Sources,
    aligned_layers,
    needed,
    open_files,
    side_of,
    state_of,
)
from jspsr_cli.training.request import PrepareOptions

#: files by layer
Files = Mapping[str, tuple[RasterFile, ...]]


def own_place(given: Mapping[str, Sequence[str]], *, name: str, options: PrepareOptions, reader: RasterReader) -> Place:
    """Samples on a lattice that lies where the most whole ones fit, of the files in `given` by layer.

    Raises:
        InputError: all files of a layer are bad (one bad file among others is noted), or they cannot be used together.
    """
    bad: list[str] = []
    files = {layer: _usable(layer, paths, options.guide_bands, bad) for layer, paths in given.items()}
    grid = _grid(files, options)
    dem = next(layer for layer in DEM_LAYERS if layer in files)
    stretch, doubts = _looked_at(files, dem, grid, options, reader)
    datums = Datums.of(files[TRUTH], files[dem], grid, match=options.match_datum, terrain_datum=options.terrain_datum)
    side = side_of(options.resolution, options.size)
    aligned = aligned_layers(files, grid, reader=reader, stretch=stretch)
    seen = [aligned[layer] for layer in needed(files)]
    start = lattice_start(grid, side, seen, voids=options.voids)
    used: dict[str, object] = {"guide_bands": options.guide_bands, "stretch": stretch}
    return Place(
        name=name,
        dataset="own",
        side=side,
        layers=tuple(files),
        dem=dem,
        cities=(name,),
        candidates=tuple(_cells(name, grid, side, start, files, aligned, datums)),
        used=used,
        made_of={
            "the CRS": grid.crs.to_wkt(),
            "the bounds": str(grid.bounds),
            **{f"the {key.replace('_', ' ')}": str(value) for key, value in used.items()},
            "the datums": datums.text,
            **_states(files),
            "the lattice": "{} rows and {} columns into the bounds".format(*start),
        },
        bad=tuple(bad),
        datums=datums,
        warnings=(*doubts, *datums.warnings),
    )


def _usable(layer: str, paths: Sequence[str], bands: Sequence[int] | None, bad: list[str]) -> tuple[RasterFile, ...]:
    """The files of a layer that can be opened as what they were given as; the others go to `bad`."""
    try:
        return open_files(layer, paths, bands)
    except InputError:
        if len(paths) == 1:
            raise
    found: list[RasterFile] = []
    for path in paths:
        try:
            found += open_files(layer, [path], bands)
        except InputError as error:
            bad.append(str(error).rstrip("."))
    if not found:
        raise UnreadableRaster(f"No file for {layer} can be used: {bad[-1]}.")
    return tuple(found)


def _grid(files: Files, options: PrepareOptions) -> Grid:
    """The target grid of all files, which the terrain is fine enough for."""
    request = TargetRequest(options.resolution, options.crs, options.bounds)
    extents = {layer: extent_of(group) for layer, group in files.items()}
    grid = target_of(request, list(extents.values()), guide=extents[TRUTH]).grid
    for mosaic in group_mosaics(files[TRUTH]):
        size = pixel_size(mosaic, grid)
        if size > grid.resolution[0] * SIZE_SLACK:
            raise CoarseGuide(
                f"{mosaic.files[0].name} has pixels of {size:.3g} m and would be a truth at {grid.resolution[0]:g} m: "
                "choose a --resolution that is no finer, or give a finer terrain model."
            )
    return grid


def _looked_at(
    files: Files, dem: str, grid: Grid, options: PrepareOptions, reader: RasterReader
) -> tuple[Stretch, tuple[str, ...]]:
    """The stretch of imagery, and doubts about what the pixels are; `dem` is the layer with the DEM."""
    guides = {KIND_OF_LAYER[layer]: group for layer, group in files.items() if layer in KIND_OF_LAYER}
    doubts: list[str] = []
    with before_work():
        stretch = options.stretch or (image_stretch(guides["image"], reader) if "image" in guides else None)
    with suppress(UnreadableRaster), before_work():  # broken files are named sample by sample
        doubts += check_pixels(files[dem], guides, grid, reader=reader, stretch=stretch)
        doubts += check_terrain(files[TRUTH], files[dem], grid, reader=reader)
    return stretch, tuple(doubts)


def _states(files: Files) -> dict[str, str]:
    """What is used of each layer, in its order: where files overlap the first one counts."""
    return {
        f"file {number} of {layer}": state_of(path)
        for layer, group in files.items()
        for number, path in enumerate([p for file in group for p in file.local_files or [file.path]], 1)
    }


def _cells(
    name: str,
    grid: Grid,
    side: int,
    start: tuple[int, int],
    files: Files,
    aligned: Mapping[str, AlignedLayer],
    datums: Datums,
) -> Iterator[Candidate]:
    """All squares of the lattice through the pixel `start` of `grid` that meet it.

    The id says how many lie west and south of one, from the origin of the CRS on.
    """
    row0, col0 = grid.origin
    for row in range(-(-start[0] % side), grid.height, side):
        for col in range(-(-start[1] % side), grid.width, side):
            inside = min(row, col, grid.height - row - side, grid.width - col - side) >= 0
            part = grid.part(row, col, side, side)
            opened = partial(Sources, grid=part, files=files, aligned=aligned, datums=datums, row=row, col=col)
            east, north = (col0 + col) // side, -((row0 + row) // side) - 1
            yield Candidate(name, f"e{east}n{north}", "", (), opened, inside)
