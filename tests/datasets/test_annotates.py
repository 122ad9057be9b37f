"""Target of data: recorded, given, or neither; contradictions are named."""

import itertools

import numpy as np
import pytest
from typer.testing import CliRunner

from dinocell.batch.sources import find_sources
from dinocell.cli import app
from dinocell.datasets.annotates import ANNOTATES_FILE, annotated_target, write_annotates
from dinocell.datasets.belonging import ANNOTATION
from dinocell.datasets.inspect import describe
from dinocell.datasets.records import read_info
from dinocell.datasets.store import DINOCellDataset
from dinocell.errors import ConfigError, FileFormatError, InputError, OutputError
from dinocell.io.saving import write_image, write_labels
from dinocell.labels import TARGETS
from dinocell.synthesis import folder as drawn
from tests.cases import CASES
from tests.fakes.items import SMALL, begin, fake_items, finish, make_store

LABELS = CASES["touching"]


@pytest.fixture
def folder(tmp_path):
    """A folder of one annotated image."""
    found = tmp_path / "data"
    found.mkdir()
    write_image(found / "a_img.png", np.where(LABELS > 0, 200, 20).astype(np.uint8))
    write_labels(found / "a_masks.tif", LABELS)
    return found


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(("recorded", "given"), [*itertools.product((None, *TARGETS), repeat=2)])
def test_a_target_is_given_or_recorded_or_cells(folder, recorded, given):
    if recorded is not None:
        write_annotates(folder, recorded)
    if recorded and given and recorded != given:
        with pytest.raises(InputError, match=rf"annotates is '{given}', but .*{ANNOTATES_FILE} records"):
            annotated_target(folder, given=given)
    else:
        assert annotated_target(folder, None, given=given) == (given or recorded or "cells")


def test_the_record_is_beside_a_table_and_in_either_folder(folder, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    write_annotates(masks, "nuclei")
    assert annotated_target(folder, masks) == annotated_target(masks / "pairs.csv") == "nuclei"
    write_annotates(folder, "cells")
    with pytest.raises(InputError, match=r"the same data record 'cells' in .*'nuclei' in .*expected one"):
        annotated_target(folder, masks)


def test_what_is_no_target_is_refused(folder):
    with pytest.raises(InputError, match="annotates is 'cats', expected cells or nuclei"):
        annotated_target(folder, given="cats")
    for text, error in (
        ("annotates: cats", "annotates: expected 'cells' or 'nuclei', not 'cats'"),
        ("annotate: cells", "annotates is missing"),
        ("cells", "holds no settings"),
        ("annotates: [", "is not YAML"),
    ):
        (folder / ANNOTATES_FILE).write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=error) as raised:
            annotated_target(folder)
        assert ANNOTATES_FILE in str(raised.value)
    with pytest.raises(OutputError):
        write_annotates(folder / "a_img.png", "cells")


def test_drawn_images_record_what_they_show(folder):
    write_annotates(folder, "nuclei")
    assert drawn.ANNOTATES_FILE == ANNOTATES_FILE
    assert (folder / ANNOTATES_FILE).read_text(encoding="utf-8") == "annotates: nuclei\n"


def test_a_record_is_not_taken_for_something_strange(folder):
    write_annotates(folder, "nuclei")
    left_out = find_sources([str(folder)], recursive=False).left_out
    assert sorted(path.name for path in left_out[ANNOTATION]) == ["a_masks.tif", ANNOTATES_FILE]


def test_a_store_records_its_target(folder, tmp_path):
    store = tmp_path / "store"
    write_annotates(folder, "nuclei")
    assert run("process", "folder", folder, "-o", store).exit_code == 0
    assert read_info(store).annotates == annotated_target(store) == "nuclei"
    assert any("annotates nuclei" in line for line in describe(DINOCellDataset(store)))
    with pytest.raises(InputError, match=r"annotates is 'cells', but .*dataset\.json records 'nuclei'"):
        annotated_target(store, given="cells")


def test_the_command_takes_the_target_and_names_a_contradiction(folder, tmp_path):
    assert run("process", "folder", folder, "-o", tmp_path / "a").exit_code == 0
    assert run("process", "folder", folder, "-o", tmp_path / "b", "--annotates", "nuclei").exit_code == 0
    assert [read_info(tmp_path / name).annotates for name in "ab"] == ["cells", "nuclei"]
    write_annotates(folder, "cells")
    for wrong, said in (("nuclei", "records 'cells'"), ("cats", "expected cells or nuclei")):
        result = run("process", "folder", folder, "-o", tmp_path / "c", "--annotates", wrong)
        assert result.exit_code != 0
        assert said in f"{result.output}{result.exception}"
    assert not (tmp_path / "c").exists()


def test_a_store_without_a_record_is_taken_for_what_is_given(tmp_path):
    make_store(fake_items(), tmp_path / "store")
    path = tmp_path / "store" / "dataset.json"
    path.write_text(path.read_text().replace('"annotates": "cells",', ""), encoding="utf-8")
    assert annotated_target(tmp_path / "store") == "cells"
    assert annotated_target(tmp_path / "store", given="nuclei") == "nuclei"
    path.unlink()  # as SAMCell's
    assert annotated_target(tmp_path / "store") == "cells"
    assert annotated_target(tmp_path / "store", given="nuclei") == "nuclei"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"dataset\.json"):
        annotated_target(tmp_path / "store")


def test_an_unfinished_store_of_another_target_is_not_resumed(tmp_path):
    items = fake_items()
    begin(items, tmp_path / "store")
    other = type(SMALL)(SMALL.format, annotates="nuclei", size=SMALL.size, overlap=SMALL.overlap)
    with pytest.raises(OutputError, match="of other data or settings"):
        finish(items, tmp_path / "store", other)
