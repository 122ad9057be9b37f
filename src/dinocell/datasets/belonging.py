"""Division of a folder's files into images and what belongs to an image: annotations and results.

A file belongs to an image where its name is the image's with one of `DERIVED_ENDINGS` and that image is
there as well, or a record of `dinocell segment` of that name is. ``CellMask_mask.tif`` alone is an image.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from dinocell.errors import name_few
from dinocell.io.images import stem_of
from dinocell.io.readers.formats import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES
from dinocell.io.selection import PLANE_SUFFIX

MASK_ENDINGS = ("", "_masks", "_mask", "_labels", "_label", "_cp_masks")
"""Endings of the stems of masks, where masks have a folder of their own."""

_CELLPOSE_PICTURES = tuple(
    picture + masks for picture in ("_cp_output", "_outlines", "_flows") for masks in ("", "_cp_masks")
)

DERIVED_ENDINGS = (
    *_CELLPOSE_PICTURES,
    *MASK_ENDINGS[1:],
    "_ignore",
    "_unchecked",
    "_overlay",
    "_distance",
    "_seg",
)
"""Endings of the stems of annotations and results, ours and Cellpose's."""

MASK_FOLDERS = ("masks", "labels")
"""Folders of annotations, beside a folder ``images``."""

RECORD_ENDING = "_provenance.json"
"""Ending of the name of the record that `dinocell segment` keeps of its results."""

LOG_FILE = "segment.jsonl"
"""Log that `dinocell segment` keeps in its folder of results."""

ANNOTATION = "annotations or results of other images"
PART = "read as part of another file's set"
BELOW = "not looked into without --recursive"
"""Reasons for which files are left out; the last one is for folders."""

_FRAME_ANNOTATION = re.compile(r"man_(?:seg|track)(\d+)")  # of t000.tif, in the Cell Tracking Challenge
_SUFFIXES = (*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES)


def belongs_to_image(stem: str, stems: Collection[str], records: Collection[str] = ()) -> bool:
    """Return whether a name is that of an annotation or a result of an image that is there.

    Parameters
    ----------
    stem : str
    stems : collection of str
        Stems of all image files of the folder.
    records : collection of str
        Names of the results that have a record.

    Examples
    --------
    >>> names = ("a_mask", "a_t0003_labels", "a.ome_mask", "b_masks", "c_mask")
    >>> [belongs_to_image(name, {"a", "b_img"}) for name in names]
    [True, True, True, True, False]
    """
    if (frame := _FRAME_ANNOTATION.fullmatch(stem)) and f"t{frame[1]}" in stems:
        return True
    for ending in DERIVED_ENDINGS:
        image = stem.removesuffix(ending)
        if image in (stem, ""):
            continue
        # Programs that take a file's last ending off call the masks of a.ome.tif a.ome_masks.
        for name in (image, image.removesuffix(".ome")):
            if name in records or not {name, PLANE_SUFFIX.sub("", name), f"{name}_img"}.isdisjoint(stems):
                return True
    return False


class Nearby:
    """Stems of the images in the parent of a folder and in the folders beside it; each is listed once."""

    def __init__(self) -> None:
        self._known: dict[Path, set[str]] = {}

    def stems(self, folder: Path) -> set[str]:
        """Return the stems around a folder; what may not be listed has none."""
        parent = folder.resolve().parent
        if parent not in self._known:
            below = [path for path in _listed(parent) if path.is_dir() and not path.name.startswith(".")]
            self._known[parent] = {stem for near in (parent, *below) for stem in _image_stems(near)}
        return self._known[parent]


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # may not be listed
        return []


def _image_stems(folder: Path) -> set[str]:
    return {stem_of(file) for file in _listed(folder) if file.suffix.lower() in _SUFFIXES}


def split_folder(
    files: Sequence[Path],
    names: Collection[str],
    images_beside: Collection[str] = (),
    nearby: Callable[[], Collection[str]] = tuple,
) -> tuple[list[Path], list[Path]]:
    """Split the image files of one folder into images and what belongs to one of them.

    Parameters
    ----------
    files : sequence of Path
        Those whose ending is that of an image.
    names : collection of str
        Of everything in the folder.
    images_beside : collection of str
        Stems of the images in the folder ``images`` beside this folder of masks.
    nearby : callable
        Returns the stems of images in other folders that an annotation here may belong to.

    Returns
    -------
    images, derived : list of Path
        In the order given.
    """
    stems = {stem_of(file) for file in files} | set(images_beside)
    records = {name.removesuffix(RECORD_ENDING) for name in names if name.endswith(RECORD_ENDING)}
    images: list[Path] = []
    derived: list[Path] = []
    for file in files:
        stem = stem_of(file)
        belongs = stem in images_beside or belongs_to_image(stem, stems, records)
        if not belongs and stem.endswith(DERIVED_ENDINGS):
            belongs = belongs_to_image(stem, nearby())
        (derived if belongs else images).append(file)
    return images, derived


def stems_beside(folder: Path) -> set[str]:
    """Return the stems of the images in the folder ``images`` beside a folder of masks; none for others."""
    folder = folder.resolve()
    return _image_stems(folder.parent / "images") if folder.name.lower() in MASK_FOLDERS else set()


def describe_left_out(left_out: Mapping[str, Sequence[Path]]) -> str:
    """Describe in one line the files that are left out.

    Parameters
    ----------
    left_out : mapping
        Files by the reason for which they are left out.

    Returns
    -------
    str
        Empty where there are none.

    Examples
    --------
    >>> describe_left_out({"annotations": [Path("a_mask.png")], "not images": [Path("x"), Path("y")]})
    'left out: 1 file (annotations: a_mask.png); 2 files (not images: x, y)'
    """
    parts = []
    for reason, files in left_out.items():
        if files:
            named = name_few([file.name for file in files])
            what = "folder" if reason == BELOW else "file"
            parts.append(f"{len(files)} {what}{'s' if len(files) > 1 else ''} ({reason}: {named})")
    return f"left out: {'; '.join(parts)}" if parts else ""
