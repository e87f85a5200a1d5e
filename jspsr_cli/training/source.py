"""A folder of samples as a place, such as DFC30_source: layers of a square kilometre at their native resolutions."""

from collections.abc import Mapping
from pathlib import Path

from affine import Affine

from jspsr_cli.errors import InputError, InvalidOption, UnreadableRaster
from jspsr_cli.raster.grid import Grid
from jspsr_cli.raster.inputs import open_dem
from jspsr_cli.raster.products import inherited
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.training.config import DEM_LAYERS
from jspsr_cli.training.datums import Datums
from jspsr_cli.training.dfc30 import GUIDE_LAYERS, TRUTH, files_by_id, natural
from jspsr_cli.training.places import (
    SAMPLE_METRES,
    Aligned,
    Candidate,
    Place,
    aligned_layer,
    open_files,
    side_of,
    state_of,
)

# A sample of a folder is so wide and high but for this share, or it is another kind of file.
SIZE_TOLERANCE = 0.01


def source_place(
    folder: Path,
    *,
    name: str,
    resolution: float,
    size: int | None = None,
    match_datum: bool = False,
    terrain_datum: str | None = None,
    reader: RasterReader,
) -> Place:
    """Samples of a folder <City>/<Layer>/<id>_<Layer>.tif, one of each id, on the square of its terrain model.

    Raises:
        InvalidOption: there are none.
    """
    cities = sorted(entry.name for entry in folder.iterdir() if (entry / TRUTH).is_dir())
    bad: list[str] = []
    known = (TRUTH, *DEM_LAYERS, *GUIDE_LAYERS.values())
    paths = {city: {layer: files_by_id(folder / city / layer, layer, bad) for layer in known} for city in cities}
    layers = tuple(layer for layer in known if any(paths[city][layer] for city in cities))
    dem = next((layer for layer in layers if layer in DEM_LAYERS), None)
    if TRUTH not in layers or dem is None:
        raise InvalidOption(f"{folder} holds no samples <City>/{TRUTH}/<id>_{TRUTH}.tif with a DEM beside: check it.")
    side = side_of(resolution, size)
    terrain, heights = _first_pair(paths, dem)
    datums = Datums.of(terrain, heights, _square(terrain[0], side=side), match=match_datum, terrain_datum=terrain_datum)
    licences, attributions = inherited([*terrain, *heights])

    def candidate(city: str, id_: str) -> Candidate:
        mine = {layer: str(paths[city][layer][id_]) for layer in layers if id_ in paths[city][layer]}
        needed = [layer for layer in layers if layer not in DEM_LAYERS or layer == dem]

        def read() -> tuple[Grid, Aligned]:
            return _read_source(mine, side=side, reader=reader, datums=datums)

        state = "; ".join(f"{layer}: {state_of(path)}" for layer, path in mine.items())
        return Candidate(city, id_, state, tuple(layer for layer in needed if layer not in mine), read)

    return Place(
        name=name,
        dataset="DFC30",
        side=side,
        layers=layers,
        cities=tuple(cities),
        candidates=tuple(
            candidate(city, id_)
            for city in cities
            for id_ in sorted({i for found in paths[city].values() for i in found}, key=natural)
        ),
        made_of={"the source": str(folder.resolve()), "the terrain's datum": datums.operation},
        bad=tuple(bad),
        licences=tuple(licences),
        attributions=tuple(attributions),
        datums=datums.text,
        warnings=datums.warnings,
    )


def _first_pair(
    paths: Mapping[str, Mapping[str, Mapping[str, Path]]], dem: str
) -> tuple[tuple[RasterFile, ...], tuple[RasterFile, ...]]:
    """Terrain and DEM of the first sample that can be opened, whose datums are taken as those of all."""
    problem = "none has both"
    for city in paths.values():
        for id_ in sorted(city[TRUTH].keys() & city[dem].keys(), key=natural):
            try:
                terrain = open_dem([str(city[TRUTH][id_])])
                _square(terrain[0], side=1)
                return terrain, open_dem([str(city[dem][id_])])
            except InputError as error:
                problem = str(error).rstrip(".")
    raise InvalidOption(f"No sample has a {TRUTH} and a {dem} that can be used: {problem}.")


def _read_source(paths: Mapping[str, str], *, side: int, reader: RasterReader, datums: Datums) -> tuple[Grid, Aligned]:
    files = {layer: open_files(layer, [path], None) for layer, path in paths.items()}
    for file in files.get(GUIDE_LAYERS["image"], ()):
        if file.dtype != "uint8":
            raise UnreadableRaster(f"{file.path} is {file.dtype}: samples of one set need images of 8 bit.")
    grid = _square(files[TRUTH][0], side=side)
    layers = {layer: aligned_layer(layer, group, grid, reader=reader, stretch=None) for layer, group in files.items()}
    return grid, datums.applied(((layer, of.read(0, 0, side, side)) for layer, of in layers.items()), grid)


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
