"""`dinocell export`: a model as an ONNX file for other programs, or as a page for the browser."""

from pathlib import Path
from typing import Annotated, cast

import typer
from rich.markup import escape

from dinocell import models
from dinocell.cli.inputs import check_model
from dinocell.cli.progress import waiting
from dinocell.cli.terminal import console
from dinocell.errors import InputError, OutputError

_TARGETS = ("onnx", "web")


def command(
    model: Annotated[str, typer.Argument(help="Name of a trained model, or a checkpoint folder.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file, which ends in .onnx; with --to web, a folder.")
    ],
    to: Annotated[
        str, typer.Option("--to", help="onnx: a file; web: a page that segments in the browser.")
    ] = "onnx",
    precision: Annotated[
        str, typer.Option(help="float32; or int8, smaller and faster where a model has linear layers.")
    ] = "float32",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file, or the folder of an earlier export.")
    ] = False,
) -> None:
    """Export a model: as ONNX (8-bit gray tiles in, distance maps out), or as a page for the browser."""
    if to not in _TARGETS:
        raise InputError(f"--to is {to!r}, expected {' or '.join(_TARGETS)}")
    if precision not in ("float32", "int8"):
        raise InputError(f"--precision is {precision!r}, expected float32 or int8")
    check_model(model)
    if to == "web":
        _export_page(model, output, precision, overwrite=overwrite)
    else:
        _export_graph(model, output, precision, overwrite=overwrite)


def _export_page(model: str, output: Path, precision: str, *, overwrite: bool) -> None:
    if precision != "float32":
        raise InputError("--to web has float32 only, expected no other --precision: leave it out")
    from dinocell.web import write_static_site  # here, as it takes long to import

    with waiting("export"):
        folder = write_static_site(model, output, overwrite=overwrite)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    console.print(escape(f"{folder}: {size / 1e6:.1f} MB, a page that segments in the browser"))
    console.print(escape("publish it with any web server; README.txt in it says how"))


def _export_graph(model: str, output: Path, precision: str, *, overwrite: bool) -> None:
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
