import os

import pytest

from dinocell.opening import open_regular, read_whole


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    reasons = {"pipe": "pipe or device", "link": "pipe or device", ".": "folder", "a\0": "NUL"}
    for name, reason in reasons.items():
        with pytest.raises(OSError, match=reason) as refused:
            open_regular(tmp_path / name)
        assert reason in refused.value.strerror
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_a_file_is_read_whole_up_to_a_size(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_whole(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_whole(tmp_path / "file", 4)
