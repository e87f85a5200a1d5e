"""`enhance --fetch`: inputs that are not given are fetched to the folder OUT.inputs, and stay there.

    cop30.tif, canopy.tif   what was fetched
    fetched.json            what for: the same is not fetched again
    jspsr.lock              says that the folder is ours

An elevation model is fetched where none is given, canopy heights where no guide is. The folder may be removed at any
time: what is fetched again is the same, and looks the same to work that goes on with it.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import rasterio

from jspsr_cli import __version__
from jspsr_cli.errors import InvalidOption, OutputExists, WriteFailed
from jspsr_cli.fetch.ahead import AHEAD, Ahead, room_for
from jspsr_cli.fetch.place import grid_asked, place_of
from jspsr_cli.fetch.plan import VERTICAL_EPSG
from jspsr_cli.fetch.request import area_of
from jspsr_cli.fetch.sources import SOURCES, Place
from jspsr_cli.limits import DEFAULT_RESOLUTION, DEFAULT_WINDOW
from jspsr_cli.locked import check_known, locked
from jspsr_cli.pipeline import inputs_of
from jspsr_cli.plan import check_guides, extent_of, starter_name
from jspsr_cli.predict import resolve_device
from jspsr_cli.raster.gdal import GDAL_OPTIONS
from jspsr_cli.raster.grid import WGS84, Extent, Grid, name_of
from jspsr_cli.raster.inputs import open_dem
from jspsr_cli.raster.products import common_datum
from jspsr_cli.raster.sources import short_name
from jspsr_cli.raster.vertical import parse_datum, vertical_transform
from jspsr_cli.raster.writer import check_disk, disk_bytes, is_output_of, written_through
from jspsr_cli.request import EnhanceOptions, Inputs, Weights, check_request, second_output
from jspsr_cli.types import Progress
from jspsr_cli.unfinished import bytes_kept
from jspsr_models import WeightsInfo, load_network
from jspsr_models.files import appearing

JOURNAL = "fetched.json"

# Time of change of whatever is fetched, 2000-01-01. Fetched again, the same bytes must not look younger than the output
# that was made of them. What they are is told by fingerprints and tags.
FETCHED_AT = 946_684_800

# What a report says of a file that was fetched earlier.
EARLIER = {"already_done": True, "bytes_fetched": 0, "seconds": 0.0}


@dataclass(frozen=True, kw_only=True)
class InputsPlan:
    """What `enhance` is to work on; nothing is fetched yet.

    `inputs` are all of them; `info` is what is known of the weights, those that `enhance` chooses where none are named;
    `wanted` the roles among them (dem, canopy) that are fetched; `grid` is that of the
    output, `place` where it lies.
    """

    inputs: Inputs
    wanted: tuple[str, ...]
    output: Path
    weights: Weights
    info: WeightsInfo
    options: EnhanceOptions
    grid: Grid
    place: Place

    @property
    def folder(self) -> Path:
        """Where what is fetched lies."""
        return inputs_folder(self.output)

    def file(self, role: str) -> Path:
        """Where that of `role` lies."""
        return self.folder / SOURCES[role].file_name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `enhance` and `estimate_enhance`."""
        rest = {"output": self.output, "weights": self.weights, "options": self.options}
        return {"dem": self.inputs.dem, **self.inputs.guides, **rest}

    @property
    def outputs(self) -> list[Path]:
        """The files that `enhance` is to write."""
        return [self.output, *second_output(self.options)]

    @property
    def held(self) -> dict[str, dict[str, Any]]:
        """The reports on what of `wanted` lies in the folder, by role."""
        entries = _journal(self)
        found = {role: entries[role]["report"] for role in self.wanted if role in entries}
        return {role: report | {"output": str(self.file(role))} for role, report in found.items()}

    @property
    def missing(self) -> tuple[str, ...]:
        """What of `wanted` is to be fetched."""
        held = self.held
        return tuple(role for role in self.wanted if role not in held)

    @property
    def ahead(self) -> dict[str, Ahead]:
        """What fetching it would take, by role. Raises InputError where there is nothing to fetch."""
        return {role: AHEAD[role](self.place) for role in self.missing}


