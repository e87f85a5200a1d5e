"""The user's own rasters as a place: cut on a lattice that is anchored at the origin of the CRS."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from jspsr_cli.checks import SIZE_SLACK, before_work, check_pixels
from jspsr_cli.errors import CoarseGuide, InputError, UnreadableRaster
from jspsr_cli.guides import Stretch
from jspsr_cli.plan import extent_of
from jspsr_cli.raster.align import AlignedLayer, pixel_size
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import image_stretch
from jspsr_cli.raster.mosaic import group_mosaics
from jspsr_cli.raster.products import inherited
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.target import TargetRequest, target_of
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.datums import Datums
from jspsr_cli.training.dfc30 import TRUTH
from jspsr_cli.training.places import (
    KIND_OF_LAYER,
    Aligned,
    Candidate,
    Place,
    aligned_layer,
    open_files,
    side_of,
    state_of,
)
from jspsr_cli.types import Bounds


def own_place(
    given: Mapping[str, Sequence[str]],
    *,
    name: str,
    resolution: float,
    size: int | None = None,
    crs: str | None = None,
    bounds: Bounds | None = None,
    guide_bands: Sequence[int] | None = None,
    stretch: Stretch = None,
    match_datum: bool = False,
    terrain_datum: str | None = None,
    reader: RasterReader,
) -> Place:
    """Samples on a lattice that is anchored at the origin of the CRS, of the files in `given` by layer.

    Raises:
        InputError: all files of a layer are bad (one bad file among others is noted), or they cannot be used together.
    """
    bad: list[str] = []
    files = {layer: _usable(layer, paths, guide_bands, bad) for layer, paths in given.items() if paths}
    dem = next(layer for layer in DEM_LAYERS if layer in files)
    request = TargetRequest(resolution, crs, bounds)
    extents = {layer: extent_of(group) for layer, group in files.items()}
    grid = target_of(request, list(extents.values()), guide=extents[TRUTH]).grid
    _check_fine(files[TRUTH], grid)
    guides = {KIND_OF_LAYER[layer]: group for layer, group in files.items() if layer in KIND_OF_LAYER}
    with before_work():
        stretch = stretch or (image_stretch(guides["image"], reader) if "image" in guides else None)
    doubts: list[str] = []
    with suppress(UnreadableRaster), before_work():  # broken files are named sample by sample
        doubts = check_pixels(files[dem], guides, grid, reader=reader, stretch=stretch)
    datums = Datums.of(files[TRUTH], files[dem], grid, match=match_datum, terrain_datum=terrain_datum)
    layers = {
        layer: aligned_layer(layer, group, grid, reader=reader, stretch=stretch) for layer, group in files.items()
    }
    side = side_of(resolution, size)
    others = [file for layer, group in files.items() if layer == dem or layer not in DEM_LAYERS for file in group]
    licences, attributions = inherited(others)
    return Place(
        name=name,
        dataset="own",
        side=side,
        layers=tuple(files),
        cities=(name,),
        candidates=tuple(_cells(name, grid, side, layers, datums)),
        made_of={
            "the CRS": grid.crs.to_wkt(),
            "the bounds": str(grid.bounds),
            "the stretch": str(stretch),
            "the bands of the guide": str(guide_bands),
            "the terrain's datum": datums.operation,
            **{layer: ", ".join(state_of(path) for file in group for path in file.local_files or [file.path])
               for layer, group in files.items()},
        },
        bad=tuple(bad),
        licences=tuple(licences),
        attributions=tuple(attributions),
        datums=datums.text,
        warnings=(*doubts, *datums.warnings),
    )  # fmt: skip


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


def _check_fine(terrain: Sequence[RasterFile], grid: Grid) -> None:
    for mosaic in group_mosaics(terrain):
        size = pixel_size(mosaic, grid)
        if size > grid.resolution[0] * SIZE_SLACK:
            raise CoarseGuide(
                f"{mosaic.files[0].name} has pixels of {size:.3g} m and would be a truth at {grid.resolution[0]:g} m: "
                "choose a --resolution that is no finer, or give a finer terrain model."
            )


def _cells(name: str, grid: Grid, side: int, layers: Mapping[str, AlignedLayer], datums: Datums) -> Iterator[Candidate]:
    """All squares of the lattice that meet `grid`; the id says how many lie west and south of one."""
    row0, col0 = grid.origin
    for south in range(row0 // side, (row0 + grid.height - 1) // side + 1):
        for east in range(col0 // side, (col0 + grid.width - 1) // side + 1):
            row, col = south * side - row0, east * side - col0

            def read(row: int = row, col: int = col) -> tuple[Grid, Aligned]:
                part = grid.part(row, col, side, side)
                aligned = ((layer, of.read(row, col, side, side)) for layer, of in layers.items())
                return part, datums.applied(aligned, part)

            inside = min(row, col, grid.height - row - side, grid.width - col - side) >= 0
            yield Candidate(name, f"e{east}n{-south - 1}", "", (), read, inside)
