"""`jspsr evaluate`: how good an elevation model is, against a terrain model that is taken for the truth."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from jspsr_cli import limits, options, params
from jspsr_cli.console import Console, echo_result, harmless


@click.command("evaluate")
@click.argument("prediction", metavar="PREDICTION...", nargs=-1, required=True, type=params.RasterPath())
@click.option("--reference", metavar="DTM", multiple=True, required=True, type=params.RasterPath(),
              help="Terrain model that is taken for the truth. Repeat for several tiles.")  # fmt: skip
@click.option("--baseline", "baselines", metavar="DEM", multiple=True, type=params.RasterPath(),
              help="Another elevation model to set beside it, such as COP30. Repeat for others.")  # fmt: skip
@click.option("--classes", metavar="LANDUSE", multiple=True, type=params.RasterPath(),
              help="Tell land use apart: DFC2022 classes, Urban Atlas 2012 codes or 15 one-hot bands.")  # fmt: skip
@click.option("--canopy", metavar="CHM", multiple=True, type=params.RasterPath(),
              help="Tell canopy heights apart, in metres.")  # fmt: skip
@click.option("--block", metavar="METRES", type=click.FloatRange(min=0, min_open=True), default=limits.DEFAULT_BLOCK,
              show_default=True, help="Side of the blocks of ground that are drawn for the intervals.")  # fmt: skip
@click.option("--per-sample", is_flag=True,
              help="Add the paper's protocol: samples of 128 pixels of the prediction, PSNR and SSIM.")  # fmt: skip
@click.option("--coregister", is_flag=True,
              help="Take the offset of each raster against the reference out of it first, horizontally and "
              "vertically.")  # fmt: skip
@click.option("--report", metavar="FILE", type=params.Output(),
              help="Write a page with figures, pictures and plots too, such as report.html: one file, to pass on. "
              "An earlier report is replaced.")  # fmt: skip
@options.as_json
@options.verbose
@options.quiet
@click.pass_context
def cli(
    ctx: click.Context, /, prediction: tuple[str, ...], report: Path | None, as_json: bool, quiet: bool, **choices: Any
) -> None:
    """Compare PREDICTION, and baselines, with a finer terrain model.

    All are brought to the pixels of the reference by the code of `jspsr enhance`, and compared where all have data:
    overall, by slope, and by land use and canopy height where given. The 95 % intervals come from draws of whole blocks
    of ground, since errors beside each other are alike. Offsets are found by the method of Nuth & Kääb (2011).

    \b
    jspsr evaluate dem.tif --reference dtm.tif --baseline cop30.tif --canopy chm.tif
    jspsr evaluate dem.tif --reference dtm.tif --baseline cop30.tif --report report.html
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.assess.evaluation import evaluate
    from jspsr_cli.assess.telling import for_people

    console = Console(quiet=quiet)
    with console.following("jspsr_cli"), console.share("evaluating") as progress:
        found = evaluate(prediction, report=report, on_warning=console.warn, progress=progress, **choices)
    if found.report:
        console.notice(f"report: {found.report}")
    if as_json:
        echo_result(asdict(found), as_json=True)
    else:
        for note in found.notes:
            console.notice(note)
        for line in for_people(found):
            click.echo(harmless(line))
    ctx.exit(1 if report and not found.report else 0)
