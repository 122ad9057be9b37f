"""Edits of a label image in a file, made again."""

from pathlib import Path

from dinocell.editing.editor import LabelEditor
from dinocell.editing.journal import read_journal
from dinocell.errors import InputError, OutputError
from dinocell.io.images import open_labels, read_label_plane, stem_of
from dinocell.io.provenance import read_provenance
from dinocell.io.saving import create_folder

_ENDING = "_labels"


def replay_file(
    labels: Path, edits: Path, output: Path, *, overwrite: bool = False
) -> tuple[Path, LabelEditor]:
    """Repeat the edits of a file on a label image, and write the result.

    The size of pixels stays, and so does the record of how the labels were made, with the edits added.

    Parameters
    ----------
    labels : Path
        A label image of one plane, as it was before the first edit.
    edits : Path
        As of `dinocell.editing.write_journal`.
    output : Path
        Folder for ``STEM_labels.tif``.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    Path
        The file.
    LabelEditor
        With the edits made.

    Raises
    ------
    InputError
        If the labels are a stack, or not those that the edits were made on.
    OutputError
        If the file exists, or cannot be written.
    FileMissingError, FileFormatError
        If a file cannot be read.
    """
    target = output / f"{stem_of(labels).removesuffix(_ENDING)}{_ENDING}.tif"
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists: choose another -o, or replace it with --overwrite")
    journal = read_journal(edits)
    with open_labels(labels) as opened:
        times, _, slices = opened.info.shape[:3]
        if times * slices > 1:
            raise InputError(
                f"{labels} has {times * slices} planes, expected one: edit planes that have files of their "
                "own, as segment --separate-planes writes them"
            )
        editor = LabelEditor(read_label_plane(opened))
        size = opened.info.pixel_size_yx_um
    try:
        editor.replay(journal)
    except InputError as error:
        raise InputError(f"{edits}: {error}") from error
    create_folder(output)
    editor.save(target, pixel_size_um=size, provenance=read_provenance(labels))
    return target, editor
