"""The file of edits beside a label image: one JSON object a line, replayed without the map or a model.

The first line names the labels that the edits were made on. Every other is an edit, or a step back or forth::

    {"dinocell": "0.1.0", "labels": "sha256 …", "shape": [512, 512]}
    {"edit": "delete", "ids": [7], "made": [], "notes": [], "pixels": [[10, 4, 3, 0], [11, 4, 3, 0]]}
    {"edit": "undo"}

``pixels`` are the pixels that changed: row, first column, number, new id. So a replay gives the same labels
on any machine, whatever version or model found them. The other fields say what the person asked for.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from dinocell.editing.change import Run
from dinocell.editing.edit import Edit
from dinocell.editing.operations import Add, Delete, Merge, Operation, Paint, Split
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.opening import read_whole
from dinocell.io.saving import atomic_path
from dinocell.labels import Labels
from dinocell.settings import Section, first_problem
from dinocell.version import __version__

ENDING = "_edits.jsonl"
"""End of the name of the file, in place of the ``_labels.tif`` of its labels."""

STEPS = ("undo", "redo")


class _Start(Section):
    """First line of a file."""

    dinocell: str
    labels: str
    shape: tuple[int, int]


class Step(Section):
    """A step back or forth among the edits."""

    edit: Literal["undo", "redo"]


@dataclass(frozen=True)
class Line:
    """An edit as a file holds it.

    Attributes
    ----------
    operation : Operation
        What was asked for.
    made : tuple of int
        Cells that it made or changed.
    notes : tuple of str
    pixels : tuple of Run
        Pixels that it changed.
    """

    operation: Operation
    made: tuple[int, ...]
    notes: tuple[str, ...]
    pixels: tuple[Run, ...]


@dataclass(frozen=True)
class Journal:
    """Contents of a file of edits.

    Attributes
    ----------
    labels : str
        Hash of the labels that the first edit was made on, as of `hash_labels`.
    shape : (int, int)
        Their height and width.
    lines : tuple of Line or Step
    """

    labels: str
    shape: tuple[int, int]
    lines: tuple[Line | Step, ...]


_OPERATIONS: TypeAdapter[Operation] = TypeAdapter(
    Annotated[Add | Delete | Merge | Paint | Split, Field(discriminator="edit")]
)
_RUNS: TypeAdapter[tuple[Run, ...]] = TypeAdapter(tuple[Run, ...])
_IDS: TypeAdapter[tuple[int, ...]] = TypeAdapter(tuple[int, ...])
_NOTES: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])


def hash_labels(labels: Labels) -> str:
    """Compute the SHA-256 of a label image: of its shape, and its ids as little-endian int32."""
    array = np.ascontiguousarray(labels, "<i4")
    return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()


def start_line(labels: Labels) -> str:
    """Return the first line of the file of a label image."""
    shape = (labels.shape[0], labels.shape[1])
    return _Start(dinocell=__version__, labels=hash_labels(labels), shape=shape).model_dump_json()


def edit_line(edit: Edit) -> str:
    """Return the line of an edit."""
    made = {"made": edit.ids, "notes": edit.notes, "pixels": edit.change.runs()}
    asked = edit.operation.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"edit": edit.operation.edit, **asked, **made}, allow_nan=False)


def step_line(step: str) -> str:
    """Return the line of an undo or a redo."""
    return json.dumps({"edit": step})


def write_journal(path: Path, labels: Labels, edits: Iterable[Edit]) -> None:
    """Write a file of edits, in one step.

    Parameters
    ----------
    path : Path
    labels : int32 array, shape (Y, X)
        Those that the first edit was made on.
    edits : iterable of Edit

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in (start_line(labels), *map(edit_line, edits)))


def read_journal(path: Path) -> Journal:
    """Read a file of edits.

    A last line without an end, of a program that was stopped while it wrote, is left out.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    FileFormatError
        If it is not a file of edits, or a line of it is damaged.
    """
    try:
        text = read_whole(path).decode("utf-8")
    except FileNotFoundError as error:
        raise FileMissingError(f"{path} does not exist, expected a file of edits (*{ENDING})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read ({error}), expected a file of edits") from error
    first, *rest = text.split("\n")[:-1] or [text]
    try:
        start = _Start.model_validate_json(first)
    except ValidationError as error:
        raise FileFormatError(
            f"{path} is not a file of edits ({first_problem(error)}), expected one that DINOCell wrote"
        ) from error
    return Journal(start.labels, start.shape, tuple(_parse(path, rest)))


def _parse(path: Path, lines: Iterable[str]) -> Iterator[Line | Step]:
    for number, text in enumerate(lines, 2):
        try:
            yield _parse_line(json.loads(text))
        except (ValidationError, ValueError, RecursionError) as error:
            reason = first_problem(error) if isinstance(error, ValidationError) else error
            raise FileFormatError(
                f"{path}, line {number}: {reason}, expected an edit; remove the line and all after it"
            ) from error


def _parse_line(values: Any) -> Line | Step:
    if not isinstance(values, Mapping):
        raise ValueError(f"{values!r:.40} is not a JSON object")  # noqa: TRY004 (the file is wrong, not a type)
    if values.get("edit") in STEPS:
        return Step.model_validate(values)
    asked = {key: value for key, value in values.items() if key not in ("made", "notes", "pixels")}
    return Line(
        _OPERATIONS.validate_python(asked),
        _IDS.validate_python(values.get("made", ())),
        _NOTES.validate_python(values.get("notes", ())),
        _RUNS.validate_python(values.get("pixels", ())),
    )
