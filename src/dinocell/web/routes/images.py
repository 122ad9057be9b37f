"""Images: uploaded, listed, shown in tiles, removed."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from dinocell.web.archive.ids import new_id
from dinocell.web.archive.records import ImageRecord
from dinocell.web.messages import ImageInfo, Images, PlaneRequest
from dinocell.web.reading.tiles import forget_levels, image_tile, parse_shown
from dinocell.web.reading.upload import receive_upload
from dinocell.web.routes.problems import PROBLEMS, Responses
from dinocell.web.services import Server

router = APIRouter(tags=["images"], responses=PROBLEMS)

_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        **{name: {"type": "integer", "minimum": 0} for name in ("scene", "time", "z")},
                    },
                }
            }
        },
    }
}
_PNG: Responses = {200: {"content": {"image/png": {}}, "description": "The tile."}}
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


@router.get("/images")
def list_images(server: Server) -> Images:
    """List the images, the newest first."""
    return Images(images=[describe(each) for each in server.archive.images()])


@router.post("/images", status_code=201, openapi_extra=_UPLOAD)
async def add_image(request: Request, server: Server) -> ImageInfo:
    """Take an image file: any format of the command line; of a stack, one plane."""
    limits = server.settings.limits
    declared = request.headers.get("content-length", "")
    expected = int(declared[:20]) if declared.isdecimal() else 0
    server.archive.check_room(expected, limits.disk_bytes, limits.free_bytes)
    incoming = server.archive.folder / "uploads" / new_id()
    try:
        kind = request.headers.get("content-type", "")
        upload = await receive_upload(kind, request.stream(), incoming, limits.upload_bytes)
        record = await run_in_threadpool(server.intake.take_upload, upload)
    finally:
        incoming.unlink(missing_ok=True)
    return describe(record)


@router.post("/images/{image}/planes", status_code=201)
def add_plane(image: str, plane: PlaneRequest, server: Server) -> ImageInfo:
    """Take another scene, time or slice of an image's file, as an image of its own."""
    return describe(server.intake.take_plane(server.archive.image(image), plane))


@router.get("/images/{image}")
def show_image(image: str, server: Server) -> ImageInfo:
    """Describe an image."""
    return describe(server.archive.image(image))


@router.delete("/images/{image}", status_code=204)
def remove_image(image: str, server: Server) -> None:
    """Remove an image with its results and jobs."""
    results = [each.id for each in server.archive.results(image)]
    server.archive.remove_image(image)
    for result in results:
        server.open_results.forget(result)
    forget_levels()


@router.get("/images/{image}/tiles/{z}/{x}/{y}.png", responses=_PNG, response_class=Response)
def show_tile(
    image: str,
    z: int,
    x: int,
    y: int,
    server: Server,
    channel: Annotated[str | None, Query(max_length=400)] = None,
    range: Annotated[str | None, Query(max_length=4000)] = None,  # noqa: A002 (as it is called in addresses)
    colour: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """Show a tile of 256 × 256 pixels at most; z from 0, the coarsest, to levels − 1, x right, y down."""
    record = server.archive.image(image)
    shown = parse_shown(record, channel, range, colour)
    tile = image_tile(server.archive.image_folder(image), record, z, x, y, shown)
    return Response(tile, media_type="image/png", headers=_FOREVER)


def describe(record: ImageRecord) -> ImageInfo:
    """Return what is sent of an image."""
    return ImageInfo(
        id=record.id,
        name=record.name,
        bytes=record.bytes,
        sha256=record.sha256,
        width=record.shape[1],
        height=record.shape[0],
        dtype=record.dtype,
        rgb=record.rgb,
        channels=list(record.channels),
        pixel_size_um=None if record.pixel_size_um is None else list(record.pixel_size_um),
        levels=len(record.level_shapes),
        scenes=record.scenes,
        times=record.times,
        slices=record.slices,
        place=record.place,
        created=record.created,
        notes=list(record.notes),
    )
