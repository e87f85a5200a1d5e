"""Source rasters: what a file is, before any pixel of it is read."""

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from jspsr_cli.errors import MissingCRS, UnreadableRaster, WrongBands
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.grid import Extent, horizontal
from jspsr_cli.raster.opening import not_text, open_raster, promised
from jspsr_cli.types import Bounds

# How GDAL names a raster in a file of several: NETCDF:"x.nc":band, GTIFF_DIR:2:x.tif. No URL and no Windows drive.
PART_OF_FILE = re.compile(r"[A-Z][A-Z0-9_]{2,}:(?:\d+:)?((?!//)[^\":]+|\"[^\"]+\")")

# Tiles whose pixel lattices differ by less than this many pixels are one mosaic.
LATTICE_TOLERANCE = 0.01


@dataclass(frozen=True)
class RasterFile:
    """What has to be known of a raster before reading it.

    `bands` are the 1-based bands that will be read; `alpha` the band of transparency, if any; `overview` the
    index of the overview that stands in for the full resolution (`transform`, `width`, `height` are then its);
    `stack` the files of one band each that are read as one file of several bands; `reduction` how many columns and rows
    of the file are averaged to one of its pixels (`transform`, `width`, `height` are then of these); `scaling` the
    factor and the summand that the file gives for stored values, and `unit` what they then count; `crs` is horizontal,
    `whole_crs` the WKT of the CRS as the file has it, heights included; `made_of` are the local files behind it,
    sidecars and tiles of a VRT included.
    """

    path: str
    crs: CRS
    transform: Affine
    width: int
    height: int
    count: int
    dtype: str
    bands: tuple[int, ...]
    nodata: tuple[float | None, ...]
    colours: tuple[str, ...]
    alpha: int | None
    masked: bool
    overviews: tuple[int, ...]
    tags: dict[str, str]
    overview: int | None = None
    stack: tuple["RasterFile", ...] = ()
    reduction: tuple[float, float] = (1.0, 1.0)
    scaling: tuple[float, float] = (1.0, 0.0)
    unit: str = ""
    whole_crs: str = ""
    made_of: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File name without folders, and without what follows the path of a URL."""
        return short_name(self.path)

    @property
    def bounds(self) -> Bounds:
        """Box around all pixels, in the CRS of the file."""
        corners = [self.transform * (x, y) for x in (0, self.width) for y in (0, self.height)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def extent(self) -> Extent:
        """Bounds and CRS together."""
        return Extent(self.crs, self.bounds, self.name)

    @property
    def local_files(self) -> tuple[str, ...]:
        """Files whose change changes the pixels."""
        return tuple(path for file in (self.stack or (self,)) for path in file.made_of)

    def with_bands(self, bands: Sequence[int]) -> "RasterFile":
        """The same file, reading `bands` (1-based)."""
        if self.stack:
            return stack_bands([self.stack[band - 1] for band in bands])
        return replace(self, bands=tuple(bands))

    def unscaled(self) -> "RasterFile":
        """The same file with its values taken as stored."""
        return replace(self, scaling=(1.0, 0.0))

    def without_nodata(self) -> "RasterFile":
        """The same file with its nodata values taken as numbers."""
        return replace(self, nodata=(None,) * self.count)


def paths_of(given: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """One path or URL, or several."""
    return (str(given),) if isinstance(given, str | Path) else tuple(str(path) for path in given)


def short_name(path: str) -> str:
    """File name of a path, URL or part of a file (NETCDF:"x.nc":band); a URL's query can hold a password."""
    if part := PART_OF_FILE.match(path):
        return Path(part[1].strip('"')).name + path[part.end() :].replace("/", "")
    return Path(urlsplit(path).path if "://" in path else path).name


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Say which raster could not be opened, and GDAL's reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    except UnicodeDecodeError as error:
        raise not_text(path) from error
    except GDAL_ERRORS as error:
        empty = Path(path).is_file() and Path(path).stat().st_size == 0
        why = "the file is empty" if empty else reason(error)
        if path.lower().endswith(".zip"):
            why += f", but one in it can as /vsizip/{path}/NAME"
        if (format_ := promised(path)) and "not recognized" in why:
            kind = format_.removeprefix("G")
            why = f"it is no {kind.upper()}, as its name says, or is damaged; another format needs another name"
        raise UnreadableRaster(f"{path} cannot be read as a raster: {why}.") from error


