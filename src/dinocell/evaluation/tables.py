"""Scores as tables: a row an image, and a row a dataset."""

from collections.abc import Mapping, Sequence

from dinocell.evaluation.scoring import ImageResult, image_scores, pool_results
from dinocell.metrics.pooling import bootstrap_interval, mean_over_images, pool
from dinocell.metrics.scores import Scores
from dinocell.reports.tables import Row

INTERVALS = ("seg", "det", "op_csb", "ap50", "ap75", "f1", "pq", "mma")
"""The scores that get a bootstrap interval."""


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
