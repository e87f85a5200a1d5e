"""`jspsr weights`: which trained networks there are, and getting, checking and converting them."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from jspsr_cli import options, params
from jspsr_cli.console import Console, columns, echo_result, harmless
from jspsr_models.errors import WeightsError
from jspsr_models.info import WeightsInfo
from jspsr_models.registry import REGISTRY, WeightsEntry
from jspsr_models.weights import find_entry, pull, recorded_sha256


@click.group("weights")
def cli() -> None:
    """List, fetch, check and convert trained networks."""


@cli.command("list")
@options.as_json
@options.verbose
def list_weights(as_json: bool) -> None:
    """List the weights known by name, and whether they are on this machine."""
    described = {name: _describe_entry(entry) for name, entry in REGISTRY.items()}
    if as_json:
        echo_result(described, as_json=True)
        return
    header = ("NAME", "GUIDES", "METRES", "RMSE", "HERE", "LICENCE")
    rows = [
        (
            name,
            "+".join(entry.info.inputs),
            f"{entry.info.resolution:g}",
            "" if entry.rmse is None else f"{entry.rmse:.4f}",
            "yes" if entry.path.exists() else "no",
            entry.info.licence,
        )
        for name, entry in REGISTRY.items()
    ]
    click.echo(columns([header, *rows]))


@cli.command("show")
@click.argument("weights", metavar="NAME|FILE")
@options.as_json
@options.verbose
def show(weights: str, as_json: bool) -> None:
    """Show what is known about weights: what they expect, were trained on, and may be used for."""
    if weights in REGISTRY:
        echo_result(_describe_entry(REGISTRY[weights]), as_json=as_json)
        return
    echo_result(_describe(_load(weights)), as_json=as_json)


@cli.command("pull")
@click.argument("name")
@options.as_json
@options.verbose
@options.quiet
def pull_weights(name: str, as_json: bool, quiet: bool) -> None:
    """Download weights once, check them, and write where they are."""
    console = Console(quiet=quiet)
    if not find_entry(name).path.exists():
        console.notice(f"pulling {name}: {find_entry(name).info.licence}")
    with console.share(f"pulling {name}") as report:
        path = pull(name, progress=lambda done, total: report(done / total) if total else None)
    if as_json:
        echo_result({"name": name, "path": path, "sha256": recorded_sha256(path, find_entry(name))}, as_json=True)
    else:
        click.echo(harmless(str(path)))


@cli.command("verify")
@click.argument("weights", metavar="NAME|FILE...", nargs=-1, required=True)
@options.as_json
@options.verbose
def verify(weights: tuple[str, ...], as_json: bool) -> None:
    """Check that weights are complete, unchanged since they were first used, and load."""
    results = {asked: _verify(asked) for asked in weights}
    if as_json:
        echo_result(results, as_json=True)
    else:
        click.echo(columns([("ok" if r["ok"] else "BAD", r["sha256"] or "-", name) for name, r in results.items()]))
    errors = [result["error"] for result in results.values() if not result["ok"]]
    if errors:
        raise WeightsError(" ".join(errors))


@cli.command("convert")
@click.argument("source", metavar="NAME|FILE")
@click.argument("target", metavar="OUT.safetensors", type=params.Output())
@click.option("--resolution", type=params.ResolutionType(), metavar="METRES", help="Pixel size of the training data.")
@click.option("--name", help="Short name, written into every output made with the weights.")
@click.option("--licence", help="Licence of the weights.")
@click.option("--attribution", help="Whom to name.")
@click.option("--trained-on", help="The training data, in words.")
@click.option("--simulated/--not-simulated", default=None, help="Whether the training DEMs were simulated.")
@click.option("--accuracy", help="What was measured of their errors, and on what, in words.")
@click.option(
    "--half", is_flag=True, help="Store large convolutions in half precision: little more than half as large."
)
@options.overwrite
@options.as_json
@options.verbose
def convert(source: str, target: Path, overwrite: bool, as_json: bool, **stated: Any) -> None:
    """Convert a checkpoint to safetensors, which hold no code, and note what is known about it."""
    from jspsr_models import convert_weights  # imports torch

    echo_result(_describe(convert_weights(source, target, overwrite=overwrite, **stated)), as_json=as_json)


def _load(weights: str) -> WeightsInfo:
    from jspsr_models import load_network  # imports torch

    return load_network(weights)[1]


def _verify(weights: str) -> dict[str, Any]:
    try:
        return {"ok": True, "sha256": _load(weights).sha256, "error": None}
    except WeightsError as error:
        return {"ok": False, "sha256": None, "error": str(error)}


def _describe(info: WeightsInfo) -> dict[str, Any]:
    return dataclasses.asdict(info)


def _describe_entry(entry: WeightsEntry) -> dict[str, Any]:
    here = entry.path.exists()
    return _describe(entry.info) | {
        "sha256": (here and recorded_sha256(entry.path, entry)) or None,
        "published_rmse": entry.rmse,
        "published_psnr": entry.psnr,
        "path": entry.path if here else None,
    }
