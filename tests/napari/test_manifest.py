"""The manifest is valid, and lists what there is."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import dinocell
from dinocell.inference.fast import samples_folder
from dinocell.io.readers.formats import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES

MANIFEST = Path(str(dinocell.__file__)).parent / "napari" / "napari.yaml"
ADDED = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["contributions"]
KINDS = ("readers", "writers", "sample_data", "widgets")


@pytest.mark.slow
def test_npe2_finds_the_manifest_valid():
    command = [sys.executable, "-m", "npe2", "validate", "--imports", str(MANIFEST)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout


def test_commands_exist_and_all_that_is_added_is_a_command():
    commands = {each["id"]: each["python_name"] for each in ADDED["commands"]}
    for place in commands.values():
        module, _, name = place.partition(":")
        source = MANIFEST.parent / f"{module.removeprefix('dinocell.napari.')}.py"
        defined = ast.parse(source.read_text(encoding="utf-8")).body
        assert name in {getattr(node, "name", None) for node in defined}, place
    used = [each["command"] for kind in KINDS for each in ADDED.get(kind, ())]
    assert set(used) == set(commands)
    assert all(each["command"] in commands for menu in ADDED.get("menus", {}).values() for each in menu)


def test_the_reader_is_asked_for_every_format_that_is_read():
    (reader,) = ADDED["readers"]
    assert {*reader["filename_patterns"]} == {f"*{suffix}" for suffix in IMAGE_SUFFIXES + MICROSCOPE_SUFFIXES}


def test_every_sample_image_is_sample_data():
    keys = {each["key"] for each in ADDED["sample_data"]}
    assert {file.stem.removesuffix("_img") for file in samples_folder().glob("*_img.png")} == keys - {"movie"}


def test_the_package_points_to_the_manifest():
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package, _, file = project["entry-points"]["napari.manifest"]["dinocell"].partition(":")
    assert Path(importlib.import_module(package).__path__[0]) / file == MANIFEST
