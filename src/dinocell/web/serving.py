"""Serve: find a port, say where the page is, open it, and run until stopped."""

import logging
import socket
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from dinocell.errors import OutputError
from dinocell.web.app import create_app
from dinocell.web.settings import ServerSettings

_BACKLOG = 128
_PATIENCE_SECONDS = 5


def serve(settings: ServerSettings, say: Callable[[str], None], *, open_browser: bool = True) -> None:
    """Serve the page and the API until the process is stopped.

    Parameters
    ----------
    settings : ServerSettings
    say : callable
        Called with the address of the page once the server listens, with the token where one is needed.
    open_browser : bool
        Whether to open the page.

    Raises
    ------
    OutputError
        If the address or the folder of data cannot be used.
    """
    app = create_app(settings)
    listener = _listen(settings)
    address = address_of(settings, listener.getsockname()[1])
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # clients hear of what it warns
    say(address)
    if open_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    uvicorn.Server(config).run(sockets=[listener])


def _listen(settings: ServerSettings) -> socket.socket:
    """Return a socket that listens, so that the page can be opened at once."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(found[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[4])
        listener.listen(_BACKLOG)
    except OSError as error:
        raise OutputError(
            f"--host {settings.host} --port {settings.port} cannot be used ({error.strerror or error}), "
            "expected an address of this computer and a free port: choose another --port"
        ) from error
    return listener


def address_of(settings: ServerSettings, port: int) -> str:
    """Return the address of the page, with the token where one is needed."""
    host = settings.host if settings.host not in ("0.0.0.0", "::") else socket.gethostname()  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    token = "" if settings.token is None else f"?token={settings.token}"
    return f"http://{shown}:{port}/{token}"
