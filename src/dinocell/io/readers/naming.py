"""Choice of a scene or channel of an image file by number or by name; one rule for all of DINOCell.

A number of Python or YAML is counted from 0. A text is a name; if nothing has that name, digits are a number.
Digits that are the name of one and the number of another are an error: ``name:1`` and ``number:1`` tell them
apart.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dinocell.errors import FileFormatError, InputError
from dinocell.io.readers.lazy import SAMPLES, ImageInfo

_FIRST = {"channel": ", or several: of A,B the first is taken that a file has"}
_LISTED, _LONGEST_NAME, _LONGEST_NUMBER = 10, 40, 10  # how much of the names in a file an error repeats


def matching_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return the names of the `count` channels of a file, ``""`` for those without.

    Empty if nothing is named, or if there are not as many names as channels: then it is not known which
    channel each belongs to.

    Examples
    --------
    >>> [matching_names(names, 2) for names in (["DAPI", ""], ["", ""], ["DAPI"])]
    [('DAPI', ''), (), ()]
    """
    return tuple(names) if len(names) == count and any(names) else ()


def distinct_names(names: Sequence[str], what: str) -> list[str]:
    """Return one name for each of several things, no two of them the same.

    A name that only one thing has stays. Things that share a name, or have none, get their number appended,
    again and again until nothing else has that name.

    Parameters
    ----------
    names : sequence of str
        Names may be empty.
    what : str
        Used in place of an empty name.

    Examples
    --------
    >>> distinct_names(["A", "A", "A 1", ""], "channel")
    ['A 0', 'A 1 1', 'A 1', 'channel 3']
    """
    counts, taken = Counter(names), set(names)
    distinct = []
    for number, name in enumerate(names):
        unique = name
        if not name or counts[name] > 1:
            unique = f"{name or what} {number}"
            while unique in taken:
                unique += f" {number}"
            taken.add(unique)
        distinct.append(unique)
    return distinct


def channel_names(info: ImageInfo) -> list[str]:
    """Name all channels, no two the same; samples of a colour count as channels.

    Parameters
    ----------
    info : ImageInfo
        Of the image.

    Returns
    -------
    list of str
        In the order of `channel_index`, made by `distinct_names`.
    """
    return distinct_names(_stored_names(info), "channel")


def _stored_names(info: ImageInfo) -> tuple[str, ...]:
    """Return the names of all channels, or of all samples of their colours; ``""`` names nothing."""
    names = info.channel_names or ("",) * info.shape[1]
    if info.samples == 1:
        return names
    samples = sample_names(info.samples)
    if len(names) == 1:
        return samples
    whole = distinct_names(names, "channel")
    return tuple(f"{name} {sample}".rstrip() for name in whole for sample in samples)


def sample_names(count: int) -> tuple[str, ...]:
    """Return the names of the samples of a colour; ``""`` for those beyond R, G, B and A.

    Examples
    --------
    >>> sample_names(5)
    ('R', 'G', 'B', 'A', '')
    """
    return (*SAMPLES[:count], *[""] * (count - len(SAMPLES)))


def choose_scene(scenes: Sequence[str], scene: int | str, file: Path) -> int:
    """Return the number of a scene, counted from 0.

    Parameters
    ----------
    scenes : sequence of str
        Names of all scenes of the file, in its order; they need not be unique.
    scene : int or str
        Number or name, as `choose` takes them.
    file : path
        Named in the errors.

    Raises
    ------
    FileFormatError
        If the file has no scene.
    InputError
        If the scene does not exist, or several could be meant; the message lists the scenes.

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
        Number or name, as `choose` takes them. Samples of a colour are named R, G, B and A; where there are
        several channels in colour, as in ``"DAPI R"``.
    file : path
        Named in the errors.

    Returns
    -------
    int
        ``c * info.samples + s`` for sample s of channel c. Without colours, the number of the channel.

    Raises
    ------
    InputError
        If the channel does not exist, or several could be meant; the message lists the channels.
    """
    return choose_channel(_stored_names(info), channel, file)


def choose_channel(names: Sequence[str], wanted: int | str, file: Path) -> int:
    """Return the number of the channel that is meant: as `choose`, or the first that exists of several.

    Parameters
    ----------
    names : sequence of str
        Of all channels; an empty name names nothing.
    wanted : int or str
        Where nothing is called ``"DAPI,CD3"``, commas part several names or numbers.
    file : path
        Named in the errors.

    Raises
    ------
    InputError
        As `choose`.

    Examples
    --------
    >>> [choose_channel(["CD3", "GFP"], wanted, Path("a.tif")) for wanted in ("DAPI,CD3", "DAPI, 1")]
    [0, 1]
    >>> choose_channel(["CD3", "DAPI,CD3"], "DAPI,CD3", Path("a.tif"))
    1
    """
    if isinstance(wanted, str) and "," in wanted and _meant(names, wanted, "channel", file) is None:
        for part in wanted.split(","):
            if (found := _meant(names, part.strip(), "channel", file)) is not None:
                return found
    return choose(names, wanted, "channel", file)


