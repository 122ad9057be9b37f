"""All dataset formats. To add one, write a module with its `DatasetFormat` and list it here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dinocell.datasets import cellpose, ctc, dsb2018, folder, livecell, store, table
from dinocell.datasets.dataset_format import DatasetFormat
from dinocell.datasets.items import Item
from dinocell.errors import FileMissingError, InputError

DATASET_FORMATS: dict[str, DatasetFormat] = {
    each.name: each
    for each in (
        livecell.FORMAT,
        cellpose.FORMAT,
        dsb2018.FORMAT,
        ctc.FORMAT,
        folder.FORMAT,
        table.FORMAT,
    )
}
"""Formats by name. Where several recognise a dataset, it is of the one that stands last."""


def formats_taking(option: str) -> tuple[str, ...]:
    """Return the names of the formats that take an option."""
    return tuple(name for name, found in DATASET_FORMATS.items() if option in found.options)


def find_items(
    format_name: str, path: Path, *, split_components: bool | None = None, **options: Any
) -> Sequence[Item]:
    """List the annotated images of a dataset.

    Parameters
    ----------
    format_name : str
        One of `DATASET_FORMATS`.
    path : Path
    split_components : bool, optional
        How the ids of label images are taken, see `dinocell.datasets.masks.check_masks`.
    **options
        ``images`` and ``masks`` (folders), ``channel`` (int or str), as far as the format takes them; None is
        left out.

    Raises
    ------
    InputError
        If no format has that name, or it does not take an option.
    DINOCellError
        If the dataset cannot be read.
    """
    if format_name not in DATASET_FORMATS:
        raise InputError(f"no format is called {format_name!r}, expected one of {', '.join(DATASET_FORMATS)}")
    given = {name: value for name, value in options.items() if value is not None}
    chosen = DATASET_FORMATS[format_name]
    for name in given:
        if name not in chosen.options:
            takers = formats_taking(name)
            whose = f"is for {' and '.join(takers)}, not for {format_name}" if takers else "is for no format"
            raise InputError(f"--{name} {whose}: leave it out")
    return _with_split(chosen.find_items(Path(path), **given), split_components)


def _with_split(items: Sequence[Any], split_components: bool | None) -> Sequence[Item]:
    """Set how the ids of items are taken; every format's is a dataclass with that field."""
    return [replace(item, split_components=split_components) for item in items]


def open_dataset(
    path: Path,
    masks: Path | None = None,
    *,
    channel: int | str | None = None,
    split_components: bool | None = None,
) -> Sequence[Item]:
    """List the annotated images of a store, or of a dataset whose format is recognised by its files.

    Parameters
    ----------
    path : Path
    masks : Path, optional
        Folder of masks, where `path` is a folder of images alone.
    channel : int or str, optional
        Of images with several, where the format lets choose.
    split_components : bool, optional
        How the ids of label images are taken, see `dinocell.datasets.masks.check_masks`.

    Raises
    ------
    FileMissingError
        If nothing of that name exists.
    InputError
        If it lets choose no channel or masks, and one is given.
    DINOCellError
        If it is not a dataset, or a store that cannot be evaluated.
    """
    if store.is_store(path := Path(path)):
        if channel is not None:
            raise InputError(
                f"{path} is a store, for whose images `dinocell process` has chosen the channel, expected no "
                "--channel: leave it out, or give it to `dinocell process`"
            )
        if masks is not None:
            raise InputError(f"{path} is a store, which holds its labels, expected no {masks}: leave it out")
        return _with_split(store.find_items(path), split_components)
    name = recognise(path, masks)
    return find_items(name, path, split_components=split_components, masks=masks, channel=channel)


def open_originals(
    path: Path,
    masks: Path | None = None,
    *,
    channel: int | str | None = None,
    split_components: bool | None = None,
) -> Sequence[Item]:
    """List annotated images that are as in their files: what `open_dataset` takes, but no store.

    Raises
    ------
    InputError
        If it is a store, whose images are preprocessed.
    DINOCellError
        As `open_dataset`.
    """
    if store.is_store(Path(path)):
        raise InputError(
            f"{path} is a store of preprocessed images, expected images as they were taken: give the data "
            "that it was made of"
        )
    return open_dataset(path, masks, channel=channel, split_components=split_components)


def recognise(path: Path, masks: Path | None = None) -> str:
    """Recognise the format of a dataset, one of `DATASET_FORMATS`, by the names of its files.

    A folder without a sign of another format is "folder". So are Cellpose's pairs, whose names others have
    too: with all their channels, as `dinocell segment` sees them. With a folder of masks, their names decide.

    Raises
    ------
    FileMissingError
        If nothing of that name exists.
    """
    if masks is not None:
        return ctc.FORMAT.name if ctc.has_masks(masks) else folder.FORMAT.name
    for name, found in reversed(DATASET_FORMATS.items()):
        if found.recognises(path):
            return name
    if not path.is_dir():
        raise FileMissingError(
            f"no folder {path}: check the path; expected annotated images, or a store of `dinocell process`"
        )
    return folder.FORMAT.name
