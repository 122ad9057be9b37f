"""Measure on annotated images whether confidence and the flags of image quality are right.

python benchmarks/calibration.py [FOLDER …]          (default: ../shared/data/val/*): tables and the picture
python benchmarks/calibration.py --fit [FOLDER …]    (default: datasets/held_back/*): the constants
python benchmarks/calibration.py --low [FOLDER …]    (default: val/* and zeroshot/* there): which mean is low
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
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

import dinocell.measure.confidence as module
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
LIMITS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Of the mean confidence of an image, tried by ``--low``."""
NAMED = 1 / 8
"""Of the images of kinds that the model has learned, the share that may be below the limit."""
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
    pipeline = DINOCellPipeline(arguments.model)
    predict = partial(predict_pair, pipeline, arguments.maps)
    if arguments.fit:
        fitted = fit(concatenate(measure_pair(pair, predict) for f in folders for pair in find_pairs(f)))
        print("\n".join(f"{name} = {value:.2f}" for name, value in fitted.items()))
        return
    if arguments.low:
        kinds = default_folders() + sorted(default_folders()[0].parents[1].glob("zeroshot/*"))
        means = measure_means(arguments.folders or kinds, predict)
        learned = set(pipeline.model.config.training.get("train", {}))
        print("\n".join([*mean_lines(means), "", *limit_lines(means, learned)]))
        return
    datasets = measure_datasets(folders, predict)
    print("\n".join([*score_lines(datasets), "", *bin_lines(datasets)]))
    draw(datasets, arguments.output)
    print("\n".join(["", *flag_lines(folders, predict)]))


def measure_datasets(folders: Iterable[Path], predict: Callable[[Pair], Any]) -> dict[str, Cells]:
    """Measure the cells of several datasets, by name; those of all together are ``pooled``."""
    measured = {f.name: [measure_pair(p, predict) for p in find_pairs(f)] for f in folders}
    datasets = {name: cells for name, parts in measured.items() if len((cells := concatenate(parts)).iou)}
    return datasets | ({"pooled": concatenate(datasets.values())} if len(datasets) > 1 else {})


