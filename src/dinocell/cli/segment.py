"""`dinocell segment`: images in; label images, overlays, tables and whatever other programs read out."""

import math
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from dinocell.cli.outputs import make_folder
from dinocell.cli.terminal import console, errors, one_line, progress_bar
from dinocell.errors import InputError, UntrainedModelError

if TYPE_CHECKING:
    from dinocell.batch.jobs import Outcome, Status
    from dinocell.batch.settings import BatchSettings
    from dinocell.batch.sources import Source
    from dinocell.pipeline import DINOCellPipeline
    from dinocell.preset import Preset
    from dinocell.selection import Selection

_LISTED = 20  # failures that the closing table names


def command(
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders, or quoted globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="tif, png, npy, csv, parquet, overlay, distance, rois, geojson, coco, zarr: one or several, "
            "joined by commas. Default: tif,csv,overlay.",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take what is below folders too; keep their tree.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do all again, and replace what was edited.")
    ] = False,
    scene: Annotated[
        str | None, typer.Option(help="Name or number (from 0) of a scene or position; or 'all'.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="Name or number (from 0) of the channel to use.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="Times, such as 3 or 0:10, counted from 0.")] = None,
    z: Annotated[
        str | None, typer.Option("--z", help="Slices, such as 3 or 0:10; or a projection: max, mean.")
    ] = None,
    all_planes: Annotated[
        bool, typer.Option("--all-planes", help="Segment every time and slice, each on its own.")
    ] = False,
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
    diameter_um: Annotated[
        float | None,
        typer.Option(help="The same in micrometres, for files that know the size of their pixels."),
    ] = None,
    min_size: Annotated[int, typer.Option(min=0, help="Remove cells of fewer pixels.")] = 0,
    tile_size: Annotated[
        int | None, typer.Option(help="Side of a tile in pixels. Default: the model's.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Overlap of tiles in pixels. Default: the model's.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Tiles a forward pass.")] = 8,
    no_clahe: Annotated[bool, typer.Option("--no-clahe", help="Leave the contrast as it is.")] = False,
    allow_untrained: Annotated[
        bool,
        typer.Option(
            "--allow-untrained",
            help="Rehearse with a model that was never trained: writes STEM_untrained_*, which mean nothing.",
        ),
    ] = False,
) -> None:
    """Segment images: writes STEM_labels.tif, STEM_overlay.png and STEM_cells.csv for each."""
    from dinocell.batch.sources import find_sources
    from dinocell.results.formats import parse_formats

    chosen_formats = parse_formats(formats or [])
    selection = _parse_selection(scene, channel, time, z, all_planes=all_planes)
    parsed_diameter = parse_diameter(diameter, diameter_um)
    tuned = None if preset is None else _read_preset(preset, model)
    if tuned and channel is None:
        selection = replace(selection, channel=tuned.channel)
    if tuned and diameter is None and diameter_um is None:
        parsed_diameter = tuned.diameter
    name = tuned.model if tuned else model or "nano"
    sources, failures = find_sources(inputs, recursive=recursive, leave_out=output)
    pipeline = _load_pipeline(
        name,
        device=device,
        batch_size=batch_size,
        tile_size=tile_size,
        overlap=overlap,
        clahe=False if no_clahe else None,
        allow_untrained=allow_untrained,
    )
    settings = _settings(
        pipeline,
        name,
        output=output,
        formats=chosen_formats,
        thresholds=pipeline.thresholds(cells_max, cell_fill, merge, base=tuned.thresholds if tuned else None),
        diameter=parsed_diameter,
        diameter_um=diameter_um,
        min_size=min_size,
        selection=selection,
        overwrite=overwrite,
    )
    if dry_run:
        _rehearse(sources, settings, failures)
    else:
        _segment(pipeline, sources, settings, failures)


def _parse_selection(
    scene: str | None, channel: str | None, time: str | None, z: str | None, *, all_planes: bool
) -> "Selection":
    from dinocell.selection import Selection, parse_span

    return Selection(
        scene=scene,
        channel=channel,
        time=None if time is None else parse_span(time, "--time"),
        z=None if z in (None, "max", "mean") else parse_span(str(z), "--z"),
        projection="max" if z == "max" else "mean" if z == "mean" else None,
        all_planes=all_planes,
    )


def parse_diameter(text: str | None, micrometres: float | None = None) -> float | Literal["auto"] | None:
    """Read ``--diameter``: a number of pixels or 'auto'.

    Raises
    ------
    InputError
        If it is neither, or ``--diameter-um`` is not above 0 or was given as well.
    """
    if micrometres is not None and text is not None:
        raise InputError("--diameter and --diameter-um were both given: leave one out")
    if micrometres is not None and not (math.isfinite(micrometres) and micrometres > 0):
        raise InputError(f"--diameter-um is {micrometres}, expected micrometres above 0")
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


