"""What an output says of itself in its tags: weights, inputs, licences, vertical datum."""

import json
from collections.abc import Sequence

from jspsr_cli import __version__
from jspsr_cli.raster.inputs import plausible
from jspsr_cli.raster.products import (
    ATTRIBUTION_TAG,
    LICENCE_TAG,
    SEPARATOR,
    VERTICAL_TAG,
    datum_tag,
    inherited,
    tiles_of,
)
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile
from jspsr_cli.raster.vertical import VerticalTransform
from jspsr_models import WeightsInfo

# PROJ's name of the operation that took the heights to another vertical datum.
OPERATION_TAG = "JSPSR_VERTICAL_OPERATION"

# What a reader of an output, a picture or a page has to know.
NOTICE_TAG = "JSPSR_NOTICE"

SIMULATED_NOTICE = "the weights were trained on simulated scenes"


def program_tags() -> dict[str, str]:
    """Program version."""
    return {"TIFFTAG_SOFTWARE": f"jspsr {__version__}", "JSPSR_VERSION": __version__}


def weights_tags(info: WeightsInfo) -> dict[str, str]:
    """Program version, and which network made the heights."""
    tags = {
        **program_tags(),
        "JSPSR_WEIGHTS": info.name,
        "JSPSR_WEIGHTS_SHA256": info.sha256,
        "JSPSR_WEIGHTS_LICENCE": info.licence,
        "JSPSR_WEIGHTS_ATTRIBUTION": info.attribution,
        "JSPSR_TRAINED_ON": info.trained_on,
        NOTICE_TAG: SIMULATED_NOTICE if info.simulated else "",
    }
    # GDAL strips values and drops empty ones: what is found in a finished output must equal what was meant.
    return {key: value.strip() for key, value in tags.items() if value.strip()}


def option_tags(**used: object) -> dict[str, str]:
    """The options that decide the heights, those that were not used left out."""
    return {"JSPSR_OPTIONS": json.dumps({key: value for key, value in used.items() if value is not None})}


def vertical_tags(dem: Sequence[RasterFile], change: VerticalTransform | None) -> dict[str, str]:
    """What the heights of the output are counted from, and how they were taken there."""
    if change:
        return {VERTICAL_TAG: change.target.tag, OPERATION_TAG: change.title}
    return {VERTICAL_TAG: SEPARATOR.join(dict.fromkeys(datum_tag(file) for file in dem))}


def input_tags(
    dem: Sequence[RasterFile], guides: dict[str, tuple[RasterFile, ...]], *, reader: RasterReader
) -> dict[str, str]:
    """Names and fingerprints of the inputs, and what the output inherits from them.

    Neither folders nor times, so that the same inputs give the same bytes. Raises ReadFailed where a file broke off.
    """
    tags: dict[str, str] = {}
    for name, files in {"dem": tuple(dem), **guides}.items():
        clean = {"clean": plausible} if name == "dem" else {}
        tags |= name_tag(name, files) | tiles_tag(name, files)
        tags[f"JSPSR_FINGERPRINT_{name.upper()}"] = json.dumps([reader.fingerprint(f, **clean) for f in files])
    return tags | inherited_tags([*dem, *(file for group in guides.values() for file in group)])


def name_tag(role: str, files: Sequence[RasterFile]) -> dict[str, str]:
    """Names of the `files` that are the input `role`."""
    singles = [single for file in files for single in (file.stack or (file,))]
    return {f"JSPSR_INPUT_{role.upper()}": json.dumps([file.name for file in singles])}


def tiles_tag(role: str, files: Sequence[RasterFile]) -> dict[str, str]:
    """Names of the published tiles that the input `role` was fetched from, where its `files` say it."""
    tiles = [tile for file in files for tile in tiles_of(file)]
    return {f"JSPSR_TILES_{role.upper()}": json.dumps(list(dict.fromkeys(tiles)))} if tiles else {}


def inherited_tags(files: Sequence[RasterFile]) -> dict[str, str]:
    """Licences and attributions that are passed on from `files`."""
    licences, attributions = inherited(files)
    tags = {LICENCE_TAG: SEPARATOR.join(licences), ATTRIBUTION_TAG: SEPARATOR.join(attributions)}
    return {key: value for key, value in tags.items() if value}
