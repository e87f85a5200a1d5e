"""`jspsr train`: a training file in, weights out."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jspsr_cli import options, params
from jspsr_cli.console import Console, echo_result

if TYPE_CHECKING:
    from jspsr_cli.training.keeping import EpochReport


@click.command("train")
@options.training_file
@options.data_root
@click.option("-o", "--output", metavar="FOLDER", type=params.Output(folder=True),
              show_default="runs/NAME", help="Folder of the run: weights, state, curves, pictures.")  # fmt: skip
@click.option("--from", "start", metavar="NAME|FILE", help="Begin with these weights; their guides may be others.")
@click.option("--epochs", metavar="N", type=click.IntRange(min=1), help="Epochs in all, in place of the file's.")
@click.option("--restart", is_flag=True, help="Throw away what the folder holds of an earlier run.")
@options.device
@click.option("--devices", metavar="N", type=click.IntRange(min=1), default=1, show_default=True,
              help="How many GPUs to share each batch out over.")  # fmt: skip
@click.option("--nodes", metavar="N", type=click.IntRange(min=1), default=1, show_default=True,
              help="How many machines, each started with this command.")  # fmt: skip
@click.option("--strategy", metavar="NAME", default="auto", show_default=True,
              help="How Lightning shares the work out: ddp, ...")  # fmt: skip
@options.as_json
@options.verbose
@options.quiet
def cli(
    config: Path,
    device: str,
    devices: int,
    nodes: int,
    strategy: str,
    as_json: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Train the network as CONFIG, a YAML file, says.

    The same command again goes on after the last whole epoch, or does nothing if all are done.

    \b
    jspsr train configs/8m-image.yaml --data-root data
    jspsr train mine.yaml --from jspsr-8m-image -o runs/mine
    """  # noqa: D301 - click wants the real character \b: "do not rewrap"
    from jspsr_cli.training.hardware import Hardware
    from jspsr_cli.training.loop import train

    hardware = Hardware(device=device, devices=devices, nodes=nodes, strategy=strategy)
    console = Console(quiet=quiet or hardware.follows)
    with console.following("jspsr_cli"), console.share("training") as progress:
        report = train(
            config,
            hardware=hardware,
            on_epoch=lambda epoch: console.notice(_line(epoch)),
            on_warning=console.warn,
            progress=progress,
            **choices,
        )
    if hardware.follows:
        return  # the first process reports
    result = asdict(report)
    if not as_json:
        del result["warnings"]  # said already, on stderr
    echo_result(result, as_json=as_json)


def _line(epoch: "EpochReport") -> str:
    known = f"RMSE {epoch.metrics.rmse:.3f} m (upsampled input {epoch.input_rmse:.3f} m)" if epoch.metrics else ""
    if not epoch.number:
        return f"before training: {known}"
    text = f"epoch {epoch.number}/{epoch.of}: loss {epoch.loss:.5f}, {epoch.samples_per_second:.0f} crops/s"
    return f"{text}{', ' * bool(known)}{known}{', best so far' * epoch.best}"
