"""Files below the folder that the server was given with --folder; without it there are none."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from dinocell.errors import InputError
from dinocell.web.failures import GoneError
from dinocell.web.messages import FolderEntry, FolderListing, FolderRequest, ImageInfo
from dinocell.web.routes.images import describe
from dinocell.web.routes.problems import PROBLEMS
from dinocell.web.services import Server, Services

router = APIRouter(tags=["folder"], responses=PROBLEMS)

_MOST_ENTRIES = 10_000


@router.get("/folder")
def list_folder(server: Server, path: Annotated[str, Query(max_length=4096)] = "") -> FolderListing:
    """List the files and folders at a path below the folder."""
    place = find_below(server, path)
    if not place.is_dir():
        raise InputError(f"path {path!r:.200} is a file, expected a folder")
    entries = [
        FolderEntry(name=each.name, is_folder=each.is_dir(), bytes=each.stat().st_size)
        for each in sorted(place.iterdir())[:_MOST_ENTRIES]
        if not each.is_symlink() and (each.is_dir() or each.is_file())
    ]
    return FolderListing(path=path, entries=entries)


@router.post("/folder/images", status_code=201)
def add_from_folder(request: FolderRequest, server: Server) -> ImageInfo:
    """Take a file below the folder as an image."""
    place = find_below(server, request.path)
    if not place.is_file():
        raise InputError(f"path {request.path!r:.200} is a folder, expected a file")
    return describe(server.intake.take_file(place, request))


def find_below(server: Services, path: str) -> Path:
    """Return a path below the folder, links resolved.

    Raises
    ------
    GoneError
        If there is no folder, nothing at the path, or it leads out of the folder: the same words for all.
    """
    folder = server.settings.folder
    if folder is None:
        raise GoneError("the server has no folder, expected uploaded images: start it with --folder")
    root = folder.resolve()
    try:
        place = (root / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        place = None
    if place is None or not place.is_relative_to(root):
        raise GoneError(
            f"path {path!r:.200} is not there, expected a file or folder below the one of the server"
        )
    return place