def choose(names: Sequence[str], wanted: int | str, what: str, file: Path) -> int:
    """Return the number of the one of several things that is meant, by number or by name.

    Parameters
    ----------
    names : sequence of str
        Of all of them; an empty name names nothing.
    wanted : int or str
        A number is counted from 0. A text is a name, or one that `distinct_names` returns; if nothing has
        that name, digits are a number. ``name:TEXT`` is only a name and ``number:N`` only a number, unless
        something has that very name.
    what : str
        What they are, such as ``"channel"``.
    file : path
        Named in the errors.

    Raises
    ------
    InputError
        If nothing is meant, several have that name, or digits are the name of one and the number of another.

    Examples
    --------
    >>> [choose(["1", "2"], wanted, "channel", Path("a.tif")) for wanted in (1, "2", "name:1", "number:1")]
    [1, 1, 0, 1]
    """
    found = _meant(names, wanted, what, file) if isinstance(wanted, str) else wanted
    if found is None or not 0 <= found < len(names):
        asked = _shown(wanted) if isinstance(wanted, str) else wanted
        expected = f"{'a number' if any(names) else 'one'} from 0 to {len(names) - 1}"
        raise InputError(
            f"{file} has no {what} {asked}, expected {expected}{' or a name' if any(names) else ''}: "
            f"it holds {_listed(names, what)}"
        ).of_kind(f"have no {what} {asked}", f"choose another with --{what}{_FIRST.get(what, '')}", names)
    return found


def _meant(names: Sequence[str], wanted: str, what: str, file: Path) -> int | None:
    """Return the number of what a text means; None if that does not exist."""
    by_name, by_number = _by_name(names, wanted, what, file), _by_number(names, wanted)
    counts_so = str(by_number) == wanted  # 00 or 01 is not how numbers are written
    if by_name is not None and by_number not in (None, by_name) and counts_so:
        other = f"named {_shown(names[by_number])}" if names[by_number] else "without a name"
        raise InputError(
            f"{file} has a {what} named {_shown(wanted)} (number {by_name}) and another that is number "
            f"{by_number} ({other}), expected one of them: say name:{wanted} or number:{by_number}"
        ).of_kind(
            f"have a {what} named {_shown(wanted)} and another of that number",
            f"say name:{wanted} or number:{by_number}",
        )
    prefix, _, rest = wanted.partition(":")
    if by_name is None and prefix == "name":
        return _by_name(names, rest, what, file)
    if by_name is None and prefix == "number":
        return _by_number(names, rest)
    return by_number if by_name is None else by_name


def _by_name(names: Sequence[str], wanted: str, what: str, file: Path) -> int | None:
    """Return the number of what has a name: a stored one, else one that `distinct_names` returns."""
    found = [at for at, name in enumerate(names) if name and name == wanted]
    if len(found) > 1:
        first = ", ".join(f"number:{at}" if str(at) in names else str(at) for at in found[:_LISTED])
        raise InputError(
            f"{file} has {len(found)} {what}s named {_shown(wanted)}, expected one: "
            f"choose it by number, the first are {first}"
        ).of_kind(f"have several {what}s named {_shown(wanted)}", "choose by number")
    made = distinct_names(names, what)
    return found[0] if found else made.index(wanted) if wanted in made else None


def _by_number(names: Sequence[str], wanted: str) -> int | None:
    """Return the number that a text of digits stands for, if it exists."""
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < _LONGEST_NUMBER):
        return None
    return int(wanted) if int(wanted) < len(names) else None


def _listed(names: Sequence[str], what: str) -> str:
    """List what exists, as far as it fits on one line."""
    count = len(names)
    if not any(names):
        return f"{count} {what}{'s' if count > 1 else ''}"
    shown = [f"{at} {_shown(name)}" if name else str(at) for at, name in enumerate(names[:_LISTED])]
    return ", ".join(shown) + (f" and {count - _LISTED} more" if count > _LISTED else "")


def _shown(name: str) -> str:
    """Quote a name of any length and content on one line."""
    return repr(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…")
