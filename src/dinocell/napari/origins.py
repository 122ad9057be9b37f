"""Origin of a layer: the file, scene and channel that its pixels were read from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinocell.io.pixel_size import PixelSize
from dinocell.io.stacks import StackAxes

_KEY = "dinocell"


@dataclass(frozen=True)
class Origin:
    """Place that a layer's pixels were read from.

    Attributes
    ----------
    path : Path
        The file, or the folder of an OME-Zarr.
    scene : int
    kind : str
        Format of the file, as `ImageInfo` names it.
    axes : str
        Letters of the layer's axes before Y and X: some of ``T`` and ``Z``.
    counts : (int, int, int)
        Times, channels and slices of the file.
    channel : int or None
        None for the only one, or for colour.
    channel_name : str
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres.
    z_step_um, time_step_s : float or None
        Distance of slices, and of times.
    """

    path: Path
    scene: int = 0
    kind: str = ""
    axes: str = ""
    counts: tuple[int, int, int] = (1, 1, 1)
    channel: int | None = None
    channel_name: str = ""
    pixel_size_yx_um: PixelSize | None = None
    z_step_um: float | None = None
    time_step_s: float | None = None

    def place_of(self, index: tuple[int, ...]) -> tuple[int, int]:
        """Return time and slice of a plane of the layer; 0 for an axis that the layer does not have."""
        numbers = dict(zip(self.axes, index, strict=True))
        return numbers.get("T", 0), numbers.get("Z", 0)

    def stack_axes(self) -> StackAxes:
        """Return the axes of all planes, for files of them."""
        times, _, slices = self.counts
        return StackAxes(times, slices, self.pixel_size_yx_um, self.z_step_um, self.time_step_s)


def remember_origin(origin: Origin) -> dict[str, Any]:
    """Return the metadata of a layer that was read from a file."""
    return {_KEY: origin}


def origin_of(metadata: Mapping[Any, Any]) -> Origin | None:
    """Return where a layer was read from; None where this plugin did not read it."""
    found = metadata.get(_KEY)
    return found if isinstance(found, Origin) else None
