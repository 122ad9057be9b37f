"""`dinocell evaluate`: score a model, or the label images of any program, on annotated data."""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dinocell.cli import options
from dinocell.cli.options import parse_diameter
from dinocell.cli.outputs import check_still_there, dataset_names, make_folder
from dinocell.cli.terminal import Notes, console, errors, progress_bar
from dinocell.errors import DINOCellError, FileFormatError, InputError, MissingExtraError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dinocell.datasets.items import Item
    from dinocell.evaluation.scoring import ImageResult
    from dinocell.evaluation.search import GridPoint
    from dinocell.inference.pipeline import DINOCellPipeline
    from dinocell.inference.segmentation import Diameter
    from dinocell.metrics.scores import Scores


def command(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Annotated data: a folder of NAME_img.* and NAME_masks.*, one with images/ and masks/, a "
            "Cell Tracking Challenge folder, a CSV of pairs, a store made with --whole. Several may follow."
        ),
    ],
    more_data: Annotated[
        list[Path] | None, typer.Argument(metavar="DATA", help="What follows the first after --data.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name of a trained model, or a checkpoint folder. Default: nano.")
    ] = None,
    channel: options.Channel = None,
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
    split_components: options.SplitComponents = None,
    device: options.Device = "auto",
    engine: options.Engine = "torch",
    precision: options.PrecisionOf = "auto",
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
    from dinocell.evaluation.scoring import refuse_equal_files

    data = data + (more_data or [])
    search = search or write
    _refuse_contradictions(model, predictions, diameter, search=search, write=write)
    named = zip(dataset_names(data), data, strict=True)
    datasets = {
        name: open_dataset(path, channel=channel, split_components=split_components) for name, path in named
    }
    for items in datasets.values():
        refuse_equal_files(items)
    if output is not None:
        from dinocell.reports.charts import require_matplotlib

        require_matplotlib()  # before hours of work
        make_folder(output)
    run = _Run(datasets)
    if predictions is not None:
        run.score_predictions(predictions)
    else:
        from dinocell.inference.pipeline import DINOCellPipeline

        pipeline = DINOCellPipeline(
            model or "nano", device=device, engine=engine, precision=options.parse_precision(precision)
        )
        if search:
            run.search(pipeline, workers)
        run.score_model(pipeline, parse_diameter(diameter), output)
    run.labels.close(", see images.csv" if output else "")
    _print(run.results)
    if write:
        _write_thresholds(Path(str(model)), run)
    if output is not None:
        _write_output(output, run, predictions or model or "nano")
    if run.failures:
        errors.print(f"{len(run.failures)} images could not be scored")
        raise typer.Exit(1)


def _refuse_contradictions(
    model: str | None, predictions: Path | None, diameter: str | None, *, search: bool, write: bool
) -> None:
    if predictions is not None and (search or diameter is not None or model is not None):
        raise InputError("--predictions are scored as they are: leave --model, --diameter and the search out")
    if search and diameter is not None:
        raise InputError("--diameter does not go with --search-thresholds: leave one out")
    if write and not (model and Path(model).is_dir()):
        raise InputError("--write-thresholds needs a checkpoint folder as --model")


