"""Upper bound of the scores: labels → perfect distance map → labels, at several thresholds.

python benchmarks/upper_bound.py [FOLDER …]    (default: ../shared/data/val/*, else samples)
"""

import sys
from pathlib import Path

from dinocell import distance_to_labels, evaluate, labels_to_distance
from dinocell.datasets.folder import find_pairs
from dinocell.io.images import read_labels
from dinocell.metrics.pooling import pool

SETTINGS = (
    # cells_max, cell_fill, merge, regrow
    (0.47, 0.09, 1.0, False),
    (0.47, 0.05, 1.0, False),
    (0.20, 0.05, 1.0, False),
    (0.47, 0.09, 0.5, False),
    (0.47, 0.09, 0.5, True),
    (0.47, 0.02, 0.5, False),
    (0.47, 0.02, 0.6, False),
)


def default_folders() -> list[Path]:
    """Find the validation folders beside the checkout, or the samples in it."""
    root = Path(__file__).parents[1]
    shared = sorted((root.parent / "shared" / "data" / "val").glob("*"))
    return shared or [root / "samples"]


def main() -> None:
    """Print a line for each setting: cells found, AP@0.5 and AP@0.9 of every folder."""
    folders = [Path(name) for name in sys.argv[1:]] or default_folders()
    datasets = []
    for folder in folders:
        truths = [read_labels(pair.masks) for pair in find_pairs(folder)]
        datasets.append([(true, labels_to_distance(true)) for true in truths])
    print("cells_max cell_fill merge regrow | " + " | ".join(f"{f.name:^28}" for f in folders))
    for cells_max, cell_fill, merge, regrow in SETTINGS:
        columns = []
        for dataset in datasets:
            scores = pool(
                evaluate(
                    true,
                    distance_to_labels(
                        distance,
                        cells_max_threshold=cells_max,
                        cell_fill_threshold=cell_fill,
                        merge=merge,
                        regrow=regrow,
                    ),
                )
                for true, distance in dataset
            )
            found, cells = scores.counts.predicted_cells, scores.counts.true_cells
            columns.append(f"{found:5}/{cells:5} AP50 {scores.ap[0.5]:.3f} AP90 {scores.ap[0.9]:.2f}")
        print(f"{cells_max:9} {cell_fill:9} {merge:5} {regrow!s:6} | " + " | ".join(columns), flush=True)


if __name__ == "__main__":
    main()
