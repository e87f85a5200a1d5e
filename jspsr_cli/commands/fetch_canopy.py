"""`jspsr fetch-canopy`: an area in, its canopy heights out."""

from pathlib import Path
from typing import Any

import click

from jspsr_cli import limits, options, params
from jspsr_cli.console import Console, echo_fetched
from jspsr_cli.negative import NegativeNumbersCommand


@click.command("fetch-canopy", cls=NegativeNumbersCommand)
@options.bounds_argument
@options.fetched_like
@options.fetched_geometry
@options.buffer
@options.fetched_to("canopy.tif")
@click.option("--resolution", metavar="METRES", type=params.ResolutionType(), show_default=True,
              default=limits.DEFAULT_CANOPY_RESOLUTION, help="Pixels of about this width on the ground, each the mean "
              "of a whole number of pixels of the map.")  # fmt: skip
@options.source("JSPSR_CANOPY_URL", "the public bucket")
@options.cache_size
@click.option("--refresh", is_flag=True, help="Look anew for tiles that were missing.")
@options.overwrite
@options.as_json
@options.verbose
@options.quiet
def cli(bounds: Any, like: str | None, geometry: str | None, output: Path, as_json: bool, quiet: bool, **choices: Any,
) -> None:  # fmt: skip
    """Fetch the canopy heights of an area: the global map of Meta and WRI, version 1.

    The output is what enhance takes as --canopy: metres above the ground, means of the map's pixels of about 1 m, in
    web mercator as the map is. It has no data where the map has no tile. The area is a box in degrees, the ground of a
    raster or the box around polygons. Only the bytes that are needed are fetched, each once. The same command again
    does nothing.

    \b
    jspsr fetch-canopy --like cop30.tif -o canopy.tif
    jspsr fetch-canopy -118.05 33.95 -117.95 34.05 --resolution 2
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.fetch.canopy import fetch_canopy
    from jspsr_cli.fetch.request import CanopyOptions

    console = Console(quiet=quiet)
    area = {"bounds": bounds, "like": like, "geometry": geometry}
    with console.following("jspsr_cli"), console.share("fetching") as progress:
        report = fetch_canopy(output, **area, options=CanopyOptions(**choices), progress=progress)
    echo_fetched(report, console, as_json=as_json)
