"""The record beside the results of a plane: how they were made, whether they are complete and untouched."""

import json
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from dinocell.io.identity import hash_file
from dinocell.io.opening import read_json_object
from dinocell.io.saving import NAME_BYTES, atomic_path
from dinocell.settings import Section

PARTS_ENDING = "_planes"
"""Ending of the name of the folder in which results of a stack's planes wait for the others."""


class ResultState(Enum):
    """State of the files where results should go."""

    NEW = "new"
    DONE = "done"
    EDITED = "done, and edited since"
    STALE = "made from other content or with other settings"
    CHANGED = "incomplete or made otherwise, and edited since"
    OTHER = "made from another image"
    FOREIGN = "not written by dinocell segment, or their record is damaged"


def _plain(name: str) -> str:
    """Return the name of a file; raise for one that leads to another folder, or that no file can have."""
    if name in ("", ".", "..") or set(name) & set("/\\\0") or len(os.fsencode(name)) > NAME_BYTES:
        raise ValueError(f"{name[:80]!r} is not the name of a file")
    return name


def _plain_stem(name: str) -> str:
    return _plain(name) if name else name


class ResultRecord(Section):
    """Record of how the results of one plane were made; stored as ``NAME_provenance.json``.

    Attributes
    ----------
    provenance : dict
        As in the files themselves: version, model with its hash, settings, source with its hash.
    source : str
        Path of the image.
    stem : str
        Common beginning of the names of all results of the source, of all its planes.
    part_of : str
        Name of the results of the stack that these become a part of; empty for results on their own.
    result : dict
        Number of cells, quality of the image, scale, device.
    formats : tuple of str
        Names of the formats written from this content with these settings.
    shown : tuple of str
        What the overlay shows beside outlines, as `OverlayStyle` names it.
    files : dict of str to str
        SHA-256 by name of every file written, now or before; without those that are being written.
    finished : bool
    """

    provenance: dict[str, Any]
    source: str
    stem: Annotated[str, AfterValidator(_plain_stem)] = ""
    part_of: str = ""
    result: dict[str, Any] = Field(default_factory=dict)
    formats: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    files: dict[Annotated[str, AfterValidator(_plain)], str] = Field(default_factory=dict)
    finished: bool = False


def read_record(path: Path) -> ResultRecord | None:
    """Read a record; return None where there is none, or the file is damaged or not a record."""
    try:
        # Not `model_validate_json`, which refuses names that are not Unicode, as files may have.
        return ResultRecord.model_validate(read_json_object(path))
    except ValidationError:
        return None


def write_record(path: Path, record: ResultRecord) -> None:
    """Write a record.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = json.dumps(record.model_dump(), indent=1, ensure_ascii=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def find_state(
    record_path: Path,
    files: list[Path],
    formats: tuple[str, ...],
    provenance: Mapping[str, Any],
    source: str,
    *,
    shown: tuple[str, ...] | None = None,
) -> ResultState:
    """Return whether results exist, are made from this content with these settings, and are untouched.

    Parameters
    ----------
    record_path : Path
    files : list of Path
        Files of the requested formats.
    formats : tuple of str
        Requested formats, with those that are written into the source.
    provenance : mapping
        Provenance that new results would have.
    source : str
        Path of the image.
    shown : tuple of str, optional
        What an overlay would show; None where none is requested.
    """
    record = read_record(record_path)
    if record is None:
        return (
            ResultState.FOREIGN if any(file.exists() for file in (record_path, *files)) else ResultState.NEW
        )
    edited = any(
        (record_path.parent / name).exists() and hash_file(record_path.parent / name) != digest
        for name, digest in record.files.items()
    )
    if record.finished:
        complete = set(formats) <= set(record.formats) and all(file.exists() for file in files)
        if complete and is_same(record, provenance) and shown in (None, record.shown):
            return ResultState.EDITED if edited else ResultState.DONE
        if record.source != source and record.provenance.get("source") != provenance["source"]:
            return ResultState.OTHER
        if any(file.exists() and file.name not in record.files for file in files):
            return ResultState.FOREIGN
    return ResultState.CHANGED if edited else ResultState.STALE


def is_same(record: ResultRecord, provenance: Mapping[str, Any]) -> bool:
    """Return whether a record has the same content and settings."""
    return _content(record.provenance) == _content(json.loads(json.dumps(provenance)))


def _content(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides about results: a new version alone is not a reason to redo everything."""
    return {key: value for key, value in provenance.items() if key != "dinocell"}
