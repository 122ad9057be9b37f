"""TIFF: stacks of planes, their pixel size and the names of their channels.

tifffile trusts what a header claims, so all directories and the OME-XML are checked before it follows them.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from dinocell.errors import FileFormatError
from dinocell.io.planes import MAX_PIXELS, METADATA_ERRORS, Pixels, Window, checked_index
from dinocell.io.readers.lazy import ImageInfo, LazyImage, closed_on_error
from dinocell.io.readers.naming import choose, choose_scene, matching_names, sample_names
from dinocell.io.readers.tiff_description import bytes_for_more_planes, damage_of_description
from dinocell.io.readers.tiff_directories import Directories, check_directories
from dinocell.io.readers.tiff_messages import Heard, listening, warn
from dinocell.io.readers.tiff_ome import OmeImage, OmeScan, check_neighbours, ome_set, own_xml
from dinocell.io.readers.tiff_pages import check_runs, misfit
from dinocell.io.readers.tiff_stack import Stack
from dinocell.io.readers.tiff_walked import Walked
from dinocell.io.readers.units import known_size, micrometres, positive, seconds

_COARSEST_UM = 10.0  # resolution tags that give larger pixels speak of paper: 72 or 300 dots per inch
_Description = tuple[tuple[float, float] | None, float | None, float | None, tuple[str, ...]]


class _Opened:
    """An opened TIFF file: its series as stacks, and what its OME-XML says."""

    def __init__(self, file: Path, heard: Heard, largest: int = MAX_PIXELS) -> None:
        found = check_directories(file)
        self.file = file
        self.files = ome_set(file)
        self.ome: list[OmeImage] = []
        self.walked = Walked(file, found)
        self._said: set[str] = set()
        left_out: set[str] = set()  # kinds whose metadata do not fit the file
        while True:
            self.tif = self._open(found, left_out)
            with closed_on_error(self.tif):
                self.stacks = [
                    Stack(series, file, self.tell, self.walked, largest) for series in self.tif.series
                ]
                heard.check()
                self._check_stacks()
                unfit = misfit(self.walked, self.stacks)
            if not unfit:
                break
            self.tif.close()
            self._leave_out(self.stacks[0].series.kind, unfit, left_out)
        with closed_on_error(self.tif):
            self._tell_of_oddities(left_out)
        heard.tell(file, self._said)

    def _leave_out(self, kind: str, unfit: str, left_out: set[str]) -> None:
        """Do without the metadata of a kind, which do not fit the pages."""
        name = {"ome": "OME-XML", "imagej": "ImageJ description"}.get(kind, f"{kind} description")
        if len(self.walked.files) > 1:  # which pages of which file there are besides is not for us to guess
            raise ValueError(f"its {name} {unfit}")
        left_out.add(kind)
        self.tell(f"its {name} {unfit}, it is left out and all pages are taken: check their order")

    def _tell_of_oddities(self, left_out: set[str]) -> None:
        """Warn of what looks as if planes were missing or tags damaged."""
        for stack in self.stacks:
            if missing := stack.missing():
                planes = math.prod(stack.sizes[:3])
                self.tell(
                    f"{missing} of the {planes} planes that its OME-XML speaks of are not there: "
                    "look for more files of the set"
                )
        for text in (*self.walked.oddities(), damage_of_description(self.tif, left_out)):
            if text:
                self.tell(text)
        stack = self.stacks[0]
        if more := bytes_for_more_planes(stack.series, stack.n_stored):
            self.tell(f"it has bytes for {more} planes more than its description names: check their number")

    def tell(self, text: str) -> None:
        """Warn of something about the file, once."""
        warn(self.file, text, self._said)

    def _open(self, found: Directories, left_out: set[str]) -> tifffile.TiffFile:
        """Open the file without the metadata of some kinds; OME-XML is checked before it is followed."""
        # these kinds follow names of other files, or pointers of their own; such files are OME or ImageJ too
        flags: dict[str, Any] = {
            f"is_{kind}": False for kind in ("ndtiff", "mmstack", "ndpi", *sorted(left_out))
        }
        path = self.file.resolve()  # where the neighbours are looked for
        tif = tifffile.TiffFile(path, **flags)
        with closed_on_error(tif):
            xml = self._checked_xml(tif, found)
        if xml == "":
            return tif
        tif.close()
        if xml is None:
            left_out.add("ome")
            return tifffile.TiffFile(path, **flags, is_ome=False)
        return tifffile.TiffFile(path, omexml=xml, **flags)

    def _checked_xml(self, tif: tifffile.TiffFile, found: Directories) -> str | None:
        """Return OME-XML to be taken in place of the file's, empty for its own, None for none."""
        self.ome = []
        text = tif.pages.first.description if tif.pages else ""
        if not tif.is_ome:
            if "<!DOCTYPE" in text or "<!ENTITY" in text:  # other kinds keep XML there too
                raise FileFormatError(
                    f"{self.file} has a description with a DOCTYPE, expected none: export it again"
                )
            return ""
        scan = OmeScan(text, len(found.seen), self.file)
        xml = own_xml(scan, text)
        if xml is None:
            names = ", ".join(sorted(scan.files)[:3])
            self.tell(
                f"its OME-XML speaks of other files ({names[:80]}) and not of this one, it is left out and "
                "all pages are taken: give the file its name back, or check their order"
            )
            return None
        if scan.elsewhere:
            self.tell(
                f"it is one file of a set that {scan.elsewhere[:80]} describes, its own planes are taken: "
                "name that file for all of them"
            )
        self.walked.files |= check_neighbours(scan, found)
        scan.check_planes(found.smallest)
        self.ome = scan.images
        return "" if xml is text else xml

    def _check_stacks(self) -> None:
        if not self.stacks:
            raise ValueError("no page in it")
        stack = self.stacks[0]
        claimed = int((self.tif.imagej_metadata or {}).get("images", 1)) if self.tif.is_imagej else 1
        if stack.series.kind == "imagej" and claimed > stack.n_pages * stack.n_channels:
            raise ValueError(f"it says it has {claimed} images, but has {stack.n_pages * stack.n_channels}")
        check_runs(self.walked, self.stacks)

    def info(self, at: int, scenes: tuple[str, ...]) -> ImageInfo:
        """Describe one stack as an image of its own."""
        stack = self.stacks[at]
        kind = {"ome": "OME-TIFF", "imagej": "ImageJ TIFF"}.get(stack.series.kind, "TIFF")
        size, z_step, time_step, names = self.describe(at)
        return ImageInfo(
            kind,
            scenes,
            at,
            stack.sizes,
            stack.samples,
            np.dtype(stack.series.dtype),
            size,
            z_step,
            time_step,
            matching_names(names, stack.sizes[1]),
            stack.missing(),
        )

    def describe(self, at: int) -> _Description:
        """Give pixel size, z step, time step and channel names, as far as the metadata are sound."""
        series = self.stacks[at].series
        try:
            if series.kind == "ome":
                return _describe_ome(self._ome_image(at))
            if self.tif.is_imagej:
                return _describe_imagej(series.keyframe, self.tif.imagej_metadata or {})
            unit = {2: 25400.0, 3: 1e4}.get(series.keyframe.resolutionunit, math.nan)
            return _size_of(series.keyframe, (unit, unit), _COARSEST_UM), None, None, ()
        except METADATA_ERRORS:
            return None, None, None, ()

    def scenes(self) -> tuple[str, ...]:
        """Name all stacks; what has no name of its own is Series N."""
        return tuple(
            (stack.series.name if stack.series.kind == "ome" else "") or f"Series {at}"
            for at, stack in enumerate(self.stacks)
        )

    def _ome_image(self, at: int) -> OmeImage:
        """Find the image of a stack; tifffile passes over images without pages."""
        if len(self.ome) == len(self.stacks):
            return self.ome[at]
        image, *others = [image for image in self.ome if image.name == self.stacks[at].series.name]
        if others:
            raise LookupError(image.name)  # which of them is not known
        return image


