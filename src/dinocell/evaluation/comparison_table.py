"""Results of a comparison of tools, dataset by dataset, as rows of a table."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dinocell.datasets.items import Item
from dinocell.datasets.masks import first_few
from dinocell.evaluation.comparison import ImageOutcome, ToolResult
from dinocell.metrics.pooling import pool
from dinocell.metrics.score_table import scores_shown
from dinocell.metrics.scores import Scores
from dinocell.reports.tables import Row


@dataclass(frozen=True)
class ToolOnDataset:
    """Result of one tool on the images of one dataset.

    Attributes
    ----------
    dataset : Path
    result : ToolResult
        Of the tool on all datasets.
    images : sequence of ImageOutcome
        Those of this dataset; empty where the tool did not run.
    """

    dataset: Path
    result: ToolResult
    images: Sequence[ImageOutcome]

    @property
    def scores(self) -> Scores | None:
        """Scores pooled over the images; None where there are none."""
        return pool(image.scores for image in self.images) if self.images else None

    @property
    def seconds(self) -> list[float]:
        """Seconds of the images that the tool timed."""
        return [image.seconds for image in self.images if not math.isnan(image.seconds)]

    @property
    def median_seconds(self) -> float:
        """Median of the seconds; NaN without any."""
        return statistics.median(self.seconds) if self.seconds else math.nan

    @property
    def note(self) -> str:
        """Reason why the tool did not run or failed on some images; empty where it did neither."""
        if not self.images:
            return f"not run: {self.result.reason}"
        failed = [image for image in self.images if image.failure]
        if not failed:
            return self.result.reason
        count = f"{len(failed)} of {len(self.images)} images failed and count as missed"
        return f"{count}, first {failed[0].name}: {failed[0].failure}"


def split_by_dataset(result: ToolResult, datasets: Mapping[Path, Sequence[Item]]) -> Iterator[ToolOnDataset]:
    """Split a tool's result by dataset, in the order in which the images were segmented."""
    start = 0
    for dataset, items in datasets.items():
        yield ToolOnDataset(dataset, result, result.images[start : start + len(items)])
        start += len(items)


def comparison_rows(results: Sequence[ToolResult], datasets: Mapping[Path, Sequence[Item]]) -> list[Row]:
    """List every tool on every dataset, with its scores and times."""
    return [_row(part) for result in results for part in split_by_dataset(result, datasets)]


def _row(part: ToolOnDataset) -> Row:
    scores, result = part.scores, part.result
    values = {} if scores is None else scores.by_name()
    return {
        "dataset": str(part.dataset),
        "tool": result.tool,
        "version": result.version,
        "model": result.model,
        "device": result.device,
        "images": len(part.images),
        "failed": sum(bool(image.failure) for image in part.images),
        "cells": scores.counts.true_cells if scores else "",
        "predicted": scores.counts.predicted_cells if scores else "",
        **{score.key: values.get(score.key, math.nan) for score in scores_shown("comparison.csv")},
        "seconds_median": part.median_seconds,
        "seconds_total": math.fsum(part.seconds) if part.seconds else math.nan,
        "load_seconds": result.load_seconds,
        "note": part.note,
        "label_notes": "; ".join(first_few([note for image in part.images for note in image.notes])),
    }
