"""`dinocell process`: turns annotated images of any format into a store, and inspects one."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from dinocell.cli import options
from dinocell.cli.failures import Failures
from dinocell.cli.inputs import check_exist
from dinocell.cli.progress import progress_bar
from dinocell.cli.terminal import Notes, console, errors
from dinocell.datasets.formats import DATASET_FORMATS, find_items, formats_taking
from dinocell.errors import FileFormatError

if TYPE_CHECKING:
    from dinocell.datasets.store import StoreInfo

app = typer.Typer(
    help="Turn annotated images into a store to train or evaluate on.",
    no_args_is_help=True,
    add_completion=False,
)


def _for(option: str, text: str) -> str:
    """Return the help of an option, with the formats that take it."""
    return f"{', '.join(formats_taking(option))}: {text}"


def _command_for(format_name: str) -> Callable[..., None]:
    """Return the command that reads one format."""

    def command(
        source: Annotated[Path, typer.Argument(help=DATASET_FORMATS[format_name].input, metavar="INPUT")],
        output: Annotated[Path, typer.Option("--output", "-o", help="The store's folder.")],
        whole: Annotated[
            bool, typer.Option("--whole", help="Keep images whole, to evaluate on, instead of cutting crops.")
        ] = False,
        size: Annotated[int, typer.Option(min=1, help="Side of a crop in pixels.")] = 512,
        overlap: Annotated[
            int | None, typer.Option(min=0, help="Of neighbouring crops, in pixels. Default: size / 8.")
        ] = None,
        diameter: Annotated[
            float | None,
            typer.Option(help="Bring the median cell of every image to this diameter in pixels."),
        ] = None,
        images: Annotated[
            Path | None, typer.Option(help=_for("images", "the folder below which the images are."))
        ] = None,
        masks: Annotated[Path | None, typer.Option(help=_for("masks", "the folder of masks."))] = None,
        channel: Annotated[
            str | None,
            typer.Option(
                help=_for(
                    "channel",
                    "name or number (from 0) of the channel to use, or several with commas: of DAPI,CD3 the "
                    "first that an image has. name:1 or number:1 where it could be either.",
                )
            ),
        ] = None,
        split_components: options.SplitComponentsOption = None,
        annotates: options.AnnotatesOption = None,
        workers: Annotated[
            int | None, typer.Option(min=0, help="Processes. Default: cores, at most 4.")
        ] = None,
        strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad file.")] = False,
    ) -> None:
        check_exist(source, images, masks)
        from dinocell.datasets.annotates import annotated_target
        from dinocell.datasets.process import ProcessSettings, process
        from dinocell.datasets.store import INFO_FILE, StoreInfo

        items = find_items(
            format_name,
            source,
            split_components=split_components,
            images=images,
            masks=masks,
            channel=channel,
        )
        overlap = size // 8 if overlap is None else overlap
        settings = ProcessSettings(
            format_name,
            annotates=annotated_target(source, masks, given=annotates),
            whole=whole,
            size=size,
            overlap=overlap,
            diameter=diameter,
        )
        notes, failures = Notes(), Failures("images", where=INFO_FILE, title="skipped")
        with closing(failures), progress_bar() as bar:
            task = bar.add_task("images", total=len(items))
            for event in process(items, output, settings, workers=workers, strict=strict):
                if isinstance(event, StoreInfo):
                    info = event
                    continue
                bar.update(task, completed=event.done, total=event.total, description=event.stage)
                if event.failure is not None and event.kind is not None:
                    failures.add(event.name, event.failure, event.kind)
                notes.add(event.notes)
        notes.close(f", see {INFO_FILE}")
        _report(info, output)

    return command


def _report(info: "StoreInfo", output: Path) -> None:
    from dinocell.datasets.store import INFO_FILE

    height, width = info.size
    console.print(
        f"{info.images} images, {info.cells} cells → {info.items} items of {height}×{width} px "
        f"in {escape(str(output))}"
    )
    if info.overlapped_pixels:
        console.print(f"{info.overlapped_pixels} pixels are in several cells; the smaller cell has them")
    if info.failed:
        errors.print(f"{len(info.failed)} images were skipped, see {INFO_FILE}")
        raise typer.Exit(1)


for _name, _format in DATASET_FORMATS.items():
    app.command(_name, help=_format.input)(_command_for(_name))


@app.command("inspect")
def inspect(
    folder: Annotated[Path, typer.Argument(help="A store.", metavar="STORE")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Contact sheet. Default: STORE_sheet.png.")
    ] = None,
) -> None:
    """Print counts, sizes and cell diameters of a store, and draw a contact sheet with outlines."""
    check_exist(folder)
    from dinocell.datasets.inspect import contact_sheet, describe
    from dinocell.datasets.store import DINOCellDataset
    from dinocell.io.saving import write_image

    dataset = DINOCellDataset(folder)
    if len(dataset) == 0:
        raise FileFormatError(f"{folder} holds no items")
    for line in describe(dataset):
        console.print(escape(line))
    resolved = folder.resolve()
    sheet = output or resolved.with_name(f"{resolved.name}_sheet.png")
    write_image(sheet, contact_sheet(dataset))
    console.print(f"contact sheet: {escape(str(sheet))}")
