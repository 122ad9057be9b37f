"""Cell Tracking Challenge, 2-D: frames ``01/t000.tif`` with ``01_GT/SEG`` masks and ``01_GT/TRA`` markers.

Frames ``t000.tif`` and masks ``man_seg000.tif`` may also lie in one folder, or in two of any name.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinocell.datasets.dataset_format import DatasetFormat
from dinocell.datasets.items import AnnotatedImage, check_sizes
from dinocell.datasets.masks import Masks, read_masks
from dinocell.errors import FileFormatError, FileMissingError, InputError, name_few
from dinocell.io.images import read_image
from dinocell.io.planes import Pixels
from dinocell.labels import IGNORE, Labels

logger = logging.getLogger(__name__)

_EXPECTED = "frames 01/t000.tif, masks 01_GT/SEG/man_seg000.tif and markers 01_GT/TRA/man_track000.tif"
_PREFIXES = ("t", "man_seg", "man_track")


@dataclass(frozen=True)
class Frame:
    """A frame of a sequence and its annotation.

    Attributes
    ----------
    name : str
        Sequence and frame, as ``01/t000``.
    image : Path
    masks, markers : Path or None
        None where the annotation lacks them; at least one is there.
    split_components : bool or None
        How ids are taken, see `dinocell.datasets.masks.check_masks`.
    """

    name: str
    image: Path
    masks: Path | None
    markers: Path | None
    split_components: bool | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Frame, masks and markers, as far as they are there."""
        return tuple(file for file in (self.image, self.masks, self.markers) if file is not None)

    def read(self) -> AnnotatedImage:
        """Read the frame, its masks with ids as stored, and its markers.

        Many frames have masks of a few cells only. One whose markers show a cell without a mask (no pixel of
        the marker lies in any) is such a frame: everything outside its masks may be a cell or not, and is −1,
        never background. A frame without markers is taken to have masks of all its cells; one without masks
        is −1 everywhere.

        Raises
        ------
        FileMissingError
            If the frame does not exist.
        FileFormatError
            If the frame is a volume, a file cannot be read or be meant as a label image, or they differ in
            size.
        """
        try:
            image = read_image(self.image)
        except InputError as exc:
            raise FileFormatError(
                f"{self.image} is a stack of several planes, expected a 2-D frame: volumes (3-D) are not "
                "supported, choose a 2-D dataset"
            ) from exc
        pixels, size = image.pixels, image.pixel_size_yx_um
        nothing = Masks(np.full(pixels.shape[:2], IGNORE, np.int32))
        labels, notes = nothing if self.masks is None else self._read_labels(self.masks, pixels)
        if self.markers is None:
            return AnnotatedImage(pixels, labels, pixel_size_yx_um=size, notes=notes)
        markers, more = self._read_labels(self.markers, pixels)
        if _is_sparse(labels, markers):
            labels = np.where(labels == 0, np.int32(IGNORE), labels)
        return AnnotatedImage(pixels, labels, markers=markers, pixel_size_yx_um=size, notes=notes + more)

    def _read_labels(self, path: Path, pixels: Pixels) -> Masks:
        masks = read_masks(path, split_components=self.split_components)
        check_sizes(self.image, pixels, path, masks.labels)
        return masks


@dataclass(frozen=True)
class _Sequence:
    """Folders of a sequence; `silver` is one of masks, or None."""

    name: str
    images: Path
    masks: Path
    markers: Path
    silver: Path | None = None


def find_items(
    folder: Path, masks: Path | None = None, *, silver: bool = False, tracked_only: bool = False
) -> list[Frame]:
    """List the annotated frames of a dataset or a sequence, sorted by name.

    Parameters
    ----------
    folder : Path
        A dataset, which holds sequences ``01``, ``02``, … and their ``01_GT``; one sequence, whose ``01_GT``
        is beside it; or a folder of frames and masks. Sequences without annotation are left out.
    masks : Path, optional
        Folder of the masks of the frames in `folder`: ``01_GT``, ``01_GT/SEG``, or one of any name that
        holds ``man_seg000.tif`` and perhaps ``man_track000.tif``.
    silver : bool
        Take the masks of ``01_ST/SEG`` (computed, not drawn) for frames that ``01_GT/SEG`` lacks.
    tracked_only : bool
        Keep frames that have markers and no masks.

    Returns
    -------
    list of Frame
        At least one. That a frame's file is missing is found when it is read.

    Raises
    ------
    FileMissingError
        If the folder does not exist or holds no annotated frame.
    FileFormatError
        If it is a 3-D dataset, or files are not named as the challenge names them.
    """
    if not folder.is_dir():
        raise FileMissingError(f"no folder {folder}: expected {_EXPECTED} in it")
    sequences = _sequences(folder) if masks is None else [_two_folders(folder, masks)]
    frames = [frame for sequence in sequences for frame in _frames(sequence, silver, tracked_only)]
    if not frames:
        raise FileMissingError(
            f"{folder} holds no annotated frames, expected {_EXPECTED}: name a dataset or a sequence; silver "
            "takes 01_ST/SEG too, tracked_only keeps frames without masks"
        )
    return sorted(frames, key=lambda frame: frame.name)


