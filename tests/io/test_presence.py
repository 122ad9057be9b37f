import pytest

from dinocell.errors import OutputError
from dinocell.io.presence import check_still_there, find_lost


def test_files_that_vanished_are_found_and_the_first_is_named(tmp_path):
    files = [tmp_path / name for name in ("a", "b", "c")]
    folder = tmp_path / "d"
    for file in files:
        file.touch()
    folder.mkdir()
    assert find_lost([*files, folder]) == []
    check_still_there([*files, folder])
    files[1].unlink()
    elsewhere = tmp_path / "never" / "x"
    assert find_lost([*files, elsewhere, folder]) == [files[1], elsewhere]
    with pytest.raises(OutputError, match=r"b is gone, and 1 more, removed or moved"):
        check_still_there([*files, elsewhere])
    with pytest.raises(OutputError, match=r"x is gone, removed or moved"):
        check_still_there([elsewhere])
