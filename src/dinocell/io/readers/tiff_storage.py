"""Tags of a TIFF file that its pixels need, and how their values store a page."""

import math
from typing import NamedTuple

TagValues = tuple[int, ...]

NEEDED_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339, 347,
     *range(512, 522), 529, 530, 531, 532, 32997, 32998, 33628, 33629, 34361, 34412}
)  # fmt: skip
"""Tags without which pixels cannot be read, or change: sizes, storage, places, tables of decoders."""

PRIVATE = 32768
"""Codes of tags from here on belong to vendors."""

_TAKE_ANYTHING = ((5,), (32773,))  # LZW and PackBits


class Storage(NamedTuple):
    """Values of the tags that decoding a page needs; empty if a tag is missing and has no default.

    One value stands for several equal ones.
    """

    width: TagValues
    length: TagValues
    bits: TagValues
    compression: TagValues
    fill_order: TagValues
    samples: TagValues
    rows_per_strip: TagValues
    planar: TagValues
    predictor: TagValues
    tile_width: TagValues
    tile_length: TagValues
    sample_format: TagValues
    depth: TagValues
    tile_depth: TagValues

    @property
    def pixels(self) -> int:
        """Number of pixels of a plane, at least 1."""
        return max(math.prod(self.width[:1] + self.length[:1]), 1)

    @property
    def takes_any_bytes(self) -> bool:
        """True if pixels are compressed in a way whose decoder seldom notices damage."""
        return self.compression in _TAKE_ANYTHING

    @property
    def raw_part_bytes(self) -> int | None:
        """Most bytes of a strip or tile if pixels are stored as they are, else None."""
        needed = (self.width, self.length, self.bits, self.samples, self.rows_per_strip)
        if self.compression != (1,) or not all(needed):
            return None
        samples = self.samples[0] if self.planar == (1,) else 1
        in_pixel = sum(self.bits) if len(self.bits) > 1 else self.bits[0] * samples
        across, down = self.width[0], self.rows_per_strip[0]
        if self.tile_width and self.tile_length:
            across, down = self.tile_width[0], self.tile_length[0]
        return math.ceil(across * in_pixel / 8) * down


# tags in the order of `Storage`, with what stands for those left out
_DEFAULTS: dict[int, TagValues] = {
    256: (), 257: (), 258: (1,), 259: (1,), 266: (1,), 277: (1,), 278: (2**32 - 1,), 284: (1,), 317: (1,),
    322: (), 323: (), 339: (1,), 32997: (1,), 32998: (1,),
}  # fmt: skip

STORAGE_TAGS = frozenset(_DEFAULTS)
"""Codes of the tags for how a page is stored."""


def storage_of(tags: dict[int, TagValues]) -> Storage:
    """Return how a page is stored, in one form where TIFF allows several.

    Parameters
    ----------
    tags : dict
        Values by code, of `STORAGE_TAGS`.
    """
    values = _DEFAULTS | tags
    same = Storage(*(numbers[:1] if len(set(numbers)) == 1 else numbers for numbers in values.values()))
    return same._replace(
        planar=(1,) if same.samples == (1,) else same.planar,
        rows_per_strip=min(same.rows_per_strip, same.length),
    )