def _is_sparse(labels: Labels, markers: Labels) -> bool:
    """Return whether a marker lies outside all masks."""
    return not np.isin(markers[markers > 0], markers[labels > 0]).all()


def _sequences(folder: Path) -> list[_Sequence]:
    """List the sequences that have an annotation."""
    absolute = folder.absolute()  # "." has no name
    if any((absolute.parent / f"{absolute.name}_{truth}").is_dir() for truth in ("GT", "ST")):
        return [_sequence(absolute)]
    if has_masks(folder):
        return [_two_folders(folder, folder)]
    truths = (re.fullmatch(r"(\d+)_(GT|ST)", path.name) for path in _list(folder))
    return [_sequence(folder / name) for name in sorted({truth[1] for truth in truths if truth})]


def _sequence(frames: Path) -> _Sequence:
    gold, computed = (frames.with_name(f"{frames.name}_{truth}") for truth in ("GT", "ST"))
    return _Sequence(frames.name, frames, gold / "SEG", gold / "TRA", computed / "SEG")


def _two_folders(frames: Path, masks: Path) -> _Sequence:
    """Return the sequence of a folder of frames and one of masks, which may be the same."""
    if not masks.is_dir():
        raise FileMissingError(f"no folder {masks}: expected masks man_seg000.tif in it")
    name = frames.absolute().name
    if (masks / "SEG").is_dir():
        return _Sequence(name, frames, masks / "SEG", masks / "TRA")
    tracked = masks.absolute().with_name("TRA")
    return _Sequence(name, frames, masks, tracked if masks.absolute().name == "SEG" else masks)


def _frames(sequence: _Sequence, silver: bool, tracked_only: bool) -> Iterator[Frame]:
    images = _numbered(sequence.images, "t")
    masks = _numbered(sequence.masks, "man_seg")
    markers = _numbered(sequence.markers, "man_track")
    if silver and sequence.silver is not None:
        masks = _numbered(sequence.silver, "man_seg") | masks
    annotated = masks.keys() | (markers.keys() if tracked_only else set())
    for number in annotated:
        annotation = masks.get(number) or markers[number]
        digits = re.sub(r"\D", "", annotation.stem)
        image = images.get(number, sequence.images / f"t{digits}.tif")
        yield Frame(f"{sequence.name}/{image.stem}", image, masks.get(number), markers.get(number))
    if annotated and (left := [file.name for number, file in images.items() if number not in annotated]):
        logger.warning(
            "%s: left out: %d of %d frames, without masks (%s)",
            sequence.images,
            len(left),
            len(images),
            name_few(left),
        )


def _numbered(folder: Path, prefix: str) -> dict[int, Path]:
    """Index the TIFF files of a folder by the number that follows the prefix; empty without the folder."""
    files: dict[int, Path] = {}
    for path in _list(folder) if folder.is_dir() else ():
        if path.suffix.lower() not in (".tif", ".tiff") or path.name.startswith("."):
            continue
        if re.fullmatch(rf"{prefix}_\d+_\d+", path.stem):
            raise FileFormatError(
                f"{path} is a slice of a volume: 3-D datasets are not supported, expected {_EXPECTED}"
            )
        match = re.fullmatch(rf"{prefix}(\d{{3,4}})", path.stem)
        if match is None and re.fullmatch(rf"({'|'.join(_PREFIXES)})\d{{3,4}}", path.stem):
            continue  # one folder may hold frames, masks and markers
        if match is None:
            raise FileFormatError(f"{path} is not named {prefix}000{path.suffix}: remove or rename it")
        if (number := int(match[1])) in files:
            raise FileFormatError(f"{files[number]} and {path} have the same number: remove one")
        files[number] = path
    return files


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as exc:
        raise FileFormatError(
            f"{folder} cannot be opened ({exc.strerror}), expected {_EXPECTED}: check its permissions"
        ) from exc


def has_masks(folder: Path) -> bool:
    """Return whether a folder holds masks of the challenge, itself or in its folder ``SEG``."""
    found = (path for part in (folder, folder / "SEG") for path in part.glob("man_seg*.tif*"))
    return any(re.fullmatch(r"man_seg[\d_]+", path.stem) for path in found)


def _is_dataset(path: Path) -> bool:
    """Return whether a folder is a dataset of the challenge, one of its sequences, or frames with masks."""
    path = path.absolute()  # "." has no name
    is_sequence = path.is_dir() and path.name.isdecimal() and path.with_name(f"{path.name}_GT").is_dir()
    return is_sequence or any(path.glob("[0-9][0-9]_GT")) or has_masks(path)


FORMAT = DatasetFormat(
    name="ctc",
    input="A Cell Tracking Challenge dataset, one of its sequences, or a folder of its frames.",
    find_items=find_items,
    options=("masks",),
    recognises=_is_dataset,
)
