"""Target that data annotate: whole cells or nuclei, as the data record it or as it is given.

A folder of annotated images records it in a file ``annotates.yaml`` of one line, ``annotates: nuclei``; a
store in its ``dataset.json``. What records nothing, as SAMCell's stores, is taken to annotate cells.
"""

from pathlib import Path

from pydantic import ValidationError

from dinocell.datasets.records import INFO_FILE, read_info
from dinocell.errors import ConfigError, InputError
from dinocell.io.saving import atomic_path
from dinocell.io.settings_files import read_yaml
from dinocell.labels import DEFAULT_TARGET, Target, validate_target
from dinocell.settings import Section, explain_problem

ANNOTATES_FILE = "annotates.yaml"
"""File of a folder of annotated images, or beside a table of them."""


class _Record(Section):
    """Content of ``annotates.yaml``."""

    annotates: Target


def annotated_target(*paths: Path | None, given: str | None = None) -> Target:
    """Return the target that data annotate: the one given, else the one recorded, else cells.

    Parameters and errors as `recorded_target`.
    """
    return recorded_target(*paths, given=given) or DEFAULT_TARGET


def recorded_target(*paths: Path | None, given: str | None = None) -> Target | None:
    """Return the target that data annotate, where that is known.

    Parameters
    ----------
    *paths : Path or None
        Folders of images and of masks, or a store, or a table; None is passed over.
    given : {"cells", "nuclei"}, optional
        The target that a user names.

    Returns
    -------
    {"cells", "nuclei"} or None
        The one given, else the one recorded; None where there is neither.

    Raises
    ------
    InputError
        If the data record another target than is given, or two, or no target has the name given.
    ConfigError, FileFormatError
        If a record is damaged.
    """
    named = None if given is None else validate_target(given, name="annotates")
    files = dict.fromkeys(_record_file(path) for path in paths if path is not None)
    found = {file: target for file in files if (target := _recorded(file)) is not None}
    for file, target in found.items():
        if named is not None and target != named:
            raise InputError(
                f"annotates is {named!r}, but {file} records {target!r}: leave it out, or correct the record"
            )
    if len({*found.values()}) > 1:
        records = " and ".join(f"{target!r} in {file}" for file, target in found.items())
        raise InputError(f"the same data record {records}, expected one target: correct a record")
    return named or next(iter(found.values()), None)


def write_annotates(folder: Path, target: Target) -> None:
    """Write the record of what a folder of annotated images annotates.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    with atomic_path(folder / ANNOTATES_FILE) as temporary:
        temporary.write_text(f"annotates: {target}\n", encoding="utf-8")


def _record_file(path: Path) -> Path:
    """Return the file that holds the record of a store, a folder or a table, whether it is there or not."""
    if (path / INFO_FILE).is_file():
        return path / INFO_FILE
    return (path if path.is_dir() else path.parent) / ANNOTATES_FILE


def _recorded(file: Path) -> Target | None:
    """Read the target in a record; None where there is no record."""
    if file.name == INFO_FILE:
        info = read_info(file.parent)
        return None if info is None else info.annotates
    if not file.is_file():
        return None
    values = read_yaml(file, remedy="Check its permissions")
    try:
        return _Record.model_validate(values).annotates
    except ValidationError as error:
        raise ConfigError(
            f"{file}: {explain_problem(error, _Record)}; write one line, `annotates: cells` or nuclei"
        ) from error
