"""Which scene or channel of an image file is meant, by number or by name."""

from collections.abc import Sequence
from pathlib import Path

from dinocell.errors import FileFormatError, InputError
from dinocell.readers.lazy import SAMPLES, ImageInfo

_LISTED, _LONGEST_NAME, _LONGEST_NUMBER = 10, 40, 10  # how much of the names in a file an error repeats


def choose_scene(scenes: Sequence[str], scene: int | str, file: Path) -> int:
    """Return the number of a scene, counted from 0.

    Parameters
    ----------
    scenes : sequence of str
        Names of all scenes of the file, in its order; they need not be unique.
    scene : int or str
        Number or name. A text of digits that is no name counts as a number.
    file : path
        Named in the errors.

    Raises
    ------
    FileFormatError
        If the file has no scene.
    InputError
        If there is no such scene, or several have that name; the scenes that there are, are named.

    Examples
    --------
    >>> choose_scene(["overview", "well A1"], "well A1", Path("a.czi"))
    1
    >>> choose_scene(["overview", "well A1"], "0", Path("a.czi"))
    0
    """
    if not scenes:
        raise FileFormatError(f"{file} holds no image, expected at least one scene: export it again")
    return choose(scenes, scene, "scene", file)


def channel_index(info: ImageInfo, channel: int | str, file: Path) -> int:
    """Return the number of a channel, counted from 0 over channels and, within each, samples of a colour.

    Parameters
    ----------
    info : ImageInfo
        Of the image.
    channel : int or str
        Number or name. A text of digits that is no name counts as a number. Samples of a colour are named
        R, G, B and A; where there are several channels in colour, as in ``"DAPI R"``.
    file : path
        Named in the errors.

    Returns
    -------
    int
        ``c * info.samples + s``: of channel c the sample s. Without colours, the channel.

    Raises
    ------
    InputError
        If there is no such channel, or several have that name; the channels that there are, are named.
    """
    names = info.channel_names or ("",) * info.shape[1]
    if info.samples > 1:
        names = tuple(
            sample if len(names) == 1 else name and f"{name} {sample}"
            for name in names
            for sample in SAMPLES[: info.samples].ljust(info.samples)
        )
    return choose(names, channel, "channel", file)


def choose(names: Sequence[str], wanted: int | str, what: str, file: Path) -> int:
    """Return the number of the one of several things that is meant, by number or by name.

    Parameters
    ----------
    names : sequence of str
        Of all of them; an empty name names nothing.
    wanted : int or str
        A text of digits that is no name counts as a number.
    what : str
        What they are, such as ``"channel"``.
    file : path
        Named in the errors.

    Raises
    ------
    InputError
        If there is none, or several have that name.
    """
    count = len(names)
    found = [at for at, name in enumerate(names) if name and name == wanted]
    if len(found) > 1:
        raise InputError(
            f"{file} has {len(found)} {what}s named {_shown(str(wanted))}, expected one: "
            f"choose it by number, the first are {', '.join(map(str, found[:_LISTED]))}"
        )
    if found:
        return found[0]
    number = wanted
    if isinstance(wanted, str) and wanted.isascii() and wanted.isdigit() and len(wanted) < _LONGEST_NUMBER:
        number = int(wanted)
    if isinstance(number, str) or not 0 <= number < count:
        asked = _shown(wanted) if isinstance(wanted, str) else wanted
        expected = f"{'a number' if any(names) else 'one'} from 0 to {count - 1}"
        raise InputError(
            f"{file} has no {what} {asked}, expected {expected}{' or a name' if any(names) else ''}: "
            f"it holds {_listed(names, what)}"
        )
    return number


def _listed(names: Sequence[str], what: str) -> str:
    """List what there is, as far as it fits on one line."""
    count = len(names)
    if not any(names):
        return f"{count} {what}{'s' if count > 1 else ''}"
    named = [f"{at} {_shown(name)}" if name else str(at) for at, name in enumerate(names[:_LISTED])]
    return ", ".join(named) + (f" and {count - _LISTED} more" if count > _LISTED else "")


def _shown(name: str) -> str:
    """Quote a name of any length and content on one line."""
    return repr(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…")
