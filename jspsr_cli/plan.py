"""Everything that is decided, and checked, before the first pixel is worked on."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from jspsr_cli.checks import before_work, check_pixels
from jspsr_cli.errors import GuideMismatch, InvalidOption
from jspsr_cli.guides import GUIDES
from jspsr_cli.limits import DEFAULT_RESOLUTION, DEFAULT_WINDOW, RESOLUTION_SLACK
from jspsr_cli.predict import Predictor, WindowPredictor, default_batch, resolve_device
from jspsr_cli.provenance import SIMULATED_NOTICE, input_tags, option_tags, vertical_tags, weights_tags
from jspsr_cli.raster.boxes import unite, unite_lonlat
from jspsr_cli.raster.grid import MAX_SCALE_ERROR, WGS84, Extent, ground_scale, name_of, project_bounds
from jspsr_cli.raster.inputs import image_stretch, open_dem
from jspsr_cli.raster.products import common_datum, several_datums
from jspsr_cli.raster.reader import RasterReader
from jspsr_cli.raster.sources import RasterFile, inspect_raster, short_name
from jspsr_cli.raster.target import Target, TargetRequest, target_of, uncovered
from jspsr_cli.raster.vertical import VerticalTransform, parse_datum, vertical_transform
from jspsr_cli.raster.writer import Output, check_disk, written_through
from jspsr_cli.request import EnhanceOptions, Inputs, Weights, check_distinct, check_request, second_output
from jspsr_cli.scaling import HeightScale
from jspsr_cli.spread import PLANES, Uncertainty, uncertainty_of
from jspsr_cli.tiling.windows import Lattice
from jspsr_cli.unfinished import bytes_kept
from jspsr_models import WeightsInfo, default_height_range, load_network
from jspsr_models.weights import starter_for

log = logging.getLogger(__name__)

# An area drawn by hand reaches a little beyond the data; more than this share is a mistake, or a tile that is missing.
UNCOVERED = 0.01


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run of `enhance` in which everything is decided and nothing is done."""

    dem: tuple[RasterFile, ...]
    guides: dict[str, tuple[RasterFile, ...]]
    output: Path
    predictor: WindowPredictor
    weights: WeightsInfo
    target: Target
    vertical: VerticalTransform | None
    lattice: Lattice
    device: torch.device
    batch_size: int
    stretch: tuple[float, float] | None
    options: EnhanceOptions
    tags: dict[str, str]
    uncertainty: Uncertainty | None
    warnings: tuple[str, ...]

    @property
    def local_files(self) -> list[str]:
        """Files whose change changes the output."""
        return _local_files(self.dem, self.guides, self.options)

    @property
    def planes(self) -> tuple[int, ...]:
        """What windows have in front of rows and columns when they are blended."""
        return (PLANES,) if self.uncertainty else ()

    @property
    def outputs(self) -> list[Output]:
        """The files to write, that of the heights first."""
        heights = Output(self.output, self.tags)
        return [heights, self.uncertainty.output(self.tags)] if self.uncertainty else [heights]

    def made(self) -> list[Output]:
        """The outputs that exist, were made by this very plan, and are younger than its inputs."""
        return [output for output in self.outputs if output.is_there(self.target.grid, made_of=self.local_files)]


