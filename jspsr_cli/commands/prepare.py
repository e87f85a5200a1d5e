"""`jspsr prepare`: terrain models, DEMs and guides in, a training set out."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from jspsr_cli import limits, options, params
from jspsr_cli.console import Console, echo_result, harmless

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("prepare")
@click.argument("source", required=False, type=FOLDER)
@click.option("--terrain", metavar="DTM", multiple=True, type=params.RasterPath(),
              help="Terrain model in metres, the truth. Repeat for several files, as all inputs.")  # fmt: skip
@click.option("--dem", metavar="COP30", multiple=True, type=params.RasterPath(),
              help="The DEM that the network will start from.")  # fmt: skip
@click.option("--fabdem", metavar="FABDEM", multiple=True, type=params.RasterPath(),
              help="FABDEM, in place of --dem or beside it.")  # fmt: skip
@click.option("--guide", "image", metavar="ORTHO", multiple=True, type=params.RasterPath(), help="Orthophoto.")
@click.option("--mask", metavar="LANDUSE", multiple=True, type=params.RasterPath(), help="Land use.")
@click.option("--canopy", metavar="CHM", multiple=True, type=params.RasterPath(), help="Canopy height in metres.")
@click.option("-o", "--output", metavar="FOLDER", required=True, type=params.Output(folder=True),
              help="Folder of the set. Another place is added to those that it has.")  # fmt: skip
@click.option("--name", metavar="NAME", show_default="that of the terrain or of SOURCE", help="Name of the place.")
@click.option("--resolution", metavar="METRES", type=params.ResolutionType(), default=limits.DEFAULT_RESOLUTION,
              show_default=True, help="Pixel size of the set.")  # fmt: skip
@click.option("--size", metavar="PIXELS", type=click.IntRange(min=limits.SMALLEST_WINDOW),
              show_default="1 km, at least 128", help="Side of a sample.")  # fmt: skip
@click.option("--crs", metavar="CRS", type=params.CrsType(),
              show_default="that of the terrain if it is in metres, else the local UTM zone",
              help="Coordinate reference system of the samples, projected, in metres.")  # fmt: skip
@options.bounds
@click.option("--guide-bands", metavar="R,G,B", type=params.BandsType(),
              help="Bands of red, green and blue.  [default: by colour, else 1,2,3]")  # fmt: skip
@click.option("--stretch", metavar="LO,HI", type=params.StretchType(),
              help="Guide values that become 0 and 255.  [default: of the whole, if it is not 8 bit]")  # fmt: skip
@click.option("--voids", metavar="SHARE", type=click.FloatRange(0, 1, max_open=True), default=0.0, show_default=True,
              help="Leave samples out with more voids than this in a layer.")  # fmt: skip
@click.option("--valid-share", metavar="SHARE", type=click.FloatRange(0, 1),
              show_default="0.2, or the paper's cities in SOURCE",
              help="Share of the samples to validate on, in one piece; 1: do not train on the place.")  # fmt: skip
@click.option("--match-datum", is_flag=True, help="Take the heights of the terrain to the vertical datum of the DEM.")
@click.option("--terrain-datum", metavar="CRS", type=params.VerticalCrsType(), show_default="as the terrain says",
              help="What the heights of the terrain are counted from, such as EPSG:5720.")  # fmt: skip
@click.option("--simulated", is_flag=True, help="The DEM is simulated, which weights trained on it will say.")
@click.option("--restart", is_flag=True, help="Throw away what the folder holds of this place.")
@options.as_json
@options.verbose
@options.quiet
def cli(
    source: Path | None,
    output: Path,
    as_json: bool,
    quiet: bool,
    terrain: tuple[str, ...],
    dem: tuple[str, ...],
    fabdem: tuple[str, ...],
    image: tuple[str, ...],
    mask: tuple[str, ...],
    canopy: tuple[str, ...],
    **choices: Any,
) -> None:
    """Make a training set of your own rasters, or of SOURCE, a folder like DFC30_source.

    Samples with voids, flat water or ground that changed between the surveys are left out, counted, and listed in
    left_out.csv. The same command again goes on where it was ended. Beside the samples lie config.yaml for `jspsr
    train`, and summary.html.

    \b
    jspsr prepare --terrain dtm.tif --dem cop30.tif --guide ortho.tif -o set --name Place
    jspsr prepare data/DFC30_source -o data
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.training.prepare import prepare
    from jspsr_cli.training.request import PrepareOptions

    console = Console(quiet=quiet)
    rasters = {"terrain": terrain, "dem": dem, "fabdem": fabdem, "image": image, "mask": mask, "canopy": canopy}
    with console.following("jspsr_cli"), console.share("preparing") as progress:
        report = prepare(
            output,
            source=source,
            **rasters,
            options=PrepareOptions(**choices),
            progress=progress,
            on_warning=console.warn,
        )
    if as_json:
        echo_result(asdict(report), as_json=True)
    else:
        click.echo(harmless(report.summary))
