"""Annotated images that a network learns in seconds, and runs on them in processes of their own."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from dinocell.io.saving import write_image, write_labels
from dinocell.io.settings_files import commented_yaml, read_settings
from dinocell.models.architecture import DecoderConfig, ViTConfig
from dinocell.models.variants import VARIANTS, Variant
from dinocell.training import TrainConfig
from tests.cases import disk
from tests.models import dinov3_reference

SCRIPT = Path(__file__).with_name("training_process.py")


def disks(path, *, ignored=False):
    """Write two noisy images of bright disks with their labels; a part of the second one may be ignored."""
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        labels = np.zeros((96, 96), np.int32)
        for number in range(1, 7):
            labels[disk(labels.shape, rng.uniform(8, 88, 2), rng.uniform(6, 11))] = number
        image = 60 + 120 * (labels > 0) + rng.normal(0, 8, labels.shape)
        write_image(path / f"{name}_img.png", image.clip(0, 255).astype(np.uint8))
        write_labels(path / f"{name}_masks.tif", labels)
    if ignored:
        mask = np.zeros((96, 96), np.uint8)
        mask[:50, :40] = 255
        write_image(path / "b_ignore.png", mask)
    return path


def make_config(folder, output, *changes, **values):
    settings = {
        "model": "nano",
        "train": [{"path": folder}],
        "validation": [{"path": folder}],
        "output": output,
        "epochs": 2,
        "steps_per_epoch": 3,
        "batch_size": 2,
        "crop_size": 64,
        "workers": 0,
        "ema_decay": 0.5,
        "graph": False,  # translating a network takes long
    }
    defaults = ["optimiser.learning_rate=1e-3", "optimiser.warmup_steps=2"]
    return read_settings(TrainConfig, None, [*defaults, *changes], **settings | values)


def rows_of(output):
    """Read the metrics of a run, as text and without the time taken."""
    with (output / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def start(config, *launcher):
    """Start or resume a run in a process of its own, which prints every step and every epoch."""
    file = config.output.with_suffix(".yaml")
    file.write_text(commented_yaml(config), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, *launcher, str(SCRIPT), str(file)], stdout=subprocess.PIPE, text=True
    )


def kill_after(process, events):
    """Kill a run when it has printed so many events, wherever it is then; return whether it was running."""
    for _ in zip(range(events), process.stdout, strict=False):
        pass
    process.kill()
    process.communicate()
    return process.returncode != 0


def finish(process):
    output, _ = process.communicate()
    assert process.returncode == 0, output


def tiny_variant(folder, monkeypatch, *, depth):
    """Add a variant "tiny", a small ViT; return a file of weights for it in Meta's layout."""
    layers = (0, 1, 2, depth - 1)
    backbone = ViTConfig(hidden_size=48, depth=depth, heads=2, intermediate_size=96, feature_blocks=layers)
    decoder = DecoderConfig(widths=(8, 8, 8, 16, 16, 16))
    variant = Variant("tiny", "a small ViT", backbone, decoder, "a licence", ("timm/tiny",))
    monkeypatch.setitem(VARIANTS, "tiny", variant)
    path = folder / "vit.pth"
    torch.save(dinov3_reference.meta_vit(backbone), path)
    return path
