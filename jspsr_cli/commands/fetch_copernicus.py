"""`jspsr fetch-copernicus`: an area in, its Copernicus GLO-30 out."""

from pathlib import Path
from typing import Any

import click

from jspsr_cli import options, params
from jspsr_cli.console import Console, echo_fetched
from jspsr_cli.negative import NegativeNumbersCommand


@click.command("fetch-copernicus", cls=NegativeNumbersCommand)
@options.bounds_argument
@options.fetched_like
@options.fetched_geometry
@options.buffer
@options.fetched_to("cop30.tif")
@click.option("--crs", metavar="CRS", type=params.CrsType(), show_default="longitude and latitude, as published",
              help="Resample to this projected CRS, at 30 m.")  # fmt: skip
@click.option("--compound-crs", is_flag=True, help="Write EGM2008 heights into the CRS too, as EPSG:4326+3855.")
@click.option("--sea", type=click.Choice(["0", "nodata"]), default="0", show_default=True,
              help="What the output has where there is no tile, which is sea.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Refuse an area in Armenia or Azerbaijan where only GLO-90 is public.")
@options.source(
    "JSPSR_COPERNICUS_URL",
    "the public bucket",
    more=" GLO-90 is looked for there too, with 90m for 30m in the address.",
)
@options.cache_size
@click.option("--refresh", is_flag=True, help="Fetch the list of tiles anew, and keep it.")
@options.overwrite
@options.as_json
@options.verbose
@options.quiet
def cli(bounds: Any, like: str | None, geometry: str | None, output: Path, as_json: bool, quiet: bool, **choices: Any,
) -> None:  # fmt: skip
    """Fetch the 30 m DEM of an area: Copernicus GLO-30.

    The area is a box in degrees, the ground of a raster or the box around polygons. Only the bytes that are needed are
    fetched, each once. Pixels are those of the tiles, without seam or shift; the sea is 0. The same command again does
    nothing.

    \b
    jspsr fetch-copernicus --like ortho.tif -o cop30.tif
    jspsr fetch-copernicus -118.05 33.95 -117.95 34.05
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.fetch.copernicus import fetch_copernicus
    from jspsr_cli.fetch.request import FetchOptions

    console = Console(quiet=quiet)
    area = {"bounds": bounds, "like": like, "geometry": geometry}
    with console.following("jspsr_cli"), console.share("fetching") as progress:
        report = fetch_copernicus(output, **area, options=FetchOptions(**choices), progress=progress)
    echo_fetched(report, console, as_json=as_json)
