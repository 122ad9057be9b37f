"""`dinocell evaluate`: score a model on annotated folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from dinocell.cli.segment import parse_diameter

if TYPE_CHECKING:
    from dinocell.evaluation import GridPoint, ImageResult
    from dinocell.metrics import Scores
    from dinocell.pipeline import DINOCellPipeline


def command(
    data: Annotated[
        list[Path], typer.Option(help="Folder with NAME_img.* and NAME_masks.*; may be given several times.")
    ],
    model: Annotated[str, typer.Option(help="Name of a trained model, or a checkpoint folder.")] = "nano",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    diameter: Annotated[str | None, typer.Option(help="Typical cell diameter in pixels, or 'auto'.")] = None,
    search: Annotated[
        bool,
        typer.Option("--search-thresholds", help="Search the best thresholds; on validation data only."),
    ] = False,
    save: Annotated[
        bool, typer.Option("--save-thresholds", help="Write the thresholds found into the checkpoint folder.")
    ] = False,
) -> None:
    """Print SEG, DET, OP_CSB and AP of a model beside their ceiling: what perfect distance maps reach."""
    from dinocell.errors import InputError
    from dinocell.pipeline import DINOCellPipeline

    if save and not (search and Path(model).is_dir()):
        raise InputError("--save-thresholds needs --search-thresholds and a checkpoint folder as --model")
    pipeline = DINOCellPipeline(model, device=device)
    if search and diameter is not None:
        raise InputError("--diameter does not go with --search-thresholds: leave one out")
    if search:
        _search(pipeline, data, Path(model) if save else None)
    else:
        _score(pipeline, data, parse_diameter(diameter))


def _score(pipeline: "DINOCellPipeline", data: list[Path], diameter: float | str | None) -> None:
    from dinocell.evaluation import evaluate_folder

    columns = ("SEG", "DET", "OP_CSB", "AP@0.5", "AP@0.75")
    table = Table("dataset", "images", "cells", "predicted", *columns, title="pooled over cells (ceiling)")
    with Progress(transient=True) as bar:
        for folder in data:
            results: list[ImageResult] = []
            task = bar.add_task(escape(folder.name), total=None)
            for result in evaluate_folder(pipeline, folder, diameter=diameter):  # type: ignore[arg-type]
                results.append(result)
                bar.update(task, completed=len(results))
            table.add_row(escape(folder.name), *_row(results))
    Console(width=None if Console().is_terminal else 160).print(table)


def _row(results: "list[ImageResult]") -> list[str]:
    from dinocell.pooling import pool

    scores, ceiling = pool(r.scores for r in results), pool(r.ceiling for r in results)
    cells = [f"{of:.3f} ({best:.3f})" for of, best in zip(_shown(scores), _shown(ceiling), strict=True)]
    empty = scores.counts.images_without_cells
    images = f"{len(results)} ({empty} without cells)" if empty else str(len(results))
    return [images, str(scores.counts.true_cells), str(scores.counts.predicted_cells), *cells]


def _shown(scores: "Scores") -> tuple[float, ...]:
    return scores.seg, scores.det, scores.op_csb, scores.ap[0.5], scores.ap[0.75]


def _search(pipeline: "DINOCellPipeline", data: list[Path], checkpoint: Path | None) -> None:
    from dinocell.checkpoint import CONFIG_FILE, read_config, write_config
    from dinocell.evaluation import predict_folder, search_thresholds
    from dinocell.images import atomic_path

    console = Console()
    maps = [list(predict_folder(pipeline, folder)) for folder in data]
    points: list[GridPoint] = []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("searching", total=None)
        for point in search_thresholds(maps, start=pipeline.model.config.thresholds):
            points.append(point)
            bar.update(task, completed=len(points), description=f"{len(points)} combinations tried")
    points.sort(key=lambda point: point.objective, reverse=True)
    names = ", ".join(folder.name for folder in data)
    console.print(f"Best thresholds on {escape(names)}, by the mean of AP@0.5 and AP@0.75 over datasets:")
    for point in points[:10]:
        scores = " / ".join(f"{a:.3f} {b:.3f}" for a, b in zip(point.ap50, point.ap75, strict=True))
        console.print(f"{point.objective:.4f}  {point.thresholds}  AP@0.5 AP@0.75: {scores}")
    if checkpoint is not None:
        config = read_config(checkpoint)
        record = config.training | {"thresholds_chosen_on": [folder.name for folder in data]}
        changed = config.model_copy(update={"thresholds": points[0].thresholds, "training": record})
        with atomic_path(checkpoint / CONFIG_FILE) as temporary:
            write_config(temporary, changed)
        console.print(f"saved in {escape(str(checkpoint))}")
