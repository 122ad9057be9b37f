"""Record of how the labels of a plane or a stack were made."""

from collections.abc import Sequence
from typing import Any

from dinocell.batch.settings import BatchSettings
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.saving import printable
from dinocell.io.selected_planes import find_channel
from dinocell.io.selection import SelectedPlane
from dinocell.version import __version__


def describe_plane(
    image: LazyImage, place: SelectedPlane, digest: str, settings: BatchSettings
) -> dict[str, Any]:
    """Return the provenance of a plane that a batch segments; `digest` is that of the image's files."""
    channel = find_channel(image, settings.selection.channel)
    source = describe_source(image, place, digest, channel)
    return {"dinocell": __version__, **settings.described(), "source": source}


def describe_stack(
    image: LazyImage, places: Sequence[SelectedPlane], digest: str, settings: BatchSettings
) -> dict[str, Any]:
    """Return the provenance of a stack: that of its planes, with ranges of times and slices.

    A range is ``[first, end]``, without its end; a time or slice that all planes have is a number.
    """
    described = describe_plane(image, places[0], digest, settings)
    source: dict[str, Any] = described["source"]
    times, slices = [place.t for place in places], [place.z for place in places if place.z is not None]
    ranges = {"t": _range_of(times), "z": _range_of(slices) if slices else source["z"]}
    return {**described, "source": source | ranges}


def _range_of(numbers: Sequence[int]) -> int | list[int]:
    first, last = min(numbers), max(numbers)
    return first if first == last else [first, last + 1]


def describe_source(
    image: LazyImage, place: SelectedPlane, digest: str, channel: tuple[int, str] | None
) -> dict[str, Any]:
    """Return where a plane comes from, as JSON values for the provenance; `digest` is that of its files."""
    info = image.info
    several = {"files": [printable(file.name) for file in image.files]} if len(image.files) > 1 else {}
    number, name = channel or (None, None)
    return {
        "name": printable(image.files[0].name),
        **several,
        "sha256": digest,
        "scene": info.scenes[info.scene],
        "scene_number": info.scene,
        "t": place.t,
        "z": place.projection if place.z is None else place.z,
        "channel": name,
        "channel_number": number,
        "pixel_size_um": info.pixel_size_um,
        "pixel_size_yx_um": info.pixel_size_yx_um and list(info.pixel_size_yx_um),
    }
