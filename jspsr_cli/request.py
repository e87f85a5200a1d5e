"""What is asked for: inputs, output, options; and what can be told of them before a file is opened."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jspsr_cli.errors import InvalidOption, OutputExists
from jspsr_cli.guides import GUIDES
from jspsr_cli.limits import DEFAULT_OVERLAP
from jspsr_cli.pictures.asked import check_picture
from jspsr_cli.predict import Predictor
from jspsr_cli.raster.writer import SIDECARS, check_geotiff, check_together, written_through
from jspsr_cli.types import Bounds, GuideGaps, Precision, Water
from jspsr_models import WeightsInfo

# What else is called like an output: GDAL's, and the folders of unfinished work and of what was fetched.
COMPANIONS = (*SIDECARS, ".partial", ".inputs")

#: a name of the registry, a file, or a network with what is known of it
Weights = str | Path | tuple[Predictor, WeightsInfo] | None


@dataclass(frozen=True, kw_only=True)
class EnhanceOptions:
    """What can be chosen; each field is the option of that name on the command line.

    `resolution` in metres (None: the one the weights were trained at, else 8); `bounds` in degrees where all four
    numbers could be, else in the target CRS; `guide_bands` 1-based; `stretch` the image values that become 0 and
    255; `window` in pixels; `overlap` as a share of the window; `batch_size` in windows; `uncertainty` is a second
    GeoTIFF to write, of standard errors (1 sigma).
    """

    resolution: float | None = None
    crs: str | None = None
    vertical_crs: str | None = None
    bounds: Bounds | None = None
    like: str | None = None
    geometry: str | None = None
    guide_bands: tuple[int, ...] | None = None
    stretch: tuple[float, float] | None = None
    window: int | None = None
    overlap: float = DEFAULT_OVERLAP
    batch_size: int | None = None
    device: str = "auto"
    precision: Precision = "auto"
    guide_gaps: GuideGaps = "nodata"
    water: Water = "keep"
    uncertainty: str | Path | None = None
    overwrite: bool = False
    restart: bool = False
    preview: bool = False

    def __post_init__(self) -> None:
        low, high = self.stretch or (0, 1)
        wrong = {
            "resolution": self.resolution is not None and not self.resolution > 0,
            "guide_bands": min(self.guide_bands or (1,)) < 1,
            "stretch": not low < high,
            "batch_size": self.batch_size is not None and self.batch_size < 1,
            "window": self.window == 0,
        }
        for name in filter(wrong.get, wrong):
            raise InvalidOption(f"The {name} {getattr(self, name)} cannot work: see --help for what can.")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Paths or URLs: the DEM, and the guides by their kind (`jspsr_cli.guides`)."""

    dem: tuple[str, ...]
    guides: dict[str, tuple[str, ...]]

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.dem, *(path for paths in self.guides.values() for path in paths))


def check_request(inputs: Inputs, output: Path, weights: Weights, options: EnhanceOptions) -> None:
    """Refuse what cannot work, whatever the files hold.

    Raises:
        OutputNotWritable, OutputExists: the folder of an output takes no file, or an output is an input.
        InvalidOption: options that contradict each other, no guide, or an output whose name is of another format.
        MissingExtra: what draws a preview is not installed.
    """
    others = [str(path) for path in (weights, options.geometry, options.like) if isinstance(path, str | Path)]
    check_geotiff(output)
    check_distinct(output, [*inputs.paths, *others])
    for second in second_output(options):
        _check_second(second, output, [*inputs.paths, *others])
    _check_options(inputs, options)
    if options.preview:
        picture = picture_of(output)
        check_distinct(picture, [*inputs.paths, *others])
        check_picture(picture)


def picture_of(output: Path) -> Path:
    """Where the preview of `output` lies."""
    return written_through(output.with_suffix(".png"))


def second_output(options: EnhanceOptions) -> list[Path]:
    """The file for the uncertainty, where it is asked for."""
    return [] if options.uncertainty is None else [written_through(Path(options.uncertainty))]


def _check_second(second: Path, output: Path, inputs: Sequence[str]) -> None:
    """Refuse a name for the uncertainty that cannot be, where `output` is written too.

    Raises:
        OutputNotWritable, OutputExists: as for the output.
        InvalidOption: its name is of another format, or both would be, or belong to, the same file.
    """
    check_geotiff(second)
    check_distinct(second, inputs)
    # Many disks do not tell upper from lower case.
    names = [os.path.realpath(path).casefold() for path in (output, second)]
    same = output.exists() and second.exists() and os.path.samefile(output, second)
    if same or any(a == b + ending for a, b in (names, names[::-1]) for ending in ("", *COMPANIONS)):
        raise InvalidOption(f"{second} cannot be the uncertainty of {output}: give --uncertainty another name.")
    check_together(output, second)  # both get their names when both are whole, which is sure only without copying


def _check_options(inputs: Inputs, options: EnhanceOptions) -> None:
    if not inputs.guides:
        raise InvalidOption("There is no guide: give --guide, --canopy or --mask, what the weights were trained with.")
    roles: dict[str, str] = {}
    for role, paths in {"dem": inputs.dem, **inputs.guides}.items():
        option = GUIDES[role].option if role in GUIDES else "INPUT"
        for path in paths:
            other = roles.setdefault(os.path.realpath(path), option)
            if other != option:
                raise InvalidOption(f"{path} was given as {other} and as {option}: it can be only one of them.")
    if "image" not in inputs.guides and (options.guide_bands or options.stretch):
        raise InvalidOption("--guide-bands and --stretch are about an orthophoto: give one with --guide.")
    if options.like and options.resolution:
        raise InvalidOption("--like takes the grid of a raster as it is: leave --resolution away.")


def check_distinct(output: Path, inputs: Sequence[str]) -> None:
    """Raise OutputExists where `output` is one of `inputs`, by whatever name."""
    for path in inputs:
        same = os.path.realpath(path) == os.path.realpath(output)
        if same or (output.exists() and os.path.exists(path) and os.path.samefile(path, output)):
            raise OutputExists(f"The output {output} is one of the inputs: give it another name.")
