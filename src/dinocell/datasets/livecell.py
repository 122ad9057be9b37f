"""COCO JSON as LIVECell has it: cells are polygons or run lengths, and may overlap."""

import io
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dinocell.datasets import json_reader
from dinocell.datasets.belonging import RECORD_ENDING
from dinocell.datasets.coco_masks import (
    EXPECTED,
    Mask,
    Spool,
    StoredMasks,
    as_mask,
    damage_error,
    draw_masks,
    mask_pixels,
)
from dinocell.datasets.dataset_format import DatasetFormat
from dinocell.datasets.items import AnnotatedImage
from dinocell.datasets.masks import check_masks
from dinocell.errors import FileFormatError, FileMissingError, OutputError
from dinocell.io.images import read_image
from dinocell.io.opening import open_regular


class _Entry(NamedTuple):
    id: int | str
    file_name: str
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class CocoImage:
    """An image file and its cells, as the JSON has them.

    Attributes
    ----------
    name : str
        The file's name without its ending, and the image's id where several images have that name.
    image, annotations : Path
        The image and the JSON; `read` does not read the JSON again.
    shape : (int, int)
        Height and width in pixels, as the JSON says.
    cells, crowds : sequence of Mask
        In the order of the JSON. A crowd is a region of cells that are not told apart. `find_items` leaves
        them in a temporary file; in another process, they are in memory.
    split_components : bool or None
        How ids are taken, see `dinocell.datasets.masks.check_masks`.
    """

    name: str
    image: Path
    annotations: Path
    shape: tuple[int, int]
    cells: Sequence[Mask]
    crowds: Sequence[Mask]
    split_components: bool | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Image and JSON."""
        return (self.image, self.annotations)

    def read(self) -> AnnotatedImage:
        """Read the image and draw its cells, 1…N in the order of the JSON.

        Where cells overlap, the smaller one lies on top, of equal ones the later. A cell without a pixel, or
        with none that is not covered, is left out. Crowd regions are −1 where no cell is.

        Raises
        ------
        FileMissingError
            If the image file does not exist.
        FileFormatError
            If it cannot be read or is not of the size in the JSON, a mask is damaged, or a few annotations
            hold all cells.
        MissingExtraError
            If cells are polygons and pycocotools is not installed.
        """
        if not self.image.exists():
            raise FileMissingError(
                f"{self.image} does not exist, nor a file of its name in a folder below: add it, or name the "
                "folder of the images"
            )
        image = read_image(self.image)
        pixels = image.pixels
        if pixels.shape[:2] != self.shape:
            raise FileFormatError(
                f"{self.image} is {pixels.shape[:2]} px but {self.annotations.name} says {self.shape}: image "
                "and annotation must have the same size"
            )
        where = f"{self.annotations}, image {self.image.name}"
        cells = [mask_pixels(mask, self.shape, f"{where}, cell {n}") for n, mask in enumerate(self.cells, 1)]
        crowds = [
            mask_pixels(mask, self.shape, f"{where}, crowd {n}") for n, mask in enumerate(self.crowds, 1)
        ]
        labels, overlapped = draw_masks(cells, crowds, self.shape)
        labels, notes = check_masks(labels, where, split_components=self.split_components)
        return AnnotatedImage(
            pixels,
            labels,
            overlapped_pixels=overlapped,
            pixel_size_yx_um=image.pixel_size_yx_um,
            notes=notes,
        )


def find_items(annotations: Path, *, images: Path | None = None) -> list[CocoImage]:
    """List the images of a COCO JSON, sorted by name; those without cells are kept.

    Every annotation is a cell, whatever its category. LIVECell lists some images twice, annotated by two
    people: each is an item.

    Parameters
    ----------
    annotations : Path
        The JSON, or a folder with one. Its "images" and "annotations" are lists, or objects by id.
    images : Path, optional
        Where image files are found by their names, in it or anywhere below (linked folders are not entered);
        the JSON's folder otherwise.

    Returns
    -------
    list of CocoImage
        At least one. That an image file is missing is found when it is read.

    Raises
    ------
    FileMissingError
        If the JSON or the folder of images does not exist.
    FileFormatError
        If the JSON is damaged or contradicts itself, or two files may be the same image.
    """
    file = _choose_json(annotations) if annotations.is_dir() else annotations
    folder = file.parent if images is None else images
    entries, masks = _load(file)
    found = _locate({file_name for _, file_name, _ in entries}, folder)
    stems = Counter(Path(file_name).stem for _, file_name, _ in entries)
    items = []
    for image_id, file_name, shape in entries:
        stem = Path(file_name).stem
        name = stem if stems[stem] == 1 else f"{stem}-{image_id}"
        path = found[file_name] or folder / file_name
        cells, crowds = (masks.get((image_id, crowd), ()) for crowd in (False, True))
        items.append(CocoImage(name, path, file, shape, cells, crowds))
    return sorted(items, key=lambda item: item.name)


def _choose_json(folder: Path) -> Path:
    files = sorted(path for path in folder.glob("*.json") if path.is_file())
    if len(files) > 1:  # distinguished by their bytes, as parsing takes minutes
        files = [file for file in files if _has_words(file, {b'"images"', b'"annotations"'})]
    if not files:
        raise FileMissingError(f"{folder} holds no annotations: expected one file of {EXPECTED}")
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise FileFormatError(f"{folder} holds {names}, expected one file of annotations: name it")
    return files[0]


def _has_words(file: Path, words: set[bytes]) -> bool:
    piece, missing = b"", words
    with file.open("rb") as opened:
        while missing and (more := opened.read(json_reader.PIECE)):
            piece = piece[-max(map(len, words)) :] + more  # a word may begin in the piece before
            missing = {word for word in missing if word not in piece}
    return not missing


def _locate(names: set[str], folder: Path) -> dict[str, Path | None]:
    """Find the files of these names in a folder or anywhere below it."""
    if not folder.is_dir():
        raise FileMissingError(f"no folder {folder}: expected the images in it")
    found: dict[str, Path | None] = dict.fromkeys(names)
    for root, _, files in os.walk(folder):
        for name in found.keys() & set(files):
            if first := found[name]:
                raise FileFormatError(
                    f"{first} and {Path(root, name)} may both be the image {name}, expected one: remove or "
                    "rename one, or name the folder of the images"
                )
            found[name] = Path(root, name)
    return found


def _load(file: Path) -> tuple[list[_Entry], Mapping[tuple[int | str, bool], StoredMasks]]:
    """Return the images of a JSON, and the masks by image id and whether they are crowds."""
    images, annotations = _parse(file)
    if images is None:
        raise damage_error(f"{file}", 'has no list "images"')
    entries = [_entry(image, f"{file}, image {n}") for n, image in enumerate(images, 1)]
    ids = {entry.id for entry in entries}
    if not entries or len(ids) < len(entries):
        raise damage_error(f"{file}", "has several images of the same id" if entries else "has no images")
    if annotations is None:
        raise damage_error(f"{file}", 'has no list "annotations"')
    if annotations.unusable:
        raise damage_error(
            f"{file}, annotation {annotations.unusable}", "has no usable image_id or segmentation"
        )
    unknown = {key: len(found) for key, found in annotations.masks.items() if key[0] not in ids}
    if unknown:
        (first, _), count = next(iter(unknown)), sum(unknown.values())
        what = f"has {count} annotations of images that it does not list, first {first!r}"
        raise damage_error(f"{file}", what)
    return entries, annotations.masks


def _parse(file: Path) -> "tuple[list[Any] | None, _Annotations | None]":
    """Read the values of "images" and "annotations"; None where they are neither lists nor objects."""
    images = annotations = None
    try:
        with io.TextIOWrapper(open_regular(file), encoding="utf-8-sig") as opened:
            reader = json_reader.JsonReader(opened)
            for key in reader.members():
                listed = reader.peek() in ("[", "{")
                if key == "images" and listed:
                    images = list(reader.values())
                elif key == "annotations" and listed:
                    annotations = _Annotations(reader.values())
                else:
                    reader.value()
            reader.end()
    except OutputError:
        raise
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileMissingError(f"{file} does not exist, expected {EXPECTED}: check the path") from exc
    except (OSError, ValueError, RecursionError) as exc:
        raise damage_error(f"{file}", f"cannot be read ({exc})") from exc
    return images, annotations


def _entry(image: Any, where: str) -> _Entry:
    match image:
        case {"id": int() | str() as key, "file_name": str(path), "height": int(y), "width": int(x)}:
            if name := PurePosixPath(path.replace("\\", "/")).name:  # written on Windows
                return _Entry(key, name, (y, x))
    raise damage_error(where, "has no usable id, file_name, height or width")


class _Annotations:
    """Masks of annotations by image id and whether they are crowds; annotations without a mask are counted.

    Attributes
    ----------
    unusable : int
        Number of the first annotation that has no image id or mask, counted from 1; 0 if all have.
    """

    def __init__(self, annotations: Iterable[Any]) -> None:
        spool = Spool()
        self.masks: defaultdict[tuple[int | str, bool], StoredMasks] = defaultdict(lambda: StoredMasks(spool))
        self.unusable = 0
        for number, annotation in enumerate(annotations, 1):
            if not self._keep(annotation):
                self.unusable = self.unusable or number

    def _keep(self, annotation: Any) -> bool:
        match annotation:
            case {"image_id": int() | str() as image_id, "segmentation": segmentation}:
                try:
                    mask = as_mask(segmentation)
                except (LookupError, OverflowError, TypeError, ValueError):
                    return False
                self.masks[image_id, bool(annotation.get("iscrowd"))].append(mask)
                return True
        return False


def _is_json(path: Path) -> bool:
    if path.is_dir():  # where `dinocell segment` wrote, its records say nothing of annotations
        return any(not file.name.endswith(RECORD_ENDING) for file in path.glob("*.json"))
    return path.suffix.lower() == ".json"


FORMAT = DatasetFormat(
    name="livecell",
    input="LIVECell's COCO JSON, or a folder with it; images are found by name below its folder.",
    find_items=find_items,
    options=("images",),
    recognises=_is_json,
)
