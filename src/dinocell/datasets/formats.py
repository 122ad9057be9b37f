"""Dataset formats by their names, and recognition of the format of a path."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dinocell.datasets import cellpose, ctc, dsb2018, folder, livecell, store, table
from dinocell.datasets.items import Item
from dinocell.errors import FileMissingError, InputError

FORMATS: dict[str, Callable[..., Sequence[Item]]] = {
    "livecell": livecell.find_items,
    "cellpose": cellpose.find_items,
    "dsb2018": dsb2018.find_items,
    "ctc": ctc.find_items,
    "folder": folder.find_items,
    "csv": table.find_items,
}
"""What finds the annotated images of each format."""

_OPTIONS = {"images": ("livecell",), "masks": ("folder",), "channel": ("cellpose", "folder")}
"""Which formats take an option."""


def find_items(
    format_name: str, path: Path, *, split_components: bool | None = None, **options: Any
) -> Sequence[Item]:
    """List the annotated images of a dataset.

    Parameters
    ----------
    format_name : str
        One of `FORMATS`.
    path : Path
    split_components : bool, optional
        How the ids of label images are taken, see `dinocell.datasets.masks.check_masks`.
    **options
        ``images`` (folder, livecell), ``masks`` (folder, folder), ``channel`` (int or str, cellpose and
        folder); None is left out.

    Raises
    ------
    InputError
        If no format has that name, or it does not take an option.
    DINOCellError
        If the dataset cannot be read.
    """
    if format_name not in FORMATS:
        raise InputError(f"no format is called {format_name!r}, expected one of {', '.join(FORMATS)}")
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        takers = _OPTIONS.get(name, ())
        if format_name not in takers:
            whose = f"is for {' and '.join(takers)}, not for {format_name}" if takers else "is for no format"
            raise InputError(f"--{name} {whose}: leave it out")
    return _set(FORMATS[format_name](Path(path), **given), split_components)


def _set(items: Sequence[Any], split_components: bool | None) -> Sequence[Item]:
    """Set how the ids of items are taken; every format's is a dataclass with that field."""
    return [replace(item, split_components=split_components) for item in items]


def open_dataset(
    path: Path, *, channel: int | str | None = None, split_components: bool | None = None
) -> Sequence[Item]:
    """List the annotated images of a store, or of a dataset whose format is recognised by its files.

    Parameters
    ----------
    path : Path
    channel : int or str, optional
        Of images with several, where the format lets choose.
    split_components : bool, optional
        How the ids of label images are taken, see `dinocell.datasets.masks.check_masks`.

    Raises
    ------
    FileMissingError
        If there is nothing of that name.
    InputError
        If it lets choose no channel, and one is given.
    DINOCellError
        If it is not a dataset, or a store that cannot be evaluated.
    """
    if store.is_store(path := Path(path)):
        if channel is not None:
            raise InputError(
                f"{path} is a store, for whose images `dinocell process` has chosen the channel, expected no "
                "--channel: leave it out, or give it to `dinocell process`"
            )
        return _set(store.find_items(path), split_components)
    return find_items(recognise(path), path, split_components=split_components, channel=channel)


def recognise(path: Path) -> str:
    """Recognise the format of a dataset, one of `FORMATS`, by the names of its files.

    A folder without a sign of another format is "folder". So are Cellpose's pairs, whose names others have
    too: with all their channels, as `dinocell segment` sees them.

    Raises
    ------
    FileMissingError
        If there is nothing of that name.
    """
    by_suffix = {".csv": "csv", ".json": "livecell"}
    if path.suffix.lower() in by_suffix and not path.is_dir():
        return by_suffix[path.suffix.lower()]
    if not path.is_dir():
        raise FileMissingError(
            f"no folder {path}: check the path; expected annotated images, or a store of `dinocell process`"
        )
    if any(path.glob("*_img.*")) or any((path / name).is_dir() for name in ("masks", "labels")):
        return "folder"
    if _is_ctc(path.absolute()):
        return "ctc"
    if any(file.stem == file.parents[1].name for file in path.glob("*/images/*.png")):
        return "dsb2018"
    return "livecell" if any(path.glob("*.json")) else "folder"


def _is_ctc(path: Path) -> bool:
    """Return whether a folder is a Cell Tracking Challenge dataset, or one of its sequences."""
    is_sequence = path.name.isdecimal() and path.with_name(f"{path.name}_GT").is_dir()
    return is_sequence or any(path.glob("[0-9][0-9]_GT"))
