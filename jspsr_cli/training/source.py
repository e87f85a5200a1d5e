"""A folder of samples as a place, such as DFC30_source: layers of a square kilometre at their native resolutions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from affine import Affine

from jspsr_cli.errors import InputError, InvalidOption, NoOverlap, UnreadableRaster
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import open_dem
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.training.datums import Datums
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH, files_by_id, natural
from jspsr_cli.training.places import (
    LAYERS,
    SAMPLE_METRES,
    Candidate,
    Place,
    Sources,
    aligned_layers,
    dem_of,
    files_under,
    needed,
    open_files,
    side_of,
    state_of,
)
from jspsr_cli.training.request import PrepareOptions
from jspsr_cli.training.split import cities_of

# A sample of a folder is so wide and high but for this share, or it is another kind of file.
SIZE_TOLERANCE = 0.01

#: files by city, layer and id
Found = Mapping[str, Mapping[str, Mapping[str, Path]]]


def source_place(folder: Path, *, name: str, options: PrepareOptions, reader: RasterReader) -> Place:
    """Samples of a folder <City>/<Layer>/<id>_<Layer>.tif, one of each id, on the square of its terrain model.

    Raises:
        InvalidOption: there are none, or two cities would share a folder of the set.
    """
    cities = sorted(entry.name for entry in folder.iterdir() if (entry / TRUTH).is_dir())
    for train, valid in map(cities_of, cities):
        if valid in cities:
            raise InvalidOption(
                f"{folder} holds {train} and {valid}, which is for samples of {train}: rename one of both."
            )
    bad: list[str] = []
    found = {city: {layer: files_by_id(folder / city / layer, layer, bad) for layer in LAYERS} for city in cities}
    layers = tuple(layer for layer in LAYERS if any(found[city][layer] for city in cities))
    dem = dem_of(layers)
    if TRUTH not in layers or dem is None:
        raise InvalidOption(f"{folder} holds no samples <City>/{TRUTH}/<id>_{TRUTH}.tif with a DEM beside: check it.")
    side = side_of(options.resolution, options.size)
    terrain, heights = _first_pair(found, dem)
    square = _square(terrain[0], side=side)
    datums = Datums.of(terrain, heights, square, match=options.match_datum, terrain_datum=options.terrain_datum)
    opened = partial(_opened, side=side, reader=reader, datums=datums)
    return Place(
        name=name,
        dataset="DFC30",
        side=side,
        layers=layers,
        dem=dem,
        cities=tuple(cities),
        candidates=tuple(_candidates(found, layers, opened)),
        used={},
        made_of={"the source": str(folder.resolve()), "the datums": datums.text},
        bad=tuple(bad),
        datums=datums,
        warnings=datums.warnings,
    )


def _first_pair(found: Found, dem: str) -> tuple[tuple[RasterFile, ...], tuple[RasterFile, ...]]:
    """Terrain and DEM of the first sample that can be opened, whose datums are taken as those of all."""
    problem = "none has both"
    for city in found.values():
        for id_ in sorted(city[TRUTH].keys() & city[dem].keys(), key=natural):
            try:
                terrain = open_dem([str(city[TRUTH][id_])])
                _square(terrain[0], side=1)
                return terrain, open_dem([str(city[dem][id_])])
            except InputError as error:
                problem = str(error).rstrip(".")
    raise InvalidOption(f"No sample has a {TRUTH} and a {dem} that can be used: {problem}.")


def _candidates(
    found: Found, layers: Sequence[str], opened: Callable[[Mapping[str, str]], Sources]
) -> Iterator[Candidate]:
    """A candidate for each id of a city."""
    for city, by_layer in found.items():
        for id_ in sorted({i for by_id in by_layer.values() for i in by_id}, key=natural):
            mine = {layer: str(by_layer[layer][id_]) for layer in layers if id_ in by_layer[layer]}
            state = "; ".join(f"{layer}: {state_of(path)}" for layer, path in mine.items())
            missing = tuple(layer for layer in needed(layers) if layer not in mine)
            yield Candidate(city, id_, state, missing, partial(opened, mine))


def _opened(paths: Mapping[str, str], *, side: int, reader: RasterReader, datums: Datums) -> Sources:
    """What the sample of the files `paths`, by layer, is made of. Raises InputError for one that cannot be used."""
    files = {layer: open_files(layer, [path], None) for layer, path in paths.items()}
    for file in files.get(GUIDE_LAYERS["image"], ()):
        if file.dtype != "uint8":
            raise UnreadableRaster(f"{file.path} is {file.dtype}: samples of one set need images of 8 bit.")
    grid = _square(files[TRUTH][0], side=side)
    if datums.change and grid.crs != datums.change.grid.crs:
        raise UnreadableRaster(
            f"{files[TRUTH][0].path} is in another CRS than the first sample: prepare it apart for --match-datum."
        )
    for group in files.values():
        if not files_under(group, grid):
            raise NoOverlap(f"{group[0].path} lies off the terrain model of its sample: check its CRS.")
    aligned = aligned_layers(files, grid, reader=reader, stretch=None)
    return Sources(grid=grid, files=files, aligned=aligned, datums=datums)


def _square(terrain: RasterFile, *, side: int) -> Grid:
    """The square of a sample in `side` pixels a side."""
    west, south, east, north = terrain.bounds
    if abs((east - west) / SAMPLE_METRES - 1) > SIZE_TOLERANCE or abs((north - south) / (east - west) - 1) > 1e-6:
        raise UnreadableRaster(
            f"{terrain.path} is {east - west:.6g} x {north - south:.6g} wide and high, and a sample has "
            f"{SAMPLE_METRES:g} x {SAMPLE_METRES:g} m."
        )
    across = (east - west) / side
    return Grid(terrain.crs, Affine(across, 0, west, 0, -across, north), side, side)
