"""Scores on kinds of images that a model has never seen, and how it bears borders, sizes and inversion.

python benchmarks/generalisation.py [--model nano] [--against OLD.json] -o NEW.json
python benchmarks/generalisation.py --labels FOLDER -o OTHER.json     (label images of another tool)
python benchmarks/generalisation.py --show NEW.json [--against OLD.json]      (the tables, without a run)

The table holds AP@0.5 of every set with default settings, and with the target that the set annotates. The
intervals are bootstraps over images. A set of fewer than 5 images is reported (†), but is not in the means
and has no veto. Cells that touch the frame of ``cornea_label_free`` are cut, and left out of its score. The
result holds the counts of every image, from which all this can be computed again.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell import DINOCellPipeline
from dinocell.datasets.folder import Pair, find_pairs
from dinocell.datasets.items import AnnotatedImage
from dinocell.evaluation.predictions import read_prediction
from dinocell.inference.settings import RunOptions
from dinocell.labels import IGNORE, Labels
from dinocell.machine import processor_name
from dinocell.measure.outlines import draw_outlines
from dinocell.metrics.scores import score_labels
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.preprocess.preprocessing import to_grayscale
from dinocell.results.overlay import write_overlay
from dinocell.version import __version__
from generalisation_tables import robustness_table, score_table, target_of
from robustness import as_count, measure, set_diameter

DATA = Path(__file__).parents[2] / "shared" / "data"
PARTS = ("val", "zeroshot")
CUT_CELLS = ("cornea_label_free",)
"""Sets of crops, whose cells at the frame are cut."""

HAS_TARGETS = "target" in RunOptions.__annotations__
LEAST = 3
"""Images of a set that a robustness measurement takes, where the set has as many."""

Finder = Callable[[Pair, AnnotatedImage], dict[str, Any]]
"""From an image to its ``labels`` by default settings, the ``thresholds`` used, and perhaps more."""


def read(pair: Pair, name: str) -> AnnotatedImage:
    """Read an annotated image; cells that the frame cuts are ignored where a set consists of crops."""
    annotated = pair.read()
    if name in CUT_CELLS:
        return replace(annotated, labels=without_cut_cells(annotated.labels))
    return annotated


def without_cut_cells(labels: Labels) -> Labels:
    """Return labels in which the cells that touch the frame are ignored."""
    frame = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.where(np.isin(labels, frame[frame > 0]), np.int32(IGNORE), labels)


def finder_of_model(pipeline: DINOCellPipeline) -> Finder:
    """Return what finds the cells of an image by a model, by default and with the right target."""

    def find(pair: Pair, annotated: AnnotatedImage) -> dict[str, Any]:
        start = time.process_time()
        result = pipeline.run(annotated.pixels)
        seconds = time.process_time() - start
        found = {"labels": result.labels, "thresholds": result.parameters.thresholds, "seconds": seconds}
        if HAS_TARGETS:
            right, chosen = target_of(pair.image.parent.name), result.parameters.target
            given = (
                result if right == chosen else pipeline.run(annotated.pixels, target=right)  # type: ignore[call-arg]
            )
            found |= {"given": given.labels, "chosen": chosen}
        return found

    return find


def finder_of_labels(folder: Path) -> Finder:
    """Return what reads the label image ``FOLDER/SET/NAME.png`` that another tool has written."""

    def find(pair: Pair, _: AnnotatedImage) -> dict[str, Any]:
        labels = read_prediction(folder / pair.image.parent.name, pair)[0]
        return {"labels": labels, "thresholds": Thresholds()}

    return find


def score_set(folder: Path, find: Finder, overlays: Path | None) -> dict[str, Any]:
    """Score all images of a set; return the counts of each, and write a picture of the worst."""
    rows, worst = {}, (np.inf, "", np.zeros((1, 1, 3), np.uint8))
    for pair in find_pairs(folder):
        annotated = read(pair, folder.name)
        found = find(pair, annotated)
        labels, true = found.pop("labels"), annotated.labels
        scores = score_labels(true, labels)
        perfect = distance_to_labels(labels_to_distance(true), thresholds=found.pop("thresholds"))
        row: dict[str, Any] = {"default": asdict(scores.counts)}
        row["upper_bound"] = as_count(score_labels(true, perfect).counts)
        if "given" in found:
            row["given"] = asdict(score_labels(true, found.pop("given")).counts)
        rows[pair.name] = row | found
        if overlays and scores.headline < worst[0]:
            worst = (scores.headline, pair.name, draw_both(annotated, labels))
    if overlays and worst[1]:
        overlays.mkdir(parents=True, exist_ok=True)
        write_overlay(overlays / f"{folder.name}_{worst[0]:.3f}.png", worst[2])
    return rows


def draw_both(annotated: AnnotatedImage, labels: Labels) -> NDArray[np.uint8]:
    """Draw the true cells, and to the right of them those that were found."""
    gray = scale_to_uint8(to_grayscale(annotated.pixels))
    both = [draw_outlines(gray, each) for each in (annotated.labels, labels)]
    return np.concatenate([both[0], np.full((len(gray), 8, 3), 255, np.uint8), both[1]], axis=1)


def spread_out(pairs: list[Pair], every: int) -> list[Pair]:
    """Choose about every n-th image, evenly, and `LEAST` where there are as many."""
    number = min(len(pairs), max(LEAST, len(pairs) // every))
    return [pairs[round(place)] for place in np.linspace(0, len(pairs) - 1, number)]


def bear_changes(folder: Path, pipeline: DINOCellPipeline, every: int, largest: int) -> dict[str, Any]:
    """Measure what changes of the images of a set do; see robustness.py."""
    pairs = find_pairs(folder)
    diameter = set_diameter(read(pair, folder.name).labels for pair in pairs)
    rows: dict[str, Any] = {"diameter": diameter, "images_of_set": len(pairs), "images": {}}
    for pair in spread_out(pairs, every):
        annotated = read(pair, folder.name)
        outcomes = measure(
            lambda image: pipeline.run(image).labels,
            annotated.pixels,
            annotated.labels,
            diameter,
            largest,
        )
        rows["images"][pair.name] = {each.change: [each.before, each.after] for each in outcomes}
    return rows


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all parts that were asked for; the result is written after every set."""
    pipeline = None if options.labels else DINOCellPipeline(options.model, device="cpu")
    find = finder_of_model(pipeline) if pipeline else finder_of_labels(options.labels)
    result: dict[str, Any] = {
        "model": str(options.labels or options.model),
        "dinocell": __version__,
        "processor": processor_name(),
    }
    for part in options.parts:
        if part == "robustness" and not pipeline:
            continue
        result[part] = {}
        for folder in sorted(path for name in PARTS for path in (options.data / name).iterdir()):
            if part == "table":
                rows = score_set(folder, find, options.overlays)
            else:
                assert pipeline  # noqa: S101 (nothing is measured otherwise, see above)
                rows = bear_changes(folder, pipeline, options.every, options.largest)
            result[part][f"{folder.parent.name}/{folder.name}"] = rows
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            print(f"{part}: {folder.name}", flush=True)
    return result


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="name of a trained model, or a checkpoint folder")
    parser.add_argument("--labels", type=Path, help="folder of label images to score instead: SET/NAME.png")
    parser.add_argument("--show", type=Path, help="print the tables of this result instead of measuring")
    parser.add_argument("--against", type=Path, help="result of the model that this one would replace")
    parser.add_argument("-o", "--output", type=Path, default=Path("generalisation.json"))
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds val/ and zeroshot/")
    parser.add_argument("--parts", nargs="+", default=["table"], choices=["table", "robustness"])
    parser.add_argument("--every", type=int, default=4, help="for robustness, take about every n-th image")
    parser.add_argument("--largest", type=int, default=1536, help="side in pixels of what is enlarged")
    parser.add_argument("--overlays", type=Path, help="folder for a picture of each set's worst image")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the tables."""
    options = parse()
    result = json.loads(options.show.read_text("utf-8")) if options.show else run(options)
    against = json.loads(options.against.read_text("utf-8")) if options.against else None
    if "table" in result:
        print("\n".join(score_table(result, against)))
    if "robustness" in result:
        print("\n" + "\n".join(robustness_table(result, against)))


if __name__ == "__main__":
    main()
