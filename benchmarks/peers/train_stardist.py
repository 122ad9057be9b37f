"""StarDist trained on the data that DINOCell is trained on, with its package's own defaults, on a CPU.

    python benchmarks/hold_back.py ../shared/data/train/*
    PYTHON benchmarks/peers/train_stardist.py train datasets/fit --validation VAL -o RUN --hours 2
    PYTHON benchmarks/peers/train_stardist.py segment VAL ZEROSHOT -m RUN -o LABELS --thresholds-on VAL
    python benchmarks/generalisation.py --labels LABELS -o stardist.json

PYTHON is that of an environment with stardist and tensorflow-cpu; VAL and ZEROSHOT are the folders of those
names in ``../shared/data``. Network, loss, patches, batch, learning rate and its schedule are those of
``Config2D``, with 32 rays on a grid of 2 as in the package's pretrained models. Normalisation (percentiles 1
to 99.8), the filling of holes and the augmentation (flips, quarter turns, intensity, noise) are those of its
example. Training runs by the clock, and goes on from the weights in RUN. The package itself chooses the
thresholds, on some of the validation images.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import imageio.v3
import keras
import numpy as np
import tensorflow
from csbdeep.utils import normalize
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D

if TYPE_CHECKING:
    from collections.abc import Iterator

GRID, RAYS = 2, 32  # of 2D_versatile_fluo
PATCH = 256
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
STEPS, EPOCHS = 100, 400  # of Config2D; the clock ends the training first
RECORD = "budget.json"
LAST = "weights_last.weights.h5"


def read_image(path: Path) -> Any:
    """Read an image as DINOCell does (luminance of RGB), normalised as in StarDist's examples."""
    image = imageio.v3.imread(path)
    gray = image.astype(np.float32) if image.ndim == 2 else image[..., :3] @ LUMINANCE
    return normalize(gray, 1, 99.8)


def read_pair(path: Path) -> tuple[Any, Any]:
    """Read an image and its labels, padded to the side of a patch with pixels that have no loss (-1)."""
    image = read_image(path)
    labels = imageio.v3.imread(path.with_name(path.name.replace("_img.", "_masks.")))
    labels = fill_label_holes(labels.astype(np.int32)).astype(np.int16)
    margin = [(0, max(0, PATCH - side)) for side in image.shape]
    return np.pad(image, margin, "reflect"), np.pad(labels, margin, constant_values=-1)


def read_sets(folder: Path) -> tuple[list[Any], list[Any]]:
    """Read all pairs of the sets in a folder; those of a set of n images n_max / n ** 0.5 times.

    StarDist draws each image of its list equally often: without the repeats 70 % of what it sees would be the
    largest set, and 4 % phase contrast.
    """
    sets = [sorted(part.glob("*_img.png")) for part in sorted(folder.iterdir()) if part.is_dir()]
    most = max(len(paths) for paths in sets)
    pairs = [
        pair
        for paths in sets
        for pair in [read_pair(path) for path in paths] * round((most / max(len(paths), 1)) ** 0.5)
    ]
    return [image for image, _ in pairs], [labels for _, labels in pairs]


def augment(image: Any, labels: Any) -> tuple[Any, Any]:
    """Flip, turn, brighten and add noise, as StarDist's example of training does."""
    for axis in (0, 1):
        if np.random.rand() < 0.5:
            image, labels = np.flip(image, axis), np.flip(labels, axis)
    turns = np.random.randint(4)
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    image = image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)
    sigma = 0.02 * np.random.uniform()
    return image + sigma * np.random.normal(size=image.shape), labels


