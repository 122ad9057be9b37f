"""Origin of a layer: the file, scene and channel that its pixels were read from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinocell.errors import InputError
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


def axes_of(counts: Sequence[int], names: Sequence[str], origin: Origin | None) -> StackAxes:
    """Return times and slices of a layer: those of its file, else by the names of its axes.

    Parameters
    ----------
    counts : sequence of int
        Lengths of the axes before Y and X; two are times and slices, one is times unless its name is ``z``.
    names : sequence of str
        Of these axes.
    origin : Origin or None

    Raises
    ------
    InputError
        If there are more than two axes.
    """
    known = None if origin is None else origin.stack_axes()
    if known is not None and (known.shape == tuple(counts) or not counts):
        return known
    if not counts:
        return StackAxes(1, 1)
    if len(counts) > 2:
        raise InputError(
            f"the layer has {len(counts)} axes before Y and X, expected times and slices at most: take one "
            "plane of the others"
        )
    if len(counts) == 2:
        return StackAxes(counts[0], counts[1])
    is_slices = bool(names) and str(names[0]).lower().startswith("z")
    return StackAxes(1, counts[0]) if is_slices else StackAxes(counts[0], 1)
