"""The output: a Cloud Optimized GeoTIFF that appears whole under its name or not at all."""

import errno
import os
import shutil
import uuid
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from rasterio.drivers import raster_driver_extensions
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as gdal_copy

from jspsr_cli.errors import InvalidOption, JspsrError, OutputNotWritable, WriteFailed
from jspsr_cli.raster.cog import check_whole
from jspsr_cli.raster.gdal import GDAL_ERRORS, reason
from jspsr_cli.raster.grid import Grid

NODATA = -9999.0

# Bytes on disk for each pixel while the output is made: the uncompressed 4 of the finished rows, the COG with
# overviews (4 x 4/3), and the overviews' own temporary file (4/3 of a quarter). Compression saves about half of
# the last two; a disk that runs full after hours is worse than a warning too early.
DISK_BYTES_PER_PIXEL = 4 + 4 * 4 / 3 + 4 / 3

LAYOUT = {"compress": "DEFLATE", "predictor": "FLOATING_POINT", "blocksize": 512, "bigtiff": "IF_SAFER"}
OVERVIEWS = {"overviews": "IGNORE_EXISTING", "overview_resampling": "AVERAGE"}

# What follows the name of an output in that of the folder it is made in, and in those of files in there while it is.
LONGEST_ENDING, LONGEST_INSIDE = ".partial", "/heights.projected.vrt.aux.xml"

# GDAL's buffers for paths hold this many bytes: of a longer one it makes an empty name.
LONGEST_PATH = 2047

# Bytes to try a disk with: as many as GDAL writes at once, since some may be left of one that was too full for those.
PROBE = 4 * 2**20

# What GDAL and GIS programs keep beside a raster: of the old one, it would describe the new one wrongly.
SIDECARS = (".aux.xml", ".ovr", ".msk")


@dataclass(frozen=True)
class Output:
    """One file to write: its name, the tags that it carries, and what its band is, in words."""

    path: Path
    tags: Mapping[str, str]
    title: str = "bare-earth elevation"

    def is_there(self, grid: Grid, *, made_of: Sequence[str]) -> bool:
        """Whether it exists as it is meant, see `is_output_of`."""
        return is_output_of(self.path, grid, self.tags, made_of=made_of)


def disk_bytes(grid: Grid, *, kept: int, files: int = 1) -> int:
    """Bytes on disk that `files` outputs on `grid`, made together, take at most, beside what is `kept` already."""
    return files * int(grid.width * grid.height * DISK_BYTES_PER_PIXEL) - kept


def check_output(output: Path) -> None:
    """Raise OutputNotWritable where no file can be written under the name `output`."""
    folder = output.parent
    if str(output).encode(errors="replace").decode() != str(output):
        raise OutputNotWritable(f"The name {str(output)!r} is not UTF-8, which GDAL needs: choose another name.")
    _check_length(output)
    if not folder.is_dir():
        raise OutputNotWritable(f"The folder {folder} does not exist: create it first.")
    if output.is_dir():
        raise OutputNotWritable(f"{output} is a folder: give the name of a file in it.")
    if output.exists() and not output.is_file():
        raise OutputNotWritable(f"{output} is not a file but a device or a pipe: give another name.")
    if not os.access(folder, os.W_OK):
        raise OutputNotWritable(f"The folder {folder} is read-only: write elsewhere.")


def check_geotiff(output: Path) -> None:
    """Raise where no GeoTIFF can be written under the name `output`.

    A name without an ending, or with one that is of no format (`dem.v2`), is as good as one that ends with .tif.

    Raises:
        OutputNotWritable: see `check_output`.
        InvalidOption: its ending is that of another format, which a GIS would take the file for.
    """
    format_named = raster_driver_extensions().get(output.suffix.lower().removeprefix("."), "GTiff")
    if format_named != "GTiff":
        raise InvalidOption(
            f"{_shortened(output.name)} is to be a GeoTIFF, and its name says {format_named}: let it end with .tif, "
            "and convert it with gdal_translate if you need another format."
        )
    check_output(output)


