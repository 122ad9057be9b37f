"""`dinocell edit`: a file of edits on the labels that they began with."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from dinocell import LabelEditor, read_labels, write_labels
from dinocell.cli import app
from dinocell.errors import InputError, OutputError
from dinocell.io.provenance import read_provenance
from tests.cases import CASES


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    return result.exit_code, result.output


def test_edits_are_repeated_and_provenance_and_pixel_size_stay(tmp_path: Path) -> None:
    labels, edits = tmp_path / "cell_labels.tif", tmp_path / "cell_edits.jsonl"
    write_labels(labels, CASES["touching"], pixel_size_um=0.5, provenance={"model": "nano"})
    editor = LabelEditor(CASES["touching"], journal=edits)
    editor.split([(15, 12), (15, 25)])
    editor.delete([2])
    code, output = run("edit", labels, edits, "-o", tmp_path / "out")
    assert code == 0, output
    assert "2 edits, 2 cells" in output
    written = tmp_path / "out" / "cell_labels.tif"
    np.testing.assert_array_equal(read_labels(written), editor.exported())
    record = read_provenance(written)
    assert record is not None
    assert record["model"] == "nano"
    assert (record["edits"]["split"], record["edits"]["delete"]) == (1, 1)
    with tifffile.TiffFile(written) as tif:
        assert 'PhysicalSizeX="0.5"' in str(tif.ome_metadata)


def test_nothing_is_replaced_and_other_labels_are_refused(tmp_path: Path) -> None:
    labels, edits = tmp_path / "cell_labels.tif", tmp_path / "cell_edits.jsonl"
    write_labels(labels, CASES["one"])
    LabelEditor(CASES["touching"], journal=edits).delete([2])
    for folder, error, message in (
        (tmp_path, OutputError, "exists"),
        (tmp_path / "out", InputError, "other labels"),
    ):
        with pytest.raises(error, match=message):
            CliRunner().invoke(
                app, ["edit", str(labels), str(edits), "-o", str(folder)], catch_exceptions=False
            )
    assert not (tmp_path / "out").exists()
