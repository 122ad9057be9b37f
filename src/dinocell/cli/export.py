"""`dinocell export`: a model as an ONNX file, for other programs."""

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.markup import escape

from dinocell import models
from dinocell.cli.inputs import check_model
from dinocell.cli.progress import waiting
from dinocell.cli.terminal import console
from dinocell.errors import InputError, OutputError


def command(
    model: Annotated[str, typer.Argument(help="Name of a trained model, or a checkpoint folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file, which ends in .onnx.")],
    precision: Annotated[
        str, typer.Option(help="float32; or int8, smaller and faster where a model has linear layers.")
    ] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Export a model as ONNX: 8-bit gray tiles in, distance maps out, of any number and size."""
    if precision not in ("float32", "int8"):
        raise InputError(f"--precision is {precision!r}, expected float32 or int8")
    check_model(model)
    if (existing := models.exported_files(output)) and not overwrite:
        raise OutputError(f"{existing[0]} exists: choose another -o, or replace it with --overwrite")
    with waiting("export"):
        loaded = models.DINOCell.from_pretrained(model)
        models.export_onnx(loaded, output, precision=cast("models.Exported", precision))
    size = sum(file.stat().st_size for file in models.exported_files(output))
    names = " and ".join(str(file) for file in models.exported_files(output))
    console.print(escape(f"{names}: {size / 1e6:.1f} MB, {precision}"))
    console.print(
        escape(
            f"input {models.INPUT}: uint8 (B, Y, X), preprocessed, Y and X multiples of {loaded.stride}; "
            f"output {models.OUTPUT}: float32 (B, T, Y, X), T maps: {', '.join(loaded.config.targets)}. Its "
            "metadata say how to preprocess."
        )
    )
