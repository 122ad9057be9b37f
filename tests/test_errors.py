"""The tree of errors is the one that is drawn at the top of its file."""

import pickle
import re

import pytest

from dinocell import errors
from dinocell.errors import (
    DeviceMemoryError,
    FailureGroups,
    FileFormatError,
    InputError,
    OutputError,
    kind_of,
)


def test_the_drawn_tree_has_every_error_and_the_builtin_that_it_derives_from():
    drawn = dict(re.findall(r"[├└]── (\w+) +(\w+)", str(errors.__doc__)))
    ours = {
        name: next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")
        for name, kind in vars(errors).items()
        if getattr(kind, "__module__", "") == errors.__name__
        and isinstance(kind, type)
        and issubclass(kind, errors.DINOCellError)
        and kind is not errors.DINOCellError
    }
    assert drawn == ours


@pytest.mark.parametrize("kind", [InputError, FileFormatError, OutputError, DeviceMemoryError])
def test_the_kind_of_an_error_reaches_another_process(kind):
    error = kind("a.tif has 2 channels").of_kind("have several channels", "choose", ["DAPI", ""])
    there = pickle.loads(pickle.dumps(error))  # noqa: S301 (what was dumped here)
    assert (str(there), there.kind, there.kind.names) == (str(error), error.kind, ("DAPI",))
    assert there.kind is not None


def test_failures_of_one_kind_are_one_line_whatever_the_files_hold():
    groups = FailureGroups()
    for file, names in {"a.tif": ["DAPI", "GFP"], "b.tif": ["DAPI", "CD3"], "c.tif": []}.items():
        error = InputError(f"{file} has {names}").of_kind("have several channels", "choose one", names)
        groups.add(file, str(error), kind_of(error, str(error), file))
    assert groups.lines() == [
        "3 files have several channels: choose one; names: DAPI, GFP, CD3 (a.tif, b.tif, c.tif)"
    ]
    assert groups.lines(above=3) == []


def test_messages_that_differ_in_the_file_alone_are_of_one_kind():
    groups = FailureGroups()
    for file in [f"{number}.png" for number in range(5)]:
        error = FileFormatError(f"{file} is empty: copy {file} again")
        assert groups.add(file, str(error), kind_of(error, str(error), file)) == int(file[0]) + 1
    other = FileFormatError("9.png is full")
    groups.add("9.png", str(other), kind_of(other, str(other), "9.png"))
    assert groups.lines(what="images") == [
        "5 images fail alike: … is empty: copy … again (0.png, 1.png, 2.png and 2 more)",
        "9.png is full",
    ]


def test_one_file_that_fails_twice_is_one_file():
    groups = FailureGroups()
    for plane in range(3):
        groups.add("a.tif", f"a.tif, plane {plane}", kind_of(InputError(), "a.tif fails", "a.tif"))
    assert groups.lines() == ["a.tif, plane 0"]