def _load_pipeline(name: str, **options: Any) -> "DINOCellPipeline":
    from dinocell.pipeline import DINOCellPipeline

    try:
        return DINOCellPipeline(name, **options)
    except UntrainedModelError as error:
        raise UntrainedModelError(f"{error} (--allow-untrained rehearses with it)") from error


def _settings(pipeline: "DINOCellPipeline", name: str, **chosen: Any) -> "BatchSettings":
    """Fill in what the model decides."""
    from dinocell.batch.settings import BatchSettings
    from dinocell.checkpoint import find_checkpoint, hash_checkpoint

    try:
        digest = hash_checkpoint(find_checkpoint(name))
    except UntrainedModelError:  # a rehearsal with a design that has no weights
        digest = ""
    return BatchSettings(
        model=pipeline.model.config.variant,
        model_sha256=digest,
        trained=pipeline.model.config.trained,
        preprocessing=pipeline.predictor.preprocessing,
        tile_size=pipeline.predictor.tile_size,
        overlap=pipeline.predictor.overlap,
        **chosen,
    )


def _rehearse(sources: "list[Source]", settings: "BatchSettings", failures: list[str]) -> None:
    """Say what would be done."""
    from dinocell.batch.jobs import Outcome, load_jobs

    _report_failures(failures)
    outcomes = []
    for event in load_jobs(sources, settings, dry_run=True):
        if isinstance(event, Outcome):
            outcomes.append(event)
            _report(event)
    _close(outcomes, failures)


def _segment(
    pipeline: "DINOCellPipeline", sources: "list[Source]", settings: "BatchSettings", failures: list[str]
) -> None:
    """Segment, write, log and report."""
    from dinocell.batch.jobs import Outcome, SourceRead
    from dinocell.batch.log import BatchLog
    from dinocell.batch.run import remove_leftovers, segment_files

    make_folder(settings.output)
    remove_leftovers(settings.output)
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        log = stack.enter_context(BatchLog(settings.output))
        bar = stack.enter_context(progress_bar())
        log.write("started", settings.described() | {"files": len(sources)})
        _report_failures(failures)
        for message in failures:
            log.write("failed", {"message": message})
        files, tiles = bar.add_task("images", total=len(sources)), bar.add_task("tiles")
        for event in segment_files(sources, settings, pipeline):
            if isinstance(event, Outcome):
                outcomes.append(event)
                _report(event)
                log.write_outcome(event)
            elif isinstance(event, SourceRead):
                bar.advance(files)
            else:
                bar.update(tiles, completed=event.done, total=event.total)
        log.write("ended", Counter(outcome.status for outcome in outcomes))
    _close(outcomes, failures)


def _report(outcome: "Outcome") -> None:
    if outcome.status == "failed":
        _report_failures([outcome.message])
    else:
        console.print(escape(one_line(outcome.message)))


def _report_failures(messages: list[str]) -> None:
    for message in messages:
        errors.print(f"error: {escape(one_line(message))}")


def _close(outcomes: "list[Outcome]", failures: list[str]) -> None:
    """Print the closing table; fail unless all is well."""
    counts = Counter(outcome.status for outcome in outcomes)
    failed = [*failures, *(outcome.message for outcome in outcomes if outcome.status == "failed")]
    stopped = any(outcome.stops for outcome in outcomes)
    if len(outcomes) + len(failures) > 1:
        _print_table(counts, failed)
    if stopped:
        errors.print("stopped: nothing more can be written there; the same command goes on where it stopped")
    if failed:
        errors.print(f"{len(failed)} of {len(outcomes) + len(failures)} inputs failed")
        raise typer.Exit(1)


def _print_table(counts: "Counter[Status]", failed: list[str]) -> None:
    table = Table("", "images", "", box=None, pad_edge=False)
    titles: dict[Status, str] = {"planned": "to do", "done": "done", "skipped": "skipped, done before"}
    for status, title in titles.items():
        if counts[status]:
            table.add_row(title, str(counts[status]), "")
    for at, message in enumerate(failed[:_LISTED]):
        title, count = ("failed", str(len(failed))) if at == 0 else ("", "")
        table.add_row(title, count, escape(one_line(message)))
    if len(failed) > _LISTED:
        table.add_row("", "", f"and {len(failed) - _LISTED} more, see above or the log")
    console.print(table)
