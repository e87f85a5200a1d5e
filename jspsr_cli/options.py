"""Options that several commands share, as decorators. Each is written once, with its help.

    -o, --output  --overwrite  --restart  --dry-run  --json     what is written where
    --resolution --crs --bounds --like --geometry               the target grid
    --like --geometry (fetched_...) --buffer --source --cache-size   what is fetched, and from where
    --vertical-crs                                              what heights are counted from
    --window --overlap --batch-size --device --precision        how the network runs
    --weights                                                   which network
    CONFIG, --data-root                                         what to train and validate on
    -v, --verbose      -q, --quiet                              how much is said

A command takes what it needs (`@options.output`) and gets keyword arguments of these names.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from jspsr_cli import limits, params
from jspsr_cli.console import VERBOSITY

Command = TypeVar("Command", bound=Callable[..., Any])


def _note_verbosity(ctx: click.Context, _param: click.Parameter, value: int) -> int:
    ctx.meta[VERBOSITY] = value
    return value


output = click.option(
    "-o",
    "--output",
    type=params.Output(),
    show_default="the first input's name with _bare_earth, in this folder",
    metavar="FILE",
    help="GeoTIFF to write. It appears when it is complete.",
)

overwrite = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")

restart = click.option(
    "--restart", is_flag=True, help="Discard unfinished work of an earlier run instead of going on with it."
)

dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Check everything, say what the work would need (windows, memory, disk, time after a short trial), and write "
    "nothing.",
)

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Write the result as JSON, for programs, instead of text."
)

resolution = click.option(
    "--resolution",
    type=params.ResolutionType(),
    show_default=f"that of the weights, else {limits.DEFAULT_RESOLUTION:g}",
    metavar="METRES",
    help="Pixel size of the output in metres.",
)

crs = click.option(
    "--crs",
    type=params.CrsType(),
    metavar="CRS",
    show_default="that of the guide if it is in metres, else the local UTM zone",
    help="Coordinate reference system of the output, projected, in metres: EPSG:32631, a PROJ string or WKT.",
)

vertical_crs = click.option(
    "--vertical-crs",
    type=params.VerticalCrsType(),
    metavar="CRS",
    show_default="that of the input",
    help="What the heights of the output are counted from, in metres: EPSG:5773, EPSG:4326+5773, WKT, or 'ellipsoid' "
    "for WGS 84. PROJ's grids must be there.",
)

bounds = click.option(
    "--bounds",
    type=params.BoundsType(),
    metavar="WEST,SOUTH,EAST,NORTH",
    show_default="all of the input",
    help="Area to work on. Numbers within ±360 and ±90 are longitude and latitude in degrees (WGS 84), others are "
    "coordinates in the CRS of the output. Across the antimeridian: 179.5,-17,-179.5,-16 or 179.5,-17,180.5,-16.",
)

bounds_argument = click.argument(
    "bounds", nargs=-1, required=False, metavar="[WEST SOUTH EAST NORTH]", callback=params.join_bounds
)

like = click.option(
    "--like",
    type=params.RasterPath(),
    metavar="RASTER",
    help="Use exactly the grid of this raster: its CRS, pixel size, position and extent.",
)

geometry = click.option(
    "--geometry",
    type=params.RasterPath(),
    metavar="VECTOR",
    help="Work only within the polygons of this file (GeoPackage, Shapefile, GeoJSON, ...).",
)

fetched_like = click.option(
    "--like", metavar="RASTER", type=params.RasterPath(), help="Fetch the ground of this raster."
)

fetched_geometry = click.option(
    "--geometry",
    metavar="VECTOR",
    type=params.RasterPath(),
    help="Fetch the box around the polygons of this file.",
)

buffer = click.option(
    "--buffer",
    metavar="METRES",
    type=click.FloatRange(0, max_open=True),
    default=limits.DEFAULT_BUFFER,
    show_default=True,
    help="Ground around the area that is fetched too: what the network sees beyond the edge of its output.",
)

cache_size = click.option(
    "--cache-size",
    metavar="GB",
    type=click.FloatRange(0, max_open=True),
    default=limits.DEFAULT_CACHE_SIZE,
    show_default=True,
    help="How much of what was fetched is kept for other runs.",
)


def fetched_to(name: str) -> Callable[[Command], Command]:
    """-o of a command that fetches, `name` where it is not given."""
    return click.option(
        "-o",
        "--output",
        metavar="FILE",
        type=params.Output(),
        default=name,
        show_default=True,
        help="GeoTIFF to write. It appears when it is complete.",
    )


def source(variable: str, public: str, *, more: str = "") -> Callable[[Command], Command]:
    """--source of a command that fetches from the `public` place unless the environment says otherwise."""
    return click.option(
        "--source",
        metavar="URL",
        show_default=f"{variable}, else {public}",
        help=f"A mirror: http(s), s3:// (public), file:// or a folder.{more}",
    )


window = click.option(
    "--window",
    type=params.WindowType(),
    metavar="PIXELS",
    show_default=f"what the weights were made for, else {limits.DEFAULT_WINDOW}",
    help=f"Side of the square that the network sees at once, a multiple of {limits.WINDOW_STEP} from "
    f"{limits.SMALLEST_WINDOW} to {limits.LARGEST_WINDOW}. Larger needs more memory.",
)

overlap = click.option(
    "--overlap",
    type=params.OverlapType(),
    default=limits.DEFAULT_OVERLAP,
    show_default=True,
    metavar="FRACTION",
    help="Share of a window that overlaps with its neighbour, 16 pixels at least. More is smoother and slower.",
)

batch_size = click.option(
    "--batch-size",
    type=click.IntRange(min=1, max=65_536),
    metavar="N",
    show_default="by the device",
    help="Windows per pass of the network. Lower it if memory does not suffice; the result stays the same.",
)

device = click.option(
    "--device",
    type=params.DeviceType(),
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="Where the network runs: auto (a GPU if there is one), cpu, cuda, cuda:N or mps.",
)

precision = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Arithmetic of the network. Heights themselves are always float32.",
)


def _weights_option(*, required: bool) -> Callable[[Command], Command]:
    return click.option(
        "--weights",
        required=required,
        metavar="NAME|FILE",
        show_default=not required and "those of jspsr that fit the guides and the resolution",
        help="Trained network: a name that 'jspsr weights list' shows, or a .safetensors or .pt file.",
    )


weights = _weights_option(required=False)

required_weights = _weights_option(required=True)

training_file = click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))

data_root = click.option(
    "--data-root",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    show_default="that of CONFIG",
    help="Folder that holds the training set (DFC30_8m, ...).",
)

verbose = click.option(
    "-v",
    "--verbose",
    count=True,
    is_eager=True,  # known before another value fails
    callback=_note_verbosity,
    expose_value=False,  # `Console` finds it in the context, as the handler of errors does
    help="Say more; -vv also shows where in the program an unexpected error arose.",
)

quiet = click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")
