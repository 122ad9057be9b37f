"""Write a stack of planes as TIFF whose axes OME's readers and ImageJ both know.

An OME-TIFF says in its first page what its pages are, as XML; ImageJ (and Fiji, which opens ``.tif`` by it)
has a few lines of its own there, and takes the times of an OME-TIFF for slices. So the first page has both::

    page 0   256 width
             …
             270 <?xml … <Pixels DimensionOrder="XYZCT" SizeT="60" …   the first one: tifffile, Bio-Formats
             270 ImageJ=1.11a images=60 frames=60 hyperstack=true …    the last one: ImageJ
    page 1   256 width
"""

import math
import struct
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from dinocell.io.planes import PathLike
from dinocell.io.saving import atomic_path, describe_pixels, encode_provenance
from dinocell.version import __version__

_CLASSIC = 2**32 - 2**26  # bytes of pixels that surely fit into a TIFF with 32-bit places
_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_DESCRIPTION, _ASCII = 270, 2
_BIG = 43  # version of a BigTIFF, whose places have 64 bits


@dataclass(frozen=True)
class StackAxes:
    """Axes of a stack of planes.

    Attributes
    ----------
    times, slices : int
        Planes are in this order: all slices of the first time, then of the second.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres.
    z_step_um, time_step_s : float or None
        Distance of slices, and of times.
    """

    times: int
    slices: int
    pixel_size_yx_um: tuple[float, float] | None = None
    z_step_um: float | None = None
    time_step_s: float | None = None

    @property
    def names(self) -> str:
        """Letters of the axes that a stack has before Y and X: ``T``, ``Z`` or ``TZ``."""
        return ("T" if self.times > 1 or self.slices == 1 else "") + ("Z" if self.slices > 1 else "")

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of these axes."""
        return tuple({"T": self.times, "Z": self.slices}[name] for name in self.names)


@dataclass(frozen=True)
class _Layout:
    """Shape, kind and description of a stack as a whole."""

    axes: StackAxes
    plane: tuple[int, ...]
    dtype: np.dtype[Any]
    name: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.axes.shape, *self.plane)

    @property
    def letters(self) -> str:
        return f"{self.axes.names}YX{'S' if len(self.plane) == 3 else ''}"

    @property
    def full_shape(self) -> tuple[int, ...]:
        """All axes, TZCYXS: tifffile would guess at those of planes that are one pixel wide."""
        samples = self.plane[2] if len(self.plane) == 3 else 1
        return (self.axes.times, self.axes.slices, 1, *self.plane[:2], samples)

    @property
    def is_small(self) -> bool:
        return math.prod(self.full_shape) * self.dtype.itemsize < _CLASSIC

    @property
    def fits_imagej(self) -> bool:
        return self.is_small and self.dtype.name in _IMAGEJ_DTYPES


def write_stack(
    path: PathLike,
    planes: Iterable[NDArray[Any]],
    axes: StackAxes,
    *,
    plane_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    name: str,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write planes, one after the other, as a zlib-compressed OME-TIFF that is a hyperstack for ImageJ too.

    What ImageJ cannot hold (ids above 65535, 4 GiB of pixels) is an OME-TIFF only.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    planes : iterable of array
        Each of shape `plane_shape`, in the order of `StackAxes`; read as they are written.
    axes : StackAxes
    plane_shape : (int, int) or (int, int, 3)
        Height and width; three samples are red, green and blue.
    dtype : dtype
    name : str
        Of the image within the file.
    provenance : mapping, optional
        How the stack was made, as for `dinocell.io.saving.write_labels`.

    Raises
    ------
    InputError
        If the provenance cannot be stored.
    OutputError
        If the file cannot be written.
    """
    layout = _Layout(axes, tuple(plane_shape), np.dtype(dtype), name, provenance or {})
    options: dict[str, Any] = {
        "photometric": "rgb" if len(plane_shape) == 3 else "minisblack",
        "compression": "zlib",
        "metadata": None,
        **_resolution(layout),
    }
    with atomic_path(path) as temporary:
        with tifffile.TiffWriter(temporary, bigtiff=not layout.is_small) as file:
            text = _as_imagej(layout) if layout.fits_imagej else None
            for plane in planes:
                file.write(plane, dtype=layout.dtype, description=text, **options)
                text = None  # in the first page only
        _add_description(temporary, _as_xml(layout).encode())


