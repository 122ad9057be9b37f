"""The guard: who may ask, from where, and how much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dinocell.web.guard import Guard
from dinocell.web.settings import Limits, ServerSettings

TOKEN = "a-token-of-enough-letters"  # noqa: S105
LOCAL = "http://127.0.0.1:8765"


async def answer(request):
    return PlainTextResponse(str(len(await request.body())))


def client(tmp_path, base_url=LOCAL, **options):
    paths = ("/", "/api/v1/images", "/api/v1/health")
    inner = Starlette(routes=[Route(path, answer, methods=["GET", "POST"]) for path in paths])
    limits = Limits(body_bytes=100, upload_bytes=1000)
    settings = ServerSettings(data=tmp_path, limits=limits, **options)
    return TestClient(Guard(inner, settings), base_url=base_url, follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765", "127.0.0.5"])
def test_this_computer_has_many_names(tmp_path, host):
    assert client(tmp_path).get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil", "192.168.0.7", "[::1", "a@b:c"]
)
def test_a_foreign_host_is_refused(tmp_path, host):
    found = client(tmp_path).get("/", headers={"host": host})
    assert found.status_code == 421
    assert "expected its own name" in found.json()["message"]


def test_a_proxy_may_have_a_name(tmp_path):
    named = client(tmp_path, names=("cells.lab",))
    assert named.get("/", headers={"host": "cells.lab"}).status_code == 200


def test_another_page_may_not_ask(tmp_path):
    mine = client(tmp_path)
    assert mine.post("/", headers={"origin": "https://evil.example"}).status_code == 403
    assert mine.post("/", headers={"origin": "null"}).status_code == 403
    assert mine.post("/", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert mine.post("/", headers={"origin": LOCAL, "sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/v1/images"])
def test_every_answer_forbids_what_is_foreign(tmp_path, path):
    found = client(tmp_path).get(path).headers
    assert "default-src 'none'" in found["content-security-policy"]
    assert "unsafe-inline" not in found["content-security-policy"]
    assert "http" not in found["content-security-policy"]
    assert found["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in found


def test_others_need_a_token(tmp_path):
    with pytest.raises(ValidationError, match="expected a token"):
        ServerSettings(data=tmp_path, host="0.0.0.0")  # noqa: S104
    lab = client(tmp_path, "http://192.168.0.7:8765", host="0.0.0.0", token=TOKEN)  # noqa: S104
    assert lab.get("/api/v1/images").status_code == 401
    assert lab.get("/api/v1/images", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert lab.get("/api/v1/images", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert lab.get(f"/api/v1/images?token={TOKEN}").status_code == 401
    assert lab.get("/api/v1/health").status_code == 200
    moved = lab.get(f"/?token={TOKEN}")
    assert (moved.status_code, moved.headers["location"]) == (303, "/")
    assert "HttpOnly" in moved.headers["set-cookie"]
    assert "SameSite=strict" in moved.headers["set-cookie"]
    assert lab.get("/").status_code == 200  # with the cookie
    assert lab.get("/", headers={"host": "evil.example"}).status_code == 421


def test_a_body_is_counted_whatever_it_declares(tmp_path):
    mine = client(tmp_path)
    assert mine.post("/", content=b"x" * 100).text == "100"
    assert mine.post("/", content=b"x" * 101).status_code == 413
    assert mine.post("/", content=iter([b"x" * 60, b"x" * 60])).status_code == 413  # without a length
    assert mine.post("/api/v1/images", content=b"x" * 1000).text == "1000"
    assert mine.post("/", headers={"content-length": "9" * 40}).status_code == 413


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_header_breaks_the_guard(tmp_path_factory, host, other):
    headers = {"host": host.encode(), "origin": other.encode(), "cookie": other.encode()}
    lab = client(tmp_path_factory.getbasetemp(), host="0.0.0.0", token=TOKEN)  # noqa: S104
    assert lab.get("/", headers=headers).status_code in (401, 403, 421)
