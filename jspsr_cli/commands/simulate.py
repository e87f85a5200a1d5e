"""`jspsr simulate`: nothing in, a training set with known truth out."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from jspsr_cli import limits, options, params
from jspsr_cli.console import Console, echo_result, harmless


@click.command("simulate")
@click.argument("output", metavar="FOLDER", type=params.Output(folder=True))
@click.option("--scenes", metavar="N", type=click.IntRange(min=1), default=100, show_default=True,
              help="Samples in all. Every tenth is one to validate on.")  # fmt: skip
@click.option("--seed", metavar="N", type=click.IntRange(min=0), default=0, show_default=True,
              help="Another seed gives other scenes; the same one always the same.")  # fmt: skip
@click.option("--resolution", metavar="METRES", type=params.ResolutionType(), default=limits.DEFAULT_RESOLUTION,
              show_default=True, help="Pixel size of the set.")  # fmt: skip
@click.option("--size", metavar="PIXELS", type=click.IntRange(min=limits.SMALLEST_WINDOW),
              show_default="1 km, at least 128", help="Side of a sample.")  # fmt: skip
@click.option("--name", metavar="NAME", default="Simulated", show_default=True,
              help="Name of the folder of these samples in the set.")  # fmt: skip
@click.option("--terrain", metavar="DTM", multiple=True, type=params.RasterPath(),
              help="Terrain model of real ground, over which only what sensors see is simulated.")  # fmt: skip
@click.option("--surface", metavar="DSM", multiple=True, type=params.RasterPath(),
              help="Surface model of the same ground, in the same vertical datum.")  # fmt: skip
@click.option("--canopy", metavar="CHM", multiple=True, type=params.RasterPath(),
              help="Canopy heights there, which tell trees from buildings; an orthophoto needs them.")  # fmt: skip
@click.option("--canopy-map", type=click.Choice(["exact", "trees", "global", "shifted", "empty"]),
              show_default="drawn for each sample",
              help="Canopy maps that are right for all that stands on the ground, right without buildings, wrong as "
              "the global one is, some pixels off, or without anything.")  # fmt: skip
@click.option("--bias/--no-bias", default=True, show_default=True,
              help="Raise or lower the DEM of each sample as a whole by up to 1.5 m.")  # fmt: skip
@click.option("--workers", metavar="N", type=click.IntRange(min=1), default=1, show_default=True,
              help="Processes that make samples.")  # fmt: skip
@options.overwrite
@options.as_json
@options.verbose
@options.quiet
def cli(
    output: Path,
    as_json: bool,
    quiet: bool,
    terrain: tuple[str, ...],
    surface: tuple[str, ...],
    canopy: tuple[str, ...],
    **choices: Any,
) -> None:
    """Make a training set of simulated scenes in FOLDER, in the layout of DFC30.

    Terrain, woods, fields and towns are made up; COP30, FABDEM, canopy maps and orthophotos are as sensors would see
    them. The same command again goes on where it was ended. Beside the samples lie config.yaml for `jspsr train`, and
    scenes.png: look at it.

    \b
    jspsr simulate set --scenes 2000 --workers 4
    jspsr simulate set --name Here --terrain dtm.tif --surface dsm.tif
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.simulate.dataset import simulate
    from jspsr_cli.simulate.request import SimulateOptions

    console = Console(quiet=quiet)
    rasters = {"terrain": terrain, "surface": surface, "canopy": canopy}
    with console.following("jspsr_cli"), console.share("simulating") as progress:
        report = simulate(output, **rasters, options=SimulateOptions(**choices), progress=progress)
    for warning in report.warnings:
        console.warn(warning)
    if as_json:
        echo_result(asdict(report), as_json=True)
    else:
        click.echo(harmless(report.summary))
