"""`dinocell evaluate`: score a model, or the label images of any program, on annotated data."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dinocell.cli.outputs import make_folder
from dinocell.cli.segment import parse_diameter
from dinocell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dinocell.checkpoint import Thresholds
    from dinocell.datasets.items import Item
    from dinocell.evaluation import ImageResult
    from dinocell.metrics import Scores
    from dinocell.pipeline import DINOCellPipeline
    from dinocell.search import GridPoint

console = Console(highlight=False, soft_wrap=True)

CHOSEN_ON = "thresholds_chosen_on"
"""Key of the checkpoint's training record: hash of the annotations by the name of the data."""


def command(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Annotated data: a folder of NAME_img.* and NAME_masks.*, one with images/ and masks/, a "
            "Cell Tracking Challenge folder, a CSV of pairs, a store made with --whole. May be repeated."
        ),
    ],
    model: Annotated[str, typer.Option(help="Name of a trained model, or a checkpoint folder.")] = "nano",
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    diameter: Annotated[str | None, typer.Option(help="Typical cell diameter in pixels, or 'auto'.")] = None,
    search: Annotated[
        bool,
        typer.Option("--search-thresholds", help="Search the best thresholds; on validation data only."),
    ] = False,
    write: Annotated[
        bool,
        typer.Option(
            "--write-thresholds", help="Search, and write the thresholds found into the checkpoint folder."
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes of the search. Default: cores.")
    ] = None,
) -> None:
    """Print SEG, DET, OP_CSB and AP beside their ceiling: what perfect distance maps reach."""
    from dinocell.datasets.formats import open_dataset

    search = search or write
    if predictions is not None and (search or diameter is not None):
        raise InputError("--predictions are scored as they are: leave --diameter and the search out")
    if search and diameter is not None:
        raise InputError("--diameter does not go with --search-thresholds: leave one out")
    if write and not Path(model).is_dir():
        raise InputError("--write-thresholds needs a checkpoint folder as --model")
    datasets = {name: open_dataset(path) for name, path in zip(_names(data), data, strict=True)}
    if output is not None:
        from dinocell.charts import require_matplotlib

        require_matplotlib()  # before hours of work
        make_folder(output)
    points: list[GridPoint] = []
    if predictions is not None:
        results = _score_predictions(datasets, predictions)
    else:
        from dinocell.pipeline import DINOCellPipeline

        pipeline = DINOCellPipeline(model, device=device)
        if search:
            points = _search(pipeline, datasets, workers)
        thresholds = points[0].thresholds if points else pipeline.model.config.thresholds
        results = _score_model(datasets, pipeline, thresholds, parse_diameter(diameter), output)
        if write:
            _write_thresholds(Path(model), points[0].thresholds, results)
        else:
            _warn_of_chosen_on(pipeline, results)
    _print(results)
    if output is not None:
        _write_output(output, results, points, predictions or model, datasets)


def _names(paths: list[Path]) -> list[str]:
    """Name datasets after their folders, longer where two have the same name; fit for file names."""
    names = [path.resolve().name for path in paths]
    for number, path in enumerate(paths):
        if names.count(path.resolve().name) > 1:
            names[number] = f"{number + 1}_{path.resolve().parent.name}_{path.resolve().name}"
    return names


def _score_predictions(datasets: "dict[str, Sequence[Item]]", folder: Path) -> "dict[str, list[ImageResult]]":
    from dinocell.evaluation import evaluate_predictions

    return {
        name: _listed(name, evaluate_predictions(items, folder), len(items))
        for name, items in datasets.items()
    }


def _score_model(
    datasets: "dict[str, Sequence[Item]]",
    pipeline: "DINOCellPipeline",
    thresholds: "Thresholds",
    diameter: float | str | None,
    output: Path | None,
) -> "dict[str, list[ImageResult]]":
    from dinocell.evaluation import evaluate_items

    results = {}
    for name, items in datasets.items():
        labels = None if output is None else output / "labels" / name
        if labels is not None:
            make_folder(labels)
        scored = evaluate_items(
            pipeline,
            items,
            thresholds=thresholds,
            diameter=diameter,  # type: ignore[arg-type]
            output=labels,
        )
        results[name] = _listed(name, scored, len(items))
    return results