def _check_length(output: Path) -> None:
    """Raise OutputNotWritable where names that are made of `output` would be too long, after hours of work or before.

    A long folder can be gone to: that of a relative path does not count.
    """
    path = len(os.fsencode(f"{output}{LONGEST_ENDING}{LONGEST_INSIDE}"))
    if path > LONGEST_PATH:
        raise OutputNotWritable(
            f"The path of {_shortened(output.name)} is {path - LONGEST_PATH} bytes too long for GDAL: choose a shorter "
            "one, or go to its folder and give the name alone."
        )
    try:
        longest = os.pathconf(output.parent, "PC_NAME_MAX")
    except (OSError, AttributeError):  # no such folder, or Windows
        return
    name = len(os.fsencode(output.name + LONGEST_ENDING))
    if name > longest:
        raise OutputNotWritable(
            f"The name {_shortened(output.name)} is {name - longest} bytes too long, as that of the folder for "
            f"unfinished work ends with {LONGEST_ENDING}: choose a shorter one."
        )


def _shortened(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:20]}...{name[-15:]}"


def written_through(path: Path) -> Path:
    """What `path` is a link to, or itself: a file that takes the place of a link would be where nobody meant it."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def check_together(first: Path, second: Path) -> None:
    """Raise OutputNotWritable where what was made beside `first` cannot get the name `second` without copying.

    It is tried: disks of one number may be mounted apart.
    """
    if os.path.samefile(first.parent, second.parent):
        return
    name = f".{uuid.uuid4().hex}.part"
    source, target = first.with_name(name), second.with_name(name)
    try:
        source.touch()
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise OutputNotWritable(f"{second} cannot be written: {error.strerror or error}.") from error
        raise OutputNotWritable(
            f"{second} and {first} lie on different disks or mounts, and cannot appear together: put them on the same."
        ) from error
    finally:
        for path in (source, target):
            with suppress(OSError):
                path.unlink()


def check_disk(output: Path, grid: Grid, *, kept: int, files: int = 1, beside: int = 0) -> None:
    """Raise OutputNotWritable where the disk of `output` has too little room for what `files` on `grid` still need.

    `beside` are the bytes that the work needs for other things there.
    """
    need = disk_bytes(grid, kept=kept, files=files) + beside
    free = shutil.disk_usage(output.parent).free
    if need > free:
        raise OutputNotWritable(
            f"{output.parent} has {_megabytes(free)} free and the work may need {_megabytes(need)}: "
            "free some, write elsewhere, or choose a smaller area."
        )


def _megabytes(count: int) -> str:
    """Bytes as they are said: with small disks and areas, whole megabytes would be 0 of 0."""
    return f"{count / 1e6:,.{0 if count >= 1e7 else 3}f} MB"


def is_output_of(output: Path, grid: Grid, tags: Mapping[str, str], *, made_of: Sequence[str]) -> bool:
    """Whether `output` exists with this grid and these tags, and is younger than the files it was `made_of`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture, which is not what is asked for
            dataset = rasterio.open(output, driver="GTiff")  # as all outputs are
        with dataset:
            place = (dataset.crs, dataset.transform, dataset.width, dataset.height)
            found = dataset.tags()
        made = output.stat().st_mtime
        younger = all(os.stat(path).st_mtime <= made for path in made_of)
    except GDAL_ERRORS:  # also where a file is gone by now
        return False
    except UnicodeDecodeError:  # of the name of a CRS
        return False
    same = place == (grid.crs, grid.transform, grid.width, grid.height)
    return same and younger and all(found.get(key) == value for key, value in tags.items())


def publish(rows: Path, grid: Grid, output: Path, *, tags: Mapping[str, str], title: str) -> None:
    """Make the COG of `rows`, all float32 rows of `grid` in a file, and give it its name; `title` is what they are.

    Raises as `publish_all`.
    """
    publish_all(rows, grid, [Output(output, tags, title)])