class TiffImage(LazyImage):
    """One series of a TIFF file. Parameters and errors as of `LazyImage`."""

    def __init__(self, opened: _Opened, info: ImageInfo, largest: int = MAX_PIXELS) -> None:
        super().__init__(opened.file, info, largest)
        self._tif, self._stack = opened.tif, opened.stacks[info.scene]
        self._files = opened.files
        self._stamp = self._changed()

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, or all those of the OME-TIFF set that it is part of."""
        return self._files

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Rows and columns of a tile or strip; one row where the plane is stored as it is."""
        return self._stack.chunk_shape

    def has_plane(self, t: int = 0, c: int = 0, z: int = 0) -> bool:
        """Return whether a plane that the OME-XML speaks of is in the file, or in another one of its set."""
        return self._stack.has_plane(t, c, z)

    def _read(self, t: int, c: int, z: int) -> Pixels:
        return self._unchanged(t, c, z, None)

    def _read_window(self, rows: slice, columns: slice, t: int, c: int, z: int) -> Pixels:
        return self._unchanged(t, c, z, (rows, columns))

    def _unchanged(self, t: int, c: int, z: int, window: Window | None) -> Pixels:
        """Read a plane or a window of it from the file as it was opened."""
        with listening() as heard:
            pixels = self._stack.read_plane(t, c, z, window)
            heard.check()
        if self._changed() != self._stamp:
            raise ValueError("it changed while it was read")
        return pixels

    def _changed(self) -> list[tuple[int, int]]:
        """Return what changes when somebody writes to one of the files."""
        found = [os.fstat(self._tif.filehandle.fileno())]
        found += [file.stat() for file in self._files if file != self.path]
        return [(status.st_size, status.st_mtime_ns) for status in found]

    def close(self) -> None:
        """Close the file."""
        self._tif.close()


