"""`dinocell doctor`: what is installed, what is missing, and whether it works."""

import dataclasses
import json
from typing import Annotated

import typer
from rich.markup import escape

from dinocell.cli.terminal import console
from dinocell.doctor import examine


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Check the installation: versions, devices, memory, models, extras; then segment a drawn image."""
    broken = 0
    for finding in examine():
        broken += finding.broken
        if as_json:
            typer.echo(json.dumps(dataclasses.asdict(finding)))
            continue
        mark = "[red]broken[/] " if finding.broken else ""
        console.print(f"{escape(finding.topic):<22}{mark}{escape(finding.text)}")
        if finding.advice:
            console.print(f"{'':<22}[dim]→ {escape(finding.advice)}[/]")
    if not as_json:
        console.print(f"{broken} broken" if broken else "all is well")
    if broken:
        raise typer.Exit(1)
