"""Results: shown in tiles, flooded again, corrected, measured, fetched as files."""

import math
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body, Query, Response
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.background import BackgroundTask

from dinocell.editing.edit import Edit
from dinocell.editing.operations import Add, Delete, Merge, Operation, Paint, Split
from dinocell.measure.outlines import Polygon
from dinocell.web.archive.records import ResultRecord
from dinocell.web.correcting.downloads import formats_of, write_download
from dinocell.web.correcting.label_tiles import label_tile
from dinocell.web.correcting.large_result import LargeResult
from dinocell.web.correcting.open_result import OpenResult
from dinocell.web.messages import (
    CellTable,
    CheckRequest,
    EditOutcome,
    Outline,
    Result,
    Results,
    Ring,
    ThresholdsRequest,
)
from dinocell.web.routes.problems import PROBLEMS, Responses
from dinocell.web.services import Server

router = APIRouter(tags=["results"], responses=PROBLEMS)

_PNG: Responses = {200: {"content": {"image/png": {}}, "description": "The tile."}}
_FILE: Responses = {200: {"content": {"application/octet-stream": {}}, "description": "The file."}}
_VERSIONED = {"Cache-Control": "private, max-age=86400"}


class NewPaint(Paint):
    """Pixels that become a cell's; the id may be left to the server."""

    id: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None  # type: ignore[assignment]


AnyEdit = Annotated[Add | Delete | Merge | NewPaint | Split, Body(discriminator="edit")]


@router.get("/results")
def list_results(server: Server, image: Annotated[str | None, Query(max_length=60)] = None) -> Results:
    """List the results of an image, or all, the newest first."""
    return Results(results=[describe(each) for each in server.archive.results(image)])


@router.get("/results/{result}.{format}", responses=_FILE, response_class=FileResponse)
def fetch(result: str, format: str, server: Server) -> FileResponse:  # noqa: A002 (as in the address)
    """Fetch a result as a file: one of its formats."""
    found = server.open_results.find(result)
    folder = Path(tempfile.mkdtemp(dir=server.archive.folder / "uploads"))
    try:
        path, name = write_download(found, server.archive.image(found.record.image), format, folder)
    except BaseException:  # whatever ended it, no half of a file stays
        shutil.rmtree(folder, ignore_errors=True)
        raise
    after = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(path, filename=name, media_type="application/octet-stream", background=after)


@router.get("/results/{result}")
def show_result(result: str, server: Server) -> Result:
    """Describe a result."""
    return describe(server.archive.result(result))


@router.delete("/results/{result}", status_code=204)
def remove_result(result: str, server: Server) -> None:
    """Remove a result."""
    server.archive.remove_result(result)
    server.open_results.forget(result)


@router.get("/results/{result}/labels/{z}/{x}/{y}.png", responses=_PNG, response_class=Response)
def show_labels(result: str, z: int, x: int, y: int, server: Server, version: int | None = None) -> Response:
    """Show a tile of the labels: the id of a cell is 65536 R + 256 G + B."""
    found = server.open_results.find(result)
    tile = label_tile(found, server.archive.image(found.record.image), z, x, y)
    headers = _VERSIONED if version == found.record.version else {}
    return Response(tile, media_type="image/png", headers=headers)


@router.get("/results/{result}/cells")
def show_cells(result: str, server: Server) -> CellTable:
    """Return the measurements of the cells, by column."""
    found = server.open_results.find(result)
    if isinstance(found, LargeResult):
        return _as_table(found.table())
    with found.lock:
        return _as_table(found.table())


@router.get("/results/{result}/cells/{cell}")
def show_cell(result: str, cell: int, server: Server) -> Outline:
    """Return the outline of a cell."""
    polygons, box = server.open_results.find(result).outline(cell)
    return Outline(id=cell, parts=[_as_rings(each) for each in polygons], box=list(box))


@router.post("/results/{result}/thresholds")
def change_thresholds(result: str, asked: ThresholdsRequest, server: Server) -> Result:
    """Cut the labels from the distance map again; the network does not run."""
    found = server.open_results.editable(result)
    with found.lock:
        chosen = found.record.thresholds.replaced(**asked.model_dump(exclude={"discard"}))
        return describe(found.flood(chosen, discard=asked.discard))


@router.post("/results/{result}/edits")
def edit(result: str, asked: AnyEdit, server: Server) -> EditOutcome:
    """Change the labels by hand: add, split, merge, delete or paint."""
    found = server.open_results.editable(result)
    with found.lock:
        operation: Operation = asked
        if isinstance(asked, NewPaint):
            operation = found.complete(asked.id, asked.mask)
        return _outcome(found, found.editor.apply(operation))


@router.post("/results/{result}/undo")
def undo(result: str, server: Server) -> EditOutcome:
    """Undo the last edit that holds; where there is none, nothing changes."""
    found = server.open_results.editable(result)
    with found.lock:
        return _outcome(found, found.editor.undo())


@router.post("/results/{result}/redo")
def redo(result: str, server: Server) -> EditOutcome:
    """Repeat the last edit that was undone; where there is none, nothing changes."""
    found = server.open_results.editable(result)
    with found.lock:
        return _outcome(found, found.editor.redo())


@router.post("/results/{result}/checked")
def check(result: str, asked: CheckRequest, server: Server) -> Result:
    """Note cells as looked at, or all of the image: what fine-tuning learns from."""
    found = server.open_results.editable(result)
    with found.lock:
        return describe(found.check(asked.cells, everything=asked.all))


def describe(record: ResultRecord) -> Result:
    """Return what is sent of a result."""
    return Result(
        id=record.id,
        image=record.image,
        job=record.job,
        model=record.model,
        target=record.target,
        count=record.count,
        width=record.shape[1],
        height=record.shape[0],
        thresholds=record.thresholds,
        own_thresholds=record.own_thresholds,
        adjustable=record.kind == "map",
        editable=record.kind != "large",
        warnings=[*record.warnings, *record.doubts],
        edits=record.edits,
        can_undo=record.edits > 0,
        can_redo=record.can_redo,
        checked=list(record.checked),
        all_checked=record.all_checked,
        version=record.version,
        formats=formats_of(record),
        created=record.created,
    )


def _outcome(found: OpenResult, made: Edit | None) -> EditOutcome:
    record = found.keep_edit(made)
    box = None
    if made is not None and not made.change.is_empty:
        rows, columns = made.change.window
        box = [rows.start, columns.start, rows.stop, columns.stop]
    there = [] if made is None else [cell for cell in made.ids if (found.labels == cell).any()]
    notes = () if made is None else made.notes
    return EditOutcome(result=describe(record), ids=there, notes=list(notes), box=box)


def _as_rings(polygon: Polygon) -> list[Ring]:
    """Return the rings of a polygon as (row, column), where whole numbers are the centres of pixels."""
    return [[[float(y) - 0.5, float(x) - 0.5] for x, y in ring] for ring in polygon.rings]


def _as_table(table: dict[str, Any]) -> CellTable:
    return CellTable(columns={name: _as_values(values) for name, values in table.items()})


def _as_values(values: Any) -> list[Any]:
    """Return values as JSON has them: without NaN and infinite numbers."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        return list(array.tolist())
    return [value if math.isfinite(value) else None for value in array.tolist()]
