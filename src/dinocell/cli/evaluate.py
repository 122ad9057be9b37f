"""`dinocell evaluate`: score a model, or the label images of any program, on annotated data."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dinocell import evaluation, inference
from dinocell.cli import options
from dinocell.cli.failures import Failures
from dinocell.cli.inference_options import inference_options
from dinocell.cli.inputs import check_exist, check_model
from dinocell.cli.outputs import dataset_names
from dinocell.cli.progress import progress_bar
from dinocell.cli.terminal import Notes, console, errors
from dinocell.errors import InputError
from dinocell.inference.settings import InferenceOptions

if TYPE_CHECKING:
    from rich.progress import TaskID


@inference_options(only=("device", "engine", "precision", "target", "diameter"))
def command(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Annotated data: a folder of NAME.tif and NAME_masks.tif, one with images/ and masks/, a "
            "Cell Tracking Challenge folder, a CSV of pairs, a store made with --whole. Several may follow."
        ),
    ],
    more_data: Annotated[
        list[Path] | None, typer.Argument(metavar="DATA", help="What follows the first after --data.")
    ] = None,
    masks: options.MasksOption = None,
    model: Annotated[
        str | None, typer.Option(help="Name of a trained model, or a checkpoint folder. Default: nano.")
    ] = None,
    channel: options.ChannelOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for images.csv, summary.csv, report.html and label images."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Score the label images in this folder, made by any program, instead of a model."),
    ] = None,
    split_components: options.SplitComponentsOption = None,
    annotates: options.AnnotatesOption = None,
    diameter_um: options.DiameterUmOption = None,
    pixel_size: options.PixelSizeOption = None,
    *,
    given: InferenceOptions,
    search: Annotated[
        bool,
        typer.Option("--search-thresholds", help="Search the best thresholds; on validation data only."),
    ] = False,
    write: Annotated[
        bool,
        typer.Option(
            "--write-thresholds",
            help="Search, and write what is found, for the target of the data, into the checkpoint folder.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes of the search. Default: cores.")
    ] = None,
) -> None:
    """Print SEG, DET, OP_CSB and AP beside their upper bound: what perfect distance maps reach.

    A search takes the map of the target that the data annotate; else the target is chosen for each image.
    """
    data = data + (more_data or [])
    options.check_one_dataset(data, masks)
    search = search or write
    physical = options.parse_physical_diameter(given, diameter_um, pixel_size)
    fixed = [f"--{name}" for name in ("target", "diameter") if name in given]
    fixed += [] if physical is None else ["--diameter-um"]
    _check_options(model, predictions, fixed, search=search, write=write)
    check_exist(*data, masks, predictions)
    if predictions is None:
        check_model(model or "nano")
    from dinocell.datasets.annotates import annotated_target
    from dinocell.datasets.formats import open_dataset
    from dinocell.io.saving import create_folder
    from dinocell.reports.charts import require_matplotlib

    named = dict(zip(dataset_names(data), data, strict=True))
    targets = {name: annotated_target(path, masks, given=annotates) for name, path in named.items()}
    datasets = {
        name: open_dataset(path, masks, channel=channel, split_components=split_components)
        for name, path in named.items()
    }
    for items in datasets.values():
        evaluation.check_distinct_files(items)
    if output is not None:
        require_matplotlib()  # before hours of work
        create_folder(output)
    run, notes = evaluation.EvaluationRun(datasets, targets), Notes()
    if predictions is not None:
        _show(run, run.score_predictions(predictions), notes)
    else:
        pipeline = inference.DINOCellPipeline(model or "nano", **given)
        if search:
            _show(run, run.search(pipeline, workers), notes)
            _print_points(run)
        _show(run, run.score_model(pipeline, output, physical), notes)
    for note in run.notes:
        console.print(f"note: {escape(note)}")
    notes.close(", see images.csv" if output else "")
    _print_scores(run.results)
    if write:
        evaluation.write_thresholds(run, Path(str(model)))
        console.print(f"thresholds saved in {escape(str(model))}")
    if output is not None:
        evaluation.write_evaluation(run, output, predictions or model or "nano")
        console.print(f"images.csv, summary.csv and report.html are in {escape(str(output))}")
    if run.failures:
        errors.print(f"{len(run.failures)} images could not be scored")
        raise typer.Exit(1)


def _check_options(
    model: str | None, predictions: Path | None, fixed: list[str], *, search: bool, write: bool
) -> None:
    if predictions is not None and (search or fixed or model is not None):
        raise InputError(
            "--predictions are scored as they are: leave --model, --target, the diameter and the search out"
        )
    if search and fixed:
        raise InputError(f"{fixed[0]} does not go with --search-thresholds: leave one out")
    if write and not (model and Path(model).is_dir()):
        raise InputError("--write-thresholds needs a checkpoint folder as --model")


def _show(
    run: "evaluation.EvaluationRun",
    events: "Iterable[evaluation.EvaluationProgress | evaluation.GridPoint]",
    notes: Notes,
) -> None:
    """Show a bar for each dataset and one for the search, and print notes and failures as they come."""
    search: TaskID | None = None
    failures = Failures("images")
    with closing(failures), progress_bar() as bar:
        tasks = {name: bar.add_task(escape(name), total=len(items)) for name, items in run.datasets.items()}
        for event in events:
            if isinstance(event, evaluation.EvaluationProgress):
                notes.add(event.notes)
                if event.failure and event.kind is not None:
                    failures.add(event.name, event.failure, event.kind)
                bar.update(tasks[event.dataset], completed=event.done)
            else:
                tried = f"{len(run.points)} combinations tried"
                if search is None:
                    search = bar.add_task(tried, total=None)
                bar.update(search, description=tried)


def _print_points(run: "evaluation.EvaluationRun") -> None:
    """Print the best thresholds of a search."""
    names = escape(", ".join(run.datasets))
    console.print(
        f"Best thresholds for {run.target} on {names}, by the mean of AP@0.5 and AP@0.75 over them:"
    )
    for point in run.points[:10]:
        scores = " / ".join(f"{a:.3f} {b:.3f}" for a, b in zip(point.ap50, point.ap75, strict=True))
        console.print(f"{point.objective:.4f}  {point.thresholds}  AP@0.5 AP@0.75: {scores}")
    console.print("note: scores with these thresholds on the same data are validation, not a test")


def _print_scores(datasets: "dict[str, list[evaluation.ImageResult]]") -> None:
    from dinocell.metrics.score_table import scores_shown

    shown = scores_shown("evaluate")
    title = "pooled over cells; in brackets the upper bound: what perfect distance maps reach"
    headings = (score.title for score in shown)
    table = Table("dataset", "images", "cells", "predicted", *headings, title=title)
    for name, results in datasets.items():
        pooled = evaluation.pool_results(results)
        scores, bounds = pooled.by_name(), evaluation.pooled_upper_bound(results).by_name()
        cells = [f"{scores[score.key]:.3f} ({bounds[score.key]:.3f})" for score in shown]
        counts = pooled.counts
        empty = f" ({counts.images_without_cells} without cells)" if counts.images_without_cells else ""
        row = (f"{len(results)}{empty}", str(counts.true_cells), str(counts.predicted_cells), *cells)
        table.add_row(escape(name), *row)
    console.print(table)
