"""From files to planes that wait for the model: planes are chosen, hashed, skipped if done, and read."""

import errno
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dinocell.batch.record import ResultState, find_state
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.datasets.belonging import RECORD_ENDING
from dinocell.errors import DINOCellError, FileFormatError, InputError, OutputError
from dinocell.inference.settings import CompleteSettings
from dinocell.io.identity import Stamp, hash_files, stamp_of
from dinocell.io.images import is_ome_zarr, open_image
from dinocell.io.pixel_size import fill_pixel_size
from dinocell.io.planes import Pixels
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.saving import NAME_BYTES, printable
from dinocell.io.selected_planes import find_channel, missing_channels, read_channels, read_selected_plane
from dinocell.io.selection import SelectedPlane, check_scene, diameter_in_pixels, select_planes
from dinocell.results.formats import PLANE_FORMATS
from dinocell.version import __version__

Status = Literal["done", "skipped", "failed", "planned"]

logger = logging.getLogger(__name__)

_STOPPING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class PlaneOutcome:
    """Outcome of one plane, or of a file that could not be opened.

    Attributes
    ----------
    source : Path
    name : str
        Path of the results, relative and without ending.
    status : "done", "skipped", "failed" or "planned"
    message : str
        The reason, or what was found, in one line.
    details : dict
        Values for the log, ready for JSON.
    stops : bool
        Whether all later planes would fail in the same way, as on a full disk.
    """

    source: Path
    name: str
    status: Status
    message: str
    details: dict[str, Any]
    stops: bool = False


@dataclass(frozen=True)
class SourceRead:
    """Event after the last plane of a file."""

    source: Path


@dataclass(frozen=True, eq=False)
class PlaneJob:
    """Plane that waits for the model; arrays are as in `PlaneResult`, `gray` is as a pipeline prepares it.

    `unmeasured` lists the channels that are missing in the file, in which cells cannot be measured.
    """

    source: SourceFile
    name: Path
    info: ImageInfo
    place: SelectedPlane
    pixels: Pixels
    channels: dict[str, Pixels]
    inference: CompleteSettings
    provenance: dict[str, Any]
    started: float
    gray: NDArray[np.uint8] | None = None
    unmeasured: tuple[str, ...] = ()


def load_jobs(
    sources: Iterable[SourceFile], settings: BatchSettings, *, dry_run: bool = False
) -> Iterator[PlaneJob | PlaneOutcome | SourceRead]:
    """Read the planes that are selected and not done yet, file by file.

    Parameters
    ----------
    sources : iterable of SourceFile
    settings : BatchSettings
    dry_run : bool
        Report what would be done, without reading pixels.

    Yields
    ------
    PlaneJob
        A plane to segment.
    PlaneOutcome
        For a plane that is skipped or cannot be read; in a dry run, for one that would be done.
    SourceRead
        After each file.
    """
    taken: dict[str, Path] = {}
    for source in sources:
        try:
            yield from _SourceLoader(source, settings, taken, dry_run=dry_run).load()
        except Exception as error:  # one bad file must not end a batch of ten thousand; it is reported
            if not isinstance(error, DINOCellError | MemoryError | OSError):
                logger.exception("%s: a defect of DINOCell", source.path)
            yield failed_outcome(source.path, source.name, error)
        yield SourceRead(source.path)


def failed_outcome(path: Path, name: Path, error: BaseException) -> PlaneOutcome:
    """Return the outcome of an error."""
    reason = "the memory is not enough for it" if isinstance(error, MemoryError) else str(error)
    if not isinstance(error, DINOCellError | MemoryError):
        reason = f"{type(error).__name__}: {error}"
    message = reason if str(path) in reason else f"{path}: {reason}"
    cause = error.__cause__
    stops = isinstance(error, OutputError) and isinstance(cause, OSError) and cause.errno in _STOPPING
    return PlaneOutcome(path, str(name), "failed", message, {}, stops)


def record_path(settings: BatchSettings, name: Path) -> Path:
    """Return the path of the record of a plane."""
    return settings.output / f"{name}{RECORD_ENDING}"


def result_files(settings: BatchSettings, name: Path) -> dict[str, Path]:
    """Return the files of the results of a plane, by format; formats written into the source have none."""
    endings = {key: PLANE_FORMATS[key].ending for key in settings.formats}
    return {key: settings.output / f"{name}{ending}" for key, ending in endings.items() if ending}


