"""Units of length and time as image files write them: one table for all readers.

It holds all of OME's UnitsLength and UnitsTime, the long names of UDUNITS that NGFF uses, and what ImageJ and
Leica write. "pixel" and "reference frame" are not lengths, so they are not in it.
"""

import math
import re

_PREFIXES = {
    "Y": ("yotta", 24), "Z": ("zetta", 21), "E": ("exa", 18), "P": ("peta", 15), "T": ("tera", 12),
    "G": ("giga", 9), "M": ("mega", 6), "k": ("kilo", 3), "h": ("hecto", 2), "da": ("deca", 1), "": ("", 0),
    "d": ("deci", -1), "c": ("centi", -2), "m": ("milli", -3), "µ": ("micro", -6), "u": ("micro", -6),
    "n": ("nano", -9), "p": ("pico", -12), "f": ("femto", -15), "a": ("atto", -18), "z": ("zepto", -21),
    "y": ("yocto", -24),
}  # fmt: skip


def _with_prefixes(symbol: str, words: tuple[str, ...], exponent: int) -> dict[str, float]:
    """Return a unit with all prefixes, by symbol and by name; one is 10 to the `exponent` of ours."""
    found: dict[str, float] = {}
    for prefix, (name, power) in _PREFIXES.items():
        factor = float(f"1e{power + exponent}")  # 10.0**-3 would be rounded
        found |= {prefix + symbol: factor} | {name + word: factor for word in words}
    return found


_INCH = 25400.0
_MICROMETRES = _with_prefixes("m", ("meter", "metre"), 6) | {
    "micron": 1.0, "Å": 1e-4, "angstrom": 1e-4, "ångström": 1e-4,
    "thou": _INCH / 1000, "mil": _INCH / 1000, "li": _INCH / 12, "line": _INCH / 12, "pt": _INCH / 72,
    "point": _INCH / 72, "in": _INCH, "inch": _INCH, '"': _INCH, "ft": 12 * _INCH, "foot": 12 * _INCH,
    "yd": 36 * _INCH, "yard": 36 * _INCH, "mi": 63360 * _INCH, "mile": 63360 * _INCH,
    "ua": 1.495978707e17, "ly": 9.4607304725808e21, "pc": 3.0856775814913673e22,
    "parsec": 3.0856775814913673e22,
}  # fmt: skip
_SECONDS = _with_prefixes("s", ("second", "sec"), 0) | {
    "sec": 1.0, "msec": 1e-3, "usec": 1e-6, "µsec": 1e-6, "nsec": 1e-9,
    "min": 60.0, "minute": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0,
}  # fmt: skip
_PLURALS = {"inches": "inch", "feet": "foot"}
_LONGEST = 40


def micrometres(unit: object) -> float:
    r"""Return the micrometres of a unit of length; NaN for anything else.

    Parameters
    ----------
    unit : object
        A symbol, in which case matters (Mm is not mm), or a name in the singular or plural.

    Examples
    --------
    >>> [micrometres(unit) for unit in ("nm", "\\u00B5m", "Inch", "meters", "pixel")]
    [0.001, 1.0, 25400.0, 1000000.0, nan]
    """
    return _find(unit, _MICROMETRES)


def seconds(unit: object) -> float:
    """Return the seconds of a unit of time; NaN for anything else."""
    return _find(unit, _SECONDS)


def positive(number: object, factor: float = 1.0) -> float | None:
    """Return a length or duration times a factor; None if it is not a positive number."""
    try:
        value = float(number) * factor  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        return None
    return value if 0 < value < math.inf else None


def known_size(y: float | None, x: float | None) -> tuple[float, float] | None:
    """Return the height and width of a pixel if both are known, else None."""
    return None if y is None or x is None else (y, x)


def square_edge(size: tuple[float, float] | None) -> float | None:
    """Return the edge of a pixel whose sides differ by at most 1 %; None for others or unknown ones.

    Examples
    --------
    >>> square_edge((0.325, 0.325)), square_edge((0.65, 0.325)), square_edge(None)
    (0.325, None, None)
    """
    if size is None:
        return None
    y, x = size
    return x if abs(x - y) <= 0.01 * x else None


def _find(unit: object, known: dict[str, float]) -> float:
    text = str(unit)[:_LONGEST].strip()
    # Java's properties, as ImageJ writes them; then one letter for the two that look like µ, and like Å
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    text = text.replace("\u03bc", "µ").replace("\u212b", "Å")
    word = text.casefold()
    for name in (text, word, _PLURALS.get(word, word), word.removesuffix("s")):
        # a symbol of another case is another unit, a name is not
        if name in known and (name == text or len(name) > 3):
            return known[name]
    return math.nan
