"""`jspsr doctor`: what this machine has and lacks."""

from dataclasses import asdict

import click

from jspsr_cli import options
from jspsr_cli.console import columns, echo_result, harmless

# How states are marked in front of a line.
MARKS = {"ok": "ok", "note": "note", "problem": "BAD"}


@click.command("doctor")
@options.as_json
@options.verbose
@click.pass_context
def cli(ctx: click.Context, as_json: bool) -> None:
    """Look at versions, devices, formats, vertical datums, folders and weights.

    Each problem comes with its remedy. Notes are no problems: something that not everybody needs is left out. The exit
    code is 1 where there is a problem. Send the output along when you report a bug.
    """
    from jspsr_cli.doctor import examine

    found = examine()
    problems = [finding for finding in found if finding.state == "problem"]
    if as_json:
        echo_result({"problems": len(problems), "findings": [asdict(finding) for finding in found]}, as_json=True)
    else:
        rows = [(MARKS[f.state], f.topic, f.name, harmless(f.value)) for f in found]
        lines = columns(rows).splitlines()
        for finding, line in zip(found, lines, strict=True):
            click.echo(line)
            if finding.remedy:
                click.echo(f"      {harmless(finding.remedy)}")
        click.echo(f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "no problem found")
    ctx.exit(1 if problems else 0)
