"""`jspsr enhance`: a global DEM and its guides in, a bare-earth DEM out."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jspsr_cli import options, params
from jspsr_cli.console import Console, echo_result, harmless

if TYPE_CHECKING:
    from jspsr_cli.fetch.inputs import FetchedInputs


def _needed(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if not value and not ctx.params["fetch"]:
        raise click.MissingParameter(ctx=ctx, param=param)
    return value


@click.command("enhance")
@click.argument("dem", metavar="INPUT...", nargs=-1, type=params.RasterPath(), callback=_needed)
@click.option("--guide", "image", metavar="ORTHO", multiple=True, type=params.RasterPath(),
              help="Orthophoto: RGB, or three files of one band each. Repeat for several files.")  # fmt: skip
@click.option("--mask", metavar="LANDUSE", multiple=True, type=params.RasterPath(),
              help="Land use: DFC2022 classes, Urban Atlas 2012 codes or 15 one-hot bands.")  # fmt: skip
@click.option("--canopy", metavar="CHM", multiple=True, type=params.RasterPath(),
              help="Canopy height in metres.")  # fmt: skip
@click.option("--fetch", is_flag=True, is_eager=True,  # known before INPUT is looked at
              help="Fetch what is not given: Copernicus GLO-30 for INPUT, canopy heights where there is no guide. It "
              "is kept in OUTPUT.inputs. JSPSR_COPERNICUS_URL and JSPSR_CANOPY_URL name mirrors.")  # fmt: skip
@options.output
@options.weights
@options.resolution
@options.crs
@options.vertical_crs
@options.bounds
@options.like
@options.geometry
@click.option("--guide-bands", metavar="R,G,B", type=params.BandsType(),
              help="Bands of red, green and blue.  [default: by colour, else 1,2,3]")  # fmt: skip
@click.option("--stretch", metavar="LO,HI", type=params.StretchType(),
              help="Guide values that become 0 and 255.  [default: of the whole, if it is not 8 bit]")  # fmt: skip
@click.option("--guide-gaps", type=click.Choice(["nodata", "dem"]), default="nodata", show_default=True,
              help="What the output has where a guide has no data: nothing, or the upsampled DEM.")  # fmt: skip
@click.option("--water", type=click.Choice(["keep", "network"]), default="keep", show_default=True,
              help="Keep water that is exactly flat in the DEM, or let the network have it.")  # fmt: skip
@click.option("--uncertainty", metavar="FILE", type=params.Output(),
              help="Second GeoTIFF to write: the standard error (1 sigma) of each height in metres, from predictions "
              "of flipped and turned windows. The network takes 8 times as long; heights stay the same.")  # fmt: skip
@options.window
@options.overlap
@options.batch_size
@options.device
@options.precision
@click.option("--preview", is_flag=True,
              help="Draw the DEM before and after, and the change, beside OUTPUT, as PNG.")  # fmt: skip
@options.overwrite
@options.restart
@options.dry_run
@options.as_json
@options.verbose
@options.quiet
def cli(
    dem: tuple[str, ...],
    image: tuple[str, ...],
    mask: tuple[str, ...],
    canopy: tuple[str, ...],
    fetch: bool,
    output: Path | None,
    weights: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Make a bare-earth DEM of a 30 m DEM and a guide.

    INPUT is a DEM that GDAL reads (Copernicus GLO-30, FABDEM, ...); several tiles are one DEM. At least one of
    --guide, --mask and --canopy is needed, those that the weights were trained with. With --fetch, a guide or an
    area is enough. Without --weights, those that come with jspsr and fit the guides and the resolution are used.

    \b
    jspsr enhance cop30.tif --canopy chm.tif -o dem.tif
    jspsr enhance cop30.tif --guide ortho.tif -o dem.tif
    jspsr enhance --fetch --guide ortho.tif -o dem.tif
    jspsr enhance --fetch --bounds 11.05,46.05,11.15,46.12 -o dem.tif
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli import EnhanceOptions, enhance, estimate_enhance
    from jspsr_cli.fetch.estimate import estimate_fetch
    from jspsr_cli.fetch.inputs import fetch_inputs, plan_inputs

    console = Console(quiet=quiet)
    asked: dict[str, Any] = {"dem": dem, "image": image, "mask": mask, "canopy": canopy}
    asked |= {"output": output, "weights": weights, "options": EnhanceOptions(**choices)}
    report: Any
    fetched: dict[str, Any] = {}
    with console.following("jspsr_cli"):
        plan = plan_inputs(**asked) if fetch else None
        asked = plan.arguments if plan else asked
        if dry_run:
            report = estimate_fetch(plan) if plan and plan.missing else estimate_enhance(**asked)
        else:
            with console.shares(*["fetching"] * fetch, "enhancing") as bars:
                if plan:
                    fetched = _said(fetch_inputs(plan, progress=bars[0]), console)
                report = enhance(**asked, progress=bars[-1])
    if weights is None:
        console.notice(f"jspsr: {report.weights} is used, as no --weights are given: trained on {report.trained_on}")
    for warning in report.warnings:
        console.warn(warning)
    result = asdict(report) | ({"fetched": fetched} if fetch and not dry_run else {})
    if not as_json:
        del result["warnings"]  # said above, on stderr
    if as_json or dry_run:
        echo_result(result, as_json=as_json)
    else:
        click.echo(harmless(report.summary))


def _said(fetched: "FetchedInputs", console: Console) -> dict[str, Any]:
    """Say what was fetched, and return the reports on it."""
    for note in fetched.notes:
        console.notice(f"jspsr: {note}")
    for warning in fetched.warnings:
        console.warn(warning)
    return fetched.reports
