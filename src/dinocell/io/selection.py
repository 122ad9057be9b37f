"""Which planes of an image file are wanted: scene, channel, times, slices or a projection over them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from dinocell.errors import InputError
from dinocell.io.planes import Pixels, Window
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.naming import channel_index, channel_names, distinct_names

Projection = Literal["max", "mean"]


@dataclass(frozen=True)
class Span:
    """Times or slices from `start` up to but not including `stop`; None is the last one's end."""

    start: int
    stop: int | None

    def indices(self, count: int, *, flag: str, name: str) -> range:
        """List those that exist, of `count`.

        Raises
        ------
        InputError
            If one of them does not exist.
        """
        stop = count if self.stop is None else self.stop
        if not 0 <= self.start < stop <= count:
            raise InputError(
                f"{name} has {count} to choose from with {flag}, but {self} was asked for: "
                f"expected 0 to {count - 1}, or a range within 0:{count}"
            )
        return range(self.start, stop)

    def __str__(self) -> str:
        if self.stop == self.start + 1:
            return str(self.start)
        return f"{self.start}:{'' if self.stop is None else self.stop}"


ALL = Span(0, None)

_SCENE, _TIME, _SLICE = r"_s(?P<scene>\d{2,9})", r"_t(?P<t>\d{4,9})", r"_z(?P<z>\d{3,9}|max|mean)"

PLANE_PART = re.compile(rf"(?:{_SCENE}|{_TIME}|{_SLICE})\Z", re.ASCII)
"""A part of what `Place.suffix` appends to the name of a file; with fewer digits it is the user's own."""

PLANE_SUFFIX = re.compile(rf"(?:{_SCENE})?(?:{_TIME})?(?:{_SLICE})?\Z", re.ASCII)
"""All of that."""


@dataclass(frozen=True)
class Selection:
    """What to take of every file.

    Attributes
    ----------
    scene : int, str or None
        As `dinocell.io.readers.naming.choose` takes it; None is the only one.
    channel : int, str or None
        Likewise; None is the only one, or colour.
    time, z : Span or None
        None is the only one.
    projection : "max", "mean" or None
        Over all slices, in place of `z`.
    all_planes : bool
        Take every time and slice that is not chosen otherwise.
    """

    scene: int | str | None = None
    channel: int | str | None = None
    time: Span | None = None
    z: Span | None = None
    projection: Projection | None = None
    all_planes: bool = False


@dataclass(frozen=True)
class Place:
    """One plane of a scene.

    Attributes
    ----------
    t : int
    z : int or None
        None where the slices are projected.
    projection : "max", "mean" or None
    suffix : str
        What distinguishes its results from those of the file's other planes: ``""`` where there are none.
    """

    t: int
    z: int | None
    projection: Projection | None
    suffix: str


def parse_span(text: str, flag: str) -> Span:
    """Read ``3``, ``2:5``, ``2:``, ``:5`` or ``:``, counted from 0, the end not included.

    Raises
    ------
    InputError
        If it is none of them.

    Examples
    --------
    >>> parse_span("2:5", "--time")
    Span(start=2, stop=5)
    """
    found = re.fullmatch(r"(\d{0,9})(:?)(\d{0,9})", text.strip(), re.ASCII)
    if found is None or not (found[1] or found[2]):
        raise InputError(f"{flag} is {text!r}, expected a number such as 3 or a range such as 0:10")
    start = int(found[1] or 0)
    if not found[2]:
        return Span(start, start + 1)
    return Span(start, int(found[3]) if found[3] else None)


def select_places(image: LazyImage, selection: Selection, *, several: bool = True) -> list[Place]:
    """List the planes that are wanted of a scene, time by time.

    Parameters
    ----------
    image : LazyImage
    selection : Selection
    several : bool
        Whether an error may advise to choose several planes.

    Raises
    ------
    InputError
        If the file is a stack and it is not said which part of it is wanted, or that part is not there.
    """
    info = image.info
    times, _, slices = info.shape[:3]
    name = str(image.path)
    _refuse_unchosen(image, selection, several=several)
    chosen_t = (selection.time or ALL).indices(times, flag="--time", name=name)
    prefix = f"_s{info.scene:02d}" if len(info.scenes) > 1 else ""
    of_time = {t: f"{prefix}_t{t:04d}" if times > 1 else prefix for t in chosen_t}
    if selection.projection is not None:
        end = f"_z{selection.projection}" if slices > 1 else ""
        return [Place(t, None, selection.projection, before + end) for t, before in of_time.items()]
    chosen_z = (selection.z or ALL).indices(slices, flag="--z", name=name)
    ends = {z: f"_z{z:03d}" if slices > 1 else "" for z in chosen_z}
    return [Place(t, z, None, before + end) for t, before in of_time.items() for z, end in ends.items()]


