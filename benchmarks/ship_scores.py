"""State of a shipping: the model, its pages, and the scores of its predictions, which are kept."""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import calibration
import generalisation
from dinocell import DINOCellPipeline
from dinocell.datasets.folder import find_pairs
from dinocell.models.checkpoint import read_config
from dinocell.models.configuration import ModelConfig
from ship_pages import ROOT, SHIPPED, replace_block, shipped_weights

WORKERS = 2


@dataclass(frozen=True)
class Shipping:
    """State that the steps share: the options, and where predictions and scores are kept."""

    run: Path
    data: Path
    held_back: Path
    against: Path | None

    @property
    def weights(self) -> str:
        """Hash of the weights that ship."""
        return shipped_weights()

    @property
    def config(self) -> ModelConfig:
        """Configuration of the model that ships."""
        return read_config(SHIPPED)

    @property
    def work(self) -> Path:
        """Folder of what was predicted with these weights and thresholds."""
        settings = json.dumps(self.config.model_dump(mode="json", exclude={"training"}), sort_keys=True)
        return ROOT / "ship" / f"{self.weights}-{hashlib.sha256(settings.encode()).hexdigest()[:6]}"

    @property
    def folders(self) -> list[Path]:
        """Annotated folders: those of val, zeroshot, and what was held back."""
        parts = [self.data / "val", self.data / "zeroshot", self.held_back]
        return [folder for part in parts if part.is_dir() for folder in sorted(part.iterdir())]

    @cached_property
    def sets(self) -> dict[str, dict[str, Any]]:
        """Counts of every image, by part and set; what is not in the work folder is predicted."""
        self.work.mkdir(parents=True, exist_ok=True)
        found = {}
        folders = sorted(self.folders, key=_bytes, reverse=True)  # so that both workers end together
        with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
            done = zip(folders, pool.map(partial(score_folder, self.work), folders), strict=True)
            for folder, rows in done:
                name = f"{folder.parent.name}/{folder.name}"
                print(f"  scored {name}: {len(rows)} images", flush=True)
                found[name] = rows
        return {name: found[name] for name in sorted(found, key=_order)}

    def part(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the sets of a part by their own names; of val, those whose kinds were learned."""
        chosen = {
            key.partition("/")[2]: rows for key, rows in self.sets.items() if key.startswith(f"{name}/")
        }
        learned = self.config.training.get("train", {})
        return {key: rows for key, rows in chosen.items() if name != "val" or key in learned}

    def edit(self, page: Path, blocks: dict[str, Iterable[str]]) -> None:
        """Replace blocks of a page."""
        text = page.read_text(encoding="utf-8")
        for name, lines in blocks.items():
            text = replace_block(text, name, lines, self.weights)
        page.write_text(text, encoding="utf-8")


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _order(name: str) -> tuple[int, str]:
    parts = ("val", "zeroshot")
    part = name.partition("/")[0]
    return (parts.index(part) if part in parts else len(parts), name)


def score_folder(work: Path, folder: Path) -> dict[str, Any]:
    """Score the images of a folder with default settings and with the right target, or read what was kept."""
    kept = work / f"{folder.parent.name}__{folder.name}.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    pipeline = DINOCellPipeline(str(SHIPPED), device="cpu")
    find = generalisation.finder_of_model(_Keeping(pipeline, work / "maps", folder))  # type: ignore[arg-type]
    rows = generalisation.score_set(folder, find, None)
    temporary = kept.with_suffix(".tmp")
    temporary.write_text(json.dumps(rows), encoding="utf-8")
    temporary.rename(kept)
    return rows


class _Keeping:
    """A pipeline that keeps the default result of every image where `calibration.predict_pair` finds it."""

    def __init__(self, pipeline: DINOCellPipeline, maps: Path, folder: Path) -> None:
        self._pipeline, self._maps = pipeline, maps
        self._pairs = iter(find_pairs(folder))

    def run(self, image: Any, **options: Any) -> Any:
        result = self._pipeline.run(image, **options)
        if not options:
            file = calibration.map_file(self._maps, next(self._pairs))
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, labels=result.labels, distance=result.distance_map)
        return result
