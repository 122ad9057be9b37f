"""Images and masks in folders: ``NAME_img.*`` beside ``NAME_masks.*``, or in a folder each.

A mask file is a label image, or a binary file that holds 0 and "white" alone: see `dinocell.datasets.masks`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dinocell.datasets.belonging import MASK_ENDINGS, MASK_FOLDERS, belongs_to_image, describe_left_out
from dinocell.datasets.dataset_format import DatasetFormat
from dinocell.datasets.items import AnnotatedImage, check_sizes, ignore_where
from dinocell.datasets.masks import read_masks
from dinocell.datasets.origin import ImagePlane, read_plane
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.identity import files_read, join_sets
from dinocell.io.images import is_ome_zarr, read_labels, stem_of
from dinocell.io.readers.formats import FOLDER_SUFFIXES, IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES

logger = logging.getLogger(__name__)

_USUAL = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
_RARE = tuple({*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES} - {*_USUAL, *FOLDER_SUFFIXES})


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
        pixels, needs_channel = read_plane(self.image, self.plane, self.channel)
        labels, notes = read_masks(self.masks, split_components=self.split_components)
        check_sizes(self.image, pixels, self.masks, labels)
        if self.ignore is not None:
            ignored = read_labels(self.ignore)
            check_sizes(self.image, pixels, self.ignore, ignored)
            labels = ignore_where(labels, ignored)
        return AnnotatedImage(pixels, labels, needs_channel=needs_channel, notes=notes)


def find_pairs(folder: Path) -> list[Pair]:
    """List the annotated images of a folder, sorted by name.

    Parameters
    ----------
    folder : Path
        Holds ``NAME_img.*``, ``NAME_masks.*`` and perhaps ``NAME_ignore.*``.

    Returns
    -------
    list of Pair
        At least one.

    Raises
    ------
    FileMissingError, FileFormatError
        If the folder does not exist or holds no ``_img`` file, an image has no masks, or two files differ in
        their endings only.
    """
    files = list_images(folder, "NAME_img.png and NAME_masks.png files")
    names = sorted(stem.removesuffix("_img") for stem in files if stem.endswith("_img"))
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
        Without `masks`: a folder of ``NAME_img.*`` and ``NAME_masks.*``, or one that holds the folders
        ``images`` and ``masks`` (or ``labels``).
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
    if masks is None and (beside := _masks_folder(images)):
        images, masks = images / "images", beside
    pairs = find_pairs(images) if masks is None else _match_folders(images, masks)
    _warn_of_left_out(pairs, images, masks)
    return [replace(pair, channel=channel, split_components=split_components) for pair in pairs]


def list_images(folder: Path, expected: str) -> dict[str, Path]:
    """Index the image files of a folder by stem, sorted by file name; hidden files are left out.

    Parameters
    ----------
    folder : Path
    expected : str
        Description of the expected files, for the error message.

    Raises
    ------
    FileMissingError, FileFormatError
        If the folder does not exist, cannot be listed, or two files differ in their endings only.
    """
    if not folder.is_dir():
        raise FileMissingError(f"no folder {folder}: expected {expected} in it")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise FileFormatError(
            f"{folder} cannot be opened ({error.strerror}), expected {expected}: check its permissions"
        ) from error
    shown = [path for path in paths if not path.name.startswith(".")]
    files = _by_stem(folder, [path for path in shown if path.suffix.lower() in _USUAL])
    rare = [path for path in shown if path.suffix.lower() in _RARE and not path.is_dir()]
    # As a.npy beside a.tif, which is the same in another format.
    files |= _by_stem(folder, [path for path in rare if stem_of(path) not in files])
    # After the files: slide.zarr beside slide.tif is what segment-large made of it.
    zarrs = {stem_of(path): path for path in shown if path.suffix.lower() == ".zarr" and is_ome_zarr(path)}
    return dict(sorted((zarrs | files).items(), key=lambda item: item[1].name))


def _by_stem(folder: Path, paths: list[Path]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    plain = {path.stem for path in paths}
    for path in paths:
        stem = path.stem if stem_of(path) in plain else stem_of(path)  # a.ome.tif beside a.tif is a.ome
        if stem in files:
            raise FileFormatError(f"{folder} holds {files[stem].name} and {path.name}: remove or rename one")
        files[stem] = path
    return files


def _warn_of_left_out(pairs: list[Pair], images: Path, masks: Path | None) -> None:
    """Name the images without annotation and the masks without image that no pair is made of."""
    used = {file.resolve() for pair in pairs for file in files_read(pair.files)}
    here = list_images(images, "images")
    there = {} if masks is None or masks.resolve() == images.resolve() else list_images(masks, "masks")
    alone, masks_alone = (
        [file for stem, file in files.items() if not belongs_to_image(stem, here)] for files in (here, there)
    )
    left_out = {
        "images without an annotation, expected NAME_img beside NAME_masks": alone,
        "masks without an image": masks_alone,
    }
    unused = {why: [f for f in files if f.resolve() not in used] for why, files in left_out.items()}
    if line := describe_left_out(unused):
        logger.warning("%s: %s", images, line)


def image_stems(files: Mapping[str, Path]) -> list[str]:
    """List the images among the files of a folder, by stem: no annotation, and a set of files once."""
    stems = [stem for stem in sorted(files) if not belongs_to_image(stem, files)]
    images, _ = join_sets(files[stem] for stem in stems)
    return [stem for stem in stems if files[stem] in images]


def _masks_folder(folder: Path) -> Path | None:
    """Choose the folder of masks beside ``images``; None where the layout is another."""
    found = [folder / name for name in MASK_FOLDERS if (folder / name).is_dir()]
    has_pairs = any(folder.glob("*_img.*"))
    if not (folder / "images").is_dir() or (has_pairs and not found):
        return None
    if not found:
        raise FileMissingError(
            f"{folder} holds a folder images but none of its masks: expected {folder / 'masks'} or labels"
        )
    if has_pairs or len(found) > 1:
        raise FileFormatError(
            f"{folder} holds images/, {found[0].name}/ and {'NAME_img files' if has_pairs else 'labels/'}, "
            "expected one annotation: name the folder of images and the folder of masks"
        )
    return found[0]


def _match_folders(images: Path, masks: Path) -> list[Pair]:
    """Find the masks of every image by its stem."""
    here, there = list_images(images, "images"), list_images(masks, "masks named as their images")
    stems = image_stems(here)
    if not stems:
        raise FileMissingError(f"{images} holds no images: expected files ending in {IMAGE_SUFFIXES}")
    # In one folder for both, an image is not its own mask.
    endings = MASK_ENDINGS[1:] if images.resolve() == masks.resolve() else MASK_ENDINGS
    # Programs that take a file's last ending off call the masks of a.ome.tif a.ome_masks.
    called = {s: dict.fromkeys((s, here[s].stem)) for s in stems}
    expected = {s: [name + ending for name in called[s] for ending in endings] for s in stems}
    found = {s: [there[name] for name in expected[s] if name in there] for s in stems}
    missing = [stem for stem in stems if not found[stem]]
    if missing:
        names = ", ".join(expected[missing[0]])
        raise FileMissingError(
            f"{masks}: {len(missing)} of {len(stems)} images have no masks, first {here[missing[0]]}: "
            f"expected a TIFF or PNG file named {names}; add it or remove the image"
        )
    pairs = []
    for stem in stems:
        # One folder for both gives the same file twice.
        ignored = {f.resolve(): f for side in (here, there) if (f := side.get(f"{stem}_ignore"))}
        for files, what in ((found[stem], "masks"), ([*ignored.values()], "ignored pixels")):
            if len(files) > 1:
                raise FileFormatError(
                    f"{files[0]} and {files[1]} may both be the {what} of {here[stem]}, expected one: "
                    "remove or rename the other"
                )
        pairs.append(Pair(stem, here[stem], found[stem][0], next(iter(ignored.values()), None)))
    return pairs


def _has_pairs(path: Path) -> bool:
    return any(path.glob("*_img.*")) or any((path / name).is_dir() for name in MASK_FOLDERS)


FORMAT = DatasetFormat(
    name="folder",
    input="A folder of NAME_img.* and NAME_masks.*, or of images (see --masks).",
    find_items=find_items,
    options=("masks", "channel"),
    recognises=_has_pairs,
)