@dataclass(frozen=True, kw_only=True)
class FetchedInputs:
    """Reports on what was fetched, now or earlier (`already_done`), by role; and what is to be said of it."""

    reports: dict[str, dict[str, Any]]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def inputs_folder(output: Path) -> Path:
    """Where the inputs for `output` lie that are fetched."""
    return output.with_name(output.name + ".inputs")


def plan_inputs(
    dem: str | Path | Sequence[str | Path] = (),
    *,
    weights: Weights = None,
    output: str | Path | None = None,
    image: Sequence[str | Path] = (),
    mask: Sequence[str | Path] = (),
    canopy: Sequence[str | Path] = (),
    options: EnhanceOptions | None = None,
) -> InputsPlan:
    """Settle what is to be fetched for `enhance` with these arguments, and check what can be checked before.

    Raises:
        InputError: neither an input nor an area is given, or what is given cannot work.
        WeightsError: the weights cannot be loaded.
    """
    given, options = inputs_of(dem, image=image, mask=mask, canopy=canopy), options or EnhanceOptions()
    if not (given.paths or options.bounds or options.geometry or options.like):
        raise InvalidOption("There is no place to fetch for: give INPUT, --guide, --bounds, --geometry or --like.")
    output = written_through(Path(output) if output else _default_output(given, options))
    wanted = (*(["dem"] if not given.dem else []), *(["canopy"] if not given.guides else []))
    files = {role: (str(inputs_folder(output) / SOURCES[role].file_name),) for role in wanted}
    inputs = Inputs(dem=files.pop("dem", given.dem), guides={**given.guides, **files})
    with rasterio.Env(**GDAL_OPTIONS):
        check_request(inputs, output, weights, options)
        resolve_device(options.device)
        weights, info = _loaded(weights, inputs, options)
        check_guides(info, inputs.guides)
        grid = grid_asked(given, options, resolution=info.resolution or DEFAULT_RESOLUTION)
        if "canopy" in wanted and not options.like:  # the CRS of its tiles is nobody's choice
            options = replace(options, crs=options.crs or name_of(grid.crs))
        plan = InputsPlan(
            inputs=inputs,
            wanted=wanted,
            output=output,
            weights=weights,
            info=info,
            options=options,
            grid=grid,
            place=place_of(grid, window=options.window or info.window or DEFAULT_WINDOW),
        )
        if plan.missing:
            _check_before_fetching(plan)
    return plan


def fetch_inputs(plan: InputsPlan, *, progress: Progress | None = None) -> FetchedInputs:
    """Fetch what is missing. `progress` is called with the share that is done, 0 to 1.

    Raises:
        JspsrError: with `exit_code` 2 before anything is fetched, 1 after.
    """
    report_share = progress or (lambda _share: None)
    fresh: tuple[str, ...] = ()
    notes: list[str] = []
    if plan.missing:
        with rasterio.Env(**GDAL_OPTIONS), locked(plan.folder, busy=lambda: _busy(plan.output)):
            fresh = plan.missing  # asked again: another process may have been at work until now
            for number, role in enumerate(fresh):
                notes += _fetch(plan, role, _step(report_share, number, len(fresh)))
    report_share(1)
    reports = {role: report if role in fresh else report | EARLIER for role, report in plan.held.items()}
    warnings = [warning for report in reports.values() for warning in report["warnings"]]
    return FetchedInputs(reports=reports, notes=tuple(notes), warnings=tuple(warnings))


