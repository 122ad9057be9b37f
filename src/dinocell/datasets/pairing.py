"""Choice of the masks that belong to every image, by the names of files alone.

The masks of ``a.tif`` are called ``a`` and one of `MASK_ENDINGS`; in a folder of their own also just ``a``.
Those of ``a_img.png`` may leave the ``_img`` out; beside it, ``a_masks`` is the annotation and
``a_img_cp_masks`` a result.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dinocell.datasets.belonging import MASK_ENDINGS, RECORD_ENDING
from dinocell.datasets.listing import image_stems
from dinocell.errors import FileFormatError, FileMissingError, name_few
from dinocell.io.readers.formats import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES
from dinocell.io.readers.npy import CELLPOSE_ENDING, CELLPOSE_REMEDY

IMAGE_ENDING = "_img"
"""Ending of the stems of images that annotations may leave out."""


@dataclass(frozen=True)
class Matched:
    """An image and the files that belong to it.

    Attributes
    ----------
    stem : str
    image, masks : Path
    ignore : Path or None
        File whose non-zero pixels are ignored.
    """

    stem: str
    image: Path
    masks: Path
    ignore: Path | None


def match_files(here: Mapping[str, Path], there: Mapping[str, Path], masks: Path) -> list[Matched]:
    """Match images with their masks.

    Parameters
    ----------
    here, there : mapping of str to Path
        Files by stem, of the folder of images and of that of masks: the same mapping where both lie in one.
    masks : Path
        The folder of masks, for messages.

    Returns
    -------
    list of Matched
        In the order of stems. Where images and masks lie in one folder, those that are called ``NAME_img``
        must have masks, and others are left out if they have none; without any such name all must have.

    Raises
    ------
    FileMissingError
        If an image has no masks.
    FileFormatError
        If there may be several, or the only ones are a file of Cellpose's that is never loaded.
    """
    beside = here is there
    stems = image_stems(here)
    records = _recorded(masks) if beside else set()
    found: dict[str, list[Path]] = {}
    taken: set[Path] = set()
    # NAME_img first: a.png beside a_img.png and a_masks.png is left out, not a second image of the masks.
    for stem in sorted(stems, key=lambda stem: not stem.endswith(IMAGE_ENDING)):
        masks_of = _find_masks(stem, here, there, records, beside=beside)
        found[stem] = [file for file in masks_of if file not in taken]
        taken |= {*masks_of} if beside else set()
    required = _required(found, beside=beside)
    if missing := [stem for stem in required if not found[stem]]:
        _raise_missing(missing, len(required), here, there, masks, records)
    return [_matched(stem, found[stem], here, there) for stem in stems if found[stem]]


def _recorded(folder: Path) -> set[str]:
    """List the results in a folder that `dinocell segment` wrote: their labels are no annotation."""
    return {path.name.removesuffix(RECORD_ENDING) for path in folder.glob(f"*{RECORD_ENDING}")}


def _find_masks(
    stem: str, here: Mapping[str, Path], there: Mapping[str, Path], records: Collection[str], *, beside: bool
) -> list[Path]:
    """Find the files that may be the masks of an image; of none but the first group that has some."""
    for names in _mask_stems(stem, here, beside=beside):
        found = [there[name] for name in names if name in there and not _is_result(name, records)]
        if found:
            return found
    return []


def _mask_stems(stem: str, here: Mapping[str, Path], *, beside: bool) -> Iterator[list[str]]:
    """Yield groups of the stems that the masks of an image may have, those that go first at first."""
    endings = MASK_ENDINGS[1:] if beside else MASK_ENDINGS  # an image is not its own mask
    bare = stem.removesuffix(IMAGE_ENDING)
    if beside and bare != stem:
        yield [f"{bare}_masks"]
    # Programs that take a file's last ending off call the masks of a.ome.tif a.ome_masks.
    yield [name + ending for name in dict.fromkeys((stem, here[stem].stem)) for ending in endings]
    if bare not in (stem, "") and bare not in here:
        yield [bare + ending for ending in endings]


def _is_result(name: str, records: Collection[str]) -> bool:
    return name.endswith("_labels") and name.removesuffix("_labels") in records


def _required(found: Mapping[str, Sequence[Path]], *, beside: bool) -> list[str]:
    """List the images that must have masks."""
    named = [stem for stem in found if stem.endswith(IMAGE_ENDING)]
    if not beside:
        return [*found]
    if named:
        return named
    # Where others have masks, b_masks.tif without b.tif is a mask that lost its image.
    lost = [stem for stem in found if stem.endswith(MASK_ENDINGS[1:])] if any(found.values()) else []
    return [stem for stem in found if stem not in lost]


def _raise_missing(
    missing: Sequence[str],
    required: int,
    here: Mapping[str, Path],
    there: Mapping[str, Path],
    masks: Path,
    records: Collection[str],
) -> None:
    """Raise an error that names the images without masks, and what to do."""
    stem, beside = missing[0], here is there
    names = {name for group in _mask_stems(stem, here, beside=beside) for name in group}
    for name in (stem, here[stem].stem, stem.removesuffix(IMAGE_ENDING)):
        seg = there.get(name + CELLPOSE_ENDING.removesuffix(".npy"))
        if seg is not None and seg.name.endswith(CELLPOSE_ENDING):
            raise FileFormatError(f"{seg} {CELLPOSE_REMEDY}")
    if results := [there[name] for name in sorted(names & there.keys()) if _is_result(name, records)]:
        raise FileMissingError(
            f"{results[0]} is what `dinocell segment` wrote, by the record beside it, expected an annotation "
            f"of {here[stem].name}: if you corrected it, rename it {stem}_masks{results[0].suffix}"
        )
    bare = stem.removesuffix(IMAGE_ENDING)
    expected = ", ".join(bare + ending for ending in MASK_ENDINGS[1 if beside else 0 :])
    other = ", or name the folder of masks as well" if beside and len(missing) == required else ""
    raise FileMissingError(
        f"{masks}: {len(missing)} of {required} images have no masks "
        f"({name_few([here[each].name for each in missing])}), expected for {here[stem]} a TIFF or PNG file "
        f"named {expected}: add {bare}_masks.png, or move the image elsewhere{other}"
    )


def _matched(
    stem: str, masks: Sequence[Path], here: Mapping[str, Path], there: Mapping[str, Path]
) -> Matched:
    """Return an image with its masks and ignored pixels, of which there must be one."""
    bare = stem.removesuffix(IMAGE_ENDING)
    names = [stem] if bare == stem or bare in here else [stem, bare]
    # One folder for both gives the same file twice.
    ignored = {f.resolve(): f for side in (here, there) for n in names if (f := side.get(f"{n}_ignore"))}
    for files, what in ((masks, "masks"), ([*ignored.values()], "ignored pixels")):
        if len(files) > 1:
            raise FileFormatError(
                f"{files[0]} and {files[1]} may both be the {what} of {here[stem]}, expected one: "
                "remove or rename the other"
            )
    return Matched(stem, here[stem], masks[0], next(iter(ignored.values()), None))


def holds_pairs(folder: Path) -> bool:
    """Return whether a folder holds annotations beside their images, by the names of its files."""
    found = (path for ending in (IMAGE_ENDING, "_masks") for path in folder.glob(f"*{ending}.*"))
    return any(path.suffix.lower() in (*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES) for path in found)