def _listed(name: str, results: "Iterable[ImageResult]", total: int) -> "list[ImageResult]":
    """Go through the results with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        return list(bar.track(results, total=total, description=escape(name)))


def _print(datasets: "dict[str, list[ImageResult]]") -> None:
    from dinocell.evaluation import pool_results
    from dinocell.tables import pooled_ceiling

    columns = ("SEG", "DET", "OP_CSB", "AP@0.5", "AP@0.75")
    table = Table("dataset", "images", "cells", "predicted", *columns, title="pooled over cells (ceiling)")
    for name, results in datasets.items():
        scores, ceiling = pool_results(results), pooled_ceiling(results)
        cells = [f"{of:.3f} ({best:.3f})" for of, best in zip(_shown(scores), _shown(ceiling), strict=True)]
        counts = scores.counts
        empty = f" ({counts.images_without_cells} without cells)" if counts.images_without_cells else ""
        row = (f"{len(results)}{empty}", str(counts.true_cells), str(counts.predicted_cells), *cells)
        table.add_row(escape(name), *row)
    Console(width=None if Console().is_terminal else 160).print(table)


def _shown(scores: "Scores") -> tuple[float, ...]:
    return scores.seg, scores.det, scores.op_csb, scores.ap[0.5], scores.ap[0.75]


def _search(
    pipeline: "DINOCellPipeline", datasets: "dict[str, Sequence[Item]]", workers: int | None
) -> "list[GridPoint]":
    """Predict every map once, and search; the best point comes first."""
    from dinocell.evaluation import predict_annotated
    from dinocell.search import search_thresholds

    maps = []
    for name, items in datasets.items():
        annotated = (item.read() for item in items)
        predicted = ((image.labels, predict_annotated(pipeline, image)) for image in annotated)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            maps.append(list(bar.track(predicted, total=len(items), description=escape(name))))
    points: list[GridPoint] = []
    workers = os.cpu_count() or 1 if workers is None else workers
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("searching", total=None)
        for point in search_thresholds(maps, start=pipeline.model.config.thresholds, workers=workers):
            points.append(point)
            bar.update(task, completed=len(points), description=f"{len(points)} combinations tried")
    points.sort(key=lambda point: point.objective, reverse=True)
    names = ", ".join(datasets)
    console.print(f"Best thresholds on {escape(names)}, by the mean of AP@0.5 and AP@0.75 over datasets:")
    for point in points[:10]:
        scores = " / ".join(f"{a:.3f} {b:.3f}" for a, b in zip(point.ap50, point.ap75, strict=True))
        console.print(f"{point.objective:.4f}  {point.thresholds}  AP@0.5 AP@0.75: {scores}")
    return points


def _write_thresholds(
    checkpoint: Path, thresholds: "Thresholds", results: "dict[str, list[ImageResult]]"
) -> None:
    """Put thresholds into a checkpoint, with the data they were chosen on."""
    from dinocell.checkpoint import CONFIG_FILE, read_config, write_config
    from dinocell.evaluation import content_hash
    from dinocell.images import atomic_path

    config = read_config(checkpoint)
    chosen_on = {name: content_hash(of_one) for name, of_one in results.items()}
    changed = config.model_copy(
        update={"thresholds": thresholds, "training": config.training | {CHOSEN_ON: chosen_on}}
    )
    with atomic_path(checkpoint / CONFIG_FILE) as temporary:
        write_config(temporary, changed)
    console.print(f"saved in {escape(str(checkpoint))}")


def _warn_of_chosen_on(pipeline: "DINOCellPipeline", results: "dict[str, list[ImageResult]]") -> None:
    """Say when thresholds were chosen on the very data that they are scored on."""
    from dinocell.evaluation import content_hash

    chosen_on = pipeline.model.config.training.get(CHOSEN_ON, {})
    known = set(chosen_on.values()) if isinstance(chosen_on, dict) else set()
    for name, of_one in results.items():
        if content_hash(of_one) in known:
            console.print(
                f"note: the model's thresholds were chosen on {escape(name)}: this is validation, no test"
            )


def _write_output(
    output: Path,
    results: "dict[str, list[ImageResult]]",
    points: "list[GridPoint]",
    scored: Path | str,
    datasets: "dict[str, Sequence[Item]]",
) -> None:
    """Write the tables and the report."""
    from dinocell.report import write_report
    from dinocell.tables import image_rows, summary_rows, write_table

    write_table(output / "images.csv", image_rows(results))
    write_table(output / "summary.csv", summary_rows(results))
    predicted = Path(scored) if isinstance(scored, Path) else output / "labels"
    write_report(output / "report.html", str(scored), results, points, datasets, predicted)
    console.print(f"images.csv, summary.csv and report.html are in {escape(str(output))}")
