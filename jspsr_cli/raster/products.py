"""What is known of an input from its name or its tags: product, licence, attribution, vertical datum."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyproj

from jspsr_cli.errors import UnknownDatum
from jspsr_cli.raster.grid import name_of
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.vertical import VerticalDatum, datum_of, datum_of_tag

# Tags that our own outputs and downloads carry, and that are passed on.
LICENCE_TAG = "JSPSR_LICENCE"
ATTRIBUTION_TAG = "JSPSR_ATTRIBUTION"
VERTICAL_TAG = "JSPSR_VERTICAL_DATUM"

# Tag of downloads: a JSON list of the names of the published tiles that they were made of.
TILES_TAG = "JSPSR_TILES"

# Tag of rasters that are made up, and so are of no product whatever they are called.
SIMULATED_TAG = "JSPSR_SIMULATED"

# Between the entries of one tag; attributions hold commas and semicolons.
SEPARATOR = " | "

UNKNOWN_DATUM = "that of the input DEM, which does not say which"


@dataclass(frozen=True)
class Product:
    """A published data set, recognised by its file names."""

    pattern: re.Pattern[str]
    name: str
    licence: str
    attribution: str
    vertical_datum: str = ""


# Licence terms: Copernicus DEM licence of ESA; FABDEM data page of the University of Bristol; FathomDEM's data page.
PRODUCTS = (
    Product(
        re.compile(r"Copernicus_DSM_(COG_)?(10|30)_|(COP|GLO)[-_]?(30|90)", re.IGNORECASE),
        "Copernicus DEM",
        "free of charge, with attribution",
        "produced using Copernicus WorldDEM-30 (c) DLR e.V. 2010-2014 and (c) Airbus Defence and Space GmbH "
        "2014-2018 provided under COPERNICUS by the European Union and ESA; all rights reserved",
        "EGM2008 height (EPSG:3855)",
    ),
    Product(
        re.compile(r"FABDEM", re.IGNORECASE),
        "FABDEM",
        "CC BY-NC-SA 4.0: what is derived from it inherits that",
        "FABDEM V1-2, Hawker et al. 2022, University of Bristol, CC BY-NC-SA 4.0",
        "EGM2008 height (EPSG:3855)",
    ),
    Product(
        re.compile(r"FATHOM", re.IGNORECASE),
        "FathomDEM",
        "CC BY-NC-SA 4.0: what is derived from it inherits that",
        "FathomDEM, Uhe et al. 2025, Fathom, CC BY-NC-SA 4.0",
    ),
)


COPERNICUS, FABDEM = PRODUCTS[:2]

# Its tiles are called by quadkeys, which tell nothing: known by the tags of what is fetched only.
CANOPY = Product(
    re.compile(r"alsgedi_global", re.IGNORECASE),
    "Meta / WRI canopy height",
    "CC BY 4.0",
    "High Resolution Canopy Height Maps v1, Tolan et al. 2024, Meta and World Resources Institute, CC BY 4.0",
)


def product_of(file: RasterFile) -> Product | None:
    """The data set that `file` is named as, if any."""
    if SIMULATED_TAG in file.tags:
        return None
    return next((product for product in PRODUCTS if product.pattern.search(file.name)), None)


def inherited(files: Sequence[RasterFile]) -> tuple[list[str], list[str]]:
    """Licences and attributions that an output passes on from its inputs, each once."""
    licences: list[str] = []
    attributions: list[str] = []
    for file in files:
        licences += file.tags.get(LICENCE_TAG, "").split(SEPARATOR)
        attributions += (file.tags.get(ATTRIBUTION_TAG) or file.tags.get("TIFFTAG_COPYRIGHT", "")).split(SEPARATOR)
        product = product_of(file)
        if product:
            licences.append(f"{product.name}: {product.licence}")
            attributions.append(product.attribution)
    return [*dict.fromkeys(filter(None, licences))], [*dict.fromkeys(filter(None, attributions))]


def products_of(files: Sequence[RasterFile]) -> set[str]:
    """Names of the data sets that `files` are known to be, or to be made of."""
    attributions = inherited(files)[1]
    return {product.name for product in PRODUCTS if product.attribution in attributions}


def tiles_of(file: RasterFile) -> list[str]:
    """Names of the published tiles that a download was made of; none where it does not say."""
    try:
        tiles = json.loads(file.tags.get(TILES_TAG, "[]"))
    except ValueError:
        return []
    return [str(tile) for tile in tiles] if isinstance(tiles, list) else []


def joined(statements: Iterable[str]) -> str:
    """Licences or attributions of several tags in one, each once."""
    parts = [part for statement in statements for part in statement.split(SEPARATOR)]
    return SEPARATOR.join(dict.fromkeys(filter(None, parts)))


def vertical_datum(file: RasterFile) -> VerticalDatum | None:
    """Vertical datum of a DEM where it is known: from its CRS, its tags, or the product it is named as."""
    product = product_of(file)
    said = file.tags.get(VERTICAL_TAG) or (product.vertical_datum if product else "")
    return datum_of(pyproj.CRS.from_wkt(file.whole_crs)) or datum_of_tag(said)


def datum_tag(file: RasterFile) -> str:
    """What the tags of an output say of the vertical datum of a DEM."""
    datum = vertical_datum(file)
    return datum.tag if datum else file.tags.get(VERTICAL_TAG) or UNKNOWN_DATUM


def common_datum(files: Sequence[RasterFile], *, option: str = "--vertical-crs", what: str = "DEM") -> VerticalDatum:
    """The vertical datum of all `files`, which are a DEM called `what` and have to have one for `option`.

    Raises:
        UnknownDatum: one does not say which it has, or they have several.
    """
    datums = []
    for file in files:
        datum = vertical_datum(file)
        if datum is None:
            raise UnknownDatum(
                f"{file.path} does not say what its heights are counted from, so {option} cannot change it: "
                f"name its datum first, for example with gdal_edit.py -a_srs {name_of(file.crs)}+3855 for EGM2008."
            )
        datums.append(datum)
    if len({datum.tag for datum in datums}) > 1:
        raise UnknownDatum(
            f"With {option} the {what} has to be in one vertical datum: {several_datums(files, what=what)[0]}."
        )
    return datums[0]


def several_datums(files: Sequence[RasterFile], *, what: str = "DEM") -> list[str]:
    """A warning where the heights of `files`, which are a DEM called `what`, are known not to meet."""
    first: dict[str, str] = {}
    for file in files:
        datum = vertical_datum(file)
        if datum:
            first.setdefault(datum.tag, f"those of {file.name} in {datum.name}")
    found = " and ".join(first.values())
    return [f"heights of the {what} are in several vertical datums, {found}"] if len(first) > 1 else []
