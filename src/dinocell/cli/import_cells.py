"""`dinocell import`: cells that were edited in Fiji or QuPath, back into label images."""

import re
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape

from dinocell.cli.failures import Failures
from dinocell.cli.terminal import console, errors, escape_controls
from dinocell.datasets.origin import ImageFiles, find_origin
from dinocell.errors import DINOCellError, FileFormatError, InputError, OutputError, kind_of
from dinocell.io.images import open_image
from dinocell.io.saving import create_folder, write_labels
from dinocell.labels import Labels
from dinocell.results.geojson_import import read_geojson
from dinocell.results.imagej_import import read_imagej_rois

_ENDINGS = ("_rois", "_cells")


def command(
    files: Annotated[
        list[Path], typer.Argument(help="ROI sets (.zip), single ROIs (.roi) or GeoJSON (.geojson, .json).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for STEM_labels.tif.")],
    image: Annotated[
        Path | None,
        typer.Option(help="The image they belong to, or the folder of the images: it gives the size."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Size of the label image instead, as HEIGHTxWIDTH in pixels.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing label images.")] = False,
) -> None:
    """Turn ROI sets and GeoJSON into label images, STEM_labels.tif; of overlapping cells the later wins."""
    if (image is None) == (size is None):
        raise InputError("give either --image or --size, so that the label image has the size of its image")

    create_folder(output)
    images = None if image is None else ImageFiles.from_path(image)
    failed, failures = 0, Failures()
    for file in files:
        try:
            console.print(escape(escape_controls(_import(file, output, images, size, overwrite=overwrite))))
        except DINOCellError as error:
            failures.add(str(file), str(error), kind_of(error, str(error), str(file), *_stems(file)))
            failed += 1
    failures.close()
    if failed:
        errors.print(f"{failed} of {len(files)} files failed")
        raise typer.Exit(1)


def _import(file: Path, output: Path, images: ImageFiles | None, size: str | None, *, overwrite: bool) -> str:
    stem, shape = _parse_size(file, size) if images is None else _find_size(file, images)
    target = output / f"{stem}_labels.tif"
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists: choose another -o, or replace it with --overwrite")
    labels = _read(file, shape)
    write_labels(target, labels)
    return f"{file}: {np.count_nonzero(np.unique(labels))} cells → {target}"


def _read(file: Path, shape: tuple[int, int]) -> Labels:
    kind = file.suffix.lower()
    if kind in (".zip", ".roi"):
        return read_imagej_rois(file, shape)
    if kind in (".geojson", ".json"):
        return read_geojson(file, shape)
    raise FileFormatError(f"{file} ends in {kind!r}, expected .zip, .roi, .geojson or .json")


def _stems(file: Path) -> list[str]:
    """List the stems that a file of results may belong to, without the ending of our own files."""
    plain = [file.stem.removesuffix(ending) for ending in _ENDINGS if file.stem.endswith(ending)]
    return [stem for stem in plain if stem] or [file.stem]


def _parse_size(file: Path, size: str | None) -> tuple[str, tuple[int, int]]:
    found = re.fullmatch(r"([1-9]\d{0,8})x([1-9]\d{0,8})", str(size).lower(), re.ASCII)
    if found is None:
        raise InputError(f"--size is {size!r}, expected HEIGHTxWIDTH such as 1024x1360")
    return _stems(file)[0], (int(found[1]), int(found[2]))


def _find_size(file: Path, images: ImageFiles) -> tuple[str, tuple[int, int]]:
    """Find the image that cells belong to; return the name of its results, and its height and width."""
    for stem in dict.fromkeys((*_stems(file), file.stem)):
        if origin := find_origin(stem, file.parent, images):
            with open_image(origin.image, scene=origin.plane.scene or 0) as opened:
                return stem, (opened.info.shape[3], opened.info.shape[4])
    raise InputError(
        f"{images.folder} holds no image named {_stems(file)[0]}: rename {file.name}, or give the "
        "image itself"
    )
