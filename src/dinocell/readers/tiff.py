"""TIFF: stacks of planes, their pixel size and the names of their channels."""

import itertools
import logging
import math
import re
import threading
from pathlib import Path

import numpy as np
import tifffile

from dinocell.errors import FileFormatError
from dinocell.planes import METADATA_ERRORS, Pixels, check_size, checked_index

# tifffile logs the damage that it works around as errors. These leave the pixels alone: broken OME-XML,
# superfluous strips, private tags.
_HARMLESS = re.compile(r"OME series raised|incorrect Strip|TiffTag \d{5} ")
_OTHER_COLOURS = (5, 6, 8, 9, 10, 32845)  # TIFF's CMYK, YCbCr, Lab (three of them) and LogLuv
_COLOUR = (2, 6)  # photometric interpretations RGB and YCbCr
_JPEG = (6, 7)  # compressions that tifffile decodes from YCbCr to RGB
_MICROMETRES = dict.fromkeys(("µm", "μm", "\\u00B5m", "um", "micron", "microns"), 1.0) | {
    "nm": 1e-3,
    "mm": 1e3,
}
_COARSEST_UM = 10.0  # resolution tags that give larger pixels speak of paper: 72 or 300 dots per inch


class _TifffileErrors(logging.Filter):
    """Keeps tifffile's messages from the screen; `check` raises the first that speaks of damage."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        if record.levelno >= logging.ERROR and not _HARMLESS.search(record.getMessage()):
            self.messages.append(record.getMessage())
        return False

    def check(self) -> None:
        if self.messages:
            raise ValueError(self.messages[0])


def read_tiff(
    file: Path, page: int | None, channel: int | None
) -> tuple[Pixels, bool, float | None, tuple[str, ...]]:
    """Read one plane: is it a colour image, its pixel size in micrometres, the names of its channels."""
    errors, logger = _TifffileErrors(), logging.getLogger("tifffile")
    logger.addFilter(errors)
    try:
        with tifffile.TiffFile(file) as tif:
            stacks = [_Stack(series, file) for series in tif.series]
            errors.check()
            if not stacks:
                raise ValueError("no page in it")
            number = checked_index(page, sum(stack.n_pages for stack in stacks), "page", file)
            at = 0
            while number >= stacks[at].n_pages:
                number, at = number - stacks[at].n_pages, at + 1
            stack = stacks[at]
            checked_index(channel or 0, stack.n_channels, "channel", file)
            pixels = stack.read(number, channel)
            errors.check()
            size, names = _describe(tif, at)
    finally:
        logger.removeFilter(errors)
    names = names if len(names) == stack.n_channels else ()
    return pixels, stack.is_colour, size, names if channel is None else names[channel : channel + 1]


class _Stack:
    """A tifffile series as numbered planes: samples (R, G, B), else the axis C, are a plane's channels."""

    def __init__(self, series: tifffile.TiffPageSeries, file: Path) -> None:
        self.series, self.keyframe = series, series.keyframe
        self.axes, self.shape = series.get_axes(squeeze=True), series.get_shape(squeeze=True)
        sizes = dict(zip(self.axes, self.shape, strict=True))
        if not {"Y", "X"} <= set(sizes):
            raise FileFormatError(f"{file} has axes {self.axes}, expected Y and X: save it as a plain TIFF")
        check_size(sizes["Y"], sizes["X"], file)
        if self.keyframe.photometric in _OTHER_COLOURS and self.keyframe.compression not in _JPEG:
            raise FileFormatError(
                f"{file} has colours of TIFF kind {int(self.keyframe.photometric)}, expected gray or RGB: "
                "convert it to RGB"
            )
        self.channel = "S" if "S" in sizes else "C"
        self.is_colour = self.channel == "S" and self.keyframe.photometric in _COLOUR
        self.page_dims = [d for d, axis in enumerate(self.axes) if axis not in {"Y", "X", self.channel}]
        self.n_pages = math.prod(self.shape[d] for d in self.page_dims)
        gray_alpha = sizes.get("S") == 2 and {1, 2} & set(self.keyframe.extrasamples)
        self.n_channels = 1 if gray_alpha else sizes.get(self.channel, 1)

    def read(self, number: int, channel: int | None) -> Pixels:
        """Read plane `number`, one channel or all, as (Y, X) or (Y, X, C)."""
        index = np.unravel_index(number, [1, *(self.shape[d] for d in self.page_dims)])[1:]
        chosen = {d: int(at) for d, at in zip(self.page_dims, index, strict=True)}
        if self.channel in self.axes and (channel is not None or self.n_channels == 1):
            chosen[self.axes.index(self.channel)] = channel or 0
        lead = len(self.shape) - self.keyframe.ndim
        if self.shape[lead:] != self.keyframe.shape:
            raise ValueError(f"stored pages do not fit the axes {self.axes}")
        outer = itertools.product(
            *([chosen[d]] if d in chosen else range(self.shape[d]) for d in range(lead))
        )
        stored = [
            self._stored_page(int(np.ravel_multi_index((0, *at), (1, *self.shape[:lead])))) for at in outer
        ]
        inner = tuple(chosen.get(d, slice(None)) for d in range(lead, len(self.shape)))
        block = stored[0][inner] if len(stored) == 1 else np.stack([array[inner] for array in stored])
        left = [axis for d, axis in enumerate(self.axes) if d not in chosen]
        return block.transpose([left.index(axis) for axis in ("Y", "X", self.channel) if axis in left])

    def _stored_page(self, number: int) -> Pixels:
        """Read one stored page, checking first that all of it is there."""
        series, keyframe = self.series, self.keyframe
        if series.dataoffset is not None and not series.is_multifile:  # ImageJ describes stacks by one page
            offset = series.dataoffset + number * keyframe.nbytes
            dtype = f"{keyframe.parent.byteorder}{series.dtype.char}"
            data = keyframe.parent.filehandle.read_array(dtype, keyframe.size, offset)
            return data.reshape(keyframe.shape)
        page = series[number]
        if page is None:
            raise ValueError(f"plane {number} is not in the file")
        if page.parent.filehandle.closed:  # OME planes may lie in neighbouring files
            page.parent.filehandle.open()
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if len(ends) < math.prod(page.chunked) or max(ends) > page.parent.filehandle.size:
            raise ValueError(f"part of plane {number} is missing")
        return page.asarray()


