"""Images and masks in folders: ``NAME_masks.*`` or ``NAME_cp_masks.*`` beside ``NAME.*``, or a folder each.

A mask file is a label image, or a binary file that holds 0 and "white" alone: see `dinocell.datasets.masks`.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from dinocell.datasets.belonging import MASK_ENDINGS, MASK_FOLDERS, belongs_to_image, describe_left_out
from dinocell.datasets.dataset_format import DatasetFormat
from dinocell.datasets.items import AnnotatedImage, check_sizes, ignore_where
from dinocell.datasets.listing import list_images
from dinocell.datasets.masks import read_masks
from dinocell.datasets.origin import ImagePlane, note_channel, read_plane
from dinocell.datasets.pairing import IMAGE_ENDING, holds_pairs, match_files
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.identity import files_read
from dinocell.io.images import read_labels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """An image file and its annotation.

    Attributes
    ----------
    name : str
        Unique in its dataset.
    image, masks : Path
    ignore : Path or None
        File whose non-zero pixels are ignored.
    channel : int, str or None
        The image's only channel to read, by number (from 0) or name, as of
        `dinocell.io.images.read_image`; None keeps all of them.
    split_components : bool or None
        How ids are taken, see `dinocell.datasets.masks.check_masks`.
    plane : ImagePlane or None
        Which plane of the image is annotated; None is the only one.
    """

    name: str
    image: Path
    masks: Path
    ignore: Path | None = None
    channel: int | str | None = None
    split_components: bool | None = None
    plane: ImagePlane | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Image, masks, and the ignored pixels where there are some."""
        return (self.image, self.masks) if self.ignore is None else (self.image, self.masks, self.ignore)

    def read(self) -> AnnotatedImage:
        """Read the image and its labels, ignored pixels as −1.

        Raises
        ------
        FileMissingError, FileFormatError
            If a file does not exist or cannot be read, the masks cannot be meant as a label image, or they
            differ in size.
        InputError
            If the image has no such channel, or a file is a stack.
        """
        image = read_plane(self.image, self.plane, self.channel)
        labels, notes = read_masks(self.masks, split_components=self.split_components)
        check_sizes(self.image, image.pixels, self.masks, labels)
        if self.ignore is not None:
            ignored = read_labels(self.ignore)
            check_sizes(self.image, image.pixels, self.ignore, ignored)
            labels = ignore_where(labels, ignored)
        return AnnotatedImage(
            image.pixels,
            labels,
            needs_channel=image.axes == "YXC",
            pixel_size_yx_um=image.pixel_size_yx_um,
            channel_names=image.channel_names,
            notes=note_channel(self.image, self.plane, self.channel) + notes,
        )


def find_pairs(folder: Path) -> list[Pair]:
    """List the annotated images of one folder, sorted by name.

    Parameters
    ----------
    folder : Path
        Holds ``NAME.*`` or ``NAME_img.*``, ``NAME_masks.*`` (or another of `MASK_ENDINGS`, such as
        ``NAME_cp_masks.*``) and perhaps ``NAME_ignore.*``.

    Returns
    -------
    list of Pair
        At least one.

    Raises
    ------
    FileMissingError, FileFormatError
        If the folder does not exist or holds no images, an image has no masks or several files for them, or
        two files differ in their endings only.
    """
    return _find_in(folder, folder)


