"""`dinocell segment`: images in; label images, overlays and tables out."""

import csv
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from dinocell.cli.inputs import find_inputs, output_names
from dinocell.cli.outputs import make_folder
from dinocell.cli.terminal import console, errors, progress_bar
from dinocell.errors import DINOCellError, InputError, UntrainedModelError
from dinocell.labels import median_diameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dinocell.checkpoint import Thresholds
    from dinocell.images import Image
    from dinocell.pipeline import DINOCellPipeline
    from dinocell.preset import Preset
    from dinocell.segmentation import Segmentation


@dataclass(frozen=True)
class _Outputs:
    """The files written for one input; the label image comes last, so its presence means "done"."""

    overlay: Path
    table: Path
    distance_map: Path | None
    labels: Path

    @classmethod
    def of(cls, folder: Path, name: str, *, with_map: bool) -> "_Outputs":
        return cls(
            overlay=folder / f"{name}_overlay.png",
            table=folder / f"{name}_cells.csv",
            distance_map=folder / f"{name}_distance.tif" if with_map else None,
            labels=folder / f"{name}_labels.tif",
        )

    def missing(self) -> list[str]:
        files = (self.overlay, self.table, self.distance_map)
        return [file.name for file in files if file is not None and not file.exists()]


@dataclass(frozen=True)
class _Settings:
    """How every image of the call is read and segmented."""

    channel: int | None
    page: int | None
    diameter: float | Literal["auto"] | None
    thresholds: "Thresholds"
    min_size: int


def command(
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders, or quoted globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Name of a trained model, or a checkpoint folder. Default: the preset's, else nano."
        ),
    ] = None,
    preset: Annotated[Path | None, typer.Option(help="Settings that `dinocell tune` found.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    cells_max: Annotated[
        float | None, typer.Option(min=0, max=1, help="Lower finds fainter cells. Default: the model's.")
    ] = None,
    cell_fill: Annotated[
        float | None, typer.Option(min=0, max=1, help="Lower makes cells wider. Default: the model's.")
    ] = None,
    merge: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Lower joins more pieces; 1 joins none. Default: the model's."),
    ] = None,
    diameter: Annotated[
        str | None, typer.Option(help="Typical cell diameter in pixels, or 'auto' to try several scales.")
    ] = None,
    min_size: Annotated[int, typer.Option(min=0, help="Remove cells of fewer pixels.")] = 0,
    channel: Annotated[int | None, typer.Option(min=0, help="Use this channel, counted from 0.")] = None,
    page: Annotated[int | None, typer.Option(min=0, help="Use this page of a stack, counted from 0.")] = None,
    tile_size: Annotated[
        int | None, typer.Option(help="Side of a tile in pixels. Default: the model's.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Overlap of tiles in pixels. Default: the model's.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Tiles a forward pass.")] = 8,
    no_clahe: Annotated[bool, typer.Option("--no-clahe", help="Leave the contrast as it is.")] = False,
    save_distance_map: Annotated[
        bool, typer.Option("--save-distance-map", help="Also write STEM_distance.tif.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")] = False,
    allow_untrained: Annotated[
        bool,
        typer.Option(
            "--allow-untrained",
            help="Rehearse with a model that was never trained: writes STEM_untrained_*, which mean nothing.",
        ),
    ] = False,
) -> None:
    """Segment images: writes STEM_labels.tif, STEM_overlay.png and STEM_cells.csv for each."""
    tuned = None if preset is None else _read_preset(preset, model)
    model = tuned.model if tuned else model or "nano"
    channel = tuned.channel if tuned and channel is None else channel
    parsed_diameter = tuned.diameter if tuned and diameter is None else parse_diameter(diameter)
    images, failures = find_inputs(inputs)
    total = len(images) + len(failures)
    for message in failures:
        _report_failure(message)
    suffix = "_untrained" if allow_untrained and not _is_trained(model) else ""
    todo = _not_done(images, output, suffix, with_map=save_distance_map, overwrite=overwrite)
    if todo:
        from dinocell.pipeline import DINOCellPipeline

        try:
            pipeline = DINOCellPipeline(
                model,
                device=device,
                batch_size=batch_size,
                tile_size=tile_size,
                overlap=overlap,
                clahe=False if no_clahe else None,
                allow_untrained=allow_untrained,
            )
        except UntrainedModelError as error:
            raise UntrainedModelError(f"{error} (--allow-untrained rehearses with it)") from error
        thresholds = pipeline.thresholds(
            cells_max, cell_fill, merge, base=tuned.thresholds if tuned else None
        )
        make_folder(output)
        failures += _segment_all(
            pipeline, todo, _Settings(channel, page, parsed_diameter, thresholds, min_size)
        )
    if failures:
        errors.print(f"{len(failures)} of {total} inputs failed")
        raise typer.Exit(1)


def parse_diameter(text: str | None) -> float | Literal["auto"] | None:
    """Read ``--diameter``: a number of pixels or 'auto'.

    Raises
    ------
    InputError
        If it is neither.
    """
    if text is None or text == "auto":
        return None if text is None else "auto"
    try:
        diameter = float(text)
    except ValueError:
        diameter = math.nan
    if not (math.isfinite(diameter) and diameter > 0):
        raise InputError(f"--diameter is {text!r}, expected pixels above 0 or 'auto'")
    return diameter


