"""Count clicks that put merged and missed cells right, and the time of a click.

python benchmarks/clicks.py [FOLDER …] [--model nano] [--most 60]      (default: val/* and zeroshot/*)

A model segments every image. A *merged* cell is a true one more than half of which lies in a predicted cell
that has more than half of another true cell as well. A *missed* one has no predicted cell with an IoU of 0.5
or more than half of its pixels. The first click is in the middle of the true cell. Each further one is where
the error is largest: in what is missing, or outside in a surplus. A row is a set and a way to use them:

flood      the watershed of the map from the clicks; for missed cells, all above a share of the hill
disk       a disk of the image's median cell around the first click (missed cells only)
map        `LabelEditor` without a decoder of clicks
decoder    `LabelEditor` with one
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from dinocell import DINOCellPipeline, LabelEditor
from dinocell.datasets.folder import find_pairs
from dinocell.editing.operations.operation import Point
from dinocell.errors import InputError
from dinocell.labels import median_diameter, number_pieces, relabel
from dinocell.measure.inside_points import inside_points
from dinocell.metrics.overlaps import count_overlaps
from dinocell.models.checkpoint import Checkpoint
from dinocell.postprocess.flooding import flood
from machine import describe_machine
from upper_bound import default_folders

CLICKS = 3
IOUS = (0.5, 0.8)
LEAST = 10
"""Pixels below which a true cell is no case."""
MOST, LEAST_CELLS = 60, 10
"""Cells of a set that are clicked on, of each kind, and cells of one that counts in the mean."""
SHARE = 0.3
"""Of the hill, down to which plain flooding goes."""

Mask = NDArray[np.bool_]
Groups = list[list[Point]]
Way = Callable[["Case", Groups, list[Point]], list[Mask]]


@dataclass(frozen=True, eq=False)
class Case:
    """Predicted labels and map of an image, and the true cells that clicks shall put right together."""

    labels: NDArray[np.int32]
    distance: NDArray[np.float32]
    image: NDArray[Any]
    cells: list[Mask]
    merged: bool
    editors: dict[str, LabelEditor]


@dataclass
class Tally:
    """IoU after each number of clicks, a row a cell, and seconds of all clicks."""

    ious: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def find_cases(true: NDArray[np.int32], labels: NDArray[np.int32]) -> Iterator[tuple[list[int], bool]]:
    """Yield true cells that one predicted cell has merged, together; and missed ones, each alone."""
    overlaps = count_overlaps(true, labels)
    ids, areas = overlaps.true_ids, overlaps.true_areas
    best, owner = np.zeros(ids.size), np.full(ids.size, -1)
    np.maximum.at(best, overlaps.true_index, overlaps.iou)
    most = overlaps.pixels > 0.5 * areas[overlaps.true_index]
    owner[overlaps.true_index[most]] = overlaps.predicted_index[most]
    for number in np.unique(owner[owner >= 0]):
        members = np.flatnonzero(owner == number)
        if members.size > 1:
            yield ids[members].tolist(), True
    for member in np.flatnonzero((owner < 0) & (best < 0.5) & (areas >= LEAST)):
        yield [int(ids[member])], False


def middle(mask: Mask) -> Point:
    """Return the pixel of a mask that is farthest inside."""
    row, column = inside_points(mask.astype(np.int32)).points[0]
    return float(row), float(column)


def largest_error(cell: Mask, found: Mask) -> tuple[Point, bool]:
    """Return the middle of the largest error, and whether that is outside of the cell."""
    parts = (cell & ~found, found & ~cell)
    depth = [
        edt.edt(np.ascontiguousarray(part, np.uint8), black_border=True)
        if part.any()
        else np.zeros(cell.shape)
        for part in parts
    ]
    outside = bool(depth[1].max() > depth[0].max())
    row, column = np.unravel_index(int(depth[outside].argmax()), cell.shape)
    return (float(row), float(column)), outside


def plain_flood(case: Case, groups: Groups, outside: list[Point]) -> list[Mask]:
    """Flood the map from the clicks, without anything else."""
    clicks = [[(int(row), int(column)) for row, column in group] for group in groups]
    if case.merged:
        mask = case.labels == case.labels[clicks[0][0]]
    else:
        height = SHARE * case.distance[clicks[0][0]]
        pieces = number_pieces(((case.labels == 0) & (case.distance >= height)).astype(np.int32))
        mask = pieces == pieces[clicks[0][0]]
        clicks += [[(int(row), int(column))] for row, column in outside]
    seeds = np.zeros(case.labels.shape, np.int32)
    for number, group in enumerate(clicks, 1):
        for pixel in group:
            seeds[pixel] = number
    heights = np.where(seeds > 0, 2.0, case.distance)
    found = flood(heights, seeds, mask)
    return [found == number for number in range(1, len(groups) + 1)]


def disk(case: Case, groups: Groups, outside: list[Point]) -> list[Mask]:
    """Draw a disk as large as the median cell."""
    rows, columns = np.indices(case.labels.shape, sparse=True)
    row, column = groups[0][0]
    diameter = np.nan_to_num(median_diameter(case.labels), nan=30.0)
    return [(case.labels == 0) & ((rows - row) ** 2 + (columns - column) ** 2 <= diameter**2 / 4)]


def editor(name: str) -> Way:
    """Use an editor of the case."""

    def edit(case: Case, groups: Groups, outside: list[Point]) -> list[Mask]:
        used = case.editors[name]
        try:
            made = used.split(groups) if case.merged else used.add(groups[0], outside=outside)
        except InputError:
            return [np.zeros(case.labels.shape, bool) for _ in groups]
        found = [used.labels == number for number in made.ids]
        used.undo()
        return found

    return edit


WAYS: dict[str, Way] = {
    "flood": plain_flood, "disk": disk, "map": editor("map"), "decoder": editor("decoder"),
}  # fmt: skip


def click(case: Case, way: Way, tally: Tally) -> None:
    """Place up to `CLICKS` clicks a cell, and note the IoU after each."""
    free = case.labels == 0
    places = [
        cell & (case.labels == np.bincount(case.labels[cell]).argmax() if case.merged else free)
        for cell in case.cells
    ]
    if not all(place.any() for place in places):
        tally.ious += [[0.0] * CLICKS for _ in case.cells]
        return
    groups: Groups = [[middle(place)] for place in places]
    outside: list[Point] = []
    rows: list[list[float]] = [[] for _ in case.cells]
    for number in range(CLICKS):
        begin = time.perf_counter()
        found = way(case, groups, outside)
        tally.seconds.append(time.perf_counter() - begin)
        for row, cell, mask in zip(rows, case.cells, found, strict=True):
            row.append(float((cell & mask).sum() / (cell | mask).sum()))
        if number + 1 < CLICKS:
            correct(case, groups, outside, found)
    tally.ious += rows


def correct(case: Case, groups: Groups, outside: list[Point], found: Sequence[Mask]) -> None:
    """Add a click for each cell where its error is largest, if that is where a click can be."""
    allowed = case.labels == (case.labels[tuple(map(int, groups[0][0]))] if case.merged else 0)
    for group, cell, mask in zip(groups, case.cells, found, strict=True):
        point, is_outside = largest_error(cell & allowed, mask)
        known = [each for one in groups for each in one] + outside
        if point in known or not allowed[int(point[0]), int(point[1])]:
            continue
        if not is_outside:
            group.append(point)
        elif not case.merged:
            outside.append(point)


def measure(
    folder: Path, pipeline: DINOCellPipeline, ways: Sequence[str], most: int
) -> dict[tuple[str, bool], Tally]:
    """Measure clicks on the merged and missed cells of a folder."""
    tallies = {(way, merged): Tally() for way in ways for merged in (True, False)}
    left = {True: most, False: most}
    for pair in find_pairs(folder):
        annotated = pair.read()
        true = relabel(np.maximum(annotated.labels, 0))
        result = pipeline.run(annotated.pixels)
        editors = {
            "map": LabelEditor(result.labels, result.distance_map),
            "decoder": LabelEditor(
                result.labels, result.distance_map, annotated.pixels, model=folder_of(pipeline)
            ),
        }
        for members, merged in find_cases(true, result.labels):
            if left[merged] <= 0:
                continue
            left[merged] -= len(members)
            cells = [true == number for number in members]
            case = Case(result.labels, result.distance_map, annotated.pixels, cells, merged, editors)
            for way in ways:
                if not (merged and way == "disk"):
                    click(case, WAYS[way], tallies[way, merged])
    return tallies


def folder_of(pipeline: DINOCellPipeline) -> Path | str:
    """Return where the checkpoint of a pipeline lies."""
    return (
        pipeline.model.folder if isinstance(pipeline.model, Checkpoint) and pipeline.model.folder else "nano"
    )


def row_of(name: str, way: str, tally: Tally) -> str:
    """Return a row of the table."""
    ious = np.array(tally.ious)
    shares = [f"{(ious[:, number] >= limit).mean():.2f}" for limit in IOUS for number in range(CLICKS)]
    return f"| {name} | {len(ious)} | {way} | {' | '.join(shares)} | {1000 * np.median(tally.seconds):.0f} |"


def mean_rows(per_set: dict[str, dict[tuple[str, bool], Tally]], way: str, merged: bool, least: int) -> str:
    """Return the row of the mean over sets that have enough cases."""
    chosen = [t[way, merged] for t in per_set.values() if len(t[way, merged].ious) >= least]
    means = [
        np.mean([(np.array(t.ious)[:, number] >= limit).mean() for t in chosen])
        for limit in IOUS
        for number in range(CLICKS)
    ]
    shares = " | ".join(f"**{mean:.2f}**" for mean in means)
    seconds = np.median([each for t in chosen for each in t.seconds])
    cells = sum(len(tally.ious) for tally in chosen)
    return f"| **mean of {len(chosen)} sets** | {cells} | {way} | {shares} | {1000 * seconds:.0f} |"


def main() -> None:
    """Print a table of merged cells and one of missed cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--most", type=int, default=MOST, help="cells of a set, of each kind")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument(
        "--least", type=int, default=LEAST_CELLS, help="cells of a set that counts in the mean"
    )
    arguments = parser.parse_args()
    folders = arguments.folders or [
        *default_folders(),
        *sorted(default_folders()[0].parents[1].glob("zeroshot/*")),
    ]
    pipeline = DINOCellPipeline(arguments.model, device="cpu")
    per_set = {}
    for folder in folders:
        per_set[folder.name] = measure(folder, pipeline, arguments.ways, arguments.most)
        print(f"{folder.name} is done", flush=True)
    print(describe_machine())
    for merged in (True, False):
        print(f"\n## {'Merged' if merged else 'Missed'} cells\n")
        heads = [f"IoU ≥ {limit}, {n} click{'s' * (n > 1)}" for limit in IOUS for n in range(1, CLICKS + 1)]
        print(f"| set | cells | way | {' | '.join(heads)} | ms a click |")
        print(f"|---|--:|---|{'--:|' * (len(heads) + 1)}")
        ways = [way for way in arguments.ways if not (merged and way == "disk")]
        for name, tallies in per_set.items():
            for way in ways:
                if tallies[way, merged].ious:
                    print(row_of(name, way, tallies[way, merged]))
        for way in ways:
            print(mean_rows(per_set, way, merged, arguments.least))


if __name__ == "__main__":
    main()