class _Run:
    """An evaluation on its way: what is scored, what failed, what must be said."""

    def __init__(self, datasets: "dict[str, Sequence[Item]]") -> None:
        self.datasets = datasets
        self.results: dict[str, list[ImageResult]] = {}
        self.points: list[GridPoint] = []
        self.failures: dict[str, None] = {}  # each once, as a search meets them twice
        self.notes: list[str] = []
        self.labels = Notes()

    def score_predictions(self, folder: Path) -> None:
        from dinocell.evaluation.scoring import evaluate_prediction

        for name, items in self.datasets.items():
            own = folder / name
            if len(self.datasets) > 1 and not own.is_dir():
                raise InputError(f"no folder {own}: with several --data, each has its predictions in one")
            where = own if own.is_dir() else folder
            self._score(name, items, functools.partial(evaluate_prediction, folder=where))

    def score_model(self, pipeline: "DINOCellPipeline", diameter: "Diameter", output: Path | None) -> None:
        from dinocell.evaluation.scoring import evaluate_item

        thresholds = self.points[0].thresholds if self.points else pipeline.model.config.thresholds
        folders = {name: None if output is None else output / "labels" / name for name in self.datasets}
        for folder in filter(None, folders.values()):  # all at first: one made later may hide a loss
            make_folder(folder)
        for name, items in self.datasets.items():
            labels = folders[name]
            score = functools.partial(
                evaluate_item, pipeline, thresholds=thresholds, diameter=diameter, output=labels
            )
            self._score(name, items, score)
        self._note_what_was_chosen_on(pipeline)

    def search(self, pipeline: "DINOCellPipeline", workers: int | None) -> None:
        """Predict every map once, and search; the best point comes first."""
        from dinocell.evaluation.scoring import predict_item
        from dinocell.evaluation.search import search_thresholds

        predict = functools.partial(predict_item, pipeline)
        maps = [self._each(name, items, predict) for name, items in self.datasets.items()]
        workers = os.cpu_count() or 1 if workers is None else workers
        with progress_bar() as bar:
            task = bar.add_task("searching", total=None)
            for point in search_thresholds(maps, start=pipeline.model.config.thresholds, workers=workers):
                self.points.append(point)
                bar.update(task, description=f"{len(self.points)} combinations tried")
        self.points.sort(key=lambda point: point.objective, reverse=True)
        names = escape(", ".join(self.datasets))
        console.print(f"Best thresholds on {names}, by the mean of AP@0.5 and AP@0.75 over datasets:")
        for point in self.points[:10]:
            scores = " / ".join(f"{a:.3f} {b:.3f}" for a, b in zip(point.ap50, point.ap75, strict=True))
            console.print(f"{point.objective:.4f}  {point.thresholds}  AP@0.5 AP@0.75: {scores}")
        console.print("note: scores with these thresholds on the same data are validation, no test")

    def _score(self, name: str, items: "Sequence[Item]", score: "Callable[[Item], ImageResult]") -> None:
        def noted(item: "Item") -> "ImageResult":
            result = score(item)
            self.labels.add(result.notes)
            return result

        self.results[name] = self._each(name, items, noted)

    def _each(self, name: str, items: "Sequence[Item]", function: "Callable[[Item], Any]") -> "list[Any]":
        """Apply a function to every item with a progress bar; what fails is named and left out."""
        done = []
        with progress_bar() as bar:
            for item in bar.track(items, description=escape(name)):
                try:
                    done.append(function(item))
                except (MissingExtraError, OutputError):  # as it would befall all others
                    raise
                except DINOCellError as error:
                    failure = f"{name}, {item.name}: {error}"
                    if failure not in self.failures:
                        self.failures[failure] = None
                        errors.print(f"error: {escape(failure)}")
        if not done:
            raise FileFormatError(f"{name}: no image could be scored; the first: {next(iter(self.failures))}")
        return done

    def _note_what_was_chosen_on(self, pipeline: "DINOCellPipeline") -> None:
        """Say when thresholds were chosen on the very images that they are scored on."""
        from dinocell.evaluation.scoring import CHOSEN_ON, HASH_DIGITS, LEARNED_FROM

        record = pipeline.model.config.training
        for key, what, so in (
            (
                CHOSEN_ON,
                "model's thresholds were chosen on",
                "this is validation, no test, and the scores are too good",
            ),
            (LEARNED_FROM, "model learned from", "this is no test, nor validation"),
        ):
            known = _hashes(record.get(key))
            for name, of_one in self.results.items():
                count = sum(result.labels_sha256[:HASH_DIGITS] in known for result in of_one)
                if count and not self.points:
                    self.notes.append(f"the {what} {count} of the {len(of_one)} images of {name}: {so}")
                    console.print(f"note: {escape(self.notes[-1])}")


def _hashes(record: object) -> set[str]:
    """Collect the hashes in a record by names; a checkpoint may say anything about its training."""
    if not isinstance(record, dict):
        return set()
    return {
        digest for hashes in record.values() for digest in (hashes if isinstance(hashes, list) else [hashes])
    }


def _print(datasets: "dict[str, list[ImageResult]]") -> None:
    from dinocell.evaluation.scoring import pool_results
    from dinocell.evaluation.tables import pooled_ceiling

    columns = ("SEG", "DET", "OP_CSB", "AP@0.5", "AP@0.75")
    title = "pooled over cells; in brackets the ceiling: what perfect distance maps reach"
    table = Table("dataset", "images", "cells", "predicted", *columns, title=title)
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


def _write_thresholds(checkpoint: Path, run: _Run) -> None:
    """Put the best thresholds into a checkpoint, with hashes of the images they were chosen on."""
    from dinocell.evaluation.scoring import CHOSEN_ON, HASH_DIGITS
    from dinocell.io.saving import atomic_path
    from dinocell.models.checkpoint import CONFIG_FILE, read_config, write_config

    config = read_config(checkpoint)
    chosen_on = {
        name: sorted(result.labels_sha256[:HASH_DIGITS] for result in of_one)
        for name, of_one in run.results.items()
    }
    changed = config.model_copy(
        update={
            "thresholds": run.points[0].thresholds,
            "training": config.training | {CHOSEN_ON: chosen_on},
        }
    )
    with atomic_path(checkpoint / CONFIG_FILE) as temporary:
        write_config(temporary, changed)
    console.print(f"thresholds saved in {escape(str(checkpoint))}")


def _write_output(output: Path, run: _Run, scored: Path | str) -> None:
    """Write the tables and the report."""
    from dinocell.datasets.masks import first_few
    from dinocell.evaluation.report import write_report
    from dinocell.evaluation.scoring import prediction_path
    from dinocell.evaluation.tables import image_rows, summary_rows
    from dinocell.reports.tables import write_table

    if not isinstance(scored, Path):
        scored_names = {name: {result.name for result in results} for name, results in run.results.items()}
        check_still_there(
            prediction_path(output / "labels" / name, item)
            for name, items in run.datasets.items()
            for item in items
            if item.name in scored_names[name]
        )
    write_table(output / "images.csv", image_rows(run.results))
    write_table(output / "summary.csv", summary_rows(run.results))
    predicted = scored if isinstance(scored, Path) else output / "labels"
    notes = [*run.notes, *first_few(run.labels.all), *run.failures]
    report = output / "report.html"
    write_report(report, str(scored), run.results, run.points, run.datasets, predicted, notes)
    console.print(f"images.csv, summary.csv and report.html are in {escape(str(output))}")
