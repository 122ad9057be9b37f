"""Report of an evaluation as one HTML file: scores, pictures, charts, thresholds tried, definitions."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from dinocell.datasets.items import Item
from dinocell.evaluation import figures
from dinocell.evaluation.report_pictures import show_pictures
from dinocell.evaluation.scoring import (
    ImageResult,
    hash_annotations,
    image_scores,
    pool_results,
)
from dinocell.evaluation.search import GridPoint
from dinocell.evaluation.tables import pooled_upper_bound, score_intervals
from dinocell.metrics.counts import IOU_THRESHOLDS
from dinocell.metrics.pooling import mean_over_images
from dinocell.metrics.score_table import SCORES, scores_shown
from dinocell.metrics.scores import Scores
from dinocell.postprocess.thresholds import Thresholds
from dinocell.reports import charts
from dinocell.reports.page import fold, format_score, html_table, write_page
from dinocell.version import __version__

Results = Mapping[str, Sequence[ImageResult]]
Pooled = Mapping[str, tuple[Scores, Scores]]
"""Pooled scores and their upper bounds, by dataset."""

SHOWN = scores_shown("report")
"""Columns of the tables of scores."""

FIRST_NOTES = 3
"""Number of notes that are shown unfolded."""

EXPLANATIONS = {score.term or score.title: score.meaning for score in SCORES.values()} | {
    "pooled": "every cell weighs the same, whichever image it is in; the mean over images stands apart.",
    "(upper bound)": "what perfect distance maps reach with the same thresholds.",
    "small print": "95 % bootstrap interval, whole images drawn with replacement; none with fewer than two.",
    "–": "undefined: SEG, DET and OP_CSB without a true cell, the others without any cell.",
}
"""Explanations of the scores and of what stands beside them."""


def write_report(
    path: Path,
    scored: str,
    results: Results,
    points: Sequence[GridPoint],
    datasets: Mapping[str, Sequence[Item]],
    predicted: Path,
    notes: Sequence[str] = (),
) -> None:
    """Write an evaluation as one HTML file that needs no other file, no script and no network.

    Parameters
    ----------
    path : Path
        An existing file is replaced in one step.
    scored : str
        Name of what was scored: a model, or a folder of predictions.
    results : mapping of str to sequence of ImageResult
        By the name of the dataset; at least one each.
    points : sequence of GridPoint
        All that a search for thresholds tried on these datasets; empty without one.
    datasets : mapping of str to sequence of Item
        Source of the images of the pictures.
    predicted : Path
        Folder of predicted label images, or of one such folder a dataset, called like it. A picture that
        cannot be drawn becomes a note.
    notes : sequence of str
        Remarks that a reader of these scores must know.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    OutputError
        If the file cannot be written.
    """
    charts.require_matplotlib()
    pooled = {
        name: (pool_results(image_results), pooled_upper_bound(image_results))
        for name, image_results in results.items()
    }
    parts = [
        _head(scored, results, points),
        _summary(results, pooled),
        _notes(notes),
        show_pictures(results, datasets, predicted),
        _curves(pooled),
        _sizes(results),
        *([_search(points, list(results))] if points else []),
        _definitions(),
        _origin(scored, results),
    ]
    write_page(path, f"Evaluation of {scored}", "\n".join(parts))


def _head(scored: str, results: Results, points: Sequence[GridPoint]) -> str:
    names = ", ".join(map(escape, results))
    when = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    images = sum(len(image_results) for image_results in results.values())
    searched = (
        f'<p class="note"><b>Validation, not a test:</b> the thresholds were searched on this data '
        f"({names}), so the scores flatter them.</p>"
    )
    return (
        f"<h1>Evaluation of {escape(scored)}</h1>\n"
        f'<p class="soft">{when} · images: {images} · data: {names}</p>\n{searched if points else ""}'
    )


def _notes(notes: Sequence[str]) -> str:
    """Return the first notes, and the others folded away."""
    lines = [f'<p class="note">{escape(note)}</p>' for note in notes]
    rest = fold(f"{len(lines) - FIRST_NOTES} more notes", "".join(lines[FIRST_NOTES:]))
    return "".join(lines[:FIRST_NOTES]) + (rest if len(lines) > FIRST_NOTES else "")


def _definitions() -> str:
    explained = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in EXPLANATIONS.items())
    return f'<h2 id="definitions">What was measured</h2>\n<dl>{explained}</dl>'


def _origin(scored: str, results: Results) -> str:
    """Return what identifies the run: it is for machines, and folded away."""
    rows = [
        [escape(name), f"{len(image_results)}", hash_annotations(image_results)]
        for name, image_results in results.items()
    ]
    table = html_table("Annotations (SHA-256)", ["dataset", "images", "hash"], rows)
    version = f"<p>DINOCell {__version__}, scored: {escape(scored)}</p>"
    return fold("Version and hashes", version + table)


def _summary(results: Results, pooled: Pooled) -> str:
    rows, means, notes = [], [], []
    for name, image_results in results.items():
        counts = pooled[name][0].counts
        empty = [escape(r.name) for r in image_results if not r.scores.counts.true_cells]
        images = f"{len(image_results)}" + (f"<small>{len(empty)} without cells</small>" if empty else "")
        cells = [escape(name), images, str(counts.true_cells), str(counts.predicted_cells)]
        rows.append([*cells, *_pooled_cells(*pooled[name], image_results)])
        means.append([escape(name), str(len(image_results)), *_mean_cells(image_results)])
        if empty:
            notes.append(f"{escape(name)}: images without true cells ({len(empty)}): {', '.join(empty)}.")
        if any(r.detection for r in image_results):
            notes.append(f"{escape(name)}: DET is scored against the markers, not the labels.")
    heads = ["dataset", "images", "true cells", "predicted cells"]
    titles = [score.title for score in SHOWN]
    return (
        "<h2>Scores</h2>\n"
        + html_table("Pooled over all cells (upper bound)", [*heads, *titles], rows)
        + '<p class="soft">In small print the 95 % interval; in brackets what perfect distance maps reach. '
        '<a href="#definitions">What the scores mean</a></p>'
        + html_table("Mean over images", [*heads[:2], *titles], means)
        + "".join(f'<p class="soft">{note}</p>' for note in notes)
    )


def _pooled_cells(scores: Scores, bound: Scores, results: Sequence[ImageResult]) -> list[str]:
    values, best, intervals = scores.by_name(), bound.by_name(), score_intervals(results)
    cells = []
    for name in (score.key for score in SHOWN):
        low, high = intervals.get(name, (math.nan, math.nan))
        interval = "" if math.isnan(low) else f"<small>{low:.3f}–{high:.3f}</small>"
        cells.append(f"{format_score(values[name])}{interval}<small>({format_score(best[name])})</small>")
    return cells


def _mean_cells(results: Sequence[ImageResult]) -> list[str]:
    means = mean_over_images(image_scores(result) for result in results)
    over = {name: f"<small>of {m.images} images</small>" for name, m in means.items() if m.undefined}
    return [
        f"{format_score(means[name].mean)}{over.get(name, '')}" for name in (score.key for score in SHOWN)
    ]


def _curves(pooled: Pooled) -> str:
    keys = [
        (colour, shape, escape(n)) for (colour, _, shape), n in zip(charts.styles(), pooled, strict=False)
    ]
    rows = []
    for name, (scores, bound) in pooled.items():
        pairs = zip(scores.ap.values(), bound.ap.values(), strict=True)
        rows.append(
            [escape(name), *(f"{format_score(a)}<small>({format_score(b)})</small>" for a, b in pairs)]
        )
    heads = ["dataset", *(f"{threshold:g}" for threshold in IOU_THRESHOLDS)]
    return (
        f"<h2>AP over the IoU threshold</h2>\n{charts.legend([*keys, ('inherit', '╌╌', 'upper bound')])}\n"
        f"{figures.draw_ap_curves(list(pooled.values()))}{html_table('AP (upper bound)', heads, rows)}"
    )


def _sizes(results: Results) -> str:
    parts = []
    for number, (name, image_results) in enumerate(results.items()):
        bins = figures.size_bins(image_results)
        chart = figures.draw_recall(bins, f"recall{number}") if bins else "<p>no true cells</p>"
        parts.append(f"<div><h3>{escape(name)}</h3>{chart}</div>")
    keys = (
        (figures.RECALL, "■", "recall at an IoU of 0.5"),
        (figures.MATCHED, "◆", "mean IoU of the cells found"),
    )
    return (
        f'<h2>Recall by cell size</h2>\n{charts.legend(keys)}\n<div class="charts">{"".join(parts)}</div>\n'
        '<p class="soft">Bins of about as many cells each; diameter of the circle of equal area.</p>'
    )


def _search(points: Sequence[GridPoint], names: Sequence[str]) -> str:
    ranked = sorted(points, key=lambda point: point.objective, reverse=True)
    rows = []
    for rank, point in enumerate(ranked[:10], start=1):
        settings = [_setting(value) for value in point.thresholds.model_dump().values()]
        pairs = [
            f"{format_score(a)} / {format_score(b)}" for a, b in zip(point.ap50, point.ap75, strict=True)
        ]
        rows.append([f"{rank}", f"{point.objective:.4f}", *settings, *pairs])
    heads = ["", "objective", *(name.removesuffix("_threshold") for name in Thresholds.model_fields)]
    heads += [f"{escape(name)}<small>AP@0.5 / AP@0.75</small>" for name in names]
    maps = []
    for setting in ("cell_fill_threshold", "merge"):
        surface = figures.best_surface(points, setting, "cells_max_threshold")
        maps.append(figures.draw_surface(surface, setting, "cells_max_threshold"))
    return (
        f"<h2>Thresholds tried</h2>\n<p>{len(points)} combinations; the objective is the mean over datasets "
        "of the mean of AP@0.5 and AP@0.75. A field shows the best over the other settings; an empty one was "
        f'not tried; the best is framed.</p>\n<div class="charts">{"".join(maps)}</div>\n'
        + html_table("The best combinations", heads, rows)
    )


def _setting(value: float | bool) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:g}"