def _describe(tif: tifffile.TiffFile, at: int) -> tuple[float | None, tuple[str, ...]]:
    """Give pixel size and channel names of series `at`, as far as its metadata are sound."""
    try:
        if tif.ome_metadata is not None:
            return _describe_ome(tif.ome_metadata, at)
        keyframe, imagej = tif.series[at].keyframe, tif.imagej_metadata
        if imagej is None:
            unit, coarsest = {2: 25400.0, 3: 1e4}.get(keyframe.resolutionunit, math.nan), _COARSEST_UM
        else:
            unit, coarsest = _MICROMETRES.get(imagej.get("unit", ""), math.nan), math.inf
        x, y = (unit / per_unit for per_unit in keyframe.resolution)
        names = tuple((imagej or {}).get("Labels", ()))
        return _square_edge(x, y, coarsest) if "XResolution" in keyframe.tags else None, names
    except METADATA_ERRORS:
        return None, ()


def _describe_ome(xml: str, at: int) -> tuple[float | None, tuple[str, ...]]:
    images = tifffile.xml2dict(xml, sep="")["OME"]["Image"]
    pixels = (images if isinstance(images, list) else [images])[at]["Pixels"]
    channels = pixels.get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    x, y = (
        float(pixels.get(f"PhysicalSize{axis}", "nan"))
        * _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), math.nan)
        for axis in "XY"
    )
    return _square_edge(x, y), tuple(str(channel["Name"]) for channel in channels if "Name" in channel)


def _square_edge(x: float, y: float, coarsest: float = math.inf) -> float | None:
    return x if 0 < x <= coarsest and abs(x - y) <= 0.01 * x else None
