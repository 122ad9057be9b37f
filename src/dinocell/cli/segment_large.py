"""`dinocell segment-large`: an image that does not fit into memory, block by block."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from dinocell import inference
from dinocell.cli import options
from dinocell.cli.inference_options import inference_options
from dinocell.cli.inputs import check_exist, check_model
from dinocell.cli.progress import block_bar
from dinocell.cli.terminal import announce, console, escape_controls
from dinocell.errors import InputError
from dinocell.inference.settings import Diameter, InferenceOptions
from dinocell.postprocess.thresholds import Thresholds
from dinocell.results.formats import BLOCK_FORMATS

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from dinocell.io.selection import Selection
    from dinocell.large.plan import LargeResult
    from dinocell.large.settings import SourcePlane
    from dinocell.large.stage_done import StageDone

_SETTINGS = (
    "target", "diameter", "thresholds", "min_size", "device", "tile_size", "overlap", "batch_size", "engine",
    "precision", "clahe",
)  # fmt: skip
"""Settings of inference that work block by block; another must be made to before it is named here."""

_FORMATS_WITH_MEANING = ", ".join(f"{name} ({found.meaning})" for name, found in BLOCK_FORMATS.items())


@inference_options(only=_SETTINGS)
def command(
    image: Annotated[Path, typer.Argument(help="OME-Zarr, or TIFF in tiles.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The labels, an OME-Zarr: NAME.zarr.")],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help=f"Beside the labels: {_FORMATS_WITH_MEANING}; or none. Default: parquet.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    keep_map: Annotated[
        bool, typer.Option("--keep-map", help="Keep the distance map: other thresholds are quick then.")
    ] = False,
    scene: options.SceneOption = None,
    channel: options.ChannelOption = None,
    time: Annotated[str | None, typer.Option(help="The time, counted from 0.")] = None,
    z: Annotated[str | None, typer.Option("--z", help="The slice, or a projection: max, mean.")] = None,
    model: options.ModelOption = None,
    preset: options.PresetOption = None,
    *,
    given: InferenceOptions,
    diameter_um: options.DiameterUmOption = None,
    pixel_size: options.PixelSizeOption = None,
    block: Annotated[int, typer.Option(min=64, max=8192, help="Side of a block in pixels.")] = 2048,
    largest: Annotated[
        int,
        typer.Option(min=64, help="Side in pixels of the largest clump of cells that is taken whole."),
    ] = 4096,
    halo: Annotated[
        int, typer.Option(min=16, help="Pixels beyond its block at which a larger clump is cut.")
    ] = 256,
    fast: options.FastOption = False,
    scheduler: options.SchedulerOption = None,
    workers: options.WorkersOption = None,
    threads: options.ThreadsOption = None,
) -> None:
    """Segment an image of any size: writes labels with a pyramid as OME-Zarr, and a table of cells.

    Killed or stopped, the same command goes on where it was.
    """
    check_exist(image, preset)
    if output.suffix != ".zarr":
        raise InputError(f"{output} is not an OME-Zarr, expected a name that ends in .zarr: rename it")
    tuned = None if preset is None else options.read_preset_for(preset, model)
    selection = options.parse_selection(
        scene, tuned.channel if tuned and channel is None else channel, time, z
    )
    chosen = options.with_preset(given, tuned, diameter_um)
    if others := [name for name in chosen if name not in (*_SETTINGS, *Thresholds.model_fields)]:
        raise InputError(
            f"--preset {preset} sets {others[0]}, which segment-large does not have: take it out"
        )
    name = tuned.model if tuned else model or "nano"
    check_model(name)
    from dinocell.large.run import segment_large
    from dinocell.large.settings import LargeSettings, LargeTarget
    from dinocell.workers.automatic import crew_for_blocks
    from dinocell.workers.cluster_start import open_executor

    source, found = _find_source(image, selection, diameter_um, pixel_size)
    if diameter_um is not None:
        chosen["diameter"] = found
    if fast:
        chosen = options.with_fastest(chosen, name)
    remote = inference.RemoteModel.named(name, **chosen)
    diameter = remote.settings.diameter
    settings = LargeSettings(
        LargeTarget.of_model(remote),
        min_size=remote.settings.min_size,
        block=block,
        largest=largest**2,
        halo=halo,
        formats=_parse_formats(formats or ["parquet"]),
    )
    crew = options.parse_crew(workers, threads, scheduler, crew_for_blocks)
    with ExitStack() as stack:
        executor = stack.enter_context(
            open_executor(scheduler=scheduler, workers=crew.workers, threads=crew.threads)
        )
        announce(executor)
        bar = stack.enter_context(block_bar())
        events = segment_large(
            source, output, remote, settings, executor, overwrite=overwrite, keep_map=keep_map
        )
        result = _show(events, bar)
    _report(result, remote.load().diameter_ranges([result.target])[result.target], diameter)


def _show(events: "Iterator[StageDone | LargeResult]", bar: "Progress") -> "LargeResult":
    """Show one bar per stage, and return the result."""
    from dinocell.large.plan import LargeResult

    stages: dict[str, TaskID] = {}
    for event in events:
        if isinstance(event, LargeResult):
            result = event
            continue
        if event.stage not in stages:
            stages[event.stage] = bar.add_task(event.title, total=event.total)
        bar.update(stages[event.stage], completed=event.done)
    return result


def _find_source(
    path: Path, selection: "Selection", diameter_um: float | None, pixel_size: str | None
) -> "tuple[SourcePlane, float | None]":
    """Find the one plane that is selected, and the diameter in its pixels."""
    from dinocell.io.images import open_image
    from dinocell.io.pixel_size import diameter_in_pixels, fill_pixel_size, parse_pixel_size
    from dinocell.io.selected_planes import find_channel
    from dinocell.io.selection import check_scene, select_planes
    from dinocell.large.settings import SourcePlane

    given = None if pixel_size is None else parse_pixel_size(pixel_size)
    with open_image(path, windows=True) as first:
        check_scene(first, selection)
    with open_image(path, scene=0 if selection.scene is None else selection.scene, windows=True) as image:
        find_channel(image, selection.channel)
        place, *others = select_planes(image, selection, several=False)
        if others:
            raise InputError(
                f"{path}: {1 + len(others)} planes were chosen, expected one: give one --time and one --z, "
                "and call it once for each"
            )
        source = SourcePlane(path, image.info.scene, place, selection.channel, given)
        if diameter_um is None:
            return source, None
        fill_pixel_size(image, given)
        return source, diameter_in_pixels(diameter_um, image.info.pixel_size_yx_um, image.path)


def _parse_formats(texts: list[str]) -> tuple[str, ...]:
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    return () if names == ["none"] else tuple(dict.fromkeys(names))


def _report(result: "LargeResult", best: tuple[float, float] | None, asked: Diameter) -> None:
    from dinocell.measure.confidence import doubt_about
    from dinocell.measure.quality import describe_size
    from dinocell.postprocess.small_cells import describe_removed

    paths = escape(escape_controls(", ".join(str(path) for path in (result.labels, *result.beside))))
    made = " (made before)" if result.skipped else ""
    shrunk = f", scale {result.scale:.2f}" if result.scale != 1 else ""
    console.print(f"{result.cells} cells, target {result.target}{shrunk} → {paths}{made}")
    if result.removed:
        console.print(describe_removed(result.removed, result.min_size))
    if size := describe_size(result.diameter, result.scale, best, asked, option="--diameter {}"):
        console.print(f"warning: {size}")
    if doubt := doubt_about(result.confidence):
        console.print(f"{doubt}: look at the outlines before you trust the cells, see docs/trust.md")
    if result.nonfinite:
        console.print(f"{result.nonfinite} NaN or infinite pixels were taken as the lowest value")
    if result.large:
        console.print(f"{result.large} clumps larger than a block were flooded whole")
    if result.cut:
        console.print(
            f"{result.cut} clumps were too large for that and were cut with a halo; {result.truncated} of "
            "their cells reach beyond it and lack a part. Raise --largest if memory allows, else --halo"
        )
