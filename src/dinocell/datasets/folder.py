"""Folders of pairs: ``NAME_img.*`` and ``NAME_masks.*``, with an optional ``NAME_ignore.*``."""

from dataclasses import dataclass
from pathlib import Path

from dinocell.datasets.items import AnnotatedImage, check_sizes, ignore_where
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.images import IMAGE_SUFFIXES, read_image, read_labels


@dataclass(frozen=True)
class Pair:
    """An image file and its annotation.

    Attributes
    ----------
    name : str
        What stands before ``_img``.
    image, masks : Path
    ignore : Path or None
        Non-zero pixels of this file count for nothing.
    """

    name: str
    image: Path
    masks: Path
    ignore: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Image, masks, and the ignored pixels where there are some."""
        return (self.image, self.masks) if self.ignore is None else (self.image, self.masks, self.ignore)

    def read(self) -> AnnotatedImage:
        """Read the image and its labels, ignored pixels as −1.

        Raises
        ------
        FileFormatError
            If the files differ in size, or one cannot be read.
        """
        pixels = read_image(self.image).pixels
        labels = read_labels(self.masks)
        check_sizes(self.image, pixels, self.masks, labels)
        if self.ignore is not None:
            ignored = read_labels(self.ignore)
            check_sizes(self.image, pixels, self.ignore, ignored)
            labels = ignore_where(labels, ignored)
        return AnnotatedImage(pixels, labels)


def find_pairs(folder: Path) -> list[Pair]:
    """List the annotated images of a folder, sorted by name.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of Pair
        At least one.

    Raises
    ------
    FileMissingError
        If the folder does not exist, holds no ``_img`` file, or an image has no masks.
    """
    if not folder.is_dir():
        raise FileMissingError(f"no folder {folder}: expected NAME_img.png and NAME_masks.png files in it")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            if path.stem in files:
                raise FileFormatError(
                    f"{folder} holds {files[path.stem].name} and {path.name}: remove or rename one"
                )
            files[path.stem] = path
    names = [stem.removesuffix("_img") for stem in files if stem.endswith("_img")]
    missing = [name for name in names if f"{name}_masks" not in files]
    if missing:
        raise FileMissingError(
            f"{folder}: {len(missing)} images have no masks, first {missing[0]}_img: "
            f"add {missing[0]}_masks.png"
        )
    if not names:
        raise FileMissingError(
            f"{folder} holds no annotated images: expected NAME_img.png and NAME_masks.png"
        )
    return [
        Pair(name, files[f"{name}_img"], files[f"{name}_masks"], files.get(f"{name}_ignore"))
        for name in names
    ]
