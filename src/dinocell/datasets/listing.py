"""Files of a folder of annotated images: which may be read, and which of them are images."""

from collections.abc import Mapping
from pathlib import Path

from dinocell.datasets.belonging import belongs_to_image
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.identity import join_sets
from dinocell.io.images import is_ome_zarr, stem_of
from dinocell.io.readers.formats import FOLDER_SUFFIXES, IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES

_USUAL = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
_RARE = tuple({*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES} - {*_USUAL, *FOLDER_SUFFIXES})


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


def image_stems(files: Mapping[str, Path]) -> list[str]:
    """List the images among the files of a folder, by stem: no annotation, and a set of files once."""
    stems = [stem for stem in sorted(files) if not belongs_to_image(stem, files)]
    images, _ = join_sets(files[stem] for stem in stems)
    return [stem for stem in stems if files[stem] in images]
