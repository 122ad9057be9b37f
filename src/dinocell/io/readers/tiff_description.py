"""Damage of the description of a TIFF file, by which its pages make up an image."""

import re
from typing import Any

_LOOKS = {
    "ome": ("OME-XML", re.compile(r"<(\w+:)?OME[\s>]")),
    "imagej": ("ImageJ's", re.compile(r"^(images|slices|frames|channels|hyperstack)=", re.MULTILINE)),
    "shaped": ("tifffile's", re.compile(r'"shape"\s*:')),
}
_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x1f\x7f]")


def damage_of_description(tif: Any, left_out: set[str]) -> str:
    """Return a warning if the description of the first page looks damaged, else an empty text.

    Parameters
    ----------
    tif : tifffile.TiffFile
    left_out : set of str
        Kinds of description that are passed over on purpose.
    """
    if not tif.pages or tif.is_stk:  # STK files keep a text for each plane there
        return ""
    text = tif.pages.first.tags.valueof(270) or ""
    remedy = "and what it says of its pages may be lost: check their number and order"
    if isinstance(text, bytes):
        return f"its description is not a text, {remedy}"
    kinds = [kind for kind, (_, looks) in _LOOKS.items() if isinstance(text, str) and looks.search(text)]
    for kind in kinds:
        if kind not in left_out and not getattr(tif, f"is_{kind}"):
            return f"its description looks like {_LOOKS[kind][0]} but cannot be read as that, {remedy}"
    if isinstance(text, str) and (_CONTROLS.search(text) or (kinds and "\0" in text)):
        return f"its description has characters that are not text, {remedy}"
    return ""


def bytes_for_more_planes(series: Any, n_stored: int) -> int:
    """Return how many more planes a file has room for, if ImageJ describes all of them by one page."""
    keyframe = series.keyframe
    if series.kind != "imagej" or series.dataoffset is None or len(keyframe.parent.pages) > 1:
        return 0
    beyond = keyframe.parent.filehandle.size - series.dataoffset - n_stored * keyframe.nbytes
    return int(max(beyond, 0) // max(keyframe.nbytes, 1))
