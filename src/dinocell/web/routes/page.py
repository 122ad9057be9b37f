"""The page itself: files that were built into the package."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from dinocell.web.failures import GoneError

router = APIRouter(include_in_schema=False)

PAGE = Path(__file__).parents[1] / "page"
"""Folder of the built page."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@router.get("/")
def page() -> FileResponse:
    """Return the page."""
    return _file("index.html")


@router.get("/{name}")
def part(name: str) -> FileResponse:
    """Return a file of the page."""
    return _file(name)


def _file(name: str) -> FileResponse:
    path = PAGE / name
    if path.parent != PAGE or path.suffix not in _TYPES or not path.is_file():
        raise GoneError(f"{name!r:.100} is not here, expected a file of the page: open /")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