def publish_all(
    rows: Path, grid: Grid, outputs: Sequence[Output], *, made: Sequence[Output] = (), made_of: Sequence[str] = ()
) -> None:
    """Make COGs of `rows`, and give them their names when all are whole, not younger than the files they are `made_of`.

    `rows` is a file of float32: of each row of `grid` first the pixels of the first output, then those of the next.
    What is needed on the way lies beside it. Outputs that are `made` already are left as they are.

    Wherever it ends, nothing of before lies beside what is new: old sidecars and old later outputs go, then the first
    of `outputs` gets its name, then the others. `rows` have to stay until this returns: all can be made of them again.

    Raises:
        JspsrError: rows are missing.
        WriteFailed: the disk is full, or the folder went away.
    """
    finished = {
        band: rows.with_name(f"finished.{band}.tif" if band else "finished.tif")
        for band, output in enumerate(outputs)
        if output not in made
    }
    at = outputs[0].path
    try:
        if rows.stat().st_size != 4 * grid.width * grid.height * len(outputs):
            raise JspsrError(f"{rows} does not hold {grid.height} rows of {grid.width}; this is a bug in jspsr.")
        for band, path in finished.items():
            at = outputs[band].path
            tags, title = outputs[band].tags, outputs[band].title
            described = describe(rows, grid, tags=tags, title=title, band=band, bands=len(outputs))
            gdal_copy(described, path, driver="COG", **LAYOUT, **OVERVIEWS)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            check_whole(path)
            _not_older(path, made_of)
        for band in finished:
            at = outputs[band].path
            for ending in (*SIDECARS, *([""] if band else [])):
                at.with_name(at.name + ending).unlink(missing_ok=True)
        for band, path in finished.items():
            at = outputs[band].path
            os.replace(path, at)
    except GDAL_ERRORS as error:
        why = _trouble_of_disk(rows) or reason(error)
        with suppress(OSError):  # of a folder that is read-only by now
            for path in finished.values():
                path.unlink(missing_ok=True)
        raise WriteFailed(f"{at} cannot be written: {why}.") from error


def _trouble_of_disk(rows: Path) -> str:
    """Why nothing can be written beside `rows`, empty where it can: GDAL tells at which line it broke off instead."""
    probe = rows.with_name("finished.probe")
    try:
        probe.write_bytes(bytes(PROBE))
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with suppress(OSError):
            probe.unlink()
    return ""


def _not_older(path: Path, made_of: Sequence[str]) -> None:
    """Let `path` be as young as what it is made of, also where a clock was set back since, or another made that."""
    ages = [path.stat().st_mtime_ns]
    for source in made_of:
        with suppress(OSError):  # what was read and is gone by now
            ages.append(os.stat(source).st_mtime_ns)
    if max(ages) > ages[0]:
        os.utime(path, ns=(max(ages), max(ages)))


def describe(rows: Path, grid: Grid, *, tags: Mapping[str, str], title: str, band: int = 0, bands: int = 1) -> Path:
    """Write a VRT beside `rows`, all float32 rows of `grid` in a file, that shows them to GDAL as a raster.

    It is one `band`, counted from 0, of `bands` that follow each other in every row.
    """
    vrt = ElementTree.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    _add(vrt, "SRS", grid.crs.to_wkt())
    _add(vrt, "GeoTransform", ", ".join(repr(value) for value in grid.transform.to_gdal()))
    metadata = _add(vrt, "Metadata")
    for key, value in tags.items():
        _add(metadata, "MDI", value, key=key)
    raw = _add(vrt, "VRTRasterBand", dataType="Float32", band="1", subClass="VRTRawRasterBand")
    _add(raw, "Description", title)
    _add(raw, "UnitType", "metre")
    _add(raw, "NoDataValue", repr(NODATA))
    _add(raw, "SourceFilename", rows.name, relativetoVRT="1")
    row = 4 * grid.width
    for name, offset in {"ImageOffset": band * row, "PixelOffset": 4, "LineOffset": bands * row}.items():
        _add(raw, name, str(offset))
    _add(raw, "ByteOrder", "LSB")
    described = rows.with_suffix(".vrt")
    described.write_bytes(ElementTree.tostring(vrt, encoding="utf-8"))
    return described


def _add(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name, attributes)
    element.text = text
    return element