def _check_usable(dataset: DatasetReader, path: str) -> None:
    if dataset.count == 0:
        names = ", ".join(dataset.subdatasets[:3]) or "none"
        raise UnreadableRaster(f"{path} holds no raster itself; those in it are {names}: give one of these names.")
    if any(dtype.startswith("complex") for dtype in dataset.dtypes):
        raise UnreadableRaster(f"{path} holds complex numbers: take their amplitude first.")
    if dataset.transform.is_identity and (dataset.gcps[0] or dataset.rpcs):
        raise MissingCRS(f"{path} has ground control points only: warp it first with gdalwarp {path} warped.tif.")
    if not dataset.crs:
        raise MissingCRS(f"{path} has no CRS: assign the right one, for example with gdal_edit.py -a_srs.")
    if not all(map(math.isfinite, dataset.transform)):
        raise MissingCRS(f"{path} has georeferencing that is no number: assign it anew with gdal_edit.py -a_ullr.")
    if dataset.transform.is_identity:
        raise MissingCRS(f"{path} has a CRS but no georeferencing: its pixels have no place on the ground.")


def inspect_raster(path: str, *, overview: int | None = None) -> RasterFile:
    """Open `path` (a file, URL or GDAL virtual path) and note what it is.

    Raises:
        UnreadableRaster: GDAL cannot open it, its pixels are complex numbers, or as `open_raster`.
        MissingCRS: it has no CRS, or only ground control points.
    """
    options = {} if overview is None else {"overview_level": overview}
    with _readable(path), open_raster(path, **options) as dataset:
        _check_usable(dataset, path)
        colours = tuple(c.name for c in dataset.colorinterp)
        alpha = next((i for i, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha), None)
        flags = dataset.mask_flag_enums[0]
        return RasterFile(
            path=path,
            crs=horizontal(dataset.crs),
            transform=dataset.transform,
            width=dataset.width,
            height=dataset.height,
            count=dataset.count,
            dtype=dataset.dtypes[0],
            bands=tuple(i for i in dataset.indexes if i != alpha),
            nodata=dataset.nodatavals,
            colours=colours,
            alpha=alpha,
            masked=MaskFlags.per_dataset in flags and alpha is None,
            overviews=tuple(dataset.overviews(1)) if overview is None else (),
            tags=dataset.tags(),
            overview=overview,
            scaling=(dataset.scales[0], dataset.offsets[0]),
            unit=dataset.units[0] or "",
            whole_crs=dataset.crs.to_wkt(),
            made_of=tuple(name for name in dataset.files if not name.endswith(".aux.xml") and Path(name).is_file()),
        )


def same_lattice(first: RasterFile, other: RasterFile) -> bool:
    """Whether two files share CRS, number of bands and lattice of pixels, wherever on it they lie."""
    if first.crs != other.crs or len(first.bands) != len(other.bands):
        return False
    a, b = first.transform, other.transform
    size = max(other.width, other.height)
    scale = max(abs(a.a), abs(a.b), abs(a.d), abs(a.e))
    drift = max(abs(x - y) for x, y in zip((a.a, a.b, a.d, a.e), (b.a, b.b, b.d, b.e), strict=True))
    if drift * size > LATTICE_TOLERANCE * scale:
        return False
    return all(abs(v - round(v)) <= LATTICE_TOLERANCE for v in ~a * (b.c, b.f))


def stack_bands(files: Sequence[RasterFile]) -> RasterFile:
    """Files of one band each, on the same pixels, as one file with their bands in the order given.

    Raises:
        WrongBands: they do not lie on the same pixels.
    """
    first = files[0]
    for other in files[1:]:
        if (other.width, other.height) != (first.width, first.height) or not same_lattice(first, other):
            raise WrongBands(f"{other.name} and {first.name} are one band each, but not on the same pixels.")
    return replace(first, count=len(files), bands=tuple(range(1, len(files) + 1)), stack=tuple(files))


def with_overview(file: RasterFile, *, pixel_size: float, at_most: float) -> RasterFile:
    """`file`, or the coarsest of its overviews whose pixels are still at most `at_most` metres wide.

    `pixel_size` is that of the file in metres. Imagery only: overviews of heights are of unknown making.
    """
    fitting = [i for i, factor in enumerate(file.overviews) if pixel_size * factor <= at_most]
    if file.stack or not fitting:
        return file
    return inspect_raster(file.path, overview=max(fitting)).with_bands(file.bands)


def reduced(file: RasterFile, factor: int) -> RasterFile:
    """`file` with squares of about `factor` pixels averaged to one: over the same ground, for the eye only.

    GDAL takes overviews for it where there are some, whatever they were made by.
    """
    if factor <= 1:
        return file
    width, height = (math.ceil(side / factor) for side in (file.width, file.height))
    across, down = file.width / width, file.height / height
    return replace(
        file,
        transform=file.transform * Affine.scale(across, down),
        width=width,
        height=height,
        overviews=(),
        stack=tuple(reduced(band, factor) for band in file.stack),
        reduction=(across * file.reduction[0], down * file.reduction[1]),
    )