def plan_enhance(inputs: Inputs, *, output: Path | None, weights: Weights, options: EnhanceOptions) -> Plan:
    """Open all inputs, load the weights and settle the grid.

    Raises:
        InputError: anything that cannot work, see `jspsr_cli.errors`.
        WeightsError: the weights cannot be loaded.
    """
    output = written_through(output or Path(f"{Path(short_name(inputs.dem[0])).stem}_bare_earth.tif"))
    check_request(inputs, output, weights, options)
    files = [output, *second_output(options)]
    dem, guides = _opened(inputs, files, options)
    network, info = _load(starter_name(guides, options) if weights is None else weights, options)
    check_guides(info, guides)
    target = _target(dem, guides, info, options)
    # Before pixels are looked at: a box by mistake is the size of the world.
    if options.overwrite or not all(file.exists() for file in files):
        check_disk(output, target.grid, kept=bytes_kept(output), files=len(files))
    vertical = _vertical(dem, target, options)
    lattice = Lattice.of_share(options.window or info.window or DEFAULT_WINDOW, options.overlap)
    device = resolve_device(options.device)
    predictor = WindowPredictor(network, scale=_scale(info, target), device=device, precision=options.precision)
    stretch, doubts, inherited = _looked_at(dem, guides, target, options)
    chosen = _option_tags(target, vertical, lattice, stretch, predictor, options)
    uncertainty = [uncertainty_of(file, info, dem=dem, grid=target.grid, lattice=lattice) for file in files[1:]]
    return Plan(
        dem=dem,
        guides=guides,
        output=output,
        predictor=predictor,
        weights=info,
        target=target,
        vertical=vertical,
        lattice=lattice,
        device=device,
        batch_size=options.batch_size or default_batch(device, lattice.size),
        stretch=stretch,
        options=options,
        tags={**weights_tags(info), **inherited, **vertical_tags(dem, vertical), **chosen},
        uncertainty=uncertainty[0] if uncertainty else None,
        warnings=(
            *several_datums(dem),
            *_warnings(info, target, stretch, options),
            *(warning for second in uncertainty for warning in second.warnings),
            *_cover_warnings(target, dem, guides, options),
            *doubts,
        ),
    )


def _opened(
    inputs: Inputs, outputs: Iterable[Path], options: EnhanceOptions
) -> tuple[tuple[RasterFile, ...], dict[str, tuple[RasterFile, ...]]]:
    """The DEM and the guides. Raises InputError, also where one of `outputs` is part of one of them."""
    dem = open_dem(inputs.dem)
    guides = {name: GUIDES[name].open(paths, options.guide_bands) for name, paths in inputs.guides.items()}
    for output in outputs:
        check_distinct(output, _local_files(dem, guides, options))
    return dem, guides


def _looked_at(
    dem: tuple[RasterFile, ...], guides: dict[str, tuple[RasterFile, ...]], target: Target, options: EnhanceOptions
) -> tuple[tuple[float, float] | None, list[str], dict[str, str]]:
    """What pixels tell: the stretch of an orthophoto, doubts, and the tags that say what the inputs are."""
    with before_work(), RasterReader() as reader:
        stretch = options.stretch or (image_stretch(guides["image"], reader) if "image" in guides else None)
        doubts = check_pixels(dem, guides, target.grid, reader=reader, stretch=stretch)
        return stretch, doubts, input_tags(dem, guides, reader=reader)


def _local_files(
    dem: tuple[RasterFile, ...], guides: dict[str, tuple[RasterFile, ...]], options: EnhanceOptions
) -> list[str]:
    """Files whose change changes the output."""
    rasters = (*dem, *(file for group in guides.values() for file in group))
    return [*(path for file in rasters for path in file.local_files), *filter(None, [options.geometry])]


def _option_tags(
    target: Target,
    vertical: VerticalTransform | None,
    lattice: Lattice,
    stretch: tuple[float, float] | None,
    predictor: WindowPredictor,
    options: EnhanceOptions,
) -> dict[str, str]:
    """What was chosen, or came of `auto`, and decides the heights."""
    return option_tags(
        resolution=target.grid.resolution[0],
        vertical_crs=vertical and vertical.target.tag,
        window=lattice.size,
        overlap=lattice.overlap,
        stretch=stretch,
        geometry=target.area and target.area.digest,
        guide_bands=options.guide_bands,
        guide_gaps=options.guide_gaps,
        water=options.water,
        precision=predictor.precision,
    )


def starter_name(guides: Collection[str], options: EnhanceOptions) -> str:
    """Name of the weights in the package that fit kinds of guides and resolution best.

    Raises:
        InvalidOption: there are none for these guides.
    """
    like = abs(inspect_raster(options.like).transform.a) if options.like else None
    entry = starter_for(guides, options.resolution or like or DEFAULT_RESOLUTION)
    if entry is None:
        given = " and ".join(GUIDES[name].option for name in GUIDES if name in guides)
        raise InvalidOption(
            f"No weights for {given} come with jspsr: name some with --weights; 'jspsr weights list' shows which exist."
        )
    return entry.info.name


def _load(
    weights: str | Path | tuple[Predictor, WeightsInfo], options: EnhanceOptions
) -> tuple[Predictor, WeightsInfo]:
    if isinstance(weights, tuple):
        return weights
    return load_network(weights, resolution=options.resolution)


