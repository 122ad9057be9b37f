"""Worst and best images of an evaluation, drawn for its report."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from dinocell.datasets.items import Item
from dinocell.errors import DINOCellError, FileMissingError, InputError
from dinocell.evaluation.predictions import read_prediction
from dinocell.evaluation.scoring import ImageResult, image_scores
from dinocell.labels import Labels
from dinocell.metrics.score_table import HEADLINE
from dinocell.metrics.scores import score_labels
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.preprocess.preprocessing import to_grayscale
from dinocell.reports import charts
from dinocell.reports.page import format_score
from dinocell.reports.pictures import BOTH, PREDICTED, TRUE, draw_comparison, png_uri

MOST_WORST, MOST_BEST = 6, 3
"""Numbers of pictures of a dataset that are shown."""


def show_pictures(
    results: Mapping[str, Sequence[ImageResult]], datasets: Mapping[str, Sequence[Item]], predicted: Path
) -> str:
    """Return the section of a report that shows images with true and predicted outlines.

    Parameters
    ----------
    results : mapping of str to sequence of ImageResult
        By the name of the dataset.
    datasets : mapping of str to sequence of Item
        Source of the images.
    predicted : Path
        Folder of predicted label images, or of one such folder a dataset, called like it.

    Returns
    -------
    str
        HTML. A picture that cannot be drawn becomes a note.
    """
    outlines = {"true outline": TRUE, "predicted outline": PREDICTED, "both": BOTH}
    keys = charts.legend((f"rgb{colour}", "■", name) for name, colour in outlines.items())
    parts = [f'<h2>Worst and best images</h2>\n<div class="dark">{keys}</div>Click a picture to enlarge it.']
    for name, image_results in results.items():
        items = {item.name: item for item in datasets.get(name, ())}
        defined = [result for result in image_results if not math.isnan(result.scores.headline)]
        ranked = sorted(
            defined, key=lambda result: result.scores.headline, reverse=not HEADLINE.higher_is_better
        )
        best = min(MOST_BEST, len(ranked) // 3)
        none = "" if ranked else f"<p>no image has a defined {HEADLINE.title}</p>"
        parts.append(f"<h3>{escape(name)}</h3>{none}")
        worst = ranked[: min(MOST_WORST, len(ranked) - best)]
        for title, chosen in (("Worst", worst), ("Best", ranked[::-1][:best])):
            figures = "".join(_figure(r, items.get(r.name), predicted, name) for r in chosen)
            if figures:
                parts.append(f'<h4>{title} by {HEADLINE.title}</h4><div class="pictures">{figures}</div>')
    return "\n".join(parts)


def _figure(result: ImageResult, item: Item | None, folder: Path, dataset: str) -> str:
    scores, counts = image_scores(result), result.scores.counts
    try:
        shown = _picture(result, item, folder, dataset)
    except (DINOCellError, OSError) as error:
        shown = f'<p class="missing">No picture: {escape(str(error))}</p>'
    return (
        f'<figure tabindex="0">{shown}<figcaption><b>{escape(result.name)}</b>'
        f"{HEADLINE.title} {format_score(scores.headline)} · SEG {format_score(scores.seg)} · "
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
