"""Upload: a multipart request, streamed to a file of our own while it is hashed."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from dinocell.errors import InputError, OutputError
from dinocell.web.failures import TooLargeError

_FIELD_BYTES = 1000
_HEADER_BYTES = 8000


@dataclass(frozen=True)
class Upload:
    """A file that has come.

    Attributes
    ----------
    path : Path
    name : str
        As the client calls it, without folders.
    bytes : int
    sha256 : str
    fields : dict of str to str
        What came beside it.
    """

    path: Path
    name: str
    bytes: int
    sha256: str
    fields: dict[str, str]


async def receive_upload(
    content_type: str, chunks: AsyncIterator[bytes], path: Path, most_bytes: int
) -> Upload:
    """Receive the file of a multipart request.

    Parameters
    ----------
    content_type : str
        Header of the request.
    chunks : async iterator of bytes
        Its body.
    path : Path
        Where the file is written.
    most_bytes : int
        What the file may have.

    Raises
    ------
    InputError
        If the request is of another kind, ends too early, or holds no file, or two.
    TooLargeError
        If the file is larger.
    OutputError
        If it cannot be written.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 256:
        raise InputError(
            f"the request is {content_type or 'of no type'!r:.80}, expected multipart/form-data with a field "
            "'file'"
        )
    try:
        with path.open("wb") as file:
            parts = _Parts(file, most_bytes)
            parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
            async for chunk in chunks:
                parser.write(chunk)
            parser.finalize()
    except ClientDisconnect:
        raise InputError("the upload ended too early, expected all of it: try again") from None
    except MultipartParseError as error:
        raise InputError(
            f"the upload is damaged ({error}), expected multipart/form-data: try again"
        ) from None
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"the upload cannot be kept ({error.strerror}): free some space") from error
    if not parts.ended:
        raise InputError("the upload ended too early, expected all of it: try again")
    if parts.name is None:
        raise InputError("the upload has no file, expected a field 'file' with a file name")
    return Upload(path, parts.name, parts.size, parts.hash.hexdigest(), parts.fields)


@dataclass
class _Parts:
    """State of a request that is being parsed."""

    file: IO[bytes]
    most_bytes: int
    name: str | None = None
    size: int = 0
    ended: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    hash: Any = field(default_factory=hashlib.sha256)
    _header: tuple[bytes, bytes] = (b"", b"")
    _disposition: bytes = b""
    _field: str = ""
    _is_file: bool = False
    _value: bytes = b""

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._header, self._disposition, self._field = (b"", b""), b"", ""
        self._is_file, self._value = False, b""

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])
        self._check_header()

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])
        self._check_header()

    def _check_header(self) -> None:
        if len(self._header[0]) + len(self._header[1]) > _HEADER_BYTES:
            raise InputError(
                "the upload has a header that is too long, expected the name of a field and file"
            )

    def _end_header(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = (b"", b"")

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        name = options.get(b"filename")
        self._is_file = self._field == "file" and name is not None
        if not self._is_file:
            return
        if self.name is not None:
            raise InputError("the upload has two files, expected one a request")
        self.name = plain_name((name or b"").decode("utf-8", "replace"))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        part = data[start:end]
        if not self._is_file:
            self._value += part
            if len(self._value) > _FIELD_BYTES or len(self.fields) > 20:
                raise TooLargeError(f"field {self._field!r:.40} of the upload is too long")
            return
        self.size += len(part)
        if self.size > self.most_bytes:
            raise TooLargeError(
                f"the file is larger than {self.most_bytes} bytes, expected fewer: use the command line"
            )
        self.hash.update(part)
        self.file.write(part)

    def _end(self) -> None:
        if not self._is_file and self._field:
            self.fields[self._field] = self._value.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.ended = True


def plain_name(name: str) -> str:
    r"""Return the last part of a file's name, without what no file should be called.

    Examples
    --------
    >>> plain_name("C:\\data\\..\\cells 1.tif"), plain_name("../../etc/passwd"), plain_name("..")
    ('cells 1.tif', 'passwd', 'image')
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    safe = "".join(each for each in last if each.isprintable() and each not in '<>:"|?*').strip(" .")
    return safe[-120:] or "image"
