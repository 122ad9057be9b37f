"""A few mutations of `benchmarks/fuzz.py`: read is what was there, or it is said or refused."""

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("resource")
EACH = 4


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    before, logger = set(sys.modules), logging.getLogger("tifffile")
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    logger.propagate = False
    try:
        yield importlib.import_module("fuzz")
    finally:
        logger.propagate = True
        sys.path.pop(0)
        for name in set(sys.modules) - before & {"fuzz", "mutations"}:
            del sys.modules[name]


@pytest.fixture(scope="module")
def sounds(fuzz: ModuleType) -> dict[str, Any]:
    return {sound.name: sound for sound in fuzz.sounds()}


NAMES = (
    "strips.tif",
    "zlib.tif",
    "lzw.tif",
    "raw_tiles.tif",
    "jpeg.tif",
    "rgb.tif",
    "planar.tif",
    "pages.tif",
    "shaped.tif",
    "stack.ome.tif",
    "imagej.tif",
    "imagej_one.tif",
    "set",
    "plain.png",
    "plain.bmp",
    "array.npy",
)


@pytest.mark.parametrize("name", NAMES)
def test_no_mutation_is_read_wrongly_in_silence(
    fuzz: ModuleType, sounds: dict[str, Any], name: str, tmp_path: Path
) -> None:
    sound = sounds[name]
    before = fuzz.observe(sound.write(tmp_path / "sound"))
    assert (before["result"], before["said"], before["why"]) == ("read", [], "")
    for number in range(EACH):
        arm, damaged = fuzz.mutate(sound, f"test {name} {number}")
        after = fuzz.observe(damaged.write(tmp_path / "damaged"))
        assert not fuzz.judge(sound, damaged, arm, before, after).startswith(fuzz.WRONG), number


def test_the_judge_knows_what_is_wrong(fuzz: ModuleType, sounds: dict[str, Any]) -> None:
    sound = sounds["strips.tif"]
    before = {"result": "read", "planes": ["a"], "shape": [1], "said": [], "agree": True, "why": ""}
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("structure", {}, "equal"),
        ("structure", {"planes": ["b"]}, "SILENT: [1] became [1]"),
        ("structure", {"planes": ["b"], "said": ["a warning"]}, "said"),
        ("anywhere", {"planes": ["b"]}, "other pixels"),
        ("anywhere", {"agree": False, "why": "windows differ"}, "UNEQUAL: windows differ"),
        ("anywhere", {"result": "ESCAPED: KeyError"}, "ESCAPED: KeyError"),
    ]
    for arm, change, expected in cases:
        assert fuzz.judge(sound, sound, arm, before, before | change) == expected


def test_structure_is_all_but_the_pixels(fuzz: ModuleType, sounds: dict[str, Any]) -> None:
    mutations = sys.modules["mutations"]
    for name in ("plain.tif", "imagej_one.tif", "array.npy"):
        sound = sounds[name]
        ((file, content),) = sound.files.items()
        sizes = [stop - start for start, stop in mutations.pixel_ranges(file, content)]
        planes = 6 if name == "imagej_one.tif" else 1
        assert sum(sizes) == 96 * 128 * planes * (2 if name == "array.npy" else 1)
