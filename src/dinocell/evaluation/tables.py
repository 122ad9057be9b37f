"""Scores as tables: a row an image, and a row a dataset."""

from collections.abc import Mapping, Sequence

from dinocell.evaluation.scoring import ImageResult, image_scores, pool_results
from dinocell.metrics.pooling import bootstrap_interval, mean_over_images, pool
from dinocell.metrics.score_table import SCORES
from dinocell.metrics.scores import Scores
from dinocell.reports.tables import Row


def image_rows(datasets: Mapping[str, Sequence[ImageResult]]) -> list[Row]:
    """List every image with its scores, their upper bounds, and the counts they are computed from."""
    return [
        {
            "dataset": name,
            "image": result.name,
            "target": result.target or "",
            "true_cells": result.scores.counts.true_cells,
            "predicted_cells": result.scores.counts.predicted_cells,
            **image_scores(result).by_name(),
            **_bounds(result.upper_bound),
            "note": "; ".join(result.notes),
        }
        for name, results in datasets.items()
        for result in results
    ]


def summary_rows(datasets: Mapping[str, Sequence[ImageResult]]) -> list[Row]:
    """List every dataset: pooled with 95 % intervals over images, mean over images, upper bound."""
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
    return row | _bounds(pooled_upper_bound(results))


def _bounds(scores: Scores) -> Row:
    return {f"upper_bound_{key}": value for key, value in scores.by_name().items()}


def pooled_upper_bound(results: Sequence[ImageResult]) -> Scores:
    """Pool the scores that perfect distance maps reach."""
    return pool(result.upper_bound for result in results)


def score_intervals(results: Sequence[ImageResult]) -> dict[str, tuple[float, float]]:
    """Compute the 95 % bootstrap interval over images of each score that gets one.

    Images with markers have their DET, and so OP_CSB, from other counts than SEG; the interval of OP_CSB is
    then left out.
    """
    intervals = {}
    marked = any(result.detection is not None for result in results)
    for score in (each.key for each in SCORES.values() if each.interval):
        if score == "op_csb" and marked:
            continue
        scores = [
            result.detection if score == "det" and result.detection else result.scores for result in results
        ]
        interval = bootstrap_interval(scores, score)
        intervals[score] = (interval.low, interval.high)
    return intervals