def open_tiff(file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
    """Open one series of a TIFF file: OME-TIFF, also of several files, ImageJ hyperstack, or plain.

    Axes other than T, C and Z become slices where there is no Z, else times. Of a pyramid this is the finest
    level.

    Parameters
    ----------
    file : path
    scene : int or str
        Number or name of the series.
    largest : int
        Pixels that a plane may have where windows of it are read without the rest; others `MAX_PIXELS`.

    Raises
    ------
    FileFormatError
        If its pages form a cycle, it claims more than it can hold, names other files than its neighbours, or
        has colours other than gray and RGB.
    InputError
        If there is no such scene.
    """
    with listening() as heard:
        opened = _Opened(file, heard, largest)
        with closed_on_error(opened.tif):
            scenes = opened.scenes()
            return TiffImage(opened, opened.info(choose_scene(scenes, scene, file), scenes), largest)


def read_tiff(
    file: Path, page: int | None, channel: int | str | None
) -> tuple[Pixels, bool, tuple[float, float] | None, tuple[str, ...]]:
    """Read one plane: is it a colour image, its pixels' (Y, X) in micrometres, the names of its channels."""
    with listening() as heard:
        opened = _Opened(file, heard)
        with opened.tif:
            number = checked_index(page, sum(stack.n_pages for stack in opened.stacks), "page", file)
            at = 0
            while number >= opened.stacks[at].n_pages:
                number, at = number - opened.stacks[at].n_pages, at + 1
            stack = opened.stacks[at]
            size, _, _, names = opened.describe(at)
            names = matching_names(names, stack.n_channels)
            if channel is not None:
                called = sample_names(stack.n_channels) if stack.is_colour else names
                channel = choose(called or ("",) * stack.n_channels, channel, "channel", file)
                names = matching_names(names[channel : channel + 1], 1)
            pixels = stack.read_page(number, channel)
            heard.check()
    return pixels, stack.is_colour, size, names


def _describe_imagej(keyframe: Any, metadata: dict[str, Any]) -> _Description:
    unit = metadata.get("unit")
    x, y, z = (micrometres(metadata.get(key, unit)) for key in ("unit", "yunit", "zunit"))
    # resolution tags in inches may be a printer's, as those of no program
    coarsest = _COARSEST_UM if x == micrometres("inch") else math.inf
    return (
        _size_of(keyframe, (x, y), coarsest),
        positive(metadata.get("spacing"), z),
        positive(metadata.get("finterval"), seconds(metadata.get("tunit", "s"))),
        tuple(str(label) for label in metadata.get("Labels", ())),
    )


def _size_of(keyframe: Any, units: tuple[float, float], coarsest: float) -> tuple[float, float] | None:
    """Return height and width of a pixel, of tags that count pixels along X and Y in units of so many µm."""
    if "XResolution" not in keyframe.tags:
        return None
    x, y = (
        positive(unit / per_unit) if per_unit else None
        for unit, per_unit in zip(units, keyframe.resolution, strict=True)
    )
    size = known_size(y, x)
    return size if size and max(size) <= coarsest else None


def _describe_ome(image: OmeImage) -> _Description:
    pixels = image.pixels
    y, x, z = (
        positive(pixels.get(f"PhysicalSize{axis}"), micrometres(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
        for axis in "YXZ"
    )
    time_unit = seconds(pixels.get("TimeIncrementUnit", "s"))
    return known_size(y, x), z, positive(pixels.get("TimeIncrement"), time_unit), tuple(image.channels)
