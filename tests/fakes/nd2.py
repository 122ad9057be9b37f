"""Tiny ND2 files of the modern kinds: version 3 with lite variants, version 2 with XML."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_MAGIC = 0x0ABECEDA
_LITE = {bool: (1, "<?"), int: (2, "<i"), float: (6, "<d")}
_XML = {bool: "bool", int: "lx_int32", float: "double", str: "CLxStringW"}


def lite(name: str, value: Any) -> bytes:
    """Encode one value and its name; dictionaries are levels, lists levels whose values have no names."""
    title = (name + "\0").encode("utf-16-le") if name else b""
    head = bytes([0, len(title) // 2]) + title
    if isinstance(value, str):
        return b"\x08" + head[1:] + (value + "\0").encode("utf-16-le")
    if isinstance(value, bytes):
        return b"\x09" + head[1:] + struct.pack("<Q", len(value)) + value
    if isinstance(value, dict | list):
        items = list(value.items()) if isinstance(value, dict) else [("", item) for item in value]
        content = b"".join(lite(*item) for item in items)
        length = len(head) + 12 + len(content)
        return b"\x0b" + head[1:] + struct.pack("<IQ", len(items), length) + content + bytes(8 * len(items))
    code, pattern = _LITE[type(value)]
    return bytes([code]) + head[1:] + struct.pack(pattern, value)


def packed(record: bytes) -> bytes:
    """Compress a lite variant as a whole."""
    return b"L\0" + bytes(10) + zlib.compress(record)


def xml(name: str, value: Any) -> str:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else [("no_name", item) for item in value]
        return f'<{name} runtype="CLxListVariant">{"".join(xml(*item) for item in items)}</{name}>'
    return f'<{name} runtype="{_XML[type(value)]}" value={quoteattr(str(value))}/>'


@dataclass(frozen=True)
class Loop:
    kind: int
    count: int
    parameters: dict[str, Any]


def times(count: int, period_ms: float = 0.0, measured_ms: float = 0.0) -> Loop:
    names = {"dStart": 0.0, "dPeriod": period_ms, "dDuration": 0.0, "dAvgPeriodDiff": measured_ms}
    return Loop(1, count, {"uiCount": count, **names})


def phases(counts: Sequence[int], period_ms: float) -> Loop:
    """Return a loop over times in several phases."""
    periods = [{**times(count, period_ms).parameters} for count in counts]
    return Loop(8, sum(counts), {"pPeriod": periods, "pPeriodValid": b"\x01" * len(counts)})


def positions(names: Sequence[str]) -> Loop:
    points = [{"dPosX": float(at), "dPosY": 0.0, "dPosZ": 0.0, "dPosName": n} for at, n in enumerate(names)]
    return Loop(2, len(names), {"Points": points, "bUseZ": False})


def slices(count: int, step_um: float) -> Loop:
    low_high = {"dZLow": 0.0, "dZHigh": step_um * (count - 1), "dZHome": 0.0}
    return Loop(4, count, {"uiCount": count, "dZStep": step_um, "iType": 0, **low_high})


def custom(count: int) -> Loop:
    return Loop(7, count, {"uiCount": count})


@dataclass
class FakeND2:
    """Content of a file.

    `pixels` has shape (loops…, C, Y, X) or, in colour, (loops…, C, Y, X, 3) as R, G, B.
    """

    pixels: Array
    loops: tuple[Loop, ...] = ()
    channels: tuple[str, ...] = ("DAPI",)
    pixel_size_um: float = 0.25
    calibrated: bool = True
    lossless: bool = False
    padding: int = 0  # bytes after each row
    packed: bool = False
    version: int = 3
    left_out: tuple[int, ...] = ()  # frames that are not stored
    attributes: dict[str, Any] = field(default_factory=dict)  # in place of the true ones

    def content(self) -> bytes:
        colour = self.pixels.ndim == len(self.loops) + 4
        frames = self.pixels.reshape(-1, *self.pixels.shape[len(self.loops) :])
        stored = np.moveaxis(frames[..., ::-1], 1, 3) if colour else np.moveaxis(frames, 1, 3)[..., None]
        chunks = {
            self._name("ImageAttributes"): self._encode("SLxImageAttributes", self.describe(stored)),
            self._name("ImageMetadataSeq|0"): self._encode("SLxPictureMetadata", self.picture(colour)),
        }
        if self.loops:
            chunks[self._name("ImageMetadata")] = self._encode("SLxExperiment", self._experiment())
        chunks |= {
            f"ImageDataSeq|{at}!": self.frame(frame)
            for at, frame in enumerate(stored)
            if at not in self.left_out
        }
        return assemble(chunks, self.version)

    def _name(self, name: str) -> str:
        first, bar, number = name.partition("|")
        return f"{first}{'LV' if self.version == 3 else ''}{bar}{number}!"

    def _encode(self, name: str, value: dict[str, Any]) -> bytes:
        if self.version < 3:
            variant = f'<variant version="1.0">{xml("no_name", value)}</variant>'
            return f'<?xml version="1.0" encoding="UTF-8"?>{variant}'.encode()
        return packed(lite(name, value)) if self.packed else lite(name, value)

    def describe(self, stored: Array) -> dict[str, Any]:
        _, height, width, channels, samples = stored.shape
        bits, components = 8 * stored.itemsize, channels * samples
        return {
            "uiWidth": width,
            "uiWidthBytes": width * components * stored.itemsize + self.padding,
            "uiHeight": height,
            "uiComp": components,
            "uiBpcInMemory": bits,
            "uiBpcSignificant": bits,
            "uiSequenceCount": len(stored),
            "eCompression": 0 if self.lossless else 2,
        } | self.attributes

    def picture(self, colour: bool) -> dict[str, Any]:
        planes = {
            f"a{at}": {
                "sDescription": name,
                "uiCompCount": 3 if colour else 1,
                "uiColor": 255,
                "pFluorescentProbe": {"m_sName": name},
            }
            for at, name in enumerate(self.channels)
        }
        return {
            "bCalibrated": self.calibrated,
            "dCalibration": self.pixel_size_um,
            "sPicturePlanes": {"uiCount": len(planes), "sPlaneNew": planes},
        }

    def _experiment(self) -> dict[str, Any]:
        level: dict[str, Any] = {}
        for loop in reversed(self.loops):
            inner = {"ppNextLevelEx": [level]} if level else {}
            level = {"eType": loop.kind, "uLoopPars": loop.parameters, **inner}
        return level

    def frame(self, frame: Array) -> bytes:
        rows = b"".join(row.tobytes() + bytes(self.padding) for row in frame)
        return struct.pack("<d", 0.0) + (zlib.compress(rows) if self.lossless else rows)


def assemble(chunks: dict[str, bytes], version: int = 3) -> bytes:
    """Write chunks, each at a multiple of 4096 bytes for the data after its time, and their map."""
    signature = b"ND2 FILE SIGNATURE CHUNK NAME01!"
    parts = [struct.pack("<IIQ", _MAGIC, 32, 64) + signature + f"Ver{version}.0".encode().ljust(64, b"\0")]
    entries, position = [], len(parts[0])
    for name, data in chunks.items():
        part = _chunk(name.encode(), data)
        entries.append(name.encode() + struct.pack("<QQ", position, len(data)))
        parts.append(part)
        position += len(part)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", position)
    parts.append(_chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", b"".join(entries) + end))
    return b"".join(parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    length = 4072 if name.startswith(b"ImageDataSeq") else 48  # readers find frames by that length
    return struct.pack("<IIQ", _MAGIC, length, len(data)) + name.ljust(length, b"\0") + data
