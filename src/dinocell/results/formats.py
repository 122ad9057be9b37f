"""All formats that results can be written in. To add one, write its class and list it here."""

from dinocell.errors import InputError
from dinocell.results.coco import CocoFormat
from dinocell.results.distance_map import DistanceFormat
from dinocell.results.geojson import GeojsonFormat
from dinocell.results.geoparquet import GeoparquetFormat
from dinocell.results.imagej_rois import RoisFormat
from dinocell.results.label_images import NpyFormat, PngFormat, TifFormat
from dinocell.results.overlay import OverlayFormat
from dinocell.results.result_format import BlockFormat, PlaneFormat
from dinocell.results.table import CsvFormat, ParquetFormat
from dinocell.results.zarr_labels import ZarrFormat

_ALL = (
    OverlayFormat(),
    CsvFormat(),
    ParquetFormat(),
    GeoparquetFormat(),
    DistanceFormat(),
    RoisFormat(),
    GeojsonFormat(),
    CocoFormat(),
    ZarrFormat(),
    NpyFormat(),
    PngFormat(),
    TifFormat(),
)

PLANE_FORMATS: dict[str, PlaneFormat] = {each.name: each for each in _ALL if isinstance(each, PlaneFormat)}
"""Formats of `dinocell segment` by name, in the order in which they are written."""

BLOCK_FORMATS: dict[str, BlockFormat] = {each.name: each for each in _ALL if isinstance(each, BlockFormat)}
"""Formats of `dinocell segment-large` by name."""

DEFAULT_FORMATS = tuple(name for name, found in PLANE_FORMATS.items() if found.by_default)
"""Names of the formats that `dinocell segment` writes where none is asked for."""


def parse_formats(values: list[str]) -> tuple[str, ...]:
    """Parse names of formats, each on its own or several joined by commas; default where there are none.

    The result is in the order in which they are written.

    Raises
    ------
    InputError
        If one is unknown.

    Examples
    --------
    >>> parse_formats(["tif,csv", "rois"])
    ('csv', 'rois', 'tif')
    """
    wanted = {name.strip().lower().lstrip(".") for value in values for name in value.split(",")} - {""}
    unknown = sorted(wanted - PLANE_FORMATS.keys())
    if unknown:
        raise InputError(
            f"--format {unknown[0]!r} is not known, expected some of {', '.join(sorted(PLANE_FORMATS))}"
        )
    return tuple(name for name in PLANE_FORMATS if name in wanted) or DEFAULT_FORMATS
