"""`dinocell edit`: corrections that were made by hand, made again on the labels that they began with."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape

from dinocell.cli.inputs import check_exist
from dinocell.cli.terminal import console, escape_controls
from dinocell.editing import replay_file


def command(
    labels: Annotated[Path, typer.Argument(help="The label image as it was before the first edit.")],
    edits: Annotated[Path, typer.Argument(help="Its edits, as LabelEditor and napari write them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for STEM_labels.tif.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Repeat edits made by hand on a label image: writes STEM_labels.tif with ids 1…N."""
    check_exist(labels, edits)
    target, editor = replay_file(labels, edits, output, overwrite=overwrite)
    cells = np.count_nonzero(np.unique(editor.labels) > 0)
    for number, edit in enumerate(editor.edits, 1):
        for note in edit.notes:
            console.print(escape(escape_controls(f"edit {number}, {edit.operation.edit}: {note}")))
    console.print(escape(escape_controls(f"{labels}: {len(editor.edits)} edits, {cells} cells → {target}")))
