"""`dinocell measure`: the table of cells of a label image that any tool made."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dinocell import batch
from dinocell.cli import options
from dinocell.cli.inputs import check_exist
from dinocell.cli.progress import block_bar
from dinocell.cli.terminal import console, escape_controls
from dinocell.errors import InputError
from dinocell.io.pixel_size import parse_pixel_size
from dinocell.results.formats import PLANE_FORMATS
from dinocell.results.result_format import OverlayStyle

_FORMATS = tuple(name for name, found in PLANE_FORMATS.items() if found.ending and not found.needs_map)


def command(
    image: Annotated[Path, typer.Argument(help="The image in which cells are measured.")],
    labels: Annotated[Path, typer.Argument(help="Its label image, of DINOCell or of any other tool.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for STEM_cells.csv.")],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help=f"{', '.join(_FORMATS)}: one or several, joined by commas. Default: csv."
        ),
    ] = None,
    scene: options.SceneOption = None,
    channel: Annotated[
        str | None,
        typer.Option(
            help="Channel that an overlay shows, of several with commas the first that is there; cells are "
            "measured in all. Default: the first."
        ),
    ] = None,
    time: Annotated[str | None, typer.Option(help="Times, such as 3 or 0:10, counted from 0.")] = None,
    z: Annotated[
        str | None, typer.Option("--z", help="Slices, such as 3 or 0:10; or a projection: max, mean.")
    ] = None,
    pixel_size: options.PixelSizeOption = None,
    numbers: options.NumbersOption = False,
    legend: options.LegendOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Measure the cells of a label image: writes STEM_cells.csv, of a stack with columns t and z."""
    check_exist(image, labels)
    style = OverlayStyle(numbers, legend)
    chosen = options.parse_drawn_formats(formats or ["csv"], style)
    selection = options.parse_selection(scene, channel, time, z)
    if selection.scene == "all":
        raise InputError("--scene is all, expected one scene: call it once for each")
    settings = batch.MeasureSettings(
        output,
        chosen,
        selection,
        None if pixel_size is None else parse_pixel_size(pixel_size),
        overwrite=overwrite,
        overlay=style,
    )
    cells, files = 0, 0
    last = Path()
    with block_bar() as bar:
        task = bar.add_task("planes", total=None)
        for event in batch.measure_labels(image, labels, settings):
            bar.update(task, completed=event.done, total=event.total)
            cells, files = cells + event.cells, files + len(event.files)
            last = event.files[-1] if event.files else last
    more = f" and {files - 1} other files" if files > 1 else ""
    console.print(escape(escape_controls(f"{image}: {cells} cells → {last}{more}")))
