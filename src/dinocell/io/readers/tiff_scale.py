"""Pixel size, steps and channel names of a TIFF file, as ImageJ, OME-XML or TIFF's own tags give them."""

import math
from typing import Any

from dinocell.io.readers.tiff_ome import OmeImage
from dinocell.io.readers.units import known_size, micrometres, positive, seconds

_COARSEST_UM = 10.0  # resolution tags that give larger pixels speak of paper: 72 or 300 dots per inch

Description = tuple[tuple[float, float] | None, float | None, float | None, tuple[str, ...]]
"""Height and width of a pixel and distance of slices in micrometres, seconds between times, channel names."""


def describe_series(series: Any, tif: Any, ome: OmeImage | None) -> Description:
    """Return what the metadata of a file contain about one series.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
    tif : tifffile.TiffFile
    ome : OmeImage or None
        Its OME-XML, if that describes the series.
    """
    if ome is not None:
        return _describe_ome(ome)
    if tif.is_imagej:
        return _describe_imagej(series.keyframe, tif.imagej_metadata or {})
    unit = {2: 25400.0, 3: 1e4}.get(series.keyframe.resolutionunit, math.nan)
    return _size_of(series.keyframe, (unit, unit), _COARSEST_UM), None, None, ()


def _describe_imagej(keyframe: Any, metadata: dict[str, Any]) -> Description:
    unit = metadata.get("unit")
    x, y, z = (micrometres(metadata.get(key, unit)) for key in ("unit", "yunit", "zunit"))
    # resolution tags in inches may be a printer's, as those in plain TIFF
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


def _describe_ome(image: OmeImage) -> Description:
    pixels = image.pixels
    y, x, z = (
        positive(pixels.get(f"PhysicalSize{axis}"), micrometres(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
        for axis in "YXZ"
    )
    time_unit = seconds(pixels.get("TimeIncrementUnit", "s"))
    return known_size(y, x), z, positive(pixels.get("TimeIncrement"), time_unit), tuple(image.channels)
