"""Tiny LIF files: blocks of a UTF-16 description and of pixels."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "R": 6, "M": 10}


@dataclass
class FakeLIF:
    """One image of a LIF file.

    `pixels` has the axes `axes`, the slowest first: X, Y, Z, T, M (tiles), R (rotation), C (channels),
    S (samples of a colour, stored in the order `colours`). Lengths are from the first to the last element.
    """

    name: str
    pixels: Array
    axes: str
    lengths: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    luts: tuple[str, ...] = ()
    dyes: tuple[str, ...] = ()
    colours: str = "RGB"
    padding: int = 0  # bytes after each innermost row
    images: tuple["FakeLIF", ...] = ()  # made from this one, filed below it
    photons: bool = False

    def block(self) -> bytes:
        rows = self.stored().reshape(-1, self.stored().shape[-1] * self._pixels_a_row())
        return b"".join(row.tobytes() + bytes(self.padding) for row in rows)

    def stored(self) -> Array:
        order = ["RGB".index(colour) for colour in self.colours]
        return self.pixels[..., order] if self.axes.endswith("S") else self.pixels

    def _pixels_a_row(self) -> int:
        return self.pixels.shape[-2] if self.axes[-1] in "SC" else 1

    def steps(self) -> dict[str, int]:
        """Return the bytes from one element of an axis to the next."""
        inner = 2 if self.axes[-1] in "SC" else 1
        steps, step = {}, self.pixels.itemsize
        for at, (axis, count) in enumerate(
            zip(reversed(self.axes), reversed(self.pixels.shape), strict=True)
        ):
            steps[axis] = step
            step = step * count + (self.padding if at + 1 == inner else 0)
        return steps

    def xml(self, block_id: str) -> str:
        if self.photons:
            return '<Data><SingleMoleculeDetection IsImage="true"/></Data>'
        steps = self.steps()
        dimensions = "".join(
            f'<DimensionDescription DimID="{_DIMENSIONS[axis]}" NumberOfElements="{count}" Origin="0" '
            f'Length="{self.lengths.get(axis, 0)}" BitInc="0" BytesInc="{steps[axis]}" '
            f'Unit="{self.units.get(axis, "s" if axis == "T" else "m")}"/>'
            for axis, count in reversed(list(zip(self.axes, self.pixels.shape, strict=True)))
            if axis not in "CS"
        )
        description = f"<Channels>{self._channels(steps)}</Channels><Dimensions>{dimensions}</Dimensions>"
        image = f"<Image><ImageDescription>{description}</ImageDescription></Image>"
        memory = f'<Memory Size="{len(self.block())}" MemoryBlockID="{block_id}"/>'
        return f"<Data>{image}</Data>{memory}"

    def _channels(self, steps: dict[str, int]) -> str:
        sizes = dict(zip(self.axes, self.pixels.shape, strict=True))
        text = ""
        for channel in range(sizes.get("C", 1)):
            for sample in range(sizes.get("S", 1)):
                tag = 1 + "RGB".index(self.colours[sample]) if "S" in sizes else 0
                offset = channel * steps.get("C", 0) + sample * steps.get("S", 0)
                lut = self.luts[channel] if self.luts else ""
                dye = f"<Key>DyeName</Key><Value>{self.dyes[channel]}</Value>" if self.dyes else ""
                bits = 8 * self.pixels.itemsize
                text += (
                    f'<ChannelDescription DataType="{int(self.pixels.dtype.kind == "f")}" ChannelTag="{tag}" '
                    f'Resolution="{bits}" NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" '
                    f'LUTName={quoteattr(lut)} IsLUTInverted="0" BytesInc="{offset}" BitInc="0">'
                    f"<ChannelProperty>{dye}</ChannelProperty></ChannelDescription>"
                )
        return text


def lif(
    images: Sequence[FakeLIF], *, collection: str = "", version: int = 2, project: str = "a.lif"
) -> bytes:
    """Write a file of images, all in a collection where one is named."""
    blocks: list[bytes] = []
    text = "".join(_element(image, blocks, version) for image in images)
    if collection:
        text = f'<Element Name="{collection}"><Data/><Children>{text}</Children></Element>'
    root = f'<Element Name="{project}"><Data><Experiment/></Data><Children>{text}</Children></Element>'
    return header(f'<LMSDataContainerHeader Version="{version}">{root}</LMSDataContainerHeader>') + b"".join(
        blocks
    )


def header(text: str) -> bytes:
    return struct.pack("<IIBI", 0x70, 5 + 2 * len(text), 0x2A, len(text)) + text.encode("utf-16-le")


def _element(image: FakeLIF, blocks: list[bytes], version: int) -> str:
    block_id = f"MemBlock_{len(blocks)}"
    blocks.append(_block(block_id, b"" if image.photons else image.block(), version))
    children = "".join(_element(child, blocks, version) for child in image.images)
    below = f"<Children>{children}</Children>" if children else ""
    return f"<Element Name={quoteattr(image.name)}>{image.xml(block_id)}{below}</Element>"


def _block(name: str, data: bytes, version: int) -> bytes:
    title = name.encode("utf-16-le")
    size = struct.pack("<Q" if version == 2 else "<I", len(data))
    head = struct.pack("<B", 0x2A) + size + struct.pack("<BI", 0x2A, len(name)) + title
    return struct.pack("<II", 0x70, len(head)) + head + data


def ramp(*shape: int, dtype: str = "uint16") -> Array:
    """Return values that are all distinct, as far as the type allows."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)