class _SourceLoader:
    """Reader of the planes of one file."""

    def __init__(
        self, source: SourceFile, settings: BatchSettings, taken: dict[str, Path], *, dry_run: bool
    ) -> None:
        self.source, self.settings, self.taken, self.dry_run = source, settings, taken, dry_run
        self.stamp: Stamp = ()
        self.digest = ""

    def load(self) -> Iterator[PlaneJob | PlaneOutcome]:
        path, selection = self.source.path, self.settings.selection
        if "zarr" in self.settings.formats and not is_ome_zarr(path):
            raise InputError(
                f"{path} is not an OME-Zarr, which --format zarr writes labels into: choose another format"
            )
        with open_image(path) as first:
            check_scene(first, selection)
            scenes = range(len(first.info.scenes))
            self.stamp = stamp_of(first.files)
            self.digest = hash_files(first.files)
        one = 0 if selection.scene is None else selection.scene
        for scene in scenes if selection.scene == "all" else [one]:
            with open_image(path, scene=scene) as image:
                fill_pixel_size(image, self.settings.pixel_size_yx_um)
                inference = _inference(image, self.settings)
                for place in select_planes(image, selection):
                    yield self._load_place(image, place, inference)
        if is_ome_zarr(path):  # its many files are checked once, not after every plane
            self._check_unchanged((path,))

    def _load_place(
        self, image: LazyImage, place: SelectedPlane, inference: CompleteSettings
    ) -> PlaneJob | PlaneOutcome:
        path, settings = self.source.path, self.settings
        ending = "" if settings.trained else "_untrained"
        name = self.source.name.with_name(f"{self.source.name.name}{place.suffix}{ending}")
        try:
            started = time.monotonic()
            self._reserve_name(name)
            provenance = _provenance(image, place, self.digest, settings)
            if (done := self._outcome_if_done(name, provenance)) is not None:
                return done
            if self.dry_run:
                message = f"{path}: would be segmented → {settings.output / name}_*"
                return PlaneOutcome(path, str(name), "planned", message, {})
            pixels = read_selected_plane(image, place, settings.selection.channel)
            channels, unmeasured = _measured_channels(image, place, settings)
            if not is_ome_zarr(path):
                self._check_unchanged(image.files)
        except (DINOCellError, MemoryError, OSError) as error:  # the other planes may be sound
            return failed_outcome(path, name, error)
        return PlaneJob(
            self.source,
            name,
            image.info,
            place,
            pixels,
            channels,
            inference,
            provenance,
            started,
            unmeasured=unmeasured,
        )

    def _reserve_name(self, name: Path) -> None:
        """Reserve a name; raise if other results of this batch have it, in upper or lower case."""
        first = self.taken.setdefault(str(name).casefold(), self.source.path)
        if first != self.source.path:
            raise OutputError(
                f"{self.source.path} would have results named {name}, as {first} has: rename one of them, or "
                "choose another -o for it"
            )
        self._check_length(name)

    def _check_length(self, name: Path) -> None:
        """Raise if a name with the longest ending of its results is longer than file systems allow."""
        files = [record_path(self.settings, name), *result_files(self.settings, name).values()]
        if any(len(os.fsencode(file.name)) > NAME_BYTES for file in files):
            raise OutputError(
                f"{self.source.path} would have results with names longer than {NAME_BYTES} bytes, expected "
                "what file systems allow: rename it"
            )

    def _outcome_if_done(self, name: Path, provenance: dict[str, Any]) -> PlaneOutcome | None:
        """Return the outcome of a plane that is done; raise rather than replace files that are not ours."""
        settings = self.settings
        if settings.overwrite:
            return None
        files = list(result_files(settings, name).values())
        where = os.path.realpath(self.source.path)
        state = find_state(record_path(settings, name), files, settings.formats, provenance, printable(where))
        if state in (ResultState.CHANGED, ResultState.FOREIGN, ResultState.OTHER):
            raise OutputError(
                f"{self.source.path}: results named {name} exist in {settings.output} and are {state.value}: "
                "move them away, or replace them with --overwrite"
            )
        if state in (ResultState.DONE, ResultState.EDITED):
            message = f"{self.source.path}: skipped, {state.value}"
            return PlaneOutcome(self.source.path, str(name), "skipped", message, {})
        return None

    def _check_unchanged(self, files: tuple[Path, ...]) -> None:
        changed = set(stamp_of(files)) ^ set(self.stamp)
        if changed:
            raise FileFormatError(
                f"{min(changed)[0]} changed while it was read, expected a file at rest: "
                "wait until it is written, then start again"
            )


def _measured_channels(
    image: LazyImage, place: SelectedPlane, settings: BatchSettings
) -> tuple[dict[str, Pixels], tuple[str, ...]]:
    """Read the channels that cells are measured in, and name those that are not in the file."""
    if image.info.shape[1] == 1 or not any(PLANE_FORMATS[name].needs_channels for name in settings.formats):
        return {}, ()
    return dict(read_channels(image, place)), tuple(missing_channels(image, place))


def _inference(image: LazyImage, settings: BatchSettings) -> CompleteSettings:
    """Return the settings of inference, with the diameter in the pixels of the image."""
    if settings.diameter_um is None:
        return settings.inference
    return settings.inference.model_copy(update={"diameter": diameter_in_pixels(settings.diameter_um, image)})


def _provenance(
    image: LazyImage, place: SelectedPlane, digest: str, settings: BatchSettings
) -> dict[str, Any]:
    channel = find_channel(image, settings.selection.channel)
    source = describe_source(image, place, digest, channel)
    return {"dinocell": __version__, **settings.described(), "source": source}


def describe_source(
    image: LazyImage, place: SelectedPlane, digest: str, channel: tuple[int, str] | None
) -> dict[str, Any]:
    """Return where a plane comes from, as JSON values for the provenance; `digest` is that of its files."""
    info = image.info
    several = {"files": [printable(file.name) for file in image.files]} if len(image.files) > 1 else {}
    number, name = channel or (None, None)
    return {
        "name": printable(image.files[0].name),
        **several,
        "sha256": digest,
        "scene": info.scenes[info.scene],
        "scene_number": info.scene,
        "t": place.t,
        "z": place.projection if place.z is None else place.z,
        "channel": name,
        "channel_number": number,
        "pixel_size_um": info.pixel_size_um,
        "pixel_size_yx_um": info.pixel_size_yx_um and list(info.pixel_size_yx_um),
    }
