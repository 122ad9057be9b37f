"""The split of annotated folders into what is learned from and what is held back."""

import importlib
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]


def write_pairs(folder: Path, *names: str) -> None:
    folder.mkdir()
    for name in names:
        for part in ("img", "masks"):
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / f"{name}_{part}.png")


def test_every_tenth_is_held_back_and_each_target_has_its_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    hold_back = importlib.import_module("hold_back")
    write_pairs(tmp_path / "cellbindb", "10xDAPI", "10xHE", "DAPI", "HE", "mIF", "ssDNA")
    write_pairs(tmp_path / "phase", *"abcdefghijklmnop")
    for name in ("cellbindb", "phase"):
        hold_back.split(tmp_path / name, tmp_path / "out")
    found: dict[str, set[str]] = {}
    for file in (tmp_path / "out").rglob("*_img.png"):
        folder = str(file.parent.relative_to(tmp_path / "out"))
        found.setdefault(folder, set()).add(file.name.removesuffix("_img.png"))
    assert found == {
        "fit/cellbindb_nuclei": {"10xDAPI", "10xHE", "DAPI", "HE"},
        "fit/cellbindb_cells": {"mIF"},
        "held_back/cellbindb_nuclei": {"ssDNA"},
        "fit/phase": set("abcdeghijklmno"),
        "held_back/phase": {"f", "p"},
    }
    sys.modules.pop("hold_back")
