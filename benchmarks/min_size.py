"""AP@0.5 on val/ and zeroshot/ by the smallest size of a cell, as a share of the median cell of its image.

python benchmarks/min_size.py [--data FOLDER] [--shares 0.02 0.05 0.1 0.15 0.2]

Each image is segmented once, with default settings and without a smallest size. Then cells below every share
are removed from its labels, which are scored again. The last column is ``--min-size auto``.
"""

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dinocell import DINOCellPipeline
from dinocell.datasets.folder import find_pairs
from dinocell.labels import Labels, cell_areas
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import Scores, score_labels
from dinocell.postprocess.small_cells import MinSize, remove_small
from generalisation import DATA, PARTS, read

SHARES = (0.02, 0.05, 0.1, 0.15, 0.2)


def sizes_for(labels: Labels, shares: Sequence[float]) -> list[MinSize]:
    """Return the smallest sizes to try on labels: none, each share of the median area, and the default."""
    areas = cell_areas(labels)[1:]
    median = float(np.median(areas)) if areas.size else 0.0
    return [0, *(math.ceil(share * median) for share in shares), "auto"]


def score_set(folder: Path, pipeline: DINOCellPipeline, shares: Sequence[float]) -> str:
    """Return the row of a set: targets, AP@0.5 without a smallest size, and changes with each."""
    scores: list[list[Scores]] = [[] for _ in range(len(shares) + 2)]
    removed: Counter[int] = Counter()
    targets: Counter[str] = Counter()
    for pair in find_pairs(folder):
        annotated = read(pair, folder.name)
        result = pipeline.run(annotated.pixels, min_size=0)
        target = result.parameters.target
        targets[target] += 1
        for column, size in enumerate(sizes_for(result.labels, shares)):
            labels, _, count = remove_small(result.labels, size, target)
            scores[column].append(score_labels(annotated.labels, labels))
            removed[column] += count
    first, *others = (pool(each).ap[0.5] for each in scores)
    chosen = ", ".join(f"{name} {count}" for name, count in targets.most_common())
    cells = [f"{value - first:+.4f} ({removed[column]})" for column, value in enumerate(others, 1)]
    small = "" if targets.total() >= 5 else " †"
    return f"| `{folder.name}`{small} | {chosen} | {first:.3f} | " + " | ".join(cells) + " |"


def table(data: Path, pipeline: DINOCellPipeline, shares: Sequence[float]) -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    heads = ["set", "images by target", "none", *(f"{share:g}" for share in shares), "auto"]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for folder in sorted(path for part in PARTS for path in (data / part).iterdir()):
        yield score_set(folder, pipeline, shares)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="name of a trained model, or a checkpoint folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds val/ and zeroshot/")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="of the median area")
    options = parser.parse_args()
    for line in table(options.data, DINOCellPipeline(options.model, device="cpu"), options.shares):
        print(line, flush=True)


if __name__ == "__main__":
    main()
