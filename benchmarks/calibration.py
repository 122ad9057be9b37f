"""Measure on annotated images whether confidence and the flags of image quality are right.

python benchmarks/calibration.py [FOLDER …]          (default: ../shared/data/val/*): tables and the picture
python benchmarks/calibration.py --fit [FOLDER …]    (default: datasets/held_back/*): the constants
python benchmarks/calibration.py --low [FOLDER …]    (default: val/* and zeroshot/* there): which mean is low
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata, spearmanr

from dinocell import DINOCellPipeline
from dinocell.datasets.folder import Pair, find_pairs
from dinocell.measure.confidence import cell_confidence, evidence_matrix, measure_evidence
from dinocell.measure.quality import image_quality
from dinocell.metrics.overlaps import count_overlaps
from dinocell.preprocess.preprocessing import to_grayscale
from upper_bound import default_folders

ROOT = Path(__file__).parents[1]
BINS = 10
MATCH = 0.5
CARD = ("bbbc039_nuclei", "dsb2018_nuclei", "usiigaci_phase")
"""Datasets of the kinds that the model card lists."""
LIMITS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Of the mean confidence of an image, tried by ``--low``."""
BLURS = (1, 2, 4)
NOISE = 0.02
"""Standard deviation of the noise that a blurred image gets again, as a share of its range."""
CLIPPED_SHARES = (0.02, 0.05)

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cells:
    """Predicted cells of many images: terms (N, 3), confidence (N,), and IoU (N,) with the best true cell."""

    terms: Values
    confidence: Values
    iou: Values


def main() -> None:
    """Fit the constants, or measure on other images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--fit", action="store_true", help="print the constants instead")
    parser.add_argument("--low", action="store_true", help="print what a low mean of an image says instead")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--maps", type=Path, help="keep what this model predicts here, and take it from here")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images" / "calibration.png")
    arguments = parser.parse_args()
    default = sorted((ROOT / "datasets" / "held_back").glob("*")) if arguments.fit else default_folders()
    folders = arguments.folders or default
    predict = partial(predict_pair, DINOCellPipeline(arguments.model), arguments.maps)
    if arguments.fit:
        print_fit(concatenate(measure_pair(pair, predict) for f in folders for pair in find_pairs(f)))
        return
    if arguments.low:
        kinds = default_folders() + sorted(default_folders()[0].parents[1].glob("zeroshot/*"))
        print_low_means(arguments.folders or kinds, predict)
        return
    datasets = {f.name: concatenate(measure_pair(p, predict) for p in find_pairs(f)) for f in folders}
    if len(datasets) > 1:
        datasets["pooled"] = concatenate(list(datasets.values()))
    print_scores(datasets)
    print_bins(datasets)
    draw(datasets, arguments.output)
    print_flags(folders, predict)


def predict_pair(
    pipeline: DINOCellPipeline, maps: Path | None, pair: Pair
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return labels and distance map of an image, and keep them in a file if a folder is given."""
    folder = pair.image.absolute().parent
    file = None if maps is None else maps / f"{folder.parent.name}__{folder.name}__{pair.image.stem}.npz"
    if file is not None and file.exists():
        kept = np.load(file)
        return kept["labels"], kept["distance"]
    result = pipeline.run(pair.read().pixels)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, labels=result.labels, distance=result.distance_map)
    return result.labels, result.distance_map


def measure_pair(pair: Pair, predict: Callable[[Pair], Any]) -> Cells:
    """Measure the predicted cells of one image; those that lie in ignored pixels are left out."""
    labels, distance_map = predict(pair)
    overlaps = count_overlaps(pair.read().labels, labels)
    iou = np.zeros(labels.max(initial=0) + 1)
    np.maximum.at(iou, overlaps.predicted_ids[overlaps.predicted_index], overlaps.iou)
    kept = overlaps.predicted_ids
    terms = evidence_matrix(measure_evidence(labels, distance_map))
    confidence = cell_confidence(labels, distance_map).astype(np.float64)
    return Cells(terms[kept - 1], confidence[kept - 1], iou[kept])


