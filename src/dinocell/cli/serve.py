"""`dinocell serve`: the page in the browser, and the HTTP API."""

import math
import os
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from dinocell.cli.inputs import check_exist
from dinocell.cli.terminal import console, escape_controls
from dinocell.errors import InputError
from dinocell.extras import require_extra
from dinocell.settings import explain_problem

_TOKEN = "DINOCELL_TOKEN"  # noqa: S105 (a name)
_GIB = 2**30

_NAME = (r"[\w.-]+", "a host name such as cells.example.org")
_DEVICE = (r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, mps, cuda or cuda:1")
_SCHEDULER = (r"\w+://.+:\d+", "an address such as tcp://10.0.0.1:8786")


def command(
    host: Annotated[str, typer.Option(help="Address to listen on; others than 127.0.0.1 need a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
    token: Annotated[
        bool,
        typer.Option(
            "--token", help=f"Ask for a token on 127.0.0.1, too. It is printed, or taken from {_TOKEN}."
        ),
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option(help="A further name of the server, such as that of a proxy before it."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for images, results and models. Default: in the user's data folder."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder whose files clients may name, beside those that they upload.")
    ] = None,
    keep: Annotated[
        float | None, typer.Option(help="Days after which images and their results are removed.")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="auto, cpu, cuda:0, …: each gets a worker process of its own."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler that gets large images: tcp://HOST:PORT.")
    ] = None,
    max_upload: Annotated[float, typer.Option(help="GiB of an uploaded file, at most.")] = 16,
    max_disk: Annotated[float, typer.Option(help="GiB that are kept, at most.")] = 200,
) -> None:
    """Open a page to segment, correct and measure in the browser; the same server is an HTTP API."""
    for package in ("fastapi", "uvicorn", "python_multipart"):
        require_extra(package, extra="serve", purpose="the page")
    check_exist(*([folder] if folder else []))
    if folder is not None and not folder.is_dir():
        raise InputError(f"--folder {folder} is a file, expected a folder: choose the one that it lies in")
    from dinocell import web

    for flag, value in (("--max-upload", max_upload), ("--max-disk", max_disk), ("--keep", keep)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{flag} is {value:g}, expected a number above 0")
    _check_form("--name", _NAME, name)
    _check_form("--device", _DEVICE, device)
    _check_form("--scheduler", _SCHEDULER, [scheduler] if scheduler is not None else None)
    given = os.environ.get(_TOKEN) or None
    if given is not None and len(given) < web.TOKEN_LETTERS:
        raise InputError(
            f"{_TOKEN} has {len(given)} letters, expected {web.TOKEN_LETTERS} or more: choose another"
        )
    needs_token = token or given is not None or not web.is_loopback(host)
    try:
        settings = web.ServerSettings(
            data=data or _usual_folder(),
            host=host,
            port=port,
            token=(given or secrets.token_urlsafe(32)) if needs_token else None,
            names=tuple(each.lower() for each in name or ()),
            folder=folder,
            keep_days=keep,
            scheduler=scheduler,
            devices=tuple(device or ["auto"]),
            limits=web.Limits(upload_bytes=int(max_upload * _GIB), disk_bytes=int(max_disk * _GIB)),
        )
    except ValidationError as error:
        raise InputError(explain_problem(error, web.ServerSettings)) from error
    web.serve(settings, lambda address: _say(address, settings.data), open_browser=browser)


def _check_form(flag: str, form: tuple[str, str], values: list[str] | None) -> None:
    pattern, expected = form
    for value in values or ():
        if not re.fullmatch(pattern, value, re.ASCII):
            raise InputError(f"{flag} is {value!r:.60}, expected {expected}")


def _usual_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("dinocell", appauthor=False)) / "serve"


def _say(address: str, data: Path) -> None:
    console.print(escape(escape_controls(f"DINOCell is at {address}")), soft_wrap=True)
    console.print(escape(escape_controls(f"images and results are kept in {data}; Ctrl-C ends it")))
