"""Metadata of an ND2 file, followed and measured before the package nd2 does so without a limit."""

import struct
import zlib
from contextlib import suppress
from xml.etree import ElementTree

_MOST_METADATA = 2**27  # bytes, each counted as often as it is copied; 10,000 positions take half of it
_MOST_TAGS = 2**21  # of XML, each a few hundred bytes in memory
_LONGEST_TEXT = 2**18  # bytes; nd2 takes quadratic time for a text
_LISTS = {"no_name", "BinaryItem", "TextInfoItem", "Wavelength", "MinSrc", "MaxSrc"}  # XML tags that repeat


class MetadataScan:
    """Walk over metadata in the way of nd2 that counts the memory they would take."""

    def __init__(self) -> None:
        self.left = _MOST_METADATA

    def check(self, data: bytes) -> None:
        """Raise for metadata that would take too much memory, and for XML at which nd2 would warn."""
        self._take(data)
        if not data.startswith(b"<"):
            try:
                self._follow(data, 1)
            except zlib.error as exc:
                raise ValueError(f"its metadata cannot be unpacked: {exc}") from exc
            return
        if b"<!" in data.replace(b"\0", b"") or data.count(b"<") > _MOST_TAGS:
            raise ValueError("its metadata declare a document type, or are too large")
        for node in ElementTree.fromstring(data.split(b"?>", 1)[-1].decode(errors="ignore")).iter():  # noqa: S314
            tags = [child.tag for child in node if child.tag not in _LISTS]
            if len(tags) > len(set(tags)):
                raise ValueError(f"its metadata repeat a value of {node.tag}")

    def _take(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise MemoryError(f"its metadata take more than {_MOST_METADATA >> 20} MiB")
        return data

    def _follow(self, data: bytes, count: int) -> None:
        """Follow `count` values of a lite variant: kind, length of the name, name in UTF-16, content."""
        at = 0
        for _ in range(count):
            if at + 2 > len(data):
                return
            kind, start = data[at], at + 2 + 2 * data[at + 1]
            if kind == 76:  # zlib; nothing follows it
                stream = zlib.decompressobj()
                unpacked = self._take(stream.decompress(data[at + 12 :], self.left + 1))
                if not stream.eof:
                    raise ValueError("its metadata end too early")
                self._follow(unpacked, 1)
                return
            if kind == 11:
                at = self._follow_level(data, at, start)
            elif kind == 9:
                at = self._follow_bytes(data, start)
            elif kind == 8:
                at = _end_of_text(data, start)
            else:
                at = start + {1: 1, 2: 4, 3: 4, 4: 8, 5: 8, 6: 8, 7: 8}.get(kind, 0)

    def _follow_level(self, data: bytes, at: int, start: int) -> int:
        count: int
        length: int
        count, length = struct.unpack_from("<IQ", data, start)
        end = at + length if at + length >= start + 12 else len(data)
        self._follow(self._take(data[start + 12 : end]), count)
        return end + 8 * count

    def _follow_bytes(self, data: bytes, start: int) -> int:
        length: int = struct.unpack_from("<Q", data, start)[0]
        content = self._take(data[start + 8 : start + 8 + length])
        if len(content) >= 4 and (content[0] == 76 or (content[0] <= 11 and content[1] >= 2)):
            with suppress(ValueError, struct.error, zlib.error):  # nd2 tries it too: it may be a variant
                self._follow(content, 1)
        return start + 8 + length


def _end_of_text(data: bytes, start: int) -> int:
    end = data.find(b"\0\0", start)
    while end >= 0 and (end - start) % 2:
        end = data.find(b"\0\0", end + 1)
    end = len(data) if end < 0 else end
    if end - start > _LONGEST_TEXT:
        raise ValueError("a text of its metadata does not end")
    return end + 2
