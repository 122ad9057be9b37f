"""`dinocell segment`: from images to label images, overlays, tables and files for other programs."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from dinocell import batch, experiments, inference, models
from dinocell.cli import options
from dinocell.cli.inference_options import inference_options
from dinocell.cli.inputs import check_any_exists, check_exist, check_model
from dinocell.cli.progress import block_bar, progress_bar, waiting
from dinocell.cli.terminal import announce, console
from dinocell.errors import InputError, UntrainedModelError
from dinocell.inference.settings import InferenceOptions
from dinocell.results.formats import DEFAULT_FORMATS, PLANE_FORMATS
from dinocell.results.result_format import OverlayStyle

if TYPE_CHECKING:
    from rich.progress import Progress as ProgressBar

    from dinocell.batch.outcomes import PlaneOutcome, SourceRead
    from dinocell.batch.settings import BatchSettings
    from dinocell.batch.sources import FoundSources
    from dinocell.inference.engines.start import Used
    from dinocell.inference.segmentation import Progress, TilesDone


@inference_options()
def command(
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders, or quoted globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help=f"{', '.join(reversed(PLANE_FORMATS))}: one or several, joined by commas. "
            f"Default: {','.join(reversed(DEFAULT_FORMATS))}.",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take what is below folders too; keep their tree.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do all again, and replace what was edited.")
    ] = False,
    scene: Annotated[
        str | None,
        typer.Option(
            help="Name or number (from 0) of a scene or position, or all; name:1 or number:1 where it could "
            "be either."
        ),
    ] = None,
    channel: options.ChannelOption = None,
    time: Annotated[str | None, typer.Option(help="Times, such as 3 or 0:10, counted from 0.")] = None,
    z: Annotated[
        str | None, typer.Option("--z", help="Slices, such as 3 or 0:10; or a projection: max, mean.")
    ] = None,
    all_planes: Annotated[
        bool,
        typer.Option("--all-planes", help="Segment every time and slice; results are stacks of all planes."),
    ] = False,
    separate_planes: Annotated[
        bool, typer.Option("--separate-planes", help="Write files of their own for every time and slice.")
    ] = False,
    model: options.ModelOption = None,
    preset: options.PresetOption = None,
    *,
    given: InferenceOptions,
    diameter_um: options.DiameterUmOption = None,
    pixel_size: options.PixelSizeOption = None,
    same_target: Annotated[
        bool,
        typer.Option(
            "--same-target", help="Choose between cells and nuclei once for all images of this call."
        ),
    ] = False,
    same_scale: Annotated[
        bool,
        typer.Option("--same-scale", help="Choose scale and target once for all images of this call."),
    ] = False,
    allow_untrained: Annotated[
        bool,
        typer.Option(
            "--allow-untrained",
            help="Try a model that was never trained: writes STEM_untrained_*, which mean nothing.",
        ),
    ] = False,
    fast: options.FastOption = False,
    numbers: options.NumbersOption = False,
    legend: options.LegendOption = False,
    scheduler: options.SchedulerOption = None,
    workers: options.WorkersOption = None,
    threads: options.ThreadsOption = None,
) -> None:
    """Segment images: writes STEM_labels.tif, STEM_overlay.png and STEM_cells.csv for each."""
    check_any_exists(inputs)
    check_exist(preset)
    if (scheduler or workers) and allow_untrained:
        raise InputError(
            "--allow-untrained works in one process, expected neither --scheduler nor --workers: leave "
            "them out"
        )
    style = OverlayStyle(numbers, legend)
    selection = options.parse_selection(scene, channel, time, z, all_planes=all_planes)
    tuned = None if preset is None else options.read_preset_for(preset, model)
    if tuned and channel is None:
        selection = replace(selection, channel=tuned.channel)
    name = tuned.model if tuned else model or "nano"
    wanted = options.with_preset(given, tuned, diameter_um)
    if not allow_untrained:
        with _named_way_out():
            check_model(name)
    from dinocell.batch.sources import find_sources
    from dinocell.io.pixel_size import parse_pixel_size
    from dinocell.workers.automatic import crew_for_images
    from dinocell.workers.cluster_start import open_executor

    found = find_sources(inputs, recursive=recursive, results=output)
    crew = options.parse_crew(workers, threads, scheduler, partial(crew_for_images, len(found.sources)))
    if fast:
        wanted = options.with_fastest(wanted, name)
    resumed = _recorded_engine(output, name, again=overwrite)
    with _named_way_out():
        pipeline = inference.DINOCellPipeline(
            name, resumed=resumed, allow_untrained=allow_untrained, **wanted
        )
    settings = _settings(
        pipeline,
        name,
        output=output,
        formats=options.parse_drawn_formats(formats or [], style),
        overlay=style,
        diameter_um=diameter_um,
        selection=selection,
        separate_planes=separate_planes,
        pixel_size_yx_um=None if pixel_size is None else parse_pixel_size(pixel_size),
        overwrite=overwrite,
    )
    if same_target or same_scale:
        settings = _agree(found, settings, pipeline, target=same_target, scale=same_scale, read=not dry_run)
        wanted["target"] = settings.inference.target
    if dry_run:
        _report_dry_run(found, settings)
        return
    if scheduler is not None or crew.workers is not None:
        remote = inference.RemoteModel.named(name, **wanted)
        if resumed is not None:
            remote = remote.resumed_with(resumed)
        del pipeline  # the workers need the memory
        with open_executor(scheduler=scheduler, workers=crew.workers, threads=crew.threads) as executor:
            announce(executor)
            events = batch.spread_files(found.sources, settings, remote, executor)
            _segment(lambda _: events, found, settings, block_bar())
        return

    def start(progress: "Progress") -> "Iterator[PlaneOutcome | SourceRead]":
        return batch.segment_files(found.sources, settings, pipeline, progress=progress)

    _segment(start, found, settings, progress_bar())


@contextmanager
def _named_way_out() -> Iterator[None]:
    """Name the option that tries a model all the same, where one is refused that was never trained."""
    try:
        yield
    except UntrainedModelError as error:
        raise UntrainedModelError(f"{error} (--allow-untrained tries it all the same)") from error


def _settings(pipeline: "inference.DINOCellPipeline", name: str, **chosen: Any) -> "BatchSettings":
    """Return the settings of a batch, completed by those of the model."""
    from dinocell.batch.settings import BatchSettings

    return BatchSettings(
        model=pipeline.config.variant,
        model_sha256=_hash(name),
        trained=pipeline.config.trained,
        preprocessing=pipeline.predictor.preprocessing,
        inference=pipeline.settings,
        **chosen,
    )


def _hash(name: str) -> str:
    try:
        return models.hash_checkpoint(models.find_checkpoint(name))
    except UntrainedModelError:  # a design without weights, with --allow-untrained
        return ""


def _recorded_engine(output: Path, name: str, *, again: bool) -> "Used | None":
    """Return what earlier results of a folder were made with, unless all are made again."""
    if again:
        return None
    from dinocell.batch.log import recorded_engine

    return recorded_engine(output, _hash(name))


def _agree(
    found: "FoundSources",
    settings: "BatchSettings",
    pipeline: "inference.DINOCellPipeline",
    *,
    target: bool,
    scale: bool,
    read: bool,
) -> "BatchSettings":
    """Return the settings with one target, or one target and scale, for all images."""
    if target or settings.inference.target == "auto":
        settings = _agree_on_target(found, settings, pipeline, read=read)
    return _agree_on_scale(found, settings, pipeline, read=read) if scale else settings


def _agree_on_target(
    found: "FoundSources", settings: "BatchSettings", pipeline: "inference.DINOCellPipeline", *, read: bool
) -> "BatchSettings":
    """Return the settings with one target for all images; without reading them, as chosen before."""
    if settings.inference.target != "auto" and len(pipeline.config.targets) > 1:
        raise InputError(
            f"the target is {settings.inference.target}, by --target or --preset, so --same-target has "
            "nothing to choose: leave one out"
        )
    with waiting("one target for all images"):
        agreed = batch.agree_on_target(found.sources, settings, pipeline) if read else None
    from dinocell.batch.log import recorded_target

    chosen = agreed if read else recorded_target(settings)
    if chosen is None:
        return settings
    console.print(f"target {chosen} for all images")
    fixed = settings.inference.model_copy(update={"target": chosen})
    return replace(settings, inference=fixed, same_target=True)


def _agree_on_scale(
    found: "FoundSources", settings: "BatchSettings", pipeline: "inference.DINOCellPipeline", *, read: bool
) -> "BatchSettings":
    """Return the settings with one scale for all images; without reading them, as chosen before."""
    if settings.inference.diameter != "auto" or settings.diameter_um is not None:
        raise InputError(
            "the diameter is given, by --diameter, --diameter-um or --preset, so --same-scale has nothing to "
            "choose: leave one out"
        )
    with waiting("one scale for all images"):
        agreed = batch.agree_on_scale(found.sources, settings, pipeline) if read else None
    from dinocell.batch.log import recorded_scale

    chosen = agreed if read else recorded_scale(settings)
    if chosen is None:
        return settings
    console.print(f"scale {chosen:.2f} for all images")
    fixed = settings.inference.model_copy(update={"fixed_scale": chosen})
    return replace(settings, inference=fixed, same_scale=True)


def _report_dry_run(found: "FoundSources", settings: "BatchSettings") -> None:
    """Print what would be done."""
    from dinocell.batch.jobs import load_jobs
    from dinocell.batch.outcomes import PlaneOutcome
    from dinocell.cli.batch_report import BatchReport

    report = BatchReport(found)
    outcomes = []
    for event in load_jobs(found.sources, settings, dry_run=True):
        if isinstance(event, PlaneOutcome):
            outcomes.append(event)
            report.add(event)
    report.close(outcomes)


def _segment(
    start: "Callable[[Progress], Iterator[PlaneOutcome | SourceRead]]",
    found: "FoundSources",
    settings: "BatchSettings",
    bar: "ProgressBar",
) -> None:
    """Start a batch with a callback for its tiles; write, log and report what comes of it."""
    from dinocell.batch.log import BatchLog, describe_start
    from dinocell.batch.outcomes import PlaneOutcome
    from dinocell.batch.presence import confirm_outcomes
    from dinocell.cli.batch_report import BatchReport
    from dinocell.io.saving import create_folder, printable

    if not found.sources:
        BatchReport(found).close([])
        return
    was_there = settings.output.exists()
    create_folder(settings.output)
    batch.remove_leftovers(settings.output)
    outcomes: list[PlaneOutcome] = []
    with ExitStack() as stack:
        log = stack.enter_context(BatchLog(settings.output))
        stack.enter_context(bar)
        log.write("started", describe_start(settings) | {"files": len(found.sources)})
        report = BatchReport(found, log.path)
        for message in found.failures:
            log.write("failed", {"message": message})
        for reason, paths in found.left_out.items():
            log.write("left out", {"message": reason, "files": [printable(str(path)) for path in paths]})
        files, tiles = bar.add_task("images", total=len(found.sources)), bar.add_task("tiles", visible=False)

        def show_tiles(tiles_done: "TilesDone") -> None:
            bar.update(tiles, completed=tiles_done.done, total=tiles_done.total, visible=True)

        for event in start(show_tiles):
            if isinstance(event, PlaneOutcome):
                if not event.part_of or event.stops:
                    outcomes.append(event)
                report.add(event)
                log.write_outcome(event)
            else:
                bar.advance(files)
        outcomes = confirm_outcomes(outcomes, settings.output)
        log.write("ended", Counter(outcome.status for outcome in outcomes))
    if not any(outcome.stops for outcome in outcomes):
        _write_tables(outcomes, settings.output)
    if not was_there:
        with suppress(OSError):  # it is not empty
            settings.output.rmdir()
    report.close(outcomes)


def _write_tables(outcomes: "list[PlaneOutcome]", folder: Path) -> None:
    """Write the tables over all images of the folder, where there are results."""
    if any(outcome.status in ("done", "skipped") for outcome in outcomes):
        written = experiments.write_summary(folder)
        if len(outcomes) > 1 and written:
            console.print(f"all images: {escape(', '.join(map(str, written)))}")