def _fetch(plan: InputsPlan, role: str, progress: Progress) -> list[str]:
    """Fetch one file and write down what for; returns what is to be said of it."""
    path = plan.file(role)
    report = SOURCES[role].fetch(path, plan.place, progress)
    try:
        os.utime(path, (FETCHED_AT, FETCHED_AT))
        known = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        entry = {"made_for": _made_for(plan), **known, "report": asdict(report)}
        with appearing(plan.folder / JOURNAL) as part:
            part.write_text(json.dumps(_journal(plan) | {role: entry}, indent=1), "utf-8")
    except OSError as error:
        raise WriteFailed(f"{path} cannot be written: {error.strerror or error}.") from error
    return [report.summary, *report.notes]


def _journal(plan: InputsPlan) -> dict[str, Any]:
    """What was fetched for `plan`, or another of the same place, and is there as it was fetched."""
    try:
        entries = json.loads((plan.folder / JOURNAL).read_text("utf-8"))
        return {
            role: entry
            for role, entry in entries.items()
            if entry["made_for"] == _made_for(plan)
            and entry["bytes"] == plan.file(role).stat().st_size
            and entry["sha256"] == _sha256(plan.file(role))
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # nothing there, or damaged
        return {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _made_for(plan: InputsPlan) -> dict[str, Any]:
    return {"version": __version__, "bounds": list(plan.place.bounds), "buffer": plan.place.buffer}


def _step(progress: Progress, number: int, count: int) -> Progress:
    """Progress of one of `count` steps."""
    return lambda share: progress((number + share) / count)


def _default_output(given: Inputs, options: EnhanceOptions) -> Path:
    named = [*given.paths, *filter(None, [options.geometry, options.like])]
    return Path(f"{Path(short_name(named[0])).stem}_bare_earth.tif" if named else "bare_earth.tif")


def _loaded(weights: Weights, inputs: Inputs, options: EnhanceOptions) -> tuple[Weights, WeightsInfo]:
    """The network itself, if one is named, and what is known of it: what is wrong with it would come too late."""
    if weights is None:  # `enhance` says that it has chosen
        return None, load_network(starter_name(inputs.guides, options))[1]
    loaded = weights if isinstance(weights, tuple) else load_network(weights, resolution=options.resolution)
    return loaded, loaded[1]


def _check_before_fetching(plan: InputsPlan) -> None:
    """Raise what would be raised after something was fetched."""
    output, options = plan.output, plan.options
    _check_datum(plan)
    need = disk_needed(plan)
    check_known(plan.folder, purpose="what is fetched")
    files = plan.outputs
    if options.overwrite or not all(file.exists() for file in files):
        kept = bytes_kept(output)
        check_disk(output, plan.grid, kept=kept, beside=need - disk_bytes(plan.grid, kept=kept))
    for file in files:
        if file.exists() and not options.overwrite and not is_output_of(file, plan.grid, {}, made_of=()):
            raise OutputExists(f"{file} exists and is not what this command makes: see --overwrite.")


def _check_datum(plan: InputsPlan) -> None:
    """Raise what `enhance` would where heights cannot go to the vertical datum asked for."""
    place, wanted = plan.place, plan.options.vertical_crs
    if wanted is None:
        return
    if "dem" in plan.wanted:
        source = parse_datum(f"EPSG:{VERTICAL_EPSG}")
        extent = Extent(WGS84, area_of(place.bounds, None, None, buffer=place.buffer), plan.file("dem").name)
    else:
        dem = open_dem(plan.inputs.dem)
        source, extent = common_datum(dem), extent_of(dem)
    vertical_transform(source, parse_datum(wanted), grid=plan.grid, extent=extent)


def disk_needed(plan: InputsPlan) -> int:
    """Bytes on the disk that fetching what is missing, and then the output, take at most."""
    needed = disk_bytes(plan.grid, kept=bytes_kept(plan.output), files=len(plan.outputs))
    return room_for(plan.ahead.values(), output=needed)


def _busy(output: Path) -> OutputExists:
    return OutputExists(f"Another jspsr fetches for {output}: wait for it, or end it.")
