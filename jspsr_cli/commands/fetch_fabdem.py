"""`jspsr fetch-fabdem`: an area in, its FABDEM out."""

from pathlib import Path
from typing import Any

import click

from jspsr_cli import options
from jspsr_cli.console import Console, echo_fetched
from jspsr_cli.negative import NegativeNumbersCommand


@click.command("fetch-fabdem", cls=NegativeNumbersCommand)
@options.bounds_argument
@options.fetched_like
@options.fetched_geometry
@options.buffer
@options.fetched_to("fabdem.tif")
@click.option("--sea", type=click.Choice(["0", "nodata"]), default="nodata", show_default=True,
              help="What the output has at sea: no data, as FABDEM itself has, or 0 wherever FABDEM has no data and "
              "where its missing tiles are sea.")  # fmt: skip
@options.source("JSPSR_FABDEM_URL", "data.bris.ac.uk", more=" It holds the zip files of 10 by 10 degrees.")
@options.cache_size
@click.option("--refresh", is_flag=True, help="Look anew which tiles there are.")
@options.overwrite
@options.as_json
@options.verbose
@options.quiet
def cli(bounds: Any, like: str | None, geometry: str | None, output: Path, as_json: bool, quiet: bool, **choices: Any,
) -> None:  # fmt: skip
    """Fetch the 30 m bare-earth DEM of an area: FABDEM V1-2.

    FABDEM is Copernicus GLO-30 without most of its forests and buildings, from 60 S to 80 N, licensed CC BY-NC-SA 4.0:
    not for commercial use, and what is derived from it inherits that. The area is a box in degrees, the ground of a
    raster or the box around polygons. Only the bytes that are needed are fetched, each once. Pixels are those of the
    tiles, without seam or shift. The same command again does nothing.

    \b
    jspsr fetch-fabdem --like ortho.tif -o fabdem.tif
    jspsr fetch-fabdem -118.05 33.95 -117.95 34.05
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.fetch.fabdem import fetch_fabdem
    from jspsr_cli.fetch.request import FabdemOptions

    console = Console(quiet=quiet)
    area = {"bounds": bounds, "like": like, "geometry": geometry}
    with console.following("jspsr_cli"), console.share("fetching") as progress:
        report = fetch_fabdem(output, **area, options=FabdemOptions(**choices), progress=progress)
    echo_fetched(report, console, as_json=as_json)
