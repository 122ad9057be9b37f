"""Check of what a command is given, before it imports what takes time."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from dinocell.errors import FileMissingError, name_few


def check_exist(*paths: Path | None) -> None:
    """Raise FileMissingError for the first path that does not exist; None was not given."""
    for path in paths:
        if path is not None and not os.path.lexists(path):
            raise FileMissingError(f"{path} does not exist: check the path")


def check_any_exists(arguments: Sequence[str]) -> None:
    """Raise FileMissingError if there is none of some files, folders and globs."""
    if any(os.path.lexists(argument) or glob.has_magic(argument) for argument in arguments):
        return
    if len(arguments) > 1:
        raise FileMissingError(f"none of {name_few(arguments)} exists: check the paths")
    check_exist(*map(Path, arguments))


def check_model(name: str | Path) -> None:
    """Raise for what is not the name of a trained model and not a folder.

    Raises
    ------
    UnknownModelError
        If there is neither a model nor a folder of that name.
    UntrainedModelError
        If the name is that of a variant without trained weights.
    """
    from dinocell.models.finding import find_checkpoint

    find_checkpoint(name)
