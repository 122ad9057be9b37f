"""Uploads: multipart requests, in pieces of any size, whole or damaged."""

import asyncio
import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from dinocell.errors import DINOCellError, InputError
from dinocell.web.failures import TooLargeError
from dinocell.web.reading.upload import plain_name, receive_upload

BOUNDARY = "x1y2z3"
KIND = f"multipart/form-data; boundary={BOUNDARY}"


def body(content, name="cells.tif", **fields):
    parts = [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}' for key, value in fields.items()]
    parts = [part.encode() for part in parts]
    parts.append(
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
    )
    lines = [f"--{BOUNDARY}\r\n".encode() + part + b"\r\n" for part in parts]
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def receive(data, path, size=7, kind=KIND, most=10**6):
    async def chunks():
        for start in range(0, len(data), size):
            yield data[start : start + size]

    return asyncio.run(receive_upload(kind, chunks(), path, most))


@given(content=st.binary(max_size=300), size=st.integers(1, 100), time=st.integers(0, 99))
def test_every_byte_of_a_file_arrives_whatever_the_pieces(tmp_path_factory, content, size, time):
    path = tmp_path_factory.mktemp("upload") / "file"
    found = receive(body(content, time=time), path, size)
    assert path.read_bytes() == content
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert (found.bytes, found.name, found.fields) == (len(content), "cells.tif", {"time": str(time)})


@given(data=st.data())
def test_a_damaged_request_is_refused_and_breaks_nothing(tmp_path_factory, data):
    whole = bytearray(body(b"abcdef", z=3))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(DINOCellError):  # and no other error
        receive(cut, tmp_path_factory.mktemp("upload") / "file")


def test_what_is_too_large_is_refused_before_it_is_written(tmp_path):
    with pytest.raises(TooLargeError, match="larger than 10 bytes"):
        receive(body(b"x" * 11), tmp_path / "file", most=10)
    assert (tmp_path / "file").stat().st_size <= 10
    with pytest.raises(TooLargeError, match="too long"):
        receive(body(b"", z="9" * 2000), tmp_path / "file")
    with pytest.raises(InputError, match="header"):
        receive(body(b"", name="n" * 9000), tmp_path / "file")


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"{}", "application/json", "expected multipart/form-data"),
        (b"", "", "of no type"),
        (b"", "multipart/form-data", "expected multipart/form-data"),
        (body(b"abc")[:-20], KIND, "ended too early"),
        (f"--{BOUNDARY}--\r\n".encode(), KIND, "has no file"),
        (body(b"a")[: -len(BOUNDARY) - 6] + body(b"b"), KIND, "two files"),
    ],
)
def test_a_request_without_a_file_says_what_is_expected(tmp_path, data, kind, message):
    with pytest.raises(InputError, match=message):
        receive(data, tmp_path / "file", kind=kind)


def test_a_client_that_goes_away_leaves_one_line(tmp_path):
    async def chunks():
        yield body(b"abc")[:-20]
        raise ClientDisconnect

    with pytest.raises(InputError, match="ended too early"):
        asyncio.run(receive_upload(KIND, chunks(), tmp_path / "file", 100))


@given(st.text(max_size=200))
def test_a_name_leads_nowhere(text):
    name = plain_name(text)
    assert name
    assert not set(name) & set('/\\<>:"|?*\0\n')
    assert name not in (".", "..")
    assert len(name) <= 120
