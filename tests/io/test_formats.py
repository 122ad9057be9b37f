"""The list of readers: each is found by its files, and what is read off the list is whole."""

import itertools
import re
from pathlib import Path

import pytest

from dinocell.errors import FileFormatError
from dinocell.io.images import is_readable, open_image
from dinocell.io.readers import tiff
from dinocell.io.readers.formats import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES, READERS, find_reader
from dinocell.io.readers.reader import Reader

EACH = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)


@EACH
def test_a_reader_is_found_by_its_magic_whatever_the_name(tmp_path: Path, reader: Reader) -> None:
    for magic in reader.magic:
        (tmp_path / "a.xyz").write_bytes(magic + bytes(16))
        assert find_reader(tmp_path / "a.xyz") is reader
        assert is_readable(tmp_path / "a.xyz")
    for name in reader.folder_files:
        folder = tmp_path / f"folder of {name}"
        folder.mkdir()
        (folder / name).write_text("{}")
        assert find_reader(folder) is reader
    assert reader.magic or reader.folder_files


@EACH
def test_a_reader_refuses_what_only_begins_like_its_files(tmp_path: Path, reader: Reader) -> None:
    for magic in reader.magic:
        (tmp_path / "a.xyz").write_bytes(magic)
        with pytest.raises(FileFormatError, match=r"a\.xyz"):
            open_image(tmp_path / "a.xyz")


def test_no_magic_begins_like_another_one() -> None:
    magics = [magic for reader in READERS for magic in reader.magic]
    assert not [pair for pair in itertools.permutations(magics, 2) if pair[0].startswith(pair[1])]


def test_suffixes_are_those_of_all_readers_each_once() -> None:
    suffixes = [suffix for reader in READERS for suffix in reader.suffixes]
    assert sorted(suffixes) == sorted((*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES))
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_names_of_formats_are_distinct() -> None:
    names = [name for reader in READERS for name in (reader.name, *reader.kinds)]
    assert len(set(names)) == len(names)


def test_the_map_of_the_tiff_modules_names_each_of_them() -> None:
    folder = Path(tiff.__file__).parent
    named = re.findall(r"^`(tiff\w*)` ", tiff.__doc__ or "", re.MULTILINE)
    assert sorted(named) == sorted(path.stem for path in folder.glob("tiff*.py"))