def _resolution(layout: _Layout) -> dict[str, Any]:
    """Return pixels per micrometre as TIFF's own tags have it: ImageJ takes its unit from its description."""
    size = layout.axes.pixel_size_yx_um
    if size is None:
        return {}
    return {"resolution": (1 / size[1], 1 / size[0])} if layout.fits_imagej else describe_pixels(size)[0]


def _as_imagej(layout: _Layout) -> str:
    axes = layout.axes
    details: dict[str, Any] = {"loop": False}
    if axes.time_step_s:
        details["finterval"] = float(axes.time_step_s)
    if axes.pixel_size_yx_um:
        details |= {"unit": "micron", **({"spacing": float(axes.z_step_um)} if axes.z_step_um else {})}
    return tifffile.imagej_description(layout.full_shape, axes="TZCYXS", **details)


def _as_xml(layout: _Layout) -> str:
    axes = layout.axes
    details: dict[str, Any] = {"Name": layout.name}
    if axes.pixel_size_yx_um is not None:
        details |= describe_pixels(axes.pixel_size_yx_um)[1]
    if axes.z_step_um and axes.slices > 1:
        details |= {"PhysicalSizeZ": float(axes.z_step_um), "PhysicalSizeZUnit": "µm"}
    if axes.time_step_s and axes.times > 1:
        details |= {"TimeIncrement": float(axes.time_step_s), "TimeIncrementUnit": "s"}
    if layout.provenance:
        value = encode_provenance(layout.provenance)
        details["CommentAnnotation"] = {"Namespace": "dinocell", "Value": value}
    # OME wants an id of the file; one of its origin keeps the bytes the same.
    origin = repr((layout.full_shape, layout.dtype.str, sorted(details.items())))
    name = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, origin)}"
    xml = tifffile.OmeXml(Creator=f"DINOCell {__version__}", UUID=name)
    height, width = layout.plane[:2]
    stored = (axes.times * axes.slices, 1, 1, height, width, layout.full_shape[-1])
    xml.addimage(layout.dtype, layout.shape, stored, axes=layout.letters, **details)
    return xml.tostring(declaration=True)


def _add_description(path: Path, text: bytes) -> None:
    """Insert a description before the one that the first page of a TIFF has.

    The page's directory is written anew at the end of the file, and the header leads there.
    """
    with path.open("r+b") as file:
        order = "<" if file.read(2) == b"II" else ">"
        is_big = struct.unpack(f"{order}H", file.read(2))[0] == _BIG
        place, count, entry, header = ("Q", "Q", "HHQQ", 8) if is_big else ("I", "H", "HHII", 4)

        def read(kind: str, size: int) -> Any:
            return struct.unpack(f"{order}{kind}", file.read(size))[0]

        file.seek(header)
        file.seek(read(place, struct.calcsize(f"={place}")))
        size = struct.calcsize(f"={entry}")
        entries = [file.read(size) for _ in range(read(count, struct.calcsize(f"={count}")))]
        following = file.read(struct.calcsize(f"={place}"))
        value = _append(file, text + b"\0")
        added = struct.pack(f"{order}{entry}", _DESCRIPTION, _ASCII, len(text) + 1, value)
        codes = [struct.unpack(f"{order}H", one[:2])[0] for one in entries]
        entries.insert(sum(code < _DESCRIPTION for code in codes), added)
        content = struct.pack(f"{order}{count}", len(entries)) + b"".join(entries) + following
        directory = _append(file, content)
        file.seek(header)
        file.write(struct.pack(f"{order}{place}", directory))


def _append(file: BinaryIO, content: bytes) -> int:
    """Append bytes to a file, and return their place, which is even, as TIFF demands."""
    end = file.seek(0, 2)
    file.write(b"\0" * (end % 2) + content)
    return end + end % 2
