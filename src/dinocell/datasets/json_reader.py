"""Reader of a JSON file value by value, where the whole would not fit the memory."""

import json
from collections.abc import Iterator
from typing import Any, TextIO

_DECODER = json.JSONDecoder()
_SPACES = frozenset(" \t\n\r")
_AFTER_VALUE = _SPACES | frozenset(",:]}")
PIECE = 2**20  # of a file, read at a time


class JsonReader:
    """Reader of a JSON value by value; as a whole, LIVECell's takes gigabytes.

    `json` parses the values, so that all it accepts is accepted: NaN, infinity and integers of any length,
    which other programs write and ijson's quick reader refuses. Every method may raise ValueError.

    A value that the end of the piece in memory cuts off is parsed again with at least twice as much::

        file     {"images": [{"id": 1}, {"id": 2}], "annotations": …
        piece              [{"id": 1}, {"i           {"id": 1} is whole, {"i is not: read on
                                       {"id": 2}], "annotat
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text, self._at = "", 0  # a piece of the file, and where in it the next value is
        self._before = 0  # characters of the file before the piece

    def members(self) -> Iterator[str | None]:
        """Step into a list or an object: yield every key, None in a list, whose value must be read then."""
        close = "]" if self._take("[{") == "[" else "}"
        if self.peek() == close:
            self._take(close)
            return
        sign = ","
        while sign == ",":
            yield self._key() if close == "}" else None
            sign = self._take("," + close)

    def values(self) -> Iterator[Any]:
        """Read the values of a list or an object one by one."""
        for _ in self.members():
            yield self.value()

    def value(self) -> Any:
        """Read one value as a whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as exc:
                if not self._read_on():
                    raise self._error(exc.msg, exc.pos) from exc
            else:
                # A number that ends the piece may go on, as 1 does in 1.5.
                if self._text[end : end + 1] in _AFTER_VALUE or not self._read_on():
                    self._at = end
                    return value

    def peek(self) -> str:
        """Return the next character that is not a space; an empty text at the end."""
        while not (sign := self._text[self._at : self._at + 1]) or sign in _SPACES:
            if sign:
                self._at += 1
            elif not self._read_on():
                break
        return sign

    def end(self) -> None:
        """Raise for anything after the last value."""
        if self.peek():
            raise self._error("Extra data", self._at)

    def _key(self) -> str:
        if self.peek() != '"':
            raise self._error("Expecting a name", self._at)
        key = str(self.value())
        self._take(":")
        return key

    def _take(self, expected: str) -> str:
        """Step over the character that is next, if it is one of those expected."""
        sign = self.peek()
        if not sign or sign not in expected:
            raise self._error(f"Expecting one of {expected}", self._at)
        self._at += 1
        return sign

    def _read_on(self) -> bool:
        """Read at least as much as is left of the piece, so that a long value is tried few times.

        False at the end.
        """
        try:
            more = self._file.read(max(PIECE, len(self._text) - self._at))
        except UnicodeDecodeError as exc:
            raise self._error(f"no UTF-8 text, {exc.reason}, after", len(self._text)) from exc
        if more:
            self._before += self._at
            self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)

    def _error(self, what: str, at: int) -> ValueError:
        return ValueError(f"{what}: character {self._before + at}")