def find_items(
    images: Path,
    masks: Path | None = None,
    *,
    channel: int | str | None = None,
    split_components: bool | None = None,
) -> list[Pair]:
    """List annotated images, sorted by name.

    Parameters
    ----------
    images : Path
        Folder of images; those named after another one (NAME_masks, NAME_overlay, …) are left out.
        Without `masks`: a folder as `find_pairs` takes it, or one that holds the folders ``images`` and
        ``masks`` (or ``labels``), or the images themselves and the folder ``masks``.
    masks : Path, optional
        Folder of masks, each named as its image or with one of `MASK_ENDINGS`; it may be `images` itself.
        ``NAME_ignore.*`` is looked for in both folders.
    channel : int or str, optional
        Read this channel of every image only, by number (from 0) or name.
    split_components : bool, optional
        How the ids of the masks are taken, see `dinocell.datasets.masks.check_masks`.

    Returns
    -------
    list of Pair
        At least one.

    Raises
    ------
    FileMissingError, FileFormatError
        If a folder does not exist or holds no images, or an image has no masks, or several files for them.
    """
    if masks is None:
        images, masks = _find_folders(images)
    pairs = _find_in(images, masks)
    _warn_of_left_out(pairs, images, masks)
    return [replace(pair, channel=channel, split_components=split_components) for pair in pairs]


def _find_folders(folder: Path) -> tuple[Path, Path]:
    """Find the folders of images and of masks in a folder; the folder itself twice where it holds both."""
    found = [folder / name for name in MASK_FOLDERS if (folder / name).is_dir()]
    images, has_pairs = folder / "images", holds_pairs(folder)
    if not images.is_dir():
        if has_pairs or not found:
            return folder, folder
        images = folder
    elif has_pairs and not found:
        return folder, folder
    if not found:
        raise FileMissingError(
            f"{folder} holds a folder images but none of its masks: expected {folder / 'masks'} or labels"
        )
    if has_pairs or len(found) > 1:
        apart = [f"{path.name}/" for path in ([] if images == folder else [images])] + [
            f"{path.name}/" for path in found
        ]
        raise FileFormatError(
            f"{folder} holds {', '.join(apart)}{' and NAME_img or NAME_masks files' if has_pairs else ''}, "
            "expected one annotation: name the folder of images and the folder of masks"
        )
    return images, found[0]


def _find_in(images: Path, masks: Path) -> list[Pair]:
    """List the pairs of a folder of images and one of masks, which may be the same; sorted by name."""
    beside = images.resolve() == masks.resolve()
    here = list_images(images, "images")
    there = here if beside else list_images(masks, "masks named as their images")
    found = match_files(here, there, masks)
    if not found:
        raise FileMissingError(
            f"{images} holds no annotated images: expected NAME_masks.tif (or NAME_cp_masks.png) beside "
            "NAME.tif, folders images and masks in it, or the name of the folder of masks as well"
        )
    short = {match.stem: match.stem.removesuffix(IMAGE_ENDING) for match in found if beside}
    pairs = [
        Pair(
            match.stem if short.get(match.stem, match.stem) in here else short[match.stem],
            match.image,
            match.masks,
            match.ignore,
        )
        for match in found
    ]
    return sorted(pairs, key=lambda pair: pair.name)


def _warn_of_left_out(pairs: list[Pair], images: Path, masks: Path) -> None:
    """Name the images without masks and the masks without image that no pair is made of."""
    used = {file.resolve() for pair in pairs for file in files_read(pair.files)}
    here = list_images(images, "images")
    beside = masks.resolve() == images.resolve()
    there = {} if beside else list_images(masks, "masks")
    unused: dict[str, list[Path]] = {"images without masks": [], "masks without an image": []}
    for files in (here, there):
        for stem, file in files.items():
            if file.resolve() not in used and not belongs_to_image(stem, here):
                is_masks = files is there or (beside and stem.endswith(MASK_ENDINGS[1:]))
                unused["masks without an image" if is_masks else "images without masks"].append(file)
    if line := describe_left_out(unused):
        logger.warning("%s: %s", images, line)


def _is_folder(path: Path) -> bool:
    return holds_pairs(path) or any((path / name).is_dir() for name in MASK_FOLDERS)


FORMAT = DatasetFormat(
    name="folder",
    input="A folder of NAME.* and NAME_masks.*, one with images/ and masks/, or of images (see --masks).",
    find_items=find_items,
    options=("masks", "channel"),
    recognises=_is_folder,
)
