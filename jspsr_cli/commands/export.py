"""`jspsr export`: a trained network as an ONNX file."""

from dataclasses import asdict
from pathlib import Path

import click

from jspsr_cli import options, params
from jspsr_cli.console import Console, echo_result


@click.command("export")
@click.argument("weights", metavar="NAME|FILE")
@click.argument("target", metavar="OUT.onnx", type=params.Output())
@click.option("--resolution", type=params.ResolutionType(), metavar="METRES",
              help="Pixel size of the training data, where the weights do not say it.")  # fmt: skip
@options.overwrite
@options.as_json
@options.verbose
def cli(weights: str, target: Path, resolution: float | None, overwrite: bool, as_json: bool) -> None:
    """Write a trained network as ONNX, for programs that have neither torch nor jspsr.

    It takes scaled windows, any number of them at a time and of any size in multiples of 8 pixels, and returns scaled
    heights. What has to be done before and after stands in its metadata properties: the scaling as formulas, what each
    input is, the resolution, licence and origin of the weights. OUT.onnx appears, after a minute, when onnxruntime was
    found to predict the same heights with it as torch; the largest differences are written, in metres, by the relief
    of the ground.

    \b
    jspsr export starter-8m-canopy starter.onnx
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.export import export_weights

    with Console().following("jspsr_cli"):
        report = export_weights(weights, target, overwrite=overwrite, resolution=resolution)
    echo_result(asdict(report), as_json=as_json)
