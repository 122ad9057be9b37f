"""Corrected labels on the disk: as fine-tuning reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dinocell.datasets.corrected import Corrected, find_corrected
from dinocell.editing.review import Review
from dinocell.errors import FileMissingError
from dinocell.io.pixel_size import PixelSize
from dinocell.io.planes import Pixels
from dinocell.io.saving import create_folder, write_image, write_labels
from dinocell.labels import Target
from dinocell.results.record import ResultRecord, write_record

IMAGES, CORRECTED = "images", "corrected"
"""Folders that are written for fine-tuning: images, and their labels."""

_RECORD_ENDING = "_provenance.json"


def save_corrected(
    folder: Path,
    name: str,
    pixels: Pixels,
    review: Review,
    *,
    pixel_size_yx_um: PixelSize | None = None,
    provenance: Mapping[str, Any] | None = None,
    source: str = "",
    target: Target | None = None,
) -> Path:
    """Write a corrected plane as ``dinocell finetune --from-corrected`` reads it.

    Parameters
    ----------
    folder : Path
        Gets ``images/NAME.tif``, ``corrected/NAME_labels.tif``, ``corrected/NAME_unchecked.tif`` where not
        all was checked, and ``corrected/NAME_provenance.json``. Files of these names are replaced; others
        stay.
    name : str
    pixels : array, shape (Y, X) or (Y, X, C)
        What was segmented.
    review : Review
    pixel_size_yx_um : (float, float), optional
    provenance : mapping, optional
        How the labels were made before the edits.
    source : str
        The image file, for the record.
    target : {"cells", "nuclei"}, optional
        What was outlined.

    Returns
    -------
    Path
        The label image.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    for each in (IMAGES, CORRECTED):
        create_folder(folder / each)
    write_image(folder / IMAGES / f"{name}.tif", pixels)
    labels, made = folder / CORRECTED / f"{name}_labels.tif", dict(provenance or {})
    review.editor.save(labels, pixel_size_um=pixel_size_yx_um, provenance=made)
    unchecked, mark = review.unchecked(), folder / CORRECTED / f"{name}_unchecked.tif"
    if unchecked.any():
        write_labels(mark, unchecked, pixel_size_um=pixel_size_yx_um)
    else:
        mark.unlink(missing_ok=True)
    outlined = {} if target is None else {"target": target}
    record = ResultRecord(provenance=made, source=source, result=outlined, finished=True)
    write_record(folder / CORRECTED / f"{name}{_RECORD_ENDING}", record)
    return labels


def find_saved(folder: Path) -> list[Corrected]:
    """Find what was saved in a folder.

    Raises
    ------
    FileMissingError
        If there is nothing.
    FileFormatError
        If a file cannot be read.
    """
    for name in (IMAGES, CORRECTED):
        if not (folder / name).is_dir():
            raise FileMissingError(
                f"{folder} has no folder {name!r}, expected what 'Save for fine-tuning' writes: correct some "
                "cells and save them, or choose that folder"
            )
    return find_corrected(folder / IMAGES, folder / CORRECTED)[0]
