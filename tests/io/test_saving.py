"""Folders for results are tried before any work is done."""

from pathlib import Path

import pytest

from dinocell.errors import OutputError
from dinocell.io.saving import create_folder


def test_a_folder_is_created_and_nothing_stays_in_it(tmp_path):
    create_folder(tmp_path / "a" / "b")
    create_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write to output folder .*a/b"):
        create_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a").read_text() == "mine"


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs a folder in which even root creates no file"
)
def test_a_folder_that_takes_no_files_is_refused():
    with pytest.raises(OutputError, match="cannot write to output folder /proc/self"):
        create_folder(Path("/proc/self"))