def print_low_means(folders: list[Path], predict: Callable[[Pair], Any]) -> None:
    """Print the means of every dataset's images, and what limits on the mean of an image would say."""
    images: list[tuple[bool, float, float]] = []  # of the card's kinds, mean confidence, share that is right
    print("| dataset | images with cells | mean confidence | right | of its images: least, median |")
    print("|---|---|---|---|---|")
    for folder in folders:
        name = f"{folder.parent.name}/{folder.name}"
        cells = [found for pair in find_pairs(folder) if len((found := measure_pair(pair, predict)).iou)]
        if not cells:
            print(f"| {name} | 0 | – | – | – |")
            continue
        means = [float(found.confidence.mean()) for found in cells]
        right = [float((found.iou >= MATCH).mean()) for found in cells]
        images += [(folder.name in CARD, *pair) for pair in zip(means, right, strict=True)]
        whole = concatenate(cells)
        print(
            f"| {name} | {len(cells)} | {whole.confidence.mean():.2f} | {(whole.iou >= MATCH).mean():.2f} | "
            f"{min(means):.2f}, {np.median(means):.2f} |"
        )
    card, mean, share = (np.array(column) for column in zip(*images, strict=True))
    print(
        "\n| limit | below it, of the card's kinds | of these, under 0.8 right | below it, of other kinds | "
        "of all under half right |\n|---|---|---|---|---|"
    )
    for limit in LIMITS:
        low, wrong = mean < limit, share < 0.5
        print(
            f"| {limit:.2f} | {(low & card).sum()} of {card.sum()} | {(low & card & (share < 0.8)).sum()} | "
            f"{(low & ~card).sum()} of {(~card).sum()} | {(low & wrong).sum()} of {wrong.sum()} |"
        )


def concatenate(parts: Iterable[Cells]) -> Cells:
    """Join the cells of several images."""
    cells = list(parts)
    return Cells(
        np.concatenate([part.terms for part in cells]),
        np.concatenate([part.confidence for part in cells]),
        np.concatenate([part.iou for part in cells]),
    )


def print_fit(cells: Cells) -> None:
    """Print the constants of the logistic curve with the least mean log loss."""
    terms = np.column_stack([np.ones(len(cells.iou)), cells.terms])
    sign = np.where(cells.iou >= MATCH, -1, 1)

    def log_loss(weights: Values) -> float:
        return float(np.logaddexp(0, sign * (terms @ weights)).mean())

    fitted = minimize(log_loss, np.zeros(4))
    intercept, *weights = fitted.x
    print(f"{len(cells.iou)} cells, {np.mean(sign < 0):.1%} matched, log loss {fitted.fun:.4f}")
    print(f"INTERCEPT = {intercept:.2f}")
    print(f"AGREEMENT_WEIGHT, SPILL_WEIGHT, SADDLE_WEIGHT = {', '.join(f'{w:.2f}' for w in weights)}")


def print_scores(datasets: dict[str, Cells]) -> None:
    """Print a row a dataset: how well the confidence ranks, and how far it is off."""
    print("| dataset | cells | IoU ≥ 0.5 | mean confidence | Spearman with IoU | AUROC | ECE |")
    print("|---|---|---|---|---|---|---|")
    for name, cells in datasets.items():
        matched = cells.iou >= MATCH
        print(
            f"| {name} | {len(matched):,} | {matched.mean():.3f} | {cells.confidence.mean():.3f} | "
            f"{spearmanr(cells.confidence, cells.iou).statistic:.2f} | "
            f"{auroc(cells.confidence, matched):.2f} | {calibration_error(cells):.3f} |"
        )


