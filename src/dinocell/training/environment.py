"""Environment of a run: versions of packages, machine, and hashes of the data."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from dinocell.datasets.folder import find_pairs
from dinocell.datasets.store import IMAGES_FILE, LABELS_FILE, MAPS_FILE, DINOCellDataset, is_store
from dinocell.io.identity import files_read, hash_files
from dinocell.io.saving import atomic_path, printable
from dinocell.machine import processor_name
from dinocell.training.config import Dataset, TrainConfig
from dinocell.version import __version__

ENVIRONMENT_FILE = "environment.json"

PACKAGES = (
    "accelerate", "edt", "imagecodecs", "numpy", "opencv-python-headless", "peft", "pydantic", "safetensors",
    "scipy", "tensorboard", "tifffile", "torch", "transformers", "wandb",
)  # fmt: skip
"""Packages whose versions may change a result."""


def describe_environment(config: TrainConfig) -> dict[str, Any]:
    """Describe what a run is made with.

    Parameters
    ----------
    config : TrainConfig
        Its datasets are read in full, to hash them.

    Returns
    -------
    dict
        Of what JSON can hold; datasets by the name of their folder.

    Raises
    ------
    FileMissingError, FileFormatError
        If a dataset is missing or cannot be read.
    """
    return {
        "dinocell": __version__,
        "python": platform.python_version(),
        "packages": dict(_versions(PACKAGES)),
        "machine": _machine(),
        "seed": config.seed,
        "determinism": _determinism(),
        "train": [_describe(dataset) for dataset in config.train],
        "validation": [_describe(dataset) for dataset in config.validation],
    }


def write_environment(folder: Path, environment: dict[str, Any]) -> Path:
    """Write what `describe_environment` returns as ``environment.json`` into a run folder.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = folder / ENVIRONMENT_FILE
    text = json.dumps(environment, indent=2, ensure_ascii=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def _versions(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for package in packages:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": processor_name(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "world_size": int(os.environ.get("WORLD_SIZE", "1")),  # set by torchrun
    }


def _determinism() -> dict[str, Any]:
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _describe(dataset: Dataset) -> dict[str, Any]:
    images, digest = _content(dataset.path)
    return {"name": printable(dataset.path.resolve().name), "images": images, "sha256": digest}


def _content(folder: Path) -> tuple[int, str]:
    """Count the images of a dataset, and hash them: equal content, equal hash."""
    if not is_store(folder):
        pairs = find_pairs(folder)
        return len(pairs), hash_files(files_read(file for pair in pairs for file in pair.files))
    store = DINOCellDataset(folder)
    if store.info is not None:
        return store.info.images, store.info.content_sha256
    arrays = (folder / name for name in (IMAGES_FILE, MAPS_FILE, LABELS_FILE))  # SAMCell's
    return len(store), hash_files(file for file in arrays if file.is_file())