class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # keras is not in the environment of the checks
    """Callback that ends the training after some hours, and writes down what was spent after every epoch."""

    def __init__(self, folder: Path, hours: float) -> None:
        super().__init__()
        self.folder, self.limit, self.start = folder, 3600 * hours, time.monotonic()
        path = folder / RECORD
        self.before = json.loads(path.read_text()) if path.is_file() else {}
        self.losses = self.before.pop("losses", [])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the record and the last weights, and stop when the time is up."""
        spent = {
            "epochs": epoch + 1,
            "steps": STEPS * (epoch + 1),
            "wall_hours": (time.monotonic() - self.start) / 3600,
            "cpu_minutes": time.process_time() / 60,
        }
        record: dict[str, Any] = {name: value + self.before.get(name, 0) for name, value in spent.items()}
        self.losses.append({name: float(value) for name, value in (logs or {}).items()})
        record["losses"] = self.losses
        self.model.save_weights(self.folder / LAST)
        (self.folder / RECORD).write_text(json.dumps(record, indent=1))
        self.model.stop_training = time.monotonic() - self.start > self.limit


def open_model(folder: Path, *, new: bool) -> Any:
    """Open the model that a folder holds, or begin one there."""
    settings = {"n_rays": RAYS, "grid": (GRID, GRID), "n_channel_in": 1, "train_tensorboard": False}
    config = Config2D(**settings) if new else None
    return StarDist2D(config, name=folder.name, basedir=str(folder.parent))


def train(options: argparse.Namespace) -> None:
    """Train until the time is up; the package itself keeps the weights of the lowest validation loss."""
    keras.utils.set_random_seed(options.seed)
    last = options.output / LAST
    model = open_model(options.output, new=not (options.output / "config.json").is_file())
    if last.is_file():
        model.keras_model.load_weights(last)
    model.config.train_sample_cache = False  # of the places of patches: it would take several GB
    model.prepare_for_training()
    model.callbacks.append(Clock(options.output, options.hours))
    validation = read_sets(options.validation)
    images, labels = read_sets(options.folder)
    print(f"{len(images)} images in a round, repeats included; {len(validation[0])} to validate", flush=True)
    model.train(
        images,
        labels,
        validation_data=validation,
        augmenter=augment,
        seed=options.seed,
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
    )


def choose_thresholds(model: Any, folder: Path, every: int) -> None:
    """Choose both thresholds on some of the images of each validation set, as the package does."""
    paths = [path for part in sorted(folder.iterdir()) for path in sorted(part.glob("*_img.png"))[::every]]
    pairs = [read_pair(path) for path in paths]
    images, labels = [image for image, _ in pairs], [labels.clip(0) for _, labels in pairs]
    model.optimize_thresholds(images, labels)


def segment(options: argparse.Namespace) -> None:
    """Write the labels of all images of the sets in the folders: ``OUT/SET/NAME.png``, 16-bit."""
    model = open_model(options.model, new=False)
    model.load_weights("weights_best.h5")
    if options.thresholds_on:
        choose_thresholds(model, options.thresholds_on, options.every)
    for path in find_images(options.folders):
        labels, _ = model.predict_instances(read_image(path), show_tile_progress=False)
        target = options.output / path.parent.name / path.name.replace("_img.", ".")
        target.parent.mkdir(parents=True, exist_ok=True)
        imageio.v3.imwrite(target, labels.astype(np.uint16))
        print(target, labels.max(), flush=True)


def find_images(folders: list[Path]) -> Iterator[Path]:
    """Yield the images of all sets in some folders."""
    for folder in folders:
        for part in sorted(folder.iterdir()):
            yield from sorted(part.glob("*_img.png"))


def main() -> None:
    """Train or segment."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument(
        "folder", type=Path, help="folder of sets, each with NAME_img.png and NAME_masks.png"
    )
    training.add_argument("--validation", type=Path, required=True, help="folder of sets to validate on")
    training.add_argument("-o", "--output", type=Path, required=True, help="folder of the model")
    training.add_argument("--hours", type=float, default=2.0)
    training.add_argument("--seed", type=int, default=0)
    segmenting = commands.add_parser("segment")
    segmenting.add_argument("folders", type=Path, nargs="+", help="folders of sets")
    segmenting.add_argument("-m", "--model", type=Path, required=True, help="folder of the model")
    segmenting.add_argument("-o", "--output", type=Path, required=True, help="folder of the labels")
    segmenting.add_argument(
        "--thresholds-on", type=Path, help="folder of sets to choose thresholds on, first"
    )
    segmenting.add_argument(
        "--every", type=int, default=4, help="take every n-th image of each of those sets"
    )
    options = parser.parse_args()
    tensorflow.config.threading.set_intra_op_parallelism_threads(options.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    {"train": train, "segment": segment}[options.command](options)


if __name__ == "__main__":
    main()