def check_scene(image: LazyImage, selection: Selection) -> None:
    """Refuse a file of several scenes when none was chosen."""
    scenes = image.info.scenes
    if selection.scene is None and len(scenes) > 1:
        more = f", … ({len(scenes)} in all)" if len(scenes) > 6 else ""
        first = ", ".join(distinct_names(scenes, "scene")[:6])
        raise InputError(
            f"{image.path} has several scenes ({first}{more}), expected a choice: "
            f"choose with --scene NAME, --scene N (from 0 to {len(scenes) - 1}) or --scene all"
        )


def pixels_for(diameter_um: float, image: LazyImage) -> float:
    """Return a diameter in pixels.

    Raises
    ------
    InputError
        If the file does not say the size of its pixels, or they are not square.
    """
    info = image.info
    if info.pixel_size_um is not None:
        return diameter_um / info.pixel_size_um
    if info.pixel_size_yx_um is None:
        raise InputError(
            f"{image.path} does not say its pixel size, which --diameter-um needs: give --diameter in pixels"
        )
    y, x = info.pixel_size_yx_um
    raise InputError(
        f"{image.path} has pixels of {y:.4g} × {x:.4g} µm (Y × X), expected square ones for --diameter-um: "
        "resample it to square pixels, or give --diameter in pixels"
    )


def _refuse_unchosen(image: LazyImage, selection: Selection, *, several: bool) -> None:
    if selection.all_planes:
        return
    times, _, slices = image.info.shape[:3]
    open_axes = []
    if times > 1 and selection.time is None:
        open_axes.append(f"{times} times: --time N{f' or --time 0:{times}' if several else ''}")
    if slices > 1 and selection.z is None and selection.projection is None:
        open_axes.append(f"{slices} slices: --z N, --z max or --z mean")
    if open_axes:
        raise InputError(
            f"{image.path} is a stack, expected a choice ({'; '.join(open_axes)})"
            f"{', or --all-planes, which segments each on its own' if several else ''}"
        )


def read_place(
    image: LazyImage, place: Place, channel: int | str | None, window: Window | None = None
) -> Pixels:
    """Read one plane, or the projection of one time's slices.

    Parameters
    ----------
    image : LazyImage
    place : Place
    channel : int, str or None
        None is the only one, or colour.
    window : (slice, slice), optional
        Rows and columns, as of `LazyImage.read_window`; None is the whole plane.

    Returns
    -------
    array, shape (Y, X) or (Y, X, S)
        In the file's dtype; a mean is float32.

    Raises
    ------
    InputError
        If the file has several channels and none is chosen, or the one chosen, or the window, is not there.
    FileFormatError
        If a plane is damaged.
    """
    index, sample = _channel_and_sample(image, channel)
    read = image.read_plane if window is None else partial(image.read_window, *window)
    if place.z is not None:
        return _sample(read(place.t, index, place.z), sample)
    planes = (_sample(read(place.t, index, z), sample) for z in range(image.info.shape[2]))
    return _project(planes, image.info.shape[2], place.projection)


def read_channels(
    image: LazyImage, place: Place, window: Window | None = None
) -> Iterator[tuple[str, Pixels]]:
    """Read the channels of one place, or a window of it, one after the other, with their names.

    Samples of a colour count as channels. Those that are not in the file are left out: `missing_channels`.
    """
    missing = missing_channels(image, place)
    for index, name in enumerate(channel_names(image.info)):
        if name not in missing:
            yield name, read_place(image, place, index, window)


def missing_channels(image: LazyImage, place: Place) -> list[str]:
    """List the names of channels of which a plane of this place is not in the file, though it says so."""
    info = image.info
    slices = range(info.shape[2]) if place.z is None else [place.z]
    return [
        name
        for index, name in enumerate(channel_names(info))
        if not all(image.has_plane(place.t, index // info.samples, z) for z in slices)
    ]


def find_channel(image: LazyImage, channel: int | str | None) -> tuple[int, str] | None:
    """Find out which channel is meant.

    Parameters
    ----------
    image : LazyImage
    channel : int, str or None
        As `dinocell.io.readers.naming.channel_index` takes it; None is the only one, or colour.

    Returns
    -------
    (int, str) or None
        Its number, counted from 0, and a name that no other has; None where none was chosen.

    Raises
    ------
    InputError
        If it is not there, several could be meant, or none was chosen where there are several.
    """
    if channel is None:
        _channel_and_sample(image, channel)
        return None
    index = channel_index(image.info, channel, image.path)
    return index, channel_names(image.info)[index]


def _channel_and_sample(image: LazyImage, channel: int | str | None) -> tuple[int, int | None]:
    info = image.info
    if channel is None:
        if info.shape[1] > 1:
            shown = distinct_names(info.channel_names, "channel")
            names = f" ({', '.join(shown)})" if shown else ""
            raise InputError(
                f"{image.path} has {info.shape[1]} channels{names}, expected a choice: choose with --channel "
                f"{'NAME, or ' if shown else ''}N, N from 0 to {info.shape[1] - 1}"
            )
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
