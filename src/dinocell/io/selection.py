"""Select planes of an image file: a scene, a channel, times, and slices or a projection over them.

A file holds scenes; a scene has times T, channels C and slices Z. A `Selection` is what the user asked for,
the same for all files. `select_planes` turns it into the planes of one scene, each with a suffix for its
results. Times 2:4 and all slices of a scene with 5 times and 2 slices, the second scene of its file::

              t=2                   t=3
      z=0     _s01_t0002_z000       _s01_t0003_z000
      z=1     _s01_t0002_z001       _s01_t0003_z001

An axis of length 1 leaves no trace in the suffix. With a projection there is one plane for each time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dinocell.errors import InputError
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.naming import distinct_names

Projection = Literal["max", "mean"]


@dataclass(frozen=True)
class Span:
    """Range of times or slices from `start` up to but not including `stop`; None for the end of the axis."""

    start: int
    stop: int | None

    def indices(self, count: int, *, flag: str, name: str) -> range:
        """Return the numbers of an axis of length `count` that are in the range.

        Raises
        ------
        InputError
            If part of the range is outside of the axis.
        """
        stop = count if self.stop is None else self.stop
        if not 0 <= self.start < stop <= count:
            raise InputError(
                f"{name} has {count} to choose from with {flag}, but {self} was asked for: "
                f"expected 0 to {count - 1}, or a range within 0:{count}"
            ).of_kind(f"have no {self} for {flag}", "choose what all of them have")
        return range(self.start, stop)

    def __str__(self) -> str:
        if self.stop == self.start + 1:
            return str(self.start)
        return f"{self.start}:{'' if self.stop is None else self.stop}"


ALL = Span(0, None)

_SCENE, _TIME, _SLICE = r"_s(?P<scene>\d{2,9})", r"_t(?P<t>\d{4,9})", r"_z(?P<z>\d{3,9}|max|mean)"

PLANE_PART = re.compile(rf"(?:{_SCENE}|{_TIME}|{_SLICE})\Z", re.ASCII)
"""One part of a `SelectedPlane.suffix` at the end of a name; with fewer digits it is the user's own name."""

PLANE_SUFFIX = re.compile(rf"(?:{_SCENE})?(?:{_TIME})?(?:{_SLICE})?\Z", re.ASCII)
"""A whole `SelectedPlane.suffix` at the end of a name; it may be empty."""


@dataclass(frozen=True)
class Selection:
    """Choice of planes, the same for every file.

    Attributes
    ----------
    scene : int, str or None
        As in `dinocell.io.readers.naming.choose`; None for the only one.
    channel : int, str or None
        Likewise; None for the only one, or for colour.
    time, z : Span or None
        None for the only one.
    projection : "max", "mean" or None
        Over all slices, in place of `z`.
    all_planes : bool
        Every time and slice is wanted, unless `time`, `z` or `projection` chooses some.
    """

    scene: int | str | None = None
    channel: int | str | None = None
    time: Span | None = None
    z: Span | None = None
    projection: Projection | None = None
    all_planes: bool = False


@dataclass(frozen=True)
class SelectedPlane:
    """Plane of a scene that was selected: one slice, or the projection of all slices of one time.

    Attributes
    ----------
    t : int
    z : int or None
        None if the slices are projected.
    projection : "max", "mean" or None
    suffix : str
        End of the names of its results, which keeps them apart from those of the file's other planes; ``""``
        if it has no others.
    """

    t: int
    z: int | None
    projection: Projection | None
    suffix: str


def parse_span(text: str, flag: str) -> Span:
    """Parse ``3``, ``2:5``, ``2:``, ``:5`` or ``:``, counted from 0, the end not included.

    Raises
    ------
    InputError
        If the text is none of these.

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


def select_planes(image: LazyImage, selection: Selection, *, several: bool = True) -> list[SelectedPlane]:
    """List the selected planes of a scene, time by time.

    Parameters
    ----------
    image : LazyImage
    selection : Selection
    several : bool
        Whether an error message may advise to choose several planes.

    Raises
    ------
    InputError
        If the file is a stack and its planes are not chosen, or the chosen ones do not exist.
    """
    info = image.info
    times, _, slices = info.shape[:3]
    name = str(image.path)
    _check_chosen(image, selection, several=several)
    chosen_t = (selection.time or ALL).indices(times, flag="--time", name=name)
    prefix = f"_s{info.scene:02d}" if len(info.scenes) > 1 else ""
    prefixes = {t: f"{prefix}_t{t:04d}" if times > 1 else prefix for t in chosen_t}
    if selection.projection is not None:
        end = f"_z{selection.projection}" if slices > 1 else ""
        return [SelectedPlane(t, None, selection.projection, before + end) for t, before in prefixes.items()]
    chosen_z = (selection.z or ALL).indices(slices, flag="--z", name=name)
    ends = {z: f"_z{z:03d}" if slices > 1 else "" for z in chosen_z}
    return [
        SelectedPlane(t, z, None, before + end) for t, before in prefixes.items() for z, end in ends.items()
    ]


def common_suffix(places: Sequence[SelectedPlane]) -> str:
    """Return the parts of their suffixes that planes of one scene have in common, for a stack of them.

    Examples
    --------
    >>> common_suffix([SelectedPlane(t, 3, None, f"_s01_t000{t}_z003") for t in (0, 1)])
    '_s01_z003'
    """
    parts = [PLANE_SUFFIX.search(place.suffix) for place in places]
    named = [{} if found is None else found.groupdict() for found in parts]
    marks = (("scene", "_s"), ("t", "_t"), ("z", "_z"))
    return "".join(
        f"{mark}{named[0][part]}"
        for part, mark in marks
        if named[0].get(part) and len({names.get(part) for names in named}) == 1
    )


def check_scene(image: LazyImage, selection: Selection) -> None:
    """Raise InputError for a file of several scenes if none was chosen."""
    scenes = image.info.scenes
    if selection.scene is None and len(scenes) > 1:
        more = f", … ({len(scenes)} in all)" if len(scenes) > 6 else ""
        first = ", ".join(distinct_names(scenes, "scene")[:6])
        raise InputError(
            f"{image.path} has several scenes ({first}{more}), expected a choice: "
            f"choose with --scene NAME, --scene N (from 0 to {len(scenes) - 1}) or --scene all"
        ).of_kind("have several scenes", "choose with --scene, or --scene all", scenes)


def _check_chosen(image: LazyImage, selection: Selection, *, several: bool) -> None:
    """Raise InputError for an axis of several times or slices of which none was chosen."""
    if selection.all_planes:
        return
    times, _, slices = image.info.shape[:3]
    open_axes, flags = [], []
    if times > 1 and selection.time is None:
        open_axes.append(f"{times} times: --time N{f' or --time 0:{times}' if several else ''}")
        flags.append("--time")
    if slices > 1 and selection.z is None and selection.projection is None:
        open_axes.append(f"{slices} slices: --z N, --z max or --z mean")
        flags.append("--z")
    if open_axes:
        raise InputError(
            f"{image.path} is a stack, expected a choice ({'; '.join(open_axes)})"
            f"{', or --all-planes, which segments each on its own' if several else ''}"
        ).of_kind("are stacks", f"choose with {' and '.join(flags)}{', or --all-planes' if several else ''}")
