"""Gain of pretraining a backbone: linear probes of its features, against random weights.

python benchmarks/pretrain_probe.py [--data ../shared/data] [--model nano] [--steps 150] [--seeds 2]

Pretrains on the images of DATA/train and DATA/unlabelled, of which no label is read, then freezes the
backbone and fits logistic regressions to DATA/train, scored on DATA/val: which patches of 16 px are mostly
cell, and which dataset an image is of. The rows "random" are of the weights that pretraining began with, with
the same probes; the row "pixels" is of no network, but of a patch's gray values and an image's histogram.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dinocell.datasets.folder import Pair, find_pairs
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.preprocess.preprocessing import preprocess
from dinocell.training.pretraining import PretrainConfig, PretrainRecord, pretraining_steps
from dinocell.training.pretraining.state import BACKBONE_FOLDER
from dinocell.training.pretraining.student import Encoder

Matrix = NDArray[np.float32]
Describe = Callable[[NDArray[np.uint8]], tuple[Matrix, Matrix]]
"""From a tile to the features of the whole, shape (D,), and of its patches, shape (N, d)."""

TILE = 256
PATCH = 16
PROBED_IMAGES = 60
"""Of every dataset, evenly spaced; one tile, the middle, of each."""
PROBED_PATCHES = 20_000


@dataclass(frozen=True)
class Features:
    """Features of a split from a frozen backbone, and the true answers.

    Attributes
    ----------
    patches, in_cell
        Features of patches, and whether cells cover at least half of each.
    images, dataset
        Features of tiles, and the number of the dataset that each is of.
    """

    patches: Matrix
    in_cell: NDArray[np.bool_]
    images: Matrix
    dataset: NDArray[np.int64]


def main() -> None:
    """Print a line a seed and backbone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    print("backbone    seed   patch in cell: AUROC      AP  bal.acc.   dataset: bal.acc.   CPU seconds")
    report("pixels", "-", describe_pixels, arguments.data, 0)
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        report("random", seed, describe_by(DINOCell.from_variant(arguments.model)), arguments.data, 0)
        with TemporaryDirectory() as folder:
            model, seconds = pretrained(arguments, seed, Path(folder) / "run")
        report("pretrained", seed, describe_by(model), arguments.data, seconds)


def pretrained(arguments: argparse.Namespace, seed: int, output: Path) -> tuple[DINOCell, float]:
    """Pretrain with a recipe for few steps and small batches."""
    config = PretrainConfig.model_validate(
        {
            "model": arguments.model,
            "images": [arguments.data / "train", arguments.data / "unlabelled"],
            "output": output,
            "seed": seed,
            "epochs": 5,
            "steps_per_epoch": arguments.steps // 5,
            "batch_size": arguments.batch_size,
            "field": 192,
            "global_views": {"size": 96},
            "local_views": {"size": 64, "count": 2},
            "heads": {"hidden": 512, "bottleneck": 128, "prototypes": 64},
            "teacher": {"momentum": 0.98, "temperature": 0.03},
            "optimiser": {"learning_rate": 1e-3, "warmup_steps": 50},
            "workers": 0,
        }
    )
    began = time.process_time()
    for event in pretraining_steps(config):
        if isinstance(event, PretrainRecord):
            print(
                f"# {event.step} steps: DINO {event.dino:.3f}, iBOT {event.ibot:.3f}, "
                f"KoLeo {event.koleo:.3f}, entropy {event.entropy:.2f}, "
                f"information {event.information:.3f}, spread {event.spread:.2f}, rank {event.rank:.1f}",
                flush=True,
            )
    folder = output / BACKBONE_FOLDER
    model = DINOCell.from_variant(arguments.model, backbone_weights=folder)
    return model, time.process_time() - began


def report(name: str, seed: int | str, describe: Describe, data: Path, seconds: float) -> None:
    """Fit the probes and print their scores."""
    train, val = extract(describe, data / "train"), extract(describe, data / "val")
    chosen = np.random.default_rng(0).permutation(len(train.patches))[:PROBED_PATCHES]
    probe = fit(train.patches[chosen], train.in_cell[chosen])
    score = probe.predict_proba(val.patches)[:, 1]
    origin = fit(train.images, train.dataset).predict(val.images)
    print(
        f"{name:10} {seed!s:>5} {roc_auc_score(val.in_cell, score):23.3f}"
        f" {average_precision_score(val.in_cell, score):7.3f}"
        f" {balanced_accuracy_score(val.in_cell, score > 0.5):9.3f}"
        f" {balanced_accuracy_score(val.dataset, origin):18.3f} {seconds:13.0f}",
        flush=True,
    )


def fit(features: Matrix, truth: NDArray[np.generic]):  # noqa: ANN201 (scikit-learn has no types)
    """Fit a logistic regression on standardised features, its classes weighted alike."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    return probe.fit(features, truth)


def describe_by(model: DINOCell) -> Describe:
    """Describe tiles by a frozen backbone."""
    encoder = Encoder(model.backbone).eval()  # type: ignore[arg-type]

    @torch.inference_mode()
    def describe(gray: NDArray[np.uint8]) -> tuple[Matrix, Matrix]:
        whole, patches = encoder(normalise(torch.from_numpy(gray)[None]))
        return whole[0].numpy(), patches[0].numpy()

    return describe


def describe_pixels(gray: NDArray[np.uint8]) -> tuple[Matrix, Matrix]:
    """Describe a tile by its histogram, and its patches by their gray values."""
    histogram = np.histogram(gray, 32, (0, 256))[0].astype(np.float32)
    return histogram, by_patch(gray).astype(np.float32)


def by_patch(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """Turn ``(Y, X)`` into ``(patches, pixels)``."""
    side = TILE // PATCH
    return plane.reshape(side, PATCH, side, PATCH).swapaxes(1, 2).reshape(side * side, PATCH * PATCH)


def extract(describe: Describe, folder: Path) -> Features:
    """Describe the images of a split."""
    patches, in_cell, images, dataset = [], [], [], []
    for number, pair in probed(folder):
        gray, cells = middle_tile(pair)
        whole, dense = describe(gray)
        patches.append(dense)
        in_cell.append(by_patch(cells).mean(axis=1) >= 0.5)
        images.append(whole)
        dataset.append(number)
    return Features(np.concatenate(patches), np.concatenate(in_cell), np.stack(images), np.array(dataset))


def probed(folder: Path) -> Iterator[tuple[int, Pair]]:
    """Yield some images of every dataset, with its number."""
    for number, dataset in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        yield from ((number, pair) for pair in evenly(find_pairs(dataset), PROBED_IMAGES))


def evenly(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Choose `count` of a list, evenly spaced."""
    return [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, count).round().astype(int))]


def middle_tile(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut the middle out of an image and its cells, mirrored where it is smaller."""
    annotated = pair.read()
    gray, cells = preprocess(annotated.pixels), annotated.labels > 0
    missing = [max(0, TILE - length) for length in gray.shape]
    pads = [(gap // 2, gap - gap // 2) for gap in missing]
    gray, cells = np.pad(gray, pads, mode="symmetric"), np.pad(cells, pads, mode="symmetric")
    top, left = ((length - TILE) // 2 for length in gray.shape)
    inside = np.s_[top : top + TILE, left : left + TILE]
    return np.ascontiguousarray(gray[inside]), cells[inside]


if __name__ == "__main__":
    main()