def predict_pair(
    pipeline: DINOCellPipeline, maps: Path | None, pair: Pair
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return labels and distance map of an image, and keep them in a file if a folder is given."""
    file = None if maps is None else map_file(maps, pair)
    if file is not None and file.exists():
        kept = np.load(file)
        return kept["labels"], kept["distance"]
    result = pipeline.run(pair.read().pixels)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, labels=result.labels, distance=result.distance_map)
    return result.labels, result.distance_map


def map_file(maps: Path, pair: Pair) -> Path:
    """Return where the prediction of an image is kept."""
    folder = pair.image.absolute().parent
    return maps / f"{folder.parent.name}__{folder.name}__{pair.image.stem}.npz"


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


Means = dict[str, list[tuple[float, float]]]
"""Of every image with cells, by dataset: mean confidence, and share of the cells that is right."""


def measure_means(folders: Iterable[Path], predict: Callable[[Pair], Any]) -> tuple[Means, dict[str, Cells]]:
    """Measure the mean of every image, and all cells of every dataset that has some."""
    means: Means = {}
    cells = {}
    for folder in folders:
        name = f"{folder.parent.name}/{folder.name}"
        found = [each for pair in find_pairs(folder) if len((each := measure_pair(pair, predict)).iou)]
        means[name] = [(float(each.confidence.mean()), float((each.iou >= MATCH).mean())) for each in found]
        if found:
            cells[name] = concatenate(found)
    return means, cells


def mean_lines(measured: tuple[Means, dict[str, Cells]]) -> Iterator[str]:
    """Yield a row a dataset: mean confidence beside the share of cells that is right."""
    yield "| dataset | images with cells | mean confidence | right | of its images: least, median |"
    yield "|---|---|---|---|---|"
    for name, images in measured[0].items():
        if not images:
            yield f"| {name} | 0 | – | – | – |"
            continue
        whole, means = measured[1][name], [mean for mean, _ in images]
        yield (
            f"| {name} | {len(images)} | {whole.confidence.mean():.2f} | {(whole.iou >= MATCH).mean():.2f} | "
            f"{min(means):.2f}, {np.median(means):.2f} |"
        )


def _images(means: Means, learned: set[str]) -> Values:
    """Return a row an image: whether the model has learned its kind, mean confidence, share that is right."""
    return np.array(
        [
            (name.rpartition("/")[2] in learned, mean, right)
            for name, rows in means.items()
            for mean, right in rows
        ],
        float,
    ).reshape(-1, 3)


def choose_limit(means: Means, learned: set[str]) -> float:
    """Choose the highest limit that at most `NAMED` of the images of kinds that were learned are below."""
    images = _images(means, learned)
    known = images[images[:, 0] > 0, 1]
    return max((limit for limit in LIMITS if np.mean(known < limit) <= NAMED), default=LIMITS[0])


def limit_lines(measured: tuple[Means, dict[str, Cells]], learned: set[str]) -> Iterator[str]:
    """Yield a row a limit: how many images are below it, and with what reason."""
    kind, mean, share = _images(measured[0], learned).T
    known = kind > 0
    yield (
        "| limit | below it, of kinds that it learned | of these, under 0.8 right "
        "| below it, of other kinds | of all under half right |"
    )
    yield "|---|---|---|---|---|"
    for limit in LIMITS:
        low, wrong = mean < limit, share < 0.5
        named = f"{(low & known).sum()} of {known.sum()} | {(low & known & (share < 0.8)).sum()}"
        others = f"{(low & ~known).sum()} of {(~known).sum()}"
        yield f"| {limit:.2f} | {named} | {others} | {(low & wrong).sum()} of {wrong.sum()} |"


def concatenate(parts: Iterable[Cells]) -> Cells:
    """Join the cells of several images."""
    cells = list(parts)
    return Cells(
        np.concatenate([part.terms for part in cells]),
        np.concatenate([part.confidence for part in cells]),
        np.concatenate([part.iou for part in cells]),
    )


def fit(cells: Cells) -> dict[str, float]:
    """Fit the constants of the logistic curve with the least mean log loss."""
    terms = np.column_stack([np.ones(len(cells.iou)), cells.terms])
    sign = np.where(cells.iou >= MATCH, -1, 1)

    def log_loss(weights: Values) -> float:
        return float(np.logaddexp(0, sign * (terms @ weights)).mean())

    fitted = minimize(log_loss, np.zeros(4))
    names = ("intercept", "agreement_weight", "spill_weight", "saddle_weight")
    return dict(zip(names, map(float, fitted.x), strict=True))


def set_constants(constants: dict[str, float]) -> None:
    """Measure with other constants from here on, in this process."""
    for name, value in constants.items():
        setattr(module, name.upper(), value)


def score_lines(datasets: dict[str, Cells]) -> Iterator[str]:
    """Yield a row a dataset: how well the confidence ranks, and how far it is off."""
    yield "| dataset | cells | IoU ≥ 0.5 | mean confidence | Spearman with IoU | AUROC | ECE |"
    yield "|---|---|---|---|---|---|---|"
    for name, cells in datasets.items():
        matched = cells.iou >= MATCH
        yield (
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


def bin_lines(datasets: dict[str, Cells]) -> Iterator[str]:
    """Yield a row a bin: mean confidence → matched share (cells)."""
    yield "| confidence | " + " | ".join(datasets) + " |"
    yield "|---" * (1 + len(datasets)) + "|"
    tables = [reliability(cells) for cells in datasets.values()]
    for number in range(BINS):
        row = [
            f"{confidence:.2f} → {matched:.2f} ({count:,.0f})" if count else "–"
            for count, confidence, matched in (table[number] for table in tables)
        ]
        yield f"| {number / BINS:.1f}–{(number + 1) / BINS:.1f} | " + " | ".join(row) + " |"


def draw(datasets: dict[str, Cells], path: Path, provenance: dict[str, Any] | None = None) -> None:
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
    made = {} if provenance is None else {"dinocell": json.dumps(provenance)}
    figure.savefig(path, dpi=110, metadata={"Software": None, **made})
    plt.close(figure)


def flag_lines(folders: list[Path], predict: Callable[[Pair], Any]) -> Iterator[str]:
    """Yield a row a dataset: how many images are flagged as they are, blurred, and clipped."""
    heads = [
        *(f"σ = {blur}" for blur in BLURS),
        f"σ = {BLURS[-1]}, noise",
        *(f"{share:.0%} clipped" for share in CLIPPED_SHARES),
    ]
    yield "| dataset | images | out of focus | saturated | " + " | ".join(heads) + " | edge width |"
    yield "|---" * (5 + len(heads)) + "|"
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
        yield f"| {folder.name} | {len(rows)} | {shares} | {middle:.1f} ({low:.1f}–{high:.1f}) |"


if __name__ == "__main__":
    main()
