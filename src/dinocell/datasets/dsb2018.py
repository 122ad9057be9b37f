"""Data Science Bowl 2018, stage 1: ``ID/images/ID.png`` and ``ID/masks/*.png``, one binary file a cell."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.dataset_format import DatasetFormat
from dinocell.datasets.items import AnnotatedImage, check_sizes
from dinocell.datasets.listing import list_images
from dinocell.datasets.masks import check_masks
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.images import read_image
from dinocell.labels import relabel


@dataclass(frozen=True)
class MaskFiles:
    """An image file and one mask file a cell.

    Attributes
    ----------
    name : str
        The image's id, which is its folder's name.
    image : Path
    masks : tuple of Path
        Sorted by name. Non-zero pixels are the cell.
    split_components : bool or None
        How ids are taken, see `dinocell.datasets.masks.check_masks`.
    """

    name: str
    image: Path
    masks: tuple[Path, ...]
    split_components: bool | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The image, then its masks."""
        return (self.image, *self.masks)

    def read(self) -> AnnotatedImage:
        """Read the image, as it is, and number its cells 1…N in the order of their files.

        Where masks overlap, the smaller cell lies on top (of equal ones the later), and the pixels are
        counted. Empty masks, and cells that lie wholly under others, get no number.

        Raises
        ------
        FileMissingError
            If it has no masks, or a file does not exist.
        FileFormatError
            If a file cannot be read, a mask has another size than the image or holds several values, or a few
            of them hold all cells.
        """
        if not self.masks:
            raise FileMissingError(
                f"{self.image} has no masks: expected PNG files in {self.image.parents[1] / 'masks'}; "
                "add them or remove the image"
            )
        image = read_image(self.image)
        pixels = image.pixels
        cells = []
        for number, path in enumerate(self.masks, start=1):
            mask = _read_mask(path)
            check_sizes(self.image, pixels, path, mask)
            if mask.any():
                cells.append((number, *_crop(mask)))
        cells.sort(key=lambda cell: -np.count_nonzero(cell[2]))
        labels = np.zeros(pixels.shape[:2], np.int32)
        depth = np.zeros(pixels.shape[:2], np.int32)
        for number, box, mask in cells:
            labels[box][mask] = number
            depth[box] += mask
        where = f"{self.masks[0].parent} (ids in the order of its files)"
        masks = check_masks(labels, where, split_components=self.split_components)
        overlapped = int(np.count_nonzero(depth > 1))
        return AnnotatedImage(
            pixels,
            relabel(masks.labels),
            overlapped_pixels=overlapped,
            pixel_size_yx_um=image.pixel_size_yx_um,
            notes=masks.notes,
        )


def find_items(folder: Path) -> list[MaskFiles]:
    """List the images of a stage, sorted by id.

    Parameters
    ----------
    folder : Path
        ``stage1_train``, or another folder of ``ID/images/ID.png`` and ``ID/masks/*.png``.

    Returns
    -------
    list of MaskFiles
        At least one, and at least one with masks; those without are refused when they are read.

    Raises
    ------
    FileMissingError
        If the folder does not exist, or holds no such image or no masks at all.
    FileFormatError
        If two masks of an image differ in their endings only.
    """
    expected = "folders ID with images/ID.png and masks/*.png"
    if not folder.is_dir():
        raise FileMissingError(f"no folder {folder}: expected {expected} in it")
    if (folder / "images").is_dir():
        raise FileMissingError(f"{folder} is the folder of one image: name the one above, {folder.parent}")
    found = sorted(path.parent for path in folder.glob("[!.]*/images") if path.is_dir())
    if not found:
        below = sorted(path.parents[1] for path in folder.glob("[!._]*/*/images"))
        hint = f"; name {below[0]} for those in it" if below else ""
        raise FileMissingError(f"{folder} holds no annotated images: expected {expected}{hint}")
    items = [MaskFiles(path.name, path / "images" / f"{path.name}.png", _find_masks(path)) for path in found]
    if not any(item.masks for item in items):
        raise FileMissingError(
            f"{folder} holds {len(items)} images and no masks: expected {expected}, as in stage1_train"
        )
    return items


def _find_masks(folder: Path) -> tuple[Path, ...]:
    masks = folder / "masks"
    return tuple(list_images(masks, "one mask file a cell").values()) if masks.is_dir() else ()


def _read_mask(path: Path) -> NDArray[np.bool_]:
    pixels = read_image(path).pixels
    if pixels.ndim == 3:  # a mask saved in colour
        pixels = pixels[..., :3].max(axis=2)
    values = pixels[pixels != 0]
    if values.size and (values != values[0]).any():
        raise FileFormatError(
            f"{path} holds several values beside 0, expected a binary mask of one cell: "
            "a label image belongs in a folder of images and masks"
        )
    mask: NDArray[np.bool_] = pixels != 0
    return mask


def _crop(mask: NDArray[np.bool_]) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Cut a mask to its bounding box, so that a cell costs its own area and not the image's."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return box, mask[box].copy()


def _is_stage(path: Path) -> bool:
    return any(file.stem == file.parents[1].name for file in path.glob("*/images/*.png"))


FORMAT = DatasetFormat(
    name="dsb2018",
    input="A folder of ID/images and ID/masks, one mask file a cell.",
    find_items=find_items,
    recognises=_is_stage,
)
