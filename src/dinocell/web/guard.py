"""Guard before the API: who may ask, from where, and how much; and headers of every answer."""

import hmac
import socket
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dinocell.web.failures import TooLargeError
from dinocell.web.settings import API, ServerSettings, is_loopback

COOKIE = "dinocell"

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self' blob:; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of every answer: nothing inline, and nothing from elsewhere."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}

UPLOADS = f"{API}/images"
"""Address whose bodies may be as large as a file."""

HEALTH = f"{API}/health"
"""Address that answers anybody whether the server runs, and nothing else."""


class Guard:
    """ASGI application around another one.

    Parameters
    ----------
    app : ASGI application
    settings : ServerSettings
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with what is wrong."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        answer = self._refusal(scope, headers)
        if answer is None:
            await self._pass_on(scope, receive, send_with_headers)
        else:
            await answer(scope, receive, send_with_headers)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, unless the request turns out to be too large."""
        body = _Body(receive, self._most_bytes(scope))

        async def send_unless_too_large(message: Message) -> None:
            if not body.is_too_large:
                await send(message)

        try:
            await self._app(scope, body.receive, send_unless_too_large)
        except TooLargeError:
            if not body.is_too_large:
                raise
        if body.is_too_large:  # whatever the application made of the half that it got is not sent
            answer = _problem(413, f"the request has more than {body.most} bytes, expected fewer")
            await answer(scope, receive, send)

    def _most_bytes(self, scope: Scope) -> int:
        limits = self._settings.limits
        return limits.upload_bytes + limits.body_bytes if scope["path"] == UPLOADS else limits.body_bytes

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to a request that is not passed on."""
        host = headers.get("host", "")
        if not self._is_own_name(host):
            return _problem(
                421, f"host {host!r:.100} is not this server, expected its own name: start it with --name"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _problem(403, f"the request comes from {origin!r:.100}, expected the page of this server")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and scope["method"] != "GET":
            return _problem(403, "the request comes from another page, expected the page of this server")
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > self._most_bytes(scope):
            return _problem(413, f"the request has {declared:.20} bytes, expected fewer: send less")
        return self._without_token(scope, headers)

    def _is_own_name(self, host: str) -> bool:
        """Return whether a Host header names this server: a page elsewhere may point its own name here."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._settings.names or is_loopback(name):
            return True
        if self._settings.is_local:
            return False
        return name in (self._settings.host.lower(), socket.gethostname().lower()) or _is_address(name)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        token = self._settings.token
        if token is None or scope["path"] == HEALTH:
            return None
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and _same(asked, token):
            answer = RedirectResponse("/", status_code=303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/", max_age=30 * 86400)
            return answer
        if _same(_bearer(headers), token) or _same(_cookie(headers), token):
            return None
        return _problem(
            401,
            "a token is needed, expected the one that the server printed: open the address that it printed, "
            "or send 'Authorization: Bearer TOKEN'",
        )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _bearer(headers: Headers) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _problem(status: int, message: str) -> JSONResponse:
    return JSONResponse({"message": message}, status_code=status)


class _Body:
    """Body of a request, counted as it comes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self.most, self._count = receive, most, 0

    @property
    def is_too_large(self) -> bool:
        return self._count > self.most

    async def receive(self) -> Message:
        message: dict[str, Any] = dict(await self._receive())
        self._count += len(message.get("body", b""))
        if self.is_too_large:
            raise TooLargeError(f"the request has more than {self.most} bytes, expected fewer")
        return message