def _read_preset(path: Path, model: str | None) -> "Preset":
    from dinocell.preset import read_preset

    preset = read_preset(path)
    if model not in (None, preset.model):
        raise InputError(
            f"--preset {path} was tuned for model {preset.model!r}, but --model is {model!r}: leave one out"
        )
    return preset


def _is_trained(model: str) -> bool:
    """Whether results of a model may look like results; a rehearsal's get names of their own."""
    from dinocell.checkpoint import find_checkpoint, read_config

    try:
        return read_config(find_checkpoint(model)).trained
    except UntrainedModelError:
        return False


def _not_done(
    images: list[Path], folder: Path, suffix: str, *, with_map: bool, overwrite: bool
) -> dict[Path, _Outputs]:
    """Pair every image with its outputs; those that exist are skipped, and that is said."""
    todo = {}
    for path, name in output_names(images).items():
        outputs = _Outputs.of(folder, f"{name}{suffix}", with_map=with_map)
        if outputs.labels.exists() and not overwrite:
            missing = outputs.missing()
            without = f" without {', '.join(missing)}" if missing else ""
            line = f"{path}: skipped, {outputs.labels} exists{without} (see --overwrite)"
            console.print(escape(line))
        else:
            todo[path] = outputs
    return todo


def _segment_all(pipeline: "DINOCellPipeline", todo: dict[Path, _Outputs], settings: _Settings) -> list[str]:
    """Segment every image; return a line for each that failed."""
    failures = []
    with progress_bar() as bar:
        files = bar.add_task("images", total=len(todo))
        tiles = bar.add_task("tiles")
        for path, outputs in todo.items():
            try:
                line = _segment_one(pipeline, path, outputs, settings, bar, tiles)
                console.print(f"{escape(str(path))}: {escape(line)}")
            except (DINOCellError, MemoryError) as error:
                reason = str(error) if isinstance(error, DINOCellError) else "the memory is not enough for it"
                message = reason if str(path) in reason else f"{path}: {reason}"
                _report_failure(message)
                failures.append(message)
            bar.advance(files)
    return failures


def _segment_one(
    pipeline: "DINOCellPipeline",
    path: Path,
    outputs: _Outputs,
    settings: _Settings,
    bar: Progress,
    tiles: TaskID,
) -> str:
    """Read, segment and write one image; return its summary."""
    from dinocell.images import read_image

    start = time.monotonic()
    image = read_image(path, channel=settings.channel, page=settings.page)
    if image.axes == "YXC":
        raise InputError(_explain_channels(path, image))
    pixels = image.pixels
    result = pipeline.run(
        pixels,
        diameter=settings.diameter,
        **settings.thresholds.model_dump(),
        min_size=settings.min_size,
        progress=lambda step: bar.update(tiles, completed=step.done, total=step.total),
    )
    _write(pixels, result, outputs)
    best = pipeline.model.config.diameter_range if settings.diameter is None else None
    return _summary(result, settings, time.monotonic() - start, outputs.labels) + _hint(result, best)


def _explain_channels(path: Path, image: "Image") -> str:
    count = image.pixels.shape[2]
    names = f" ({', '.join(image.channel_names)})" if image.channel_names else ""
    return (
        f"{path} has {count} channels{names}, expected one or RGB: "
        f"choose with --channel N, N from 0 to {count - 1}"
    )


def _summary(result: "Segmentation", settings: _Settings, seconds: float, labels: Path) -> str:
    made = result.parameters
    parts = [f"{result.count} cells"]
    if not made.trained:
        parts.append("meaningless, the model is untrained")
    if settings.diameter == "auto":
        found = "no cells to measure" if made.diameter is None else f"diameter {made.diameter:.1f} px found"
        parts.append(found)
    if settings.diameter is not None:
        parts.append(f"scale {made.scale:.2f}")
    if made.nonfinite_pixels:
        parts.append(f"{made.nonfinite_pixels} NaN or infinite values taken as the lowest finite one")
    return f"{', '.join(parts)}, {seconds:.1f} s → {labels}"


def _hint(result: "Segmentation", best: tuple[float, float] | None) -> str:
    """Say when the cells found are far from the sizes that the model is best at."""
    if best is None or not result.count:
        return ""
    found = median_diameter(result.labels)
    if best[0] / 2 <= found <= best[1] * 1.5:
        return ""
    return f" (cells of {found:.0f} px; the model is best at {best[0]:g} to {best[1]:g}: try --diameter auto)"


def _write(pixels: "NDArray[Any]", result: "Segmentation", outputs: _Outputs) -> None:
    from dinocell.images import write_image, write_labels
    from dinocell.measure import measure_cells
    from dinocell.outlines import draw_outlines
    from dinocell.preprocessing import scale_to_uint8, to_grayscale

    gray = to_grayscale(pixels)
    if outputs.distance_map is not None:
        write_image(outputs.distance_map, result.distance_map)
    write_image(outputs.overlay, draw_outlines(scale_to_uint8(gray), result.labels))
    _write_table(outputs.table, measure_cells(result.labels, gray))
    write_labels(outputs.labels, result.labels)


def _write_table(path: Path, table: "dict[str, NDArray[Any]]") -> None:
    from dinocell.images import atomic_path

    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        for row in zip(*table.values(), strict=True):
            # Whole numbers, such as areas, in full.
            writer.writerow(int(value) if float(value).is_integer() else f"{value:.6g}" for value in row)


def _report_failure(message: str) -> None:
    errors.print(f"error: {escape(message)}")
