"""Scores as tables: a row an image, and a row a dataset."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dinocell.evaluation import ImageResult, image_scores, pool_results
from dinocell.metrics import Scores
from dinocell.pooling import bootstrap_interval, mean_over_images
from dinocell.spreadsheets import write_rows

INTERVALS = ("seg", "det", "op_csb", "ap50", "ap75", "f1", "pq", "mma")
"""The scores that get a bootstrap interval."""

Row = dict[str, object]


def image_rows(datasets: Mapping[str, Sequence[ImageResult]]) -> list[Row]:
    """Describe every image: its scores, the ceiling's, and the counts they are made from."""
    return [
        {
            "dataset": name,
            "image": result.name,
            "true_cells": result.scores.counts.true_cells,
            "predicted_cells": result.scores.counts.predicted_cells,
            **image_scores(result).by_name(),
            **{f"ceiling_{key}": value for key, value in result.ceiling.by_name().items()},
            "note": "; ".join(result.notes),
        }
        for name, results in datasets.items()
        for result in results
    ]


def summary_rows(datasets: Mapping[str, Sequence[ImageResult]]) -> list[Row]:
    """Describe every dataset: pooled with 95 % intervals over images, mean over images, ceiling."""
    return [_summarise(name, results) for name, results in datasets.items()]


def _summarise(name: str, results: Sequence[ImageResult]) -> Row:
    pooled = pool_results(results)
    each = [image_scores(result) for result in results]
    row: Row = {
        "dataset": name,
        "images": len(results),
        "images_without_cells": pooled.counts.images_without_cells,
        "true_cells": pooled.counts.true_cells,
        "predicted_cells": pooled.counts.predicted_cells,
        **pooled.by_name(),
    }
    for score, (low, high) in score_intervals(results).items():
        row |= {f"{score}_low": low, f"{score}_high": high}
    row |= {f"mean_{score}": mean.mean for score, mean in mean_over_images(each).items()}
    row |= {f"ceiling_{score}": value for score, value in pooled_ceiling(results).by_name().items()}
    return row


def pooled_ceiling(results: Sequence[ImageResult]) -> Scores:
    """Pool what perfect distance maps reach."""
    from dinocell.pooling import pool

    return pool(result.ceiling for result in results)


def score_intervals(results: Sequence[ImageResult]) -> dict[str, tuple[float, float]]:
    """Find the 95 % bootstrap interval over images of each of `INTERVALS`.

    Images with markers have their DET, and so OP_CSB, from other counts than SEG; the interval of OP_CSB is
    then left out.
    """
    intervals = {}
    marked = any(result.detection is not None for result in results)
    for score in INTERVALS:
        if score == "op_csb" and marked:
            continue
        scores = [
            result.detection if score == "det" and result.detection else result.scores for result in results
        ]
        interval = bootstrap_interval(scores, score)
        intervals[score] = (interval.low, interval.high)
    return intervals


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV; numbers with six significant digits, undefined ones empty; see `write_rows`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_rows(path, [columns, *([_cell(row.get(column, "")) for column in columns] for row in rows)])


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return value
