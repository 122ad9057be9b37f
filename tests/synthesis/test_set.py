"""A set of drawn images in a folder, and the command that writes it."""

import numpy as np
import pytest
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.datasets.formats import find_items
from dinocell.errors import ConfigError, OutputError
from dinocell.io.images import read_image, read_labels
from dinocell.io.settings_files import read_settings
from dinocell.synthesis import RECIPES, SynthesisSettings, draw, synthesize
from tests.documents.test_docs import DOCS, table_rows

SMALL = SynthesisSettings(recipe="fluorescence_nuclei", size=64, seed=2)


def run(*arguments):
    """Run the command line in this process."""
    return CliRunner().invoke(app, ["synthesize", *map(str, arguments)])


def content(folder):
    """Return the bytes of every file."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_command_writes_pairs_that_data_sets_are_read_from(tmp_path):
    out = tmp_path / "set"
    result = run("--recipe", "histology", "-n", 2, "-o", out, "--seed", 2, "--size", 64)
    assert result.exit_code == 0, result.output
    assert "2 images" in result.output
    assert "nuclei" in result.output
    image, labels = draw(SynthesisSettings(recipe="histology", size=64, seed=2), 1)
    np.testing.assert_array_equal(read_image(out / "histology_00001_img.png").pixels, image)
    np.testing.assert_array_equal(read_labels(out / "histology_00001_masks.png"), labels)
    assert (out / "annotates.yaml").read_text() == "annotates: nuclei\n"
    assert read_settings(SynthesisSettings, out / "recipe.yaml").seed == 2
    assert [item.name for item in find_items("folder", out)] == ["histology_00000", "histology_00001"]


def test_a_set_is_equal_byte_by_byte_and_goes_on_where_it_stopped(tmp_path):
    for folder in ("one", "other"):
        assert len(list(synthesize(SMALL, 3, tmp_path / folder))) == 3
    whole = content(tmp_path / "one")
    assert whole == content(tmp_path / "other")
    (tmp_path / "other" / "fluorescence_nuclei_00001_masks.png").unlink()
    kept = tmp_path / "other" / "fluorescence_nuclei_00002_img.png"
    kept.write_bytes(b"kept")
    events = list(synthesize(SMALL, 4, tmp_path / "other"))
    assert [(event.done, event.total) for event in events] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    found = content(tmp_path / "other")
    assert found.pop(kept.name) == b"kept"
    assert {name: found[name] for name in whole if name in found} == {
        name: whole[name] for name in whole if name != kept.name
    }
    assert "fluorescence_nuclei_00003_img.png" in found


def test_folders_of_other_settings_or_of_other_files_are_refused(tmp_path):
    list(synthesize(SMALL, 1, tmp_path))
    with pytest.raises(OutputError, match="seed 2, not 3"):
        list(synthesize(SMALL.model_copy(update={"seed": 3}), 1, tmp_path))
    (tmp_path / "recipe.yaml").unlink()
    with pytest.raises(OutputError, match="other files"):
        list(synthesize(SMALL, 1, tmp_path))


def test_a_damaged_record_is_said(tmp_path):
    (tmp_path / "recipe.yaml").write_text("recipe: 3\n")
    with pytest.raises(ConfigError, match=r"recipe\.yaml: recipe: expected"):
        list(synthesize(SMALL, 1, tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x"], "no recipe is given, expected one of fluorescence_cells"),
        (["--recipe", "dic"], "no folder is given"),
        (["--recipe", "electron", "-o", "x"], "recipe: expected one of fluorescence_cells"),
        (["--recipe", "dic", "-o", "x", "--size", "8"], "size: expected"),
        (["--recipe", "dic", "-o", "x", "--seed", "-1"], "seed: expected"),
        (["--recipe", "dic", "-o", "x", "--diameters", "4", "9"], "expected 8 to 200 pixels"),
        (["--recipe", "dic", "-o", "x", "--diameters", "90", "9"], "the lower one first"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_a_folder_is_made(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code != 0
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_the_recipes_are_listed():
    result = run("--list")
    assert result.exit_code == 0
    assert all(name in result.output and recipe.title in result.output for name, recipe in RECIPES.items())


def test_the_page_lists_the_recipes_as_they_are():
    rows = table_rows(DOCS / "synthesis.md", "| recipe | group |")
    assert rows == [
        [f"`{name}`", recipe.group, recipe.annotates, recipe.title] for name, recipe in RECIPES.items()
    ]
