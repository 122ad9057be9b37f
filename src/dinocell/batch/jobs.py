"""From files to planes that wait for the model: planes are chosen, hashed, skipped if done, and read."""

import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.batch.outcomes import PlaneOutcome, SourceRead, failed_outcome, record_path, result_files
from dinocell.batch.provenance import describe_plane, describe_stack
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.batch.stacks import StackPlan, check_joins, describe_axes, stack_files
from dinocell.errors import DINOCellError, FileFormatError, InputError, OutputError
from dinocell.inference.settings import CompleteSettings
from dinocell.io.identity import Stamp, hash_files, stamp_of
from dinocell.io.images import is_ome_zarr, open_image
from dinocell.io.pixel_size import diameter_in_pixels, fill_pixel_size
from dinocell.io.planes import Pixels
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.saving import NAME_BYTES, printable
from dinocell.io.selected_planes import missing_channels, read_channels, read_selected_plane
from dinocell.io.selection import SelectedPlane, check_scene, common_suffix, select_planes
from dinocell.results.formats import PLANE_FORMATS
from dinocell.results.record import ResultState, find_state
from dinocell.results.result_format import Stack

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PlaneJob:
    """Plane that waits for the model; arrays are as in `PlaneResult`, `gray` is as a pipeline prepares it.

    `seconds` is the time that was spent on it so far. `unmeasured` lists the channels that are missing in the
    file, in which cells cannot be measured. `part_of` is the name of a stack's results.
    """

    source: SourceFile
    name: Path
    info: ImageInfo
    place: SelectedPlane
    pixels: Pixels
    channels: dict[str, Pixels]
    inference: CompleteSettings
    provenance: dict[str, Any]
    seconds: float
    gray: NDArray[np.uint8] | None = None
    unmeasured: tuple[str, ...] = ()
    part_of: str = ""


@dataclass(frozen=True)
class StackRead:
    """Event after the last plane of a stack."""

    plan: StackPlan


LoadEvent = PlaneJob | PlaneOutcome | StackRead | SourceRead


def load_jobs(
    sources: Iterable[SourceFile], settings: BatchSettings, *, dry_run: bool = False
) -> Iterator[LoadEvent]:
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
    StackRead
        After the planes of a stack, unless it is done already.
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


class _SourceLoader:
    """Reader of the planes of one file."""

    def __init__(
        self, source: SourceFile, settings: BatchSettings, taken: dict[str, Path], *, dry_run: bool
    ) -> None:
        self.source, self.settings, self.taken, self.dry_run = source, settings, taken, dry_run
        self.stamp: Stamp = ()
        self.digest = ""

    def load(self) -> Iterator[LoadEvent]:
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
                places = select_planes(image, selection)
                if len(places) > 1 and not self.settings.separate_planes:
                    yield from self._load_stack(image, places, inference)
                    continue
                for place in places:
                    yield self._load_place(image, place, inference, self._name(place.suffix))
        if is_ome_zarr(path):  # its many files are checked once, not after every plane
            self._check_unchanged((path,))

    @property
    def _ending(self) -> str:
        return "" if self.settings.trained else "_untrained"

    def _name(self, suffix: str) -> Path:
        return self.source.name.with_name(f"{self.source.name.name}{suffix}{self._ending}")

    def _load_stack(
        self, image: LazyImage, places: list[SelectedPlane], inference: CompleteSettings
    ) -> Iterator[LoadEvent]:
        """Load the planes of a stack, unless all is done."""
        path, settings, name = self.source.path, self.settings, self._name(common_suffix(places))
        try:
            provenance = describe_stack(image, places, self.digest, settings)
            shape = (image.info.shape[3], image.info.shape[4])
            stack = Stack(path, shape, describe_axes(image.info, places), provenance)
            plan = StackPlan(self.source, name, self._ending, tuple(places), stack)
            check_joins(plan, settings)
            self._reserve_name(name)
            if (done := self._outcome_if_done(name, provenance, stack_files(settings, name))) is not None:
                yield done
                return
        except (DINOCellError, MemoryError, OSError) as error:
            yield failed_outcome(path, name, error)
            return
        if self.dry_run:
            message = f"{path}: {len(places)} planes would be segmented → {settings.output / name}_*"
            yield PlaneOutcome(path, str(name), "planned", message, {})
            return
        for place in places:
            part = self._load_place(image, place, inference, plan.part_name(place))
            if isinstance(part, PlaneOutcome) and part.status == "skipped":
                part = replace(part, message=f"{path} ({place.suffix.strip('_')}): done before")
            yield replace(part, part_of=str(name))
        yield StackRead(plan)

    def _load_place(
        self, image: LazyImage, place: SelectedPlane, inference: CompleteSettings, name: Path
    ) -> PlaneJob | PlaneOutcome:
        path, settings = self.source.path, self.settings
        try:
            started = time.monotonic()
            self._reserve_name(name)
            provenance = describe_plane(image, place, self.digest, settings)
            if (done := self._outcome_if_done(name, provenance, result_files(settings, name))) is not None:
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
            time.monotonic() - started,
            unmeasured=unmeasured,
        )

    def _reserve_name(self, name: Path) -> None:
        """Reserve a name; raise if other results of this batch have it, in upper or lower case."""
        first = self.taken.setdefault(str(name).casefold(), self.source.path)
        if first != self.source.path:
            raise OutputError(
                f"{self.source.path} would have results named {name}, as {first} has: rename one of them, or "
                "choose another -o for it"
            ).of_kind("would have results named as those of another file", "rename one of each")
        self._check_length(name)

    def _check_length(self, name: Path) -> None:
        """Raise if a name with the longest ending of its results is longer than file systems allow."""
        files = [record_path(self.settings, name), *result_files(self.settings, name).values()]
        if any(len(os.fsencode(file.name)) > NAME_BYTES for file in files):
            raise OutputError(
                f"{self.source.path} would have results with names longer than {NAME_BYTES} bytes, expected "
                "what file systems allow: rename it"
            ).of_kind(f"would have results with names longer than {NAME_BYTES} bytes", "rename them")

    def _outcome_if_done(
        self, name: Path, provenance: dict[str, Any], files: dict[str, Path]
    ) -> PlaneOutcome | None:
        """Return the outcome of results that are done; raise rather than replace files that are not ours."""
        settings = self.settings
        if settings.overwrite:
            return None
        where = printable(os.path.realpath(self.source.path))
        state = find_state(
            record_path(settings, name),
            list(files.values()),
            settings.formats,
            provenance,
            where,
            shown=settings.shown,
        )
        if state in (ResultState.CHANGED, ResultState.FOREIGN, ResultState.OTHER):
            raise OutputError(
                f"{self.source.path}: results named {name} exist in {settings.output} and are {state.value}: "
                "move them away, or replace them with --overwrite"
            ).of_kind(f"have results that are {state.value}", "move them away, or --overwrite")
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
    diameter = diameter_in_pixels(settings.diameter_um, image.info.pixel_size_yx_um, image.path)
    return settings.inference.model_copy(update={"diameter": diameter})
