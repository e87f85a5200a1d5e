"""`jspsr validate`: how good weights are on the validation areas of a training file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from jspsr_cli import options, params
from jspsr_cli.console import Console, echo_result, harmless


@click.command("validate")
@options.training_file
@options.required_weights
@options.data_root
@click.option("-o", "--output", metavar="FOLDER", type=params.Output(folder=True),
              show_default="validation/NAME", help="Folder for tables, plot and predictions.")  # fmt: skip
@click.option("--predictions/--no-predictions", default=True, show_default=True,
              help="Whether to write a GeoTIFF a sample.")  # fmt: skip
@click.option("--restart", is_flag=True, help="Throw away what the folder holds of an earlier validation.")
@options.device
@options.as_json
@options.verbose
@options.quiet
def cli(config: Path, as_json: bool, quiet: bool, **choices: Any) -> None:
    """Compare weights with the truth of the validation areas that CONFIG names.

    Beside the network stand the upsampled input and, where the set has them, FABDEM and FATHOM: by area and overall,
    each metric averaged over samples as in the paper (at 3 m over their tiles), and pooled, of all pixels together.
    The predictions have no data in the outer 6 pixels of a sample, where a network is unreliable (so cover what you
    need with `jspsr enhance` instead). The same command again does no work twice.

    \b
    jspsr validate configs/8m-image.yaml --weights jspsr-8m-image --data-root data
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.assess.table import for_people
    from jspsr_cli.training.validation import validate

    console = Console(quiet=quiet)
    with console.following("jspsr_cli"), console.share("validating") as progress:
        report = validate(config, on_warning=console.warn, progress=progress, **choices)
    if as_json:
        echo_result({**asdict(report), "lines": [line.flat() for line in report.lines]}, as_json=True)
        return
    for line in for_people(report.lines):
        click.echo(harmless(line))
    done = "already done: " * report.already_done
    console.notice(f"{done}tables, plot and {report.predictions} predictions: {report.folder}")