def _scale(info: WeightsInfo, target: Target) -> HeightScale:
    low, high = info.height_range or default_height_range(info.resolution or target.grid.resolution[0])
    return HeightScale(low, high)


def check_guides(info: WeightsInfo, guides: Iterable[str]) -> None:
    """Raise GuideMismatch where the kinds `guides` are not those that the weights were trained with."""
    guides = set(guides)
    if set(info.inputs) != guides:
        wanted, given = (
            " and ".join(GUIDES[name].option for name in GUIDES if name in g) for g in (info.inputs, guides)
        )
        raise GuideMismatch(
            f"The weights {info.name} were trained with {wanted}, not with {given}: give what they want, or choose "
            "other weights."
        )


def _target(
    dem: tuple[RasterFile, ...],
    guides: dict[str, tuple[RasterFile, ...]],
    info: WeightsInfo,
    options: EnhanceOptions,
) -> Target:
    resolution = options.resolution or info.resolution or DEFAULT_RESOLUTION
    request = TargetRequest(resolution, options.crs, options.bounds, options.like, options.geometry)
    extents = {name: extent_of(guides[name]) for name in GUIDES if name in guides}
    leading = next(iter(extents.values()))
    target = target_of(request, [extent_of(dem), *extents.values()], guide=leading)
    grid = target.grid
    log.info("grid: %d x %d pixels of %g m in %s", grid.width, grid.height, grid.resolution[0], name_of(grid.crs))
    log.info("weights: %s, trained on %s", info.name, info.trained_on)
    return target


def _vertical(dem: tuple[RasterFile, ...], target: Target, options: EnhanceOptions) -> VerticalTransform | None:
    if options.vertical_crs is None:
        return None
    wanted = parse_datum(options.vertical_crs)
    return vertical_transform(common_datum(dem), wanted, grid=target.grid, extent=extent_of(dem))


def extent_of(files: Sequence[RasterFile]) -> Extent:
    """One box around all `files`, in the CRS of the first."""
    first = files[0]
    if len(files) == 1:
        return first.extent
    boxes = [project_bounds(file.bounds, file.crs, first.crs) for file in files]
    around = unite_lonlat if first.crs.is_geographic else unite
    return Extent(first.crs, around(boxes), f"{first.name} and {len(files) - 1} more")


def _warnings(
    info: WeightsInfo, target: Target, stretch: tuple[float, float] | None, options: EnhanceOptions
) -> list[str]:
    grid = target.grid
    found = []
    if info.simulated:
        found.append(SIMULATED_NOTICE)
    if info.resolution and abs(grid.resolution[0] / info.resolution - 1) > RESOLUTION_SLACK:
        found.append(
            f"{info.name} was trained at {info.resolution:g} m and the output has {grid.resolution[0]:g} m: "
            "expect less accuracy than at that"
        )
    west, south, east, north = project_bounds(grid.bounds, grid.crs, WGS84)
    scale = ground_scale(grid.crs, ((west + east) / 2, (south + north) / 2))
    if abs(scale - 1) > MAX_SCALE_ERROR:
        found.append(
            f"in {name_of(grid.crs)} a pixel of {grid.resolution[0]:g} m is {grid.resolution[0] / scale:.2f} m on the "
            "ground here: leave --crs away for the local UTM zone"
        )
    if stretch and not options.stretch:
        found.append(
            f"the guide is not 8 bit: its values {stretch[0]:g} to {stretch[1]:g} (2nd and 98th percentile of the "
            "whole) became 0 to 255; choose others with --stretch LO,HI"
        )
    return found


def _cover_warnings(
    target: Target, dem: tuple[RasterFile, ...], guides: dict[str, tuple[RasterFile, ...]], options: EnhanceOptions
) -> list[str]:
    """What an area that was asked for has beyond the inputs; without one it is what they share."""
    if not (options.bounds or options.geometry or options.like):
        return []
    shares = {extent_of(files).name: uncovered(target, files) for files in (dem, *guides.values())}
    return [
        f"{_percent(share)} of the area asked for lies off {name}: check --bounds, --geometry or --like"
        for name, share in shares.items()
        if share > UNCOVERED
    ]


def _percent(share: float) -> str:
    return "over 99%" if share > 0.995 else f"{share:.0%}"  # 100% would be all of it
