"""An evaluation as one HTML file: scores, curves, recall by size, thresholds tried, pictures."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from dinocell.datasets.items import Item
from dinocell.errors import DINOCellError, FileMissingError, InputError
from dinocell.evaluation import figures
from dinocell.evaluation.scoring import (
    ImageResult,
    content_hash,
    image_scores,
    pool_results,
    read_prediction,
)
from dinocell.evaluation.search import GridPoint
from dinocell.evaluation.tables import INTERVALS, pooled_ceiling, score_intervals
from dinocell.io.saving import atomic_path
from dinocell.labels import Labels
from dinocell.metrics.pooling import mean_over_images
from dinocell.metrics.scores import IOU_THRESHOLDS, Scores, score_labels
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.preprocess.preprocessing import to_grayscale
from dinocell.reports import charts
from dinocell.reports.pictures import BOTH, PREDICTED, TRUE, draw_comparison, png_uri
from dinocell.version import __version__

Results = Mapping[str, Sequence[ImageResult]]
Pooled = Mapping[str, tuple[Scores, Scores]]  # and the ceiling

WORST, BEST = 6, 3
"""How many pictures of a dataset are shown."""

COLUMNS = {name: name.upper() for name in INTERVALS} | {"ap50": "AP@0.5", "ap75": "AP@0.75"}
"""Headings of the scores shown, by their names in `Scores.by_name`."""

EXPLANATIONS = {
    "SEG": "mean over true cells of the IoU with the prediction on more than half of the cell, else 0.",
    "DET": "1 − cost of mending the detections (5 a merged cell, 10 a missed, 1 a spurious one) / cost of "
    "adding every cell by hand.",
    "OP_CSB": "(SEG + DET) / 2, as in the Cell Tracking Challenge.",
    "AP@t": "TP / (TP + FP + FN), true and predicted cells matched one to one at an IoU of at least t.",
    "F1": "2·TP / (2·TP + FP + FN) at an IoU of 0.5.",
    "PQ": "panoptic quality: sum of the IoU of the matches / (TP + FP/2 + FN/2) at an IoU of 0.5.",
    "MMA": "pixels shared by the heaviest one-to-one matching / pixels of true or predicted cells.",
    "pooled": "every cell weighs the same, whichever image it is in; the mean over images stands apart.",
    "(ceiling)": "what perfect distance maps reach with the same thresholds.",
    "small print": "95 % bootstrap interval, whole images drawn with replacement; none with fewer than two.",
    "–": "undefined: SEG, DET and OP_CSB without a true cell, the others without any cell.",
}
"""What was measured."""

CSS = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--page:#fff;--line:#d5dae0;--note:#fff4d6}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa5b1;--page:#15181c;--line:#363d46;--note:#3a3010}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1180px;
margin:0 auto;padding:1.5rem 1rem 4rem;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:0}h2{margin:2.5rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{margin:1.5rem 0 .3rem}h4{margin:1rem 0 .4rem}p,ul{margin:.5rem 0}small,.soft{color:var(--soft)}
.note{background:var(--note);border-left:4px solid #E69F00;padding:.5rem .8rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;font-size:.9rem}
.scroll{overflow-x:auto}.dark .key span{background:#444;padding:0 .25rem;border-radius:3px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:.8rem 0}
caption{text-align:left;font-weight:600;white-space:nowrap}dt{font-weight:600}dd{margin:0}
th,td{padding:.3rem .5rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}
th,td{white-space:nowrap;overflow-wrap:normal}th:first-child{text-align:left}
thead th{vertical-align:bottom;white-space:normal}td small,th small{display:block;font-weight:400}
.key{display:inline-block;margin-right:1.2rem}svg{max-width:100%;height:auto;display:block}
.charts{display:flex;flex-wrap:wrap;gap:0 2rem}.charts>*{min-width:0;max-width:100%}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(480px,100%),1fr));gap:1rem}
.pictures{align-items:start}figure{margin:0}figure:focus{grid-column:1/-1;outline:none}
figcaption{font-size:.85rem}figcaption b{display:block}
img{max-width:100%;height:auto;display:block;cursor:zoom-in}figure:focus img{cursor:default}
.missing{border:1px dashed var(--line);padding:1rem;margin:0}
"""


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
        Names what was scored: a model, or a folder of predictions.
    results : mapping of str to sequence of ImageResult
        By the name of the dataset; at least one each.
    points : sequence of GridPoint
        What a search for thresholds tried on these datasets; empty without one.
    datasets : mapping of str to sequence of Item
        Gives the images of the pictures.
    predicted : Path
        Folder of predicted label images, or of one such folder a dataset, called like it. A picture that
        cannot be drawn becomes a note.
    notes : sequence of str
        What a reader must know of these scores.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    OutputError
        If the file cannot be written.
    """
    charts.require_matplotlib()
    pooled = {name: (pool_results(of_one), pooled_ceiling(of_one)) for name, of_one in results.items()}
    warned = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    parts = [
        _head(scored, results, points),
        warned,
        _summary(results, pooled),
        _curves(pooled),
        _sizes(results),
    ]
    parts += [_search(points, list(results))] if points else []
    body = "\n".join([*parts, _pictures(results, datasets, predicted)])
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation of {escape(scored)}</title><style>{CSS}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    with atomic_path(path) as temporary:
        # A file name that is no Unicode has characters that cannot be encoded.
        temporary.write_text(page, encoding="utf-8", errors="replace", newline="\n")


def _head(scored: str, results: Results, points: Sequence[GridPoint]) -> str:
    names = ", ".join(map(escape, results))
    when = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    images = sum(len(of_one) for of_one in results.values())
    searched = (
        f'<p class="note"><b>Validation, not a test:</b> the thresholds were searched on this data '
        f"({names}), so the scores flatter them.</p>"
    )
    explained = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in EXPLANATIONS.items())
    return (
        f"<h1>Evaluation of {escape(scored)}</h1>\n"
        f'<p class="soft">{when} · DINOCell {__version__} · images: {images} · data: {names}</p>\n'
        f"{searched if points else ''}<h2>What was measured</h2>\n<dl>{explained}</dl>"
    )


def _summary(results: Results, pooled: Pooled) -> str:
    rows, means, notes = [], [], []
    for name, of_one in results.items():
        counts = pooled[name][0].counts
        title = f"{escape(name)}<small>annotations {content_hash(of_one)[:12]}</small>"
        empty = [escape(r.name) for r in of_one if not r.scores.counts.true_cells]
        images = f"{len(of_one)}" + (f"<small>{len(empty)} without cells</small>" if empty else "")
        cells = [title, images, str(counts.true_cells), str(counts.predicted_cells)]
        rows.append([*cells, *_pooled_cells(*pooled[name], of_one)])
        means.append([escape(name), str(len(of_one)), *_mean_cells(of_one)])
        if empty:
            notes.append(f"{escape(name)}: images without true cells ({len(empty)}): {', '.join(empty)}.")
        if any(r.detection for r in of_one):
            notes.append(f"{escape(name)}: DET is scored against the markers, not the labels.")
    heads = ["dataset", "images", "true cells", "predicted cells"]
    return (
        "<h2>Scores</h2>\n"
        + _table("Pooled over all cells (ceiling)", [*heads, *COLUMNS.values()], rows)
        + _table("Mean over images", [*heads[:2], *COLUMNS.values()], means)
        + "".join(f'<p class="soft">{note}</p>' for note in notes)
    )


def _pooled_cells(scores: Scores, ceiling: Scores, results: Sequence[ImageResult]) -> list[str]:
    values, best, intervals = scores.by_name(), ceiling.by_name(), score_intervals(results)
    cells = []
    for name in COLUMNS:
        low, high = intervals.get(name, (math.nan, math.nan))
        interval = "" if math.isnan(low) else f"<small>{low:.3f}–{high:.3f}</small>"
        cells.append(f"{_number(values[name])}{interval}<small>({_number(best[name])})</small>")
    return cells


def _mean_cells(results: Sequence[ImageResult]) -> list[str]:
    means = mean_over_images(image_scores(result) for result in results)
    over = {name: f"<small>of {m.images} images</small>" for name, m in means.items() if m.undefined}
    return [f"{_number(means[name].mean)}{over.get(name, '')}" for name in COLUMNS]


def _curves(pooled: Pooled) -> str:
    keys = [
        (colour, shape, escape(n)) for (colour, _, shape), n in zip(charts.styles(), pooled, strict=False)
    ]
    rows = []
    for name, (scores, ceiling) in pooled.items():
        pairs = zip(scores.ap.values(), ceiling.ap.values(), strict=True)
        rows.append([escape(name), *(f"{_number(a)}<small>({_number(b)})</small>" for a, b in pairs)])
    heads = ["dataset", *(f"{threshold:g}" for threshold in IOU_THRESHOLDS)]
    return (
        f"<h2>AP over the IoU threshold</h2>\n{charts.legend([*keys, ('inherit', '╌╌', 'ceiling')])}\n"
        f"{figures.draw_ap_curves(list(pooled.values()))}{_table('AP (ceiling)', heads, rows)}"
    )


def _sizes(results: Results) -> str:
    parts = []
    for number, (name, of_one) in enumerate(results.items()):
        bins = figures.size_bins(of_one)
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
        pairs = [f"{_number(a)} / {_number(b)}" for a, b in zip(point.ap50, point.ap75, strict=True)]
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
        + _table("The best combinations", heads, rows)
    )


def _pictures(results: Results, datasets: Mapping[str, Sequence[Item]], predicted: Path) -> str:
    outlines = {"true outline": TRUE, "predicted outline": PREDICTED, "both": BOTH}
    keys = charts.legend((f"rgb{colour}", "■", name) for name, colour in outlines.items())
    parts = [f'<h2>Worst and best images</h2>\n<div class="dark">{keys}</div>Click a picture to enlarge it.']
    for name, of_one in results.items():
        items = {item.name: item for item in datasets.get(name, ())}
        defined = [r for r in of_one if not math.isnan(r.scores.ap[0.5])]
        ranked = sorted(defined, key=lambda r: r.scores.ap[0.5])
        best = min(BEST, len(ranked) // 3)
        parts.append(f"<h3>{escape(name)}</h3>" + ("" if ranked else "<p>no image has an AP</p>"))
        worst = ranked[: min(WORST, len(ranked) - best)]
        for title, chosen in (("Worst", worst), ("Best", ranked[::-1][:best])):
            figures = [_figure(r, items.get(r.name), predicted, name) for r in chosen]
            if figures:
                parts.append(f'<h4>{title} by AP@0.5</h4><div class="pictures">{"".join(figures)}</div>')
    return "\n".join(parts)


def _figure(result: ImageResult, item: Item | None, folder: Path, dataset: str) -> str:
    scores, counts = image_scores(result), result.scores.counts
    try:
        shown = _picture(result, item, folder, dataset)
    except (DINOCellError, OSError) as error:
        shown = f'<p class="missing">No picture: {escape(str(error))}</p>'
    return (
        f'<figure tabindex="0">{shown}<figcaption><b>{escape(result.name)}</b>'
        f"AP@0.5 {_number(scores.ap[0.5])} · SEG {_number(scores.seg)} · "
        f"{counts.true_cells} true, {counts.predicted_cells} predicted cells</figcaption></figure>"
    )


def _picture(result: ImageResult, item: Item | None, folder: Path, dataset: str) -> str:
    if item is None:
        raise FileMissingError("the dataset has no image of this name")
    annotated, labels = item.read(), _find_prediction(item, folder, dataset)
    if score_labels(annotated.labels, labels).counts != result.scores.counts:
        raise InputError("its label image, true or predicted, is not the one that was scored")
    gray = to_grayscale(annotated.pixels)
    if annotated.preprocessing is None:
        gray = scale_to_uint8(gray)
    picture = draw_comparison(gray, annotated.labels, labels)
    height, width, _ = picture.shape
    name = escape(f"{item.name} with true and predicted outlines")
    return f'<img src="{png_uri(picture)}" width="{width}" height="{height}" alt="{name}">'


def _find_prediction(item: Item, folder: Path, dataset: str) -> Labels:
    try:
        return read_prediction(folder, item).labels
    except FileMissingError:
        if not (folder / dataset).is_dir():
            raise
        return read_prediction(folder / dataset, item).labels


def _table(caption: str, heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table that scrolls on a narrow page; cells are HTML, the first of a row names it."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _setting(value: float | bool) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:g}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
