"""Where what was compared comes from, as its files and tags say."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jspsr_cli.assess.rasters import NOT_STATED, Rasters
from jspsr_cli.provenance import NOTICE_TAG
from jspsr_cli.raster.align import pixel_size
from jspsr_cli.raster.grid import Grid, name_of
from jspsr_cli.raster.mosaic import Mosaic
from jspsr_cli.raster.products import ATTRIBUTION_TAG, LICENCE_TAG, VERTICAL_TAG, inherited, vertical_datum
from jspsr_cli.raster.sources import RasterFile

# Names and values that are listed; a mosaic can have thousands of files.
LISTED = 6

OURS = "JSPSR_"

# Roles of what holds heights.
HEIGHTS = ("prediction", "reference", "baseline")

# Said elsewhere, or of no use to a reader.
UNSAID = ("JSPSR_VERSION", ATTRIBUTION_TAG, LICENCE_TAG, VERTICAL_TAG, NOTICE_TAG)

#: tags of other programs that are shown, by what they are called
OTHERS = {"TIFFTAG_SOFTWARE": "software", "NOTE": "note"}


@dataclass(frozen=True)
class Origin:
    """One of what was compared: its role, its name, and facts as pairs of a title and a text."""

    role: str
    name: str
    facts: tuple[tuple[str, str], ...]


def origins_of(rasters: Rasters, grid: Grid) -> tuple[Origin, ...]:
    """The prediction, the reference, the baselines, and what grounds were told apart by."""
    (name, prediction), *baselines = rasters.sources.items()
    roles = [
        ("prediction", name, prediction),
        ("reference", rasters.reference[0].name, rasters.reference),
        *(("baseline", other, files) for other, files in baselines),
        *((_guide(kind), files[0].name, files) for kind, files in rasters.guides.items()),
    ]
    return tuple(Origin(role, name, tuple(_facts(files, grid, heights=role in HEIGHTS))) for role, name, files in roles)


def notices_of(rasters: Rasters) -> tuple[str, ...]:
    """What the tags of sources say that a reader has to know: `dem.tif: the weights were trained on ...`."""
    said = {
        f"{name}: {file.tags[NOTICE_TAG]}"
        for name, files in rasters.sources.items()
        for file in files
        if NOTICE_TAG in file.tags
    }
    return tuple(sorted(said))


def _guide(kind: str) -> str:
    return "land use" if kind == "classes" else kind


def _facts(files: Sequence[RasterFile], grid: Grid, *, heights: bool) -> Iterable[tuple[str, str]]:
    first = files[0]
    if len(files) > 1:
        yield f"{len(files)} files", _listed(file.name for file in files)
    yield "CRS", _listed(name_of(file.crs) for file in files)
    size = pixel_size(Mosaic((first,)), grid)
    yield "pixels", f"{first.width:,} × {first.height:,} of {size:.3g} m" + ", the first file" * (len(files) > 1)
    if heights:
        datums = (vertical_datum(file) for file in files)
        yield "heights counted from", _listed(datum.name if datum else NOT_STATED for datum in datums)
    keys = [key for file in files for key in file.tags if key in OTHERS or key.startswith(OURS)]
    yield "notice", _listed(file.tags.get(NOTICE_TAG, "") for file in files)
    for key in sorted(set(keys) - set(UNSAID)):
        title = OTHERS.get(key) or key.removeprefix(OURS).replace("_", " ").lower()
        yield title, _listed(_plain(file.tags.get(key, "")) for file in files)
    licences, attributions = inherited(files)
    yield "licence", _listed(licences)
    yield "attribution", _listed(attributions)


def _listed(values: Iterable[str]) -> str:
    """Each once, the first few of them."""
    texts = list(dict.fromkeys(filter(None, values)))
    more = len(texts) - LISTED
    return "; ".join(texts[:LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _plain(value: str) -> str:
    """JSON in words: lists by commas, options by name and value."""
    try:
        found = json.loads(value)
    except ValueError:
        return value
    if isinstance(found, dict):
        return ", ".join(f"{key} {item}" for key, item in found.items())
    return _listed(map(str, found)) if isinstance(found, list) else value
