"""An opened TIFF file: its series as stacks of planes, and what its OME-XML describes.

All directories and the OME-XML are checked before tifffile follows them.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from dinocell.errors import FileFormatError
from dinocell.io.planes import MAX_PIXELS, METADATA_ERRORS
from dinocell.io.readers.lazy import ImageInfo, closed_on_error
from dinocell.io.readers.naming import matching_names
from dinocell.io.readers.tiff_description import bytes_for_more_planes, damage_of_description
from dinocell.io.readers.tiff_directories import Directories, check_directories
from dinocell.io.readers.tiff_file_set import FileSet
from dinocell.io.readers.tiff_messages import FileWarnings, LoggedMessages
from dinocell.io.readers.tiff_ome import OmeImage, OmeScan, check_neighbours, ome_set, own_xml
from dinocell.io.readers.tiff_pages import check_runs, find_misfit
from dinocell.io.readers.tiff_scale import Description, describe_series
from dinocell.io.readers.tiff_stack import Stack


class OpenedTiff:
    """An opened TIFF file, of which the metadata that do not fit its pages are left out.

    Parameters
    ----------
    file : path
    messages : LoggedMessages
        What tifffile logs meanwhile.
    largest : int
        As in `open_tiff`.

    Attributes
    ----------
    tif : tifffile.TiffFile
    files : tuple of Path
        The file, or all those of its OME-TIFF set.
    stacks : list of Stack
        One for each series.
    """

    def __init__(self, file: Path, messages: LoggedMessages, largest: int = MAX_PIXELS) -> None:
        found = check_directories(file)
        self.file = file
        self.files = ome_set(file)
        self._ome: list[OmeImage] = []
        self._file_set = FileSet(file, found)
        self._warnings = FileWarnings(file)
        left_out: set[str] = set()  # kinds whose metadata do not fit the file
        while True:
            self.tif = self._open(found, left_out)
            with closed_on_error(self.tif):
                self.stacks = [
                    Stack(series, file, self._warnings.add, self._file_set, largest)
                    for series in self.tif.series
                ]
                messages.check()
                self._check_stacks()
                misfit = find_misfit(self._file_set, self.stacks)
            if not misfit:
                break
            self.tif.close()
            self._leave_out(self.stacks[0].series.kind, misfit, left_out)
        with closed_on_error(self.tif):
            self._warn_of_oddities(left_out)
        for text in messages.warnings:
            self._warnings.add(text)

    def _leave_out(self, kind: str, misfit: str, left_out: set[str]) -> None:
        """Leave out the metadata of a kind, which do not fit the pages."""
        name = {"ome": "OME-XML", "imagej": "ImageJ description"}.get(kind, f"{kind} description")
        if len(self._file_set.files) > 1:  # pages of which file are left over cannot be known
            raise ValueError(f"its {name} {misfit}")
        left_out.add(kind)
        self._warnings.add(f"its {name} {misfit}, it is left out and all pages are taken: check their order")

    def _warn_of_oddities(self, left_out: set[str]) -> None:
        """Warn of what looks as if planes were missing or tags damaged."""
        for stack in self.stacks:
            if missing := stack.missing():
                planes = math.prod(stack.sizes[:3])
                self._warnings.add(
                    f"{missing} of the {planes} planes that its OME-XML speaks of are not there: "
                    "look for more files of the set"
                )
        for text in (*self._file_set.oddities(), damage_of_description(self.tif, left_out)):
            if text:
                self._warnings.add(text)
        stack = self.stacks[0]
        if more := bytes_for_more_planes(stack.series, stack.n_stored):
            self._warnings.add(
                f"it has bytes for {more} planes more than its description names: check their number"
            )

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
        self._ome = []
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
            self._warnings.add(
                f"its OME-XML speaks of other files ({names[:80]}) and not of this one, it is left out and "
                "all pages are taken: give the file its name back, or check their order"
            )
            return None
        if scan.elsewhere:
            self._warnings.add(
                f"it is one file of a set that {scan.elsewhere[:80]} describes, its own planes are taken: "
                "name that file for all of them"
            )
        self._file_set.files |= check_neighbours(scan, found)
        scan.check_planes(found.smallest)
        self._ome = scan.images
        return "" if xml is text else xml

    def _check_stacks(self) -> None:
        """Raise ValueError if there are fewer planes than the description claims."""
        if not self.stacks:
            raise ValueError("no page in it")
        stack = self.stacks[0]
        claimed = int((self.tif.imagej_metadata or {}).get("images", 1)) if self.tif.is_imagej else 1
        if stack.series.kind == "imagej" and claimed > stack.n_pages * stack.n_channels:
            raise ValueError(f"it says it has {claimed} images, but has {stack.n_pages * stack.n_channels}")
        check_runs(self._file_set, self.stacks)

    def info(self, number: int, scenes: tuple[str, ...]) -> ImageInfo:
        """Describe one stack as an image of its own."""
        stack = self.stacks[number]
        kind = {"ome": "OME-TIFF", "imagej": "ImageJ TIFF"}.get(stack.series.kind, "TIFF")
        size, z_step, time_step, names = self.describe(number)
        return ImageInfo(
            kind,
            scenes,
            number,
            stack.sizes,
            stack.samples,
            np.dtype(stack.series.dtype),
            size,
            z_step,
            time_step,
            matching_names(names, stack.sizes[1]),
            stack.missing(),
        )

    def describe(self, number: int) -> Description:
        """Return pixel size, steps and channel names of a stack, as far as the metadata are sound."""
        series = self.stacks[number].series
        try:
            ome = self._ome_image(number) if series.kind == "ome" else None
            return describe_series(series, self.tif, ome)
        except METADATA_ERRORS:
            return None, None, None, ()

    def scenes(self) -> tuple[str, ...]:
        """Name all stacks; one without a name of its own is called Series N."""
        return tuple(
            (stack.series.name if stack.series.kind == "ome" else "") or f"Series {number}"
            for number, stack in enumerate(self.stacks)
        )

    def _ome_image(self, number: int) -> OmeImage:
        """Find the OME-XML of a stack; tifffile passes over images without pages."""
        if len(self._ome) == len(self.stacks):
            return self._ome[number]
        image, *others = [image for image in self._ome if image.name == self.stacks[number].series.name]
        if others:
            raise LookupError(image.name)  # which of them is not known
        return image
