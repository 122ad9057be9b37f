"""The tree of errors is the one that is drawn at the top of its file."""

import re

from dinocell import errors


def test_the_drawn_tree_has_every_error_and_the_builtin_that_it_derives_from():
    drawn = dict(re.findall(r"[├└]── (\w+) +(\w+)", str(errors.__doc__)))
    ours = {
        name: next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")
        for name, kind in vars(errors).items()
        if getattr(kind, "__module__", "") == errors.__name__
        and isinstance(kind, type)
        and kind is not errors.DINOCellError
    }
    assert drawn == ours
