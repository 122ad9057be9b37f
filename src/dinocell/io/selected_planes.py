"""Read the planes that were selected: one channel or all, a slice or a projection, whole or a window."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from dinocell.errors import InputError
from dinocell.io.planes import Pixels, Window
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.naming import channel_index, channel_names, distinct_names
from dinocell.io.selection import Projection, SelectedPlane


def read_selected_plane(
    image: LazyImage, plane: SelectedPlane, channel: int | str | None, window: Window | None = None
) -> Pixels:
    """Read one plane, or the projection of the slices of one time.

    Parameters
    ----------
    image : LazyImage
    plane : SelectedPlane
    channel : int, str or None
        Number or name; None for the only one, or for colour.
    window : (slice, slice), optional
        Rows and columns, as in `LazyImage.read_window`; None for the whole plane.

    Returns
    -------
    array, shape (Y, X) or (Y, X, S)
        In the file's dtype; a mean is float32.

    Raises
    ------
    InputError
        If the file has several channels and none is chosen, or if the channel or window does not exist.
    FileFormatError
        If a plane is damaged.
    """
    index, sample = _channel_and_sample(image, channel)
    read = image.read_plane if window is None else partial(image.read_window, *window)
    if plane.z is not None:
        return _sample(read(plane.t, index, plane.z), sample)
    slices = (_sample(read(plane.t, index, z), sample) for z in range(image.info.shape[2]))
    return _project(slices, image.info.shape[2], plane.projection)


def read_channels(
    image: LazyImage, plane: SelectedPlane, window: Window | None = None
) -> Iterator[tuple[str, Pixels]]:
    """Yield the name and pixels of each channel of a selected plane, or of a window of it.

    Samples of a colour count as channels. Those of `missing_channels` are left out.
    """
    missing = missing_channels(image, plane)
    for index, name in enumerate(channel_names(image.info)):
        if name not in missing:
            yield name, read_selected_plane(image, plane, index, window)


def missing_channels(image: LazyImage, plane: SelectedPlane) -> list[str]:
    """List the names of channels that the file describes but does not hold for a selected plane."""
    info = image.info
    slices = range(info.shape[2]) if plane.z is None else [plane.z]
    return [
        name
        for index, name in enumerate(channel_names(info))
        if not all(image.has_plane(plane.t, index // info.samples, z) for z in slices)
    ]


def find_channel(image: LazyImage, channel: int | str | None) -> tuple[int, str] | None:
    """Find the channel that is meant.

    Parameters
    ----------
    image : LazyImage
    channel : int, str or None
        As in `dinocell.io.readers.naming.channel_index`; None for the only one, or for colour.

    Returns
    -------
    (int, str) or None
        Its number, counted from 0, and a name that no other channel has; None if none was chosen.

    Raises
    ------
    InputError
        If it does not exist, several could be meant, or none was chosen and there are several.
    """
    if channel is None:
        _channel_and_sample(image, channel)
        return None
    index = channel_index(image.info, channel, image.path)
    return index, channel_names(image.info)[index]


def _channel_and_sample(image: LazyImage, channel: int | str | None) -> tuple[int, int | None]:
    """Return the number of a channel and of a sample within its colour; None for all samples."""
    info = image.info
    if channel is None:
        if info.shape[1] > 1:
            shown = distinct_names(info.channel_names, "channel")
            names = f" ({', '.join(shown)})" if shown else ""
            raise InputError(
                f"{image.path} has {info.shape[1]} channels{names}, expected a choice: choose with --channel "
                f"{'NAME, or ' if shown else ''}N, N from 0 to {info.shape[1] - 1}"
            ).of_kind("have several channels", "choose with --channel", info.channel_names)
        return 0, None
    index = channel_index(info, channel, image.path)
    return (index, None) if info.samples == 1 else divmod(index, info.samples)


def _sample(plane: Pixels, sample: int | None) -> Pixels:
    return plane if sample is None else np.ascontiguousarray(plane[..., sample])


def _project(planes: Iterator[Pixels], count: int, projection: Projection | None) -> Pixels:
    first = next(planes)
    if projection == "max":
        for plane in planes:
            first = np.maximum(first, plane)
        return first
    total = first.astype(np.float64)
    for plane in planes:
        total += plane
    return (total / count).astype(np.float32)
