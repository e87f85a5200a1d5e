"""`jspsr preview`: rasters as a picture, side by side."""

from dataclasses import asdict
from typing import Any

import click

from jspsr_cli import limits, options, params
from jspsr_cli.console import Console, echo_result, harmless


@click.command("preview")
@click.argument("rasters", metavar="RASTER...", nargs=-1, type=params.RasterPath())
@click.option("-o", "--output", metavar="FILE", type=params.Output(),
              show_default="the first raster's name with .png, in this folder",
              help="PNG to write. It appears when it is complete, and takes the place of an earlier one.")  # fmt: skip
@click.option("--difference", metavar="A B", nargs=2, type=params.RasterPath(),
              help="One panel more: A minus B, red where A is above B. Without RASTER, beside both.")  # fmt: skip
@click.option("--bounds", metavar="WEST,SOUTH,EAST,NORTH", type=params.BoundsType(),
              show_default="all that the rasters share", help="Ground to show: longitude and latitude in degrees "
              "(WGS 84) where all four could be, else in the CRS of the first raster.")  # fmt: skip
@click.option("--size", metavar="PIXELS",
              type=click.IntRange(limits.SMALLEST_PREVIEW_SIZE, limits.LARGEST_PREVIEW_SIZE),
              default=limits.DEFAULT_PREVIEW_SIZE, show_default=True,
              help="Longer side of the picture, at the most.")  # fmt: skip
@options.as_json
@options.verbose
@options.quiet
def cli(rasters: tuple[str, ...], as_json: bool, quiet: bool, **choices: Any) -> None:
    """Draw elevation models side by side: colours by height, shaded by the slope.

    RASTER is heights of one band (elevation models, canopy heights) or a photo of three or more. All are drawn on the
    ground that they share, in the same colours and light, with a scale bar and a legend; voids are striped. It takes
    seconds, however large they are: few pixels are read, from overviews where a raster has some.

    \b
    jspsr preview cop30.tif dem.tif dtm.tif -o heights.png
    jspsr preview --difference dem.tif cop30.tif -o change.png
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli import preview

    console = Console(quiet=quiet)
    with console.following("jspsr_cli"), console.share("drawing") as progress:
        drawn = preview(rasters, progress=progress, **choices)
    for warning in drawn.warnings:
        console.warn(warning)
    if as_json:
        echo_result(asdict(drawn), as_json=True)
    else:
        click.echo(harmless(drawn.summary))
