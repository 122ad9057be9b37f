"""Measure label images that anybody made: the same table and files that a batch writes of its own labels.

Labels belong to an image plane by plane. A stack of labels has the planes of the image, or, where its axes
are not named, as many; all of its cells stand in one table, with columns ``t`` and ``z``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.batch.provenance import describe_source
from dinocell.datasets.masks import refuse_picture
from dinocell.errors import InputError, OutputError
from dinocell.io.identity import hash_files
from dinocell.io.images import open_image, open_labels, read_label_plane, stem_of
from dinocell.io.pixel_size import PixelSize, fill_pixel_size, plausible_size
from dinocell.io.planes import Pixels
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.naming import channel_names
from dinocell.io.saving import create_folder
from dinocell.io.selected_planes import find_channel, read_channels, read_selected_plane
from dinocell.io.selection import SelectedPlane, Selection, check_scene, select_planes
from dinocell.labels import Labels
from dinocell.results.formats import PLANE_FORMATS
from dinocell.results.result_format import PLAIN, OverlayStyle, PlaneResult
from dinocell.results.table import TABLE_FORMATS, Table
from dinocell.version import __version__


@dataclass(frozen=True)
class MeasureSettings:
    """Settings for measuring a label image.

    Attributes
    ----------
    output : Path
        Folder of the files.
    formats : tuple of str
        Names of `dinocell.results.formats.PLANE_FORMATS`.
    selection : Selection
        Planes of the image; its channel is the one that pictures show.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres, for an image that does not say it.
    overwrite : bool
        Whether files that exist are replaced.
    overlay : OverlayStyle
        What overlays show.
    """

    output: Path
    formats: tuple[str, ...] = ("csv",)
    selection: Selection = field(default_factory=Selection)
    pixel_size_yx_um: PixelSize | None = None
    overwrite: bool = False
    overlay: OverlayStyle = PLAIN


@dataclass(frozen=True)
class PlaneMeasured:
    """Event after a plane was measured.

    Attributes
    ----------
    done, total : int
        Planes.
    cells : int
        Cells of this plane.
    files : tuple of Path
        Files that are complete now.
    """

    done: int
    total: int
    cells: int
    files: tuple[Path, ...]


def measure_labels(image: Path, labels: Path, settings: MeasureSettings) -> Iterator[PlaneMeasured]:
    """Measure the cells of a label image in an image, and write tables and other files.

    Parameters
    ----------
    image, labels : Path
        Files of any format that `dinocell.open_image` and `dinocell.read_labels` know.
    settings : MeasureSettings

    Yields
    ------
    PlaneMeasured
        For every plane. The files of a plane come with it, the table of a stack with the last.

    Raises
    ------
    InputError
        If sizes or planes differ, a choice is missing, or a format cannot be made of labels alone.
    OutputError
        If a file exists, or cannot be written.
    FileMissingError, FileFormatError
        If a file cannot be read.
    """
    _check_formats(settings.formats, image)
    scene = settings.selection.scene
    with open_labels(labels) as opened, open_image(image) as first:
        check_scene(first, settings.selection)
        with open_image(image, scene=0 if scene is None else scene) as pixels:
            fill_pixel_size(pixels, settings.pixel_size_yx_um)
            places = _match_planes(pixels, opened, settings.selection)
            files = _Files(settings, stem_of(image), [place.suffix for place, _ in places])
            digests = {"source": hash_files(pixels.files), "labels": hash_files(opened.files)}
            yield from _measure(pixels, opened, places, files, digests)


def _measure(
    image: LazyImage,
    labels: LazyImage,
    places: list[tuple[SelectedPlane, tuple[int, int]]],
    files: "_Files",
    digests: dict[str, str],
) -> Iterator[PlaneMeasured]:
    tables: list[Table] = []
    for number, (place, (t, z)) in enumerate(places, 1):
        result = _plane_result(image, place, read_label_plane(labels, t, z), files.settings, digests)
        if files.one_table:
            tables.append(_with_place(result.table, place))
        written = files.write_plane(place.suffix, result)
        if files.one_table and number == len(places):
            written += files.write_tables(_joined(tables), result)
        yield PlaneMeasured(number, len(places), int(np.count_nonzero(np.unique(result.labels) > 0)), written)


class _Files:
    """Names of the files of an image; none of them exists before, unless it may be replaced."""

    def __init__(self, settings: MeasureSettings, stem: str, suffixes: list[str]) -> None:
        self.settings, self.stem = settings, stem
        self.one_table = len(suffixes) > 1
        create_folder(settings.output)
        planned = [self._path(name, suffix) for name in self._of_planes for suffix in suffixes]
        planned += [self._path(name, "") for name in self._of_stacks]
        taken = [path for path in planned if path.exists()]
        if taken and not settings.overwrite:
            raise OutputError(f"{taken[0]} exists: choose another -o, or replace it with --overwrite")

    @property
    def _of_stacks(self) -> list[str]:
        return [name for name in self.settings.formats if self.one_table and name in TABLE_FORMATS]

    @property
    def _of_planes(self) -> list[str]:
        return [name for name in self.settings.formats if name not in self._of_stacks]

    def _path(self, name: str, suffix: str) -> Path:
        return self.settings.output / f"{self.stem}{suffix}{PLANE_FORMATS[name].ending}"

    def write_plane(self, suffix: str, result: PlaneResult) -> tuple[Path, ...]:
        """Write the files of one plane, the table aside where there are several planes."""
        for name in self._of_planes:
            PLANE_FORMATS[name].write(self._path(name, suffix), result)
        return tuple(self._path(name, suffix) for name in self._of_planes)

    def write_tables(self, table: Table, result: PlaneResult) -> tuple[Path, ...]:
        """Write the table of all planes."""
        for name in self._of_stacks:
            TABLE_FORMATS[name](self._path(name, ""), table, result.provenance)
        return tuple(self._path(name, "") for name in self._of_stacks)


def _check_formats(formats: tuple[str, ...], image: Path) -> None:
    for name in formats:
        if PLANE_FORMATS[name].needs_map or not PLANE_FORMATS[name].ending:
            raise InputError(
                f"{name} cannot be written of labels alone, for {image}: choose other formats, such as csv"
            )


def _match_planes(
    image: LazyImage, labels: LazyImage, selection: Selection
) -> list[tuple[SelectedPlane, tuple[int, int]]]:
    """List the planes of the image that have labels, each with time and slice of these."""
    times, _, slices = labels.info.shape[:3]
    if times * slices == 1:
        places = select_planes(image, selection, several=False)
        if len(places) != 1:
            raise InputError(
                f"{labels.path} is one plane, but {len(places)} planes of {image.path} are chosen, expected "
                "one: choose one time and one slice"
            )
        return [(places[0], (0, 0))]
    own, theirs = (times, slices), (image.info.shape[0], image.info.shape[2])
    unnamed = 1 in own and times * slices == theirs[0] * theirs[1]
    if own != theirs and not unnamed:
        raise InputError(
            f"{labels.path} has {times} times and {slices} slices, {image.path} has {theirs[0]} and "
            f"{theirs[1]}, expected the same: choose the labels of this image"
        )
    every = select_planes(image, replace(selection, all_planes=True, time=None, z=None, projection=None))
    chosen = select_planes(image, replace(selection, all_planes=True))
    if any(place.z is None for place in chosen):
        raise InputError(f"{labels.path} has labels of slices, expected no projection of them: leave --z out")
    return [(place, divmod(number, slices)) for number, place in enumerate(every) if place in chosen]


def _plane_result(
    image: LazyImage, place: SelectedPlane, labels: Labels, settings: MeasureSettings, digests: dict[str, str]
) -> PlaneResult:
    info = image.info
    if labels.shape != info.shape[3:]:
        raise InputError(
            f"labels have {labels.shape[0]}×{labels.shape[1]} pixels, {image.path} has "
            f"{info.shape[3]}×{info.shape[4]}, expected the same: choose the labels of this image"
        )
    refuse_picture(labels, "labels")
    shown = settings.selection.channel
    if shown is None and info.shape[1] > 1:
        shown = 0
    channels = dict(read_channels(image, place)) if info.shape[1] > 1 else {}
    return PlaneResult(
        source=image.path,
        scene=info.scene,
        t=place.t,
        z=place.z,
        kind=info.format,
        counts=info.shape[:3],
        pixels=_read(image, place, shown, channels),
        channels=channels,
        pixel_size_yx_um=plausible_size(info.pixel_size_yx_um),
        labels=labels,
        distance_map=None,
        provenance={
            "dinocell": __version__,
            "labels": {"sha256": digests["labels"]},
            "source": describe_source(image, place, digests["source"], find_channel(image, shown)),
        },
        overwrite=settings.overwrite,
        overlay=settings.overlay,
    )


def _read(
    image: LazyImage, place: SelectedPlane, channel: int | str | None, read: dict[str, Pixels]
) -> Pixels:
    """Read the pixels that pictures show, or take them from the channels that are read already."""
    found = find_channel(image, channel)
    name = None if found is None else channel_names(image.info)[found[0]]
    return read[name] if name in read else read_selected_plane(image, place, channel)


def _with_place(table: Table, place: SelectedPlane) -> dict[str, NDArray[Any]]:
    count = len(table["label"])
    return {"t": np.full(count, place.t), "z": np.full(count, place.z or 0), **table}


def _joined(tables: list[Table]) -> Table:
    """Join tables; a column that some lack is NaN there."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    return {
        name: np.concatenate([table.get(name, np.full(len(table["label"]), np.nan)) for table in tables])
        for name in names
    }