def auroc(score: Values, positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive scores higher than a negative (ties half); NaN if none."""
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return float("nan")
    return float((rankdata(score)[positive].sum() - count * (count + 1) / 2) / (count * others))


def reliability(cells: Cells) -> Values:
    """Return cells, mean confidence and matched share of every bin, (BINS, 3); NaN where a bin is empty."""
    index = np.minimum((cells.confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(index, minlength=BINS)
    sums = [np.bincount(index, weights=w, minlength=BINS) for w in (cells.confidence, cells.iou >= MATCH)]
    with np.errstate(invalid="ignore"):
        return np.column_stack([count, *(total / count for total in sums)])


def calibration_error(cells: Cells) -> float:
    """Return the mean distance of confidence and matched share over bins, weighted by their cells."""
    count, confidence, matched = reliability(cells).T
    return float(np.nansum(count * np.abs(confidence - matched)) / count.sum())


def print_bins(datasets: dict[str, Cells]) -> None:
    """Print a row for each bin: mean confidence → matched share (cells)."""
    print("\n| confidence | " + " | ".join(datasets) + " |\n" + "|---" * (1 + len(datasets)) + "|")
    tables = [reliability(cells) for cells in datasets.values()]
    for number in range(BINS):
        row = [
            f"{confidence:.2f} → {matched:.2f} ({count:,.0f})" if count else "–"
            for count, confidence, matched in (table[number] for table in tables)
        ]
        print(f"| {number / BINS:.1f}–{(number + 1) / BINS:.1f} | " + " | ".join(row) + " |")


def draw(datasets: dict[str, Cells], path: Path) -> None:
    """Draw for every dataset the matched share over the confidence, and below it where the cells are."""
    figure, axes = plt.subplots(
        2, len(datasets), figsize=(3.2 * len(datasets), 4.4), sharex=True, squeeze=False,
        height_ratios=(3, 1), layout="constrained",
    )  # fmt: skip
    for (name, cells), upper, lower in zip(datasets.items(), axes[0], axes[1], strict=True):
        count, confidence, matched = reliability(cells).T
        error = np.sqrt(matched * (1 - matched) / np.maximum(count, 1))
        upper.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
        upper.errorbar(confidence, matched, error, color="#0072B2", marker="o", markersize=4, capsize=2)
        upper.set(title=f"{name}\n{len(cells.iou):,} cells, ECE {calibration_error(cells):.3f}")
        upper.set_ylim(0, 1.03)
        lower.hist(cells.confidence, bins=BINS, range=(0, 1), color="#0072B2", edgecolor="white", log=True)
        lower.set(xlabel="confidence", xlim=(0, 1))
    axes[0][0].set_ylabel("share of cells with IoU ≥ 0.5")
    axes[1][0].set_ylabel("cells")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def print_flags(folders: list[Path], predict: Callable[[Pair], Any]) -> None:
    """Print how many images are flagged as they are, blurred, and clipped."""
    heads = [
        *(f"σ = {blur}" for blur in BLURS),
        f"σ = {BLURS[-1]}, noise",
        *(f"{share:.0%} clipped" for share in CLIPPED_SHARES),
    ]
    print("\n| dataset | images | out of focus | saturated | " + " | ".join(heads) + " | edge width |")
    print("|---" * (5 + len(heads)) + "|")
    for folder in folders:
        rows, widths = [], []
        for pair in find_pairs(folder):
            gray, labels = to_grayscale(pair.read().pixels), predict(pair)[0]
            plain = image_quality(gray, labels)
            widths.append(plain.focus)
            blurred = [cv2.GaussianBlur(gray.astype(np.float32), (0, 0), blur) for blur in BLURS]
            noise = np.random.default_rng(0).normal(0, NOISE * np.ptp(blurred[-1]), gray.shape)
            blurred.append(blurred[-1] + noise)
            clipped = [np.minimum(gray, np.quantile(gray, 1 - s, method="lower")) for s in CLIPPED_SHARES]
            rows.append(
                ["out of focus" in plain.flags, "saturated" in plain.flags]
                + ["out of focus" in image_quality(image, labels).flags for image in blurred]
                + ["saturated" in image_quality(image, labels).flags for image in clipped]
            )
        low, middle, high = np.percentile(widths, [5, 50, 95])
        shares = " | ".join(f"{share:.0%}" for share in np.mean(rows, axis=0))
        print(f"| {folder.name} | {len(rows)} | {shares} | {middle:.1f} ({low:.1f}–{high:.1f}) |")


if __name__ == "__main__":
    main()
