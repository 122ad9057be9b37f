"""Units of length and time, and the size of pixels that files in any of them have."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from dinocell.errors import InputError
from dinocell.io.images import open_image, read_image
from dinocell.io.pixel_size import diameter_in_pixels
from dinocell.io.readers.units import known_size, micrometres, positive, seconds, square_edge
from tests.fakes.zarr import write_ome_zarr

# OME's UnitsLength and UnitsTime as their schema lists them, in metres and seconds
OME_LENGTHS = {
    "Ym": 1e24, "Zm": 1e21, "Em": 1e18, "Pm": 1e15, "Tm": 1e12, "Gm": 1e9, "Mm": 1e6, "km": 1e3, "hm": 1e2,
    "dam": 10, "m": 1, "dm": 0.1, "cm": 1e-2, "mm": 1e-3, "µm": 1e-6, "nm": 1e-9, "pm": 1e-12, "fm": 1e-15,
    "am": 1e-18, "zm": 1e-21, "ym": 1e-24, "Å": 1e-10, "thou": 2.54e-5, "li": 2.54e-2 / 12, "in": 2.54e-2,
    "ft": 0.3048, "yd": 0.9144, "mi": 1609.344, "ua": 1.495978707e11, "ly": 9.4607304725808e15,
    "pc": 3.0856775814913673e16, "pt": 2.54e-2 / 72,
}  # fmt: skip
OME_TIMES = {
    "Ys": 1e24, "Ms": 1e6, "ks": 1e3, "hs": 100, "das": 10, "s": 1, "ds": 0.1, "cs": 1e-2, "ms": 1e-3,
    "µs": 1e-6, "ns": 1e-9, "ps": 1e-12, "fs": 1e-15, "as": 1e-18, "zs": 1e-21, "ys": 1e-24, "min": 60,
    "h": 3600, "d": 86400,
}  # fmt: skip
NGFF_LENGTHS = {
    "angstrom": 1e-10, "attometer": 1e-18, "centimeter": 1e-2, "decimeter": 0.1, "exameter": 1e18,
    "femtometer": 1e-15, "foot": 0.3048, "gigameter": 1e9, "hectometer": 100, "inch": 0.0254,
    "kilometer": 1000, "megameter": 1e6, "meter": 1, "micrometer": 1e-6, "mile": 1609.344, "millimeter": 1e-3,
    "nanometer": 1e-9, "parsec": 3.0856775814913673e16, "petameter": 1e15, "picometer": 1e-12,
    "terameter": 1e12, "yard": 0.9144, "yoctometer": 1e-24, "yottameter": 1e24, "zeptometer": 1e-21,
    "zettameter": 1e21,
}  # fmt: skip
NGFF_TIMES = {"day": 86400, "hour": 3600, "minute": 60, "second": 1, "millisecond": 1e-3, "nanosecond": 1e-9}
OTHERS = {
    "um": 1e-6, "\u03bcm": 1e-6, r"\u00B5m": 1e-6, "micron": 1e-6, "Microns": 1e-6, "micrometre": 1e-6,
    "micrometers": 1e-6, "Inch": 0.0254, "inches": 0.0254, " mm ": 1e-3, "\u212b": 1e-10, "ångström": 1e-10,
}  # fmt: skip


@pytest.mark.parametrize(("unit", "metres"), [*(OME_LENGTHS | NGFF_LENGTHS | OTHERS).items()])
def test_lengths(unit: str, metres: float) -> None:
    assert micrometres(unit) == pytest.approx(1e6 * metres, rel=1e-12)
    assert math.isnan(seconds(unit))


@pytest.mark.parametrize(
    ("unit", "expected"), [*(OME_TIMES | NGFF_TIMES).items(), ("sec", 1), ("msec", 1e-3)]
)
def test_times(unit: str, expected: float) -> None:
    assert seconds(unit) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(micrometres(unit))


@pytest.mark.parametrize("unit", ["pixel", "pixels", "reference frame", "", " ", None, "MM", "CM", "nms", 3])
def test_what_is_no_unit_is_nothing(unit: object) -> None:
    assert math.isnan(micrometres(unit))
    assert math.isnan(seconds(unit))
    assert positive(2, micrometres(unit)) is None


def test_sizes_are_known_where_both_sides_are() -> None:
    assert known_size(2.0, None) is None is square_edge(known_size(None, 2.0))
    assert square_edge(known_size(2.0, 2.01)) == 2.01
    assert square_edge(known_size(2.0, 2.1)) is None


def _imagej(path: Path, unit: str, per_unit: float, tag: int = 1, **more: str) -> None:
    said = "".join(f"{key}={value}\n" for key, value in {"unit": unit, **more}.items())
    tifffile.imwrite(
        path, np.zeros((8, 9), np.uint8), byteorder=">", metadata=None, resolution=(per_unit, per_unit),
        resolutionunit=tag, description=f"ImageJ=1.54f\n{said}".encode(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "per_unit", "tag"),
    [
        ("cm", 1e4 / 0.325, 3),
        ("inch", 25400 / 0.325, 2),
        ("m", 1e6 / 0.325, 1),
        ("meter", 1e6 / 0.325, 1),
        ("micrometer", 1 / 0.325, 1),
        ("micron", 1 / 0.325, 1),
        (r"\u00B5m", 1 / 0.325, 1),
        ("mm", 1e3 / 0.325, 1),
        ("nm", 1e-3 / 0.325, 1),
    ],
)
def test_imagej_in_any_unit(tmp_path: Path, unit: str, per_unit: float, tag: int) -> None:
    _imagej(tmp_path / "a.tif", unit, per_unit, tag)
    assert read_image(tmp_path / "a.tif").pixel_size_um == pytest.approx(0.325, rel=1e-5)


def test_imagej_may_measure_height_in_another_unit_and_inches_of_a_printer_are_none(tmp_path: Path) -> None:
    _imagej(tmp_path / "a.tif", "micron", 2, yunit="mm")
    with open_image(tmp_path / "a.tif") as image:
        assert image.info.pixel_size_yx_um == (500, 0.5)
        assert image.info.pixel_size_um is None
    _imagej(tmp_path / "b.tif", "inch", 300, 2)
    assert read_image(tmp_path / "b.tif").pixel_size_yx_um is None
    _imagej(tmp_path / "c.tif", "micron", 0, spacing="1.5")
    with open_image(tmp_path / "c.tif") as image:
        assert (image.info.pixel_size_yx_um, image.info.z_step_um) == (None, 1.5)


def _ome(path: Path, pixels: str) -> Path:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="9" SizeY="8" '
        f'SizeC="1" SizeZ="1" SizeT="1" {pixels}><TiffData/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8), description=xml.encode(), metadata=None)
    return path


@pytest.mark.parametrize("unit", ["cm", "m", "nm", "Å", "pm", "in", "Mm"])
def test_ome_in_any_unit(tmp_path: Path, unit: str) -> None:
    size = 0.325e-6 / OME_LENGTHS[unit]
    said = " ".join(f'PhysicalSize{axis}="{size!r}" PhysicalSize{axis}Unit="{unit}"' for axis in "XYZ")
    with open_image(_ome(tmp_path / "a.ome.tif", f'{said} TimeIncrement="2" TimeIncrementUnit="h"')) as image:
        assert (image.info.pixel_size_um, image.info.z_step_um) == pytest.approx((0.325, 0.325))
        assert image.info.time_step_s == 7200


OBLONG: dict[str, Any] = {"PhysicalSizeX": 0.325, "PhysicalSizeY": 0.65}


def test_pixels_that_are_not_square_keep_both_sizes(tmp_path: Path) -> None:
    said = " ".join(f'{key}="{value}"' for key, value in OBLONG.items())
    write_ome_zarr(tmp_path / "b.zarr", np.zeros((8, 9)), "yx", scale={"y": 0.65, "x": 0.325})
    for path in (_ome(tmp_path / "a.ome.tif", said), tmp_path / "b.zarr"):
        assert read_image(path).pixel_size_yx_um == pytest.approx((0.65, 0.325))
        with open_image(path) as image:
            assert image.info.pixel_size_um is None
            expected = (
                r"has pixels of 0\.65 × 0\.325 µm \(Y × X\), expected square ones for --diameter-um: res"
            )
            with pytest.raises(InputError, match=expected):
                diameter_in_pixels(12, image.info.pixel_size_yx_um, path)
